"""What a run comes to: a table for people, and `smoke-report.json` for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tests.account.costs import CostLine, total
from tests.account.judges import Check
from tests.account.logs import FunctionTimes
from tests.account.removal import Removed

_WORDS = {True: "held", False: "NOT HELD", None: "not shown"}


@dataclass
class Report:
    """One run.

    Parameters
    ----------
    name, region : str
        Which run, and where.
    embedded : bool
        Whether it was on an embedded AWS.
    started_at : str
        When, in ISO-8601.
    """

    name: str
    region: str
    embedded: bool
    started_at: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    functions: Mapping[str, FunctionTimes] = field(default_factory=dict)
    cost: Sequence[CostLine] = ()
    removed: Removed | None = None
    kept: bool = False
    error: str | None = None

    @property
    def held(self) -> bool:
        """Whether all was judged, all of it held, and nothing stays behind unless it was asked to."""
        if self.error is not None or not self.checks or any(check.held is False for check in self.checks):
            return False
        return self.kept or (self.removed is not None and not self.removed.left)

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        cost = {"usd": round(total(self.cost), 6), "lines": [asdict(line) for line in self.cost]}
        return {
            "held": self.held,
            "name": self.name,
            "region": self.region,
            "embedded": self.embedded,
            "started_at": self.started_at,
            "error": self.error,
            "parameters": dict(self.parameters),
            "seconds": {step: round(seconds, 1) for step, seconds in self.seconds.items()},
            "checks": [asdict(check) for check in self.checks],
            "functions": {name: asdict(each) for name, each in self.functions.items()},
            "cost": cost,
            "kept": self.kept,
            "removed": None if self.removed is None else asdict(self.removed),
        }

    def write(self, path: Path, account: str | None = None) -> None:
        """Write it into a file, without the number of the account."""
        text = json.dumps(self.document(), indent=2, ensure_ascii=False) + "\n"
        path.write_text(text if account is None else text.replace(account, "<account>"), encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print it as tables."""
        checks = Table("", "CHECK", "WHAT HOLDS", "SEEN", box=None, pad_edge=False)
        for check in self.checks:
            seen = "" if check.held else check.seen
            checks.add_row(_WORDS[check.held], check.name, check.expected, seen)
        functions = Table(
            "FUNCTION",
            "INVOCATIONS",
            "COLD",
            "INIT MS",
            "COLD MS",
            "WARM MS",
            "SLOWEST MS",
            box=None,
            pad_edge=False,
        )
        for name, each in self.functions.items():
            figures = (each.init_ms, each.cold_ms, each.warm_ms, each.slowest_ms)
            functions.add_row(name, str(each.invocations), str(each.cold), *map(_milliseconds, figures))
        cost = Table("COST AT LIST PRICES", "QUANTITY", "DOLLARS", box=None, pad_edge=False)
        for line in self.cost:
            cost.add_row(line.what, f"{line.quantity:.4g}", f"{line.usd:.6f}")
        cost.add_row("together", "", f"{total(self.cost):.6f}")
        for table, filled in ((checks, self.checks), (functions, self.functions), (cost, self.cost)):
            if filled:
                console.print(table)
                console.print()
        steps = ", ".join(f"{step} {seconds:.0f} s" for step, seconds in self.seconds.items())
        console.print(f"{self.name} in {self.region}: {steps}", highlight=False, markup=False)
        if self.error is not None:
            console.print(f"It came to no end: {self.error}", highlight=False, markup=False)
        if self.removed is not None:
            gone = len(self.removed.stacks), len(self.removed.resources)
            console.print(f"Removed: {gone[0]} stacks, and {gone[1]} things that they leave behind.")
            for each in self.removed.left:
                console.print(f"STILL THERE: {each}", highlight=False, markup=False)
        console.print("All held." if self.held else "NOT all held.")


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
