"""Turn the MovieLens-100K files of the RecBole wheel into nodes and relationships with readable names.

Freebase states most facts twice, once from each end; here each fact is stored once.

A Freebase id becomes one node, which may have several labels: a person who acts and directs is
(:Person:Actor:Director). A film of MovieLens is in the file of the label Movie. Any other node is in the file of one of
its labels, such as Person or Subject; if several are possible, the alphabetically first one. The column :LABEL of the
file has the node's other labels. The column name has the names of `movielens_100k_names.csv`, which
`benchmarks/demo_names.py` makes.
"""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false
# pyright: reportGeneralTypeIssues=false
# (pandas' type stubs do not cover selecting columns and mapping through a dict)
from __future__ import annotations

import csv
import re
import zipfile
from dataclasses import dataclass
from importlib import resources

import pandas as pd

_MEMBERS = "recbole/dataset_example/ml-100k/ml-100k"
_FILM = "film"
_KEY_COLUMNS = {"Movie": "movie:int", "User": "user:int"}

_ENDS = {  # relationship type: (kind of its start, kind of its end); a person's kind includes the role
    "ABOUT": (_FILM, "Subject"),
    "ACTED_IN": ("Person:Actor", _FILM),
    "DIRECTED": ("Person:Director", _FILM),
    "FILMED": ("Person:Cinematographer", _FILM),
    "FROM_COUNTRY": (_FILM, "Country"),
    "HAS_CONTENT_RATING": (_FILM, "ContentRating"),
    "IN_FREEBASE_GENRE": (_FILM, "FreebaseGenre"),
    "IN_LANGUAGE": (_FILM, "Language"),
    "MADE_BY": (_FILM, "ProductionCompany"),
    "NOMINATED_FOR": (_FILM, "Award"),
    "PRODUCED": ("Person:Producer", _FILM),
    "SEQUEL_OF": (_FILM, _FILM),
    "WON": (_FILM, "Award"),
    "WROTE": ("Person:Writer", _FILM),
}
LABELS = frozenset({"Movie", "OtherFilm", "User", "Genre"}).union(
    *(label.split(":") for ends in _ENDS.values() for label in ends if label != _FILM)
)
"""Every label that the data set's nodes have."""

_TYPES = {  # Freebase relation: (relationship type, whether the relation's head becomes the relationship's end)
    "film.actor.film": ("ACTED_IN", False),
    "film.cinematographer.film": ("FILMED", False),
    "film.content_rating.film": ("HAS_CONTENT_RATING", True),
    "film.director.film": ("DIRECTED", False),
    "film.film.actor": ("ACTED_IN", True),
    "film.film.award_nomination": ("NOMINATED_FOR", False),
    "film.film.award_won": ("WON", False),
    "film.film.cinematography": ("FILMED", True),
    "film.film.country": ("FROM_COUNTRY", False),
    "film.film.directed_by": ("DIRECTED", True),
    "film.film.genre": ("IN_FREEBASE_GENRE", False),
    "film.film.language": ("IN_LANGUAGE", False),
    "film.film.prequel": ("SEQUEL_OF", False),
    "film.film.produced_by": ("PRODUCED", True),
    "film.film.production_companies": ("MADE_BY", False),
    "film.film.rating": ("HAS_CONTENT_RATING", False),
    "film.film.sequel": ("SEQUEL_OF", True),
    "film.film.subjects": ("ABOUT", False),
    "film.film.written_by": ("WROTE", True),
    "film.film_genre.films_in_this_genre": ("IN_FREEBASE_GENRE", True),
    "film.film_subject.films": ("ABOUT", True),
    "film.producer.film": ("PRODUCED", False),
    "film.production_company.films": ("MADE_BY", True),
    "film.writer.film": ("WROTE", False),
}

_ARTICLES = "A|An|Das|Der|Det|Die|El|Il|L'|La|Le|Les|Los|O|The"
_TRAILING_ARTICLE = re.compile(rf"(?P<start>^|\()(?P<title>[^()]+), (?P<article>{_ARTICLES})(?= \(|\)|$)")


@dataclass(frozen=True)
class MovieLens:
    """The data set as one DataFrame per CSV file (see docs/import.md). Column names are the files' headers.

    Attributes:
        nodes: Node frames by label.
        relationships: Relationship frames by (head label, type, tail label).
    """

    nodes: dict[str, pd.DataFrame]
    relationships: dict[tuple[str, str, str], pd.DataFrame]


def read_movielens(wheel: zipfile.ZipFile) -> MovieLens:
    """Read the data set from the wheel and turn it into a graph as described at the top of this module."""
    films = _films(wheel)
    facts = _facts(wheel)
    kinds = _kinds(facts, set(films["freebase"].dropna()))
    nodes = {"User": _users(wheel), "Movie": films.drop(columns="genres"), **_entities(kinds)}
    relationships = {("User", "RATED", "Movie"): _ratings(wheel)}
    genres = films[["id:int", "genres"]].explode("genres").dropna()
    genres.columns = ["movie:int", "genre"]
    nodes["Genre"] = pd.DataFrame({"name": sorted(set(genres["genre"]))})
    relationships["Movie", "IN_GENRE", "Genre"] = genres
    relationships.update(_relationships(facts, films, kinds))
    return MovieLens(nodes, relationships)


def natural_title(title: str) -> str:
    """Move the article to the front: "Godfather, The" becomes "The Godfather", also inside brackets."""

    def turn(match: re.Match[str]) -> str:
        space = "" if match["article"].endswith("'") else " "
        return f"{match['start']}{match['article']}{space}{match['title']}"

    return _TRAILING_ARTICLE.sub(turn, title)


def _table(wheel: zipfile.ZipFile, ending: str) -> pd.DataFrame:
    """Read the wheel's tab-separated file with the file name extension `ending`, and return its cells as texts.

    RecBole's types are removed from the column names: "user_id:token" becomes "user_id".
    """
    with wheel.open(f"{_MEMBERS}.{ending}") as file:
        frame = pd.read_csv(file, sep="\t", dtype=str, keep_default_na=False, quoting=csv.QUOTE_NONE, encoding="utf-8")
    return frame.rename(columns=lambda name: name.split(":")[0])


def _users(wheel: zipfile.ZipFile) -> pd.DataFrame:
    frame = _table(wheel, "user").rename(columns={"user_id": "id:int", "age": "age:int"})
    return frame.astype({"id:int": int, "age:int": int}).sort_values("id:int", ignore_index=True)


def _ratings(wheel: zipfile.ZipFile) -> pd.DataFrame:
    frame = _table(wheel, "inter")
    frame.columns = ["user:int", "movie:int", "rating:float", "timestamp:int"]
    frame = frame.astype({"user:int": int, "movie:int": int, "rating:float": float, "timestamp:int": int})
    return frame.sort_values(["movie:int", "user:int"], ignore_index=True)


def _films(wheel: zipfile.ZipFile) -> pd.DataFrame:
    """Return one row per film: id:int, title, year:int, freebase (its Freebase id or missing), genres (a list)."""
    items = _table(wheel, "item")
    # The title of one film ends with its year in brackets: use that year, and remove it from the title.
    in_title = items["movie_title"].str.extract(r"^(?P<title>.*) \((?P<year>\d{4})\)$")
    years = pd.to_numeric(items["release_year"].where(in_title["year"].isna(), in_title["year"]), errors="coerce")
    titles = in_title["title"].fillna(items["movie_title"]).replace("unkonwn", "unknown")
    films = pd.DataFrame({"id:int": items["item_id"].astype(int), "title": titles.map(natural_title)})
    films["year:int"] = years.astype("Int64")
    films["freebase"] = films["id:int"].map(_freebase_ids(wheel))
    films["genres"] = [[name for name in cell.split(" ") if name not in ("", "unknown")] for cell in items["class"]]
    return films


def _freebase_ids(wheel: zipfile.ZipFile) -> dict[int, str]:
    """Return the Freebase ids of the films: ML-100K id → Freebase id.

    The wheel's link file has the ids of later MovieLens releases; `movielens_100k_ids.csv` maps ML-100K ids to these.
    """
    links = _table(wheel, "link")
    by_release_id = dict(zip(links["item_id"].astype(int), links["entity_id"], strict=True))
    ids = _package_table("movielens_100k_ids.csv")
    pairs = zip(ids["item"].tolist(), ids["release_id"].tolist(), strict=True)
    return {item: by_release_id[release_id] for item, release_id in pairs if release_id in by_release_id}


def _package_table(name: str) -> pd.DataFrame:
    """Return a table that is part of the package. Its cells are texts or whole numbers."""
    with resources.files("kgplug.data.sources").joinpath(name).open(encoding="utf-8") as file:
        return pd.read_csv(file, keep_default_na=False)


def _facts(wheel: zipfile.ZipFile) -> pd.DataFrame:
    """Return the Freebase triples, each once: columns start, type, end."""
    triples = _table(wheel, "kg")
    types = triples["relation_id"].map({name: type_ for name, (type_, _) in _TYPES.items()})
    turned = triples["relation_id"].map({name: turn for name, (_, turn) in _TYPES.items()}).astype(bool)
    facts = pd.DataFrame(
        {
            "start": triples["head_id"].where(~turned, triples["tail_id"]),
            "type": types,
            "end": triples["tail_id"].where(~turned, triples["head_id"]),
        }
    )
    return facts.drop_duplicates(ignore_index=True)


def _kinds(facts: pd.DataFrame, movies: set[str]) -> pd.DataFrame:
    """Return the labels of each Freebase id in the facts, as a frame indexed by id.

    Column `label` is the label in whose file the node is written; `more` holds the node's other labels, sorted.

    Args:
        facts: from `_facts`.
        movies: Freebase ids of MovieLens' films.
    """
    found = pd.concat(
        [
            pd.DataFrame({"id": facts[column], "kind": facts["type"].map({name: e[end] for name, e in _ENDS.items()})})
            for end, column in enumerate(("start", "end"))
        ]
    ).drop_duplicates()
    found["kind"] = found["kind"].replace(_FILM, "OtherFilm").str.split(":")
    found = found.explode("kind").drop_duplicates()
    labels = found.groupby("id")["kind"].agg(set)
    rows = {}
    for name, kinds in labels.items():
        keyed = "Movie" if name in movies else min(kind for kind in kinds if kind in _KEYED)
        rows[name] = (keyed, sorted(kinds - {keyed}))
    return pd.DataFrame.from_dict(rows, orient="index", columns=["label", "more"])


_KEYED = {end.split(":")[0].replace(_FILM, "OtherFilm") for ends in _ENDS.values() for end in ends}


def _entities(kinds: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the nodes of all Freebase ids except the films of MovieLens: label → frame, without empty columns."""
    names = _package_table("movielens_100k_names.csv").set_index("id")["name"]
    frames = {}
    for label, group in kinds[kinds["label"] != "Movie"].groupby("label"):
        frame = pd.DataFrame({"id": group.index})
        frame["name"] = frame["id"].map(names).fillna("")
        frame[":LABEL"] = group["more"].str.join(";").to_numpy()
        frames[str(label)] = frame.loc[:, (frame != "").any()]
    return frames


def _relationships(
    facts: pd.DataFrame, films: pd.DataFrame, kinds: pd.DataFrame
) -> dict[tuple[str, str, str], pd.DataFrame]:
    """Return the facts as relationships: (head label, type, tail label) → frame.

    If MovieLens lists a film twice, its facts appear twice, once per id.
    """
    for end in ("start", "end"):
        facts = facts.join(kinds["label"].rename(f"{end}_label"), on=end)
        twins = films.dropna(subset="freebase")[["freebase", "id:int"]].rename(columns={"id:int": f"{end}_film"})
        facts = facts.merge(twins, left_on=end, right_on="freebase", how="left").drop(columns="freebase")
    frames = {}
    for names, group in facts.groupby(["start_label", "type", "end_label"]):
        head, type_, tail = map(str, names)
        columns = {}
        for end, label in (("start", head), ("end", tail)):
            header = _KEY_COLUMNS.get(label, label[0].lower() + label[1:])
            header = header if header not in columns else f"other_{header}"
            columns[header] = group[f"{end}_film"].astype(int) if label == "Movie" else group[end]
        frames[head, type_, tail] = pd.DataFrame(columns)
    return frames
