"""Deliveries about no task that there is, made and sent as fulfillment makes and sends its own."""

from __future__ import annotations

import asyncio

from tests.stack.driving import DeployedStack

from tunehook.aws.deliveries import BATCH_MAX, DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import Delivery, message_for, new_delivery
from tunehook.tasks import Format
from tunehook.times import now_ms


class DeliverySender:
    """Makes deliveries of one test, and puts their messages into the queue of a deployed stack."""

    def __init__(self, stack: DeployedStack, unique: str) -> None:
        self._unique = unique
        self._table = DeliveriesTable(stack.client("dynamodb"), stack.outputs["DeliveriesTable"])
        self._queue = DeliveriesQueue(stack.client("sqs"), stack.outputs["DeliveriesQueue"])

    def create(self, subscription_id: str, number: int) -> Delivery:
        """Make the delivery of an event, of which a subscription gets one by each `number`."""
        delivery = new_delivery(
            event_id=f"evt_{number}",
            subscription_id=subscription_id,
            task_id=self._unique,
            provider="musicmint",
            type="task.completed",
            event_at_ms=now_ms(),
            format=Format.STANDARD,
            payload='{"clips": []}',
            now_ms=now_ms(),
        )
        assert self._table.create(delivery)
        return delivery

    def send(self, deliveries: list[Delivery]) -> dict[str, float]:
        """Send the messages of deliveries, and return when each was sent, by its id, in seconds since 1970."""
        sent_at_s: dict[str, float] = {}
        for start in range(0, len(deliveries), BATCH_MAX):
            batch = deliveries[start : start + BATCH_MAX]
            asyncio.run(self._queue.send_batch([message_for(each) for each in batch], now_ms()))
            sent_at_s |= {each.delivery_id: now_ms() / 1000 for each in batch}
        return sent_at_s
