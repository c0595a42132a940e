"""Knowledge-graph embeddings: every PyKEEN model by name.

PyKEEN, and pystow under it, make folders for their files as soon as they are imported. They belong under KGPLUG_HOME,
not in `~/.data`, so their place is set here, before any module of this package imports them.
"""

from __future__ import annotations

import os
import sys

from kgplug.settings import Settings

_CHOSEN = ("PYSTOW_HOME", "PYSTOW_NAME", "PYSTOW_USE_APPDIRS")  # by the user; PYKEEN_HOME stands above all of them

if "pykeen" not in sys.modules and not any(name in os.environ for name in _CHOSEN):
    os.environ["PYSTOW_HOME"] = str(Settings().pystow_dir)
