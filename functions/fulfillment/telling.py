"""The deliveries of an ended task: one record and one message for each receiver."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fulfillment.payload import payload_of
from tunehook.aws.deliveries import BATCH_MAX, DeliveriesQueue, DeliveriesTable
from tunehook.deliveries import Delivery, message_for, new_delivery
from tunehook.events import ArchivedAsset, ManifestLocation, TaskCompleted, TaskEnded
from tunehook.subscriptions import Receiver, WebhookType
from tunehook.times import now_ms, to_ms


class KnowsReceivers(Protocol):
    """Who is told: `fulfillment.receivers.Receivers`, or what stands for it."""

    def of(self, kind: WebhookType, provider: str, item: Mapping[str, Any] | None) -> list[Receiver]:
        """See `fulfillment.receivers.Receivers.of`."""
        ...


class Telling:
    """Makes the deliveries.

    Parameters
    ----------
    receivers : KnowsReceivers
        Who is told.
    deliveries, queue
        The Deliveries table and the deliveries queue.
    clock : callable, optional
        The present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        receivers: KnowsReceivers,
        deliveries: DeliveriesTable,
        queue: DeliveriesQueue,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._receivers = receivers
        self._deliveries = deliveries
        self._queue = queue
        self._clock = clock

    async def tell(
        self,
        event: TaskEnded,
        item: dict[str, Any] | None,
        provider_object: dict[str, Any] | None,
        assets: Sequence[ArchivedAsset],
        manifest: ManifestLocation,
    ) -> int:
        """Make the deliveries of an event; one that is there already stays as it is.

        Parameters
        ----------
        event : TaskEnded
            How the task ended.
        item : dict or None
            The task's item, if it is still of this run; it may name a hook.
        provider_object : dict or None
            The provider's own task object.
        assets, manifest
            What is kept of it.

        Returns
        -------
        int
            How many receivers there are.

        Raises
        ------
        ExceptionGroup
            Of `tunehook.aws.faults.AWS_FAULTS` and `tunehook.errors.Unavailable`, if some could not be made.
        """
        kind = WebhookType.TASK_COMPLETED if isinstance(event, TaskCompleted) else WebhookType.TASK_FAILED
        receivers = await asyncio.to_thread(self._receivers.of, kind, event.provider, item)
        payloads = {
            form: payload_of(form, event, provider_object, assets, manifest)
            for form in {receiver.format for receiver in receivers}
        }

        def delivery_to(receiver: Receiver) -> Delivery:
            return new_delivery(
                event_id=event.event_id,
                subscription_id=receiver.subscription_id,
                task_id=event.task_id,
                provider=event.provider,
                type=kind.value,
                event_at_ms=to_ms(event.detected_at),
                format=receiver.format,
                payload=payloads[receiver.format],
                url=receiver.url,
                now_ms=self._clock(),
            )

        async with asyncio.TaskGroup() as group:
            for start in range(0, len(receivers), BATCH_MAX):
                batch = [delivery_to(receiver) for receiver in receivers[start : start + BATCH_MAX]]
                group.create_task(self._make(batch))
        return len(receivers)

    async def _make(self, deliveries: Sequence[Delivery]) -> None:
        # A batch write knows no condition, and would make a delivery that is under way begin anew.
        await asyncio.gather(*(asyncio.to_thread(self._deliveries.create, each) for each in deliveries))
        # Those of before too: their message may never have been sent.
        messages = [message_for(each) for each in deliveries]
        await asyncio.to_thread(self._queue.send_batch, messages, self._clock())
