"""The deliveries of a task, or of an operational event: one record and one message for each recipient.

Of a task they tell of its end, and of its archived files. A record is created once, and says whether files were
pending. So a later pass knows who is to be told of them, however many passes there were.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, TypeVar

from fulfillment.notices import Notice, Notices
from fulfillment.payload import payload_of
from tunehook.aws.deliveries import BATCH_MAX, DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import Delivery, DeliveryStatus, delivery_id, message_for, new_delivery
from tunehook.events import (
    KnownAsset,
    ManifestLocation,
    OperationalEvent,
    TaskCompleted,
    TaskEnded,
    archived_event_id,
)
from tunehook.operational import data_of, delivery_to, is_about, kind_of, provider_of
from tunehook.subscriptions import Recipient, WebhookType
from tunehook.tasks import Format
from tunehook.times import now_ms, to_ms
from tunehook.webhook_data import whole_data_of

T = TypeVar("T")
R = TypeVar("R")

RecipientsOf: TypeAlias = Callable[
    [WebhookType, str | None, Mapping[str, Any] | None, Mapping[str, Any]], list[Recipient]
]
"""`fulfillment.recipients.Recipients.of`, or what stands for it."""


@dataclass(frozen=True, slots=True)
class News:
    """What there is to tell of an ended task; `item`, if it is still of this run, may name a hook."""

    event: TaskEnded
    item: dict[str, Any] | None
    provider_object: dict[str, Any] | None
    assets: Sequence[KnownAsset]
    manifest: ManifestLocation

    @property
    def kind(self) -> WebhookType:
        """The webhook's type for the end."""
        is_completed = isinstance(self.event, TaskCompleted)
        return WebhookType.TASK_COMPLETED if is_completed else WebhookType.TASK_FAILED


@dataclass(frozen=True, slots=True)
class _Made:
    """The deliveries whose messages are to be sent, and how many there are of the task."""

    to_send: Sequence[Delivery]
    count: int


@dataclass(frozen=True, slots=True)
class DeliveryFanOut:
    """Creates the deliveries; `notices` say who was told before the files were settled."""

    recipients_of: RecipientsOf
    deliveries: DeliveriesTable
    queue: DeliveriesQueue
    notices: Notices
    clock: Callable[[], int] = now_ms

    async def create_pending_deliveries(self, news: News) -> int:
        """Create the deliveries of a task's end while files are pending, once; return how many.

        Raises what `create_deliveries` does.
        """
        event_id = news.event.event_id
        if (await self.notices.read(event_id)).is_done:
            return 0
        recipients = await self._recipients(news.kind, news)
        ids = [recipient.subscription_id for recipient in recipients]
        # First: whoever settles the files must find all who may have been told by then.
        await self.notices.add(event_id, receivers=ids)
        deliveries = self._deliveries_to(recipients, news)
        await create(self.deliveries, deliveries)
        await self._send(deliveries)
        await self.notices.add(event_id, sent=ids)
        return len(recipients)

    async def create_deliveries(
        self,
        news: News,
        archived_at_ms: int,
        *,
        may_have_been_told: bool,
        meanwhile: Awaitable[None] | None = None,
    ) -> int:
        """Create the deliveries of a task whose files were settled at `archived_at_ms`; return how many there are.

        Its end goes to whoever was not told of it, its files to whoever waits for them, whatever a filter says of them.
        `may_have_been_told` says whether a pass may have told of the end while files were pending. A delivery that is
        there stays as it is. Their messages are sent after what is done `meanwhile`: whoever gets one finds that done.

        Raises `AWS_FAULTS`, `Unavailable` or an ExceptionGroup of them if some could not be created, and what
        `meanwhile` raises.
        """
        records = self._create_records(news, archived_at_ms, may_have_been_told=may_have_been_told)
        made, done = await asyncio.gather(records, meanwhile or _nothing(), return_exceptions=True)
        if isinstance(made, BaseException):
            raise made
        if isinstance(done, BaseException):
            raise done
        await self._send(made.to_send)
        return made.count

    async def _create_records(self, news: News, archived_at_ms: int, *, may_have_been_told: bool) -> _Made:
        event = news.event
        notice = await self.notices.read(event.event_id) if may_have_been_told else Notice()
        recipients = await self._recipients(news.kind, news)
        # Whatever they were told of the end.
        wanting = await self._recipients(WebhookType.TASK_ARCHIVED, news)
        ends = self._deliveries_to(recipients, news)
        # Each by itself: a batch write has no condition, and would make a delivery that is under way begin anew.
        are_new = await create(self.deliveries, ends)
        ids = {each.delivery_id for each, is_new in zip(ends, are_new, strict=True) if not is_new}
        ids |= {delivery_id(event.event_id, each) for each in notice.receivers}
        told = await in_threads(self.deliveries.get, sorted(ids))
        waiting = [
            Recipient(each.subscription_id, each.format, each.url)
            for each in told
            if each is not None and each.says_pending
        ]
        # Of the others, made before as they may be, the message may never have been sent; also of one whose filter asks
        # for files that were pending then.
        known = {each.delivery_id for each in ends}
        begun = [each for each in told if each is not None and each.delivery_id not in known]
        unsent = [
            *ends,
            *(each for each in begun if each.status is DeliveryStatus.PENDING and not each.attempts),
        ]
        by_id = {each.subscription_id: each for each in (*waiting, *wanting)}
        archived = self._deliveries_to(by_id.values(), news, archived_at_ms)
        await create(self.deliveries, archived)
        to_send = [each for each in unsent if each.subscription_id not in notice.sent]
        return _Made([*to_send, *archived], len(ends) + len(archived))

    async def create_operational_deliveries(self, event: OperationalEvent) -> int:
        """Create the deliveries of an operational event, once each; return how many there are.

        It goes to the subscriptions that ask for it, but not to the one that it is about. Raises what
        `create_deliveries` does.
        """
        found = await asyncio.to_thread(
            self.recipients_of, kind_of(event), provider_of(event), None, data_of(event)
        )
        recipients = [each for each in found if not is_about(event, each.subscription_id)]
        deliveries = [delivery_to(each, event, self.clock()) for each in recipients]
        await create(self.deliveries, deliveries)
        # Also of those that were there: whoever made them may have died before their messages were sent.
        await self._send(deliveries)
        return len(deliveries)

    async def _recipients(self, kind: WebhookType, news: News) -> list[Recipient]:
        def recipients() -> list[Recipient]:
            data = whole_data_of(news.event, news.item, news.assets, news.manifest)
            return self.recipients_of(kind, news.event.provider, news.item, data)

        return await asyncio.to_thread(recipients)

    def _deliveries_to(
        self, recipients: Iterable[Recipient], news: News, archived_at_ms: int | None = None
    ) -> list[Delivery]:
        """Return the deliveries of a task's end, or of its archived files where `archived_at_ms` is given."""
        event = news.event
        kind = news.kind if archived_at_ms is None else WebhookType.TASK_ARCHIVED

        @cache
        def payload(form: Format) -> str:
            return payload_of(form, event, news.provider_object, news.assets, news.manifest)

        return [
            new_delivery(
                event_id=event.event_id if archived_at_ms is None else archived_event_id(event.event_id),
                subscription_id=recipient.subscription_id,
                task_id=event.task_id,
                provider=event.provider,
                type=kind.value,
                event_at_ms=to_ms(event.detected_at) if archived_at_ms is None else archived_at_ms,
                format=recipient.format,
                payload=payload(recipient.format),
                url=recipient.url,
                now_ms=self.clock(),
            )
            for recipient in recipients
        ]

    async def _send(self, deliveries: Sequence[Delivery]) -> None:
        await send(self.queue, deliveries, self.clock())


async def _nothing() -> None:
    return


async def create(deliveries: DeliveriesTable, wanted: Sequence[Delivery]) -> list[bool]:
    """Create deliveries, those that share a payload with it written once; return of each whether it is new."""
    sharing = Counter(each.payload_id for each in wanted)
    shared = {each.payload_id: each for each in wanted if sharing[each.payload_id] > 1}
    await gathered(deliveries.put_payload_in_loop(each) for each in shared.values())
    return await gathered(
        deliveries.create_in_loop(each, has_payload=each.payload_id in shared) for each in wanted
    )


async def send(queue: DeliveriesQueue, deliveries: Sequence[Delivery], now_ms: int) -> None:
    """Send the message of the next attempt of each delivery; raise what `gathered` does."""
    messages = [message_for(each) for each in deliveries]
    batches = [messages[start : start + BATCH_MAX] for start in range(0, len(messages), BATCH_MAX)]
    await gathered(queue.send_batch(batch, now_ms) for batch in batches)


async def in_threads(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return what a blocking call returns for each item; raise what `gathered` does."""
    return await gathered(asyncio.to_thread(call, item) for item in items)


async def gathered(calls: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """Return what each call returns; all are made concurrently. Raises an ExceptionGroup if some fail."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(call) for call in calls]
    return [task.result() for task in tasks]
