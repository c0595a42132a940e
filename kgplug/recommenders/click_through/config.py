"""Settings that click-through models share, and what follows from the size of the data."""

from __future__ import annotations

from pydantic import Field

from kgplug.training.config import DataSize, TrainedConfig

SIDE_BELOW = 20  # likes a user
PATIENCE_OF_FEW = 20  # epochs, where likes are very few


class ClickThroughConfig(TrainedConfig):
    """Settings of a model that learns to tell likes from negatives redrawn each epoch."""

    weight_l2: float = Field(1e-5, ge=0, description="weight of the squared norms of the layers")
    init_scale: float = Field(0.1, gt=0, description="standard deviation of the tables at the start")
    exclude_low_rated: bool = Field(True, description="keep items that the user rated low out of the negatives")
    side: bool = Field(
        False, description="add what counts of likes and the KG profile of the user's likes say (not in the papers)"
    )
    side_learning_rate: float = Field(
        1e-2, gt=0, description="of Adam for the networks on counts; for models with a graph 3e-2 if likes are few"
    )

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        return cls.patience_suited_to(size)

    @classmethod
    def patience_suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return more patience for very few likes, whose validation figure goes up and down by chance.

        With 3,100 likes of 100 users of MovieLens-100K, trainings that chose their epochs with a patience of 5 and of
        20 had a validation AUC of .851 and .873 (MF), .868 and .875 (BPR), .881 and .882 (KGCN; mean of two draws).
        """
        usual = int(cls.model_fields["patience"].default)
        return {"patience": max(usual, PATIENCE_OF_FEW)} if size.has_very_few_likes else {}


class KnowledgeConfig(ClickThroughConfig):
    """Settings of a click-through model with a knowledge graph: the side term is on where users have few likes.

    On one split of Book-Crossing (2 likes a user) it took MKR's AUC from .769 to .804 and KGCN's from .777 to .815; of
    likes of MovieLens-100K, thinned to 14 a user, MKR's from .857 to .869 and KGCN's from .8766 to .8773; on
    MovieLens-100K (35) it changed neither by more than .002.

    Few likes make few steps, in which the vectors overfit before the side term has learnt, so that it learns three
    times as fast: of 2,000 users of Book-Crossing validation AUC then was .725 and .743 for KGCN's .718 and .728 (two
    draws), .747 and .752 for MKR's .743 and .749; of 6,000 users .771 and .766 for .762 and .761, .778 and .770 for
    .776 and .770.
    """

    @classmethod
    def suited_to(cls, size: DataSize) -> dict[str, float]:
        settings = super().suited_to(size)
        if size.likes_per_user >= SIDE_BELOW:
            return settings
        return settings | {"side": True} | ({"side_learning_rate": 3e-2} if size.has_few_likes else {})

    @classmethod
    def batches_suited_to(cls, size: DataSize) -> dict[str, float]:
        """Return smaller batches for very few likes, of the models that gained from them.

        Validation AUC of seven parts of Book-Crossing and MovieLens-100K with 1,000 to 8,000 likes
        (`benchmarks/small_data.py`): MKR .001 to .019 more, KGCN .001 to .012, CKE .001 to .020, RippleNet -.001 to
        .012. With 10,000 likes and more it was no better any more.
        """
        if not size.has_very_few_likes:
            return {}
        rows = {"batch_size": 2 * size.n_likes, "kge_batch_size": size.n_triples}  # of likes with a negative each
        return cls.small_batches(**{name: n for name, n in rows.items() if name in cls.model_fields})
