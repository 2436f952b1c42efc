"""A run under faults by hand: ``python -m tests.stack.faults --help``."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.stack.faults import report
from tests.stack.faults.drawing import draw
from tests.stack.faults.plan import LONG, SIZES, Plan
from tests.stack.faults.run import recount, run


def main() -> int:
    """Run, and return 1 if something that must be 0 is not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stack.faults", description=run.__doc__.partition("\n")[0]
    )
    parser.add_argument("--size", choices=sorted(SIZES), default="short")
    parser.add_argument(
        "--seed", type=int, help="draws the same plan again; by default another one each time"
    )
    parser.add_argument("--plan", type=Path, help="plays a plan.json again instead")
    parser.add_argument("--folder", type=Path, help="where plan and results are left; by default a new one")
    parser.add_argument(
        "--count", type=Path, metavar="FOLDER", help="runs nothing: counts a run's books anew"
    )
    parser.add_argument(
        "--write", action="store_true", help="keep the results, and docs/reliability.md with them"
    )
    given = parser.parse_args()
    if given.count is not None:
        findings = recount(given.count, _say)
        if given.write:
            report.write(given.count)
        return 1 if findings.missed else 0
    if given.write and given.size != LONG.name:
        parser.error("the results that are kept are those of --size long")
    if given.plan is not None:
        plan = Plan.from_json(given.plan.read_text(encoding="utf-8"))
    else:
        seed = random.randrange(1, 1_000_000) if given.seed is None else given.seed
        plan = draw(seed, SIZES[given.size])
    folder = given.folder or Path(tempfile.mkdtemp(prefix="tunehook-faults-run-"))
    findings = run(plan, folder, _say)
    if given.write:
        report.write(folder)
    return 1 if findings.missed else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
