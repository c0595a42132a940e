"""Precision and recall of `kgplug link` between two lists of films: MovieLens-100K and MovieLens small.

    python benchmarks/linking.py FOLDER             FOLDER has movies.csv or movies.csv.xz, as movies.py describes
    python benchmarks/linking.py FOLDER --quick     the first 400 films only
    python benchmarks/linking.py FOLDER --json FILE

The two lists have different ids, spell titles differently ("Matrix, The"), and give other years for one film in five. A
pair counts as right if the two have a spelling in common and at most three years lie between them, or if it is among
those below, which were found by reading all films that remained without a pair. Films that are twice in a list count
once.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

from kgplug.data.linking.names import nearest_names, spellings
from kgplug.data.linking.propose import Source, propose
from kgplug.data.sources import movielens_100k
from kgplug.settings import Settings

QUICK, YEARS_APART = 400, 3
ALSO = {  # title in MovieLens-100K → id in MovieLens small
    "The Empire Strikes Back": 1196, "Return of the Jedi": 1210, "The Wrong Trousers": 1148, "A Close Shave": 745,
    "A Grand Day Out": 1223, "Il Postino": 58, "The Professional": 293, "Star Trek: The Wrath of Khan": 1374,
    "Children of the Corn: The Gathering": 1105, "Interview with the Vampire": 253, "Alien 3": 1320,
    "U.S. Marshalls": 1792, "The Underneath": 335, "Robert A. Heinlein's The Puppet Masters": 512,
    "3 Ninjas: High Noon At Mega Mountain": 1739, "William Shakespeare's Romeo and Juliet": 1059,
    "The Transformers: The Movie": 4006,
}  # fmt: skip
NOT = ("unknown",)  # a placeholder in MovieLens-100K, not a film


def sources(folder: Path, n: int | None) -> tuple[Source, Source]:
    """Return the films of both lists."""
    films = pd.read_csv(movielens_100k.fetch(Settings().downloads_dir, progress=False) / "nodes" / "Movie.csv")
    films = films.head(n) if n else films
    path = next(path for path in (folder / "movies.csv", folder / "movies.csv.xz") if path.exists())
    others = pd.read_csv(path)
    released = pd.to_datetime(others["released"], errors="coerce").dt.year
    return (
        Source(*(films[name].to_numpy(object) for name in ("id:int", "title")), films["year:int"].to_numpy(float)),
        Source(*(others[name].to_numpy(object) for name in ("movieId", "title")), released.to_numpy(float)),
    )


def right_pairs(left: Source, right: Source) -> set[tuple[object, object]]:
    """Return the pairs of keys that are right."""
    a, b, _ = nearest_names([str(name) for name in left.names], [str(name) for name in right.names], 10)
    apart = np.abs(left.known_years[a] - right.known_years[b])
    found = {
        (left.keys[i], right.keys[j])
        for i, j in zip(a[apart <= YEARS_APART], b[apart <= YEARS_APART], strict=True)
        if set(spellings(str(left.names[i]))) & set(spellings(str(right.names[j])))
    }
    by_title = {str(name): key for key, name in zip(left.keys, left.names, strict=True) if name not in NOT}
    return found | {(by_title[title], key) for title, key in ALSO.items() if title in by_title}


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help=f"the first {QUICK} films of MovieLens-100K")
    parser.add_argument("--json", type=Path, help="write the result to this file")
    arguments = parser.parse_args()
    left, right = sources(arguments.folder, QUICK if arguments.quick else None)
    truth, began = right_pairs(left, right), time.perf_counter()
    links = propose(left, right)
    seconds = time.perf_counter() - began
    proposed = list(zip(left.keys[links.left], right.keys[links.right], links.verdicts, strict=True))
    have_one = {key for key, _ in truth}
    rows = []
    for verdicts in (("same",), ("same", "doubtful")):
        pairs = [(a, b) for a, b, verdict in proposed if verdict in verdicts]
        hits = sum(pair in truth for pair in pairs)
        rows.append({
            "verdicts": " or ".join(verdicts), "pairs": len(pairs), "precision": round(hits / len(pairs), 4),
            "recall": round(hits / len(have_one), 4),
        })  # fmt: skip
    print(f"{len(left):,} and {len(right):,} films; {len(have_one):,} of the first are in the second. {seconds:.1f} s.")
    print(pd.DataFrame(rows).to_string(index=False))
    wrong = [(a, b) for a, b, verdict in proposed if verdict == "same" and (a, b) not in truth]
    print("Wrong pairs of the verdict same:", wrong or "none")
    if arguments.json:
        arguments.json.write_text(json.dumps({"films": len(have_one), "seconds": seconds, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
