"""How every benchmark reports: a table for people, and a JSON file for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; a baseline is a row of its own.

    Parameters
    ----------
    name : str
        What was measured, and of whom.
    value : float
    unit : str
        ``s``, ``questions/s``, ``MB``; ``ratio`` where there is none.
    at_most, at_least : float, optional
        What is wanted of the value, in its unit.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def is_missed(self) -> bool:
        """Whether the value is not what is wanted."""
        return (self.at_most is not None and self.value > self.at_most) or (
            self.at_least is not None and self.value < self.at_least
        )

    @property
    def wanted(self) -> str:
        """What is wanted, for people; empty where nothing is."""
        bounds = (("<=", self.at_most), (">=", self.at_least))
        return " ".join(f"{sign} {bound:,g}" for sign, bound in bounds if bound is not None)


def report(name: str, title: str, rows: Iterable[Row], results: Path = RESULTS) -> None:
    """Print the rows as a table and write them to ``<results>/<name>.json``.

    Parameters
    ----------
    name : str
        The benchmark's name, and its file's.
    title : str
        What was measured and how, above the table.
    rows : iterable of Row
    results : Path
        The folder to write to; made if it is missing.
    """
    rows = tuple(rows)
    table = Table(title=title, title_justify="left")
    table.add_column("measured")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("wanted")
    for row in rows:
        missed = "  [bold red]missed[/]" if row.is_missed else ""
        table.add_row(
            row.name,
            f"{row.value:,.4g}" if row.value < 100 else f"{row.value:,.0f}",
            row.unit,
            row.wanted + missed,
        )
    Console().print(table)
    results.mkdir(parents=True, exist_ok=True)
    plain = [{"name": row.name, "value": row.value, "unit": row.unit} for row in rows]
    (results / f"{name}.json").write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
