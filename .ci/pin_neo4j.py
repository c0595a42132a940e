"""Make the pinned jar list of the managed local Neo4j anew: `python .ci/pin_neo4j.py 5.26.30`.

Maven (a `mvn` on PATH) resolves the server's class path into a fresh folder; every jar then goes into
`kgplug/graph/server/neo4j-VERSION.jars.txt` with its sha256 and size. Users never run this, and need no Maven.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

SERVER = Path(__file__).parents[1] / "kgplug" / "graph" / "server"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>kgplug</groupId><artifactId>pin</artifactId><version>1</version><dependencies><dependency>
<groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version>
</dependency></dependencies></project>"""


def class_path(version: str, folder: Path) -> list[Path]:
    """Return the jars of a Neo4j server in class path order, downloaded into `folder`/m2."""
    (folder / "pom.xml").write_text(POM.format(version=version), encoding="utf-8")
    out = folder / "class_path.txt"
    goal = ["mvn", "-q", "-B", "dependency:build-classpath", "-DincludeScope=runtime"]
    subprocess.run([*goal, f"-Dmdep.outputFile={out}", f"-Dmaven.repo.local={folder / 'm2'}"], cwd=folder, check=True)
    return [Path(jar) for jar in out.read_text(encoding="utf-8").strip().split(":")]


def pin(jar: Path, repository: Path) -> str:
    """Return the line of one jar: sha256, bytes, group:artifact:version[:classifier]."""
    *group, artifact, version, name = jar.relative_to(repository).parts
    classifier = name.removesuffix(".jar").removeprefix(f"{artifact}-{version}").lstrip("-")
    coordinates = ":".join([".".join(group), artifact, version, *([classifier] if classifier else [])])
    return f"{hashlib.sha256(jar.read_bytes()).hexdigest()} {jar.stat().st_size} {coordinates}"


def main() -> None:
    """Write the list for the version on the command line."""
    version = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        jars = class_path(version, Path(folder))
        lines = [pin(jar, Path(folder) / "m2") for jar in jars]
    head = [f"# Class path of Neo4j Community {version}, made by .ci/pin_neo4j.py: sha256, bytes, coordinates."]
    (SERVER / f"neo4j-{version}.jars.txt").write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
