"""When a webhook is attempted, and how long an attempt lasts: by default, and by a subscription's own fields
(docs/webhook-contract.md, "Attempts" and "An own schedule").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tunehook.errors import InvalidInput
from tunehook.validation import is_whole

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 24 * 3600

WAITS_S: Final = (
    5,
    5 * _MINUTE_S,
    30 * _MINUTE_S,
    2 * _HOUR_S,
    5 * _HOUR_S,
    10 * _HOUR_S,
    14 * _HOUR_S,
    20 * _HOUR_S,
    24 * _HOUR_S,
)
"""The waits between the ten attempts of a subscription without a schedule of its own, and of a notify hook."""

MAX_WAITS: Final = 20
MIN_WAIT_S: Final = 1
MAX_WAIT_S: Final = _DAY_S
MAX_SCHEDULE_S: Final = 7 * _DAY_S

MIN_TIMEOUT_S: Final = 1
MAX_TIMEOUT_S: Final = 15
"""How long an attempt may take: at most, and without a time of its own."""

_FAILING_S: Final = 5 * _DAY_S


def check_schedule(value: object) -> tuple[int, ...]:
    """Return the waits of a subscription's own schedule, in whole seconds, or raise `InvalidInput`."""
    waits_s = tuple(value) if isinstance(value, list | tuple) else ()
    if not 1 <= len(waits_s) <= MAX_WAITS or not all(
        is_whole(each, MIN_WAIT_S, MAX_WAIT_S) for each in waits_s
    ):
        raise InvalidInput(
            "retry_schedule",
            f"must be a list of 1 to {MAX_WAITS} waits, each in whole seconds from {MIN_WAIT_S} to {MAX_WAIT_S}",
        )
    if sum(waits_s) > MAX_SCHEDULE_S:
        raise InvalidInput("retry_schedule", f"must be {MAX_SCHEDULE_S} seconds (7 days) in all at most")
    return waits_s


def check_timeout(value: object) -> int:
    """Return how long a subscription's attempts may take, in whole seconds, or raise `InvalidInput`."""
    if not is_whole(value, MIN_TIMEOUT_S, MAX_TIMEOUT_S):
        raise InvalidInput(
            "timeout_s", f"must be a whole number of seconds from {MIN_TIMEOUT_S} to {MAX_TIMEOUT_S}"
        )
    return value


def failing_ms(waits_s: Sequence[int]) -> int:
    """Return how long, in milliseconds, every attempt must have failed until a subscription is disabled.

    A receiver is not given up before one delivery could have gone through its whole schedule.

    >>> failing_ms(WAITS_S) // 3_600_000
    120
    """
    return max(_FAILING_S, sum(waits_s)) * 1000
