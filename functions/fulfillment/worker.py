"""What lasts from batch to batch: the clients of AWS, and the caches over them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fulfillment.archive import Archive
from fulfillment.fulfil import Fulfillment
from fulfillment.receivers import Receivers
from fulfillment.settings import FulfillmentSettings
from fulfillment.transfer import Transfer
from tunehook.aws.bus import EventBus
from tunehook.aws.clients import client
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput
from tunehook.events import TaskCompleted, TaskFailed
from tunehook.http.client import open_client


class _Envelope(BaseModel):
    """An EventBridge event in the body of a queue's message; more of it than this is nobody's concern."""

    model_config = ConfigDict(extra="ignore")

    detail_type: str = Field(alias="detail-type")
    detail: TaskCompleted | TaskFailed = Field(union_mode="left_to_right")


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
        self._s3 = client("s3", read_timeout=60)
        self._tasks = TasksTable(dynamodb, settings.tasks_table)
        self._bus = EventBus(client("events"), settings.event_bus)
        self._receivers = Receivers(
            SubscriptionsTable(dynamodb, settings.subscriptions_table), settings.network_policy
        )
        self._deliveries = DeliveriesTable(dynamodb, settings.deliveries_table)
        self._queue = DeliveriesQueue(client("sqs"), settings.deliveries_queue)

    async def handle(self, bodies: Sequence[str]) -> list[BaseException | None]:
        """Handle the messages of a batch at the same time.

        Parameters
        ----------
        bodies : sequence of str
            The messages' bodies: events as the bus hands them on.

        Returns
        -------
        list of BaseException or None
            For each message, in order: what went wrong, or None.
        """
        async with open_client(guard=self._settings.network_policy, timeout=None) as http:
            fulfillment = Fulfillment(
                archive=Archive(Transfer(self._s3, self._settings.results_bucket, http)),
                s3=self._s3,
                bucket=self._settings.results_bucket,
                tasks=self._tasks,
                bus=self._bus,
                receivers=self._receivers,
                deliveries=self._deliveries,
                queue=self._queue,
            )
            return await asyncio.gather(
                *(_handle(fulfillment, body) for body in bodies), return_exceptions=True
            )


async def _handle(fulfillment: Fulfillment, body: str) -> None:
    await fulfillment.fulfil(event_of(body))


def event_of(body: str) -> TaskCompleted | TaskFailed:
    """Return the event in a message.

    Raises
    ------
    InvalidInput
        If the message is no event of an ended task.
    """
    try:
        return _Envelope.model_validate_json(body).detail
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        raise InvalidInput(".".join(map(str, problem["loc"])) or "message", problem["msg"]) from None
