"""Polling intervals: when a pending task is asked next, a pure function, so that waiting costs no write.

The rule is `docs/design.md`, "When a task is asked".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a task is asked at which age.

    Attributes
    ----------
    steps : tuple of tuple of int and int
        From which age on, and how often from there on, both in seconds, youngest first. Before the first step
        nothing is asked, but for the one question at once that every new task gets.
    """

    steps: tuple[tuple[int, int], ...]

    def interval_ms(self, age_ms: int) -> int:
        """Return how often a task of this age is asked, in milliseconds."""
        every_s = self.steps[0][1]
        for start_s, step_s in self.steps:
            if age_ms >= start_s * 1000:
                every_s = step_s
        return every_s * 1000


DIRECT: Final = Pace(((20, 5), (180, 15), (600, 60)))
"""For providers whose answers are as fresh as they are (docs/provider-contracts.md, "Figures")."""

GATEWAY: Final = Pace(((0, 5), (180, 10), (600, 30)))
"""For gateways that refresh a database of their own every 15 s, and are asked about 100 tasks in one call."""

GATEWAY_ONE_BY_ONE: Final = Pace(((0, 10), (180, 20), (600, 60)))
"""For such gateways without query-many."""


def next_question_ms(submitted_at_ms: int, after_ms: int, pace: Pace) -> int:
    """Return the first moment after `after_ms` at which a task is due to be asked.

    Due moments lie at fixed ages, whoever asks, so a new poller goes on exactly where another stopped. That a new
    task is asked once at once is the caller's part: it depends on no age.

    Parameters
    ----------
    submitted_at_ms : int
        When the provider took the task, in milliseconds since 1970.
    after_ms : int
        The moment up to which the task has been looked after, in milliseconds since 1970.
    pace : Pace
        How often its provider is asked.

    Returns
    -------
    int
        Milliseconds since 1970; always greater than `after_ms`.
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
