"""Run `make test` again and again beside processes that keep the processors busy; a line a run says what came of it.

usage: python -m tests.support.busy [--runs 3] [--processes 4] [--cores 2] [--minutes 120]

A run that takes longer than its minutes is ended, and has failed. What it prints is in
``.tunehook/logs/busy-N.log``. The status is 1 if a run has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.template import ROOT

MAKE_TEST: Final = ("make", "test")
LOOK_EVERY_S: Final = 10.0
COUNTS: Final = re.compile(r"(\d+) (passed|failed|skipped|errors?)\b")
SUMMARY: Final = re.compile(r"^=* ?\d+ \w+(?:, \d+ \w+)* in [\d.]+s.*$", re.MULTILINE)

# It ends with the one that started it, however that ends.
_SPIN: Final = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"


class Run(NamedTuple):
    """What came of a run: its status, what pytest counted, seconds, and the load average once every `LOOK_EVERY_S`."""

    status: int
    counts: Counter[str]
    took_s: float
    loads: list[float]

    def line(self, number: int) -> str:
        mean = sum(self.loads) / len(self.loads)
        counted = ", ".join(
            f"{self.counts[word]:,} {word}" for word in ("passed", "failed", "errors", "skipped")
        )
        return (
            f"run {number}: {'passed' if self.status == 0 else f'FAILED (status {self.status})'}: {counted};"
            f" {self.took_s:.0f} s; load {mean:.1f}, at most {max(self.loads):.1f}"
        )


def main(arguments: Sequence[str] | None = None, command: Sequence[str] = MAKE_TEST) -> int:
    """Run `command` as often as the arguments say, print a line a run, and return the status."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.busy")
    parser.add_argument("--runs", type=int, choices=range(1, 11), default=3, metavar="1..10")
    parser.add_argument("--processes", type=int, choices=range(33), default=4, metavar="0..32")
    parser.add_argument("--cores", type=int, choices=range(1, 65), default=2, metavar="1..64")
    parser.add_argument("--minutes", type=float, default=120.0, help="how long a run may take")
    parser.add_argument("--logs", type=Path, default=ROOT / ".tunehook" / "logs")
    asked = parser.parse_args(arguments)
    asked.logs.mkdir(parents=True, exist_ok=True)
    failed = 0
    with _on_cores(asked.cores), _busy(asked.processes):
        for number in range(1, asked.runs + 1):
            log = asked.logs / f"busy-{number}.log"
            done = run(command, log, asked.minutes * 60)
            failed += done.status != 0
            sys.stdout.write(f"{done.line(number)}; {log}\n")
            sys.stdout.flush()
    return int(failed > 0)


def run(command: Sequence[str], log: Path, limit_s: float) -> Run:
    """Run a command in a session of its own, with its output in a file; end all of it if it takes longer than that."""
    began_s, loads = time.monotonic(), [os.getloadavg()[0]]
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            while True:
                left_s = began_s + limit_s - time.monotonic()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(max(min(LOOK_EVERY_S, left_s), 0))
                    break
                loads.append(os.getloadavg()[0])
                if left_s <= 0:
                    break
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
    counts = counted(log.read_text(encoding="utf-8", errors="replace"))
    return Run(child.returncode, counts, time.monotonic() - began_s, loads)


def counted(text: str) -> Counter[str]:
    """Add up what the last lines of pytest's runs say."""
    counts: Counter[str] = Counter()
    for summary in SUMMARY.findall(text):
        for number, word in COUNTS.findall(summary):
            counts["errors" if word == "error" else word] += int(number)
    return counts


@contextlib.contextmanager
def _busy(number: int) -> Iterator[None]:
    """Keep so many processes busy."""
    processes = [subprocess.Popen([sys.executable, "-c", _SPIN, str(os.getpid())]) for _ in range(number)]
    try:
        yield
    finally:
        for each in processes:
            each.kill()
        for each in processes:
            each.wait()


@contextlib.contextmanager
def _on_cores(number: int) -> Iterator[None]:
    """Keep to so many processors, where the system can: Linux."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    sys.exit(main())
