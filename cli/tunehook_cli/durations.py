"""Lengths of time as users write them: ``90s``, ``30m``, ``2h``, ``7d``, and several: ``5s,5m,1h``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tunehook.errors import InvalidInput

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION: Final = re.compile(rf"(?P<count>[0-9]{{1,9}})(?P<unit>[{''.join(_UNITS_MS)}])")


def parse_duration(text: str, field: str, *, at_most: str | None = None) -> int:
    """Return a length of time in milliseconds; raise `InvalidInput` for `field` if it is none, or above `at_most`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput(field, "must be a whole number and a unit, such as 90s, 30m, 2h or 7d")
    duration_ms = int(match["count"]) * _UNITS_MS[match["unit"]]
    if at_most is not None and duration_ms > parse_duration(at_most, field):
        raise InvalidInput(field, f"must be at most {at_most}")
    return duration_ms


def parse_seconds(text: str, field: str) -> int:
    """Return a length of time in seconds; raise `InvalidInput` for `field` if it is none."""
    return parse_duration(text.strip(), field) // 1000


def parse_schedule(text: str, field: str) -> list[int]:
    """Return the waits of a schedule such as ``5s,5m,1h`` in seconds, or raise `InvalidInput` for `field`."""
    return [parse_seconds(each, field) for each in text.split(",")]


def duration_text(seconds: int) -> str:
    """Return a length of time as `parse_duration` reads it, in its largest whole unit: ``90s``, ``2h``."""
    unit, unit_ms = next(
        (unit, unit_ms) for unit, unit_ms in reversed(_UNITS_MS.items()) if seconds * 1000 % unit_ms == 0
    )
    return f"{seconds * 1000 // unit_ms}{unit}"


def duration_texts(waits_s: Iterable[int]) -> str:
    """Return the waits of a schedule as `parse_schedule` reads them."""
    return ", ".join(map(duration_text, waits_s))
