"""How long the last tasks took: from their end at the provider to its detection, and to the webhook at the receiver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from pydantic import BaseModel

from tunehook.aws.deliveries import LoggedDelivery
from tunehook.aws.pages import LIMIT_MAX
from tunehook.deliveries import DeliveryStatus
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.tasks import Status, TaskKey
from tunehook.times import now_ms

LOOKED_AT: Final = 1_000
"""How many of the newest tasks, and of the newest deliveries, are read."""

HOURS: Final = 24

_HOUR_MS: Final = 3_600_000
_READ: Final = ("task_id", "provider", "status", "finished_at_ms", "detected_at_ms")


class Spread(BaseModel, frozen=True):
    """The middle of some lengths of time, and what 95 of 100 stay within; None where there are none."""

    median_ms: int | None
    p95_ms: int | None


class Timings(BaseModel, frozen=True):
    """The last `ended` tasks: those of 24 hours by status and hour, and how fast they were told.

    `by_hour` has a pair an hour, the oldest first: how many completed, and how many ended otherwise.
    """

    ended: int
    today: dict[str, int]
    by_hour: list[tuple[int, int]]
    detection: Spread
    webhook: Spread


def recent_timings(stack: Stack) -> Timings:
    """Read the newest `LOOKED_AT` tasks and deliveries, and say how long they took.

    >>> recent_timings(stack).detection
    Spread(median_ms=None, p95_ms=None)
    """
    now = now_ms()
    tasks = {key: task for key, task in _tasks(stack).items() if task.detected_at_ms is not None}
    finished = {key: task.finished_at_ms for key, task in tasks.items() if task.finished_at_ms is not None}
    ends = [(task.detected_at_ms or 0, task.status) for task in tasks.values()]
    since = now - HOURS * _HOUR_MS
    hours = [[0, 0] for _ in range(HOURS)]
    for at_ms, status in ends:
        if since <= at_ms < now:
            hours[(at_ms - since) // _HOUR_MS][status != Status.COMPLETED] += 1
    return Timings(
        ended=len(tasks),
        today=dict(Counter(status for at_ms, status in ends if at_ms >= since)),
        by_hour=[(good, bad) for good, bad in hours],
        detection=_spread((tasks[key].detected_at_ms or 0) - at_ms for key, at_ms in finished.items()),
        webhook=_spread(_told(stack, finished)),
    )


def _tasks(stack: Stack) -> dict[TaskKey, TaskView]:
    listed = stack.tasks.listed if stack.has_lists else stack.tasks.listed_by_scan
    keys = [key for _, key in islice(listed(), LOOKED_AT)]
    found: dict[TaskKey, TaskView] = {}
    for start in range(0, len(keys), LIMIT_MAX):
        items = stack.tasks.get_many(keys[start : start + LIMIT_MAX], _READ)
        found |= {key: TaskView.of(item) for key, item in items.items()}
    return found


def _told(stack: Stack, finished: Mapping[TaskKey, int]) -> Iterable[int]:
    table = stack.deliveries
    newest = table.listed(now_ms()) if stack.has_lists else table.listed_by_scan()
    ids = [each.delivery_id for _, each in islice(newest, LOOKED_AT)]
    for start in range(0, len(ids), LIMIT_MAX):
        for delivery in stack.deliveries.get_logged(ids[start : start + LIMIT_MAX]):
            end_ms = finished.get(TaskKey(delivery.task_id, delivery.provider))
            arrived_ms = _arrived_ms(delivery)
            # Deliveries that were made by hand, long after, would say nothing of how fast this is.
            if end_ms is not None and arrived_ms is not None and delivery.run == 1:
                yield arrived_ms - end_ms


def _arrived_ms(delivery: LoggedDelivery) -> int | None:
    if delivery.status is not DeliveryStatus.DELIVERED or not delivery.attempts:
        return None
    last = delivery.attempts[-1]
    return int(last.at_ms + last.duration_ms)


def _spread(lengths: Iterable[int]) -> Spread:
    ordered = sorted(max(each, 0) for each in lengths)
    if not ordered:
        return Spread(median_ms=None, p95_ms=None)
    return Spread(
        median_ms=ordered[len(ordered) // 2], p95_ms=ordered[min(len(ordered) * 95 // 100, len(ordered) - 1)]
    )
