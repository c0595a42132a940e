"""A JSON parser that takes nothing that the standard does not define."""

from __future__ import annotations

import json
from typing import Any


def strictly(text: str) -> Any:
    """Parse JSON as the standard defines it."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)
