"""The fusion of two lists as the paper of CKCF describes it, one place after another."""

from __future__ import annotations

import math


def literal_fusion(cf: list[int], kg: list[int], n: int, share: float) -> list[int]:
    """Return the fused list of n places as CKCF's text has it, without any regard to other lengths."""
    cf_len = math.floor(n * share + 1e-9) if cf else 0
    result = cf[:cf_len]
    for item in kg:  # heads of the other list, duplicates skipped
        if len(result) < n and item not in result:
            result.append(item)
    for item in cf:  # the other list was short
        if len(result) < n and item not in result:
            result.append(item)
    return result
