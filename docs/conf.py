"""The documentation site: `make docs` builds it into docs/_build/html. Warnings are errors."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from kgplug import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import command_line  # noqa: E402
import metrics_page  # noqa: E402

project = "kgplug"
author = "The kgplug developers"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"kgplug {version}"
nb_execution_mode = "off"  # tests/demo runs the notebooks
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
suppress_warnings = ["misc.highlighting_failure"]


def _generate() -> None:
    """Write what is not in git: two reference pages, and copies of the notebooks (Sphinx reads its own folder only)."""
    tutorials = HERE / "tutorials"
    tutorials.mkdir(exist_ok=True)
    for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, tutorials)
    (HERE / "reference" / "command-line.md").write_text(command_line.page(), encoding="utf-8")
    (HERE / "reference" / "metrics.md").write_text(metrics_page.page(), encoding="utf-8")


_generate()
