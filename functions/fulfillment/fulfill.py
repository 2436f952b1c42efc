"""Archive the files of an ended task, then create its deliveries; idempotent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from aws_lambda_powertools import Logger

from fulfillment.archived_event import archived_event, record_assets
from fulfillment.archiver import Archiver, Recorded, TaskFiles, TaskRun, by_name, pending, unavailable
from fulfillment.assets import Asset, assets_of
from fulfillment.fan_out import DeliveryFanOut, News
from fulfillment.manifest import Manifest, assets_on, manifest_of, provider_object_of, read_manifest, texts_of
from fulfillment.metrics import Metrics
from fulfillment.results import PreconditionFailed, Results, StoredObject
from fulfillment.retry_policy import Patience, RetryLater, due_at_ms
from tunehook.aws.bus import EventBus
from tunehook.aws.tasks import TasksTable
from tunehook.errors import Unavailable
from tunehook.events import ManifestLocation, TaskCompleted, TaskEnded, archived_part
from tunehook.result_keys import manifest_key, task_prefix
from tunehook.tasks import TaskKey
from tunehook.times import from_ms, now_ms, to_ms

logger = Logger(child=True)

SUPERSEDED: Final = "the task was put again, and its later run has no such file"

CLOCKS_DIFFER_MS: Final = 10_000
"""By how much the clocks of two machines may differ."""

_ROUNDS: Final = 3

_SOON_S: Final = 1.0
"""For so short a time no message is put back into the queue."""


@dataclass(frozen=True, slots=True)
class _Task:
    """An ended task, its item if that is of the same run, and when somebody asked to archive it again."""

    event: TaskEnded
    item: dict[str, Any] | None
    location: ManifestLocation
    again_ms: int | None

    @property
    def key(self) -> TaskKey:
        return TaskKey(self.event.task_id, self.event.provider)

    @property
    def run(self) -> TaskRun:
        return TaskRun(self.key, to_ms(self.event.detected_at), self.event.event_id)

    @property
    def archived_at_ms(self) -> int | None:
        """When its files were archived, as the item says; a value that is no number was put there by hand."""
        value = (self.item or {}).get("archived_at_ms")
        return value if isinstance(value, int) else None

    def assets(self) -> list[Asset]:
        texts = texts_of(self.item, "text")
        assets: list[Asset] = []
        for detail in self.event.clips:
            clip = replace(detail.to_clip(), text=detail.text or texts.get(detail.clip_id))
            found = list(assets_of(clip))
            is_bare = not (found or clip.stream_url or clip.stream_source_url or clip.is_output)
            if is_bare and self.event.truncated and isinstance(self.event, TaskCompleted):
                # A clip with nothing in it, of a task that has a result: its text was left out.
                found = [Asset(clip.clip_id, "lyrics", (), clip.title)]
            assets += found
        return assets

    def recorded(self, manifest: Manifest | None) -> list[Recorded]:
        """Return what was written of the files, without what a request to archive again makes to be tried again."""
        found: list[Recorded] = []
        if manifest is not None:
            until_ms: float = to_ms(manifest.archived_at)
            found = [Recorded(asset, until_ms) for asset in manifest.assets if asset.status == "archived"]
        until_ms = float("inf") if self.archived_at_ms is None else self.archived_at_ms
        for asset in assets_on(self.item):
            if self.again_ms is None or asset.status == "archived":
                found.append(Recorded(asset, until_ms))
        return found


@dataclass(frozen=True, slots=True)
class _Found:
    """What lies in the bucket of a task: the bytes of its manifest, empty if there is none, and its files by key."""

    body: bytes
    etag: str | None
    objects: dict[str, StoredObject]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fulfillment:
    """Archives the results of ended tasks and creates their deliveries.

    `patience_s` after a task's end its recipients are told even if files are pending.
    """

    archiver: Archiver
    results: Results
    tasks: TasksTable
    bus: EventBus
    fan_out: DeliveryFanOut
    metrics: Metrics
    patience_s: int
    clock: Callable[[], int] = now_ms

    async def fulfill(
        self,
        event: TaskEnded,
        *,
        since_ms: int | None = None,
        within_s: float = float("inf"),
        again_ms: int | None = None,
        is_first: bool = False,
    ) -> None:
        """Do all that follows the end of a task.

        Its files were asked for first at `since_ms`, now by default; archiving may take `within_s`. `again_ms` is when
        somebody asked to copy what is missing of a task that was delivered already, and is not delivered again then.
        `is_first` says that no earlier try can have been made.

        Raises
        ------
        RetryLater
            If files are pending.
        Unavailable, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, ExceptionGroup
            If something failed; to do it again from the start is safe.
        """
        key = TaskKey(event.task_id, event.provider)
        location = ManifestLocation(bucket=self.results.bucket, key=manifest_key(key.provider, key.task_id))
        # At once: each is a call whose answer the others need not know.
        item, found = await asyncio.gather(
            asyncio.to_thread(self.tasks.get_run, key, to_ms(event.detected_at)),
            self._look(key, location.key, may_have_files=not is_first),
        )
        if item is None or item.get("event_id") != event.event_id:
            logger.warning("task_put_again", task_id=key.task_id, provider=key.provider)
            item = None
        task = _Task(event, item, location, again_ms)
        since_ms = self.clock() if since_ms is None else since_ms
        due_ms = due_at_ms(event, since_ms, self.patience_s * 1000)
        patience = Patience(since_ms, due_ms, within_s, self.clock)
        manifest, was_there = await self._settle(task, found, patience)
        is_to_emit = item is None or "archived_at_ms" not in item or again_ms is not None
        emitting = self._emit_archived(task, manifest) if is_to_emit else None
        if manifest.copied_again and again_ms is not None:
            if emitting is not None:
                await emitting
            return
        deliveries = await self.fan_out.create_deliveries(
            News(event, item, manifest.provider_object, manifest.assets, location),
            to_ms(manifest.archived_at),
            may_have_been_told=was_there or not is_first or self.clock() >= due_ms - CLOCKS_DIFFER_MS,
            meanwhile=emitting,
        )
        logger.info(
            "task_fulfilled",
            task_id=key.task_id,
            provider=key.provider,
            assets=len(manifest.assets),
            archive=archived_part(manifest.assets),
            deliveries=deliveries,
        )

    async def _look(self, key: TaskKey, manifest_at: str, *, may_have_files: bool = True) -> _Found:
        """Return what lies in the bucket of a task: mostly nothing.

        Where there is no manifest and no earlier try, no list is asked for, which costs twelve times what the question
        for the manifest does: every write is conditional, and finds what lies there all the same.
        """
        if not may_have_files and await self.results.read(manifest_at) is None:
            return _Found(b"", None, {})
        keys = await self.results.list_keys(task_prefix(key.provider, key.task_id))
        if manifest_at not in keys:
            return _Found(b"", None, await self.results.objects(keys))
        manifest, objects = await asyncio.gather(
            self.results.read(manifest_at), self.results.objects(each for each in keys if each != manifest_at)
        )
        body, etag = manifest or (b"", None)
        return _Found(body, etag, objects)

    async def _settle(self, task: _Task, found: _Found, patience: Patience) -> tuple[Manifest, bool]:
        """Return a task's manifest, and whether it was there; if not, archive the files and write it.

        `found` is what lay in the bucket a moment ago.
        """
        event, again_ms, archived_at_ms = task.event, task.again_ms, task.archived_at_ms
        # Whether the recipients were told before somebody asked for the files again.
        copied_again = again_ms is not None and archived_at_ms is not None and archived_at_ms < again_ms
        for _ in range(_ROUNDS):
            manifest = read_manifest(found.body)
            if manifest is not None and manifest.event_id == event.event_id:
                if again_ms is None or to_ms(manifest.archived_at) >= again_ms:
                    return manifest, True
                copied_again |= manifest.copied_again
            elif manifest is not None and manifest.detected_at > event.detected_at:
                logger.warning("later_run_is_kept", task_id=event.task_id, provider=event.provider)
                return _of_later_run(task, manifest, copied_again=copied_again), True
            recorded = task.recorded(manifest)
            files = await self.archiver.inspect(task.run, task.assets(), recorded, found.objects)
            if again_ms is None:
                await self._archive_and_tell(task, files, patience)
            else:
                await self.archiver.archive(files, patience.within_s)
            manifest = Manifest(
                event_id=event.event_id,
                detected_at=event.detected_at,
                archived_at=from_ms(max(self.clock(), again_ms or 0)),
                assets=files.settled(),
                provider_object=provider_object_of(task.item),
                copied_again=copied_again,
            )
            body = manifest_of(event, task.item, manifest)
            try:
                await self.results.put(task.location.key, body, found.etag, ContentType="application/json")
            except PreconditionFailed:
                found = await self._look(task.key, task.location.key)
                continue
            duration_ms = to_ms(manifest.archived_at) - to_ms(event.detected_at)
            self.metrics.archived(event.provider, manifest.assets, duration_ms)
            return manifest, False
        raise Unavailable("the manifest was written by others each time")

    async def _archive_and_tell(self, task: _Task, files: TaskFiles, patience: Patience) -> None:
        """Archive what is pending, and tell the recipients meanwhile when they are due.

        Raises `RetryLater` while there is patience left for files that are still pending.
        """
        is_over = asyncio.Event()

        def again_after_s() -> int | None:
            return patience.again_after_s(files.retry_after_s) if files.pending_count else None

        async def archive() -> None:
            is_settled = False
            try:
                await self.archiver.archive(files, patience.pass_s())
                is_settled = again_after_s() is None
            finally:
                # Otherwise the recipients are due now, whatever went wrong with the files.
                if is_settled or patience.due_s() > _SOON_S:
                    is_over.set()

        async def tell_when_due() -> None:
            try:
                async with asyncio.timeout(patience.due_s()):
                    await is_over.wait()
            except TimeoutError:
                await self._tell_pending(task, files)

        archived, told = await asyncio.gather(archive(), tell_when_due(), return_exceptions=True)
        if isinstance(archived, BaseException):
            raise archived
        if (after_s := again_after_s()) is None:
            return  # whoever could not be told before is told now, or that fails once more
        if told is not None:
            raise told
        if task.item is not None:
            # The next pass asks only for what is pending.
            await record_assets(self.tasks, task.key, task.event.event_id, files.current(), None)
        self.metrics.waiting_for(task.event.provider, files.pending_count)
        raise RetryLater(files.pending_count, after_s)

    async def _tell_pending(self, task: _Task, files: TaskFiles) -> None:
        if not (missing := files.pending_count):
            return
        provider_object = provider_object_of(task.item)
        news = News(task.event, task.item, provider_object, files.current(), task.location)
        if deliveries := await self.fan_out.create_pending_deliveries(news):
            self.metrics.delivered_pending(task.event.provider)
            logger.info(
                "task_told_pending",
                task_id=task.key.task_id,
                provider=task.key.provider,
                missing=missing,
                deliveries=deliveries,
            )

    async def _emit_archived(self, task: _Task, manifest: Manifest) -> None:
        event, archived_at_ms = task.event, to_ms(manifest.archived_at)
        again_ms = task.again_ms if manifest.copied_again else None
        emitted = archived_event(event, manifest.assets, task.location, archived_at_ms, again_ms)
        if not all(await self.bus.put_in_loop([emitted])):
            raise Unavailable("the bus did not take TaskArchived")
        # After the event: where the item says archived, the event is out.
        await record_assets(self.tasks, task.key, event.event_id, manifest.assets, archived_at_ms)


def _of_later_run(task: _Task, manifest: Manifest, *, copied_again: bool) -> Manifest:
    """Return the manifest of a run that a later one has replaced: it has what that one has of the same clips."""
    later = by_name(manifest.assets)
    assets = tuple(
        later.get(asset.name) or unavailable(pending(asset, SUPERSEDED)) for asset in task.assets()
    )
    provider_object = provider_object_of(task.item)
    update = {"assets": assets, "provider_object": provider_object, "copied_again": copied_again}
    return manifest.model_copy(update=update)
