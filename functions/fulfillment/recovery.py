"""Deliveries that were never created: the subscription was disabled, or not yet there, when the task ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger

from fulfillment.archived_event import record_assets
from fulfillment.fan_out import DeliveryFanOut, News, RecipientsOf
from fulfillment.manifest import assets_on, event_in, provider_object_of, read_manifest
from fulfillment.messages import event_of_item
from fulfillment.notices import Notices
from fulfillment.results import Results
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.task_items import metadata_of
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput, Unavailable
from tunehook.event_patterns import EventPattern
from tunehook.events import ArchivedAsset, ManifestLocation, TaskEnded
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.http.guard import NetworkPolicy
from tunehook.result_keys import manifest_key
from tunehook.subscriptions import ENDS, Recipient, WebhookType, check_subscription, recipients_of
from tunehook.tasks import TaskKey
from tunehook.times import now_ms, to_ms

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Creates the delivery to one receiver that fulfillment would have created when the task ended."""

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
        item = await asyncio.to_thread(self.tasks.get_whole, key)
        if item is None or item.get("event_id") != request.event_id:
            logger.warning("task_put_again", task_id=key.task_id, provider=key.provider)
            return
        location = ManifestLocation(bucket=self.results.bucket, key=manifest_key(key.provider, key.task_id))
        event, provider_object, assets, archived_at_ms = await self._archived(key, item, location.key)
        hook = _hook_of(item, request.subscription_id, event.provider, self.policy)
        if hook is None:
            pattern = None if request.filter is None else EventPattern.read(request.filter)
            receivers: RecipientsOf = partial(self._recipients, request, pattern)
        else:
            # Its user has put the task after its end, and its metadata with it.
            event = event.model_copy(update={"metadata": metadata_of(item)})
            receivers = partial(_of_an_end, hook)
        fan_out = DeliveryFanOut(receivers, self.deliveries, self.queue, Notices(self.results), self.clock)
        count = await fan_out.create_deliveries(
            News(event, None, provider_object, assets, location),
            archived_at_ms,
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
        self,
        request: DeliveryRequest,
        pattern: EventPattern | None,
        kind: WebhookType,
        provider: str | None,
        _: Mapping[str, Any] | None,
        data: Mapping[str, Any],
    ) -> list[Recipient]:
        """Return the subscription (strongly consistent) if it is to be told of this, and the request asks for it."""
        if request.events is not None and kind not in request.events:
            return []
        if pattern is not None and not pattern.matches(data):
            return []
        subscription_id = request.subscription_id
        found = self.subscriptions.get(subscription_id)
        try:
            subscription = None if found is None else check_subscription(found, self.policy)
        except InvalidInput as error:
            logger.warning("subscription_unusable", subscription_id=subscription_id, field=error.field)
            return []
        if subscription is None or not (subscription.wants(kind, provider) and subscription.matches(data)):
            return []
        return [Recipient(subscription.subscription_id, subscription.format)]

    async def _archived(
        self, key: TaskKey, item: dict[str, Any], manifest_at: str
    ) -> tuple[TaskEnded, dict[str, Any] | None, tuple[ArchivedAsset, ...], int]:
        """Return what is archived of a run and since when: by its manifest, or where that is lost, by its item."""
        archived_at_ms: int | None = item.get("archived_at_ms")
        found = await self.results.read(manifest_at)
        if found is not None:
            manifest, event = read_manifest(found[0]), event_in(found[0])
            if manifest is not None and event is not None and event.event_id == item["event_id"]:
                if archived_at_ms is None:
                    # The files were settled while the item was its user's, who had just put it.
                    archived_at_ms = to_ms(manifest.archived_at)
                    assets = manifest.assets
                    await record_assets(self.tasks, key, event.event_id, assets, archived_at_ms)
                return event, manifest.provider_object, manifest.assets, archived_at_ms
        if archived_at_ms is None:
            raise Unavailable("the task's files are still waited for")
        return event_of_item(item), provider_object_of(item), tuple(assets_on(item)), archived_at_ms


def _hook_of(
    item: Mapping[str, Any], subscription_id: str, provider: str, policy: NetworkPolicy
) -> Recipient | None:
    """Return the hook of an item, if the subscription of this id stands for it."""
    found = recipients_of(WebhookType.TASK_COMPLETED, provider, (), item, policy, {})
    return next((each for each in found if each.subscription_id == subscription_id), None)


def _of_an_end(hook: Recipient, kind: WebhookType, *_: Any) -> list[Recipient]:
    return [hook] if kind in ENDS else []
