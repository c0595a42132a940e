"""Memory that this process can still allocate, given the machine, its container and its limits."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def free_memory(cgroup: Path = _CGROUP) -> int:
    """Return the number of bytes that this process can still allocate.

    Args:
        cgroup: folder in which the kernel reports the container's limits.
    """
    left = (psutil.virtual_memory().available, _left_in_container(cgroup), _left_of_limit())
    return max(0, min(n for n in left if n is not None))


def _left_in_container(cgroup: Path) -> int | None:
    """Return the bytes left under the container's memory limit; cached files count as free. None without a limit."""
    for allowed, held, cached in (
        ("memory.max", "memory.current", "inactive_file "),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file "),
    ):
        try:
            limit = int((cgroup / allowed).read_text())
            stat = (cgroup / held).with_name("memory.stat").read_text().splitlines()
            spare = sum(int(line.removeprefix(cached)) for line in stat if line.startswith(cached))
            return limit - int((cgroup / held).read_text()) + spare
        except (OSError, ValueError):  # no container, or no limit ("max")
            continue
    return None


def _left_of_limit() -> int | None:
    """Return the bytes of address space left under `ulimit -v`, or None without a limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit - psutil.Process().memory_info().vms
