"""Look up the installed packages in a list of known vulnerabilities on disk: `make audit ADVISORIES=FOLDER`.

FOLDER is a clone of https://github.com/pypa/advisory-database (OSV records in YAML), for machines that reach no
service. pip-audit asks and reports as ever; what answers it is this process, on the loopback interface.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version


def read_advisories(folder: Path) -> dict[str, list[dict]]:
    """Return package → its records."""
    advisories: dict[str, list[dict]] = defaultdict(list)
    for path in sorted(folder.glob("vulns/*/*.yaml")):
        with path.open("rb") as file:  # BaseLoader: a version 1.10 and a date stay text
            record = yaml.load(file, yaml.CBaseLoader)  # noqa: S506 (it builds text only)
        advisories[canonicalize_name(path.parent.name)].append(record)
    if not advisories:
        raise SystemExit(f"{folder} holds no vulns/PACKAGE/*.yaml. Give a clone of the PyPA's advisory-database.")
    return advisories


def concerns(record: dict, name: str, version: str) -> bool:
    """Tell whether a record says that this version of a package is vulnerable (OSV's evaluation of ranges)."""
    for affected in record["affected"]:
        if canonicalize_name(affected["package"]["name"]) == name:
            ranges = [part["events"] for part in affected.get("ranges", ()) if part["type"] == "ECOSYSTEM"]
            if version in affected.get("versions", ()) or any(_within(events, Version(version)) for events in ranges):
                return True
    return False


def _within(events: list[dict], version: Version) -> bool:
    bounds = sorted((Version(text), kind) for event in events for kind, text in event.items())
    inside = False
    for bound, kind in bounds:
        if version >= bound and (kind != "last_affected" or version > bound):
            inside = kind == "introduced"
    return inside


def serve(advisories: dict[str, list[dict]]) -> ThreadingHTTPServer:
    """Answer OSV's `/v1/query` from these records, on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = canonicalize_name(asked["package"]["name"])
            found = [record for record in advisories.get(name, ()) if concerns(record, name, asked["version"])]
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("advisories", type=Path, help="clone of the PyPA's advisory-database")
    parser.add_argument("requirements", type=Path, help="packages as name==version, one a line")
    arguments = parser.parse_args()
    advisories = read_advisories(arguments.advisories)
    records = [record for of_package in advisories.values() for record in of_package]
    newest = max(record["modified"] for record in records)
    print(f"{len(records):,} records about {len(advisories):,} packages, the newest of {newest[:10]}", flush=True)  # noqa: T201
    server = serve(advisories)
    address = f"http://127.0.0.1:{server.server_port}/v1/query"
    options = ["--strict", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    command = [sys.executable, "-m", "pip_audit", *options, "--vulnerability-service", "osv", "--osv-url", address]
    return subprocess.run([*command, "--requirement", str(arguments.requirements)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
