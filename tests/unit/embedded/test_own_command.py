from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tunehook_local.own_command import own_folder, own_name, path_line


@pytest.fixture(params=["plain", "with spaces", 'it\'s $HOME `x` "quoted"'])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder: Path = tmp_path / request.param
    folder.mkdir()
    command = folder / "tunehook"
    command.write_text("#!/bin/sh\necho here\n")
    command.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(command), "local", "env"])
    return folder


def sh(script: str, path: str = "/usr/bin:/bin", shell: str = "sh") -> str:
    where = shutil.which(shell)
    if where is None:
        pytest.skip(f"there is no {shell}")
    return subprocess.run(
        [where, "-euc", script], env={"PATH": path}, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh"])
def test_the_line_puts_the_command_on_path_once_however_often_it_is_evaluated(
    folder: Path, shell: str
) -> None:
    line = str(path_line())
    assert sh(f'{line}\n{line}\ntunehook\necho "$PATH"', shell=shell) == f"here\n{folder}:/usr/bin:/bin\n"


def test_the_one_that_was_evaluated_last_is_first(folder: Path) -> None:
    assert sh(f"{path_line()}\ntunehook", f"/usr/bin:/bin:{folder}") == "here\n"


def test_a_command_on_path_is_called_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert own_name() == "tunehook"


def test_a_command_off_path_is_called_by_its_whole_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert sh(own_name()) == "here\n"


def test_a_module_that_runs_has_the_command_of_its_python(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/main.py"])
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    assert own_folder() == folder
    (folder / "tunehook").unlink()
    assert (own_folder(), path_line(), own_name()) == (None, None, "tunehook")
