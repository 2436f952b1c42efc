"""What is installed where the command is installed as a package."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from tests.support.template import ROOT

PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]


@pytest.fixture(scope="module")
def installed() -> dict[str, Path]:
    """Where each file of the wheel comes from, by its path in it."""
    included = WheelBuilder(str(ROOT)).recurse_included_files()
    return {each.distribution_path: Path(each.path) for each in included}


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_has_every_file_of_its_packages(installed: dict[str, Path], package: str) -> None:
    folder = ROOT / package
    files = {each for each in folder.rglob("*") if each.is_file() and "__pycache__" not in each.parts}
    assert len(files) > 10
    assert files <= set(installed.values())


def test_the_console_has_its_templates_its_scripts_and_their_licence(installed: dict[str, Path]) -> None:
    console = {path.removeprefix("tunehook_cli/console/") for path in installed if "/console/" in path}
    assert console >= {
        "templates/base.html",
        "templates/task_rows.html",
        "static/console.css",
        "static/console.js",
        "static/htmx-LICENSE.txt",
    }
    assert sum(path.endswith(".min.js") for path in console) == 2
