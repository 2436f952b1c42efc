"""`make smoke`, but on an embedded AWS of its own: the same deployment, job, judges and removal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.template import ROOT

NOT_SHOWN: Final = {"time to live", "traces", "metrics"}
"""What an embedded AWS may have nothing of."""


def test_all_holds_and_nothing_stays_behind(tmp_path: Path) -> None:
    report = tmp_path / "smoke-report.json"

    finished = subprocess.run(
        [sys.executable, "-m", "tests.account", "--embedded", "--report", str(report)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout
    told = json.loads(report.read_text())
    assert told["held"] is True
    assert {check["name"] for check in told["checks"] if check["held"] is None} <= NOT_SHOWN
    assert len(told["removed"]["stacks"]) == 2
    assert told["removed"]["left"] == []
