"""How soon an end is detected, and for how many questions: our cadence beside plain loops, in virtual time.

10,000 tasks last uniformly 30 to 120 s (docs/provider-contracts.md, "Figures"). Behind a gateway that refreshes its own
database every 15 s 2,000 of them are asked about, 100 in one call, and the delay counts from the gateway's own change.
An answer takes no time, for any of the ways to ask. Run it with ``python -m benchmarks.cadence``.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Protocol

from benchmarks.report import Row, report
from poller.poll_loop import TICK_S
from tunehook.cadence import DIRECT, GATEWAY, GATEWAY_ONE_BY_ONE, Pace, next_poll_ms
from tunehook.providers.kinds.suno import Suno
from tunehook.rhythm import Refresh, Rhythm

TASKS = 10_000
GATEWAY_TASKS = 2_000
REFRESH_EVERY_MS = 15_000
PASS_MS = 60_000
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


def with_cadence(submitted_at_ms: int, *, pace: Pace) -> Iterator[int]:
    """Yield the questions of the poller: at the first tick after the task came, then at each that finds it due.

    Ticks lie at whole multiples of `TICK_S`, submissions anywhere between.
    """
    tick_ms = round(TICK_S * 1000)
    asked_at_ms = _next_tick(submitted_at_ms, tick_ms)
    while True:
        yield asked_at_ms
        asked_at_ms = _next_tick(next_poll_ms(submitted_at_ms, asked_at_ms, pace), tick_ms)


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


@dataclass(slots=True)
class Gateway:
    """A gateway that refreshes its own database by a poll of its upstream, of all unfinished tasks at once.

    Attributes
    ----------
    refreshes_ms : int
        The time between two polls.
    begins_ms : int
        When the first poll is.
    """

    refreshes_ms: int = REFRESH_EVERY_MS
    begins_ms: int = 0

    def change_ms(self, moment_ms: int) -> int:
        """Return the first poll at or after a moment."""
        return self.begins_ms - (self.begins_ms - moment_ms) // self.refreshes_ms * self.refreshes_ms

    def updated_at_ms(self, submitted_at_ms: int, now_ms: int) -> int:
        """Return what `updated_at` of an unfinished task says: its last poll, or its creation, cut to seconds."""
        last_ms = self.change_ms(now_ms + 1) - self.refreshes_ms
        return max(last_ms, submitted_at_ms) // 1000 * 1000


@dataclass(slots=True)
class _Asked:
    submitted_at_ms: int
    changed_at_ms: int
    due_ms: int
    refresh: Refresh | None = None


@dataclass(slots=True)
class Shard:
    """What a poller keeps of the tasks of one gateway, and what it asks.

    Attributes
    ----------
    pace : Pace
        How often tasks are asked.
    ids_per_call : int
        How many tasks one call asks about.
    follows : bool
        Whether the gateway's rhythm is followed.
    """

    pace: Pace
    ids_per_call: int
    follows: bool
    calls_of_many: int = 0
    singles: int = 0
    questions: int = 0
    delays_s: list[float] = field(default_factory=list)

    def watch(self, spans: Sequence[tuple[int, int]], gateway: Gateway) -> None:
        """Ask about each task, tick by tick, until the gateway says that it has ended.

        A pass of the poller lasts a minute. The next one knows the gateway's interval, as it is kept, and no more.
        """
        waiting = sorted(spans)
        watched: list[_Asked] = []
        tick_ms = round(TICK_S * 1000)
        rhythm = Rhythm()
        for now_ms in count(0, tick_ms):
            if now_ms % PASS_MS == 0:
                rhythm = Rhythm(rhythm.period_ms)
                for each in watched:
                    each.refresh = None
                    each.due_ms = next_poll_ms(each.submitted_at_ms, now_ms, self.pace)
            while waiting and waiting[0][0] <= now_ms:
                submitted_at_ms, ended_at_ms = waiting.pop(0)
                watched.append(_Asked(submitted_at_ms, gateway.change_ms(ended_at_ms), now_ms))
            due = [each for each in watched if each.due_ms <= now_ms]
            self._count(len(due))
            for each in due:
                self._ask(each, gateway, rhythm, now_ms)
            watched = [each for each in watched if now_ms < each.changed_at_ms or each.due_ms > now_ms]
            if not waiting and not watched:
                return

    def _count(self, due: int) -> None:
        self.questions += due
        whole, rest = divmod(due, self.ids_per_call)
        if self.ids_per_call == 1:
            self.singles += due
        else:
            self.calls_of_many += whole + (rest > 1)
            self.singles += rest == 1

    def _ask(self, each: _Asked, gateway: Gateway, rhythm: Rhythm, now_ms: int) -> None:
        if now_ms >= each.changed_at_ms:
            self.delays_s.append((now_ms - each.changed_at_ms) / 1000)
            return
        each.due_ms = next_poll_ms(each.submitted_at_ms, now_ms, self.pace)
        if self.follows:
            updated_at_ms = gateway.updated_at_ms(each.submitted_at_ms, now_ms)
            each.refresh = rhythm.observe(
                each.refresh, updated_at_ms, now_ms, each.submitted_at_ms // 1000 * 1000
            )
            every_ms = self.pace.interval_ms(now_ms - each.submitted_at_ms)
            each.due_ms = rhythm.next_poll_ms(each.due_ms, every_ms, now_ms, each.refresh)


def main() -> None:
    """Watch the same tasks in each way and report."""
    spans = tasks()
    ours = watch(spans, partial(with_cadence, pace=DIRECT))
    seed_loop = watch(spans, partial(with_loop, every_s=5))
    rows = [
        *_rows("tunehook, 5 s provider", ours, mean_at_most_s=2.6, p95_at_most_s=5.2),
        *_rows("tunehook, gateway, one by one", watch(spans, partial(with_cadence, pace=GATEWAY_ONE_BY_ONE))),
        *_rows("loop every 5 s", seed_loop),
        *_rows("loop every 15 s", watch(spans, partial(with_loop, every_s=15))),
        *_rows("schedule every 60 s", watch(spans, with_minutes)),
        Row(
            "tunehook, 5 s provider: questions / loop every 5 s",
            ours.questions / seed_loop.questions,
            "ratio",
            at_most=0.85,
        ),
        *_gateway_rows(spans[:GATEWAY_TASKS]),
    ]
    report("cadence", f"{len(spans):,} tasks of 30 to 120 s, virtual time", rows)


def _gateway_rows(spans: Sequence[tuple[int, int]]) -> Iterator[Row]:
    many = Suno.ids_per_call
    ways = {
        "as tunehook asks": Shard(GATEWAY, many, follows=True),
        "every 5 s": Shard(GATEWAY, many, follows=False),
        "every 15 s": Shard(Pace(((20, 15),)), many, follows=False),
        "one by one": Shard(GATEWAY_ONE_BY_ONE, 1, follows=False),
    }
    for who, shard in ways.items():
        shard.watch(spans, Gateway(begins_ms=random.Random(SEED).randrange(REFRESH_EVERY_MS)))
        name = f"gateway that refreshes every 15 s, {who}"
        ours = who == "as tunehook asks"
        yield Row(
            f"{name}: delay, mean", statistics.fmean(shard.delays_s), "s", at_most=2.6 if ours else None
        )
        yield Row(f"{name}: delay, p95", statistics.quantiles(shard.delays_s, n=20)[-1], "s")
        yield Row(f"{name}: questions", shard.questions / len(spans), "questions/task")
        yield Row(f"{name}: calls of query-many", shard.calls_of_many, "calls")
        yield Row(f"{name}: calls for one task", shard.singles, "calls")


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
