"""The twelve shapes by name."""

from __future__ import annotations

from tests.integration.shapes import films, media, networks, trade
from tests.integration.shapes.planted import Shape

_SMALL = ("-s", "embedding_dim=8", "-s", "epochs=2", "-s", "settings=defaults", "-s", "device=cpu")
_MF = ("MF", *_SMALL)
_MKR = ("MKR", *_SMALL)
_TRANSE = ("TransE", "-s", "embedding_dim=8", "-s", "epochs=2", "-s", "device=cpu")

SHAPES = {
    "movies": Shape(films.movies, "Person", "Movie", ("REVIEWED",), _MF),
    "northwind": Shape(
        trade.northwind, "Customer", "Product", ("(user)-[:PURCHASED]->(order:Order)-[orders:ORDERS]->(item)",), _MKR
    ),
    "recommendations": Shape(films.recommendations, "User", "Movie", ("RATED",), _MKR),
    "stack overflow": Shape(
        networks.stack_overflow,
        "User",
        "Question",
        (
            "(user)-[:PROVIDED]->(:Answer)-[:ANSWERED]->(item)",
            "(user)-[:COMMENTED]->(:Comment)-[:COMMENTED_ON]->(item)",
        ),
        _MF,
    ),
    "twitter": Shape(networks.twitter, "User", "User", ("FOLLOWS",), _MF),
    "three events": Shape(trade.three_events, "Customer", "Product", ("BOUGHT", "ADDED", "VIEWED"), _MF),
    "library": Shape(media.library, "Reader", "Book", ("(user)-[borrowed:BORROWED]->(:Copy)-[:COPY_OF]->(item)",), _MF),
    "music": Shape(media.music, "User", "Track", ("LISTENED",), _MF),
    "papers": Shape(networks.papers, "Author", "Paper", ("(user)-[:AUTHORED]->(:Paper)-[:CITES]->(item)",), _MF),
    "jobs": Shape(trade.jobs, "Candidate", "Job", ("APPLIED_TO",), _MKR),
    "watched by": Shape(films.watched_by, "User", "Movie", ("WATCHED_BY",), _MF),
    "medicine": Shape(media.medicine, None, "Gene", (), _TRANSE),
}
