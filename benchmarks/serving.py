"""How a publish affects readers of recommendations, and how much disk and memory publishes take.

    python benchmarks/serving.py                     100,000 users with 10 items each; about half an hour on two cores
    python benchmarks/serving.py --quick             4,000 users; about two minutes
    python benchmarks/serving.py --users N --rate R  N users, R requests per second
    python benchmarks/serving.py --flips N           N rollbacks between two runs, while readers ask without pause
    python benchmarks/serving.py --json FILE         the results as JSON

A Neo4j of its own is started in a temporary folder (its jars come from kgplug's cache) and removed at the end. Readers
in a process of their own send the shipped query `recommend` for users drawn at random, at a steady rate. The time of a
request counts from the moment it was due, even if the request before it was not answered yet. Each answer must be one
whole list: exactly the items of one run at ranks 1 to 10, and that run must have served while the request ran. Any
other answer is faulty: empty, mixed (of several runs), wrong (other items or ranks than its run's), stale (of a run
that did not serve at the time) or failed (an error).

The server checkpoints every few seconds, not every 15 minutes, so that the size of its files is up to date. This does
not make readers faster. A publish writes the vectors of all items with their index, and all lists.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import neo4j
import numpy as np
from own_server import connected, own_neo4j
from serving_answers import FAULTS, Answer, Change, K, Served, growth, summarise, with_stale
from serving_footprint import Footprint, measure_footprint
from serving_readers import FIRST_ITEM, Readers, Task, lists_of, reading

from kgplug.data.artefact import new_run_id
from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.graph import queries as cypher
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.publishing.removing.rollback import rollback
from kgplug.graph.publishing.removing.unpublish import unpublish
from kgplug.graph.schema import GraphSchema
from kgplug.graph.server.config import heap_bytes
from kgplug.graph.server.local import LocalNeo4j

MODEL, DIMENSIONS, RATINGS_A_USER = "MKR", 64, 10
INDEX_TIMEOUT_S, CHECKPOINT_S = 900, 10
READING_THREADS, HAMMERING_THREADS = 16, 4
FLAT = 0.05  # limit of growth from the third publish to the last; none is expected, because only two runs are kept


@dataclass(frozen=True)
class Size:
    """Size of the measurement.

    Attributes:
        users, items: Numbers of users and items. Each user has a list of K items, and each item a vector.
        rate: Requests per second.
        quiet_s: Seconds for which readers are measured before the second publish, and after it.
        publishes: Number of publishes in a row. Readers are measured before, during and after the second one.
        flips: Number of rollbacks.
    """

    users: int
    items: int
    rate: float
    quiet_s: float
    publishes: int
    flips: int


FULL, QUICK = Size(100_000, 20_000, 50, 30, 10, 200), Size(4_000, 1_000, 50, 5, 4, 20)


class Bench:
    """The measurements on one server with one graph, and their results."""

    def __init__(self, server: LocalNeo4j, connection: Connection, size: Size) -> None:
        self.server, self.connection, self.size = server, connection, size
        self.users, self.item_keys = np.arange(size.users), FIRST_ITEM + np.arange(size.items)
        self.footprints: list[Footprint] = []
        self.changes: list[Change] = []
        self.costs: dict[str, float] = {}
        self.served: list[Served] = []

    # The graph, and what is published

    def build_graph(self) -> None:
        began = time.monotonic()
        for label in ("User", "Movie"):
            self.connection.autocommit(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE")
        self._in_transactions("range(0, $n - 1) AS id", "CREATE (:User {id: id})", "id", n=self.size.users)
        self._in_transactions(
            "range($first, $first + $n - 1) AS id",
            "CREATE (:Movie {id: id, title: 'Film ' + id})",
            "id",
            n=self.size.items,
            first=FIRST_ITEM,
        )
        self.connection.rows("CALL db.awaitIndexes(300)")
        self._in_transactions(
            "range(0, $n - 1) AS id",
            f"MATCH (user:User {{id: id}}) UNWIND range(0, {RATINGS_A_USER - 1}) AS i "
            "MATCH (item:Movie {id: $first + (id * 7 + i * 101) % $items}) "
            "CREATE (user)-[:RATED {rating: 4.0}]->(item)",
            "id",
            n=self.size.users,
            first=FIRST_ITEM,
            items=self.size.items,
        )
        self._note("the graph alone", time.monotonic() - began)

    def _in_transactions(self, rows: str, work: str, variable: str, **parameters: object) -> None:
        query = f"UNWIND {rows} CALL ({variable}) {{ {work} }} IN TRANSACTIONS OF 5000 ROWS"
        self.connection.autocommit(query, **parameters)

    def _lists(self, run: str) -> TopLists:
        items, scores = lists_of(run, self.users, self.size.items)
        return TopLists("User", "Movie", self.users.astype(object), self.item_keys.astype(object), items, scores)

    def _vectors(self) -> NodeVectors:
        vectors = np.random.default_rng(len(self.changes)).normal(size=(self.size.items, DIMENSIONS))
        return NodeVectors("Movie", self.item_keys.astype(object), vectors.astype(np.float32))

    # Bytes per edge and per number of a vector

    def measure_costs(self) -> None:
        """Publish only lists, then only vectors, each for the first time in this store. Then unpublish both."""
        run = new_run_id("Lists")
        self._publish(Publication("Lists", run, lists=self._lists(run)), "lists only, the first of all")
        self._publish(Publication("Vectors", new_run_id("Vectors"), [self._vectors()]), "vectors only, first of all")
        before, lists, vectors = self.footprints[-3:]
        numbers = self.size.items * DIMENSIONS
        self.costs = {
            "bytes an edge": (lists.store_bytes - before.store_bytes) / (self.size.users * K),
            "bytes a number of a vector": (vectors.store_bytes - lists.store_bytes) / numbers,
            "of these in the vector index": (vectors.index_bytes - lists.index_bytes) / numbers,
            "edges a second": lists.edges_per_s,
            "vectors a second": vectors.vectors_per_s,
        }
        began = time.monotonic()
        for model in ("Lists", "Vectors"):
            unpublish(self.connection, model)
        self._note("both unpublished", time.monotonic() - began)

    # Publishes in a row, with readers from the second to the last

    def publish_under_readers(self) -> None:
        self._publish_model(1)
        with reading(self._task(self.size.rate, READING_THREADS)) as readers:
            time.sleep(self.size.quiet_s)
            self._publish_model(2)
            quiet_from = time.monotonic()
            time.sleep(self.size.quiet_s)
            quiet_until = time.monotonic()
            for number in range(3, self.size.publishes + 1):
                self._publish_model(number)
            answers = self._answers(readers)
        second = self.changes[1]
        spans = [
            (f"before publish 2, {self.size.rate:g}/s", readers.began, second.began),
            ("during publish 2", second.began, second.done),
            ("after publish 2", quiet_from, quiet_until),
            (f"publishes 3 to {self.size.publishes}", quiet_until, time.monotonic()),
        ]
        self.served += [summarise(name, answers, began, done) for name, began, done in spans]

    def flip(self) -> None:
        """Roll back again and again, between two runs, while readers ask without pause."""
        with reading(self._task(None, HAMMERING_THREADS)) as readers:
            for _ in range(self.size.flips):
                began = time.monotonic()
                report = rollback(self.connection, MODEL)
                assert report.serves is not None
                self.changes.append(Change(began, time.monotonic(), report.serves))
            flipped = time.monotonic()
            answers = self._answers(readers)
        self.served.append(summarise(f"{self.size.flips} rollbacks, no pause", answers, readers.began, flipped))
        self.costs["milliseconds a rollback"] = 1000 * (flipped - readers.began) / max(1, self.size.flips)

    def _task(self, rate: float | None, threads: int) -> Task:
        endpoint = self.server.endpoint()
        query = cypher.load("recommend", GraphSchema())
        where = (endpoint.uri, endpoint.username, endpoint.password, self.connection.database)
        return Task(*where, query, MODEL, self.size.users, self.size.items, rate, threads)

    def _answers(self, readers: Readers) -> list[Answer]:
        return with_stale(readers.stop(), self.changes)

    def _publish_model(self, number: int) -> None:
        run = new_run_id(MODEL)
        self._publish(Publication(MODEL, run, [self._vectors()], self._lists(run)), f"publish {number}")

    def _publish(self, publication: Publication, step: str) -> None:
        began = time.monotonic()
        report = publish(self.connection, GraphSchema(), publication, progress=False, index_timeout_s=INDEX_TIMEOUT_S)
        done = time.monotonic()
        if publication.model == MODEL:
            self.changes.append(Change(began, done, publication.run))
        self._note(step, done - began, edges_per_s=report.edges_per_s, vectors_per_s=report.vectors_per_s)

    def _note(self, step: str, seconds: float, **rates: float) -> None:
        self.footprints.append(measure_footprint(self.server, self.connection, step, seconds, **rates))
        print(footprint_row(self.footprints[-1]), flush=True)


def footprint_row(one: Footprint) -> str:
    """Return a row of the table of steps, as text."""
    rates = "".join(f"{rate:>11,.0f}" if rate else f"{'':11}" for rate in (one.edges_per_s, one.vectors_per_s))
    sizes = (one.store_bytes, one.index_bytes, one.log_bytes, one.memory_bytes)
    return f"{one.step:32}{one.seconds:8.1f}{rates}{''.join(f'{size / 2**20:9,.0f}' for size in sizes)}{one.load:7.1f}"


def served_row(one: Served) -> str:
    """Return a row of the table of answers, as text."""
    latencies = "".join(f"{value:9,.1f}" for value in (one.p50_ms, one.p95_ms, one.p99_ms, one.max_ms))
    faults = "".join(f"{one.faults[fault]:8,}" for fault in FAULTS)
    return f"{one.span:32}{one.seconds:8.1f}{one.requests:10,}{latencies}{faults}"


FOOTPRINT_HEAD = (
    f"{'step':32}{'s':>8}{'edges/s':>11}{'vectors/s':>11}{'store':>9}{'indexes':>9}{'logs':>9}{'memory':>9}{'load':>7}"
)
SERVED_HEAD = f"{'readers':32}{'s':>8}{'requests':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'max ms':>9}" + "".join(
    f"{fault:>8}" for fault in FAULTS
)


def verdicts(bench: Bench) -> dict[str, dict]:
    """Compare with the goals: no faulty answer, and no growth of store or memory from the third publish on."""
    published = [one for one in bench.footprints if one.step.startswith("publish ")]
    store, memory = ([getattr(one, name) for one in published] for name in ("store_bytes", "memory_bytes"))
    figures = {
        "faulty answers": (sum(sum(one.faults.values()) for one in bench.served), 0),
        f"growth of the store, publish 3 to {len(published)}": (growth(store), FLAT),
        f"growth of the memory, publish 3 to {len(published)}": (growth(memory), FLAT),
    }
    return {name: {"measured": value, "goal": goal, "met": value <= goal} for name, (value, goal) in figures.items()}


def machine_of(connection: Connection) -> str:
    """Return a description of server, driver and machine."""
    return (
        f"Neo4j {connection.server_version} {connection.edition} (heap up to {heap_bytes() // 2**20:,} MB), driver "
        f"{neo4j.__version__}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer users, shorter and fewer steps")
    parser.add_argument("--users", type=int, metavar="N", help="number of users, each with a list")
    parser.add_argument("--rate", type=float, metavar="R", help="requests per second")
    parser.add_argument("--flips", type=int, metavar="N", help="number of rollbacks while readers ask without pause")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results to this file")
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in ("users", "rate", "flips")}
    size = replace(
        QUICK if arguments.quick else FULL, **{name: value for name, value in given.items() if value is not None}
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server's folder is removed also after SIGTERM
    with own_neo4j(checkpoint_s=CHECKPOINT_S) as server, connected(server) as connection:
        machine = machine_of(connection)
        print(f"{machine}\n{size.users:,} users, {size.items:,} items; sizes in MB\n\n{FOOTPRINT_HEAD}", flush=True)
        bench = Bench(server, connection, size)
        for part in (bench.build_graph, bench.measure_costs, bench.publish_under_readers, bench.flip):
            part()
    result = verdicts(bench)
    print(f"\n{SERVED_HEAD}", *map(served_row, bench.served), sep="\n", end="\n\n")
    for name, value in bench.costs.items():
        print(f"{name}: {value:,.1f}")
    for name, verdict in result.items():
        met = "met" if verdict["met"] else "MISSED"
        print(f"{name}: {verdict['measured']:,.3g}, goal at most {verdict['goal']:,}: {met}")
    if arguments.json:
        content = {
            "machine": machine,
            "size": asdict(size),
            "steps": [asdict(one) for one in bench.footprints],
            "readers": [asdict(one) for one in bench.served],
            "costs": bench.costs,
            "goals": result,
        }
        arguments.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
