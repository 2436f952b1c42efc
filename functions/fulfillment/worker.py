"""What lasts from batch to batch: the clients of AWS, and the caches over them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from aws_lambda_powertools import Logger

from fulfillment.archive import KEEP_S, Archive
from fulfillment.fulfil import Fulfillment
from fulfillment.messages import content_of, event_of_item, since_ms
from fulfillment.patience import ComesAgain
from fulfillment.receivers import Receivers
from fulfillment.results import S3_SETTINGS, Results
from fulfillment.settings import FulfillmentSettings
from fulfillment.telling import Telling
from tunehook.archiving import ArchiveRequest
from tunehook.aws.bus import EventBus
from tunehook.aws.clients import CONNECTIONS, client
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.faults import code_of
from tunehook.aws.messages import Hold, Message, after_fault_s, visibility_client
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.http.client import open_client
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import TaskKey
from tunehook.threads import UnawaitedThreads

logger = Logger(child=True)

RESERVE_S: Final = 30.0
"""How much of the function's time is kept for what comes after copying."""

LAST_S: Final = 5.0
"""How much of the function's time is kept for its answer."""


class Worker:
    """Handles batches of messages; made once for the life of the function's process.

    Parameters
    ----------
    settings : FulfillmentSettings
        The function's environment.
    """

    def __init__(self, settings: FulfillmentSettings) -> None:
        dynamodb = client("dynamodb")
        self._settings = settings
        self._visibility = visibility_client()
        self._results = Results(client("s3", **S3_SETTINGS), settings.results_bucket)
        self._tasks = TasksTable(dynamodb, settings.tasks_table)
        self._bus = EventBus(client("events"), settings.event_bus)
        self._telling = Telling(
            Receivers(SubscriptionsTable(dynamodb, settings.subscriptions_table), settings.network_policy),
            DeliveriesTable(dynamodb, settings.deliveries_table),
            DeliveriesQueue(client("sqs"), settings.deliveries_queue),
        )

    async def handle(
        self, records: Sequence[Mapping[str, Any]], remaining_ms: Callable[[], int]
    ) -> list[BaseException | None]:
        """Handle the messages of a batch at the same time.

        Parameters
        ----------
        records : sequence of mapping
            The records of Lambda's event.
        remaining_ms : callable
            Returns how long the invocation may still run, in milliseconds.

        Returns
        -------
        list of BaseException or None
            For each message, in order: what went wrong, or `ComesAgain`, or None.
        """
        asyncio.get_running_loop().set_default_executor(UnawaitedThreads(CONNECTIONS))
        messages = [Message.of(record) for record in records]
        hold = Hold(self._visibility, self._settings.fulfillment_queue, messages, on_fault=_not_hidden)
        async with hold, open_client(guard=self._settings.network_policy, timeout=None) as http:
            fulfillment = Fulfillment(
                archive=Archive(
                    self._results,
                    http,
                    max_asset_bytes=self._settings.max_asset_bytes,
                    https_only=self._settings.network_policy is NetworkPolicy.PUBLIC,
                ),
                results=self._results,
                tasks=self._tasks,
                bus=self._bus,
                telling=self._telling,
            )
            return await asyncio.gather(
                *(self._handle(fulfillment, message, hold, remaining_ms) for message in messages)
            )

    async def _handle(
        self, fulfillment: Fulfillment, message: Message, hold: Hold, remaining_ms: Callable[[], int]
    ) -> BaseException | None:
        remaining_s = remaining_ms() / 1000
        try:
            async with asyncio.timeout(remaining_s - LAST_S):
                await self._fulfil(fulfillment, message, min(KEEP_S, remaining_s - RESERVE_S))
        except ComesAgain as again:
            await hold.come_again(message, again.after_s)
            return again
        except Exception as fault:  # noqa: BLE001 - one message's fault is not the others'
            await hold.come_again(message, after_fault_s(message.receive_count))
            return fault
        return None

    async def _fulfil(self, fulfillment: Fulfillment, message: Message, within_s: float) -> None:
        content = content_of(message.body)
        if not isinstance(content, ArchiveRequest):
            await fulfillment.fulfil(content, since_ms=since_ms(message, content), within_s=within_s)
            return
        key = TaskKey(content.task_id, content.provider)
        if (item := await asyncio.to_thread(self._tasks.get, key)) is None:
            logger.warning("task_gone", task_id=key.task_id, provider=key.provider)
            return
        await fulfillment.fulfil(event_of_item(item), within_s=within_s, again_ms=content.requested_at_ms)


def _not_hidden(fault: Exception) -> None:
    logger.warning("visibility_not_changed", error=code_of(fault))


def report(result: BaseException | None) -> None:
    """Log what became of a message.

    Raises
    ------
    BaseException
        That is, `result`, if it is one: the message is to come again.
    """
    if isinstance(result, ComesAgain):
        logger.info("message_comes_again", reason=str(result))
    elif result is not None:
        logger.error("message_failed", exc_info=result)
    if result is not None:
        raise result
