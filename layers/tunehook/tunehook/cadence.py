"""When the next poll of a pending task is due (`docs/design.md`, "When a task is polled"); waiting costs no write."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a task is polled at which age: from which age on, and how often, both in seconds, youngest first.

    Before the first step a task is polled only once, when it is new.
    """

    steps: tuple[tuple[int, int], ...]

    def interval_ms(self, age_ms: int) -> int:
        """Return how often a task of this age is polled, in milliseconds."""
        every_s = self.steps[0][1]
        for start_s, step_s in self.steps:
            if age_ms >= start_s * 1000:
                every_s = step_s
        return every_s * 1000

    def with_callbacks(self) -> Pace:
        """Return the pace for a provider that calls back: every 60 s while a task is young, then as this one has it."""
        return Pace((CALLED_BACK, self.steps[-1]))


CALLED_BACK: Final = (0, 60)
"""The step of young tasks that their provider calls back about: a net for the callback that does not come."""

DIRECT: Final = Pace(((20, 5), (180, 15), (600, 60)))
"""For providers whose answers are as fresh as they are (docs/provider-contracts.md, "Figures")."""

GATEWAY: Final = Pace(((0, 5), (180, 10), (600, 30)))
"""For gateways that refresh a database of their own every 15 s, and answer about 100 tasks in one call."""

GATEWAY_ONE_BY_ONE: Final = Pace(((0, 10), (180, 20), (600, 60)))
"""For such gateways without query-many."""


def next_poll_ms(submitted_at_ms: int, after_ms: int, pace: Pace) -> int:
    """Return the first moment after the last poll at which the next is due, in milliseconds since 1970.

    Due moments lie at fixed ages, whoever polls, so a new poller goes on exactly where another stopped. The caller
    polls a new task at once: that depends on no age.
    """
    age_ms = after_ms - submitted_at_ms
    steps = pace.steps
    for (start_s, every_s), (end_s, _) in pairwise(steps):
        due_ms = _first_step_after(age_ms, start_s, every_s)
        if due_ms < end_s * 1000:
            return submitted_at_ms + due_ms
    return submitted_at_ms + _first_step_after(age_ms, *steps[-1])


def _first_step_after(age_ms: int, start_s: int, every_s: int) -> int:
    start_ms, every_ms = start_s * 1000, every_s * 1000
    steps = max(0, (age_ms - start_ms) // every_ms + 1)
    return start_ms + steps * every_ms
