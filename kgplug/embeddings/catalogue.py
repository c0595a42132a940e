"""The models that predict links, by name: PyKEEN's models that learn entity vectors from triples alone, and rules.

This is a plain table, so that names can be listed without importing PyKEEN, which takes seconds. A test compares it
with PyKEEN's own list.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from kgplug.errors import UsageError, unknown_name


@dataclass(frozen=True)
class EmbeddingEntry:
    """Facts about a model that are known before it is built.

    Attributes:
        paper: Short citation.
        good_for: What the model is good for, in one phrase.
        relation_parts: Name of each relation tensor of the model, in PyKEEN's order.
        entity_parts: Indices of the entity tensors that form an entity's vector. The other entity tensors are biases,
            widths or projections.
        defaults: Default settings of training="negatives", where they differ from those of `EmbeddingConfig`.
        training: Default of the setting `training`.
        one_product: Whether the model can score all entities by one matrix product (`parts.queries`).
        against_all: Default settings of the other kinds of training, where they differ from those of
            `EmbeddingConfig`.
        inverse: Whether the model also trains on inverse triples (t, r⁻¹, h) whatever the setting `reciprocal`. This is
            true only for models that PyKEEN cannot build without them.
        reads_graph: Whether the model is a graph network, which keeps the training triples to pass messages along them.
    """

    paper: str
    good_for: str
    relation_parts: tuple[str, ...] = ("relation",)
    entity_parts: tuple[int, ...] = (0,)
    defaults: dict[str, Any] = field(default_factory=dict[str, Any])
    training: str = "negatives"
    one_product: bool = False
    against_all: dict[str, Any] = field(default_factory=dict[str, Any])
    inverse: bool = False
    reads_graph: bool = False


@dataclass(frozen=True)
class WithoutVectors:
    """A model of kgplug that predicts links and has no vectors.

    Attributes:
        home: Where the class is: "module:Class" under `kgplug.embeddings`.
        paper, good_for: As in `EmbeddingEntry`.
    """

    home: str
    paper: str
    good_for: str

    def load(self) -> Any:
        """Import the model's module and return its class."""
        module, _, name = self.home.partition(":")
        return getattr(importlib.import_module(f"kgplug.embeddings.{module}"), name)


_TRANSLATION = ("translation",)
_DIAGONAL = ("diagonal",)

# The loss is a softmax over the true triple and its corruptions. It is used for models that are still close to chance
# on UMLS after 30 epochs with PyKEEN's default loss.
_SOFTMAX: dict[str, Any] = {"loss": "InfoNCE", "loss_settings": {"margin": 0.0, "log_adversarial_temperature": 0.0}}
_FAST_SOFTMAX = {**_SOFTMAX, "learning_rate": 0.03}

# The training of Lacroix et al., ICML 2018: all entities, inverse relations, Adagrad, N3. It starts close to zero, and
# the penalty alone limits the vectors.
_N3: dict[str, Any] = {"reciprocal": True, "optimizer": "adagrad", "learning_rate": 0.1, "n3": 0.05}
_NEAR_ZERO = {"entity_initializer": "xavier_uniform_", "relation_initializer": "xavier_uniform_", "regularizer": None}

EMBEDDINGS: dict[str, EmbeddingEntry] = {
    "AutoSF": EmbeddingEntry(
        "Zhang et al., ICDE 2020", "bilinear scores with searched block structure",
        tuple(f"block_{n}" for n in range(4)), entity_parts=(0, 1, 2, 3), defaults=_FAST_SOFTMAX,
    ),
    "BoxE": EmbeddingEntry(
        "Abboud et al., NeurIPS 2020", "relations as boxes; hierarchies",
        ("head_centre", "head_width", "head_size", "tail_centre", "tail_width", "tail_size"),
    ),
    "CompGCN": EmbeddingEntry(
        "Vashishth et al., ICLR 2020", "graph network that composes entities with relations",
        inverse=True, reads_graph=True,
    ),
    "ComplEx": EmbeddingEntry(
        "Trouillon et al., ICML 2016", "asymmetric relations by complex numbers", _DIAGONAL,
        defaults=_FAST_SOFTMAX, training="1-vs-all", one_product=True,
        against_all={**_N3, "model_settings": _NEAR_ZERO},
    ),
    "ConvE": EmbeddingEntry("Dettmers et al., AAAI 2018", "convolution over head and relation"),
    "ConvKB": EmbeddingEntry(
        "Nguyen et al., NAACL 2018", "convolution over whole triples",
        defaults={"model_settings": {"num_filters": 50}},  # from the paper (WN18RR); PyKEEN's 400 take 8 times as long
    ),
    "CP": EmbeddingEntry(
        "Lacroix et al., ICML 2018", "tensor factorisation, an entity as head and as tail", _DIAGONAL,
        entity_parts=(0, 1), defaults={**_FAST_SOFTMAX, "model_settings": {"rank": 1}},
    ),
    "CrossE": EmbeddingEntry(
        "Zhang et al., WSDM 2019", "crossover of entity and relation", ("relation", "interaction")
    ),
    "DistMA": EmbeddingEntry("Shi et al., EMNLP 2019", "sums of pairwise products", _DIAGONAL),
    "DistMult": EmbeddingEntry(
        "Yang et al., ICLR 2015", "symmetric relations, fast", _DIAGONAL,
        training="1-vs-all", one_product=True,
        against_all={**_N3, "model_settings": {**_NEAR_ZERO, "entity_constrainer": None}},
    ),
    "ERMLP": EmbeddingEntry("Dong et al., KDD 2014", "a small neural network over a triple"),
    "ERMLPE": EmbeddingEntry("Sharifzadeh et al., 2019", "ERMLP with the tail as last layer", defaults=_FAST_SOFTMAX),
    "HolE": EmbeddingEntry("Nickel et al., AAAI 2016", "circular correlation, compact"),
    "KG2E": EmbeddingEntry(
        "He et al., CIKM 2015", "entities as Gaussians; uncertainty", ("mean", "variance")
    ),
    "MuRE": EmbeddingEntry(
        "Balažević et al., NeurIPS 2019", "stretch and translate; popular entities by bias", ("translation", "diagonal")
    ),
    "NodePiece": EmbeddingEntry(
        "Galkin et al., ICLR 2022", "few parameters: an entity as the bag of its relations", inverse=True,
        reads_graph=True,
    ),
    "NTN": EmbeddingEntry(
        "Socher et al., NeurIPS 2013", "small graphs, rich relations",
        ("tensor", "head_weight", "tail_weight", "bias", "output_weight"), defaults=_SOFTMAX,
    ),
    "PairRE": EmbeddingEntry(
        "Chao et al., ACL 2021", "one-to-many relations", ("head_scale", "tail_scale"), defaults=_SOFTMAX
    ),
    "ProjE": EmbeddingEntry("Shi & Weninger, AAAI 2017", "projection to candidate entities"),
    "QuatE": EmbeddingEntry("Zhang et al., NeurIPS 2019", "rotations in quaternions", ("rotation",)),
    "RESCAL": EmbeddingEntry(
        "Nickel et al., ICML 2011", "full bilinear scores, few relations", ("matrix",),
        defaults={  # with PyKEEN's weight of 10 the penalty dominates the loss and all vectors shrink to zero
            **_SOFTMAX, "model_settings": {
                "regularizer": "lp", "regularizer_kwargs": {"weight": 0.1, "p": 2.0, "normalize": True}
            },
        },
    ),
    "RGCN": EmbeddingEntry(
        "Schlichtkrull et al., ESWC 2018", "graph network with a weight matrix per relation", reads_graph=True
    ),
    "RotatE": EmbeddingEntry(
        "Sun et al., ICLR 2019", "symmetry, inversion and composition", ("rotation",), one_product=True,
    ),
    "SE": EmbeddingEntry(
        "Bordes et al., AAAI 2011", "separate projections for heads and tails", ("head_projection", "tail_projection")
    ),
    "SimplE": EmbeddingEntry(
        "Kazemi & Poole, NeurIPS 2018", "fully expressive and bilinear", ("forward", "inverse"), entity_parts=(0, 1),
        defaults=_FAST_SOFTMAX,
    ),
    "TorusE": EmbeddingEntry("Ebisu & Ichise, AAAI 2018", "translations on a torus", _TRANSLATION),
    "TransD": EmbeddingEntry(
        "Ji et al., ACL 2015", "TransR with vectors in place of matrices", ("translation", "projection")
    ),
    "TransE": EmbeddingEntry(
        "Bordes et al., NeurIPS 2013", "the first to try: fast, good neighbours", _TRANSLATION,
        # Best on MovieLens-100K's graph among margins .5 and 1, batches of 2,048 to 8,192, and 2 to 16 negatives.
        defaults={"epochs": 20, "loss_settings": {"margin": 0.5}}, one_product=True,
        against_all={"reciprocal": True, "optimizer": "adagrad", "learning_rate": 0.1, "temperature": 0.2},
    ),
    "TransF": EmbeddingEntry("Feng et al., KR 2016", "translations that only need a direction", _TRANSLATION),
    "TransH": EmbeddingEntry(
        "Wang et al., AAAI 2014", "one-to-many relations at TransE's cost", ("normal", "translation")
    ),
    "TransR": EmbeddingEntry(
        "Lin et al., AAAI 2015", "a separate space for each relation", ("translation", "projection"),
    ),
    "TuckER": EmbeddingEntry("Balažević et al., EMNLP 2019", "tensor factorisation with a shared core"),
    "UM": EmbeddingEntry("Bordes et al., 2014", "which entities are related, whatever the relation", ()),
}  # fmt: skip

WITHOUT_VECTORS: dict[str, WithoutVectors] = {
    "Rules": WithoutVectors("rules.model:Rules", "Meilicke et al., IJCAI 2019", "links with their reasons; no vectors"),
}

EXCLUDED: dict[str, str] = {
    "ComplExLiteral": "it needs numbers attached to entities, and kgplug passes triples only",
    "DistMultLiteral": "it needs numbers attached to entities, and kgplug passes triples only",
    "DistMultLiteralGated": "it needs numbers attached to entities, and kgplug passes triples only",
    "InductiveNodePiece": "it is for graphs whose entities change between training and use",
    "InductiveNodePieceGNN": "it is for graphs whose entities change between training and use",
    "CooccurrenceFilteredModel": "it filters another model's scores and has no vectors of its own",
    "FixedModel": "it is a mock for tests and does not learn",
    "EvaluationOnlyModel": "it only counts triples and learns no vectors",
    "MarginalDistributionBaseline": "it only counts triples and learns no vectors",
    "SoftInverseTripleBaseline": "it only counts triples and learns no vectors",
}


def embedding_name(name: str) -> str:
    """Return a model's name as the catalogue spells it. Case is ignored.

    Raises:
        UsageError: no model has this name, or kgplug cannot use it; the message gives the reason.
    """
    by_lower = {known.lower(): known for known in (*EMBEDDINGS, *EXCLUDED)}
    found = by_lower.get(name.lower())
    if found is None:
        raise unknown_name("embedding model", name, EMBEDDINGS)
    if found in EXCLUDED:
        raise UsageError(f"PyKEEN's {found} does not fit here: {EXCLUDED[found]}. `kgplug models` lists those that do.")
    return found
