"""Feed what atheris makes up to the reader of kgplug.toml, for three minutes: `python FILE -max_total_time=180`.

It needs `pip install 'kgplug[fuzz]'`. Any exception but a KgplugError ends it, and its input is left in a file crash-….
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["kgplug", "tomllib"]):
    from tests.fuzz.inputs import read_schema


def one_input(data: bytes) -> None:
    """Read some bytes as a schema file; after a good beginning where the first byte is even."""
    read_schema(data if not data or data[0] % 2 else b'[user]\nlabel = "A"\n[feedback]\n' + data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
