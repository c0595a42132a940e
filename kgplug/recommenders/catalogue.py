"""Every recommender of kgplug by name, without importing one."""

from __future__ import annotations

from dataclasses import dataclass

LIKES, BOTH = "likes", "likes + triples"


@dataclass(frozen=True)
class ModelInfo:
    """One model that can be made by name.

    Attributes:
        kind: "recommender" or "embedding".
        paper: short citation.
        needs: "likes", "likes + triples" or "triples".
        good_for: one phrase.
    """

    name: str
    kind: str
    paper: str
    needs: str
    good_for: str


@dataclass(frozen=True)
class Recommends:
    """Where a recommender lives, and what `kgplug models` says of it.

    Attributes:
        home: "module:Class" under `kgplug.recommenders`.
        needs, paper, good_for: as in `ModelInfo`.
    """

    home: str
    needs: str
    paper: str
    good_for: str

    def info(self, name: str) -> ModelInfo:
        """Return what `kgplug.available` tells of it."""
        return ModelInfo(name, "recommender", self.paper, self.needs, self.good_for)


RECOMMENDERS: dict[str, Recommends] = {
    "MKR": Recommends("mkr:MKR", BOTH, "Wang et al., WWW 2019", "likes and triples learnt side by side"),
    "KGCN": Recommends("kgcn:KGCN", BOTH, "Wang et al., WWW 2019", "each user's own view of the graph"),
    "MKR-rated": Recommends(
        "mkr_rated:MKRRated", BOTH, "after Cao et al. 2021", "MKR where users also say what they dislike"
    ),
    "RippleNet": Recommends("ripplenet:RippleNet", BOTH, "Wang et al., CIKM 2018", "likes that spread over the graph"),
    "RKGE": Recommends("rkge:RKGE", BOTH, "Sun et al., RecSys 2018", "paths from a user's likes to an item"),
    "RKGE-CF": Recommends(
        "rkge_cf:RKGECF", BOTH, "after Sun et al., RecSys 2018", "RKGE's lists and those of CF, fused"
    ),
    "MF": Recommends("mf:MF", LIKES, "Koren et al., IEEE Computer 2009", "the plain model that graphs must beat"),
    "ItemKNN": Recommends("item_knn:ItemKNN", LIKES, "Deshpande & Karypis, TOIS 2004", "a strong baseline in seconds"),
    "Popularity": Recommends(
        "popularity:Popularity", LIKES, "Cremonesi et al., RecSys 2010", "the floor every model must beat"
    ),
}
