"""The output of the commands: tables for people or JSON for programs, times and sizes in human form.

What is too wide for the terminal (40 columns or more) is folded; what stdout cannot encode is written as an escape.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunehook.operations.text import visible
from tunehook.times import from_ms

_WIDE: Final = 500
"""The width where there is no terminal: whoever reads the output there wants whole lines."""

_COLUMN_MIN: Final = 8
_GAP: Final = 2
_FIELD_GAP: Final = 3
_INDENT: Final = 2

_DOTS: Final = "…"

_STATUSES: Final = {
    "green": ("completed", "delivered", "enabled"),
    "red": ("failed", "rejected", "unusable"),
    "yellow": ("aborted", "disabled"),
    "cyan": ("pending",),
}
_STYLES: Final = {status: colour for colour, statuses in _STATUSES.items() for status in statuses}


class Output:
    """Prints the results of a command: with ``--json`` its document alone, otherwise what people read."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def json(self, document: object) -> None:
        """Print JSON, for programs alone; models and dataclasses in it are written as objects."""
        if self.as_json:
            print_json(document)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        if not self.as_json:
            console().print(make_table(headers, rows))

    def fields(self, fields: Iterable[tuple[str, object]]) -> None:
        """Print names and values, one pair a line, without those whose value is None."""
        if not self.as_json:
            page = console()
            shown = [(name, cell(value)) for name, value in fields if value is not None]
            page.print(_fields(shown, page.width))

    def section(self, title: str, content: RenderableType) -> None:
        if not self.as_json:
            page = console()
            page.print()
            page.print(Text(title, style="bold underline"))
            page.print(content)

    def line(self, text: str) -> None:
        if not self.as_json:
            print(text)

    def note(self, message: str) -> None:
        if not self.as_json:
            note(message)


def prepare_streams() -> None:
    """Let nothing that is printed end the command: what an encoding has no bytes for is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def console() -> Console:
    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_WIDE if wide else None, highlight=False, markup=False, emoji=False)


def make_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> RenderableType:
    """Return a table for `rich`; what is too wide for the terminal is folded, the widest columns first, never cut.

    The first column is not folded. Where it leaves too little for the others, each row is a block, a line a column.
    """
    cells = [[cell(value) for value in row] for row in rows]
    widths = [
        max(len(header), *(row[number].cell_len for row in cells), 0) for number, header in enumerate(headers)
    ]
    width = console().width
    if widths[0] + sum(_GAP + min(each, _COLUMN_MIN) for each in widths[1:]) > width:
        return _blocks(headers, cells, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for number, header in enumerate(headers):
        table.add_column(header, overflow="fold", no_wrap=number == 0)
    for row in cells:
        table.add_row(*row)
    return table


def _blocks(headers: Sequence[str], rows: Iterable[Sequence[Text]], width: int) -> RenderableType:
    labels = [header.lower() for header in headers]
    parts: list[RenderableType] = []
    for name, *others in rows:
        name.stylize("bold")
        name.overflow = "fold"
        shown = [
            (label, value) for label, value in zip(labels[1:], others, strict=True) if value.plain != "-"
        ]
        parts += [name, Padding(_fields(shown, width - _INDENT), (0, 0, 0, _INDENT))]
    return Group(*parts)


def _fields(fields: Sequence[tuple[str, Text]], width: int) -> RenderableType:
    """Return names and values; a value of which a word does not fit beside the names stands below its own."""
    label_width = max((len(name) for name, _ in fields), default=0)
    parts: list[RenderableType] = []
    for name, value in fields:
        value.overflow = "fold"
        label = Text(name, style="dim")
        longest = max((word.cell_len for word in value.split(" ")), default=0)
        if longest > width - label_width - _FIELD_GAP:
            parts += [label, Padding(value, (0, 0, 0, _INDENT))]
            continue
        line = Table(box=None, pad_edge=False, padding=(0, _FIELD_GAP, 0, 0), show_header=False)
        line.add_column(no_wrap=True, width=label_width)
        line.add_column(overflow="fold")
        line.add_row(label, value)
        parts.append(line)
    return Group(*parts)


def print_json(value: object) -> None:
    print(_json(value, indent=2))


def print_json_line(value: object) -> None:
    """Print JSON as one line, at once: for what comes little by little."""
    print(_json(value), flush=True)


def _json(value: object, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=not _speaks_unicode(), default=_json_value)


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def _speaks_unicode() -> bool:
    return _encoding().lower().replace("_", "-") in ("utf-8", "utf8")


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


def note(message: str) -> None:
    """Print a remark for people on stderr: programs read stdout."""
    print(message, file=sys.stderr)


def cell(value: object) -> Text:
    """Return a value for a table: a dash for nothing, colour for a known status, no control characters."""
    text = "-" if value is None or value == "" else printable(str(value))
    return Text(text, style=_STYLES.get(text.split(",")[0].split(":")[0], ""))


def printable(text: str) -> str:
    """Return `text` with control characters, and what the encoding of stdout lacks, written as escapes."""
    shown, encoding = visible(text), _encoding()
    if _speaks_unicode():
        return shown
    try:
        _DOTS.encode(encoding)
    except UnicodeEncodeError:
        shown = shown.replace(_DOTS, "...")
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def moment(at_ms: int | None) -> str | None:
    """Return a moment in local time, such as ``2026-11-20 17:01:57``; a number that is none as it is."""
    if at_ms is None:
        return None
    at = _local(at_ms)
    return f"{at_ms} ms" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def clock_time(at_ms: int) -> str:
    """Return a moment of today as ``17:01:57``, any other as `moment` does."""
    at = _local(at_ms)
    if at is not None and at.date() == datetime.now().astimezone().date():
        return f"{at:%H:%M:%S}"
    return str(moment(at_ms))


def _local(at_ms: int) -> datetime | None:
    try:
        return from_ms(at_ms).astimezone()
    except (OverflowError, ValueError, OSError):
        # Whoever writes items by hand may write years that no calendar has.
        return None


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
    """Return the public document of what an operation returned; the JSON form of what users put into a table."""
    from tunehook.operations.documents import document_of

    value = document_of(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, set):
        return sorted(value, key=str)
    raise TypeError(f"no JSON form of {type(value).__name__}")
