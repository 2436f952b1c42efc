"""Archive the files of a task: what is wanted, what lies in the bucket, and what has to be downloaded and stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass, field
from typing import Final
from urllib.parse import quote

import httpx
from aws_lambda_powertools import Logger

from fulfillment.assets import Asset, AssetName, NotThatMedia, media_type_of
from fulfillment.content_disposition import content_disposition
from fulfillment.download import SILENCE_S, Body, Download, NotCopied, StartOver
from fulfillment.results import PUT_BYTES, ObjectMetadata, PreconditionFailed, Results, StoredObject
from tunehook.errors import InvalidInput
from tunehook.events import ArchivedAsset, KnownAsset, PendingAsset
from tunehook.http.urls import as_https, wire_url
from tunehook.ids import digest
from tunehook.result_keys import asset_key, inline_key, safe_part, task_prefix
from tunehook.tasks import TaskKey
from tunehook.times import from_ms, now_ms

logger = Logger(child=True)

CONCURRENCY: Final = 8
"""How many files of one task are copied at once."""

KEEP_S: Final = 200.0
"""How long archiving may take: the function's time, less what telling the recipients needs."""

MEMORY_MB: Final = 512
"""What the function has at least."""

BUFFER_MB: Final = 40
"""For so much of the function's memory one part of a file may be in it: ten tasks stay below 70 % (``python -m
benchmarks.archive worst``)."""

EXPIRED: Final = "the link has expired"

SOURCE_URL_MAX_LENGTH: Final = 1024
"""Of the link in the object's metadata, all of which S3 limits to 2 kB; the manifest has the whole link."""

_TRIES: Final = 3

_AMPERSAND: Final = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)+", re.IGNORECASE)
"""An ampersand as HTML writes it, once or several times over."""


@dataclass(frozen=True, slots=True)
class TaskRun:
    """The run of a task whose files are archived; a later one has a larger `run_ms`."""

    key: TaskKey
    run_ms: int
    event_id: str = ""

    @property
    def prefix(self) -> str:
        """With what the keys of the task's objects begin."""
        return task_prefix(self.key.provider, self.key.task_id)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a manifest or an item says of a file; it is about no object that was written after `until_ms`."""

    asset: ArchivedAsset
    until_ms: float = float("inf")


@dataclass(slots=True)
class TaskFiles:
    """The files of a task's run: those wanted, the objects in the bucket by key, and what is known of each file so far.

    The hosts of the files that are pending want to be left alone for `retry_after_s`.
    """

    run: TaskRun
    assets: Sequence[Asset]
    objects: dict[str, StoredObject]
    known: dict[AssetName, KnownAsset]
    retry_after_s: float = float("inf")

    def current(self) -> list[KnownAsset]:
        """Return each file as it is known now."""
        return [self.known[asset.name] for asset in self.assets]

    @property
    def pending_count(self) -> int:
        """How many files may come."""
        return sum(isinstance(asset, PendingAsset) for asset in self.current())

    def settled(self) -> tuple[ArchivedAsset, ...]:
        """Return each file as it is in the end: one that is still pending is unavailable."""
        return tuple(
            unavailable(asset) if isinstance(asset, PendingAsset) else asset for asset in self.current()
        )

    def find(self, asset: Asset) -> StoredObject | None:
        """Return the object that settles a file, if there is one."""
        start = f"{self.run.prefix}{safe_part(asset.clip_id)}/{asset.type}."
        found = (stored for key, stored in self.objects.items() if key.startswith(start))
        return next((stored for stored in found if settles(stored, self.run, asset)), None)


@dataclass(slots=True)
class Archiver:
    """Copies the files of tasks to the results bucket, within one event loop.

    `http` is a guarded client; if that is `https_only`, plain http links are asked for over https. A host may send
    nothing for `silence_s`. The function has `memory_mb`: one part of a file at a time for each `BUFFER_MB` of that.
    """

    results: Results
    http: httpx.AsyncClient
    _: KW_ONLY
    max_asset_bytes: int
    memory_mb: int = MEMORY_MB
    https_only: bool = False
    silence_s: float = SILENCE_S
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], int] = now_ms
    _buffers: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._buffers = asyncio.Semaphore(max(1, self.memory_mb // BUFFER_MB))

    async def inspect(
        self,
        run: TaskRun,
        assets: Sequence[Asset],
        recorded: Sequence[Recorded] = (),
        objects: Mapping[str, StoredObject] | None = None,
    ) -> TaskFiles:
        """Return what is known of a task's files before any host is asked; raise boto3's errors.

        `recorded` has the digests of large files, and the files that were given up: these are not tried again. The
        bucket is listed, unless `objects` are those under the run's prefix.
        """
        if objects is None:
            objects = await self.results.list_objects(run.prefix) if assets else {}
        files = TaskFiles(run, assets, dict(objects), {})
        by_key = {each.asset.key: each for each in recorded if each.asset.status == "archived"}
        given_up = by_name(each.asset for each in recorded if each.asset.status == "unavailable")
        for asset in assets:
            known: KnownAsset | None = None
            if (stored := files.find(asset)) is None:
                known = given_up.get(asset.name)
            elif sha256 := stored.sha256 or _recorded_digest(stored, run, by_key.get(stored.key)):
                known = _archived(asset, _source_url(run, asset, stored), stored, sha256)
            files.known[asset.name] = known or pending(asset)
        return files

    async def archive(self, files: TaskFiles, within_s: float = KEEP_S) -> None:
        """Copy the files that are pending, and bring `files` up to date with each.

        Raises an ExceptionGroup of `AWS_FAULTS` if S3 did not take a file.
        """
        slots = asyncio.Semaphore(CONCURRENCY)
        until_s = asyncio.get_running_loop().time() + within_s

        async def archive_one(asset: Asset) -> None:
            async with slots:
                files.known[asset.name] = await self._archive_one(files, asset, until_s)

        async with asyncio.TaskGroup() as group:
            for asset in files.assets:
                if isinstance(files.known[asset.name], PendingAsset):
                    group.create_task(archive_one(asset))

    async def _archive_one(self, files: TaskFiles, asset: Asset, until_s: float) -> KnownAsset:
        problems: list[NotCopied] = []
        try:
            archived = await self._from_bucket(files, asset, until_s) or await self._from_answer(files, asset)
            if archived is not None:
                return archived
        except NotCopied as error:
            problems.append(error)
        # An object whose digest could not be read in time is not downloaded again.
        urls = () if files.find(asset) else asset.urls
        for left, url in zip(range(len(urls), 0, -1), urls, strict=True):
            try:
                return await self._from_link(files, asset, url, until_s, left)
            except NotCopied as error:
                problems.append(error)
        reason = "; ".join(reasons := list(dict.fromkeys(map(str, problems))))
        logger.warning(
            "asset_not_copied",
            task_id=files.run.key.task_id,
            provider=files.run.key.provider,
            clip_id=asset.clip_id,
            type=asset.type,
            reasons=reasons,
        )
        if passing := [problem for problem in problems if not problem.is_final]:
            files.retry_after_s = min(files.retry_after_s, *(each.retry_after_s for each in passing))
            return pending(asset, reason)
        return unavailable(pending(asset, reason))

    async def _from_bucket(self, files: TaskFiles, asset: Asset, until_s: float) -> ArchivedAsset | None:
        """Digest an object whose digest is written nowhere yet, after a crash between its upload and the manifest."""
        for _ in range(_TRIES):
            if (stored := files.find(asset)) is None:
                return None
            try:
                async with asyncio.timeout_at(until_s), self._buffers:
                    sha256 = stored.sha256 or await self.results.digest(stored)
            except TimeoutError:
                raise NotCopied("its digest was not read in time") from None
            except PreconditionFailed:
                await self._head(files, stored.key)
            else:
                return _archived(asset, _source_url(files.run, asset, stored), stored, sha256)
        raise NotCopied("written by others each time")

    async def _from_answer(self, files: TaskFiles, asset: Asset) -> ArchivedAsset | None:
        """Store a text, or a file that came inside the provider's answer; return None if the asset is neither."""
        content = asset.content
        if asset.is_inline:
            found = await self.results.read(inline_key(files.run.event_id, asset.clip_id, asset.type))
            if found is None:
                reason = "the file came inside the provider's answer, and is not kept any more"
                raise NotCopied(reason, is_final=True)
            content = found[0]
        if content is None:
            if asset.urls:
                return None
            raise NotCopied("the text was too long to be passed on, and is not kept any more", is_final=True)

        async def chunks(whole: bytes) -> AsyncIterator[bytes]:
            yield whole

        for _ in range(_TRIES):
            try:
                return await self._store(files, asset, None, chunks(content), str)
            except NotThatMedia as error:
                raise NotCopied(error.reason, is_final=True) from None
            except PreconditionFailed:
                continue
        raise NotCopied("written by others each time")

    async def _from_link(
        self, files: TaskFiles, asset: Asset, url: str, until_s: float, links_left: int
    ) -> ArchivedAsset:
        """Copy from a link as it is; if the host refuses that, with each ``&amp;`` read as HTML has it."""
        if asset.expires_at is not None and asset.expires_at <= from_ms(self.clock()):
            raise NotCopied(EXPIRED, is_final=True)
        now_s = asyncio.get_running_loop().time()
        link_until_s = now_s + (until_s - now_s) / links_left
        requested = _over_https(url) if self.https_only else url
        try:
            return await self._copy(files, asset, url, requested, link_until_s)
        except NotCopied as error:
            unescaped = _AMPERSAND.sub("&", requested)
            if unescaped == requested or error.status is None or error.status // 100 != 4:
                raise
        return await self._copy(files, asset, url, unescaped, link_until_s)

    async def _copy(
        self, files: TaskFiles, asset: Asset, url: str, requested: str, until_s: float
    ) -> ArchivedAsset:
        download = Download(
            self.http,
            requested,
            max_bytes=self.max_asset_bytes,
            until_s=until_s,
            silence_s=self.silence_s,
            sleep=self.sleep,
            clock=self.clock,
        )
        try:
            async with asyncio.timeout_at(until_s):
                return await self.transfer(files, asset, url, download)
        except TimeoutError:
            problem = NotCopied("not copied in time")
        except NotCopied as error:
            problem = error
        if not (self.https_only and _is_plain(url)):
            raise problem
        raise NotCopied(
            f"plain http is not allowed; asked for over https: {problem}",
            # A host that did not answer over https will not while the recipients wait.
            is_final=problem.is_final or not download.was_answered,
            retry_after_s=problem.retry_after_s,
            status=problem.status,
        )

    async def transfer(self, files: TaskFiles, asset: Asset, url: str, download: Download) -> ArchivedAsset:
        """Stream a file from a link to S3, if its bytes are what its name says.

        Raises `NotCopied` if the file could not be had whole, and boto3's errors if S3 did not take it.
        """
        while True:
            try:
                async with aclosing(download.chunks()) as chunks:
                    return await self._store(files, asset, url, chunks, lambda: download.content_type)
            except StartOver:
                continue
            except NotThatMedia as error:
                # A proxy's page with status 200 may give way to the file.
                await download.wait(NotCopied(error.reason))
            except PreconditionFailed as error:
                await download.wait(NotCopied(str(error)))

    async def _store(
        self,
        files: TaskFiles,
        asset: Asset,
        url: str | None,
        chunks: AsyncIterator[bytes],
        host_says: Callable[[], str],
    ) -> ArchivedAsset:
        run = files.run
        async with Body(chunks, self._buffers) as body:
            # All of this first part is judged: it is most files as a whole, with an index at their end too.
            await body.read(PUT_BYTES)
            media = media_type_of(
                asset.type, bytes(body.part), host_says=host_says(), is_output=asset.is_output
            )
            key = asset_key(run.key.provider, run.key.task_id, asset.clip_id, asset.type, media.extension)
            source = source_without_link(asset) if url is None else source_in_metadata(url)
            metadata = {"source-url": source, "run": str(run.run_ms)}
            if media.remark is not None:
                metadata["remark"] = media.remark
            about = ObjectMetadata(media.content_type, content_disposition(asset, media.extension), metadata)
            expected_etag = files.objects[key].etag if key in files.objects else None
            try:
                await self.results.store(key, about, expected_etag, body)
            except PreconditionFailed:
                stored = await self._head(files, key)
                if stored is None or not settles(stored, run, asset):
                    raise
                sha256 = stored.sha256 or await self.results.digest(stored)
                # One of this run counts even with other bytes: some hosts mark each download, and it may be told of.
                if sha256 != body.sha256 and (stored.run_ms or 0) < run.run_ms:
                    raise
                return _archived(asset, url, stored, sha256)
            return ArchivedAsset(
                clip_id=asset.clip_id,
                type=asset.type,
                source_url=url,
                status="archived",
                key=key,
                content_type=media.content_type,
                bytes=body.count,
                sha256=body.sha256,
                remark=media.remark,
            )

    async def _head(self, files: TaskFiles, key: str) -> StoredObject | None:
        """Bring one object of `files` up to date, and return it."""
        files.objects.pop(key, None)
        if (stored := await self.results.head(key)) is not None:
            files.objects[key] = stored
        return stored


def by_name(assets: Iterable[ArchivedAsset]) -> dict[AssetName, ArchivedAsset]:
    """Return files by their names."""
    return {(asset.clip_id, asset.type): asset for asset in assets}


def settles(stored: StoredObject, run: TaskRun, asset: Asset) -> bool:
    """Return whether an object is a file that a run wants, whole: from one of its links, or of a later run."""
    if not stored.is_whole:
        return False
    if stored.is_later_than(run.run_ms) or _link_of(asset, stored) is not None:
        return True
    return stored.source == source_without_link(asset) and stored.run_ms == run.run_ms


def source_without_link(asset: Asset) -> str:
    """Return what stands for the link of a file that came inside the provider's answer, or of a text."""
    return f"answer:{asset.type}"


def source_in_metadata(url: str) -> str:
    """Return a link in ASCII, as an object's metadata has it; the end of a very long one is a digest."""
    quoted = quote(url, safe=":/?&=%+,;@~!$'()*", errors="replace")
    if len(quoted) <= SOURCE_URL_MAX_LENGTH:
        return quoted
    end = f"~{digest(url)}"
    return f"{quoted[: SOURCE_URL_MAX_LENGTH - len(end)]}{end}"


def _link_of(asset: Asset, stored: StoredObject) -> str | None:
    """Return which of a file's links an object came from, if any."""
    return next((url for url in asset.urls if stored.source == source_in_metadata(url)), None)


def _source_url(run: TaskRun, asset: Asset, stored: StoredObject) -> str | None:
    url = _link_of(asset, stored)
    return asset.urls[0] if url is None and asset.urls and stored.is_later_than(run.run_ms) else url


def _recorded_digest(stored: StoredObject, run: TaskRun, recorded: Recorded | None) -> str | None:
    """Return the recorded digest of an object, if it is about the bytes that lie there now."""
    if recorded is None or recorded.asset.bytes != stored.size:
        return None
    is_newer = stored.is_later_than(run.run_ms) or stored.modified_ms > recorded.until_ms
    return None if is_newer else recorded.asset.sha256


def _archived(asset: Asset, url: str | None, stored: StoredObject, sha256: str) -> ArchivedAsset:
    return ArchivedAsset(
        clip_id=asset.clip_id,
        type=asset.type,
        source_url=url,
        status="archived",
        key=stored.key,
        content_type=stored.content_type,
        bytes=stored.size,
        sha256=sha256,
        remark=stored.remark,
    )


def pending(asset: Asset, reason: str | None = None) -> PendingAsset:
    """Return a wanted file as one that may come."""
    url = next(iter(asset.urls), None)
    return PendingAsset(clip_id=asset.clip_id, type=asset.type, source_url=url, reason=reason)


def unavailable(pending: PendingAsset) -> ArchivedAsset:
    """Return a pending file as one that is not waited for any more."""
    return ArchivedAsset(**pending.model_dump(exclude={"status"}), status="unavailable")


def _is_plain(url: str) -> bool:
    return url[:7].lower() == "http://"


def _over_https(url: str) -> str:
    try:
        return as_https(wire_url(url)) if _is_plain(url) else url
    except InvalidInput:  # the download says so in its own words
        return url
