"""Seconds to read and check a graph with many relationship types, compared with the same triples under one type.

    python benchmarks/many_types.py [--quick] [--json FILE]

Starts a Neo4j of its own in a temporary folder. Each graph is written, read once so that the server has planned the
queries, and then read again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from own_server import own_server

from kgplug.graph.bolt.connection import Connection
from kgplug.graph.check import check
from kgplug.graph.reading.reader import read_knowledge
from kgplug.graph.schema import GraphSchema

NODES = 20_000
SCHEMA = GraphSchema.model_validate({"item": {"label": "Thing"}})
GOAL = 2.0  # limit of the seconds with many types, as a multiple of those with one type


@dataclass(frozen=True)
class Figure:
    """Results for one graph: seconds of the first read, before queries are planned, of later reads, and of a check."""

    types: int
    triples: int
    first_s: float
    read_s: float
    check_s: float


def build(connection: Connection, types: int, triples: int) -> None:
    """Write `triples` triples of `types` types. The pairs of nodes do not depend on the number of types."""
    connection.autocommit("MATCH ()-[r]->() CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS")
    connection.autocommit(
        f"UNWIND range(0, $triples - 1) AS k CALL (k) {{ MATCH (a:Thing {{id: (k * 13) % {NODES}}}), "
        f"(b:Thing {{id: (k * 29 + k / {NODES} + 1) % {NODES}}}) "
        "CREATE (a)-[:$('T' + toString(k % $types))]->(b) } IN TRANSACTIONS OF 10000 ROWS",
        types=types,
        triples=triples,
    )


def measure(connection: Connection, types: int, triples: int, rounds: int) -> Figure:
    """Write a graph, and measure how long kgplug takes to read it and to check it."""
    build(connection, types, triples)

    def seconds(work: Callable[[], object]) -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    def read() -> None:
        knowledge = read_knowledge(connection, SCHEMA, progress=False)
        assert (knowledge.n_relations, knowledge.n_triples) == (types, triples)

    first, *later = [seconds(read) for _ in range(rounds + 1)]
    checked = statistics.median(seconds(lambda: check(connection, SCHEMA)) for _ in range(rounds))
    figure = Figure(types, triples, first, statistics.median(later), checked)
    print(
        f"{types:5,} types, {triples:9,} triples: first read {first:6.2f} s, later {figure.read_s:6.2f} s, "
        f"check {checked:6.2f} s",
        flush=True,
    )
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 types of 1,000 triples each instead of 1,000 types")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    many, rounds = (100, 2) if arguments.quick else (1000, 3)
    with own_server() as connection:
        machine = (
            f"Neo4j {connection.server_version} {connection.edition}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
        )
        print(machine, flush=True)
        connection.autocommit("CREATE CONSTRAINT FOR (n:Thing) REQUIRE n.id IS UNIQUE")
        connection.write(f"UNWIND range(0, {NODES - 1}) AS i CREATE (:Thing {{id: i}})")
        shapes = [(1, 1000 * many), (many, 1000 * many), (200, 200)]
        figures = [measure(connection, types, triples, rounds) for types, triples in shapes]
    times = figures[1].read_s / figures[0].read_s
    verdict = "met" if times < GOAL else "MISSED"
    print(f"{many:,} types take {times:.2f} times the seconds of one, goal {GOAL:g}: {verdict}")
    if arguments.json:
        content = {"machine": machine, "figures": [asdict(one) for one in figures], "times": times, "goal": GOAL}
        arguments.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
