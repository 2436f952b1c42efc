"""Following tasks until they have ended, their event is out, and their webhooks are settled."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tunehook.aws.errors import AWS_FAULTS
from tunehook.deliveries import Delivery, DeliveryStatus, delivery_id
from tunehook.errors import InvalidInput
from tunehook.events import archived_event_id
from tunehook.http.guard import NetworkPolicy
from tunehook.subscriptions import Subscription, WebhookType, check_subscription, recipients_of
from tunehook.tasks import Status, TaskKey
from tunehook_cli import output
from tunehook_cli.faults import in_words, may_pass
from tunehook_cli.task_view import TaskView

if TYPE_CHECKING:
    from tunehook.aws.deliveries import DeliveriesTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.aws.tasks import TasksTable

LOOK_EVERY_S: Final = 1.0

SUBSCRIPTIONS_EVERY_S: Final = 15.0
"""How often the subscriptions are read: fulfillment knows them no better."""

INDEX_EVERY_S: Final = 5.0
"""How often a task's deliveries are looked for beyond those that it must have."""

PROMPT_S: Final = 15.0
"""For so long after its files are kept, a task's webhooks are looked at in every round."""

LATER_ROUNDS: Final = 5
"""After that, every so many rounds: what has not been delivered by then waits for its next attempt."""

TROUBLED_ROUNDS: Final = 10
"""After so many rounds in a row in which AWS refused something, the trouble is told and the watch ends."""

_LONGEST_PAUSE_S: Final = 30.0

MISSING_S: Final = 20.0
"""How long a delivery is waited for. Fulfillment reads the subscriptions every 15 s: it may know others than we do."""

_CLOCKS_DIFFER_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as it was seen last; `task` is None where it has been deleted."""

    key: TaskKey
    task: TaskView | None
    deliveries: tuple[Delivery, ...] = ()
    settled: bool = False
    rounds: int = 1
    """In how many rounds it is to be looked at again."""

    @property
    def completed(self) -> bool:
        """Whether the task has ended well."""
        return self.task is not None and self.task.status == Status.COMPLETED


@dataclass(slots=True)
class _Told:
    """What is known of the webhooks of a run that has ended, and since when its files are known to be settled."""

    event_id: str
    archived_at: float | None = None
    found: dict[str, Delivery | None] = field(default_factory=dict)
    looked_for_at: float = float("-inf")

    def of_the_rest(self) -> set[str]:
        """Return the deliveries that are owed to whoever was told while files were waited for."""
        return {
            delivery_id(archived_event_id(self.event_id), each.subscription_id)
            for each in self.found.values()
            if each is not None and each.says_pending
        }


class Watcher:
    """Looks at tasks, and reads no more than may have changed: a delivery that has ended is not read again.

    Parameters
    ----------
    tasks, deliveries, subscriptions
        The tables.
    policy : NetworkPolicy
        Where a URL may point: no webhook is sent elsewhere.
    clock : callable, optional
        Seconds that never go back.
    """

    def __init__(
        self,
        tasks: TasksTable,
        deliveries: DeliveriesTable,
        subscriptions: SubscriptionsTable,
        policy: NetworkPolicy,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tasks
        self._deliveries = deliveries
        self._subscriptions = subscriptions
        self._policy = policy
        self._clock = clock
        self._told: dict[TaskKey, _Told] = {}
        self._usable: list[Subscription] = []
        self._usable_at = float("-inf")

    def look(self, key: TaskKey) -> TaskState:
        """Return how a task stands now."""
        item = self._tasks.get(key)
        if item is None:
            return TaskState(key, None, settled=True)
        task = TaskView.of(item)
        if task.is_pending or task.is_in_index or task.event_id is None:
            self._told.pop(key, None)
            is_over = not (task.is_pending or task.is_in_index) and task.is_archived
            return TaskState(key, task, settled=is_over)
        told = self._told.get(key)
        if told is None or told.event_id != task.event_id:
            told = self._told[key] = _Told(task.event_id)
        # Deliveries are made after the event is out, and all of them once the files are settled.
        kind = WebhookType.TASK_COMPLETED if task.status == Status.COMPLETED else WebhookType.TASK_FAILED
        expected = self._expected(kind, task.event_id, task, item)
        if not task.is_archived:
            told.archived_at = None
            return TaskState(key, task, self._deliveries_of(task, expected, told))
        if told.archived_at is None:
            told.archived_at = self._clock()
        archived_event = archived_event_id(task.event_id)
        expected |= self._expected(WebhookType.TASK_ARCHIVED, archived_event, task, item)
        expected |= told.of_the_rest()
        deliveries = self._deliveries_of(task, expected, told)
        expected |= told.of_the_rest()
        missing = expected - {delivery.delivery_id for delivery in deliveries}
        age_s = self._clock() - told.archived_at
        settled = not any(delivery.status is DeliveryStatus.PENDING for delivery in deliveries) and (
            not missing or age_s >= MISSING_S
        )
        rounds = 1 if age_s < PROMPT_S else LATER_ROUNDS
        return TaskState(key, task, deliveries, settled, rounds)

    def _deliveries_of(self, task: TaskView, expected: Iterable[str], told: _Told) -> tuple[Delivery, ...]:
        # The index lags behind the table, so that it alone does not know the latest.
        ids = dict.fromkeys(expected)
        if self._clock() - told.looked_for_at >= INDEX_EVERY_S:
            told.looked_for_at = self._clock()
            since_ms = (task.detected_at_ms or 0) - _CLOCKS_DIFFER_MS
            ids = dict.fromkeys([*self._deliveries.ids_of_task(task.task_id, since_ms), *ids])
        for each in [*(each for each in ids if each not in told.found), *told.found]:
            known = told.found.get(each)
            if known is None or known.status is DeliveryStatus.PENDING:
                told.found[each] = self._deliveries.get(each)
        return tuple(
            delivery
            for delivery in told.found.values()
            if delivery is not None and delivery.event_id in (told.event_id, archived_event_id(told.event_id))
        )

    def _expected(
        self, kind: WebhookType, event_id: str, task: TaskView, item: Mapping[str, Any]
    ) -> set[str]:
        """Return the deliveries that the subscriptions, and the task's own hook, lead to."""
        receivers = recipients_of(kind, task.provider, self._usable_subscriptions(), item, self._policy)
        return {delivery_id(event_id, receiver.subscription_id) for receiver in receivers}

    def _usable_subscriptions(self) -> list[Subscription]:
        if self._clock() - self._usable_at >= SUBSCRIPTIONS_EVERY_S:
            items = self._subscriptions.all()
            self._usable, self._usable_at = [], self._clock()
            for item in items:
                with contextlib.suppress(InvalidInput):
                    self._usable.append(check_subscription(item, self._policy))
        return self._usable


def _archived_event_of(item: Mapping[str, Any]) -> str:
    from tunehook.events import archived_event_id  # heavy: pydantic

    return archived_event_id(str(item.get("event_id", "")))


def follow(
    watcher: Watcher,
    keys: Sequence[TaskKey],
    show: Callable[[Sequence[TaskState]], None],
    sleep: Callable[[float], None],
) -> list[TaskState]:
    """Look at tasks in rounds, once a second, until all are settled.

    A call that AWS refuses (it is throttled, or the network is away) leaves what was known, and the next round comes
    later: a watch of hours does not end by it.

    Parameters
    ----------
    watcher : Watcher
        Looks.
    keys : sequence of TaskKey
        The tasks; a settled one is not looked at again.
    show : callable
        Is given all states after every round.
    sleep : callable
        Waits for a number of seconds.

    Returns
    -------
    list of TaskState
        The last states, in the order of `keys`.

    Raises
    ------
    botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
        If AWS refuses what it will always refuse, or anything in `TROUBLED_ROUNDS` rounds in a row. Until then the
        tasks are shown as they were seen last, and a remark says why.
    """
    states: dict[TaskKey, TaskState] = {}
    due = dict.fromkeys(keys, 0)
    troubled = 0
    number = 0
    while True:
        try:
            for key in [each for each in due if due[each] <= number]:
                states[key] = watcher.look(key)
                due[key] = number + states[key].rounds
                if states[key].settled:
                    due[key] = sys.maxsize
            troubled = 0
        except AWS_FAULTS as error:
            # What is left of the round would only add to the load.
            troubled += 1
            if not may_pass(error) or troubled == TROUBLED_ROUNDS:
                raise
            if troubled == 1:
                output.note(f"{in_words(error)}; still watching")
        found = [states[key] for key in due if key in states]
        show(found)
        if len(found) == len(due) and all(state.settled for state in found):
            return found
        sleep(min(LOOK_EVERY_S * 2**troubled, _LONGEST_PAUSE_S))
        number += 1
