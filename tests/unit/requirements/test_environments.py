"""The set-up: what is made, what is said about it, and how often. All time is virtual; nothing is installed."""

from __future__ import annotations

import io
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest
from requirements import environments
from requirements.environments import ENVIRONMENTS, ROOT, Display, Failed, Installation, Setup, needed

CORE = ("command", "sam", "ministack")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout in which nothing is set up; each list has two packages, one of them for Windows."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    for each in ENVIRONMENTS.values():
        text = "one==1 \\\n    --hash=sha256:1\ntwo==2 ; sys_platform == 'win32' \\\n    --hash=sha256:2\n"
        (tmp_path / "requirements" / f"{each.packages}.txt").write_text(text)
    return tmp_path


def make(root: Path, *names: str) -> None:
    """Pretend that these are made."""
    for name in names:
        installation = Installation(name, root)
        (installation.folder / "bin").mkdir(parents=True, exist_ok=True)
        (installation.folder / "bin" / "python").touch()
        installation.stamp.write_text(installation.digest)


def names_needed(root: Path, *names: str) -> list[str]:
    return [each.name for each in needed(names, root)]


def test_what_is_made_is_left_alone(root: Path) -> None:
    assert names_needed(root, *CORE) == list(CORE)
    make(root, *CORE)
    assert names_needed(root, *CORE) == []
    assert names_needed(root, *CORE, "tests", "sam-lint") == ["tests", "sam-lint"]


def test_a_changed_list_makes_its_environment_anew_and_what_was_added_to_it(root: Path) -> None:
    make(root, *CORE, "tests")
    (root / "requirements" / "command.txt").write_text("one==2\n")
    assert names_needed(root, *CORE, "tests") == ["command", "tests"]
    assert names_needed(root, *CORE) == ["command"]


def test_a_changed_project_or_a_python_that_is_gone_makes_the_command_anew(root: Path) -> None:
    make(root, *CORE)
    (root / "pyproject.toml").write_text("[project]")
    assert names_needed(root, *CORE) == ["command"]
    make(root, *CORE)
    (root / ".tunehook/tools/sam/bin/python").unlink()
    assert names_needed(root, *CORE) == ["sam"]


def test_the_first_line_says_what_it_takes(root: Path) -> None:
    line = environments.announcement(needed(CORE, root))
    assert line.startswith(
        "setting up the tunehook command, the SAM CLI and the embedded AWS in this folder, once: "
    )
    assert re.search(r"takes about \d+ s and \d+ MB$", line)


def test_packages_are_counted_as_pip_names_them(root: Path) -> None:
    installation = Installation("command", root)
    for line in (
        "Ignoring two: markers 'sys_platform == \"win32\"' don't match your environment",
        "Collecting one==1 (from -r requirements/command.txt (line 1))",
        "Downloading one-1-py3-none-any.whl.metadata (900 kB)",
        "Using cached one-1-py3-none-any.whl (2.5 MB)",
    ):
        installation.read(line)

    part, text = environments.summary([installation])

    assert (part, text) == (0.5, "1 of 1 packages fetched (3 MB), 0 installed")


def test_without_a_terminal_no_silence_is_longer_than_five_seconds() -> None:
    now, printed = 0.0, []

    class Pipe(io.StringIO):
        def write(self, text: str) -> int:
            printed.append((now, text))
            return len(text)

    display = Display(Pipe(), clock=lambda: now)
    display.line("setting up")
    while now < 60:
        display.progress(now / 60, "packages")
        now += environments.REDRAW_EVERY_S
    moments = [moment for moment, _ in printed]

    assert max(after - before for before, after in pairwise([*moments, now])) <= 5
    assert len(printed) <= 17
    assert re.fullmatch(r"   9\d%  packages, 5\d s\n", printed[-1][1])


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_a_terminal_gets_a_bar_in_one_row(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    display = Display(terminal, clock=lambda: 0.0, width=lambda: columns)
    display.progress(0.5, "76 of 150 packages fetched (80 MB), 0 installed")
    display.line("done")

    bar, after = terminal.getvalue().split("\r\x1b[2K")
    assert len(bar) < columns
    assert ("[############............]" in bar) == (columns == 120)
    assert after == "done\n"


def test_a_failure_ends_it_and_names_the_log(root: Path) -> None:
    (root / ".venv" / "bin").mkdir(parents=True)
    python = root / ".venv" / "bin" / "python"
    python.write_text("#!/bin/sh\necho 'ERROR: No matching distribution found for one==1'\nexit 1\n")
    python.chmod(0o755)
    make(root, "command")

    with pytest.raises(Failed) as failed:
        Setup(needed(["sam"], root), Display(io.StringIO()), root).run()

    assert "could not install sam.txt" in str(failed.value)
    assert "No matching distribution found for one==1" in str(failed.value)
    assert str(root / ".tunehook" / "logs" / "setup-sam.log") in str(failed.value)
    assert not Installation("sam", root).is_made


def test_the_command_needs_what_the_project_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = (ROOT / "requirements" / "command.in").read_text().splitlines()
    assert {*project, "hatchling"} == {line for line in listed if line[0] not in "#-"}


def versions(name: str) -> dict[str, set[str]]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", text, re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("name", [name for name, each in ENVIRONMENTS.items() if each.is_addition])
def test_an_addition_has_the_versions_of_what_it_is_added_to(name: str) -> None:
    addition = ENVIRONMENTS[name]
    (base,) = [
        each.packages
        for each in ENVIRONMENTS.values()
        if each.folder == addition.folder and not each.is_addition
    ]
    there = versions(base)
    assert there.items() <= versions(addition.packages).items()


def test_lists_name_no_address() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in path.read_text(), path.name


def test_the_demo_does_without_what_it_does_not_need() -> None:
    for name in CORE:
        assert not versions(ENVIRONMENTS[name].packages).keys() & {
            *("cfn-lint", "sympy", "networkx", "moto", "mypy", "ruff", "pytest", "hypothesis")
        }
