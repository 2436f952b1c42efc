"""What lasts from batch to batch: the clients of AWS, and the caches over them."""

from __future__ import annotations

import asyncio
from random import SystemRandom
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools.utilities.parameters import SecretsProvider

from tunehook.aws.clients import client
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.deliveries import DeliveryMessage
from tunehook.http.client import open_client
from tunehook.times import now_ms
from webhooks.attempt import Sender
from webhooks.delivery import Deliverer, Outcome
from webhooks.rendering import LINK_LIFE_S
from webhooks.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from webhooks.settings import WebhooksSettings

SECRET_CACHED_S: Final = 300


class Worker:
    """Handles batches of messages; made once for the life of the function's process.

    Parameters
    ----------
    settings : WebhooksSettings
        The function's environment.
    """

    def __init__(self, settings: WebhooksSettings) -> None:
        dynamodb: Any = client("dynamodb")
        s3: Any = client("s3", signature_version="s3v4")
        self._policy = settings.network_policy
        self._deliveries = DeliveriesTable(dynamodb, settings.deliveries_table)
        self._queue = DeliveriesQueue(client("sqs"), settings.deliveries_queue)
        self._subscriptions = Subscriptions(SubscriptionsTable(dynamodb, settings.subscriptions_table))
        self._jitter = SystemRandom().random
        secrets = SecretsProvider(boto3_client=client("secretsmanager"))

        def master_secret() -> str:
            return str(secrets.get(settings.master_secret, max_age=SECRET_CACHED_S))

        def sign_link(key: str) -> str:
            location = {"Bucket": settings.results_bucket, "Key": key}
            return str(s3.generate_presigned_url("get_object", Params=location, ExpiresIn=LINK_LIFE_S))

        self._master_secret = master_secret
        self._sign_link = sign_link

    async def handle(
        self, bodies: Sequence[str], remaining_ms: Callable[[], int]
    ) -> list[Outcome | BaseException]:
        """Handle the messages of a batch at the same time.

        Parameters
        ----------
        bodies : sequence of str
            The messages' bodies.
        remaining_ms : callable
            How much is left of the function's time.

        Returns
        -------
        list of Outcome or BaseException
            For each message, in order: what became of it, or what went wrong.
        """
        async with open_client(guard=self._policy, timeout=None) as http:
            deliverer = Deliverer(
                deliveries=self._deliveries,
                queue=self._queue,
                subscriptions=self._subscriptions,
                sender=Sender(http, self._policy, self._sign_link),
                master_secret=self._master_secret,
                now_ms=now_ms,
                jitter=self._jitter,
                remaining_ms=remaining_ms,
            )
            return await asyncio.gather(
                *(_handle(deliverer, body) for body in bodies), return_exceptions=True
            )


async def _handle(deliverer: Deliverer, body: str) -> Outcome:
    return await deliverer.handle(DeliveryMessage.model_validate_json(body))
