"""Poll the tables until tasks have ended and their files are kept, or their webhooks settled too."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from tunehook.aws.error_messages import describe_error, is_transient
from tunehook.aws.errors import AWS_FAULTS
from tunehook.aws.tasks import KnownDetails
from tunehook.deliveries import Delivery, DeliveryStatus, delivery_id
from tunehook.events import archived_event_id
from tunehook.operations.filters import data_on
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import list_subscriptions
from tunehook.operations.task_view import TaskView
from tunehook.subscriptions import Subscription, WebhookType, recipients_of
from tunehook.tasks import Status, TaskKey
from tunehook_cli import output

ROUND_S: Final = 1.0
SUBSCRIPTIONS_EVERY_S: Final = 15.0
"""How often the subscriptions are read: fulfillment reads them no more often."""

INDEX_EVERY_S: Final = 5.0
"""How often the index is queried for deliveries beyond those that a task must have."""

PROMPT_S: Final = 15.0
"""For so long after its files are archived, a task's deliveries are read in every round."""

LATER_ROUNDS: Final = 5
"""After that, every so many rounds: what has not been delivered by then waits for its next attempt."""

TROUBLED_ROUNDS: Final = 10
"""After so many rounds in a row in which AWS refused something, the watch ends with the error."""

_LONGEST_PAUSE_S: Final = 30.0

MISSING_S: Final = 20.0
"""How long a delivery is waited for. Fulfillment reads the subscriptions every 15 s: it may know others than we do."""

_CLOCK_SKEW_MS: Final = 1_000


class Until(StrEnum):
    """What is waited for: ``ARCHIVED``, that the files are kept; ``TOLD``, that the webhooks are settled too."""

    ARCHIVED = "archived"
    TOLD = "told"


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as it was read last, None where it is deleted; it is to be read again in `rounds` rounds.

    `settled` says whether its files are kept and no webhook about it is to come or under way.
    """

    key: TaskKey
    task: TaskView | None
    deliveries: tuple[Delivery, ...] = ()
    settled: bool = False
    rounds: int = 1

    @property
    def completed(self) -> bool:
        return self.task is not None and self.task.status == Status.COMPLETED

    def is_done(self, until: Until) -> bool:
        """Return whether nothing is to be waited for: a task that was deleted, or has failed, will not complete."""
        if self.task is None or not (self.task.is_pending or self.completed):
            return True
        return self.settled or (until is Until.ARCHIVED and self.completed and self.task.is_archived)


@dataclass(slots=True)
class _EndedRun:
    """The deliveries of a run that has ended, and since when its files are known to be settled."""

    event_id: str
    archived_at: float | None = None
    found: dict[str, Delivery | None] = field(default_factory=dict)
    queried_at: float = float("-inf")

    def owed(self) -> set[str]:
        """Return the deliveries that are owed to whoever got one while files were still missing."""
        return {
            delivery_id(archived_event_id(self.event_id), each.subscription_id)
            for each in self.found.values()
            if each is not None and each.says_pending
        }


class Watcher:
    """Reads tasks and their deliveries, no more than may have changed; `clock` is monotonic, in seconds."""

    def __init__(self, stack: Stack, clock: Callable[[], float] = time.monotonic) -> None:
        self._stack = stack
        self._clock = clock
        self._runs: dict[TaskKey, _EndedRun] = {}
        self._details: KnownDetails = {}
        self._usable: list[Subscription] = []
        self._usable_at = float("-inf")

    def read(self, key: TaskKey) -> TaskState:
        item = self._stack.tasks.get(key)
        if item is None:
            return TaskState(key, None, settled=True)
        task = TaskView.of(self._stack.tasks.with_details(item, self._details))
        if task.is_cancelled:
            return TaskState(key, task, settled=True)
        if task.is_pending or task.is_in_index or task.event_id is None:
            self._runs.pop(key, None)
            is_over = not (task.is_pending or task.is_in_index) and task.is_archived
            return TaskState(key, task, settled=is_over)
        run = self._runs.get(key)
        if run is None or run.event_id != task.event_id:
            run = self._runs[key] = _EndedRun(task.event_id)
        # Deliveries are made after the event is out, and all of them once the files are settled.
        kind = WebhookType.TASK_COMPLETED if task.status == Status.COMPLETED else WebhookType.TASK_FAILED
        expected = self._expected(kind, task.event_id, task)
        if not task.is_archived:
            run.archived_at = None
            return TaskState(key, task, self._deliveries_of(task, expected, run))
        if run.archived_at is None:
            run.archived_at = self._clock()
        archived_event = archived_event_id(task.event_id)
        expected |= self._expected(WebhookType.TASK_ARCHIVED, archived_event, task)
        expected |= run.owed()
        deliveries = self._deliveries_of(task, expected, run)
        expected |= run.owed()
        missing = expected - {delivery.delivery_id for delivery in deliveries}
        age_s = self._clock() - run.archived_at
        settled = not any(delivery.status is DeliveryStatus.PENDING for delivery in deliveries) and (
            not missing or age_s >= MISSING_S
        )
        rounds = 1 if age_s < PROMPT_S else LATER_ROUNDS
        return TaskState(key, task, deliveries, settled, rounds)

    def _deliveries_of(self, task: TaskView, expected: Iterable[str], run: _EndedRun) -> tuple[Delivery, ...]:
        # The index lags behind the table, so that it alone does not know the latest.
        ids = dict.fromkeys(expected)
        if self._clock() - run.queried_at >= INDEX_EVERY_S:
            run.queried_at = self._clock()
            since_ms = (task.detected_at_ms or 0) - _CLOCK_SKEW_MS
            ids = dict.fromkeys([*self._stack.deliveries.ids_of_task(task.task_id, since_ms), *ids])
        for each in [*(each for each in ids if each not in run.found), *run.found]:
            known = run.found.get(each)
            if known is None or known.status is DeliveryStatus.PENDING:
                run.found[each] = self._stack.deliveries.get(each, known)
        return tuple(
            delivery
            for delivery in run.found.values()
            if delivery is not None and delivery.event_id in (run.event_id, archived_event_id(run.event_id))
        )

    def _expected(self, kind: WebhookType, event_id: str, task: TaskView) -> set[str]:
        """Return the deliveries that the subscriptions, and the task's own hook, lead to."""
        policy = self._stack.network_policy
        usable = self._usable_subscriptions()
        data = data_on(self._stack, task) if any(each.filter is not None for each in usable) else {}
        recipients = recipients_of(kind, task.provider, usable, task.item, policy, data)
        return {delivery_id(event_id, recipient.subscription_id) for recipient in recipients}

    def _usable_subscriptions(self) -> list[Subscription]:
        if self._clock() - self._usable_at >= SUBSCRIPTIONS_EVERY_S:
            found = list_subscriptions(self._stack)
            self._usable = [each.subscription for each in found if each.subscription is not None]
            self._usable_at = self._clock()
        return self._usable


def follow(
    watcher: Watcher,
    keys: Sequence[TaskKey],
    show: Callable[[Sequence[TaskState]], None],
    sleep: Callable[[float], None],
    *,
    until: Until = Until.TOLD,
    timeout_s: float = math.inf,
    clock: Callable[[], float] = time.monotonic,
) -> list[TaskState]:
    """Read tasks once a second until all are done; return their last states, in the order of `keys`.

    After `timeout_s` it returns although some are not done, without the states of tasks that could not be read.

    `show` gets all states after every round. A transient error of AWS leaves what was known, is noted once, and makes
    the next round later. Any other one is raised, and so is that of the last of `TROUBLED_ROUNDS` rounds in a row.
    """
    ends_at = clock() + timeout_s
    states: dict[TaskKey, TaskState] = {}
    due = dict.fromkeys(keys, 0)
    troubled = number = 0
    while True:
        try:
            for key in [each for each in due if due[each] <= number]:
                states[key] = watcher.read(key)
                due[key] = number + states[key].rounds
                if states[key].is_done(until):
                    due[key] = sys.maxsize
            troubled = 0
        except AWS_FAULTS as error:
            # What is left of the round would only add to the load.
            troubled += 1
            if not is_transient(error) or troubled == TROUBLED_ROUNDS:
                raise
            if troubled == 1:
                output.note(f"{describe_error(error)}; still watching")
        found = [states[key] for key in due if key in states]
        show(found)
        if len(found) == len(due) and all(state.is_done(until) for state in found):
            return found
        if (left_s := ends_at - clock()) <= 0:
            return found
        sleep(min(ROUND_S * 2**troubled, _LONGEST_PAUSE_S, left_s))
        number += 1
