"""What follows the end of a task: its files are kept, then its receivers are told. Doing it twice changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from aws_lambda_powertools import Logger
from pydantic import ValidationError

from fulfillment.archive import Archive, AssetName, Kept
from fulfillment.archived import archived_event, completeness, record_assets
from fulfillment.assets import Asset, assets_of
from fulfillment.figures import tell_archived, tell_coming_again
from fulfillment.manifest import (
    Manifest,
    list_on,
    manifest_of,
    provider_object_of,
    read_manifest,
    texts_of,
)
from fulfillment.patience import ComesAgain, again_after_s, pass_s
from fulfillment.results import Clash, Results
from fulfillment.telling import Telling
from fulfillment.transfer import Run
from tunehook.aws.bus import EventBus
from tunehook.aws.tasks import TasksTable
from tunehook.errors import Unavailable
from tunehook.events import ArchivedAsset, ManifestLocation, TaskCompleted, TaskEnded
from tunehook.result_keys import manifest_key
from tunehook.tasks import TaskKey
from tunehook.times import now_ms, to_ms

logger = Logger(child=True)

SUPERSEDED: Final = "the task was put again, and its later run has no such file"

_ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class _Wait:
    """How long a task's files may take: all in all, and this time."""

    since_ms: int
    within_s: float
    clock: Callable[[], int]

    def pass_s(self) -> float:
        return min(self.within_s, pass_s(self._elapsed_s()))

    def again_after_s(self, retry_after_s: float) -> int | None:
        return again_after_s(self._elapsed_s(), retry_after_s)

    def _elapsed_s(self) -> float:
        return max(self.clock() - self.since_ms, 0) / 1000


@dataclass(frozen=True, slots=True)
class _Settled:
    """What is kept of a task for good, as its manifest says it."""

    assets: tuple[ArchivedAsset, ...]
    archived_at_ms: int
    provider_object: dict[str, Any] | None


class Fulfillment:
    """Keeps the results of ended tasks and makes their deliveries.

    Parameters
    ----------
    archive : Archive
        Copies files.
    results : Results
        Where they are kept, and the manifests.
    tasks, bus, telling
        The Tasks table, the bus, and what makes the deliveries.
    clock : callable, optional
        Returns the present moment in milliseconds since 1970.
    """

    def __init__(
        self,
        *,
        archive: Archive,
        results: Results,
        tasks: TasksTable,
        bus: EventBus,
        telling: Telling,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._archive = archive
        self._results = results
        self._tasks = tasks
        self._bus = bus
        self._telling = telling
        self._clock = clock

    async def fulfil(
        self,
        event: TaskEnded,
        *,
        since_ms: int | None = None,
        within_s: float = float("inf"),
        again_ms: int | None = None,
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

        Raises
        ------
        ComesAgain
            If files are missing that may come later; nobody has been told yet.
        Unavailable, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, ExceptionGroup
            If something was not possible this time; to do it again from the start is safe.
        """
        key = TaskKey(event.task_id, event.provider)
        item = await asyncio.to_thread(self._item_of_run, key, event.event_id)
        location = ManifestLocation(
            bucket=self._results.bucket, key=manifest_key(event.provider, event.task_id)
        )
        wait = _Wait(self._clock() if since_ms is None else since_ms, within_s, self._clock)
        settled, was_told = await self._settle(event, item, location.key, wait, again_ms)
        if item is None or "archived_at_ms" not in item or again_ms is not None:
            await self._announce(key, event, settled, location, again_ms if was_told else None)
        if again_ms is not None and was_told:
            return
        receivers = await self._telling.tell(event, item, settled.provider_object, settled.assets, location)
        logger.info(
            "task_fulfilled",
            task_id=key.task_id,
            provider=key.provider,
            assets=len(settled.assets),
            archive=completeness(settled.assets),
            receivers=receivers,
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
        key: str,
        wait: _Wait,
        again_ms: int | None,
    ) -> tuple[_Settled, bool]:
        """Return what is kept of a task, and whether that had been settled before; copy and write what is missing."""
        given_up = {} if again_ms is not None else _given_up(item)
        was_told = False
        for _ in range(_ROUNDS):
            manifest, etag = await self._manifest(key)
            if manifest is not None and manifest.event_id == event.event_id:
                was_told = True
                if again_ms is None or to_ms(manifest.archived_at) >= again_ms:
                    return _settled(manifest), was_told
            elif manifest is not None and manifest.detected_at > event.detected_at:
                logger.warning("later_run_is_kept", task_id=event.task_id, provider=event.provider)
                return _of_later_run(event, item, manifest), was_told
            kept = await self._archive.keep(
                Run(TaskKey(event.task_id, event.provider), to_ms(event.detected_at)),
                _files(event, item),
                event_id=event.event_id,
                within_s=wait.within_s if again_ms is not None else wait.pass_s(),
                given_up=given_up,
            )
            if again_ms is None:
                await self._wait_for_what_may_come(event, item, kept, wait)
            assets = [each.asset for each in kept]
            archived_at_ms = self._clock()
            body = manifest_of(event, item, assets, archived_at_ms)
            try:
                await self._results.put(key, body, etag, ContentType="application/json")
            except Clash:
                continue
            tell_archived(
                event.provider, completeness(assets), assets, archived_at_ms - to_ms(event.detected_at)
            )
            return _Settled(tuple(assets), archived_at_ms, provider_object_of(item)), was_told
        raise Unavailable("the manifest was written by others each time")

    async def _manifest(self, key: str) -> tuple[Manifest | None, str | None]:
        found = await self._results.read(key)
        return (None, None) if found is None else (read_manifest(found[0]), found[1])

    async def _wait_for_what_may_come(
        self,
        event: TaskEnded,
        item: dict[str, Any] | None,
        kept: Sequence[Kept],
        wait: _Wait,
    ) -> None:
        """Have the message come again while there is patience left for files that may come."""
        missing = [each for each in kept if each.may_come]
        retry_after_s = min((each.retry_after_s for each in missing), default=0.0)
        after_s = wait.again_after_s(retry_after_s) if missing else None
        if after_s is None:
            return
        known = [each.asset for each in kept if not each.may_come]
        if item is not None:
            key = TaskKey(event.task_id, event.provider)
            await asyncio.to_thread(record_assets, self._tasks, key, event.event_id, known, None)
        tell_coming_again(event.provider, len(missing))
        raise ComesAgain(len(missing), after_s)

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


def _settled(manifest: Manifest) -> _Settled:
    return _Settled(manifest.assets, to_ms(manifest.archived_at), manifest.provider_object)


def _of_later_run(event: TaskEnded, item: dict[str, Any] | None, manifest: Manifest) -> _Settled:
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
    return _Settled(tuple(assets), to_ms(manifest.archived_at), provider_object_of(item))
