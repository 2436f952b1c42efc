"""The output of the commands: tables for people or JSON for programs, times and sizes in human form.

Nothing is wider than the terminal (40 columns or more); what stdout cannot encode is written as an escape.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from datetime import timezone as fixed_zone
from typing import TYPE_CHECKING, Any, Final

from tunehook.operations.text import visible
from tunehook.times import from_ms
from tunehook_cli import layout
from tunehook_cli.layout import Cell, Lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDE: Final = 10_000
"""The width where there is no terminal: whoever reads the output there wants whole lines."""

_DOTS: Final = "…"

_NO_LINKS: Final = ("dumb", "unknown", "linux", "ansi", "cygwin")
"""Values of TERM of terminals that print what a link is written with, or drop it."""

_STATUSES: Final = {
    "green": ("completed", "delivered", "enabled"),
    "red": ("failed", "rejected", "unusable"),
    "yellow": ("aborted", "cancelled", "disabled"),
    "cyan": ("pending",),
}
_STYLES: Final = {status: colour for colour, statuses in _STATUSES.items() for status in statuses}


class Output:
    """Prints the results of a command: with ``--json`` its document alone, otherwise what people read."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def json(self, document: object) -> None:
        """Print JSON, for programs alone: what operations return as its document, or what a function returns.

        A function is called only where JSON is wanted, and so can import `tunehook.operations.documents`.
        """
        if self.as_json:
            print_json(document() if callable(document) else document)

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Print a listing: from 80 columns on a row has 3 lines at most, and the end of a text may be left out."""
        if not self.as_json:
            print_lines(make_table(headers, rows, listed=True))

    def fields(self, fields: Iterable[tuple[str, object]]) -> None:
        """Print names and values, one pair a line, without those whose value is None."""
        if not self.as_json:
            shown = [(name, cell(value)) for name, value in fields if value is not None]
            print_lines(layout.fields(shown, width()))

    def section(self, title: str, content: RenderableType | Lines) -> None:
        """Print a title, and below it lines, or a text that is folded as the terminal needs it."""
        if self.as_json:
            return
        heading, room = Cell(title, "bold underline"), width()
        folded = [heading] if room is None else layout.wrap(heading, room)
        print_lines(Lines(((), *((each,) for each in folded))))
        if isinstance(content, str):
            lines = [Cell(each) for each in content.split("\n")]
            folded = lines if room is None else [part for each in lines for part in layout.wrap(each, room)]
            content = Lines(tuple((each,) for each in folded))
        if isinstance(content, Lines):
            print_lines(content)
        else:
            console().print(content)

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
    from rich.console import Console

    return Console(width=None if width() else _WIDE, highlight=False, markup=False, emoji=False)


def width() -> int | None:
    """Return how many columns the terminal has, None where stdout is none and nobody says how wide it is."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        return None
    return shutil.get_terminal_size().columns


def knows_links() -> bool:
    """Return whether stdout is a terminal in which a word can be a link, and nobody wants plain output."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") in _NO_LINKS
    return sys.stdout.isatty() and not plain


def print_lines(lines: Lines) -> None:
    """Print lines as they are laid out, in colours on a terminal, none with spaces at its end."""
    if sys.stdout.isatty() or os.environ.get("FORCE_COLOR"):
        console().print(lines, soft_wrap=True)
        return
    for line in lines.lines:
        print(layout.plain(line))


def make_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, listed: bool = False) -> Lines:
    """Return a table as `tunehook_cli.layout` lays it out; a column of `clock_time` has the zone in its heading."""
    cells = [[cell(value) for value in row] for row in rows]
    return layout.table(headers, cells, width(), zone=zone(), dots=_dots(), listed=listed)


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


def cell(value: object) -> Cell:
    """Return a value for a table: a dash for nothing, colour for a known status, no control characters."""
    if isinstance(value, Cell):
        return value
    text = "-" if value is None or value == "" else printable(str(value))
    style = _STYLES.get(text.split(",")[0].split(":")[0], "")
    return Cell(text, style, is_time=isinstance(value, ClockTime))


def _dots() -> str:
    return printable(_DOTS)


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


class ClockTime(str):
    """A time in the zone of `zone`, which the heading of its column says in a table."""

    __slots__ = ()


def moment(at_ms: int | None) -> str | None:
    """Return a moment such as ``2026-11-20 17:01:57 UTC+1``; a number that is none as it is."""
    if at_ms is None:
        return None
    at = _local(at_ms)
    return f"{at_ms} ms" if at is None else ClockTime(f"{at:%Y-%m-%d %H:%M:%S} {zone()}")


def clock_time(at_ms: int) -> ClockTime:
    """Return a moment of today as ``17:01:57``, any other with its date, both without the zone."""
    at = _local(at_ms)
    if at is None:
        return ClockTime(f"{at_ms} ms")
    today = datetime.now(_zone()).date()
    return ClockTime(f"{at:%H:%M:%S}" if at.date() == today else f"{at:%Y-%m-%d %H:%M:%S}")


def zone() -> str:
    """Return the zone of all times that are printed, that of this machine at this moment: ``UTC``, ``UTC+5:30``."""
    minutes = _zone().utcoffset(None) // timedelta(minutes=1)
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"


def _zone() -> fixed_zone:
    # One for all moments, in summer and winter: a heading names one.
    return fixed_zone(datetime.now().astimezone().utcoffset() or timedelta())


def _local(at_ms: int) -> datetime | None:
    try:
        return from_ms(at_ms).astimezone(_zone())
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
