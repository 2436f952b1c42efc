"""Learns at which interval a gateway refreshes its tasks: a poll between two refreshes shows nothing new.

A gateway of the new-api family answers from its own database, which it refreshes from its upstream every 15 s.
`updated_at` in an answer is the moment of its last write to the task (`docs/design.md`, "When a task is polled").
All moments are in milliseconds since 1970.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass
from typing import Final

SHORTEST_MS: Final = 6_000
"""A gateway that refreshes more often than this is polled every 5 s anyway."""

LONGEST_MS: Final = 30_000
"""A longer interval counts as chance: no task waits that long for its poll."""

AFTER_REFRESH_MS: Final = 1_200
"""How long after an expected refresh the poll is due: the times are cut to seconds, and a refresh takes a moment."""

_EARLY_MS: Final = 2_000
_AHEAD_MS: Final = 1_000
"""How far a gateway's clock may be behind and ahead; one that is further off is of no use."""

_TOLERANCE_MS: Final = 1_600
_SAMPLES: Final = 16
_SAMPLES_MIN: Final = 3
_SAMPLE_EVERY_MS: Final = 100
_FIT: Final = 0.75
_AFTER_CREATION_MS: Final = 3_000
"""A task's first `updated_at` is the moment of its creation, and no refresh."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A gateway's last write to a task: `at_ms` by the gateway's clock, in an answer that came at `polled_at_ms`.

    It is periodic if it came from a refresh, as far as can be told, and not from the task's creation.
    """

    at_ms: int
    polled_at_ms: int
    is_periodic: bool


class Rhythm:
    """The interval at which a gateway refreshes its tasks, `period_ms`, or None while it is not known.

    It is known once three writes to tasks, of which the one before was seen too, came after about the same time or a
    multiple of it, and forgotten once more than a quarter of them do not. One that an earlier pass learnt is corrected.
    """

    def __init__(self, period_ms: int | None = None) -> None:
        self.period_ms = _plausible(period_ms)
        self._steps: deque[int | None] = deque(maxlen=_SAMPLES)
        self._sampled_at_ms = 0

    def observe(
        self, before: Refresh | None, at_ms: int, polled_at_ms: int, submitted_at_ms: int | None
    ) -> Refresh:
        """Learn from an answer that comes at `polled_at_ms`; `before` is what this returned for the task's last one.

        By the gateway's clock the task was last written to at `at_ms`, and created at `submitted_at_ms` if it says so.
        """
        if before is None:
            is_periodic = submitted_at_ms is not None and at_ms - submitted_at_ms >= _AFTER_CREATION_MS
            return Refresh(at_ms, polled_at_ms, is_periodic)
        if at_ms == before.at_ms:
            return Refresh(at_ms, polled_at_ms, before.is_periodic)
        in_time = before.polled_at_ms - _EARLY_MS <= at_ms <= polled_at_ms + _AHEAD_MS
        if not in_time:
            self._sample(None, polled_at_ms)
        elif before.is_periodic:
            self._sample(at_ms - before.at_ms, polled_at_ms)
        return Refresh(at_ms, polled_at_ms, in_time)

    def _sample(self, step_ms: int | None, now_ms: int) -> None:
        """Keep the time between two writes, None where the clock is of no use; ten a second are enough."""
        if now_ms - self._sampled_at_ms < _SAMPLE_EVERY_MS:
            return
        self._sampled_at_ms = now_ms
        self._steps.append(step_ms)
        if len(self._steps) >= _SAMPLES_MIN:
            self.period_ms = _period_of(tuple(self._steps))

    def next_poll_ms(self, due_ms: int, every_ms: int, after_ms: int, refresh: Refresh | None) -> int:
        """Return the moment just after an expected refresh, or `due_ms` where none is expected or it is late.

        By its age the task is due at `due_ms`, and polled every `every_ms`: where that is longer than the interval,
        refreshes are left out. `refresh` is what `observe` returned for its last answer, at `after_ms`.
        """
        if self.period_ms is None or refresh is None or not refresh.is_periodic:
            return due_ms
        expected_ms = refresh.at_ms + self.period_ms + AFTER_REFRESH_MS
        if not refresh.at_ms - _AHEAD_MS <= after_ms < expected_ms:
            return due_ms
        return expected_ms + max(0, every_ms // self.period_ms - 1) * self.period_ms


def _plausible(period_ms: float | None) -> int | None:
    return round(period_ms) if period_ms is not None and SHORTEST_MS <= period_ms <= LONGEST_MS else None


def _period_of(steps: tuple[int | None, ...]) -> int | None:
    """Return the interval whose multiples nearly all steps are, or None."""
    known = [step_ms for step_ms in steps if step_ms is not None]
    base_ms = min((step_ms for step_ms in known if step_ms >= SHORTEST_MS), default=None)
    if base_ms is None:
        return None
    single = []
    for step_ms in known:
        times = round(step_ms / base_ms)
        if times and abs(step_ms - times * base_ms) <= _TOLERANCE_MS:
            single.append(step_ms / times)
    return _plausible(statistics.fmean(single)) if len(single) >= _FIT * len(steps) else None
