"""implicit can be imported on a system without libgomp."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import kgplug
from kgplug.errors import TrainingError
from kgplug.recommenders.parts import libgomp

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only implicit's wheels for Linux need libgomp")


class System:
    """Stands in for ctypes, on a system without libgomp."""

    def __init__(self, *, torch_brings_one: bool) -> None:
        self.torch_brings_one, self.loaded = torch_brings_one, []

    def CDLL(self, name: str) -> None:
        if name == "libgomp.so.1" or not self.torch_brings_one:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        self.loaded.append(Path(name))


def test_without_libgomp_the_one_that_torch_brings_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libgomp, "ctypes", system := System(torch_brings_one=True))
    libgomp.load_libgomp()
    (path,) = system.loaded
    assert path.parts[-3:] == ("torch", "lib", "libgomp.so.1")
    code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).omp_get_max_threads() > 0)"
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
    assert result.stdout == "True\n", result.stderr


def test_if_torch_brings_none_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libgomp, "ctypes", System(torch_brings_one=False))
    with pytest.raises(TrainingError, match=r"needs the system library libgomp.so.1, .* apt install libgomp1"):
        libgomp.load_libgomp()


def test_each_import_of_implicit_follows_the_search_for_libgomp() -> None:
    texts = [path.read_text() for path in Path(kgplug.__file__).parent.rglob("*.py")]
    lines = [(before.split(), line.split()) for text in texts for before, line in pairwise(text.splitlines())]
    imports = [
        before for before, line in lines if line[:1] in (["from"], ["import"]) and line[1].startswith("implicit")
    ]
    assert len(imports) >= 4
    assert all(before == ["load_libgomp()"] or before[1].startswith("implicit") for before in imports)
