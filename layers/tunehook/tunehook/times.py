"""Conversions of times: ``datetime`` in UTC inside, milliseconds since 1970 in DynamoDB, ISO-8601 in events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999: no moment can be written beyond it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def now_ms() -> int:
    """Return the present moment in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class SteadySeconds:
    """Seconds that go on while Lambda halts the process, as the wall clock does, and never go back, as that may."""

    def __init__(self, clock: Callable[[], int] = now_ms) -> None:
        self._clock = clock
        self._ahead_s = 0.0
        self._last_s = -math.inf

    def __call__(self) -> float:
        seconds = self._clock() / 1000 + self._ahead_s
        self._last_s = max(seconds, self._last_s)
        self._ahead_s += self._last_s - seconds
        return self._last_s


def to_ms(moment: datetime) -> int:
    """Return an aware `moment` in milliseconds since 1970, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(value: int) -> datetime:
    """Return the UTC moment `value` milliseconds after 1970; raise `OverflowError` outside the years 1 to 9999."""
    return _EPOCH + timedelta(milliseconds=value)


def iso(moment: datetime) -> str:
    """Return `moment` as ISO-8601 in UTC with milliseconds: ``2026-11-20T16:01:57.123Z``."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
