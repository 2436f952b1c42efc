"""The columns that were measured: kept in ``benchmarks/results/senders.json``, printed, and in docs/comparison.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.report import RESULTS
from benchmarks.senders.cells import ROWS, Cell, RowName

RESULT: Final = RESULTS / "senders.json"
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "comparison.md"
BEGIN: Final = "<!-- table: python -m benchmarks.senders --write -->"
END: Final = "<!-- end of the table -->"
ORDER: Final = ("tunehook", "svix", "outpost", "convoy", "hook0", "bare loop")


@dataclass(frozen=True)
class Column:
    """What one run found of one sender.

    Parameters
    ----------
    sender : str
    about : str
        The version, the day, the machine and its load, for people.
    cells : dict
        By the keys of `ROWS`; one that is missing was not measured.
    """

    sender: str
    about: str
    cells: dict[str, Cell] = field(default_factory=dict)

    def updated(self, older: Column | None) -> Column:
        """Return this column with the rows of an older one that it has not measured itself."""
        if older is None or older.about == self.about or set(self.cells) >= {row.key for row in ROWS}:
            return self
        kept = {key: cell for key, cell in older.cells.items() if key not in self.cells}
        if not kept:
            return self
        return Column(self.sender, f"{self.about} Other rows: {older.about}", kept | self.cells)


def read_columns(path: Path = RESULT) -> list[Column]:
    """Return the columns that are kept, none if there is no file."""
    if not path.is_file():
        return []
    kept: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [
        Column(each["sender"], each["about"], {key: Cell(**cell) for key, cell in each["cells"].items()})
        for each in kept
    ]


def merged(kept: Sequence[Column], new: Sequence[Column]) -> list[Column]:
    """Return what was kept with what is new in its place, in the order of the table."""
    by_sender = {column.sender: column for column in kept}
    for column in new:
        by_sender[column.sender] = column.updated(by_sender.get(column.sender))
    return sorted(by_sender.values(), key=lambda column: ORDER.index(column.sender))


def write_columns(columns: Sequence[Column], path: Path = RESULT) -> None:
    """Keep columns."""
    plain = [
        {
            "sender": column.sender,
            "about": column.about,
            "cells": {row.key: asdict(column.cells[row.key]) for row in ROWS if row.key in column.cells},
        }
        for column in columns
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def shown(row: RowName, cells: Mapping[str, Cell]) -> str:
    """Return a cell as it is read: nothing where it is empty."""
    cell = cells.get(row.key)
    if cell is None or cell.value is None:
        return ""
    if isinstance(cell.value, str):
        return cell.value
    return (
        f"{cell.value:,.0f}" if cell.value >= 100 or cell.value == int(cell.value) else f"{cell.value:,.3g}"
    )


def empty(column: Column) -> list[tuple[str, str]]:
    """Return the labels of a column's empty rows, with the reasons."""
    cells = ((row, column.cells.get(row.key, Cell(None, "not measured"))) for row in ROWS)
    return [(row.label, cell.why) for row, cell in cells if cell.value is None]


def print_table(columns: Sequence[Column], console: Console | None = None) -> None:
    """Print the table, and beneath it why what is empty is empty."""
    console = console or Console()
    table = Table()
    table.add_column("measured")
    table.add_column("unit")
    for column in columns:
        table.add_column(column.sender, justify="right")
    for row in ROWS:
        table.add_row(row.label, row.unit, *(shown(row, column.cells) for column in columns))
    console.print(table)
    for column in columns:
        console.print(f"{column.sender}: {column.about}", markup=False)
        for why, labels in _by_reason(column).items():
            console.print(f"    empty, as {why}: {'; '.join(labels)}", markup=False)


def document(text: str, columns: Sequence[Column]) -> str:
    """Return a document with the table between its marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the document has not the marks {BEGIN} and {END}")
    head = ["measured", "unit", *(column.sender for column in columns)]
    lines = [head, ["---", "---", *("---:" for _ in columns)]]
    lines += [[row.label, row.unit, *(shown(row, column.cells) for column in columns)] for row in ROWS]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = []
    for column in columns:
        notes.append(f"- **{column.sender}**: {column.about}")
        notes += [f"  Empty, as {why}: {'; '.join(labels)}." for why, labels in _by_reason(column).items()]
    return f"{before}{BEGIN}\n\n{table}\n\n" + "\n".join(notes) + f"\n\n{END}{after}"


def _by_reason(column: Column) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for label, why in empty(column):
        reasons.setdefault(why, []).append(label)
    return reasons
