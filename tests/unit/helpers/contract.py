"""Data whose right answer is known, and settings for each model that make its training quick.

Twelve users of two tastes: the even ones like the films of one director, the odd ones those of another. Each user has
one film of its taste left, and that is the right recommendation.
"""

from __future__ import annotations

import pandas as pd

from kgplug import models
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph

QUICK = {"embedding_dim": 8, "epochs": 20, "batch_size": 32, "learning_rate": 0.05, "l2": 1e-4, "device": "cpu"}
PRETRAINED = {"embedding": "TransE", "embedding_settings": {"embedding_dim": 8, "epochs": 3}}
VECTORS = {"embedding_settings": {"embedding_dim": 8, "epochs": 200, "learning_rate": 0.05, "device": "cpu"}}
SETTINGS: dict[str, dict] = {
    "Blend": {"members": "EASE,ALS,CEASE", "member_settings": [{}, {"embedding_dim": 4}, {}]},
    "MKR": QUICK,
    "MKR-attention": {**QUICK, "side_learning_rate": 0.001},
    "KGCN": QUICK,
    "KGNN-LS": QUICK,
    "HiddenEdgeGCN": {**QUICK, "epochs": 60, "side_learning_rate": 0.01},
    "LightGCN": {**QUICK, "epochs": 60, "init_scale": 0.1, "l2": 0.01},
    "MF": {**QUICK, "epochs": 60, "init_scale": 0.1, "l2": 0.03},
    # Comparisons say nothing of a constant in the side term, so rounding moves it: two machines would differ in it.
    "CKE": {**QUICK, "epochs": 60, "l2": 0.01, "side": False},
    "KGAT": {**QUICK, "side": False, "dropout": 0.0},  # a GPU drops other values
    "KGIN": {**QUICK, "epochs": 60, "l2": 0.01, "side": False, "dropout": 0.0},
    "KGCL": {**QUICK, "epochs": 60, "l2": 0.01, "side": False},
    "CFKG": {
        "embedding": "DistMult",
        "epochs": 60,
        "embedding_settings": {"embedding_dim": 8, "batch_size": 32, "learning_rate": 0.05, "device": "cpu"},
    },
    "LibFM": {**QUICK, "epochs": 60, "l2": 0.03, **VECTORS},
    "Wide&Deep": {**QUICK, "epochs": 60, **PRETRAINED},
    "PER": {"embedding_dim": 4},
    "DKN": {**QUICK, **PRETRAINED, "filters": 8, "history": 4},
    "MKR-rated": QUICK,
    "RippleNet": QUICK,
    "CKAN": QUICK,
    "RKGE": QUICK,
    "RKGE-CF": QUICK,
    "SideTerm": {"epochs": 60, "batch_size": 32, "side_learning_rate": 0.05, "device": "cpu"},
    "Popularity": {},
    "CKCF": VECTORS,
    "CKCF-relational": VECTORS,
    "SemanticCF": VECTORS,
    "ItemKNN": {},
    "UserKNN": {},
    "RP3beta": {},
    "SLIM": {},
    "EASE": {},
    "CEASE": {},
    "ALS": {"embedding_dim": 4},
    "BPR": QUICK,
}

N_USERS, N_FILMS = 12, 12  # and one user without history, one film without feedback
NAMES = [info.name for info in models.available() if info.kind == "recommender"]


def left_out(user: int) -> int:
    """Return the film of the user's taste that it has not seen."""
    return user % 2 + 2 * (user // 2 % (N_FILMS // 2))


def interactions() -> Interactions:
    rows = [
        (user, f"film {film:02}", 5 if film % 2 == user % 2 else 1)
        for user in range(N_USERS)
        for film in range(N_FILMS)
        if film != left_out(user) and (film % 2 == user % 2 or film == (user + 1) % N_FILMS)
    ]
    rows += [(99, "film 99", 1)]
    frame = pd.DataFrame(rows, columns=["user", "film", "stars"])
    likes = Interactions.from_dataframe(frame, user="user", item="film", rating="stars", like_threshold=4)
    return likes.with_texts({f"film {film:02}": f"{film} {'War' if film % 2 else 'Peace'}" for film in range(N_FILMS)})


def knowledge() -> KnowledgeGraph:
    rows = [(f"film {film:02}", "directed_by", f"director {film % 2}") for film in range(N_FILMS)]
    rows += [("director 0", "lives_in", "Rome"), ("director 1", "lives_in", "Oslo")]
    return KnowledgeGraph.from_dataframe(pd.DataFrame(rows, columns=["head", "relation", "tail"]))
