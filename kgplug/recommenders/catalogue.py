"""All recommenders of kgplug by name, without importing them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any

from kgplug.data import kinds
from kgplug.data.kinds import Inputs, Kind

UNWEIGHTED_LIKES, UNWEIGHTED_BOTH = kinds.LIKES, kinds.LIKES_AND_TRIPLES  # of models that ignore weights
LIKES, BOTH = replace(UNWEIGHTED_LIKES, weights=True), replace(UNWEIGHTED_BOTH, weights=True)
TITLES = replace(BOTH, titles=True)
RATINGS = replace(BOTH, dislikes=True)


@dataclass(frozen=True)
class ModelInfo:
    """A model that `kgplug.create` knows.

    Attributes:
        name: Name of the model.
        kind: "recommender" or "embedding".
        paper: Short citation.
        needs: What the model learns from: "likes", "dislikes" (ratings below like_threshold), "triples" or "titles".
            Several of these are joined by " + ", such as "likes + triples".
        good_for: Main use, in one phrase.
        weights: "used" if the model uses weights of feedback (`Interactions.weights`), otherwise "".
    """

    name: str
    kind: str
    paper: str
    needs: str
    good_for: str
    weights: str = ""


@dataclass(frozen=True)
class Recommends:
    """Catalogue entry of a recommender: where its class is, and what `kgplug models` shows about it.

    Attributes:
        home: Where the class is: "module:Class" under `kgplug.recommenders.models`.
        inputs: What the model learns from.
        paper, good_for: As in `ModelInfo`.
    """

    home: str
    inputs: Inputs
    paper: str
    good_for: str

    def load(self) -> Any:
        """Import the model's module and return its class."""
        module, _, name = self.home.partition(":")
        return getattr(importlib.import_module(f"kgplug.recommenders.models.{module}"), name)

    def info(self, name: str) -> ModelInfo:
        """Return this entry as `kgplug.available` lists it; `name` is the model's name."""
        weights = "used" if self.inputs.weights else ""
        return ModelInfo(name, Kind.RECOMMENDER, self.paper, str(self.inputs), self.good_for, weights)


RECOMMENDERS: dict[str, Recommends] = {
    "Blend": Recommends("blend:Blend", BOTH, "Breiman, Mach. Learn. 1996", "the best of several models in one"),
    "MKR": Recommends("mkr:MKR", BOTH, "Wang et al., WWW 2019", "likes and triples, trained together"),
    "MKR-attention": Recommends(
        "mkr_attention:MKRAttention", BOTH, "kgplug, on Wang et al., WWW 2019", "MKR with attention, gates and counts"
    ),
    "KGCN": Recommends("kgcn:KGCN", BOTH, "Wang et al., WWW 2019", "a view of the graph for each user"),
    "KGNN-LS": Recommends(
        "kgnn_ls:KGNNLS", BOTH, "Wang et al., KDD 2019", "KGCN that learns its attention from the labels of neighbours"
    ),
    "HiddenEdgeGCN": Recommends(
        "hidden_edge_gcn:HiddenEdgeGCN",
        BOTH,
        "kgplug, on He et al., SIGIR 2020",
        "sparse likes plus a graph",
    ),
    "LightGCN": Recommends("lightgcn:LightGCN", LIKES, "He et al., SIGIR 2020", "graph of likes; strong on any data"),
    "KGAT": Recommends("kgat:KGAT", BOTH, "Wang et al., KDD 2019", "attention over a graph of likes and triples"),
    "KGIN": Recommends("kgin:KGIN", BOTH, "Wang et al., WWW 2021", "why users like items: mixtures of relations"),
    "KGCL": Recommends(
        "kgcl:KGCL", BOTH, "Yang et al., SIGIR 2022", "LightGCN with facts; a contrast guards against noise"
    ),
    "CKE": Recommends("cke:CKE", BOTH, "Zhang et al., KDD 2016", "likes and TransR in one vector; fast ranking"),
    "CFKG": Recommends("cfkg:CFKG", UNWEIGHTED_BOTH, "Ai et al., Algorithms 2018", "likes as triples of any embedding"),
    "LibFM": Recommends("libfm:LibFM", BOTH, "Rendle, TIST 2012", "a factorisation machine over pre-trained vectors"),
    "Wide&Deep": Recommends(
        "wide_deep:WideDeep", BOTH, "Cheng et al., DLRS 2016", "a linear model and an MLP over pre-trained vectors"
    ),
    "PER": Recommends("per:PER", UNWEIGHTED_BOTH, "Yu et al., WSDM 2014", "weights show which relations matter"),
    "DKN": Recommends("dkn:DKN", TITLES, "Wang et al., WWW 2018", "items with informative titles"),
    "MKR-rated": Recommends("mkr_rated:MKRRated", RATINGS, "after Cao et al. 2021", "MKR for ratings with dislikes"),
    "RippleNet": Recommends("ripplenet:RippleNet", BOTH, "Wang et al., CIKM 2018", "likes propagated over the graph"),
    "CKAN": Recommends(
        "ckan:CKAN", BOTH, "Wang et al., SIGIR 2020", "facts around a user's likes and around items liked together"
    ),
    "RKGE": Recommends("rkge:RKGE", BOTH, "Sun et al., RecSys 2018", "paths from a user's likes to an item"),
    "RKGE-CF": Recommends(
        "rkge_cf:RKGECF", BOTH, "after Sun et al., RecSys 2018", "RKGE's lists fused with those of CF"
    ),
    "MF": Recommends("mf:MF", LIKES, "Koren et al., IEEE Computer 2009", "the simple model that graphs must beat"),
    "CKCF": Recommends("ckcf:CKCF", UNWEIGHTED_BOTH, "Zhou et al.", "co-liked and related items; also lists new items"),
    "CKCF-relational": Recommends(
        "ckcf_relational:CKCFRelational",
        UNWEIGHTED_BOTH,
        "after Zhou et al.",
        "CKCF with items compared relation by relation",
    ),
    "SemanticCF": Recommends(
        "semantic_cf:SemanticCF",
        UNWEIGHTED_BOTH,
        "Bordes et al., NeurIPS 2013",
        "TransX + CF: item-CF plus any embedding",
    ),
    "ItemKNN": Recommends("item_knn:ItemKNN", LIKES, "Deshpande & Karypis, TOIS 2004", "a strong baseline in seconds"),
    "UserKNN": Recommends("user_knn:UserKNN", UNWEIGHTED_LIKES, "Resnick et al., CSCW 1994", "what similar users like"),
    "RP3beta": Recommends(
        "rp3beta:RP3beta", UNWEIGHTED_LIKES, "Christoffel et al., RecSys 2015", "random walks over likes, in seconds"
    ),
    "SLIM": Recommends(
        "slim:SLIM", UNWEIGHTED_LIKES, "Ning & Karypis, ICDM 2011", "lists as good as EASE's in little memory"
    ),
    "EASE": Recommends("ease:EASE", LIKES, "Steck, WWW 2019", "best lists without a graph, up to 40,000 items"),
    "CEASE": Recommends(
        "cease:CEASE", BOTH, "Jeunen et al., RecSys 2020", "best lists from likes and a graph, up to 40,000 items"
    ),
    "ALS": Recommends("als:ALS", LIKES, "Hu et al., ICDM 2008", "factors in closed form, fast on many likes"),
    "BPR": Recommends("bpr:BPR", LIKES, "Rendle et al., UAI 2009", "factors trained on comparisons"),
    "SideTerm": Recommends(
        "side_term:SideTerm", BOTH, "kgplug", "counts of likes and KG features: what models with `side` must beat"
    ),
    "Popularity": Recommends(
        "popularity:Popularity",
        UNWEIGHTED_LIKES,
        "Cremonesi et al., RecSys 2010",
        "the baseline that every model must beat",
    ),
}
