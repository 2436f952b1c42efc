"""Lengths of time as users write them: ``90s``, ``30m``, ``2h``, ``7d``."""

from __future__ import annotations

import re
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
