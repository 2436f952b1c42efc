"""How long the last tasks took: from their end at the provider to its detection, and to the webhook at the receiver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pydantic import BaseModel

from tunehook.aws.deliveries import LoggedDelivery
from tunehook.deliveries import DeliveryStatus
from tunehook.operations.newest import newest_deliveries, newest_tasks
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.tasks import Status
from tunehook.times import now_ms

LAST: Final = 1_000
"""Over how many ended tasks, the last, the times are taken."""

LOOKED_AT: Final = 1_200
"""How many of the newest tasks are read, as some are still pending."""

DELIVERIES_READ: Final = 1_000
HOURS: Final = 24

_HOUR_MS: Final = 3_600_000
_READ: Final = ("task_id", "provider", "status", "finished_at_ms", "detected_at_ms", "archived_at_ms")


class Spread(BaseModel, frozen=True):
    """The middle of some lengths of time, and what 95 of 100 stay within; None where there are none."""

    count: int
    median_ms: int | None
    p95_ms: int | None


class Timings(BaseModel, frozen=True):
    """The last `ended` tasks: those of 24 hours by status and hour, and how fast they were told.

    `by_hour` has a pair an hour, the oldest first: how many completed, and how many ended otherwise; beside it are the
    medians of each hour. `reaches_ms` is when the first of these tasks ended: what ended before is not counted.
    `is_whole` says whether all that is to be read has been, `read` how many tasks that are so far.
    """

    ended: int
    reaches_ms: int | None
    is_all_of_today: bool
    today: dict[str, int]
    by_hour: list[tuple[int, int]]
    detection_by_hour: list[int | None]
    webhook_by_hour: list[int | None]
    detection: Spread
    webhook: Spread
    read: int
    is_whole: bool


class RecentTimings:
    """Reads the newest tasks and deliveries of a stack, bit by bit, and what has ended once.

    >>> RecentTimings(stack).read(1_000).detection
    Spread(count=0, median_ms=None, p95_ms=None)
    """

    def __init__(self, stack: Stack, clock_ms: Callable[[], int] = now_ms) -> None:
        self._tasks = newest_tasks(stack, _READ, most=LOOKED_AT, clock_ms=clock_ms)
        self._deliveries = newest_deliveries(stack, most=DELIVERIES_READ, clock_ms=clock_ms)
        self._clock_ms = clock_ms
        self._known: list[TaskView] = []
        self._sent: list[LoggedDelivery] = []

    def read(self, more: int) -> Timings:
        """Read `more` of the tasks and then of the deliveries that were not read yet, or else what is new of both."""
        if not self._tasks.is_whole:
            self._known = self._tasks.refresh(more)
        elif not self._deliveries.is_whole:
            self._sent = self._deliveries.refresh(more)
        else:
            self._known, self._sent = self._tasks.refresh(0), self._deliveries.refresh(0)
        known, deliveries = self._known, self._sent
        ends = ((each.detected_at_ms, each) for each in known if each.detected_at_ms is not None)
        ended = sorted(ends, key=lambda end: end[0], reverse=True)[:LAST]
        whole = self._tasks.is_whole and self._deliveries.is_whole
        return _timings(
            ended,
            deliveries,
            self._clock_ms(),
            len(known),
            whole=whole,
            is_all=self._tasks.is_whole and len(known) < LOOKED_AT,
        )


def _timings(
    ends: Sequence[tuple[int, TaskView]],
    deliveries: Sequence[LoggedDelivery],
    now: int,
    read: int,
    *,
    whole: bool,
    is_all: bool,
) -> Timings:
    since = now - HOURS * _HOUR_MS
    counts = [[0, 0] for _ in range(HOURS)]
    for at_ms, task in ends:
        if since <= at_ms < now:
            counts[(at_ms - since) // _HOUR_MS][task.status != Status.COMPLETED] += 1
    finished: dict[tuple[str | None, str | None], int | None] = {
        (each.task_id, each.provider): each.finished_at_ms for _, each in ends
    }
    detection = [(at_ms, at_ms - task.finished_at_ms) for at_ms, task in ends if task.finished_at_ms]
    webhook = [
        (arrived_ms, arrived_ms - end_ms)
        for each in deliveries
        if (end_ms := finished.get((each.task_id, each.provider)))
        and (arrived_ms := _arrived_ms(each)) is not None
    ]
    reaches_ms = min((at_ms for at_ms, _ in ends), default=None)
    return Timings(
        ended=len(ends),
        reaches_ms=reaches_ms,
        is_all_of_today=is_all or (reaches_ms is not None and reaches_ms < since),
        today=dict(Counter(task.status for at_ms, task in ends if at_ms >= since)),
        by_hour=[(good, bad) for good, bad in counts],
        detection_by_hour=_by_hour(detection, since),
        webhook_by_hour=_by_hour(webhook, since),
        detection=_spread(length for _, length in detection),
        webhook=_spread(length for _, length in webhook),
        read=read,
        is_whole=whole,
    )


def _arrived_ms(delivery: LoggedDelivery) -> int | None:
    """Return when a delivery was accepted; None also for one that was made once more, long after, by hand."""
    if delivery.status is not DeliveryStatus.DELIVERED or not delivery.attempts or delivery.run != 1:
        return None
    last = delivery.attempts[-1]
    return int(last.at_ms + last.duration_ms)


def _by_hour(lengths: Iterable[tuple[int, int]], since: int) -> list[int | None]:
    hours: list[list[int]] = [[] for _ in range(HOURS)]
    for at_ms, length in lengths:
        if 0 <= (hour := (at_ms - since) // _HOUR_MS) < HOURS:
            hours[hour].append(length)
    return [_spread(each).median_ms for each in hours]


def _spread(lengths: Iterable[int]) -> Spread:
    ordered = sorted(max(each, 0) for each in lengths)
    if not ordered:
        return Spread(count=0, median_ms=None, p95_ms=None)
    return Spread(
        count=len(ordered),
        median_ms=ordered[len(ordered) // 2],
        p95_ms=ordered[len(ordered) * 95 // 100],
    )
