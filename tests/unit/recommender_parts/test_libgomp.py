"""implicit can be imported on a system without libgomp."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import kgplug

pytestmark = pytest.mark.training

WITHOUT_LIBGOMP = """
import sys
from scipy import sparse
from kgplug.recommenders.models.item_knn import similar_rows
from kgplug.recommenders.parts import libgomp

class NoLibgomp:
    def CDLL(self, name):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    def find_spec(self, name, path=None, target=None):
        if name == "implicit.cpu._als" and "torch" not in sys.modules:
            raise ImportError("libgomp.so.1: cannot open shared object file: No such file or directory")

libgomp.ctypes = system = NoLibgomp()
sys.meta_path.insert(0, system)
print(similar_rows(sparse.csr_matrix([[1, 1, 0], [1, 1, 1]]), "cosine", 1, progress=False).nnz)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only implicit's wheels for Linux need libgomp")
def test_without_libgomp_torch_is_loaded_first() -> None:
    command = [sys.executable, "-c", WITHOUT_LIBGOMP]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "2\n", result.stderr


def test_each_import_of_implicit_follows_the_search_for_libgomp() -> None:
    texts = [path.read_text() for path in Path(kgplug.__file__).parent.rglob("*.py")]
    lines = [(before.split(), line.split()) for text in texts for before, line in pairwise(text.splitlines())]
    imports = [
        before for before, line in lines if line[:1] in (["from"], ["import"]) and line[1].startswith("implicit")
    ]
    assert len(imports) >= 4
    assert all(before == ["load_libgomp()"] or before[1].startswith("implicit") for before in imports)
