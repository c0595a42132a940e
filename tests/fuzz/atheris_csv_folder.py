"""Feed what atheris makes up to the reader of CSV folders, for three minutes: `python FILE -max_total_time=180`.

It needs `pip install 'kgplug[fuzz]'`. Any exception but a KgplugError ends it, and its input is left in a file crash-….
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["kgplug", "csv"]):
    from tests.fuzz.inputs import csv_files, read_csv_folder

_LABEL_BYTES = 12


def one_input(data: bytes) -> None:
    """Make two files and a label of some bytes, and read them."""
    given = atheris.FuzzedDataProvider(data)
    label = given.ConsumeUnicodeNoSurrogates(_LABEL_BYTES).replace("/", "").replace("\0", "").strip(".") or "A"
    well_begun = given.ConsumeBool()
    nodes = given.ConsumeBytes(given.ConsumeIntInRange(0, 400))
    relationships = given.ConsumeBytes(400)
    if well_begun:  # past the headers, to the rows
        nodes, relationships = b"id:int,x:float[],:LABEL\n" + nodes, b"a:int,b:int,t:boolean\n" + relationships
    read_csv_folder(csv_files(nodes, relationships, label=label))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
