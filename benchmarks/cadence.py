"""How soon an end is detected, and for how many questions: our cadence beside plain loops, in virtual time.

10,000 tasks last uniformly 30 to 120 s (docs/provider-contracts.md, "Figures"). An answer takes no time, for any of the
ways to ask. Run it with ``python -m benchmarks.cadence``.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Protocol

from benchmarks.report import Row, report
from poller.shard_pass import TICK_S
from tunehook.cadence import next_question_ms

TASKS = 10_000
SEED = 4
SHORTEST_MS = 30_000
LONGEST_MS = 120_000
MINUTE_MS = 60_000


class Asking(Protocol):
    """When a task is asked."""

    def __call__(self, submitted_at_ms: int) -> Iterator[int]:
        """Yield the moments of its questions, in order and without end."""


@dataclass(frozen=True, slots=True)
class Found:
    """What watching all tasks came to: questions a task, and seconds from its end to its detection."""

    questions: float
    mean_s: float
    median_s: float
    p95_s: float


def with_cadence(submitted_at_ms: int, *, poll_every_s: float) -> Iterator[int]:
    """Yield the questions of the poller: at the first tick after the task came, then at each that finds it due.

    Ticks lie at whole multiples of `TICK_S`, submissions anywhere between.
    """
    tick_ms = round(TICK_S * 1000)
    asked_at_ms = _next_tick(submitted_at_ms, tick_ms)
    while True:
        yield asked_at_ms
        asked_at_ms = _next_tick(next_question_ms(submitted_at_ms, asked_at_ms, poll_every_s), tick_ms)


def with_loop(submitted_at_ms: int, *, every_s: float) -> Iterator[int]:
    """Yield the questions of a loop that asks at once and then sleeps, as the provider's example does."""
    return count(submitted_at_ms, round(every_s * 1000))


def with_minutes(submitted_at_ms: int) -> Iterator[int]:
    """Yield the questions of a schedule that asks every full minute and at no other time."""
    return count(_next_tick(submitted_at_ms, MINUTE_MS), MINUTE_MS)


def _next_tick(moment_ms: int, tick_ms: int) -> int:
    return -(-moment_ms // tick_ms) * tick_ms


def tasks(number: int = TASKS, seed: int = SEED) -> list[tuple[int, int]]:
    """Return the submission and the end of each task, in milliseconds: the same at every call."""
    chance = random.Random(seed)
    submitted = (chance.randrange(MINUTE_MS) for _ in range(number))
    return [(moment, moment + chance.randint(SHORTEST_MS, LONGEST_MS)) for moment in submitted]


def watch(spans: Sequence[tuple[int, int]], asking: Asking) -> Found:
    """Ask about each task until the first question at or after its end.

    Parameters
    ----------
    spans : sequence of tuple of int and int
        Submission and end of each task, in milliseconds.
    asking : callable
        Yields the moments of a task's questions.
    """
    questions, delays_s = 0, []
    for submitted_at_ms, ended_at_ms in spans:
        for asked_at_ms in asking(submitted_at_ms):
            questions += 1
            if asked_at_ms >= ended_at_ms:
                delays_s.append((asked_at_ms - ended_at_ms) / 1000)
                break
    return Found(
        questions / len(spans),
        statistics.fmean(delays_s),
        statistics.median(delays_s),
        statistics.quantiles(delays_s, n=20)[-1],
    )


def main() -> None:
    """Watch the same tasks in each way and report."""
    spans = tasks()
    ours = watch(spans, partial(with_cadence, poll_every_s=5))
    seed_loop = watch(spans, partial(with_loop, every_s=5))
    rows = [
        *_rows("tunehook, 5 s provider", ours, mean_at_most_s=2.6, p95_at_most_s=5.2),
        *_rows("tunehook, 15 s provider", watch(spans, partial(with_cadence, poll_every_s=15))),
        *_rows("loop every 5 s", seed_loop),
        *_rows("loop every 15 s", watch(spans, partial(with_loop, every_s=15))),
        *_rows("schedule every 60 s", watch(spans, with_minutes)),
        Row(
            "tunehook, 5 s provider: questions / loop every 5 s",
            ours.questions / seed_loop.questions,
            "ratio",
            at_most=0.85,
        ),
    ]
    report("cadence", f"{len(spans):,} tasks of 30 to 120 s, virtual time", rows)


def _rows(
    who: str, found: Found, mean_at_most_s: float | None = None, p95_at_most_s: float | None = None
) -> list[Row]:
    return [
        Row(f"{who}: questions", found.questions, "questions/task"),
        Row(f"{who}: delay, mean", found.mean_s, "s", at_most=mean_at_most_s),
        Row(f"{who}: delay, p50", found.median_s, "s"),
        Row(f"{who}: delay, p95", found.p95_s, "s", at_most=p95_at_most_s),
    ]


if __name__ == "__main__":
    main()
