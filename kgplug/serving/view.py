"""Pictures of parts of the graph for notebooks, drawn by Neo4j's own viewer (neo4j-viz)."""

from __future__ import annotations

import html
import uuid
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kgplug.data.artefact import write_text_whole
from kgplug.errors import UsageError
from kgplug.graph.answering.lookups import relationships_around, relationships_between
from kgplug.graph.naming import description_of, is_readable, label_of, readable_name_of
from kgplug.plain_text import counted
from kgplug.serving.spreading import spread

if TYPE_CHECKING:
    from kgplug.graph.graph import Graph

_RADIUS, _GAP = 42, 96  # radius and spacing of nodes, in pixels; the height of a caption is a quarter of the radius
_WIDTH, _LEAST_HEIGHT, _MOST_HEIGHT = 800, 320, 960  # size of the area for the nodes' centres, in pixels
_FILLED = 0.75  # share of the area that nodes with their spacing fill
_SHARED_ID = "neo4j-viz-data"


def neighbourhood(graph: Graph, *, label: str, key: int | str, limit: int = 50) -> Picture:
    """Draw a node and its neighbours, except users with feedback.

    Args:
        graph: graph with a schema (`graph.use(schema)`).
        label, key: label and key of the node.
        limit: maximum number of relationships. Those to nodes with a readable name are drawn first.

    Returns:
        A picture that a notebook shows interactively.
    """
    return _draw(graph, relationships_around(graph.connection, graph.schema, label, key, limit=limit))


def why(graph: Graph, *, user: int | str, item: int | str, limit: int = 10) -> Picture:
    """Draw paths from a user's likes through shared entities to an item.

    Args:
        graph: graph with a schema (`graph.use(schema)`).
        user, item: keys of the user and the item.
        limit: maximum number of paths. Those that are the best reasons are drawn.
    """
    return _draw(graph, relationships_between(graph.connection, graph.schema, user, item, limit=limit))


def _draw(graph: Graph, rows: list[dict[str, Any]]) -> Picture:
    captions: dict[str, str] = {}
    labels: dict[str, str] = {}
    types: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for end in ("head", "tail"):
            types[row[end]].add(row["type"])
    for row in rows:
        for end in ("head", "tail"):
            node, its_labels = row[end], row[f"{end}_labels"]
            captions[node] = _caption(graph, its_labels, row[f"{end}_properties"], types[node])
            labels[node] = sorted(its_labels)[0]
    return draw(captions, labels, [(row["head"], row["type"], row["tail"]) for row in rows])


def draw(captions: dict[str, str], labels: dict[str, str], edges: list[tuple[str, str, str]]) -> Picture:
    """Draw nodes and relationships, with captions that are readable at a zoom of 1.

    Args:
        captions, labels: node id → caption, and node id → label. Each label has one colour.
        edges: one tuple per relationship: (id of the head, relationship type, id of the tail).

    Raises:
        UsageError: neo4j-viz is not installed.
    """
    try:
        from neo4j_viz import Layout, Node, Relationship, VisualizationGraph
    except ImportError:
        raise UsageError("Pictures of the graph need neo4j-viz: pip install 'kgplug[notebook]'.") from None
    number = {node: place for place, node in enumerate(captions)}
    heads, tails = (np.array([number[edge[end]] for edge in edges]) for end in (0, 2))
    canvas = _Canvas.for_nodes(len(captions))
    nodes: list[Node] = []
    for node, (x, y) in zip(captions, canvas.places(len(captions), heads, tails), strict=True):
        facts = {"label": labels[node], "name": captions[node]}
        looks = {"caption": captions[node], "size": _RADIUS, "x": float(x), "y": float(y)}
        nodes.append(Node(id=node, properties=facts, **looks))  # pyright: ignore[reportArgumentType]
    relationships = [
        Relationship(source=head, target=tail, caption=type_, caption_size=2)  # pyright: ignore[reportCallIssue]
        for head, type_, tail in edges
    ]
    drawn = VisualizationGraph(nodes=nodes, relationships=relationships)
    drawn.color_nodes(property="label")
    page = drawn.render(layout=Layout.COORDINATE, initial_zoom=canvas.zoom, height=f"{canvas.shown_height}px")
    return Picture(_text_of(page), canvas.shown_height, len(nodes), len(relationships))


class _Page(Protocol):
    """The part of IPython's HTML object that kgplug uses: its text."""

    @property
    def data(self) -> object: ...


def _text_of(page: _Page) -> str:
    return str(page.data)


@dataclass(frozen=True)
class _Canvas:
    """The area for the nodes, and the initial zoom.

    At zoom 1, captions are readable (11 pixels). For many nodes, the zoom is smaller.
    """

    width: float
    height: float
    zoom: float

    @classmethod
    def for_nodes(cls, n_nodes: int) -> _Canvas:
        needed = n_nodes * _GAP**2 / _FILLED
        height = max(_LEAST_HEIGHT, needed / _WIDTH)
        if height <= _MOST_HEIGHT:
            return cls(_WIDTH, height, 1.0)
        larger = (needed / (_WIDTH * _MOST_HEIGHT)) ** 0.5
        return cls(_WIDTH * larger, _MOST_HEIGHT * larger, 1 / larger)

    def places(self, n_nodes: int, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """Return the positions of the nodes, float64 (n_nodes, 2)."""
        return spread(n_nodes, heads, tails, width=self.width, height=self.height, gap=_GAP)

    @property
    def shown_height(self) -> int:
        """Height of the picture, in pixels."""
        return round(self.height * self.zoom + 2 * _RADIUS)


class Picture:
    """An interactive picture of a part of the graph, for a notebook or a page exported from one.

    Attributes:
        n_nodes, n_relationships: numbers of drawn nodes and relationships.
    """

    def __init__(self, page: str, height: int, n_nodes: int, n_relationships: int) -> None:
        # neo4j-viz uses the same id for every picture; in an exported page the second would show the data of the first.
        self._page = page.replace(_SHARED_ID, f"{_SHARED_ID}-{uuid.uuid4().hex}")
        self._height = height
        self.n_nodes, self.n_relationships = n_nodes, n_relationships

    @property
    def data(self) -> str:
        """HTML to put into a page: an iframe, so names and styles of two pictures cannot clash."""
        return (
            f'<iframe srcdoc="{html.escape(self._page)}" title="{self!r}" '
            f'style="width: 100%; height: {self._height}px; border: 0"></iframe>'
        )

    def save(self, path: Path | str) -> None:
        """Write the picture as an HTML page."""
        write_text_whole(Path(path), self._page)

    def _repr_html_(self) -> str:
        return self.data

    def __repr__(self) -> str:
        return f"Picture of {counted(self.n_nodes, 'node')} and {counted(self.n_relationships, 'relationship')}"


def _caption(graph: Graph, labels: list[str], properties: dict[str, Any], types: Collection[str]) -> str:
    """Return a node's readable name, or what it is in words; see `kgplug.graph.naming`."""
    schema = graph.schema
    label, name = label_of(schema, labels), readable_name_of(schema, labels, properties)
    if label == schema.user.label != schema.item.label:
        key = properties.get(schema.user.key)
        return f"{label} {key}" if is_readable(key) else label
    return description_of(schema, labels, types) if name is None else str(name)
