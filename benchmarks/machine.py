"""Describe the machine that ran a measurement, and write results to a file."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path


def machine() -> str:
    """Return a description of the machine: processor, cores, Python, GPU."""
    import torch  # not above: kgplug must be imported first, because it sets how OpenMP's threads wait

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor() or platform.system()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}{gpu}"


def report(rows: list[dict], file: Path | None) -> None:
    """Print a description of the machine. If a file is given, write the description and the results to it as JSON."""
    ran_on = machine()
    print(f"Machine: {ran_on}.")
    if file is not None:
        file.write_text(json.dumps({"rows": rows, "machine": ran_on}, indent=1), encoding="utf-8")
