"""Small plots as SVG, made here: numbers by the hour as bars."""

from __future__ import annotations

from collections.abc import Sequence
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
        left = place * _WIDTH
        tall, top = round(_HEIGHT * good / most), round(_HEIGHT * (good + bad) / most)
        title = f"{len(hours) - place} h ago: {good} completed, {bad} not"
        parts.append(
            f'<g><title>{title}</title><rect class="gap" x="{left}" y="0" width="{_WIDTH}" height="{_HEIGHT}"/>'
            f'<rect class="bad" x="{left + 1}" y="{_HEIGHT - top}" width="{_WIDTH - 2}" height="{top - tall}"/>'
            f'<rect class="good" x="{left + 1}" y="{_HEIGHT - tall}" width="{_WIDTH - 2}" height="{tall}"/></g>'
        )
    width = len(hours) * _WIDTH
    label = f"Tasks that ended in each of the last {len(hours)} hours"
    return Markup(  # noqa: S704 - numbers alone
        f'<svg class="plot" viewBox="0 0 {width} {_HEIGHT}" role="img" aria-label="{label}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )
