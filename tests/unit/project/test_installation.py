"""What is installed where: versions of Python, DGL, and wheels for each platform."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests import wheels

ROOT = Path(__file__).parents[3]
PROJECT = ROOT / "pyproject.toml"
LINUX = {"sys_platform": "linux", "platform_machine": "x86_64"}


@pytest.mark.parametrize(
    ("machine", "pythons"),
    [
        (LINUX, ["3.11", "3.12"]),
        (LINUX | {"platform_machine": "aarch64"}, []),
        ({"sys_platform": "darwin", "platform_machine": "arm64"}, []),
    ],
)
def test_dgl_is_installed_only_where_it_has_a_wheel(machine: dict[str, str], pythons: list[str]) -> None:
    (dgl,) = re.findall(r'^    "(dgl.*)",$', PROJECT.read_text(), re.MULTILINE)
    marker = Requirement(dgl).marker
    assert marker is not None
    supported = wheels.supported_pythons(PROJECT)
    assert [python for python in supported if marker.evaluate(machine | {"python_version": python})] == pythons


def test_every_supported_python_is_tested_and_documented() -> None:
    supported = wheels.supported_pythons(PROJECT)
    assert supported == ["3.11", "3.12", "3.13", "3.14"]
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())["jobs"]
    assert jobs["python"]["strategy"]["matrix"]["python"] == supported
    assert f"Python {supported[0]} to {supported[-1]}" in (ROOT / "README.md").read_text()
    page = (ROOT / "docs" / "howto" / "install.md").read_text()
    for platform in wheels.PLATFORMS:
        assert re.findall(rf"^{platform} +Python (3\.\d+): \d+ wheels", page, re.MULTILINE) == supported


def write_wheel(folder: Path, tags: str) -> None:
    with zipfile.ZipFile(folder / f"planted-1.0-{tags}.whl", "w") as wheel:
        info = "planted-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tags}\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.mark.skipif(not wheels.UV.exists(), reason="uv is not installed")
@pytest.mark.parametrize(
    ("tags", "platform", "found"),
    [
        ("cp312-cp312-manylinux_2_28_x86_64", "Linux x86-64", True),
        ("cp312-cp312-manylinux_2_28_aarch64", "Linux aarch64", True),
        ("cp312-cp312-manylinux_2_34_aarch64", "Linux aarch64", False),
        ("cp312-cp312-macosx_14_0_arm64", "macOS arm64", True),
        ("cp313-cp313-macosx_14_0_arm64", "macOS arm64", False),
    ],
)
def test_a_missing_wheel_is_reported(
    tmp_path: Path, tags: str, platform: str, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path, tags)
    project = tmp_path / "pyproject.toml"
    project.write_text(
        '[project]\nname = "p"\nversion = "1"\ndependencies = ["planted"]\noptional-dependencies.dev = []\n'
    )
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
    if found:
        assert wheels.wheels(project, "3.12", platform) == ["planted==1.0"]
    else:
        with pytest.raises(SystemExit, match=f"{platform}, Python 3.12: (.|\n)*planted"):
            wheels.wheels(project, "3.12", platform)
