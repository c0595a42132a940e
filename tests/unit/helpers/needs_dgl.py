"""Tests that compare DGL with torch run where DGL has a wheel: Linux x86-64 with Python 3.11 or 3.12."""

from __future__ import annotations

import importlib.util

import pytest

NEEDS_DGL = pytest.mark.skipif(importlib.util.find_spec("dgl") is None, reason="DGL has no wheel for this machine")
