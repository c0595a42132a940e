"""Make a Python environment for RecBole, and write data in RecBole's format."""

from __future__ import annotations

import json
import shutil
import subprocess
import venv
from pathlib import Path

import numpy as np
import torch

from kgplug.data.interactions import Interactions
from kgplug.data.knowledge_graph import KnowledgeGraph
from kgplug.evaluation.ctr import LabelledPairs

RECBOLE = "recbole==1.2.1"
# Versions with which RecBole 1.2.1 runs. It needs numpy 1 (`np.float_`), a private method of scipy's DOK matrix that
# scipy 1.12 removed, and pandas before copy-on-write. Its hyper-parameter search (ray, hyperopt) is not used here.
PINS = (
    "numpy==1.26.4", "scipy==1.11.4", "pandas==2.2.3", "scikit-learn==1.5.2", "colorlog==4.7.2", "colorama==0.4.4",
    "PyYAML==6.0.4", "tensorboard==2.21.0", "thop==0.1.1.post2209072238", "tabulate==0.10.0", "plotly==7.1.0",
    "texttable==1.7.2", "psutil==7.2.2", "tqdm==4.70.1",
)  # fmt: skip
_READY = "ready.json"


def recbole_python(folder: Path) -> Path:
    """Return the Python of an environment with RecBole and this process's version of torch. Make it if missing.

    Args:
        folder: Folder of environments. An environment has about 5 GB if its torch includes CUDA.
    """
    wanted = [f"torch=={torch.__version__.split('+')[0]}", *PINS, RECBOLE]
    home = folder / f"recbole-1.2.1-torch-{torch.__version__.split('+')[0]}"
    python, ready = home / "bin" / "python", home / _READY
    if ready.is_file() and json.loads(ready.read_text(encoding="utf-8")) == wanted:
        return python
    print(f"Making an environment for RecBole in {home}: some minutes, once.", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *wanted[:-1]], check=True)
    subprocess.run([*pip, "--no-deps", RECBOLE], check=True)
    check = "from recbole.utils import get_model; [get_model(m) for m in ('MKR', 'KGCN', 'RippleNet', 'CKE')]"
    subprocess.run([str(python), "-c", check], check=True)
    ready.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def write_atomic_files(
    folder: Path, train: Interactions, valid: Interactions, knowledge: KnowledgeGraph, pairs: LabelledPairs
) -> dict:
    """Write likes and triples as RecBole's atomic files, and the validation pairs as tokens.

    Every item of `train` and `valid` must have an entity with a triple, because RecBole drops rows of other items.

    Returns:
        Settings for RecBole's `Config`: paths, files and columns.
    """
    home = folder / "ml"
    home.mkdir(parents=True)
    linked = knowledge.entities_of(train.item_keys, label=train.item_label)
    for name, part in (("train", train), ("valid", valid), ("test", valid)):
        _table(home / f"ml.{name}.inter", {"user_id": ("u", part.users), "item_id": ("i", part.items)})
    items = np.flatnonzero(linked >= 0)
    _table(home / "ml.item", {"item_id": ("i", items)})
    _table(home / "ml.link", {"item_id": ("i", items), "entity_id": ("e", linked[items])})
    head, relation, tail = knowledge.triples.T
    _table(home / "ml.kg", {"head_id": ("e", head), "relation_id": ("r", relation), "tail_id": ("e", tail)})
    tokens = [[f"u{user}" for user in pairs.users], [f"i{item}" for item in pairs.items]]
    (folder / "pairs.json").write_text(json.dumps(tokens), encoding="utf-8")
    columns = {
        "inter": ["user_id", "item_id"], "item": ["item_id"], "link": ["item_id", "entity_id"],
        "kg": ["head_id", "relation_id", "tail_id"],
    }  # fmt: skip
    return {
        "data_path": str(folder), "benchmark_filename": ["train", "valid", "test"], "load_col": columns,
        "USER_ID_FIELD": "user_id", "ITEM_ID_FIELD": "item_id", "use_gpu": False, "show_progress": False,
        "state": "ERROR", "checkpoint_dir": str(folder / "saved"),
    }  # fmt: skip


def _table(path: Path, columns: dict[str, tuple[str, np.ndarray]]) -> None:
    """Write a file with columns of tokens. A token is a letter and a number, such as "u7".

    Args:
        path: The file.
        columns: Column name → (letter, numbers).
    """
    rows = zip(*([f"{letter}{number}" for number in numbers] for letter, numbers in columns.values()), strict=True)
    lines = ["\t".join(f"{name}:token" for name in columns), *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
