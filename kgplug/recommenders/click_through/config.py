"""Settings that click-through models share, and how their defaults depend on the size of the data."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from kgplug.training.config import DataSize, Grid, TrainedConfig

SIDE_BELOW = 20  # likes per user; with fewer, the side term is on
VECTOR_L2, MOST_VECTOR_L2 = 0.4, 0.05  # vector_l2 of MKR and KGCN is 0.4 / likes per user, and at most 0.05
PATIENCE_OF_FEW = 20  # epochs of patience if likes are very few


class ClickThroughConfig(TrainedConfig):
    """Settings of a model that learns to separate likes from negatives.

    Negatives are random items. New ones are drawn in each epoch.
    """

    # Settings that old runs of models without dense layers still contain.
    removed: ClassVar[frozenset[str]] = frozenset({"weight_l2"})

    batch_size: int = Field(2048, ge=1, description="twice the number of likes per step")
    init_scale: float = Field(0.1, gt=0, description="standard deviation of the initial vectors")
    goal: Literal["lists", "clicks"] = Field(
        "lists",
        description='what chooses epochs and settings on the validation set; "lists": NDCG@10 (AUC in models that '
        'score all items slowly); "clicks": AUC, for good probabilities',
    )
    negatives_per_like: int = Field(1, ge=1, description="number of negatives that are drawn for each like")
    negative_popularity: float = Field(
        0.0,
        ge=0,
        le=2,
        description="negatives are drawn with a chance proportional to (1 + likes of the item)^this; 0: uniformly",
    )
    exclude_low_rated: bool = Field(True, description="whether items that the user rated low are never drawn")
    dislike_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="fraction of the negatives that are the user's dislikes (items rated low) instead of drawn; users "
        "without dislikes get drawn ones",
    )
    side: bool = Field(
        False,
        description="whether to add the side term, a score from counts of likes and shared KG features (not in papers)",
    )
    side_learning_rate: float = Field(
        1e-2, gt=0, description="learning rate of the side term; 3e-2 in models with a graph if likes are few"
    )

    @classmethod
    def of_saved(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return saved settings, with values for settings that early runs lack.

        Early runs had one negative per like, drawn uniformly, and chose the best epoch by AUC.
        """
        early = {"goal": "clicks", "negatives_per_like": 1, "negative_popularity": 0.0}
        return super().of_saved({name: early[name] for name in early if name in cls.model_fields} | settings)

    @property
    def pairs_per_step(self) -> int:
        """Number of likes and negatives in a step."""
        return self.batch_size * (1 + self.negatives_per_like) // 2

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return cls.patience_suited_to(size)

    @classmethod
    def patience_suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return a higher `patience` if likes are very few, because the validation metric then fluctuates by chance.

        On 3,100 likes of 100 users of MovieLens-100K, a patience of 20 instead of 5 raised the validation AUC from .851
        to .873 (MF), from .868 to .875 (BPR) and from .881 to .882 (KGCN).
        """
        usual = int(cls.model_fields["patience"].default)
        return {"patience": max(usual, PATIENCE_OF_FEW)} if size.has_very_few_likes else {}


class WeightConfig(TrainedConfig):
    """The setting that all models with dense layers share."""

    weight_l2: float = Field(1e-5, ge=0, description="weight of the squared norms of the dense layers' weights")


class KnowledgeConfig(ClickThroughConfig):
    """Settings of a click-through model with a knowledge graph.

    The side term is a score from counts of likes and shared knowledge-graph features, added to the model's own score.
    By default, it is on if users have fewer than 20 likes on average.

    The AUCs below were measured with version 0.1.0. On one split of Book-Crossing (2 likes per user), the side term
    raised MKR's AUC from .769 to .804 and KGCN's from .777 to .815. On MovieLens-100K thinned to 14 likes per user, it
    raised MKR's AUC from .857 to .869 and KGCN's from .8766 to .8773. On MovieLens-100K (35 likes per user), it changed
    each AUC by at most .002.

    If likes are few, an epoch has few steps, and the vectors overfit before the side term has learnt. So the side
    term's learning rate is then three times as high. The table shows the validation AUC with the default rate and with
    three times that rate. Each row is one random sample of users of Book-Crossing:

    | users | KGCN, default | KGCN, triple | MKR, default | MKR, triple |
    |-------|---------------|--------------|--------------|-------------|
    | 2,000 | .718          | .725         | .743         | .747        |
    | 2,000 | .728          | .743         | .749         | .752        |
    | 6,000 | .762          | .771         | .776         | .778        |
    | 6,000 | .761          | .766         | .770         | .770        |
    """

    grid: ClassVar[Grid] = {"side": (True, False), **ClickThroughConfig.grid}

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        settings = super().suited_to(size)
        if size.likes_per_user >= SIDE_BELOW:
            return settings
        return settings | {"side": True} | ({"side_learning_rate": 3e-2} if size.has_few_likes else {})

    @classmethod
    def batches_suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return smaller batch sizes if likes are very few, otherwise {}.

        Models whose AUC improves with smaller batches call this method in their `suited_to`. On seven subsets of
        Book-Crossing and MovieLens-100K with 1,000 to 8,000 likes (`benchmarks/small_data.py`), smaller batches raised
        the validation AUC of MKR by .001 to .019, of KGCN by .001 to .012, and of CKE by .001 to .020. RippleNet's
        AUC changed by -.001 to +.012. With 10,000 likes or more there was no gain.
        """
        if not size.has_very_few_likes:
            return {}
        rows = {"batch_size": 2 * size.n_likes, "kge_batch_size": size.n_triples}  # each like has a negative
        return cls.small_batches(**{name: n for name, n in rows.items() if name in cls.model_fields})


class LayeredConfig(KnowledgeConfig, WeightConfig):
    """Settings of a click-through model with a knowledge graph and dense layers."""


class SlowLayersConfig(LayeredConfig):
    """Settings of a model whose vectors all pass through dense layers. Such layers need a low learning rate."""

    grid: ClassVar[Grid] = {"side": (True, False), "vector_l2": 3.0}

    vector_l2: float = Field(
        1e-2, ge=0, description="weight of the squared norms of the two vectors whose product is the score"
    )
    layer_learning_rate: float = Field(
        1e-3, gt=0, description="learning rate of the dense layers, which every vector passes through"
    )
    bias_l2: float = Field(5e-2, ge=0, description="weight of the squared user and item biases of the batch")
    patience: int = Field(20, ge=1, description="stop after this many epochs without a better validation metric")
    epochs: int = Field(200, ge=1, description="maximum number of epochs")

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return settings whose `vector_l2` is higher if users have fewer likes.

        The table shows the AUC of MKR with each value of `vector_l2` (patience 20), and for comparison that of MF, on
        MovieLens-100K thinned to 12, 16 and 24 likes per user:

        | likes per user | 0.01  | 0.02  | 0.03  | 0.05  | MF    |
        |----------------|-------|-------|-------|-------|-------|
        | 12             | .8775 | .8860 | .8887 | .8834 | .8761 |
        | 16             | .8774 | .8838 | .8850 | .8741 | .8795 |
        | 24             | .8952 | .9033 | .8991 | .8832 | .9023 |
        """
        usual = float(cls.model_fields["vector_l2"].default)
        fitting = float(f"{VECTOR_L2 / max(size.likes_per_user, 1e-9):.2g}")
        return super().suited_to(size) | {"vector_l2": max(usual, min(MOST_VECTOR_L2, fitting))}

    @classmethod
    def of_saved(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """Return saved settings under their present names.

        In early runs, `learning_rate` also applied to the dense layers and `l2` also to the biases. So the settings
        `layer_learning_rate` and `bias_l2`, which these runs lack, get the same values.
        """
        same = {"layer_learning_rate": "learning_rate", "bias_l2": "l2"}
        return super().of_saved({new: settings[old] for new, old in same.items() if old in settings} | settings)
