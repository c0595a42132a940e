"""People who write: Stack Overflow, Twitter, and the papers of authors."""

from __future__ import annotations

import numpy as np

from kgplug.graph.bolt.connection import Connection
from tests.integration.shapes.planted import choices, create, few, join, unique


def stack_overflow(connection: Connection) -> None:
    """Build Stack Overflow: users ask questions that have tags; they answer and comment on the questions of others."""
    rng = np.random.default_rng(4)
    unique(connection, User="uuid", Question="uuid", Answer="uuid", Comment="uuid", Tag="name")
    create(connection, "User", [{"uuid": i, "display_name": f"User {i}"} for i in range(90)])
    create(connection, "Tag", [{"name": f"tag-{i}", "link": f"https://…/tag-{i}"} for i in range(24)])
    create(
        connection,
        "Question",
        [
            {
                "uuid": 1000 + i,
                "title": f"How to do {i}?",
                "link": f"https://…/{i}",
                "creation_date": int(rng.integers(1.5e9, 1.6e9)),
                "view_count": int(rng.integers(10, 5000)),
                "answer_count": int(rng.integers(6)),
                "body_markdown": f"I tried {i}",
            }
            for i in range(160)
        ],
    )
    join(connection, "User.uuid", "ASKED", "Question.uuid", [((i * 7 + i // 90) % 90, 1000 + i) for i in range(160)])
    join(
        connection,
        "Question.uuid",
        "TAGGED",
        "Tag.name",
        [(1000 + i, f"tag-{t}") for i, t in few(rng, 160, 24, most=3)],
    )
    for label, gives, to, start, per_user in (
        ("Answer", "PROVIDED", "ANSWERED", 5000, 5),
        ("Comment", "COMMENTED", "COMMENTED_ON", 9000, 4),
    ):
        given = choices(rng, 90, 160, per_user)
        create(
            connection,
            label,
            [
                {"uuid": start + n, "link": f"https://…/{n}", "score": int(rng.integers(-2, 9))}
                for n, _ in enumerate(given)
            ],
        )
        join(connection, "User.uuid", gives, f"{label}.uuid", [(u, start + n) for n, (u, _) in enumerate(given)])
        join(
            connection, f"{label}.uuid", to, "Question.uuid", [(start + n, 1000 + q) for n, (_, q) in enumerate(given)]
        )


def twitter(connection: Connection) -> None:
    """Build Twitter: users follow each other and post tweets, which have hashtags, mention users, or repeat a tweet."""
    rng = np.random.default_rng(5)
    unique(connection, User="screen_name", Tweet="id", Hashtag="name")
    create(
        connection,
        "User",
        [
            {"screen_name": f"user{i}", "name": f"User {i}", "followers": int(rng.integers(900)), "location": "Here"}
            for i in range(90)
        ],
    )
    create(connection, "Hashtag", [{"name": f"tag{i}"} for i in range(20)])
    create(
        connection,
        "Tweet",
        [
            {"id": 7000 + i, "text": f"Tweet {i}", "created_at": int(rng.integers(1.6e9, 1.7e9)), "favorites": i % 9}
            for i in range(360)
        ],
    )
    create(connection, "Source", [{"name": f"App {i}"} for i in range(4)])
    follows = [(f"user{a}", f"user{b}") for a, b in choices(rng, 90, 90, 9) if a != b]
    join(connection, "User.screen_name", "FOLLOWS", "User.screen_name", follows)
    posts = [(f"user{i % 90}", 7000 + i) for i in range(360)]
    join(connection, "User.screen_name", "POSTS", "Tweet.id", posts)
    join(connection, "Tweet.id", "USING", "Source.name", [(7000 + i, f"App {i % 4}") for i in range(360)])
    tags = [(7000 + i, f"tag{t}") for i, t in few(rng, 360, 20)]
    join(connection, "Tweet.id", "TAGS", "Hashtag.name", tags)
    mentions = [(7000 + t, f"user{u}") for t, u in few(rng, 120, 90, most=1)]
    join(connection, "Tweet.id", "MENTIONS", "User.screen_name", mentions)
    repeats = [(7000 + a, 7000 + b) for a, b in few(rng, 200, 60, most=1) if a != b]
    join(connection, "Tweet.id", "RETWEETS", "Tweet.id", repeats)


def papers(connection: Connection) -> None:
    """Build papers: authors write papers together, papers cite papers and appear in venues."""
    rng = np.random.default_rng(9)
    create(connection, "Author", [{"authorId": f"a{i}", "name": f"Author {i}"} for i in range(80)])
    create(
        connection,
        "Paper",
        [
            {"paperId": f"p{i}", "title": f"On {i}", "year": int(1995 + rng.integers(25)), "abstract": f"We show {i}."}
            for i in range(160)
        ],
    )
    create(connection, "Venue", [{"name": f"Venue {i}"} for i in range(8)])
    authored = [(f"a{a}", f"p{p}") for p, a in few(rng, 160, 80, most=3)]
    join(connection, "Author.authorId", "AUTHORED", "Paper.paperId", authored)
    cites = [(f"p{a}", f"p{b}") for a, b in choices(rng, 160, 160, 4) if a > b]
    join(connection, "Paper.paperId", "CITES", "Paper.paperId", cites)
    join(
        connection,
        "Paper.paperId",
        "PUBLISHED_IN",
        "Venue.name",
        [(f"p{p}", f"Venue {v}") for p, v in few(rng, 160, 8, most=1)],
    )
