"""Batches of the fulfillment queue: the long-lived clients of AWS, and what becomes of each message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from aws_lambda_powertools import Logger

from fulfillment.archiver import KEEP_S, Archiver
from fulfillment.fan_out import DeliveryFanOut
from fulfillment.fulfill import Fulfillment
from fulfillment.messages import content_of, event_of_item, since_ms
from fulfillment.metrics import Metrics
from fulfillment.notices import Notices
from fulfillment.progress import ProgressFanOut
from fulfillment.recipients import Recipients
from fulfillment.recovery import Recovery
from fulfillment.results import S3_SETTINGS, Results
from fulfillment.retry_policy import RetryLater, due_at_ms
from fulfillment.settings import FulfillmentSettings
from tunehook.aws.bus import EventBus
from tunehook.aws.clients import CONNECTIONS, client, close_in_loop
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.aws.visibility import (
    Message,
    VisibilityHeartbeat,
    backoff_s,
    dead_letter,
    dead_letter_client,
    visibility_client,
)
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import OperationalEvent, TaskCompleted, TaskEnded, TaskFailed
from tunehook.executors import UnawaitedThreads
from tunehook.fulfillment_requests import ArchiveRequest, DeliveryRequest, ProgressRequest
from tunehook.http.client import open_client
from tunehook.http.connections import trusted_authorities
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import TaskKey
from tunehook.times import now_ms

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = Logger(child=True)

_Content: TypeAlias = TaskEnded | OperationalEvent | ArchiveRequest | DeliveryRequest | ProgressRequest

RESERVE_S: Final = 30.0
"""How much of the function's time is left for what comes after archiving."""

LAST_S: Final = 5.0
"""How much of the function's time is kept for its answer."""

SOONEST_S: Final = 5
"""The shortest backoff of a message that failed, however soon its recipients are due."""


class Worker:
    """Handles batches of messages; made once for the life of the function's process."""

    def __init__(self, settings: FulfillmentSettings) -> None:
        dynamodb, events = client("dynamodb"), client("events")
        policy = settings.network_policy
        self._settings = settings
        # Connections to AWS outlive a batch, and so does the loop that they belong to.
        self._loop = asyncio.new_event_loop()
        self._sqs = client("sqs")
        self._in_loop = (dynamodb, events, self._sqs)
        self._visibility = visibility_client()
        self._results = Results(client("s3", **S3_SETTINGS), settings.results_bucket)
        self._tasks = TasksTable(dynamodb, settings.tasks_table)
        self._bus = EventBus(events, settings.event_bus)
        subscriptions = SubscriptionsTable(dynamodb, settings.subscriptions_table)
        deliveries = DeliveriesTable(dynamodb, settings.deliveries_table)
        queue = DeliveriesQueue(self._sqs, settings.deliveries_queue)
        versions = SecretVersionsTable(dynamodb, settings.secret_versions_table)
        self._recipients = recipients = Recipients(subscriptions, policy, versions=versions)
        self._fan_out = DeliveryFanOut(recipients.of, deliveries, queue, Notices(self._results))
        self._progress = ProgressFanOut(self._tasks, recipients.of, deliveries, queue)
        self._recovery = Recovery(self._tasks, subscriptions, deliveries, queue, self._results, policy)

    def handle(
        self, records: Sequence[Mapping[str, Any]], remaining_ms: Callable[[], int]
    ) -> list[BaseException | None]:
        """Handle the messages of a batch, the records of Lambda's event, concurrently.

        Returns for each, in order, None if it is done, the `InvalidInput` for which it lies in the dead letters, or why
        it comes again: `RetryLater` or a fault.
        """
        # New ones for each batch: a call that hangs keeps its thread beyond it.
        with UnawaitedThreads(CONNECTIONS) as threads:
            self._loop.set_default_executor(threads)
            return self._loop.run_until_complete(self._handle(list(map(Message.of, records)), remaining_ms))

    def close(self) -> None:
        """Close the connections; the worker is of no use any more."""
        for each in self._in_loop:
            self._loop.run_until_complete(close_in_loop(each))
        self._loop.close()

    async def _handle(
        self, messages: Sequence[Message], remaining_ms: Callable[[], int]
    ) -> list[BaseException | None]:
        heartbeat = VisibilityHeartbeat(
            self._visibility,
            self._settings.fulfillment_queue,
            messages,
            on_fault=lambda fault: logger.warning("visibility_not_changed", error=code_of(fault)),
        )
        reading_ahead = asyncio.create_task(asyncio.to_thread(self._recipients.read_ahead))
        if not messages:  # a batch by which the function is warmed up
            trusted_authorities()
            await reading_ahead
        async with heartbeat, open_client(guard=self._settings.network_policy) as http:
            fulfillment = Fulfillment(
                archiver=Archiver(
                    self._results,
                    http,
                    max_asset_bytes=self._settings.max_asset_bytes,
                    memory_mb=self._settings.memory_mb,
                    https_only=self._settings.network_policy is NetworkPolicy.PUBLIC,
                ),
                results=self._results,
                tasks=self._tasks,
                bus=self._bus,
                fan_out=self._fan_out,
                patience_s=self._settings.archive_patience_s,
                metrics=Metrics(self._settings.observability),
            )
            return await asyncio.gather(
                *(self._handle_one(fulfillment, message, heartbeat, remaining_ms) for message in messages)
            )

    @cached_property
    def _dead_letters(self) -> SQSClient:
        # Hardly ever asked for, and so not made at the start.
        return dead_letter_client()

    async def _handle_one(
        self,
        fulfillment: Fulfillment,
        message: Message,
        heartbeat: VisibilityHeartbeat,
        remaining_ms: Callable[[], int],
    ) -> BaseException | None:
        remaining_s = remaining_ms() / 1000
        content: _Content | None = None
        try:
            async with asyncio.timeout(remaining_s - LAST_S):
                try:
                    content = content_of(message.body)
                    await self._fulfill(fulfillment, message, content, min(KEEP_S, remaining_s - RESERVE_S))
                except InvalidInput as error:
                    # The message, or the item that it is about, is malformed however often it comes.
                    await asyncio.to_thread(
                        dead_letter, self._dead_letters, self._settings.dead_letters, message, error
                    )
                    return error
        except RetryLater as again:
            await heartbeat.retry_after(message, again.after_s)
            return again
        except Exception as fault:  # noqa: BLE001 - one message's fault is not the others'
            await heartbeat.retry_after(message, self._backoff_s(message, content))
            return fault
        return None

    def _backoff_s(self, message: Message, content: _Content | None) -> int:
        """Return in how many seconds a message that failed comes again: sooner if its recipients are due."""
        after_s = backoff_s(message.receive_count)
        if isinstance(content, TaskCompleted | TaskFailed):
            due_ms = due_at_ms(content, since_ms(message, content), self._settings.archive_patience_s * 1000)
            if (due_s := (due_ms - now_ms()) / 1000) > 0:
                return min(after_s, max(int(due_s), SOONEST_S))
        return after_s

    async def _fulfill(
        self, fulfillment: Fulfillment, message: Message, content: _Content, within_s: float
    ) -> None:
        if isinstance(content, DeliveryRequest):
            await self._recovery.deliver(content)
            return
        if isinstance(content, OperationalEvent):
            await self._fan_out.create_operational_deliveries(content)
            return
        if isinstance(content, ProgressRequest):
            await self._progress.create_deliveries(content, is_first=message.receive_count == 1)
            return
        if not isinstance(content, ArchiveRequest):
            await fulfillment.fulfill(
                content,
                since_ms=since_ms(message, content),
                within_s=within_s,
                is_first=message.receive_count == 1,
            )
            return
        key = TaskKey(content.task_id, content.provider)
        if (item := await asyncio.to_thread(self._tasks.get_whole, key)) is None:
            logger.warning("task_gone", task_id=key.task_id, provider=key.provider)
            return
        await fulfillment.fulfill(event_of_item(item), within_s=within_s, again_ms=content.requested_at_ms)


def report(result: BaseException | None) -> bool:
    """Log what became of a message; return whether it is to come again."""
    match result:
        case None:
            return False
        case InvalidInput():
            logger.error("message_given_up", reason=str(result))
            return False
        case RetryLater():
            logger.info("message_comes_again", reason=str(result))
        case _ if passing := passing_reason(result):
            logger.warning("message_comes_again", reason=passing)
        case _:
            logger.error("message_failed", exc_info=result)
    return True


def passing_reason(fault: BaseException) -> str | None:
    """Return what a fault was, if it is one of AWS and the like that may pass; None if it is a bug."""
    if isinstance(fault, BaseExceptionGroup):
        reasons = [passing_reason(each) for each in fault.exceptions]
        return None if None in reasons else ", ".join(sorted(set(filter(None, reasons))))
    if isinstance(fault, TimeoutError):
        return "not done in time"
    if isinstance(fault, Unavailable):
        return str(fault)
    return code_of(fault) if isinstance(fault, AWS_FAULTS) else None
