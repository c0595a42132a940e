"""How fast kgplug reads triples and feedback from Neo4j and writes vectors and lists, compared with the usual ways.

    python benchmarks/neo4j_io.py                    1,000,000 relationships; about ten minutes on two cores
    python benchmarks/neo4j_io.py --quick            100,000; about one minute
    python benchmarks/neo4j_io.py --json FILE        the results as JSON

A Neo4j of its own is started in a temporary folder (its jars come from kgplug's cache) and removed at the end.
Writing is timed from arrays in Python to committed data, and reading from the query to its result in Python. The ways
of writing are measured in turns. If a way is measured several times, the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import neo4j
import numpy as np
from own_server import own_server

from kgplug.data.publication import NodeVectors, Publication, TopLists
from kgplug.graph.bolt.connection import Connection
from kgplug.graph.publishing.publisher import publish
from kgplug.graph.reading.reader import read_interactions, read_knowledge
from kgplug.graph.schema import FeedbackSchema, GraphSchema, ItemSchema, KnowledgeSchema

DIMENSIONS = 64
K = 10
BATCH_USERS = 1000
NODES = {"Movie": 20_000, "Actor": 70_000, "Director": 9_000, "Genre": 1_000}
TYPES = {  # type → (head label, tail label, share of all relationships)
    "ACTED_IN": ("Actor", "Movie", 0.5),
    "DIRECTED": ("Director", "Movie", 0.1),
    "HAS_GENRE": ("Movie", "Genre", 0.2),
    "RELATED_TO": ("Movie", "Movie", 0.2),
}
SCHEMA = GraphSchema(
    item=ItemSchema(label="Movie"), knowledge=KnowledgeSchema(keys=dict.fromkeys(NODES, "id"), relationships=[*TYPES])
)
MANY_TYPES = [f"TYPE_{number}" for number in range(1000)]
PATTERN = "(user)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item)"
LINES = 4  # per order
PROPERTIES = "{model: 'bench', run: 'bench', rank: %s, score: %s}"


@dataclass(frozen=True)
class Size:
    """Size of the measurement.

    Attributes:
        relationships: Number of relationships to read.
        vectors: Number of vectors to write.
        users: Number of users whose lists are written.
        rounds: Number of times that each way is measured.
    """

    relationships: int
    vectors: int
    users: int
    rounds: int


@dataclass(frozen=True)
class Figure:
    """Result of one way of reading or writing.

    Attributes:
        part: "read", "types", "pattern", "vectors", "index" or "edges".
        way: Name of the way.
        per_s: Median number of triples, vectors or edges per second.
        n: Number of triples, vectors or edges each time.
    """

    part: str
    way: str
    per_s: float
    n: int


FULL, QUICK = Size(1_000_000, 40_000, 10_000, 3), Size(100_000, 10_000, 2_000, 1)


class Bench:
    """The measurements on one server with one graph, and their results."""

    def __init__(self, connection: Connection, size: Size) -> None:
        self.connection, self.size = connection, size
        self.figures: list[Figure] = []
        rng = np.random.default_rng(0)
        self.vectors = rng.normal(size=(size.vectors, DIMENSIONS)).astype(np.float32)
        self.items = rng.permuted(np.tile(np.arange(200), (size.users, 1)), axis=1)[:, :K]
        self.items += 100 * rng.integers(0, 100, size=(size.users, 1))
        self.scores = -np.sort(-rng.random((size.users, K)), axis=1).astype(np.float32)

    def build_graph(self) -> None:
        for label, n in {**NODES, "User": self.size.users}.items():
            self.connection.autocommit(f"CREATE CONSTRAINT FOR (n:{label}) REQUIRE n.id IS UNIQUE")
            self._in_transactions("range(0, $n - 1) AS id", f"CREATE (:{label} {{id: id}})", "id", n=n)
        self.connection.rows("CALL db.awaitIndexes(300)")
        for name, (head, tail, share) in TYPES.items():
            n_heads, n_tails = NODES[head], NODES[tail]
            # Head i mod n_heads. Its tails differ if it has at most n_tails / gcd(13, n_tails) of them.
            ends = f"MATCH (h:{head} {{id: i % {n_heads}}}) MATCH (t:{tail} {{id: (i % {n_heads} * 7 + i / {n_heads} * 13) % {n_tails}}})"  # noqa: E501
            n = int(self.size.relationships * share)
            self._in_transactions("range(0, $n - 1) AS i", f"{ends} CREATE (h)-[:{name}]->(t)", "i", n=n)

    def _in_transactions(self, rows: str, work: str, variable: str, **parameters: object) -> None:
        query = f"UNWIND {rows} CALL ({variable}) {{ {work} }} IN TRANSACTIONS OF 20000 ROWS"
        self.connection.autocommit(query, **parameters)

    def compare(
        self, part: str, ways: Mapping[str, tuple[int, Callable[[], object]]], before: Callable[[], object]
    ) -> None:
        """Measure several ways in turns.

        Args:
            part: Name of the part that the ways belong to.
            ways: Name → (number of triples, vectors or edges, function that reads or writes them).
            before: Function to call before each measurement, not timed.
        """
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(self.size.rounds + 1):  # turn 0 warms up
            for way, (_, work) in ways.items():
                before()
                began = time.perf_counter()
                work()
                if turn > 0 or self.size.rounds == 1:
                    seconds[way].append(time.perf_counter() - began)
        for way, (n, _) in ways.items():
            self.add(part, way, n, statistics.median(seconds[way]))

    def add(self, part: str, way: str, n: int, seconds: float) -> None:
        self.figures.append(Figure(part, way, n / seconds, n))
        print(f"{part:8} {way:58} {n / seconds:12,.0f} /s", flush=True)

    def rate(self, part: str, way: str) -> float:
        return next(figure.per_s for figure in self.figures if (figure.part, figure.way) == (part, way))

    # Reading

    def read(self) -> None:
        self.connection.rows("MATCH (h)-[r]->(t) RETURN count(h.id + t.id) AS n")  # loads the data into the page cache
        n, rows = self.size.relationships, "MATCH (h)-[r]->(t) RETURN h.id AS head, type(r) AS relation, t.id AS tail"
        database = self.connection.database
        driver = self.connection._driver

        def to_frame() -> None:
            frame = driver.execute_query(rows, database_=database, result_transformer_=neo4j.Result.to_df)
            assert len(frame) == n

        def stream() -> None:
            with self.connection.session(access="READ") as session:
                assert sum(1 for _ in session.run(rows)) == n

        def collect() -> None:
            with self.connection.session(access="READ") as session:
                for name in TYPES:
                    query = f"MATCH (h)-[:`{name}`]->(t) RETURN collect(id(h)) AS heads, collect(id(t)) AS tails"
                    record = session.run(query).single(strict=True)  # type: ignore[arg-type]
                    np.array(record["heads"]), np.array(record["tails"])

        def ours() -> None:
            assert read_knowledge(self.connection, SCHEMA, progress=False).n_triples == n

        ways = {
            "execute_query, DataFrame": (n, to_frame),
            "streamed rows": (n, stream),
            "collect(id), internal ids only": (n, collect),
            "kgplug read_knowledge, with keys": (n, ours),
        }
        for way, (count, work) in ways.items():
            seconds = []
            for _ in range(1 if way.startswith(("execute", "streamed")) else max(2, self.size.rounds)):
                began = time.perf_counter()
                work()
                seconds.append(time.perf_counter() - began)
            self.add("read", way, count, statistics.median(seconds))

    def read_many_types(self) -> None:
        """Read a graph with 1,000 relationship types."""
        n, films = self.size.relationships // 2 // len(MANY_TYPES), NODES["Movie"]
        self._in_transactions(
            f"range(0, $n * {len(MANY_TYPES)} - 1) AS i",
            f"MATCH (h:Movie {{id: i % {films}}}) MATCH (t:Movie {{id: (i * 7 + 1) % {films}}}) "
            f"WITH h, t, 'TYPE_' + i % {len(MANY_TYPES)} AS name CREATE (h)-[:$(name)]->(t)",
            "i",
            n=n,
        )
        knowledge = KnowledgeSchema(relationships=MANY_TYPES)
        schema = SCHEMA.model_copy(update={"knowledge": knowledge})
        total = n * len(MANY_TYPES)

        def work() -> None:
            assert read_knowledge(self.connection, schema, progress=False).n_relations == len(MANY_TYPES)

        self._median("types", "kgplug read_knowledge, 1,000 relationship types", total, work)

    def read_pattern(self) -> None:
        """Read feedback that leads from users through orders to items."""
        users, films, n = self.size.users, NODES["Movie"], self.size.relationships // LINES
        self._in_transactions(
            "range(0, $n - 1) AS i",
            f"MATCH (u:User {{id: i % {users}}}) CREATE (u)-[:PURCHASED]->(o:Order {{id: i, day: i % 365}}) "
            f"WITH o, i UNWIND range(0, {LINES} - 1) AS line MATCH (m:Movie {{id: (i * 7 + line * 13) % {films}}}) "
            "CREATE (o)-[:ORDERS {quantity: 1 + line}]->(m)",
            "i",
            n=n,
        )
        bare = "MATCH (user:User)-[:PURCHASED]->(order:Order)-[line:ORDERS]->(item:Movie) RETURN "
        total = n * LINES
        plain = GraphSchema(feedback=FeedbackSchema(pattern=PATTERN))
        valued = GraphSchema(
            feedback=FeedbackSchema(pattern=PATTERN, weight="line.quantity", timestamp="order.day * 86400")
        )

        def stream() -> None:
            with self.connection.session(access="READ") as session:
                rows = [(row[0], row[1]) for row in session.run(f"{bare} id(user), id(item)")]  # type: ignore[arg-type]
                assert len(np.array(rows)) == total

        def collect() -> None:
            with self.connection.session(access="READ") as session:
                query = f"{bare} collect(id(user)) AS users, collect(id(item)) AS items"
                record = session.run(query).single(strict=True)  # type: ignore[arg-type]
                assert len(np.array(record["users"])) == len(np.array(record["items"])) == total

        def ours(schema: GraphSchema) -> None:
            rows = read_interactions(self.connection, schema, progress=False)
            assert rows.counts is None or rows.counts.sum() == total

        ways: dict[str, Callable[[], object]] = {
            "streamed ids": stream,
            "collect(id)": collect,
            "kgplug read_interactions, with keys, merged": lambda: ours(plain),
            "kgplug read_interactions, also weights and times": lambda: ours(valued),
        }
        for way, work in ways.items():
            self._median("pattern", way, total, work)

    def _median(self, part: str, way: str, n: int, work: Callable[[], object]) -> None:
        seconds = []
        for turn in range(max(2, self.size.rounds) + 1):  # turn 0 warms up
            began = time.perf_counter()
            work()
            if turn > 0:
                seconds.append(time.perf_counter() - began)
        self.add(part, way, n, statistics.median(seconds))

    # Vectors

    def write_vectors(self) -> None:
        ids = self._element_ids("Actor")
        by_key, by_id = "MATCH (n:Actor {id: $keys[row]})", "MATCH (n:Actor) WHERE elementId(n) = $ids[row]"
        procedure = "CALL db.create.setNodeVectorProperty(n, 'v', %s)"
        parse = "toFloatList(split($vectors[row], ' '))"
        template = " ".join(["%.9g"] * DIMENSIONS)

        def lists(rows: slice) -> list:
            return self.vectors[rows].tolist()

        def texts(rows: slice) -> list:
            return [template % tuple(vector) for vector in self.vectors[rows].tolist()]

        def arrays(rows: slice) -> list:
            return list(self.vectors[rows].astype(np.float64))

        def way(match: str, change: str, pack: Callable, n: int, batch: int = 5000, sessions: int = 1):
            query = f"UNWIND range(0, size($vectors) - 1) AS row {match} {change}"

            def one(rows: slice) -> None:
                named = {"keys": list(range(rows.start, rows.stop))} if "$keys" in match else {"ids": ids[rows]}
                self.connection.write(query, vectors=pack(rows), **named)

            return n, lambda: _run(one, n, batch, sessions)

        few, n = self.size.vectors // 8, self.size.vectors
        ways = {
            "numpy arrays, UNWIND + SET, by key": way(by_key, "SET n.v = $vectors[row]", arrays, few, 1000),
            "lists, UNWIND + SET, by key": way(by_key, "SET n.v = $vectors[row]", lists, few, 1000),
            "lists, UNWIND + SET, by element id": way(by_id, "SET n.v = $vectors[row]", lists, few, 1000),
            "lists, setNodeVectorProperty, by key": way(by_key, procedure % "$vectors[row]", lists, few, 1000),
            "lists, UNWIND + SET, by key, two sessions": way(by_key, "SET n.v = $vectors[row]", lists, few, 1000, 2),
            "text, setNodeVectorProperty, by key": way(by_key, procedure % parse, texts, n),
            "text, SET, by element id": way(by_id, f"SET n.v = {parse}", texts, n),
            "text, SET, by key, batches of 1,000": way(by_key, f"SET n.v = {parse}", texts, n, 1000),
            "text, SET, by key, batches of 5,000": way(by_key, f"SET n.v = {parse}", texts, n),
            "text, SET, by key, 5,000, two sessions": way(by_key, f"SET n.v = {parse}", texts, n, 5000, 2),
        }
        self.compare("vectors", ways, lambda: self._remove("MATCH (n:Actor) WHERE n.v IS NOT NULL", "n", "REMOVE n.v"))
        self._remove("MATCH (n:Actor) WHERE n.v IS NOT NULL", "n", "REMOVE n.v")
        self._publish_vectors()

    def _publish_vectors(self) -> None:
        keys = np.arange(self.size.vectors).astype(object)
        seconds = []
        for turn in range(self.size.rounds + 1):
            nodes = NodeVectors("Actor", keys, self.vectors, indexed=False)
            report = publish(self.connection, SCHEMA, Publication("V", f"v-{turn}", [nodes]), progress=False)
            seconds.append(report.seconds["vectors"])
        self.add("vectors", "kgplug publish", len(keys), statistics.median(seconds[1:]))
        nodes = NodeVectors("Actor", keys, self.vectors)
        report = publish(self.connection, SCHEMA, Publication("I", "i-1", [nodes]), progress=False, index_timeout_s=900)
        self.add("index", "vector index populated, after its vectors were written", len(keys), report.seconds["index"])

    # Lists

    def write_lists(self) -> None:
        match = "MATCH (u:User {id: %s})", "MATCH (m:Movie {id: %s})"
        rows = f"UNWIND $rows AS row {match[0] % 'row.user'} {match[1] % 'row.item'} "
        create = rows + f"CREATE (u)-[:RECOMMENDS {PROPERTIES % ('row.rank', 'row.score')}]->(m)"
        merge = rows + "MERGE (u)-[r:RECOMMENDS {model: 'bench'}]->(m) SET r.run = 'bench', r.rank = row.rank, "
        packed = (
            f"UNWIND range(0, size($users) - 1) AS row {match[0] % '$users[row]'} "
            "WITH u, $items[row] AS items, $scores[row] AS scores UNWIND range(0, size(items) - 1) AS place "
            f"{match[1] % 'items[place]'} CREATE (u)-[:RECOMMENDS {PROPERTIES % ('place + 1', 'scores[place]')}]->(m)"
        )

        def way(query: str, pack: Callable[[slice], dict], n: int, sessions: int = 1):
            return n * K, lambda: _run(lambda r: self.connection.write(query, **pack(r)), n, BATCH_USERS, sessions)

        few, n = self.size.users // 4, self.size.users
        ways = {
            "one map an edge, CREATE": way(create, self._maps, few),
            "one map an edge, MERGE": way(merge + "r.score = row.score", self._maps, few),
            "one list a user, CREATE": way(packed, self._lists, n),
            "one list a user, CREATE, two sessions": way(packed, self._lists, n, 2),
        }
        self.compare("edges", ways, self._remove_edges)
        self._remove_edges()
        self._publish_lists()

    def _maps(self, rows: slice) -> dict:
        return {
            "rows": [
                {"user": user, "item": item, "rank": rank + 1, "score": score}
                for user, packed in zip(range(rows.start, rows.stop), self._pairs(rows), strict=True)
                for rank, (item, score) in enumerate(packed)
            ]
        }

    def _pairs(self, rows: slice) -> Iterator[Iterator[tuple[int, float]]]:
        each = zip(self.items[rows].tolist(), self.scores[rows].tolist(), strict=True)
        return (zip(items, scores, strict=True) for items, scores in each)

    def _lists(self, rows: slice) -> dict:
        users = list(range(rows.start, rows.stop))
        return {"users": users, "items": self.items[rows].tolist(), "scores": self.scores[rows].tolist()}

    def _publish_lists(self) -> None:
        users, films = np.arange(self.size.users).astype(object), np.arange(NODES["Movie"]).astype(object)
        seconds: dict[str, list[float]] = {"first": [], "replace": [], "again": []}
        for turn in range(self.size.rounds):
            self._remove_edges()
            for kind, items in (("first", self.items), ("replace", self.items[::-1]), ("again", self.items[::-1])):
                lists = TopLists("User", "Movie", users, films, items, self.scores)
                run = f"run-{turn}-{'first' if kind == 'first' else 'second'}"
                report = publish(self.connection, SCHEMA, Publication("bench", run, [], lists), progress=False)
                seconds[kind].append(report.seconds["lists"])
        n = self.size.users * K
        self.add("edges", "kgplug publish, first time", n, statistics.median(seconds["first"]))
        self.add("edges", "kgplug publish, replacing lists of another run", n, statistics.median(seconds["replace"]))
        self.add("edges", "kgplug publish, the same run again (all compared)", n, statistics.median(seconds["again"]))

    def _element_ids(self, label: str) -> list[str]:
        return [row["id"] for row in self.connection.rows(f"MATCH (n:{label}) RETURN elementId(n) AS id ORDER BY n.id")]

    def _remove_edges(self) -> None:
        self._remove("MATCH ()-[r:RECOMMENDS]->()", "r", "DELETE r")

    def _remove(self, match: str, variable: str, change: str) -> None:
        self.connection.autocommit(f"{match} CALL ({variable}) {{ {change} }} IN TRANSACTIONS OF 20000 ROWS")


def _run(work: Callable[[slice], object], n: int, batch: int, sessions: int) -> None:
    batches = [slice(start, min(start + batch, n)) for start in range(0, n, batch)]
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(work, batches))


def verdicts(bench: Bench) -> dict[str, dict]:
    """Compare with the goals.

    These are: triples 10 times as fast as into a DataFrame, a pattern half as fast as the bare query that streams ids,
    8,000 vectors/s, 4,000 edges/s.
    """
    times = bench.rate("read", "kgplug read_knowledge, with keys") / bench.rate("read", "execute_query, DataFrame")
    pattern = bench.rate("pattern", "kgplug read_interactions, with keys, merged")
    figures = {
        "read_interactions of a two-hop pattern, times the bare query": (
            pattern / bench.rate("pattern", "streamed ids"),
            0.5,
        ),
        "read_knowledge, times execute_query → DataFrame": (times, 10),
        "vectors a second, publish": (bench.rate("vectors", "kgplug publish"), 8000),
        "edges a second, publish, first time": (bench.rate("edges", "kgplug publish, first time"), 4000),
        "edges a second, publish, replacing": (
            bench.rate("edges", "kgplug publish, replacing lists of another run"),
            4000,
        ),
    }
    return {name: {"measured": value, "goal": goal, "met": value >= goal} for name, (value, goal) in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less data, one turn per way")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server's folder is removed also after SIGTERM
    with own_server() as connection:
        bench = Bench(connection, QUICK if arguments.quick else FULL)
        packing = "Rust" if find_spec("neo4j._rust") else "pure Python"
        machine = (
            f"Neo4j {connection.server_version} {connection.edition}, driver {neo4j.__version__} ({packing}), "
            f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"
        )
        print(machine, flush=True)
        parts = (
            bench.build_graph, bench.read, bench.read_many_types, bench.read_pattern, bench.write_vectors,
            bench.write_lists,
        )  # fmt: skip
        for part in parts:
            part()
    result = verdicts(bench)
    for name, verdict in result.items():
        print(f"{name}: {verdict['measured']:,.1f}, goal {verdict['goal']:,}: {'met' if verdict['met'] else 'MISSED'}")
    if arguments.json:
        figures = [asdict(figure) for figure in bench.figures]
        arguments.json.write_text(json.dumps({"machine": machine, "figures": figures, "goals": result}, indent=1))


if __name__ == "__main__":
    main()
