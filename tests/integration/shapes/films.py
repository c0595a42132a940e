"""Films: Neo4j's example graph Movies, its sandbox Recommendations, and feedback that is stored from film to user."""

from __future__ import annotations

import numpy as np

from kgplug.graph.bolt.connection import Connection
from tests.integration.shapes.planted import choices, create, few, group, join, unique

GENRES = ("Drama", "Comedy", "Action", "Horror", "Crime", "Romance", "Animation", "Documentary")
COUNTRIES = ("USA", "UK", "France", "Japan")


def movies(connection: Connection) -> None:
    """Build `:play movies`: people act in films, direct, produce, write and review them, and follow each other."""
    rng = np.random.default_rng(1)
    films = [
        {"title": f"Film {i}", "tagline": f"What film {i} promises", "released": int(1970 + rng.integers(45))}
        for i in range(60)
    ]
    people = [{"name": f"Person {i}", "born": int(1930 + rng.integers(60))} for i in range(140)]
    create(connection, "Movie", films)
    create(connection, "Person", people)

    def named(pairs: list[tuple[int, int]], shift: int) -> list[tuple[str, str]]:
        return [(f"Person {shift + person}", f"Film {film}") for film, person in pairs]

    cast = named(few(rng, 60, 40, most=4), 60)
    join(
        connection,
        "Person.name",
        "ACTED_IN",
        "Movie.title",
        cast,
        [{"roles": [f"Role {i}"]} for i, _ in enumerate(cast)],
    )
    for kind, shift in (("DIRECTED", 100), ("PRODUCED", 112), ("WROTE", 124)):
        join(connection, "Person.name", kind, "Movie.title", named(few(rng, 60, 12), shift))
    reviewed = choices(rng, 60, 60, 7)
    reviews = [
        {
            "summary": f"Review {n}",
            "rating": int(rng.integers(70, 100) if group(u) == group(i) else rng.integers(30, 75)),
        }
        for n, (u, i) in enumerate(reviewed)
    ]
    join(
        connection,
        "Person.name",
        "REVIEWED",
        "Movie.title",
        [(f"Person {u}", f"Film {i}") for u, i in reviewed],
        reviews,
    )
    follows = [(f"Person {a}", f"Person {b}") for a, b in choices(rng, 20, 60, 3) if a != b]
    join(connection, "Person.name", "FOLLOWS", "Person.name", follows)


def recommendations(connection: Connection) -> None:
    """Build the sandbox Recommendations: text ids, people with two labels, and plot embeddings of another program."""
    rng = np.random.default_rng(3)
    unique(connection, User="userId", Movie="movieId", Genre="name", Person="tmdbId")
    create(connection, "User", [{"userId": str(i + 1), "name": f"User {i + 1}"} for i in range(60)])
    create(
        connection,
        "Movie",
        [
            {
                "movieId": str(100 + i),
                "title": f"Film {i}",
                "plot": f"The plot of film {i}",
                "plotEmbedding": rng.normal(size=32).tolist(),
                "year": int(1960 + rng.integers(55)),
                "runtime": int(80 + rng.integers(60)),
                "imdbRating": round(float(rng.uniform(4, 9)), 1),
                "imdbVotes": int(rng.integers(100, 900000)),
                "imdbId": f"{1000000 + i}",
                "languages": [("English", "French", "Japanese", "Hindi")[group(i)]],
                "countries": [COUNTRIES[group(i)]],
                "url": f"https://themoviedb.org/movie/{i}",
            }
            for i in range(80)
        ],
    )
    create(connection, "Genre", [{"name": name} for name in GENRES])
    for label, start in (("Actor", 0), ("Director", 40)):
        people = [{"tmdbId": str(start + i), "name": f"{label} {i}", "bio": f"Life of {i}"} for i in range(40)]
        create(connection, f"{label}:Person", people)
    rated = choices(rng, 60, 80, 10)
    ratings = [
        {
            "rating": float(rng.integers(7, 11) if group(u) == group(i) else rng.integers(2, 8)) / 2,
            "timestamp": int(rng.integers(9e8, 1.4e9)),
        }
        for u, i in rated
    ]
    join(connection, "User.userId", "RATED", "Movie.movieId", [(str(u + 1), str(100 + i)) for u, i in rated], ratings)
    in_genre = [(str(100 + i), GENRES[g]) for i, g in few(rng, 80, 8)]
    join(connection, "Movie.movieId", "IN_GENRE", "Genre.name", in_genre)
    acted = [(str(p), str(100 + i)) for i, p in few(rng, 80, 40, most=4)]
    join(connection, "Actor.tmdbId", "ACTED_IN", "Movie.movieId", acted, [{"role": "Someone"}] * len(acted))
    directed = [(str(40 + p), str(100 + i)) for i, p in few(rng, 80, 40)]
    join(connection, "Director.tmdbId", "DIRECTED", "Movie.movieId", directed)


def watched_by(connection: Connection) -> None:
    """Build feedback that is stored from film to user: (:Movie)-[:WATCHED_BY]->(:User)."""
    rng = np.random.default_rng(11)
    unique(connection, Movie="id", User="id")
    create(connection, "User", [{"id": i} for i in range(60)])
    create(connection, "Movie", [{"id": i, "title": f"Film {i}"} for i in range(50)])
    create(connection, "Genre", [{"name": name} for name in GENRES])
    watched = [(i, u) for u, i in choices(rng, 60, 50, 8)]
    times = [{"on": int(rng.integers(1.5e9, 1.6e9))} for _ in watched]
    join(connection, "Movie.id", "WATCHED_BY", "User.id", watched, times)
    join(connection, "Movie.id", "HAS_GENRE", "Genre.name", [(i, GENRES[g]) for i, g in few(rng, 50, 8)])
