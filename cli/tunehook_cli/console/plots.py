"""Small plots as SVG, made here: numbers by the hour as bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

_WIDTH: Final = 10
_HEIGHT: Final = 60


def bars(hours: Sequence[tuple[int, int]]) -> Markup:
    """Return a bar an hour, of the tasks that completed and, on top, of those that did not; the oldest hour first.

    >>> str(bars([(2, 0)]))[:4]
    '<svg'
    """
    most = max((good + bad for good, bad in hours), default=0) or 1
    parts = []
    for place, (good, bad) in enumerate(hours):
        tall, top = round(_HEIGHT * good / most), round(_HEIGHT * (good + bad) / most)
        title = f"{_when(place, len(hours))}: {good} completed, {bad} not"
        rects = [("bad", _HEIGHT - top, top - tall), ("good", _HEIGHT - tall, tall)]
        parts.append(_hour(place, title, rects))
    sums = f"{sum(good for good, _ in hours)} completed, {sum(bad for _, bad in hours)} did not"
    label = f"Tasks that ended in each of the last {len(hours)} hours: {sums}, {most} in an hour at most"
    return _svg(parts, len(hours), label)


def columns(hours: Sequence[int | None], what: str) -> Markup:
    """Return a bar an hour of lengths in milliseconds, the oldest first; none where nothing is known.

    >>> "2.0 s at most" in columns([2000, None], "Median")
    True
    """
    known = [each for each in hours if each is not None]
    most = max(known, default=0) or 1
    parts = []
    for place, length in enumerate(hours):
        tall = 0 if length is None else max(round(_HEIGHT * length / most), 1)
        said = "nothing" if length is None else f"{length / 1000:.1f} s"
        parts.append(_hour(place, f"{_when(place, len(hours))}: {said}", [("good", _HEIGHT - tall, tall)]))
    at_most = f"{most / 1000:.1f} s at most" if known else "nothing known"
    return _svg(parts, len(hours), f"{what} in each of the last {len(hours)} hours: {at_most}")


def _when(place: int, hours: int) -> str:
    ago = hours - place
    return f"{ago - 1} to {ago} h ago"


def _hour(place: int, title: str, rects: Iterable[tuple[str, int, int]]) -> str:
    left = place * _WIDTH
    drawn = "".join(
        f'<rect class="{name}" x="{left + 1}" y="{top}" width="{_WIDTH - 2}" height="{height}"/>'
        for name, top, height in rects
    )
    gap = f'<rect class="gap" x="{left}" y="0" width="{_WIDTH}" height="{_HEIGHT}"/>'
    return f"<g><title>{title}</title>{gap}{drawn}</g>"


def _svg(parts: Sequence[str], hours: int, label: str) -> Markup:
    return Markup(  # noqa: S704 - numbers, and words of ours
        f'<svg class="plot" viewBox="0 0 {hours * _WIDTH} {_HEIGHT}" role="img" aria-label="{label}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )
