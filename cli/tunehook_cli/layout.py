"""How tables and fields are laid out in lines: none is wider than the terminal, and none ends with a space.

Where a table has no room, the columns that do not fit move below the line of their row, each with its name; the first
column and the status stay in it, whole. Where even these have no room, each row is a block, a line a column. Lines that
go to no terminal have no width to keep: a row is one line there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

GAP: Final = 2
INDENT: Final = 2
_FIELD_GAP: Final = 3

_STATUSES: Final = ("STATUS", "STATE")
_NOTHING: Final = "-"

_PADDED_MAX: Final = 40
"""How far a column is padded where there is no terminal: one long cell must not push the others away in all rows."""

_CHAR_MAX: Final = 2
"""How wide a character is at most."""

_TEXT_MIN: Final = 24
"""What a text in the last column needs to stay in it, over two lines."""

_LISTED_FROM: Final = 80
_LISTED_LINES: Final = 3
_CUT_STEP: Final = 4
"""From such a width on a row of a listing has so many lines at most: the end of a text is left out."""


class Cell(NamedTuple):
    """A text with its style, as `rich` reads styles; that a time, `is_time`, is in such a zone the heading says."""

    plain: str
    style: str = ""
    is_time: bool = False

    @property
    def width(self) -> int:
        return cell_len(self.plain)

    @property
    def is_text(self) -> bool:
        """Whether it may be cut: what has no space in it may be an id or a URL."""
        return " " in self.plain


Line = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines to be printed, each made of cells."""

    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join(map(plain, self.lines))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        from rich.text import Text

        for line in self.lines:
            parts = [(cell.plain, cell.style) for cell in line]
            text = Text.assemble(*parts, no_wrap=True, overflow="ignore")
            text.rstrip()
            yield text


def plain(line: Line) -> str:
    return "".join(cell.plain for cell in line).rstrip()


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    width: int | None,
    *,
    zone: str = "",
    dots: str = "…",
    listed: bool = False,
) -> Lines:
    """Return a table of at most `width`; `zone` is that of times, and `listed` leaves out the ends of long texts."""
    timed = [any(row[number].is_time for row in rows) for number in range(len(headers))]
    rows = [[_unzoned(each, zone) for each in row] for row in rows]
    titles = [f"{each} ({zone})" if at and zone else each for each, at in zip(headers, timed, strict=True)]
    widths = [max(len(title), *(row[number].width for row in rows), 0) for number, title in enumerate(titles)]
    if width is None:
        widths = [min(each, max(_PADDED_MAX, len(title))) for each, title in zip(widths, titles, strict=True)]
        return Lines((_heading(titles, widths), *(_row(row, widths) for row in rows)))
    kept = _kept(headers, widths, width)
    if kept is None:
        names = [each.lower() for each in headers]
        return Lines(tuple(line for row in rows for line in _block(names, row, width, zone)))
    room = width - _total(widths[number] for number in kept)
    moved = [number for number in range(len(headers)) if number not in kept]
    last = len(headers) - 1
    room -= GAP
    folds = moved == [last] and _fits_in_two([row[last] for row in rows], titles[last], room)
    shown = [*kept, last] if folds else kept
    lines = [_heading([titles[n] for n in shown], [widths[n] for n in kept])]
    for row in rows:
        first = [row[number] for number in kept]
        if folds:
            texts = wrap(row[last], room)
            indent = Cell(" " * (width - room))
            lines.append(_row([*first, texts[0]], [*(widths[n] for n in kept), 0]))
            lines += [(indent, text) for text in texts[1:]]
            continue
        lines.append(_row(first, [widths[number] for number in kept]))
        pieces = [
            (headers[number].lower(), _zoned(row[number], zone))
            for number in moved
            if row[number].plain != _NOTHING
        ]
        most = _LISTED_LINES - 1 if listed and width >= _LISTED_FROM else None
        lines += _below(pieces, width, most, dots)
    return Lines(tuple(lines))


def _kept(headers: Sequence[str], widths: Sequence[int], width: int) -> list[int] | None:
    """Return the columns that stay in the line of their row, None if the first and the status have no room."""
    kept = {0, *(number for number, header in enumerate(headers) if header in _STATUSES)}
    if _total(widths[number] for number in kept) > width:
        return None
    for number in range(len(headers)):
        if _total(widths[each] for each in {*kept, number}) <= width:
            kept.add(number)
    return sorted(kept)


def _total(widths: Iterable[int]) -> int:
    return sum(each + GAP for each in widths) - GAP


def _fits_in_two(cells: Sequence[Cell], title: str, room: int) -> bool:
    if room < max(_TEXT_MIN, len(title)):
        return False
    longest = max((cell_len(word) for cell in cells for word in cell.plain.split(" ")), default=0)
    return longest <= room and all(len(wrap(cell, room)) <= 2 for cell in cells)


def _heading(titles: Sequence[str], widths: Sequence[int]) -> Line:
    return _row([Cell(title, "bold") for title in titles], [*widths, *[0] * (len(titles) - len(widths))])


def _row(cells: Sequence[Cell], widths: Sequence[int]) -> Line:
    line: list[Cell] = []
    for cell, width in zip(cells, widths, strict=True):
        line += [cell, Cell(" " * (max(width - cell.width, 0) + GAP))]
    return tuple(line[:-1])


def _unzoned(cell: Cell, zone: str) -> Cell:
    return cell._replace(plain=cell.plain.removesuffix(f" {zone}")) if cell.is_time and zone else cell


def _zoned(cell: Cell, zone: str) -> Cell:
    return Cell(f"{cell.plain} {zone}", cell.style) if cell.is_time and zone else cell


def _below(pieces: Sequence[tuple[str, Cell]], width: int, most: int | None, dots: str) -> list[Line]:
    """Return the lines below that of a row: names and values, as many in a line as fit.

    Where there are more than `most`, the last text is cut, or goes.
    """
    lines = _packed(pieces, width)
    if most is None or len(lines) <= most or not (text := pieces[-1][1]).is_text:
        return lines
    for length in range(text.width - 1, _TEXT_MIN, -_CUT_STEP):
        lines = _packed([*pieces[:-1], (pieces[-1][0], cut(text, length, dots))], width)
        if len(lines) <= most:
            return lines
    return _packed(pieces[:-1], width)


def _packed(pieces: Iterable[tuple[str, Cell]], width: int) -> list[Line]:
    room, left = width - INDENT, 0
    lines: list[list[Cell]] = []
    for name, value in pieces:
        label = Cell(f"{name} ", "dim")
        length = label.width + value.width
        if GAP + length <= left:
            lines[-1] += [Cell(" " * GAP), label, value]
            left -= GAP + length
            continue
        if (beside := left - GAP - label.width) >= _TEXT_MIN and value.is_text:
            first, *others = wrap(value, room - INDENT, first=beside)
            lines[-1] += [Cell(" " * GAP), label, first]
        else:
            first, *others = wrap(value, room - INDENT, first=room - label.width)
            lines.append([label, first])
        lines += [[Cell(" " * INDENT), each] for each in others]
        left = 0 if others else room - length
    return [(Cell(" " * INDENT), *line) for line in lines]


def _block(names: Sequence[str], row: Sequence[Cell], width: int, zone: str) -> Iterator[Line]:
    for text in wrap(row[0], width):
        yield (Cell(text.plain, "bold"),)
    pairs = zip(names[1:], row[1:], strict=True)
    shown = [(name, _zoned(value, zone)) for name, value in pairs if value.plain != _NOTHING]
    for line in fields(shown, width - INDENT).lines:
        yield (Cell(" " * INDENT), *line)


def fields(pairs: Sequence[tuple[str, Cell]], width: int | None) -> Lines:
    """Return names and values, a pair a line; a value of which a word does not fit beside the names stands below."""
    names = max((len(name) for name, _ in pairs), default=0)
    lines: list[Line] = []
    for name, value in pairs:
        label = Cell(name.ljust(names + _FIELD_GAP), "dim")
        if width is None:
            lines.append((label, value))
            continue
        room = width - label.width
        longest = max(cell_len(word) for word in value.plain.split(" "))
        if longest > room:
            lines += [(Cell(name, "dim"),)] if name else []
            lines += [(Cell(" " * INDENT), text) for text in wrap(value, width - INDENT)]
            continue
        first, *others = wrap(value, room)
        lines.append((label, first))
        lines += [(Cell(" " * label.width), text) for text in others]
    return Lines(tuple(lines))


def hanging(label: Cell, text: Cell, width: int | None) -> Iterator[Line]:
    """Yield a text that is folded beside its label."""
    texts = [text] if width is None else wrap(text, max(width - label.width, 1))
    yield label, texts[0]
    for each in texts[1:]:
        yield Cell(" " * label.width), each


def wrap(cell: Cell, width: int, first: int | None = None) -> list[Cell]:
    """Return the lines of a text of at most `width`, the first of `first`: folded at spaces, and where it must be.

    The first one is empty where a word fits into the second one only.
    """
    lines: list[str] = []
    width = max(width, _CHAR_MAX)
    line, room = "", width if first is None else max(first, _CHAR_MAX)
    for word in cell.plain.split(" "):
        gap = " " if line else ""
        if cell_len(line + gap + word) <= room:
            line += gap + word
            continue
        if line:
            lines.append(line)
            room = width
        if not lines and room < cell_len(word) <= width:
            lines.append("")
            room = width
        while cell_len(word) > room:
            head = chop_cells(word, room)[0]
            lines.append(head)
            word, room = word[len(head) :], width
        line = word
    return [Cell(each, cell.style) for each in (*lines, line)]


def cut(cell: Cell, width: int, dots: str = "…") -> Cell:
    """Return a text of at most `width`, with dots for its end."""
    if cell.width <= width:
        return cell
    text = set_cell_size(cell.plain, max(width - cell_len(dots), 0)).rstrip()
    return Cell(f"{text}{dots}", cell.style)
