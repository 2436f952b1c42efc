"""Deliveries that were never created: the subscription was disabled, or not yet there, when the task ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger

from fulfillment.fan_out import DeliveryFanOut, News
from fulfillment.manifest import assets_on, event_in, provider_object_of, read_manifest
from fulfillment.messages import event_of_item
from fulfillment.notices import Notices
from fulfillment.results import Results
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput, Unavailable
from tunehook.events import ArchivedAsset, ManifestLocation, TaskEnded
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.http.guard import NetworkPolicy
from tunehook.result_keys import manifest_key
from tunehook.subscriptions import Recipient, WebhookType, check_subscription
from tunehook.tasks import TaskKey
from tunehook.times import now_ms

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Creates the delivery to one subscription that fulfillment would have created when the task ended."""

    tasks: TasksTable
    subscriptions: SubscriptionsTable
    deliveries: DeliveriesTable
    queue: DeliveriesQueue
    results: Results
    policy: NetworkPolicy
    clock: Callable[[], int] = now_ms

    async def deliver(self, request: DeliveryRequest) -> None:
        """Create a delivery; one that is there already stays as it is.

        Raises `Unavailable` while files of the task are pending, and what `DeliveryFanOut.create_deliveries` does. To
        do it again is safe.
        """
        key = TaskKey(request.task_id, request.provider)
        item = await asyncio.to_thread(self.tasks.get, key)
        if item is None or item.get("event_id") != request.event_id:
            logger.warning("task_put_again", task_id=key.task_id, provider=key.provider)
            return
        if "archived_at_ms" not in item:
            raise Unavailable("the task's files are still waited for")
        location = ManifestLocation(bucket=self.results.bucket, key=manifest_key(key.provider, key.task_id))
        event, provider_object, assets = await self._archived(item, location.key)
        recipients_of = partial(self._recipients, request.subscription_id)
        fan_out = DeliveryFanOut(
            recipients_of, self.deliveries, self.queue, Notices(self.results), self.clock
        )
        count = await fan_out.create_deliveries(
            News(event, None, provider_object, assets, location),
            item["archived_at_ms"],
            # That concerns others; what this one was told, its own delivery says.
            may_have_been_told=False,
        )
        logger.info(
            "delivery_recovered" if count else "delivery_not_wanted",
            task_id=key.task_id,
            provider=key.provider,
            subscription_id=request.subscription_id,
        )

    def _recipients(
        self, subscription_id: str, kind: WebhookType, provider: str, _: Mapping[str, Any] | None
    ) -> list[Recipient]:
        """Return the subscription (strongly consistent) if it is to be told of this."""
        found = self.subscriptions.get(subscription_id)
        try:
            subscription = None if found is None else check_subscription(found, self.policy)
        except InvalidInput as error:
            logger.warning("subscription_unusable", subscription_id=subscription_id, field=error.field)
            return []
        if subscription is None or not subscription.wants(kind, provider):
            return []
        return [Recipient(subscription.subscription_id, subscription.format)]

    async def _archived(
        self, item: dict[str, Any], key: str
    ) -> tuple[TaskEnded, dict[str, Any] | None, tuple[ArchivedAsset, ...]]:
        """Return what is archived of a run: by its manifest, or where that is lost, by its item."""
        found = await self.results.read(key)
        if found is not None:
            manifest, event = read_manifest(found[0]), event_in(found[0])
            if manifest is not None and event is not None and event.event_id == item["event_id"]:
                return event, manifest.provider_object, manifest.assets
        return event_of_item(item), provider_object_of(item), tuple(assets_on(item))
