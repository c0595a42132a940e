"""Every recommender of kgplug by name, without importing one."""

from __future__ import annotations

from dataclasses import dataclass

LIKES, BOTH, TITLES = "likes", "likes + triples", "likes + triples + titles"


@dataclass(frozen=True)
class ModelInfo:
    """One model that can be made by name.

    Attributes:
        kind: "recommender" or "embedding".
        paper: short citation.
        needs: "likes", "likes + triples", "likes + triples + titles" or "triples".
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
    "CKE": Recommends(
        "cke:CKE", BOTH, "Zhang et al., KDD 2016", "likes and TransR in one vector; ranks by one product"
    ),
    "LibFM": Recommends("libfm:LibFM", BOTH, "Rendle, TIST 2012", "a factorisation machine over pre-trained vectors"),
    "Wide&Deep": Recommends(
        "wide_deep:WideDeep", BOTH, "Cheng et al., DLRS 2016", "a linear model and an MLP over pre-trained vectors"
    ),
    "PER": Recommends("per:PER", BOTH, "Yu et al., WSDM 2014", "which relations make items alike, told by weights"),
    "DKN": Recommends("dkn:DKN", TITLES, "Wang et al., WWW 2018", "items whose titles say much"),
    "MF": Recommends("mf:MF", LIKES, "Koren et al., IEEE Computer 2009", "the plain model that graphs must beat"),
    "ItemKNN": Recommends("item_knn:ItemKNN", LIKES, "Deshpande & Karypis, TOIS 2004", "a strong baseline in seconds"),
    "Popularity": Recommends(
        "popularity:Popularity", LIKES, "Cremonesi et al., RecSys 2010", "the floor every model must beat"
    ),
}
