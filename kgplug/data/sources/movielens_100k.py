"""MovieLens-100K with its Freebase knowledge graph.

The data come in the wheel of RecBole 1.2.1 (recbole/dataset_example/ml-100k). Its link file identifies films by the ids
of later MovieLens releases (ML-1M, ML-20M), not by ML-100K ids. If they were read as ML-100K ids, nearly every film
would get the cast of another film. `movielens_100k_ids.csv` maps ML-100K ids to the later ids; it was made by comparing
titles and years.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kgplug.data.sources.data_set import DataSet
from kgplug.data.sources.downloads import Wheel, download_wheel, write_once
from kgplug.progress import bar as progress_bar

if TYPE_CHECKING:
    from kgplug.data.interactions import Interactions
    from kgplug.data.knowledge_graph import KnowledgeGraph
    from kgplug.data.sources._movielens_tables import MovieLens

WHEEL = Wheel(
    "recbole==1.2.1",
    "recbole-1.2.1-py3-none-any.whl",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
)
LIKE_THRESHOLD = 4.0  # stars, as in the KGCN and MKR papers
_NAME, _TITLE = "movielens-100k", "MovieLens-100K"
_LAYOUT = 2  # increase this when the folder's content changes, so that older folders are rewritten


def fetch(downloads_dir: Path, *, progress: bool | None = None) -> Path:
    """Download RecBole's wheel, which contains the data (2 MB), and write the data as a folder of CSV files.

    For arguments and result see `kgplug.data.sources.data_set.Fetch`.
    """
    with progress_bar(2, what=_TITLE, unit="steps", progress=progress, in_notebooks=True) as bar:
        wheel = download_wheel(WHEEL, downloads_dir, what=_TITLE)
        bar.update()
        origin = {"layout": _LAYOUT, "wheel": WHEEL.sha256}
        folder = write_once(downloads_dir / _NAME, lambda empty: _write(wheel, empty), origin)
        bar.update()
    return folder


def read_arrays(downloads_dir: Path) -> tuple[Interactions, KnowledgeGraph]:
    """Return the ratings and triples without a database. Keys and labels are the same as in the imported graph.

    Args:
        downloads_dir: Folder that keeps the downloaded wheel.

    Returns:
        Interactions: 943 users (int keys), 1,682 films (int keys), likes from 4 stars; the films' titles as texts.
        KnowledgeGraph: a film's entity has the label "Movie" and the film's own id as key.

    Raises:
        DataError: the wheel cannot be downloaded.
    """
    from kgplug.data.sources._movielens_arrays import interactions_of, knowledge_of

    data = _tables(download_wheel(WHEEL, downloads_dir, what=_TITLE))
    return interactions_of(data, LIKE_THRESHOLD), knowledge_of(data)


def _tables(wheel: Path) -> MovieLens:
    import zipfile

    from kgplug.data.sources._movielens_tables import read_movielens

    with zipfile.ZipFile(wheel) as file:
        return read_movielens(file)


def _write(wheel: Path, folder: Path) -> None:
    from kgplug.data.sources.csv_folder import write_folder

    data = _tables(wheel)
    write_folder(folder, nodes=data.nodes, relationships=data.relationships)
    (folder / "TERMS.txt").write_text(MOVIELENS_100K.terms + "\n", encoding="utf-8")


_KEYS = {
    "Genre": "name",
    **dict.fromkeys(
        (
            "Award",
            "ContentRating",
            "Country",
            "FreebaseGenre",
            "Language",
            "OtherFilm",
            "Person",
            "ProductionCompany",
            "Subject",
        ),
        "id",
    ),
}
_ROLES = ("Actor", "Cinematographer", "Director", "Producer", "Writer")  # further labels of a Person

MOVIELENS_100K = DataSet(
    name=_NAME,
    title=_TITLE,
    description="100,000 ratings of 1,682 films by 943 users, and the films' Freebase facts",
    terms=(
        "MovieLens-100K: for research and non-commercial use; acknowledge Harper and Konstan, The MovieLens Datasets, "
        "ACM TiiS 2015. Freebase facts: Google, Creative Commons Attribution (CC BY). Both as packed in RecBole 1.2.1."
    ),
    size="2 MB",
    labels=frozenset({"Movie", "User", *_KEYS, *_ROLES}),
    schema={
        "item": {"title": "title"},
        "feedback": {"rating": "rating", "timestamp": "timestamp", "like_threshold": LIKE_THRESHOLD},
        "knowledge": {"keys": _KEYS},
    },
    example_user=42,
    example_item=50,  # Star Wars
    fetch=fetch,
)
