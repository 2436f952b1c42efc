"""The deliveries of a pending task's progress: one record and one message for each subscription that wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from aws_lambda_powertools import Logger

from fulfillment.fan_out import RecipientsOf, create, in_threads, send
from fulfillment.payload import progress_payload_of
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.task_items import metadata_of
from tunehook.aws.tasks import TasksTable, is_told_last
from tunehook.deliveries import Delivery, DeliveryStatus, delivery_id, new_delivery
from tunehook.events import progress_event_id
from tunehook.fulfillment_requests import ProgressRequest
from tunehook.subscriptions import Recipient, WebhookType
from tunehook.tasks import TaskKey
from tunehook.times import now_ms
from tunehook.webhook_data import progress_data_of

logger = Logger(child=True)

APART_MS: Final = 5_500
"""How long after an attempt was begun the next of the same task is due: an attempt may begin 0.1 s early."""


@dataclass(frozen=True, slots=True)
class ProgressFanOut:
    """Creates the deliveries. A message that comes twice finds them there."""

    tasks: TasksTable
    recipients_of: RecipientsOf
    deliveries: DeliveriesTable
    queue: DeliveriesQueue
    clock: Callable[[], int] = now_ms

    async def create_deliveries(self, request: ProgressRequest, *, is_first: bool) -> int:
        """Create the deliveries of a request, unless its task has ended or more was told since; return how many.

        `is_first` says that no earlier try can have been made. What one has created, and may not have sent, is sent
        even then: nobody is told, but it ends.

        Raises `AWS_FAULTS`, `Unavailable` or an ExceptionGroup of them if some could not be created.
        """
        key = TaskKey(request.task_id, request.provider)
        event_id = progress_event_id(key, request.since_ms, request.number)
        item = await asyncio.to_thread(self.tasks.get, key)
        is_overtaken = item is None or not is_told_last(key, item, event_id)
        if is_overtaken and is_first:
            return _overtaken(key)
        data = progress_data_of(request, metadata_of(item or {}))
        kind = WebhookType.TASK_PROGRESS
        recipients = await asyncio.to_thread(self.recipients_of, kind, key.provider, None, data)
        if is_overtaken:
            await self._send_created(event_id, recipients)
            return _overtaken(key)
        delivery = partial(self._delivery, request, event_id)
        made = [delivery(each, progress_payload_of(each.format, request, data)) for each in recipients]
        if request.number > 1:
            made = await in_threads(partial(self._later, request), made)
        await create(self.deliveries, made)
        # Also where they were there: a message that is one too many finds its attempt made.
        await send(self.queue, made, self.clock())
        logger.info("progress_fanned_out", task_id=key.task_id, provider=key.provider, deliveries=len(made))
        return len(made)

    async def _send_created(self, event_id: str, recipients: Sequence[Recipient]) -> None:
        ids = [delivery_id(event_id, each.subscription_id) for each in recipients]
        found = [each for each in await in_threads(self.deliveries.get, ids) if each is not None]
        unsent = [each for each in found if each.status is DeliveryStatus.PENDING and not each.attempts]
        await send(self.queue, unsent, self.clock())

    def _delivery(
        self, request: ProgressRequest, event_id: str, recipient: Recipient, payload: str
    ) -> Delivery:
        return new_delivery(
            event_id=event_id,
            subscription_id=recipient.subscription_id,
            task_id=request.task_id,
            provider=request.provider,
            type=WebhookType.TASK_PROGRESS.value,
            event_at_ms=request.at_ms,
            format=recipient.format,
            payload=payload,
            now_ms=self.clock(),
        )

    def _later(self, request: ProgressRequest, delivery: Delivery) -> Delivery:
        """Return a delivery that is due `APART_MS` after the attempt of the one before was begun, if that was late.

        No attempt of that one begins any more: this one is told of on the task by now.
        """
        key = TaskKey(request.task_id, request.provider)
        before = progress_event_id(key, request.since_ms, request.number - 1)
        begun_ms = self.deliveries.begun_at(delivery_id(before, delivery.subscription_id))
        due_ms = 0 if begun_ms is None else begun_ms + APART_MS
        now_ms = self.clock()
        if not now_ms < due_ms <= now_ms + APART_MS:
            return delivery
        return delivery.model_copy(update={"next_attempt_at_ms": due_ms})


def _overtaken(key: TaskKey) -> int:
    logger.info("progress_overtaken", task_id=key.task_id, provider=key.provider)
    return 0
