from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunehook_local.embedded import process_identity
from tunehook_local.embedded.process_identity import Process


@pytest.fixture(params=["proc", "ps"])
def _by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Look as on Linux, and as on macOS."""
    if request.param == "ps":
        monkeypatch.setattr(process_identity, "_BOOT_ID", tmp_path / "none")
    elif not process_identity._BOOT_ID.is_file():
        pytest.skip("this system has no /proc")


pytestmark = pytest.mark.usefixtures("_by")


def test_a_process_is_there_until_it_ends() -> None:
    mine = Process.of(os.getpid())
    assert mine is not None
    assert (mine.is_alive, mine.exists, mine.is_replaced) == (True, True, False)
    assert Process.of(os.getpid()) == mine


def test_one_that_has_ended_has_its_id_until_it_is_asked_for() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = Process.of(child.pid)
        assert process is not None
        assert process.is_alive
        os.kill(child.pid, 9)
        # Waits for its end, and leaves it to be asked for.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert (process.is_alive, process.exists, process.is_replaced) == (False, True, False)
    assert (process.is_alive, process.exists, process.is_replaced) == (False, False, False)
    assert Process.of(child.pid) is None


def test_another_process_of_the_same_id_is_not_it() -> None:
    earlier = Process(os.getpid(), "Mon Nov  2 11:20:14 2026")
    assert (earlier.is_alive, earlier.exists, earlier.is_replaced) == (False, False, True)


@pytest.mark.parametrize("pid", [0, -1, 2**31 - 2])
def test_an_id_that_no_process_has_is_nobody(pid: int) -> None:
    assert Process.of(pid) is None


def test_a_system_without_ps_knows_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(process_identity, "_BOOT_ID", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Process.of(os.getpid()) is None
