"""kgplug: knowledge-graph embeddings and recommendations on the graph you have in Neo4j.

Public names are imported when first used, so `import kgplug` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

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
    "KgplugError": "kgplug.errors",
}

__all__ = [
    "Graph",
    "GraphSchema",
    "Interactions",
    "KgplugError",
    "KnowledgeGraph",
    "available",
    "connect",
    "create",
    "evaluate",
    "evaluate_ctr",
    "load",
    "register",
]

if TYPE_CHECKING:
    from kgplug.data.interactions import Interactions
    from kgplug.data.knowledge_graph import KnowledgeGraph
    from kgplug.errors import KgplugError
    from kgplug.evaluation.experiment import evaluate, evaluate_ctr
    from kgplug.graph.graph import Graph, connect
    from kgplug.graph.schema import GraphSchema
    from kgplug.models import available, create, load, register


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kgplug' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
