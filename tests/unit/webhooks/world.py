"""A deliveries queue in virtual time, over the real table code and moto."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3

from tunehook.aws.deliveries import MAX_DELAY_S, DeliveriesTable
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import Attempt, Delivery, DeliveryMessage, message_for, new_delivery
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format
from webhooks.attempt import Result
from webhooks.delivery import Deliverer, Outcome
from webhooks.subscriptions import Subscriptions
from webhooks.verdict import Verdict

START_MS = 1_800_000_000_000
VISIBILITY_MS = 360_000
HOOK = "https://hook.example/"


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


def create_tables(client: Any) -> None:
    for name, key in (("deliveries", "delivery_id"), ("subscriptions", "subscription_id")):
        client.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )


class Receiver:
    """Stands where `webhooks.attempt.Sender` does: each attempt gets the next of its verdicts."""

    def __init__(self, *verdicts: Verdict | Exception, retry_after: str | None = None) -> None:
        self.verdicts = list(verdicts)
        self.retry_after = retry_after
        self.attempts: list[tuple[int, int, int]] = []

    async def attempt(self, delivery: Delivery, subscription: Any, master_secret: str, now_ms: int) -> Result:
        self.attempts.append((delivery.run, delivery.next_attempt, now_ms))
        verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        if isinstance(verdict, Exception):
            raise verdict
        attempt = Attempt(
            run=delivery.run,
            attempt=delivery.next_attempt,
            at_ms=now_ms,
            duration_ms=20,
            status_code=200 if verdict is Verdict.DELIVERED else 503,
            excerpt="",
        )
        return Result(attempt, verdict, self.retry_after)


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
        self.client = boto3.client("dynamodb", region_name="eu-west-1")
        create_tables(self.client)
        self.table: Any = DeliveriesTable(self.client, "deliveries")
        self.subscriptions = Subscriptions(
            SubscriptionsTable(self.client, "subscriptions"), clock=lambda: self.now_ms / 1000
        )
        self._order = itertools.count()
        self._heap: list[tuple[int, int, DeliveryMessage]] = []

    def send(self, message: DeliveryMessage, now_ms: int) -> None:
        """Stands where `DeliveriesQueue.send` does."""
        self.sent.append(message)
        wait_ms = min(max(message.due_at_ms - now_ms, 0), MAX_DELAY_S * 1000)
        self.arrive(message, self.now_ms + -(-wait_ms // 1000) * 1000)

    def arrive(self, message: DeliveryMessage, at_ms: int) -> None:
        heapq.heappush(self._heap, (at_ms, next(self._order), message))

    def subscribe(self, **item: Any) -> None:
        item = {"subscription_id": "sub", "url": "https://example.com/"} | item
        self.client.put_item(TableName="subscriptions", Item=to_attributes(item))

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
        return Deliverer(
            deliveries=self.table,
            queue=queue,
            subscriptions=self.subscriptions,
            sender=sender,
            master_secret=self.master_secret,
            now_ms=lambda: self.now_ms,
            jitter=lambda: self.jitter,
            remaining_ms=lambda: self.remaining_ms,
        )

    async def run(self, messages: int = 1_000) -> None:
        """Handle what arrives, in order, until nothing is left; what fails becomes visible again later."""
        for _ in range(messages):
            if not self._heap:
                return
            at_ms, _, message = heapq.heappop(self._heap)
            self.now_ms = max(self.now_ms, at_ms)
            try:
                self.outcomes.append(await self.deliverer.handle(message))
            except Exception as fault:  # noqa: BLE001 - whatever it is, the message comes again
                self.faults.append(fault)
                self.arrive(message, self.now_ms + VISIBILITY_MS)

    @property
    def idle(self) -> bool:
        return not self._heap
