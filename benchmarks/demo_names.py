"""Make the table of names for the demo's nodes, of which the data have only Freebase ids.

    python benchmarks/demo_names.py FOLDER                  write kgplug/data/sources/movielens_100k_names.csv
    python benchmarks/demo_names.py FOLDER --sample 100     also print 100 of the people, drawn by --seed, with films
    python benchmarks/demo_names.py FOLDER --known FILE     also compare with a file of lines "/m/0abc<tab>Name"
    python benchmarks/demo_names.py FOLDER --quick          match only every fourth film, and write no table
    python benchmarks/demo_names.py FOLDER --json FILE      the counts as JSON

FOLDER has movies.csv, from the folder movies of https://github.com/tomasonjo/blog-datasets (see movies.py): title, date
of release, directors and up to four leading actors of each film. A name of a person or of a country is a fact. No
other text is taken.

People. Films are matched by the id of later MovieLens releases, and must agree in title and year. A name and an id
belong together in a role (actor, director) if the id is connected to all films with that name, no other id is, and the
name is the only one that fits the id. The name must have two films or more, or else its film must have one name and one
id in this role: the only director. A name or id that fits differently in its two roles is left out.

Genres. An id is a genre of MovieLens if both have nearly the same films: the shared films, divided by the films of
either, are at least .2 and at least 1.4 times as many as for any other id, and the same holds for the genre.

Countries, languages, content ratings, awards, companies and subjects. The data have no names of these.
`demo_names_films.toml` lists, from general knowledge, films with that country, award and so on. An id gets the name if
it is the only one that is connected to all of these films. The other nodes of these labels, and all of OtherFilm, have
no name.

Check: 100 people, drawn with --seed 0, were compared by hand with the films that each is connected to. None of the
names was wrong (0 of 100, so the error rate is below 3 % with 95 % confidence). Also, 852 of the 1,656 ids are in
FB15k_mid2name.txt, the list of names that comes with FB15k, a data set of Freebase facts. All have the same name there,
apart from spelling ("Sci-Fi", "Science Fiction").
"""

from __future__ import annotations

import argparse
import random
import re
import tomllib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import pandas as pd
from machine import report
from movies import _table

from kgplug.data.sources import movielens_100k
from kgplug.data.sources._movielens_tables import MovieLens
from kgplug.settings import Settings

TABLE = Path(__file__).parents[1] / "kgplug" / "data" / "sources" / "movielens_100k_names.csv"
FILMS = Path(__file__).with_name("demo_names_films.toml")
ROLES = {"ACTED_IN": "actors", "DIRECTED": "director"}  # relationship type → column of movies.csv
TYPES = {
    "Country": "FROM_COUNTRY",
    "Language": "IN_LANGUAGE",
    "ContentRating": "HAS_CONTENT_RATING",
    "Award": "WON",
    "ProductionCompany": "MADE_BY",
    "Subject": "ABOUT",
}
MOST_YEARS = 3  # between a film's year in MovieLens and its release in movies.csv
LEAST_OVERLAP, LEAST_MARGIN = 0.2, 1.4

Films = dict[str, set[int]]  # name or id → films, as numbers of MovieLens-100K


@dataclass(frozen=True)
class Count:
    """How many of a label's nodes have a name.

    Attributes:
        label: The label.
        nodes: Number of nodes.
        named: Number of nodes with a name.
        facts: Number of relationships to films of MovieLens.
        named_facts: How many of these relationships belong to a node with a name.
    """

    label: str
    nodes: int
    named: int
    facts: int
    named_facts: int


def named_films(data: MovieLens, folder: Path) -> pd.DataFrame:
    """Return the rows of movies.csv that are films of the demo, indexed by the film's number.

    If MovieLens lists a film twice, only the first is returned. Rows with another title or year are left out.
    """
    films = data.nodes["Movie"].dropna(subset="freebase").drop_duplicates("freebase")
    with resources.files("kgplug.data.sources").joinpath("movielens_100k_ids.csv").open(encoding="utf-8") as file:
        release = pd.read_csv(file).astype({"release_id": str})
    films = films.merge(release, left_on="id:int", right_on="item")
    films = films.merge(_table(folder, "movies"), left_on="release_id", right_on="movieId", suffixes=("", "_here"))
    years = pd.to_numeric(films["released"].str[:4], errors="coerce") - films["year:int"].astype(float)
    agree = pd.Series(
        [bool(_words(one) & _words(other)) for one, other in zip(films["title"], films["title_here"], strict=True)]
    )
    return films[agree & ~(years.abs() > MOST_YEARS)].set_index("id:int")


def _words(title: str) -> set[str]:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return set(re.findall(r"[a-z0-9]+", plain)) - {"the", "a", "of", "and"}


def people(data: MovieLens, films: pd.DataFrame) -> dict[str, str]:
    """Return id → name of the people that can be matched without doubt."""
    found: dict[str, set[str]] = defaultdict(set)
    ids_of: dict[str, set[str]] = defaultdict(set)
    for type_, column in ROLES.items():
        facts = data.relationships["Person", type_, "Movie"]
        by_id = _grouped(facts.iloc[:, 0], facts.iloc[:, 1], within=set(films.index))
        names = films[column].str.split("|").explode().str.strip()
        by_name = _grouped(names[names != ""], names[names != ""].index, within=set(facts.iloc[:, 1]))
        for id_, name in _unambiguous(by_id, by_name).items():
            found[id_].add(name)
            ids_of[name].add(id_)
    return {
        id_: next(iter(names))
        for id_, names in found.items()
        if len(names) == 1 and all(len(ids_of[name]) == 1 for name in names)
    }


def _grouped(keys: pd.Series, films: pd.Series | pd.Index, *, within: set[int]) -> Films:
    groups: Films = defaultdict(set)
    for key, film in zip(keys, films, strict=True):
        if film in within:
            groups[key].add(film)
    return groups


def _unambiguous(by_id: Films, by_name: Films) -> dict[str, str]:
    """Return id → name where the name's films fit exactly one id, and no other name's films fit this id."""
    ids, names = _turned(by_id), _turned(by_name)
    fitting: dict[str, list[str]] = defaultdict(list)
    for name, films in by_name.items():
        fit = set.intersection(*(ids[film] for film in films))
        alone = all(len(ids[film]) == len(names[film]) == 1 for film in films)
        if len(fit) == 1 and (len(films) > 1 or alone):
            fitting[fit.pop()].append(name)
    return {id_: found[0] for id_, found in fitting.items() if len(found) == 1}


def _turned(films: Films) -> dict[int, set[str]]:
    turned: dict[int, set[str]] = defaultdict(set)
    for key, of_key in films.items():
        for film in of_key:
            turned[film].add(key)
    return turned


def genres(data: MovieLens) -> dict[str, str]:
    """Return id → name of Freebase's genres that have nearly the same films as a genre of MovieLens."""
    facts = data.relationships["Movie", "IN_FREEBASE_GENRE", "FreebaseGenre"]
    own = data.relationships["Movie", "IN_GENRE", "Genre"]
    by_id = _grouped(facts.iloc[:, 1], facts.iloc[:, 0], within=set(own.iloc[:, 0]))
    by_name = _grouped(own.iloc[:, 1], own.iloc[:, 0], within=set(facts.iloc[:, 0]))
    overlap = pd.DataFrame(
        {
            name: {id_: len(films & its) / len(films | its) for id_, its in by_id.items()}
            for name, films in by_name.items()
        }
    )
    found = {}
    for name in overlap:
        id_ = str(overlap[name].idxmax())
        others = max(overlap[name].drop(id_).max(), overlap.loc[id_].drop(name).max())
        if overlap.loc[id_, name] >= max(LEAST_OVERLAP, LEAST_MARGIN * others):
            found[id_] = str(name)
    return found


def by_known_films(data: MovieLens) -> dict[str, str]:
    """Return id → name of what `demo_names_films.toml` lists. Print the names that no id or several ids fit."""
    titles = data.nodes["Movie"].groupby("title")["id:int"].agg(set).to_dict()
    found: dict[str, str] = {}
    for label, names in tomllib.loads(FILMS.read_text(encoding="utf-8")).items():
        facts = data.relationships["Movie", TYPES[label], label]
        ids = _turned(_grouped(facts.iloc[:, 1], facts.iloc[:, 0], within=set(facts.iloc[:, 0])))
        for name, films in names.items():
            fit = set.intersection(*(set().union(*(ids[film] for film in titles[title])) for title in films))
            if len(fit) == 1 and (id_ := fit.pop()) not in found:
                found[id_] = name
            else:
                print(f"{label} {name}: {len(fit)} ids fit. Not named.")
    return found


def count(data: MovieLens, names: Mapping[str, str]) -> list[Count]:
    """Return the counts of each label whose nodes have only an id."""
    ends: Counter[str] = Counter()
    for (head, _, tail), frame in data.relationships.items():
        if "Movie" in (head, tail):
            ends.update(frame.iloc[:, 0] if tail == "Movie" else frame.iloc[:, 1])
    rows = []
    for label, frame in data.nodes.items():
        if frame.columns[0] == "id":
            named = frame["id"][frame["id"].isin(names)]
            facts, named_facts = (sum(ends[id_] for id_ in ids) for ids in (frame["id"], named))
            rows.append(Count(label, len(frame), len(named), facts, named_facts))
    return rows


def print_sample(data: MovieLens, names: Mapping[str, str], size: int, seed: int) -> None:
    """Print some of the named people with the films of each, by role."""
    titles = dict(zip(data.nodes["Movie"]["id:int"], data.nodes["Movie"]["title"], strict=True))
    drawn = random.Random(seed).sample(sorted(set(names) & set(data.nodes["Person"]["id"])), size)
    for number, id_ in enumerate(drawn, 1):
        print(f"{number:3} {names[id_]} ({id_})")
        for (head, type_, tail), frame in data.relationships.items():
            if (head, tail) == ("Person", "Movie"):
                films = [titles[film] for film in frame[frame.iloc[:, 0] == id_].iloc[:, 1]]
                if films:
                    print(f"      {type_}: {'; '.join(films)}")


def print_comparison(names: Mapping[str, str], file: Path) -> None:
    """Compare the names with those of a file, and print the pairs that have no word in common."""
    lines = (line.split("\t") for line in file.read_text(encoding="utf-8").splitlines())
    known = {id_.strip("/").replace("/", "."): name.replace("_", " ") for id_, name in lines}
    both = sorted(names.keys() & known.keys())
    differ = [f"{id_} {names[id_]}: {known[id_]}" for id_ in both if not _words(names[id_]) & _words(known[id_])]
    print(f"{len(both):,} of {len(names):,} names are also in {file.name}; {len(differ)} have no word in common.")
    print(*differ, sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the folder with movies.csv")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="print N people to check by hand")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--known", type=Path, metavar="FILE", help="compare with the names in this file")
    parser.add_argument("--quick", action="store_true", help="match only every fourth film, and write no table")
    parser.add_argument("--json", type=Path, help="also write the counts to this file")
    arguments = parser.parse_args()
    movielens_100k.fetch(Settings().downloads_dir)
    data = movielens_100k._tables(Settings().downloads_dir / movielens_100k.WHEEL.file_name)
    films = named_films(data, arguments.folder)
    names = people(data, films[::4] if arguments.quick else films) | genres(data) | by_known_films(data)
    rows = count(data, names)
    print(f"{len(films):,} films of the demo are in movies.csv.")
    print(pd.DataFrame(map(asdict, rows)).to_string(index=False))
    if not arguments.quick:
        table = pd.DataFrame(sorted(names.items()), columns=["id", "name"])
        table.to_csv(TABLE, index=False, lineterminator="\n")
        print(f"{len(table):,} names written to {TABLE.name}, {TABLE.stat().st_size:,} bytes.")
    print_sample(data, names, arguments.sample, arguments.seed)
    if arguments.known:
        print_comparison(names, arguments.known)
    report([asdict(row) for row in rows], arguments.json)


if __name__ == "__main__":
    main()
