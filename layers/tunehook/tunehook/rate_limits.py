"""How fast a subscription is sent to, where it has a limit (docs/webhook-contract.md, "A rate limit").

Attempts of a limited subscription begin in slots, which lie an interval apart and are a second long. So in any window
of T seconds at most ``per_second * (T + 1) + 1`` attempts begin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from tunehook.errors import InvalidInput

MIN_PER_SECOND: Final = 0.1
MAX_PER_SECOND: Final = 1_000

UNSENT_MAX_MS: Final = 13 * 24 * 3600 * 1000
"""How long after the begin of its run a delivery may wait for its limit: less than how far back one can recover."""

SLOT_MS: Final = 1_000
"""How long a slot is: an attempt may begin so long after the moment that was reserved for it."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many attempts a second; two limits with the same rate differ if it was changed in between.

    `since_ms` is when the command, the API or the page set it: slots that were reserved under another limit are void.
    """

    per_second: float
    since_ms: int = 0

    @property
    def interval_us(self) -> int:
        """How far apart slots are, in microseconds: rounded up, so that there are never too many.

        >>> RateLimit(3).interval_us
        333334
        """
        return math.ceil(1_000_000 / self.per_second)


def check_rate(value: object) -> float | None:
    """Return a subscription's `max_per_second`, None for no limit, or raise `InvalidInput`."""
    if value is None:
        return None
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and MIN_PER_SECOND <= value <= MAX_PER_SECOND
    ):
        return value
    raise InvalidInput("max_per_second", f"must be a number from {MIN_PER_SECOND} to {MAX_PER_SECOND}")


def parse_rate(text: str) -> float:
    """Return the `max_per_second` that a user has typed, or raise `InvalidInput`.

    >>> parse_rate("10")
    10
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    check_rate(number)
    return int(number) if number.is_integer() else number


def rate_text(per_second: float) -> str:
    """Return a rate as users read and write it.

    >>> rate_text(10.0), rate_text(0.25)
    ('10', '0.25')
    """
    return str(int(per_second) if per_second == int(per_second) else per_second)
