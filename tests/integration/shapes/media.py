"""Collections: a library that lends copies of books, music with play counts, and a graph without users."""

from __future__ import annotations

import numpy as np

from kgplug.graph.bolt.connection import Connection
from tests.integration.shapes.planted import choices, create, few, group, join, unique


def library(connection: Connection) -> None:
    """Build a library: readers borrow copies, and each copy is one of a book."""
    rng = np.random.default_rng(7)
    unique(connection, Reader="number", Copy="barcode", Book="isbn")
    create(connection, "Reader", [{"number": i, "name": f"Reader {i}"} for i in range(70)])
    languages = ("English", "German", "Spanish", "Swahili")
    create(
        connection,
        "Book",
        [
            {"isbn": f"978-{i:04}", "title": f"Book {i}", "language": languages[group(i)], "year": int(1950 + i % 70)}
            for i in range(60)
        ],
    )
    create(connection, "Author", [{"name": f"Author {i}"} for i in range(24)])
    copies = [(f"B{copy:04}", f"978-{copy // 3:04}") for copy in range(180)]
    create(connection, "Copy", [{"barcode": barcode, "shelf": f"S{n % 9}"} for n, (barcode, _) in enumerate(copies)])
    join(connection, "Copy.barcode", "COPY_OF", "Book.isbn", copies)
    join(connection, "Author.name", "WROTE", "Book.isbn", [(f"Author {a}", f"978-{i:04}") for i, a in few(rng, 60, 24)])
    borrowed = choices(rng, 70, 60, 8)
    loans = [(u, f"B{3 * i + int(rng.integers(3)):04}") for u, i in borrowed]
    days = [{"from": int(rng.integers(1.60e9, 1.70e9)), "renewals": int(rng.integers(3))} for _ in loans]
    join(connection, "Reader.number", "BORROWED", "Copy.barcode", loans, days)


def music(connection: Connection) -> None:
    """Build music with play counts: users listen to tracks, which are by artists and have tags."""
    rng = np.random.default_rng(8)
    unique(connection, User="id", Track="mbid", Artist="mbid")
    create(connection, "User", [{"id": f"u{i}", "country": ("FI", "PE", "KE")[i % 3]} for i in range(70)])
    create(connection, "Track", [{"mbid": f"t{i}", "title": f"Track {i}", "duration": 120 + i} for i in range(90)])
    create(connection, "Artist", [{"mbid": f"a{i}", "name": f"Artist {i}"} for i in range(24)])
    create(connection, "Tag", [{"name": f"tag {i}"} for i in range(12)])
    heard = choices(rng, 70, 90, 12)
    plays = [{"playcount": int(rng.geometric(0.05 if group(u) == group(i) else 0.4))} for u, i in heard]
    join(connection, "User.id", "LISTENED", "Track.mbid", [(f"u{u}", f"t{i}") for u, i in heard], plays)
    join(connection, "Track.mbid", "BY", "Artist.mbid", [(f"t{i}", f"a{a}") for i, a in few(rng, 90, 24, most=1)])
    join(connection, "Artist.mbid", "HAS_TAG", "Tag.name", [(f"a{i}", f"tag {t}") for i, t in few(rng, 24, 12)])


def medicine(connection: Connection) -> None:
    """Build a graph without users in the manner of Hetionet: compounds, diseases, genes and pathways."""
    rng = np.random.default_rng(12)
    for label, n in (("Compound", 60), ("Disease", 40), ("Gene", 90), ("Pathway", 20)):
        create(connection, label, [{"identifier": f"{label[0]}{i}", "name": f"{label} {i}"} for i in range(n)])
    for head, kind, tail, n, n_tails, most in (
        ("Compound", "TREATS", "Disease", 60, 40, 2),
        ("Compound", "BINDS", "Gene", 60, 88, 4),
        ("Disease", "ASSOCIATES", "Gene", 40, 88, 6),
        ("Gene", "PARTICIPATES", "Pathway", 90, 20, 2),
        ("Gene", "INTERACTS", "Gene", 90, 88, 3),
    ):
        pairs = [(f"{head[0]}{a}", f"{tail[0]}{b}") for a, b in few(rng, n, n_tails, most=most)]
        join(connection, f"{head}.identifier", kind, f"{tail}.identifier", pairs)
