"""What follows the end of a task: its files are kept, then its receivers are told. Doing it twice changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from aws_lambda_powertools import Logger
from pydantic import ValidationError

from fulfillment.archived_event import archived_event, record_assets
from fulfillment.archiver import Archiver, Kept, Progress
from fulfillment.assets import Asset, AssetName, assets_of
from fulfillment.fan_out import DeliveryFanOut, News
from fulfillment.manifest import (
    Manifest,
    list_on,
    manifest_of,
    provider_object_of,
    read_manifest,
    texts_of,
)
from fulfillment.metrics import Metrics
from fulfillment.results import PreconditionFailed, Results
from fulfillment.retry_policy import RetryLater, again_after_s, due_at_ms, pass_s
from fulfillment.transfer import TaskRun
from tunehook.aws.bus import EventBus
from tunehook.aws.tasks import TasksTable
from tunehook.errors import Unavailable
from tunehook.events import (
    ArchivedAsset,
    KnownAsset,
    ManifestLocation,
    PendingAsset,
    TaskCompleted,
    TaskEnded,
    archived_part,
    completeness,
)
from tunehook.result_keys import manifest_key
from tunehook.tasks import TaskKey
from tunehook.times import now_ms, to_ms

logger = Logger(child=True)

SUPERSEDED: Final = "the task was put again, and its later run has no such file"

CLOCKS_DIFFER_MS: Final = 10_000
"""By how much the clocks of two machines may differ."""

_ROUNDS: Final = 3

_SOON_S: Final = 1.0
"""For so short a time no message is put back into the queue."""


@dataclass(frozen=True, slots=True)
class _Wait:
    """How long a task's files may take: all in all, this time, and until its receivers are told without them."""

    since_ms: int
    due_ms: int
    within_s: float
    clock: Callable[[], int]

    def pass_s(self) -> float:
        return min(self.within_s, pass_s(self._elapsed_s()))

    def again_after_s(self, retry_after_s: float) -> int | None:
        """Return when to look again; not later than when the receivers are due to be told."""
        after_s = again_after_s(self._elapsed_s(), retry_after_s)
        due_s = self.due_s()
        return after_s if after_s is None or not due_s else min(after_s, max(int(due_s), 1))

    def due_s(self) -> float:
        """Return in how many seconds the receivers are told, whatever is missing then; 0 if that is over."""
        return max(self.due_ms - self.clock(), 0) / 1000

    def _elapsed_s(self) -> float:
        return max(self.clock() - self.since_ms, 0) / 1000


@dataclass(frozen=True, slots=True)
class _Settled:
    """What is kept of a task for good, as its manifest says it.

    `was_there` says whether an earlier pass had settled it, `copied_again` whether what was missing was asked for after
    the task had been told of.
    """

    assets: tuple[ArchivedAsset, ...]
    archived_at_ms: int
    provider_object: dict[str, Any] | None
    was_there: bool = False
    copied_again: bool = False


class Fulfillment:
    """Keeps the results of ended tasks and makes their deliveries.

    Parameters
    ----------
    archive : Archiver
        Copies files.
    results : Results
        Where they are kept, and the manifests.
    tasks, bus, telling
        The Tasks table, the bus, and what makes the deliveries.
    patience_s : int
        How long after a task's end its receivers are told even if files are missing that may come.
    figures : Metrics
        What becomes of files is written there.
    clock : callable, optional
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        *,
        archive: Archiver,
        results: Results,
        tasks: TasksTable,
        bus: EventBus,
        telling: DeliveryFanOut,
        patience_s: int,
        figures: Metrics,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._archive = archive
        self._results = results
        self._tasks = tasks
        self._bus = bus
        self._telling = telling
        self._patience_ms = patience_s * 1000
        self._figures = figures
        self._clock = clock

    async def fulfil(
        self,
        event: TaskEnded,
        *,
        since_ms: int | None = None,
        within_s: float = float("inf"),
        again_ms: int | None = None,
        is_first: bool = False,
    ) -> None:
        """Do all that follows the end of a task.

        Parameters
        ----------
        event : TaskEnded
            How the task ended.
        since_ms : int, optional
            When its files were asked for first; now by default.
        within_s : float
            How many seconds copying may take.
        again_ms : int, optional
            When somebody asked to have copied what is missing of a task that has been told of already. Nobody is told
            once more.
        is_first : bool
            Whether nobody can have tried this before, other than at the same time.

        Raises
        ------
        RetryLater
            If files are missing that may come later.
        Unavailable, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, ExceptionGroup
            If something was not possible this time; to do it again from the start is safe.
        """
        key = TaskKey(event.task_id, event.provider)
        item = await asyncio.to_thread(self._item_of_run, key, event.event_id)
        location = ManifestLocation(
            bucket=self._results.bucket, key=manifest_key(event.provider, event.task_id)
        )
        since_ms = self._clock() if since_ms is None else since_ms
        due_ms = due_at_ms(event, since_ms, self._patience_ms)
        wait = _Wait(since_ms, due_ms, within_s, self._clock)
        settled = await self._settle(event, item, location, wait, again_ms)
        if item is None or "archived_at_ms" not in item or again_ms is not None:
            await self._announce(key, event, settled, location, again_ms if settled.copied_again else None)
        if settled.copied_again and again_ms is not None:
            return
        told = await self._telling.tell(
            News(event, item, settled.provider_object, settled.assets, location),
            settled.archived_at_ms,
            may_have_been_told=settled.was_there
            or not is_first
            or self._clock() >= due_ms - CLOCKS_DIFFER_MS,
        )
        logger.info(
            "task_fulfilled",
            task_id=key.task_id,
            provider=key.provider,
            assets=len(settled.assets),
            archive=archived_part(settled.assets),
            deliveries=told,
        )

    def _item_of_run(self, key: TaskKey, event_id: str) -> dict[str, Any] | None:
        """Return the task's item unless the task was put again since, or is gone."""
        item = self._tasks.get(key)
        if item is None or item.get("event_id") != event_id:
            logger.warning("task_put_again", task_id=key.task_id, provider=key.provider)
            return None
        return item

    async def _settle(
        self,
        event: TaskEnded,
        item: dict[str, Any] | None,
        location: ManifestLocation,
        wait: _Wait,
        again_ms: int | None,
    ) -> _Settled:
        """Return what is kept of a task; copy and write what is missing."""
        copied_again = again_ms is not None and _was_told(item, again_ms)
        for _ in range(_ROUNDS):
            manifest, etag = await self._manifest(location.key)
            if manifest is not None and manifest.event_id == event.event_id:
                if again_ms is None or to_ms(manifest.archived_at) >= again_ms:
                    return _settled(manifest)
                copied_again |= manifest.copied_again
            elif manifest is not None and manifest.detected_at > event.detected_at:
                logger.warning("later_run_is_kept", task_id=event.task_id, provider=event.provider)
                return _of_later_run(event, item, manifest, copied_again=copied_again)
            if again_ms is None:
                kept = await self._keep_and_tell(event, item, location, wait)
            else:
                kept = await self._keep(event, _files(event, item), wait.within_s, None)
            assets = tuple(each.asset for each in kept)
            archived_at_ms = max(self._clock(), again_ms or 0)
            body = manifest_of(event, item, assets, archived_at_ms, copied_again=copied_again)
            try:
                await self._results.put(location.key, body, etag, ContentType="application/json")
            except PreconditionFailed:
                continue
            self._figures.archived(
                event.provider, archived_part(assets), assets, archived_at_ms - to_ms(event.detected_at)
            )
            return _Settled(assets, archived_at_ms, provider_object_of(item), copied_again=copied_again)
        raise Unavailable("the manifest was written by others each time")

    async def _manifest(self, key: str) -> tuple[Manifest | None, str | None]:
        found = await self._results.read(key)
        return (None, None) if found is None else (read_manifest(found[0]), found[1])

    async def _keep(
        self, event: TaskEnded, files: Sequence[Asset], within_s: float, progress: Progress | None
    ) -> list[Kept]:
        return await self._archive.keep(
            _run(event), files, within_s=within_s, progress=progress, event_id=event.event_id
        )

    async def _keep_and_tell(
        self, event: TaskEnded, item: dict[str, Any] | None, location: ManifestLocation, wait: _Wait
    ) -> list[Kept]:
        """Copy what is missing, and tell the receivers meanwhile if it takes longer than they are to wait.

        Raises
        ------
        RetryLater
            While there is patience left for files that may come.
        """
        files = _files(event, item)
        progress = await self._archive.look(_run(event), files, _given_up(item))
        is_over = asyncio.Event()

        async def keep() -> list[Kept]:
            is_settled = False
            try:
                kept = await self._keep(event, files, wait.pass_s(), progress)
                is_settled = self._again_after_s(kept, wait) is None
                return kept
            finally:
                # Otherwise the receivers are due now, whatever went wrong with the files.
                if is_settled or wait.due_s() > _SOON_S:
                    is_over.set()

        async def tell_when_due() -> None:
            try:
                async with asyncio.timeout(wait.due_s()):
                    await is_over.wait()
            except TimeoutError:
                await self._tell_pending(event, item, location, _as_known(files, progress))

        kept, told = await asyncio.gather(keep(), tell_when_due(), return_exceptions=True)
        if isinstance(kept, BaseException):
            raise kept
        if (after_s := self._again_after_s(kept, wait)) is None:
            # Whoever could not be told before is told now, or that fails once more.
            return kept
        if told is not None:
            raise told
        await self._note(event, item, _as_known(files, progress))
        missing = sum(each.may_come for each in kept)
        self._figures.coming_again(event.provider, missing)
        raise RetryLater(missing, after_s)

    def _again_after_s(self, kept: Sequence[Kept], wait: _Wait) -> int | None:
        """Return when to look again for what may come; None where there is nothing more to wait for."""
        missing = [each.retry_after_s for each in kept if each.may_come]
        return wait.again_after_s(min(missing)) if missing else None

    async def _tell_pending(
        self,
        event: TaskEnded,
        item: dict[str, Any] | None,
        location: ManifestLocation,
        assets: Sequence[KnownAsset],
    ) -> None:
        if completeness(assets) != "pending":
            return  # which is told as such in a moment
        told = await self._telling.tell_pending(News(event, item, provider_object_of(item), assets, location))
        if told:
            self._figures.told_pending(event.provider)
            logger.info(
                "task_told_pending",
                task_id=event.task_id,
                provider=event.provider,
                missing=sum(asset.status == "pending" for asset in assets),
                deliveries=told,
            )

    async def _note(
        self, event: TaskEnded, item: dict[str, Any] | None, assets: Sequence[KnownAsset]
    ) -> None:
        """Say on the item what is known of the files, so that the next pass asks for what may come alone."""
        if item is not None:
            key = TaskKey(event.task_id, event.provider)
            await asyncio.to_thread(record_assets, self._tasks, key, event.event_id, assets, None)

    async def _announce(
        self,
        key: TaskKey,
        event: TaskEnded,
        settled: _Settled,
        location: ManifestLocation,
        again_ms: int | None,
    ) -> None:
        told = archived_event(event, settled.assets, location, settled.archived_at_ms, again_ms)
        if not all(await asyncio.to_thread(self._bus.put, [told])):
            raise Unavailable("the bus did not take TaskArchived")
        # After the event: where the item says archived, the event is out.
        await asyncio.to_thread(
            record_assets, self._tasks, key, event.event_id, settled.assets, settled.archived_at_ms
        )


def _files(event: TaskEnded, item: dict[str, Any] | None) -> list[Asset]:
    texts = texts_of(item, "text")
    files: list[Asset] = []
    for detail in event.clips:
        clip = replace(detail.to_clip(), text=detail.text or texts.get(detail.clip_id))
        found = list(assets_of(clip))
        is_bare = not (found or clip.stream_url or clip.stream_source_url)
        if is_bare and event.truncated and isinstance(event, TaskCompleted):
            # A clip with nothing in it, of a task that has a result: its text was left out.
            found = [Asset(clip.clip_id, "lyrics", (), clip.title)]
        files += found
    return files


def _given_up(item: dict[str, Any] | None) -> dict[AssetName, ArchivedAsset]:
    """Return the files that an earlier pass has found not to be had at all; what a user put there is none."""
    given_up: dict[AssetName, ArchivedAsset] = {}
    for recorded in list_on(item, "assets"):
        try:
            asset = ArchivedAsset.model_validate(recorded)
        except ValidationError:
            continue
        if asset.status == "unavailable":
            given_up[asset.clip_id, asset.type] = asset
    return given_up


def _run(event: TaskEnded) -> TaskRun:
    return TaskRun(TaskKey(event.task_id, event.provider), to_ms(event.detected_at))


def _as_known(files: Sequence[Asset], progress: Progress) -> list[KnownAsset]:
    """Return each file as it is known now: kept, not to be had at all, or still to come."""

    def as_known(file: Asset) -> KnownAsset:
        kept = progress.kept.get(file.name)
        if kept is not None and not kept.may_come:
            return kept.asset
        return PendingAsset(
            clip_id=file.clip_id,
            type=file.type,
            source_url=file.urls[0] if file.urls else None,
            reason=None if kept is None else kept.asset.reason,
        )

    return [as_known(file) for file in files]


def _was_told(item: dict[str, Any] | None, before_ms: int) -> bool:
    """Return whether a task had been told of before that moment; what a user has put there says nothing."""
    archived_at_ms = (item or {}).get("archived_at_ms")
    return isinstance(archived_at_ms, int) and archived_at_ms < before_ms


def _settled(manifest: Manifest) -> _Settled:
    return _Settled(
        manifest.assets,
        to_ms(manifest.archived_at),
        manifest.provider_object,
        was_there=True,
        copied_again=manifest.copied_again,
    )


def _of_later_run(
    event: TaskEnded, item: dict[str, Any] | None, manifest: Manifest, *, copied_again: bool
) -> _Settled:
    """Return what is kept of a run whose place a later one has taken: what that one has of the same clips."""
    later = {(asset.clip_id, asset.type): asset for asset in manifest.assets}
    assets = [
        later.get((file.clip_id, file.type))
        or ArchivedAsset(
            clip_id=file.clip_id,
            type=file.type,
            source_url=file.urls[0] if file.urls else None,
            status="unavailable",
            reason=SUPERSEDED,
        )
        for file in _files(event, item)
    ]
    return _Settled(
        tuple(assets),
        to_ms(manifest.archived_at),
        provider_object_of(item),
        was_there=True,
        copied_again=copied_again,
    )
