"""MovieLens-100K with its Freebase knowledge graph, as pip can fetch it: download, correct, write as CSV folder.

The data travel inside the wheel of RecBole 1.2.1 (recbole/dataset_example/ml-100k). Its link file names films by
the ids of the later MovieLens releases (ML-1M, ML-20M), not by those of ML-100K, so read as it stands it gives
nearly every film another film's cast. `movielens_100k_ids.csv`, matched by title and year, says which is which.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.data.sources.csv_folder import write_folder
from kgplug.data.sources.movielens import MovieLens, read_movielens
from kgplug.data.values.keys import factorize
from kgplug.errors import DataError
from kgplug.progress import bar as progress_bar
from kgplug.settings import child_environment
from kgplug.strict_json import dumps

TERMS = (
    "MovieLens-100K: for research and non-commercial use; acknowledge Harper and Konstan, The MovieLens Datasets, "
    "ACM TiiS 2015. Freebase facts: Google, Creative Commons Attribution (CC BY). Both as packed in RecBole 1.2.1."
)
WHEEL = "recbole-1.2.1-py3-none-any.whl"
WHEEL_SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
LIKE_THRESHOLD = 4.0  # a rating of 4 or 5 stars counts as a like, as in the KGCN and MKR papers

_REQUIREMENT = f"recbole==1.2.1 --hash=sha256:{WHEEL_SHA256}\n"
_FOLDER = "movielens-100k"
_MANIFEST = "manifest.json"
_LAYOUT = 1  # raise it when the folder's content changes, so that older ones are written anew


def fetch_movielens_100k(downloads_dir: Path, *, progress: bool | None = None) -> Path:
    """Return the folder, in the layout of docs/import.md, of MovieLens-100K with its knowledge graph.

    Downloads the wheel once (2 MB) and checks its hash on every use; writes the folder once and
    checks it on every use. An interrupted call leaves nothing half-made under a final name.

    Args:
        downloads_dir: where both are kept.
        progress: whether to show a bar; None shows it on a terminal only.

    Raises:
        DataError: the wheel cannot be downloaded.
    """
    with progress_bar(2, what="MovieLens-100K", unit="steps", progress=progress, in_notebooks=True) as bar:
        wheel = _wheel(downloads_dir)
        bar.update()
        folder = downloads_dir / _FOLDER
        if not _is_whole(folder):
            _write(read_movielens(zipfile.ZipFile(wheel)), folder)
        bar.update()
    return folder


def movielens_100k(downloads_dir: Path) -> tuple[Interactions, KnowledgeGraph]:
    """Return the ratings and triples of the same data without a database; keys and labels as in the graph.

    Args:
        downloads_dir: where the download is kept.

    Returns:
        Interactions: 943 users (int keys), 1,682 films (int keys), a like from 4 stars on; their titles as texts.
        KnowledgeGraph: a film's entity has the label "Movie" and the film's own id as key.
    """
    data = read_movielens(zipfile.ZipFile(_wheel(downloads_dir)))
    ratings = data.relationships["User", "RATED", "Movie"]
    _, user_keys = factorize(data.nodes["User"]["id:int"].to_numpy(dtype=object))
    _, item_keys = factorize(data.nodes["Movie"]["id:int"].to_numpy(dtype=object))
    interactions = Interactions.from_arrays(
        user_keys,
        item_keys,
        pd.Index(user_keys).get_indexer(pd.Index(ratings["user:int"])),
        pd.Index(item_keys).get_indexer(pd.Index(ratings["movie:int"])),
        ratings=ratings["rating:float"].to_numpy(dtype=np.float32),
        timestamps=ratings["timestamp:int"].to_numpy(dtype=np.int64),
        like_threshold=LIKE_THRESHOLD,
        user_label="User",
        item_label="Movie",
    )
    films = data.nodes["Movie"]
    titles = dict(zip(films["id:int"], films["title"].fillna("").astype(str), strict=True))
    return interactions.with_texts(titles), _knowledge(data)


def _knowledge(data: MovieLens) -> KnowledgeGraph:
    """Number all nodes but the users and put every relationship among them into one array of triples."""
    nodes = {label: pd.Index(frame.iloc[:, 0], dtype=object) for label, frame in data.nodes.items() if label != "User"}
    first = dict(zip(nodes, np.cumsum([0, *map(len, nodes.values())]), strict=False))  # row of a label's first node
    types = sorted({type_ for _, type_, _ in data.relationships} - {"RATED"})
    triples = []
    for (head, type_, tail), frame in data.relationships.items():
        if type_ == "RATED":
            continue
        ends = [
            first[label] + nodes[label].get_indexer(pd.Index(frame.iloc[:, column], dtype=object))
            for column, label in enumerate((head, tail))
        ]
        triples.append(np.column_stack([ends[0], np.full(len(frame), types.index(type_)), ends[1]]))  # (n, 3)
    return KnowledgeGraph.from_arrays(
        np.concatenate([index.to_numpy(dtype=object) for index in nodes.values()]),
        np.repeat(np.array(list(nodes), dtype=object), [len(index) for index in nodes.values()]),
        np.array(types, dtype=object),
        np.concatenate(triples),
    )


def _wheel(downloads_dir: Path) -> Path:
    """Return the wheel with the right hash, downloading it where that is not there."""
    wheel = downloads_dir / WHEEL
    if wheel.is_file() and _sha256(wheel) == WHEEL_SHA256:
        return wheel
    downloads_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads_dir, prefix=".download-") as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(_REQUIREMENT, encoding="utf-8")
        _pip_download(requirements, Path(folder))
        fetched = Path(folder, WHEEL)
        if not fetched.is_file() or _sha256(fetched) != WHEEL_SHA256:
            raise DataError(f"pip brought another file than the expected {WHEEL} (sha256 {WHEEL_SHA256[:12]}…).")
        fetched.replace(wheel)
    return wheel


def _pip_download(requirements: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--retries", "2", "--timeout", "20", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=child_environment()
    )
    if done.returncode == 0:
        return
    said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.strip()] or ["no message"]
    if any("DO NOT MATCH" in line for line in said):
        raise DataError(
            f"The downloaded {WHEEL} is not the file kgplug knows: its sha256 differs. It was thrown away; "
            "check which package index pip uses."
        )
    raise DataError(
        f"MovieLens-100K could not be downloaded through pip ({said[-1]}). "
        "Check the network, then run the command again."
    )


def _write(data: MovieLens, folder: Path) -> None:
    """Write the CSV folder beside its place, then move it there."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as parent:
        fresh = Path(parent, folder.name)
        write_folder(fresh, nodes=data.nodes, relationships=data.relationships)
        (fresh / "TERMS.txt").write_text(TERMS + "\n", encoding="utf-8")
        hashes = {str(path.relative_to(fresh)): _sha256(path) for path in sorted(fresh.rglob("*.*"))}
        manifest = {"layout": _LAYOUT, "wheel": WHEEL_SHA256, "files": hashes}
        (fresh / _MANIFEST).write_text(dumps(manifest, indent=1), encoding="utf-8")
        if folder.exists():
            folder.replace(Path(parent, "old"))
        fresh.replace(folder)


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds exactly the files it was written with."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        hashes = {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*.*"))}
    except (OSError, ValueError):
        return False
    hashes.pop(_MANIFEST, None)
    return manifest == {"layout": _LAYOUT, "wheel": WHEEL_SHA256, "files": hashes}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
