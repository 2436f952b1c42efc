"""A deliveries queue in virtual time, over the real table code and moto."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.aws import client
from tests.support.template import table_definition

from tunehook.aws.circuits import CircuitsTable
from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.send_slots import SendSlots
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, message_for, new_delivery
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.secret_versions import FIRST, SecretVersions
from tunehook.signatures import notify_hook_subscription_id
from tunehook.subscriptions import check_subscription
from tunehook.tasks import Format
from webhooks.attempt import Result
from webhooks.circuit_breaker import CircuitBreaker
from webhooks.delivery import Deliverer, Outcome
from webhooks.message_batcher import MessageBatcher
from webhooks.policy import ResponseClass
from webhooks.rate_limiter import RateLimiter
from webhooks.subscription_cache import Subscribed, SubscriptionCache
from webhooks.subscription_health import SubscriptionHealth

# As documented, and not imported: a bound that moves is to be noticed.
MAX_DELAY_S = 900

START_MS = 1_800_000_000_000
VISIBILITY_MS = 360_000
HOOK = "https://hook.example/"
TABLES = {
    "deliveries": "DeliveriesTable",
    "subscriptions": "SubscriptionsTable",
    "versions": "SecretVersionsTable",
    "gates": "ReceiverGatesTable",
    "tasks": "TasksTable",
}


def delivery(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "event_id": "evt_1",
        "subscription_id": "sub",
        "task_id": "task",
        "provider": "musicmint",
        "type": "task.completed",
        "event_at_ms": START_MS - 5_000,
        "format": Format.STANDARD,
        "payload": "{}",
        "now_ms": START_MS,
    }
    return new_delivery(**values | changes)


def hook_delivery(**changes: Any) -> Delivery:
    return delivery(url=HOOK, subscription_id=notify_hook_subscription_id(HOOK), **changes)


def subscribed(
    item: dict[str, Any], policy: NetworkPolicy = NetworkPolicy.ANY, secret: SecretVersions = FIRST
) -> Subscribed:
    """Return a subscription as the worker reads it from this item."""
    item = {"subscription_id": "sub"} | item
    try:
        return Subscribed(item=item, usable=check_subscription(item, policy), secret=secret)
    except InvalidInput as error:
        return Subscribed(item=item, usable=error, secret=secret)


def create_tables(client: Any) -> None:
    for name, logical_id in TABLES.items():
        client.create_table(**table_definition(logical_id) | {"TableName": name})


class Receiver:
    """Stands where `webhooks.attempt.Sender` does: each attempt gets the next of its classes; None hangs."""

    def __init__(
        self, *classes: ResponseClass | BaseException | None, retry_after: str | None = None
    ) -> None:
        self.classes = list(classes)
        self.retry_after = retry_after
        self.attempts: list[tuple[int, int, int]] = []
        self.payloads: list[str] = []

    async def attempt(self, delivery: Delivery, subscription: Any, master_secret: str, now_ms: int) -> Result:
        self.payloads.append(delivery.payload)
        self.attempts.append((delivery.run, delivery.next_attempt, now_ms))
        response_class = self.classes.pop(0) if len(self.classes) > 1 else self.classes[0]
        if isinstance(response_class, BaseException):
            raise response_class
        if response_class is None:
            return self.hang(delivery, now_ms)
        attempt = Attempt(
            run=delivery.run,
            attempt=delivery.next_attempt,
            at_ms=now_ms,
            duration_ms=20,
            status_code=200 if response_class is ResponseClass.DELIVERED else 503,
            excerpt="",
        )
        return Result(attempt, response_class, True, self.retry_after)

    def hang(self, delivery: Delivery, now_ms: int) -> Result:
        attempt = Attempt(
            run=delivery.run,
            attempt=delivery.next_attempt,
            at_ms=now_ms,
            duration_ms=15_000,
            error="DeadlineExceeded",
        )
        return Result(attempt, ResponseClass.FAILED, False)


@dataclass
class Secret:
    """Stands where `webhooks.secret.MasterSecret` does."""

    read: Callable[[], str]

    async def get(self) -> str:
        return self.read()


class Bus:
    """Stands where `EventBus` does: keeps what is put, or refuses it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.refuses = False

    def put(self, events: Any) -> list[bool]:
        if not self.refuses:
            self.events += events
        return [not self.refuses] * len(events)


@dataclass
class World:
    receiver: Receiver
    now_ms: int = START_MS
    master_secret: Callable[[], str] = lambda: "m" * 32
    jitter: float = 0.0
    remaining_ms: int = 60_000
    sent: list[DeliveryMessage] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.client = client("dynamodb")
        create_tables(self.client)
        self.table: Any = DeliveriesTable(self.client, "deliveries")
        self.tasks: Any = TasksTable(self.client, "tasks")
        self.versions: Any = SecretVersionsTable(self.client, "versions")
        self.subscriptions = self.read_subscriptions(SubscriptionsTable(self.client, "subscriptions"))
        self.bus = Bus()
        bus: Any = self.bus
        self.gates: Any = CircuitsTable(self.client, "gates")
        self.breaker = CircuitBreaker(self.gates, lambda: self.now_ms)
        self.limiter = RateLimiter(SendSlots(self.client, "gates"), self.subscriptions, lambda: self.now_ms)
        self.health = SubscriptionHealth(self.subscriptions, self.table, bus)
        self._order = itertools.count()
        self._heap: list[tuple[int, int, DeliveryMessage, int]] = []

    def read_subscriptions(self, table: Any, versions: Any = None) -> SubscriptionCache:
        return SubscriptionCache(
            table, versions or self.versions, NetworkPolicy.ANY, clock=lambda: self.now_ms / 1000
        )

    async def send_batch(self, messages: list[DeliveryMessage], now_ms: int) -> None:
        """Stands where `DeliveriesQueue.send_batch` does."""
        self.send_all(messages, now_ms)

    def send_all(self, messages: list[DeliveryMessage], now_ms: int) -> None:
        for message in messages:
            self.send(message, now_ms)

    def send(self, message: DeliveryMessage, now_ms: int) -> None:
        self.sent.append(message)
        wait_ms = min(max(message.due_at_ms - now_ms, 0), MAX_DELAY_S * 1000)
        self.arrive(message, self.now_ms + -(-wait_ms // 1000) * 1000)

    def arrive(self, message: DeliveryMessage, at_ms: int, receive_count: int = 1) -> None:
        heapq.heappush(self._heap, (at_ms, next(self._order), message, receive_count))

    def next_arrival(self) -> tuple[int, DeliveryMessage, int] | None:
        """Take the next message off the queue, with the moment at which it comes and how often it has come by then."""
        if not self._heap:
            return None
        at_ms, _, message, receive_count = heapq.heappop(self._heap)
        return at_ms, message, receive_count

    def subscribe(self, **item: Any) -> None:
        item = {"subscription_id": "sub", "url": "https://example.com/"} | item
        self.client.put_item(TableName="subscriptions", Item=to_attributes(item))

    def rotate(self, previous_until_ms: int = 0) -> None:
        """Rotate the subscription's secret as the command does."""
        item = self.subscription()
        rotated = self.versions.rotate(
            item, self.versions.of(item), previous_until_ms=previous_until_ms, rotation="rotation"
        )
        assert rotated is not None

    def subscription(self) -> dict[str, Any]:
        key = to_attributes({"subscription_id": "sub"})
        return from_attributes(self.client.get_item(TableName="subscriptions", Key=key)["Item"])

    def add(self, delivery: Delivery) -> DeliveryMessage:
        assert self.table.create(delivery)
        message = message_for(delivery)
        self.arrive(message, self.now_ms)
        return message

    def item(self, delivery: Delivery) -> dict[str, Any]:
        key = to_attributes({"delivery_id": delivery.delivery_id})
        return from_attributes(self.client.get_item(TableName="deliveries", Key=key)["Item"])

    @property
    def deliverer(self) -> Deliverer:
        queue: Any = self
        sender: Any = self.receiver
        secret: Any = Secret(self.master_secret)
        return Deliverer(
            tasks=self.tasks,
            deliveries=self.table,
            batcher=MessageBatcher(queue, lambda: self.now_ms),
            subscriptions=self.subscriptions,
            breaker=self.breaker,
            limiter=self.limiter,
            health=self.health,
            sender=sender,
            master_secret=secret,
            now_ms=lambda: self.now_ms,
            jitter=lambda: self.jitter,
            remaining_ms=lambda: self.remaining_ms,
        )

    async def run(self, messages: int = 1_000) -> None:
        """Handle what arrives, in order, until nothing is left; what fails becomes visible again later."""
        for _ in range(messages):
            arrival = self.next_arrival()
            if arrival is None:
                return
            at_ms, message, receive_count = arrival
            self.now_ms = max(self.now_ms, at_ms)
            try:
                self.outcomes.append(await self.deliverer.handle(message, receive_count))
            except Exception as fault:  # noqa: BLE001 - whatever it is, the message comes again
                self.faults.append(fault)
                self.arrive(message, self.now_ms + VISIBILITY_MS, receive_count + 1)

    @property
    def idle(self) -> bool:
        return not self._heap
