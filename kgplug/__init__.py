"""kgplug: knowledge-graph embeddings and recommendations on the graph you have in Neo4j.

Public names are imported when first used, so `import kgplug` is fast.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Let waiting threads of torch sleep instead of spin: if anything else runs (a database, another training), spinning
# threads take the cores from the threads they wait for. This must be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    "Graph": "kgplug.graph.graph",
    "connect": "kgplug.graph.graph",
    "GraphSchema": "kgplug.graph.schema",
    "Interactions": "kgplug.data.interactions",
    "KnowledgeGraph": "kgplug.data.knowledge_graph",
    "create": "kgplug.models",
    "load": "kgplug.models",
    "register": "kgplug.models",
    "available": "kgplug.models",
    "evaluate": "kgplug.evaluation.experiment",
    "evaluate_ctr": "kgplug.evaluation.experiment",
    "tune": "kgplug.tuning",
    "KgplugError": "kgplug.errors",
    "Split": "kgplug.jobs.data",
}
_MODULES = {"explain": "kgplug.serving.explain", "plots": "kgplug.plots", "view": "kgplug.serving.view"}

__all__ = [
    "Graph",
    "GraphSchema",
    "Interactions",
    "KgplugError",
    "KnowledgeGraph",
    "Split",
    "available",
    "connect",
    "create",
    "evaluate",
    "evaluate_ctr",
    "explain",
    "load",
    "plots",
    "register",
    "tune",
    "view",
]

if TYPE_CHECKING:
    from kgplug import plots
    from kgplug.data.interactions import Interactions
    from kgplug.data.knowledge_graph import KnowledgeGraph
    from kgplug.errors import KgplugError
    from kgplug.evaluation.experiment import evaluate, evaluate_ctr
    from kgplug.graph.graph import Graph, connect
    from kgplug.graph.schema import GraphSchema
    from kgplug.jobs.data import Split
    from kgplug.models import available, create, load, register
    from kgplug.serving import explain, view
    from kgplug.tuning import tune


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'kgplug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME, *_MODULES])
