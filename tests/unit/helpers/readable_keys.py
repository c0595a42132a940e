"""Keys that people can and cannot read."""

from __future__ import annotations

OPAQUE = (
    "m.0hcgq2b", "/m/0hcgq2b", "g.11b71tsxrv", "550e8400-e29b-41d4-a716-446655440000",
    "{550E8400-E29B-41D4-A716-446655440000}", "550e8400e29b41d4a716446655440000", "5ec851a8b7b7bbf0", "0x1f3870be",
    "nm0000158", "tt0114709", "Q42001", "P-10023", "B00005N5PF", "dQw4w9WgXcQ", "978-3-16-148410-0", "0345339681",
    12345, -98765, 1234567.0, "http://www.wikidata.org/entity/Q42001", "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
)  # fmt: skip
READABLE = (
    "Comedy", "R&B", "PG-13", "Sci-Fi", "1995", 1995, 7, 3.5, "1990s", "2019-05-01", "Les Misérables", "R2-D2", "3D",
    "MP3", "new-york", "Paris 2024", "喜剧", "deadbeef", "Blade Runner 2049", "a1", "Q4",
    "http://example.org/genre/Comedy", True,
)  # fmt: skip
