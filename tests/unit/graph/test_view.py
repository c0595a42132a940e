"""Pictures of the graph: each of several on one page shows its own graph, with readable captions."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kgplug.serving import view
from kgplug.serving.spreading import spread

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
# Writes what each frame shows, its legend too, into the page itself, which the browser then prints.
REPORT = """
<script>setTimeout(() => {
  const shown = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument.body.innerText);
  const report = document.createElement("pre");
  report.id = "report";
  report.textContent = JSON.stringify(shown.length ? shown : [document.body.innerText]);
  document.body.append(report);
}, 6000)</script>
"""


def star(label: str, n: int = 12) -> view.Picture:
    """Draw one node with n - 1 others around it."""
    nodes = [f"{label}-{number}" for number in range(n)]
    edges = [(nodes[0], f"TO_{label}", node) for node in nodes[1:]]
    return view.draw({node: f"The {node}" for node in nodes}, dict.fromkeys(nodes, label), edges)


def exported(*pictures: view.Picture) -> str:
    """Return the page that a notebook with these outputs is exported as."""
    nbformat, nbconvert = (pytest.importorskip(name) for name in ("nbformat", "nbconvert"))  # take a second
    outputs = [
        nbformat.v4.new_output("display_data", data={"text/html": picture._repr_html_()}) for picture in pictures
    ]
    cells = [nbformat.v4.new_code_cell("view", outputs=[output]) for output in outputs]
    return nbconvert.HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=cells))[0]


def test_no_two_outputs_of_a_page_share_an_id() -> None:
    pages = [html.unescape(star(label).data) for label in ("Film", "Town")]
    first, second = (set(re.findall(r'id="(neo4j-viz-[\w-]+)"', page)) for page in pages)
    assert len(first) == len(second) == 2 and not first & second
    assert not any("getElementById(`neo4j-viz-data`)" in page for page in pages)


def test_every_output_has_a_frame_of_its_own() -> None:
    page = exported(star("Film"), star("Town"))
    frames = re.findall(r'<iframe srcdoc="([^"]*)"', page)
    assert [("The Film-0" in frame, "The Town-0" in frame) for frame in frames] == [(True, False), (False, True)]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
def test_a_browser_shows_each_view_its_own_graph(tmp_path: Path) -> None:
    page = tmp_path / "notebook.html"
    page.write_text(exported(star("Film"), star("Town")).replace("</body>", f"{REPORT}</body>"), encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--virtual-time-budget=30000", "--dump-dom"]
    printed = subprocess.run(
        [str(BROWSER), *flags, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True, text=True, timeout=300, check=True,
    ).stdout  # fmt: skip
    (report,) = re.findall(r'<pre id="report">(.*?)</pre>', printed, re.DOTALL)
    first, second = re.findall(r'"((?:[^"\\]|\\.)*)"', html.unescape(report))
    assert "Film" in first and "Town" not in first
    assert "Town" in second and "Film" not in second


def test_captions_of_sixty_nodes_are_readable_and_do_not_overlap() -> None:
    canvas = view._Canvas.for_nodes(60)
    assert canvas.zoom == 1 and canvas.shown_height <= 1100
    caption_px = view._RADIUS / 3.5 / 1.1  # as neo4j-viz's viewer computes it
    assert caption_px > 10
    heads, tails = np.zeros(59, dtype=int), np.arange(1, 60)
    places = canvas.places(60, heads, tails)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)[~np.eye(60, dtype=bool)]
    assert distances.min() > 2 * view._RADIUS


@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_positions_are_finite_repeatable_and_within_the_picture(n: int) -> None:
    heads, tails = np.zeros(n - 1, dtype=int), np.arange(1, n)
    first, again = (spread(n, heads, tails, width=800, height=400, gap=20) for _ in range(2))
    assert np.isfinite(first).all() and (first == again).all()
    assert (np.ptp(first, axis=0) <= [810, 410]).all()


def test_connected_nodes_are_nearer_than_others() -> None:
    heads, tails = np.array([0, 1, 2, 0, 4, 5, 6, 4]), np.array([1, 2, 3, 2, 5, 6, 7, 6])
    places = spread(8, heads, tails, width=800, height=800, gap=20)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    assert distances[heads, tails].mean() < distances[:4, 4:].mean() / 2


def test_a_picture_describes_what_it_shows_and_is_saved_as_a_page(tmp_path: Path) -> None:
    picture = star("Film")
    assert repr(picture) == "Picture of 12 nodes and 11 relationships"
    picture.save(tmp_path / "film.html")
    assert "The Film-11" in (tmp_path / "film.html").read_text(encoding="utf-8")
