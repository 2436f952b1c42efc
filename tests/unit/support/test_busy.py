from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.support.busy import counted, main, run

SUMMARIES = """
FAILED tests/unit/test_ids.py::test_one - assert 3 passed
===== 2 failed, 447 passed, 3 skipped, 1 error in 1551.03s (0:25:51) =====
12 passed in 0.31s
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_the_counts_of_all_runs_of_pytest_are_added_up() -> None:
    assert counted(SUMMARIES) == Counter(passed=459, failed=2, skipped=3, errors=1)


def test_each_run_is_a_line_with_its_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--runs", "2", "--processes", "1", "--logs", str(tmp_path)]
    assert main(asked, python("print('7 passed, 1 skipped in 0.10s')")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        f"run {number}: passed: 7 passed, 0 failed, 0 errors, 1 skipped" for number in (1, 2)
    ]
    assert (tmp_path / "busy-2.log").read_text() == "7 passed, 1 skipped in 0.10s\n"


def test_one_that_fails_fails_the_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "1", "--processes", "0", "--logs", str(tmp_path)], python("exit(2)")) == 1
    assert capsys.readouterr().out.startswith("run 1: FAILED (status 2): 0 passed")


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    done = run(python("import time; time.sleep(3600)"), tmp_path / "log", 0.0)
    assert done.status == -9
