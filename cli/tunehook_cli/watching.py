"""Following tasks until they have ended, their event is out, and their webhooks are settled."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tunehook.aws.faults import AWS_FAULTS
from tunehook.deliveries import Delivery, DeliveryStatus, delivery_id
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.subscriptions import Subscription, WebhookType, check_subscription, receivers_of
from tunehook.tasks import Status, TaskKey
from tunehook_cli import output
from tunehook_cli.faults import in_words, may_pass
from tunehook_cli.task_view import TaskView

if TYPE_CHECKING:
    from tunehook.aws.deliveries import DeliveriesTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.aws.tasks import TasksTable

LOOK_EVERY_S: Final = 1.0

FAILURES_MAX: Final = 60
"""How many rounds in a row may come to nothing: an hour's watch does not end with one throttled call."""

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

    @property
    def completed(self) -> bool:
        """Whether the task has ended well."""
        return self.task is not None and self.task.status == Status.COMPLETED


class Watcher:
    """Looks at tasks.

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
        self._archived_at: dict[TaskKey, float] = {}
        self._known_subscriptions: tuple[Subscription, ...] | None = None

    def begin_round(self) -> None:
        """Let what follows see the subscriptions as they are now; they are read once a round."""
        self._known_subscriptions = None

    def look(self, key: TaskKey) -> TaskState:
        """Return how a task stands now."""
        item = self._tasks.get(key)
        if item is None:
            return TaskState(key, None, settled=True)
        task = TaskView.of(item)
        # Deliveries are made after the files are kept, and both after the event is out.
        if task.is_pending or task.is_in_index or not task.is_archived:
            self._archived_at.pop(key, None)
            return TaskState(key, task)
        archived_at = self._archived_at.setdefault(key, self._clock())
        expected = self._expected(task, item)
        deliveries = self._deliveries_of(task, expected)
        missing = expected - {delivery.delivery_id for delivery in deliveries}
        settled = not any(delivery.status is DeliveryStatus.PENDING for delivery in deliveries) and (
            not missing or self._clock() - archived_at >= MISSING_S
        )
        return TaskState(key, task, deliveries, settled)

    def _deliveries_of(self, task: TaskView, expected: Iterable[str]) -> tuple[Delivery, ...]:
        since_ms = (task.detected_at_ms or 0) - _CLOCKS_DIFFER_MS
        # The index lags behind the table, so that it alone does not know the latest.
        ids = dict.fromkeys([*self._deliveries.ids_of_task(task.task_id, since_ms), *expected])
        found = (self._deliveries.get(each) for each in ids)
        return tuple(
            delivery for delivery in found if delivery is not None and delivery.event_id == task.event_id
        )

    def _expected(self, task: TaskView, item: Mapping[str, Any]) -> set[str]:
        """Return the deliveries that the subscriptions, and the task's own hook, lead to."""
        if task.event_id is None:
            return set()
        kind = WebhookType.TASK_COMPLETED if task.status == Status.COMPLETED else WebhookType.TASK_FAILED
        receivers = receivers_of(kind, task.provider, self._usable_subscriptions(), item, self._policy)
        return {delivery_id(task.event_id, receiver.subscription_id) for receiver in receivers}

    def _usable_subscriptions(self) -> tuple[Subscription, ...]:
        if self._known_subscriptions is None:
            self._known_subscriptions = tuple(self._read_subscriptions())
        return self._known_subscriptions

    def _read_subscriptions(self) -> Iterator[Subscription]:
        for item in self._subscriptions.all():
            with contextlib.suppress(InvalidInput):
                yield check_subscription(item, self._policy)


def follow(
    watcher: Watcher,
    keys: Sequence[TaskKey],
    show: Callable[[Sequence[TaskState]], None],
    sleep: Callable[[float], None],
) -> list[TaskState]:
    """Look at tasks once a second until all are settled.

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
    botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError
        If AWS refuses, or does not answer `FAILURES_MAX` rounds in a row. Until then the tasks are shown as they were
        seen last, and a remark says why.
    """
    states: dict[TaskKey, TaskState] = {}
    failures = 0
    while True:
        try:
            _look_round(watcher, keys, states)
        except AWS_FAULTS as error:
            failures += 1
            if not may_pass(error) or failures >= FAILURES_MAX:
                raise
            if failures == 1:
                output.note(f"{in_words(error)}; still watching")
        else:
            failures = 0
        show(list(states.values()))
        if len(states) == len(keys) and all(state.settled for state in states.values()):
            return [states[key] for key in keys]
        sleep(LOOK_EVERY_S)


def _look_round(watcher: Watcher, keys: Sequence[TaskKey], states: dict[TaskKey, TaskState]) -> None:
    watcher.begin_round()
    for key in keys:
        if key not in states or not states[key].settled:
            states[key] = watcher.look(key)
