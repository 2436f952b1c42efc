"""What lasts from batch to batch: the clients of AWS, what is known of receivers, and the connections to them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property, partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger
from pydantic import ValidationError

from tunehook.aws.bus import EventBus
from tunehook.aws.circuits import CircuitsTable
from tunehook.aws.clients import CONNECTIONS, client, close_in_loop
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.links import link, s3_client
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.send_slots import SendSlots
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
from tunehook.deliveries import message_of
from tunehook.errors import InvalidInput
from tunehook.executors import UnawaitedThreads
from tunehook.http.connections import trusted_authorities
from tunehook.http.transport import HttpTransport
from tunehook.times import now_ms
from tunehook.validation import first_problem
from webhooks.attempt import Sender
from webhooks.circuit_breaker import CircuitBreaker
from webhooks.delivery import Deliverer, Outcome
from webhooks.message_batcher import MessageBatcher
from webhooks.rate_limiter import RateLimiter
from webhooks.secret import MasterSecret
from webhooks.subscription_cache import SubscriptionCache
from webhooks.subscription_health import SubscriptionHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    from webhooks.settings import WebhooksSettings

logger = Logger(child=True)

GRACE_S: Final = 0.25
"""How long a batch has until its messages are hidden. Most are done by then, and are spared the call."""


class Worker:
    """Handles batches of messages, by a `Deliverer`; made once for the life of the function's process."""

    def __init__(
        self, settings: WebhooksSettings, dynamodb: DynamoDBClient, deliverer: type[Deliverer] = Deliverer
    ) -> None:
        self.observability = settings.observability
        self._settings = settings
        self._visibility = visibility_client()
        self._sqs = client("sqs")
        self._loop = asyncio.new_event_loop()
        # By default there would be as few as the machine has processors, and ten messages to handle.
        self._loop.set_default_executor(UnawaitedThreads(CONNECTIONS))
        # Its connections outlive a batch: each is looked at before it carries another request.
        self._transport = HttpTransport(guard=settings.network_policy)
        self._dynamodb = dynamodb
        deliveries = DeliveriesTable(dynamodb, settings.deliveries_table)
        subscriptions = SubscriptionCache(
            SubscriptionsTable(dynamodb, settings.subscriptions_table),
            SecretVersionsTable(dynamodb, settings.secret_versions_table),
            settings.network_policy,
        )
        bus = EventBus(client("events"), settings.event_bus)
        self._master_secret = MasterSecret(client("secretsmanager"), settings.master_secret)
        sign_link = partial(link, s3_client(), settings.results_bucket)
        self._deliverer = partial(
            deliverer,
            tasks=TasksTable(dynamodb, settings.tasks_table),
            deliveries=deliveries,
            subscriptions=subscriptions,
            breaker=CircuitBreaker(CircuitsTable(dynamodb, settings.gates_table), now_ms),
            limiter=RateLimiter(SendSlots(dynamodb, settings.gates_table), subscriptions, now_ms),
            health=SubscriptionHealth(subscriptions, deliveries, bus),
            sender=Sender(self._transport, settings.network_policy, sign_link),
            master_secret=self._master_secret,
            now_ms=now_ms,
            jitter=SystemRandom().random,
        )
        self._queue = DeliveriesQueue(self._sqs, settings.deliveries_queue)

    def handle(
        self, records: Sequence[Mapping[str, Any]], remaining_ms: Callable[[], int]
    ) -> list[Outcome | Exception]:
        """Handle the records of Lambda's event at the same time, and return for each what became of it.

        An `InvalidInput` says what is wrong with a message that lies in the dead letters, as nothing can come of it.
        Any other exception is the fault for which a message comes again.
        """
        return self._loop.run_until_complete(self._handle(list(map(Message.of, records)), remaining_ms))

    def close(self) -> None:
        """Close the connections; the worker is of no use any more."""
        self._loop.run_until_complete(self._transport.close())
        for each in (self._dynamodb, self._sqs):
            self._loop.run_until_complete(close_in_loop(each))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _handle(
        self, messages: Sequence[Message], remaining_ms: Callable[[], int]
    ) -> list[Outcome | Exception]:
        if not messages:
            await self._warm_up()
            return []
        batcher = MessageBatcher(self._queue, now_ms)
        deliverer = self._deliverer(batcher=batcher, remaining_ms=remaining_ms)
        async with VisibilityHeartbeat(
            self._visibility, self._settings.deliveries_queue, messages, on_fault=_not_hidden, grace_s=GRACE_S
        ) as heartbeat:
            return await asyncio.gather(
                *(self._handle_one(deliverer, message, heartbeat) for message in messages)
            )

    async def _warm_up(self) -> None:
        """Load what the first attempt needs beside the code."""
        trusted_authorities()
        with suppress(*AWS_FAULTS):  # the first attempt meets that fault, or another answer
            await self._master_secret.get()

    @cached_property
    def _dead_letters(self) -> SQSClient:
        # Hardly ever asked for, and so not made at the start.
        return dead_letter_client()

    async def _handle_one(
        self, deliverer: Deliverer, message: Message, heartbeat: VisibilityHeartbeat
    ) -> Outcome | Exception:
        try:
            try:
                return await deliverer.handle(message_of(message.body), message.receive_count)
            except (InvalidInput, ValidationError) as error:
                # The message, or the record of its delivery, is not as tunehook writes it, however often it comes.
                problem = error if isinstance(error, InvalidInput) else first_problem(error, "delivery")
                await asyncio.to_thread(
                    dead_letter, self._dead_letters, self._settings.dead_letters, message, problem
                )
                return problem
        except Exception as fault:  # noqa: BLE001 - one message's fault is not the others'
            await heartbeat.retry_after(message, backoff_s(message.receive_count))
            return fault


def _not_hidden(fault: Exception) -> None:
    logger.warning("visibility_not_changed", error=code_of(fault))
