"""Compare two kinds of pointer in the graph, a relationship and a number: which wrong values do readers see?

    python benchmarks/pointer.py              moves the pointers for a minute, with two readers who never stop
    python benchmarks/pointer.py --quick      for twenty seconds
    python benchmarks/pointer.py --json FILE  the results as JSON

A model's node points at one of two runs, by a relationship and by a number in a property. One transaction after another
moves both pointers. Two processes read both, 500 times per query. They count how often the relationship led to no run
or to two runs, and how often the number belonged to no run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import own_server
from pydantic import SecretStr

from kgplug.graph.bolt.connection import Connection

READINGS = 500
MAKE = """
CREATE (model:PointerModel {serves: 1}), (one:PointerRun {number: 1}), (:PointerRun {number: 2})
CREATE (model)-[:SERVES]->(one)
"""
FLIP = """
MATCH (model:PointerModel) SET model.serves = 3 - model.serves
WITH model MATCH (model)-[pointer:SERVES]->() DELETE pointer
WITH model MATCH (run:PointerRun {number: model.serves}) CREATE (model)-[:SERVES]->(run)
"""
READ = f"""
UNWIND range(1, {READINGS}) AS reading
CALL (reading) {{
    MATCH (model:PointerModel) OPTIONAL MATCH (model)-[:SERVES]->(run:PointerRun)
    RETURN count(run) AS n, model.serves AS number
}}
RETURN sum(CASE WHEN n = 0 THEN 1 ELSE 0 END) AS none, sum(CASE WHEN n > 1 THEN 1 ELSE 0 END) AS two,
       sum(CASE WHEN number IN [1, 2] THEN 0 ELSE 1 END) AS wrong_number
"""
ODD = ("none", "two", "wrong_number")


def read_on(uri: str, username: str, password: str, stop: Event, found: multiprocessing.Queue) -> None:
    """Read both pointers until `stop` is set, and put the counts into `found`. A process of its own runs this."""
    counts = dict.fromkeys(("readings", *ODD), 0)
    with Connection.open(uri, username=username, password=SecretStr(password)) as connection:
        while not stop.is_set():
            (row,) = connection.rows(READ)
            counts = {name: n + row.get(name, READINGS) for name, n in counts.items()}
    found.put(counts)


def measure(seconds: float) -> dict[str, int]:
    """Move the pointers for some seconds while two processes read. Return the numbers of moves and readings by kind."""
    context = multiprocessing.get_context("spawn")
    stop, found = context.Event(), context.Queue()
    with own_server.own_neo4j() as server:
        endpoint = server.endpoint()
        account = {"username": endpoint.username, "password": endpoint.password}
        with Connection.open(endpoint.uri, **account) as connection:
            connection.write(MAKE)
            secret = endpoint.password.get_secret_value()
            readers = [
                context.Process(target=read_on, args=(endpoint.uri, endpoint.username, secret, stop, found))
                for _ in range(2)
            ]
            for reader in readers:
                reader.start()
            began, flips = time.monotonic(), 0
            while time.monotonic() - began < seconds:
                connection.write(FLIP)
                flips += 1
            stop.set()
            counts = [found.get() for _ in readers]
            for reader in readers:
                reader.join()
    return {"flips": flips, **{name: sum(one[name] for one in counts) for name in counts[0]}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="twenty seconds instead of sixty")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    arguments = parser.parse_args()
    counts = measure(20 if arguments.quick else 60)
    counts["load"] = round(os.getloadavg()[0], 1)
    print(f"{counts['flips']:,} flips, {counts['readings']:,} readings of each pointer, load {counts['load']}")
    print(f"relationship: {counts['none']:,} found no run, {counts['two']:,} found two")
    print(f"number:       {counts['wrong_number']:,} found neither run's")
    if arguments.json:
        arguments.json.write_text(json.dumps(counts, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
