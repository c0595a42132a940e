"""What is written twice, for the CPU and in torch for a GPU: the torch way on the CPU gives the same scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import kgplug
from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.recommenders.base import Recommender
from kgplug.recommenders.parts.operations import relational_mean
from kgplug.recommenders.parts.operations.sparse_product import SparseProduct
from kgplug.training import row_adam
from kgplug.training.row_adam import RowAdam
from kgplug.training.tensors import csr_tensor
from tests.unit.helpers import contract
from tests.unit.helpers.contract import SETTINGS

pytestmark = pytest.mark.training

WRITTEN_TWICE = [
    "MKR", "MKR-rated", "KGCN", "CKE", "MF", "BPR", "RippleNet", "RKGE", "LightGCN", "HiddenEdgeGCN", "KGAT", "KGIN",
    "KGCL", "CKAN",
]  # fmt: skip


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return contract.interactions()


@pytest.fixture(scope="module")
def knowledge() -> KnowledgeGraph:
    return contract.knowledge()


@pytest.fixture
def in_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Take the ways of a GPU; yields which were taken."""
    taken: list[str] = []
    prepare = SparseProduct.__init__

    @torch.no_grad()
    def step_rows(self: RowAdam, table: torch.Tensor, rows: torch.Tensor, grad: torch.Tensor) -> None:
        taken.append("rows")
        state = self._state_of(table)
        state["step"] += 1
        row_adam._adam_rows_of_tensors(table, state["moments"], state["steps"], rows, grad, self.settings)

    def product(self: SparseProduct, *arguments: Any, **options: Any) -> None:
        taken.append("graph")
        prepare(self, *arguments, **options)
        cpu = torch.device("cpu")
        self.matrix, self._transposed = (csr_tensor(matrix, cpu) for matrix in (self.matrix, self._transposed))

    monkeypatch.setattr(RowAdam, "step_rows", step_rows)
    monkeypatch.setattr(SparseProduct, "__init__", product)
    monkeypatch.setattr(relational_mean, "on_cpu", lambda *_: taken.append("relations"))
    yield taken


def _scores(name: str, likes: Interactions, triples: KnowledgeGraph, **more: Any) -> np.ndarray:
    model = kgplug.create(name, **{**SETTINGS[name], "epochs": 3, "learning_rate": 0.01, **more})
    assert isinstance(model, Recommender)
    model.fit(likes, triples if model.inputs.triples else None, progress=False)
    users, items = np.indices((len(model.user_keys), len(model.item_keys))).reshape(2, -1)
    return model.score(users, items)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
@pytest.mark.parametrize("name", WRITTEN_TWICE)
def test_the_way_of_a_gpu_gives_the_scores_of_the_cpus(
    name: str,
    interactions: Interactions,
    knowledge: KnowledgeGraph,
    request: pytest.FixtureRequest,
) -> None:
    usual = _scores(name, interactions, knowledge)
    taken = request.getfixturevalue("in_torch")
    other = _scores(name, interactions, knowledge, **({"backend": "torch"} if name == "KGCN" else {}))
    assert taken and np.allclose(usual, other, atol=1e-5, rtol=0)
