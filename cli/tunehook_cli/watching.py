"""Following tasks until they have ended, their event is out, and their webhooks are settled."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tunehook.deliveries import Delivery, DeliveryStatus, delivery_id
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.subscriptions import Subscription, WebhookType, check_subscription, receivers_of
from tunehook.tasks import Status, TaskKey
from tunehook_cli.task_words import is_pending

if TYPE_CHECKING:
    from tunehook.aws.deliveries import DeliveriesTable
    from tunehook.aws.subscriptions import SubscriptionsTable
    from tunehook.aws.tasks import TasksTable

LOOK_EVERY_S: Final = 1.0

MISSING_S: Final = 20.0
"""How long a delivery is waited for. Fulfillment reads the subscriptions every 15 s: it may know others than we do."""

_CLOCKS_DIFFER_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class TaskState:
    """A task as it was seen last; `item` is None where it has been deleted."""

    key: TaskKey
    item: Mapping[str, Any] | None
    deliveries: tuple[Delivery, ...] = ()
    settled: bool = False

    @property
    def completed(self) -> bool:
        """Whether the task has ended well."""
        return self.item is not None and self.item.get("status") == Status.COMPLETED


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

    def look(self, key: TaskKey) -> TaskState:
        """Return how a task stands now."""
        item = self._tasks.get(key)
        if item is None:
            return TaskState(key, None, settled=True)
        if is_pending(item) or "queue" in item:
            self._archived_at.pop(key, None)
            return TaskState(key, item)
        # Deliveries are made after the event is out, and all of them once the files are settled.
        if "archived_at_ms" not in item:
            self._archived_at.pop(key, None)
            return TaskState(key, item, self._deliveries_of(item, self._expected_of_end(key, item)))
        archived_at = self._archived_at.setdefault(key, self._clock())
        expected = self._expected_of_end(key, item) | self._expected_of_files(key, item)
        deliveries = self._deliveries_of(item, expected)
        expected |= {
            delivery_id(_archived_event_of(item), delivery.subscription_id)
            for delivery in deliveries
            if delivery.says_pending
        }
        missing = expected - {delivery.delivery_id for delivery in deliveries}
        settled = not any(delivery.status is DeliveryStatus.PENDING for delivery in deliveries) and (
            not missing or self._clock() - archived_at >= MISSING_S
        )
        return TaskState(key, item, deliveries, settled)

    def _deliveries_of(self, item: Mapping[str, Any], expected: Iterable[str]) -> tuple[Delivery, ...]:
        since_ms = item.get("detected_at_ms", 0) - _CLOCKS_DIFFER_MS
        # The index lags behind the table, so that it alone does not know the latest.
        ids = dict.fromkeys([*self._deliveries.ids_of_task(item["task_id"], since_ms), *expected])
        found = (self._deliveries.get(each) for each in ids)
        return tuple(
            delivery
            for delivery in found
            if delivery is not None and delivery.event_id in (item.get("event_id"), _archived_event_of(item))
        )

    def _expected_of_end(self, key: TaskKey, item: Mapping[str, Any]) -> set[str]:
        """Return the deliveries of the end that the subscriptions, and the task's own hook, lead to."""
        kind = WebhookType.TASK_COMPLETED if item["status"] == Status.COMPLETED else WebhookType.TASK_FAILED
        return self._expected(kind, item.get("event_id", ""), key, item)

    def _expected_of_files(self, key: TaskKey, item: Mapping[str, Any]) -> set[str]:
        """Return the deliveries of the kept files to those that want to be told in any case."""
        return self._expected(WebhookType.TASK_ARCHIVED, _archived_event_of(item), key, item)

    def _expected(self, kind: WebhookType, event_id: str, key: TaskKey, item: Mapping[str, Any]) -> set[str]:
        receivers = receivers_of(kind, key.provider, self._usable_subscriptions(), item, self._policy)
        return {delivery_id(event_id, receiver.subscription_id) for receiver in receivers}

    def _usable_subscriptions(self) -> Iterator[Subscription]:
        for item in self._subscriptions.all():
            with contextlib.suppress(InvalidInput):
                yield check_subscription(item, self._policy)


def _archived_event_of(item: Mapping[str, Any]) -> str:
    from tunehook.events import archived_event_id  # heavy: pydantic

    return archived_event_id(str(item.get("event_id", "")))


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
    """
    states: dict[TaskKey, TaskState] = {}
    while True:
        for key in keys:
            if key not in states or not states[key].settled:
                states[key] = watcher.look(key)
        show(list(states.values()))
        if all(state.settled for state in states.values()):
            return list(states.values())
        sleep(LOOK_EVERY_S)
