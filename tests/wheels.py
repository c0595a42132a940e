"""Check that every package has a wheel, for each supported Python on each platform: `make wheels`.

uv resolves pyproject.toml, with the extra `dev`, as if it ran on that platform. Nothing is installed.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

UV = Path(sysconfig.get_path("scripts")) / "uv"
PLATFORMS = {"Linux x86-64": "x86_64-manylinux_2_28", "Linux aarch64": "aarch64-manylinux_2_28", "macOS arm64": "macos"}
OLDEST_MACOS = "14.0"


def supported_pythons(project: Path) -> list[str]:
    """Return the versions that `requires-python` allows, such as ["3.11", "3.12"]."""
    required = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["requires-python"]
    first, end = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", required).groups())  # type: ignore[union-attr]
    return [f"3.{minor}" for minor in range(first, end)]


def wheels(project: Path, python: str, platform: str) -> list[str]:
    """Return the packages that would be installed, as name==version.

    Raises:
        SystemExit: A package has no wheel there.
    """
    target = ["--python-version", python, "--python-platform", PLATFORMS[platform], "--only-binary", ":all:"]
    options = ["--python", sys.executable, "--extra", "dev", "--quiet", "--no-header", "--no-annotate"]
    result = subprocess.run(
        [UV, "pip", "compile", *target, *options, project],
        env=os.environ | {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise SystemExit(f"{platform}, Python {python}: {result.stderr.strip()}")
    return result.stdout.split()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, nargs="?", default=Path("pyproject.toml"))
    project = parser.parse_args().project
    for platform in PLATFORMS:
        for python in supported_pythons(project):
            found = wheels(project, python, platform)
            cuda = sum(package.startswith("nvidia-") for package in found)
            named = ", ".join(package for package in found if package.startswith(("dgl==", "torch==")))
            print(f"{platform:14}Python {python}: {len(found)} wheels, {cuda} of CUDA; {named}")  # noqa: T201


if __name__ == "__main__":
    main()
