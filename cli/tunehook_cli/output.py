"""What the commands print: tables for people, JSON for programs, times and sizes in human form."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from tunehook.times import from_ms

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

_WIDE: Final = 500
"""The width where there is no terminal: whoever reads the output there wants whole lines."""

_COLUMN_MIN: Final = 8
_GAP: Final = 2

_STYLES: Final = {
    "completed": "green",
    "delivered": "green",
    "enabled": "green",
    "failed": "red",
    "rejected": "red",
    "aborted": "yellow",
    "disabled": "yellow",
    "unusable": "red",
    "pending": "cyan",
}


def console() -> Console:
    """Return a console on stdout."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_WIDE if wide else None, highlight=False, markup=False, emoji=False)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below headers."""
    console().print(make_table(headers, rows))


def make_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table for `rich`; what is too wide for the terminal is folded, the widest columns first, never cut.

    The first column, which names the row, is left in one line where that leaves the others enough to be read.
    """
    from rich.table import Table

    cells = [[cell(value) for value in row] for row in rows]
    widths = [
        max(len(header), *(row[number].cell_len for row in cells), 0) for number, header in enumerate(headers)
    ]
    narrowest = sum(min(width, _COLUMN_MIN) + _GAP for width in widths[1:])
    leaves_room = widths[0] + _GAP + narrowest <= console().width
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(header, overflow="fold", no_wrap=leaves_room and number == 0)
    for row in cells:
        table.add_row(*row)
    return table


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, without those whose value is None."""
    from rich.table import Table

    grid = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), show_header=False)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in fields:
        if value is not None:
            grid.add_row(name, cell(value))
    console().print(grid)


def print_section(title: str, content: RenderableType) -> None:
    """Print a titled part of a page."""
    from rich.text import Text

    page = console()
    page.print()
    page.print(Text(title, style="bold underline"))
    page.print(content)


def print_json(value: object) -> None:
    """Print JSON and nothing else."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_json_value))


def warn(message: str) -> None:
    """Print a warning on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def note(message: str) -> None:
    """Print a remark on stderr, where it does not disturb what reads stdout."""
    print(message, file=sys.stderr)


def cell(value: object) -> Text:
    """Return a value for a table: a dash for nothing, colour for a known status, no control characters."""
    from rich.text import Text

    text = "-" if value is None or value == "" else printable(str(value))
    return Text(text, style=_STYLES.get(text.split(",")[0].split(":")[0], ""))


def printable(text: str) -> str:
    """Return `text` with control characters written out: providers' and users' words do not steer a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def moment(at_ms: int | None) -> str | None:
    """Return a moment in local time, such as ``2026-11-20 17:01:57``."""
    return None if at_ms is None else f"{_local(at_ms):%Y-%m-%d %H:%M:%S}"


def clock_time(at_ms: int) -> str:
    """Return a moment of today as ``17:01:57``, any other with its date."""
    at = _local(at_ms)
    return f"{at:%H:%M:%S}" if at.date() == datetime.now().astimezone().date() else f"{at:%Y-%m-%d %H:%M:%S}"


def _local(at_ms: int) -> datetime:
    return from_ms(at_ms).astimezone()


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    total = max(round(seconds), 0)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    parts: list[str] = []
    for position, (name, size) in enumerate(units):
        count, total = divmod(total, size)
        if count or (not parts and position == len(units) - 1):
            parts.append(f"{count} {name}")
        elif parts:
            break
    return " ".join(parts[:2])


def size(count: int | None) -> str | None:
    """Return a number of bytes: ``512 B``, ``3.2 MB``."""
    if count is None:
        return None
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} GB"


def _json_value(value: object) -> Any:
    """Return what a user may have put into a table and JSON knows no form of."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, set):
        return sorted(value, key=str)
    raise TypeError(f"no JSON form of {type(value).__name__}")
