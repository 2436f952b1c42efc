"""What follows the end of a task: its files are kept, then its receivers are told. Doing it twice changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from aws_lambda_powertools import Logger

from fulfillment.archive import Archive
from fulfillment.assets import assets_of
from fulfillment.keys import manifest_key
from fulfillment.manifest import manifest_of, provider_object_of
from fulfillment.payload import payload_of
from fulfillment.receivers import Receivers
from tunehook.aws.bus import EventBus
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.tasks import TasksTable
from tunehook.deliveries import message_for, new_delivery
from tunehook.errors import Unavailable
from tunehook.events import ArchivedAsset, ManifestLocation, TaskArchived, TaskCompleted, TaskFailed
from tunehook.identifiers import digest
from tunehook.subscriptions import Receiver, WebhookType
from tunehook.tasks import TaskKey
from tunehook.times import from_ms, now_ms, to_ms

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = Logger(child=True)


class Fulfillment:
    """Keeps the results of ended tasks and makes their deliveries.

    Parameters
    ----------
    archive : Archive
        Copies files.
    s3 : S3Client
        For the manifest.
    bucket : str
        Where the results are kept.
    tasks, bus, receivers, deliveries, queue
        The tables, the bus and the deliveries queue.
    clock : callable, optional
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        s3: S3Client,
        bucket: str,
        tasks: TasksTable,
        bus: EventBus,
        receivers: Receivers,
        deliveries: DeliveriesTable,
        queue: DeliveriesQueue,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._archive = archive
        self._s3 = s3
        self._bucket = bucket
        self._tasks = tasks
        self._bus = bus
        self._receivers = receivers
        self._deliveries = deliveries
        self._queue = queue
        self._clock = clock

    async def fulfil(self, event: TaskCompleted | TaskFailed) -> None:
        """Do all that follows the end of a task.

        Parameters
        ----------
        event : TaskCompleted or TaskFailed
            How the task ended.

        Raises
        ------
        Unavailable, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, ExceptionGroup
            If something was not possible this time; to do it again from the start is safe.
        """
        key = TaskKey(event.task_id, event.provider)
        item = await asyncio.to_thread(self._item_of_run, key, event.event_id)
        manifest = ManifestLocation(bucket=self._bucket, key=manifest_key(event.provider, event.task_id))
        archived = await self._keep(key, event, item, manifest)
        await self._tell(event, item, archived, manifest)
        logger.info(
            "task_fulfilled",
            task_id=key.task_id,
            provider=key.provider,
            assets=len(archived.assets),
            archive=archived.archive,
        )

    def _item_of_run(self, key: TaskKey, event_id: str) -> dict[str, Any] | None:
        """Return the task's item unless the task was put again since, or is gone."""
        item = self._tasks.get(key)
        if item is None or item.get("event_id") != event_id:
            logger.warning("task_put_again", task_id=key.task_id, provider=key.provider)
            return None
        return item

    async def _keep(
        self,
        key: TaskKey,
        event: TaskCompleted | TaskFailed,
        item: dict[str, Any] | None,
        manifest: ManifestLocation,
    ) -> TaskArchived:
        if item is not None and "archived_at_ms" in item:
            kept = [ArchivedAsset.model_validate(asset) for asset in item.get("assets", ())]
            return _archived(event, kept, manifest, item["archived_at_ms"])
        files = [asset for clip in event.clips for asset in assets_of(clip.to_clip())]
        assets = await self._archive.keep(key, files)
        await asyncio.to_thread(
            self._s3.put_object,
            Bucket=manifest.bucket,
            Key=manifest.key,
            Body=manifest_of(event, item, assets),
            ContentType="application/json",
        )
        archived_at_ms = self._clock()
        archived = _archived(event, assets, manifest, archived_at_ms)
        if not all(await asyncio.to_thread(self._bus.put, [archived])):
            raise Unavailable("the bus did not take TaskArchived")
        # After the event: where the item says archived, the event is out.
        await asyncio.to_thread(
            self._tasks.record_assets,
            key,
            event.event_id,
            [asset.model_dump(mode="json", exclude_none=True) for asset in assets],
            archived_at_ms,
        )
        return archived

    async def _tell(
        self,
        event: TaskCompleted | TaskFailed,
        item: dict[str, Any] | None,
        archived: TaskArchived,
        manifest: ManifestLocation,
    ) -> None:
        kind = WebhookType.TASK_COMPLETED if isinstance(event, TaskCompleted) else WebhookType.TASK_FAILED
        receivers = await asyncio.to_thread(self._receivers.of, kind, event.provider, item)
        provider_object = provider_object_of(item)
        payloads = {
            form: payload_of(form, event, provider_object, archived.assets, manifest)
            for form in {receiver.format for receiver in receivers}
        }
        await asyncio.gather(
            *(
                asyncio.to_thread(self._deliver, event, kind, receiver, payloads[receiver.format])
                for receiver in receivers
            )
        )

    def _deliver(
        self, event: TaskCompleted | TaskFailed, kind: WebhookType, receiver: Receiver, payload: str
    ) -> None:
        moment_ms = self._clock()
        delivery = new_delivery(
            event_id=event.event_id,
            subscription_id=receiver.subscription_id,
            task_id=event.task_id,
            provider=event.provider,
            type=kind.value,
            event_at_ms=to_ms(event.detected_at),
            format=receiver.format,
            payload=payload,
            url=receiver.url,
            now_ms=moment_ms,
        )
        # The message goes out even if the record was there: a crash may have come between the two.
        self._deliveries.create(delivery)
        self._queue.send(message_for(delivery), moment_ms)


def _archived(
    event: TaskCompleted | TaskFailed,
    assets: list[ArchivedAsset],
    manifest: ManifestLocation,
    archived_at_ms: int,
) -> TaskArchived:
    return TaskArchived(
        event_id=f"evt_{digest('TaskArchived', event.event_id)}",
        task_event_id=event.event_id,
        task_id=event.task_id,
        provider=event.provider,
        archived_at=from_ms(archived_at_ms),
        archive=_completeness(assets),
        manifest=manifest,
        assets=tuple(assets),
    )


def _completeness(assets: list[ArchivedAsset]) -> Literal["complete", "partial", "empty"]:
    if not assets:
        return "empty"
    return "complete" if all(asset.status == "archived" for asset in assets) else "partial"
