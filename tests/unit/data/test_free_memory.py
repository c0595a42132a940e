"""How much memory a process can still take."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from kgplug.data.free_memory import free_memory

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    free = psutil.virtual_memory()._replace(available=50 * GB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    monkeypatch.setattr("kgplug.data.free_memory._left_of_limit", lambda: None)


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")
    return folder


def test_without_a_container_free_memory_is_the_machines(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "nothing") == 50 * GB
    assert free_memory(write(tmp_path, memory__max="max", memory__current=GB, memory__stat="")) == 50 * GB


def test_a_container_reduces_free_memory_and_cached_files_count_as_free(tmp_path: Path) -> None:
    stat = f"anon 1\ninactive_file {GB}\nactive_file 7"
    folder = write(tmp_path, memory__max=8 * GB, memory__current=3 * GB, memory__stat=stat)
    assert free_memory(folder) == 6 * GB
    write(folder, memory__current=20 * GB)
    assert free_memory(folder) == 0


def test_limits_of_cgroup_v1_are_read(tmp_path: Path) -> None:
    stat = f"cache 5\ntotal_inactive_file {GB}"
    write(tmp_path / "memory", memory__limit_in_bytes=8 * GB, memory__usage_in_bytes=3 * GB, memory__stat=stat)
    assert free_memory(tmp_path) == 6 * GB


def test_a_limit_on_the_address_space_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgplug.data.free_memory._left_of_limit", lambda: 2 * GB)
    assert free_memory(tmp_path) == 2 * GB
