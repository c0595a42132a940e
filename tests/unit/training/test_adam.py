"""Adam is torch's, without what torch.optim imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from kgplug.training.adam import Adam

pytestmark = pytest.mark.training


def gradients(step: int, *sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(size, generator=generator) for size in sizes]


def test_its_steps_are_those_of_torch_bit_by_bit() -> None:
    sizes = 3, 70
    ours, theirs = ([torch.nn.Parameter(x) for x in gradients(99, *sizes)] for _ in range(2))
    mine, other = Adam(ours, lr=0.03), torch.optim.Adam(theirs, lr=0.03, fused=True)
    for step in range(20):
        for parameters in (ours, theirs):
            for parameter, gradient in zip(parameters, gradients(step, *sizes), strict=True):
                parameter.grad = gradient
            if step % 3 == 0:
                parameters[0].grad = None  # not in this batch
        mine.step()
        other.step()
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_row_adam_resumes_from_its_own_state_and_from_torchs() -> None:
    for first_kind in (Adam, lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True)):
        whole, part = (torch.nn.Parameter(gradients(7, 5)[0]) for _ in range(2))
        alone, first, second = Adam([whole], lr=0.1), first_kind([part], lr=0.1), Adam([part], lr=0.5)
        for step in range(6):
            whole.grad, part.grad = gradients(step, 5)[0], gradients(step, 5)[0]
            alone.step()
            if step == 3:
                second.load_state_dict(first.state_dict())
            (first if step < 3 else second).step()
        assert torch.equal(whole, part)
        assert second.param_groups[0]["lr"] == 0.1


def test_a_training_imports_neither_torchs_compiler_nor_scipys_statistics() -> None:
    code = """
import sys
import numpy as np
import kgplug
rng = np.random.default_rng(0)
keys = [np.arange(n).astype(object) for n in (6, 8)]
likes = kgplug.Interactions.from_arrays(*keys, np.repeat(np.arange(6), 3), np.tile(np.arange(8), 3)[:18])
triples = np.stack([np.arange(8), np.zeros(8, dtype=np.int64), np.arange(8) % 3 + 8], axis=1)
names = np.arange(11).astype(object)
graph = kgplug.KnowledgeGraph.from_arrays(names, np.full(11, "", dtype=object), np.array(["r"], dtype=object), triples)
for name in ("MKR", "KGCN", "CKE", "RippleNet", "LightGCN"):
    model = kgplug.create(name, epochs=1, embedding_dim=4)
    model.fit(likes, graph, valid=likes, progress=False).recommend(np.arange(6), 2)
print(*sorted({"torch._dynamo", "sympy", "triton", "scipy.stats"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr + done.stdout
