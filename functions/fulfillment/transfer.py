"""Copies one file from a link to S3, streaming: no more than a few parts of it are in memory at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from fulfillment.assets import Asset, NotThatMedia, media_type_of
from fulfillment.content_disposition import content_disposition
from fulfillment.download import Download, NotCopied, StartOver
from fulfillment.results import (
    PART_BYTES,
    PUT_BYTES,
    Copied,
    ObjectMetadata,
    PreconditionFailed,
    Results,
    Stored,
)
from tunehook.ids import digest
from tunehook.result_keys import asset_key
from tunehook.tasks import TaskKey

BUFFERS: Final = 48
"""How many parts may be in memory at once, of all files that are copied at the same time: at most 384 MiB.

More than are uploaded at once (`tunehook.aws.clients.CONNECTIONS`). With all else that ten tasks at once need, that
stays below 70 % of the function's memory (``python -m benchmarks.archive worst``).
"""

_TRIES: Final = 3

SOURCE_URL_MAX_LENGTH: Final = 1024
"""Of the link, in the object's metadata, which S3 limits to 2 kB together; the manifest has the whole link."""


@dataclass(frozen=True, slots=True)
class TaskRun:
    """The run of a task whose files are copied; a later one has a larger `run_ms`."""

    key: TaskKey
    run_ms: int


class Transfer:
    """Copies files to the results bucket; for one event loop.

    Parameters
    ----------
    results : Results
        The bucket.
    """

    def __init__(self, results: Results) -> None:
        self._results = results
        self._buffers = asyncio.Semaphore(BUFFERS)

    async def copy(
        self, run: TaskRun, asset: Asset, url: str, download: Download, seen: dict[str, Stored]
    ) -> Copied:
        """Copy a file, if its bytes are what its name says.

        Parameters
        ----------
        run : TaskRun
            Whose file it is.
        asset : Asset
            The file.
        url : str
            Which of its links `download` asks.
        download : Download
            Its bytes.
        seen : dict
            The objects of the task, by key, as they were last looked at; kept up to date.

        Returns
        -------
        Copied
            Nothing is visible under the key before all of it is there.

        Raises
        ------
        NotCopied
            If the file could not be had whole.
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If S3 did not take it.
        """
        while True:
            try:
                async with aclosing(download.chunks()) as chunks:
                    return await self._store(
                        run, asset, url, _Body(chunks), seen, lambda: download.content_type
                    )
            except StartOver:
                continue
            except NotThatMedia as error:
                # A proxy's page with status 200 may give way to the file.
                await download.wait(NotCopied(error.reason))
            except PreconditionFailed as error:
                await download.wait(NotCopied(str(error)))

    async def keep(
        self, run: TaskRun, asset: Asset, source: str, content: bytes, seen: dict[str, Stored]
    ) -> Copied:
        """Keep a file whose bytes are here already; parameters, result and errors are those of `copy`."""

        async def all_of_it() -> AsyncIterator[bytes]:
            yield content

        for _ in range(_TRIES):
            try:
                return await self._store(run, asset, source, _Body(all_of_it()), seen, str)
            except NotThatMedia as error:
                raise NotCopied(error.reason, is_final=True) from None
            except PreconditionFailed:
                continue
        raise NotCopied("written by others each time")

    async def _store(
        self,
        run: TaskRun,
        asset: Asset,
        url: str,
        body: _Body,
        seen: dict[str, Stored],
        host_says: Callable[[], str],
    ) -> Copied:
        buffers = _Buffers(self._buffers)
        try:
            await buffers.take()
            # All of this first part is looked at: of most files it is the whole, with an index at its end too.
            await body.read(PUT_BYTES)
            media = media_type_of(asset.type, bytes(body.part), host_says=host_says())
            key = asset_key(run.key.provider, run.key.task_id, asset.clip_id, asset.type, media.extension)
            metadata = {"source-url": source_in_metadata(url), "run": str(run.run_ms)}
            about = ObjectMetadata(
                content_type=media.content_type,
                disposition=content_disposition(asset, media.extension),
                metadata=metadata if media.remark is None else metadata | {"remark": media.remark},
            )
            etag = seen[key].etag if key in seen else None
            try:
                await self._write(key, about, etag, body, buffers)
            except PreconditionFailed:
                stored = await self._look_again(key, seen)
                if stored is None or not settles(stored, run, asset):
                    raise
                # Of this run even with other bytes: some hosts mark each download, and of those it may have been told.
                if stored.sha256 != body.sha256 and (stored.run_ms or 0) < run.run_ms:
                    raise
                return stored.copied()
            return Copied(key, media.content_type, body.count, body.sha256, media.remark)
        finally:
            buffers.give_back()

    async def _write(
        self, key: str, about: ObjectMetadata, etag: str | None, body: _Body, buffers: _Buffers
    ) -> None:
        if len(body.part) < PUT_BYTES:
            await self._results.put(key, body.part, etag, **about.headers(**body.metadata()))
            return
        async with self._results.upload(key, about, etag) as upload:
            while body.part:
                buffers.give_back_after(await upload.add(body.hand_over()))
                await buffers.take()
                await body.read(PART_BYTES)
            await upload.complete(**body.metadata())

    async def _look_again(self, key: str, seen: dict[str, Stored]) -> Stored | None:
        stored = await self._results.look(key)
        if stored is None:
            seen.pop(key, None)
        else:
            seen[key] = stored
        return stored


def settles(stored: Stored, run: TaskRun, asset: Asset) -> bool:
    """Return whether an object is the file that a run asks for, whole: from one of its links, or a later run's."""
    if not stored.is_whole:
        return False
    if stored.is_later_than(run.run_ms) or source_of(asset, stored) is not None:
        return True
    return stored.source == source_without_link(asset) and stored.run_ms == run.run_ms


def source_of(asset: Asset, stored: Stored) -> str | None:
    """Return which of a file's links an object came from; None if from none of them."""
    return next((url for url in asset.urls if stored.source == source_in_metadata(url)), None)


def source_without_link(asset: Asset) -> str:
    """Return what stands for the link of a file that came inside the provider's answer, or is a text of it."""
    return f"answer:{asset.type}"


def source_in_metadata(url: str) -> str:
    """Return a link as an object's metadata names it: in ASCII, and of a very long one its beginning and a digest."""
    quoted = quote(url, safe=":/?&=%+,;@~!$'()*", errors="replace")
    if len(quoted) <= SOURCE_URL_MAX_LENGTH:
        return quoted
    end = f"~{digest(url)}"
    return f"{quoted[: SOURCE_URL_MAX_LENGTH - len(end)]}{end}"


class _Buffers:
    """What one file holds of the parts that may be in memory."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._held = 0

    async def take(self) -> None:
        await self._free.acquire()
        self._held += 1

    def give_back_after(self, sending: asyncio.Task[str]) -> None:
        self._held -= 1
        sending.add_done_callback(lambda _: self._free.release())

    def give_back(self) -> None:
        while self._held:
            self._held -= 1
            self._free.release()


class _Body:
    """A file's bytes, counted and digested as they are read.

    `part` is what was read last. Nobody else may hold on to it: the room that its buffer has is somebody else's as soon
    as it has been sent.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._hasher = hashlib.sha256()
        self.count = 0
        self.part = bytearray()

    @property
    def sha256(self) -> str:
        """The digest of what was read so far, in hexadecimal."""
        return self._hasher.hexdigest()

    def metadata(self) -> dict[str, str]:
        """Return what an object's metadata says of its bytes, once all are read."""
        return {"sha256": self.sha256, "bytes": str(self.count)}

    def hand_over(self) -> bytearray:
        """Return the part, and forget it."""
        part, self.part = self.part, bytearray()
        return part

    async def read(self, size: int) -> None:
        """Read the next `size` bytes, fewer at the end."""
        self.part = bytearray(self._rest[:size])
        self._rest = self._rest[size:]
        while len(self.part) < size and (chunk := await anext(self._chunks, b"")):
            self._hasher.update(chunk)
            self.count += len(chunk)
            room = size - len(self.part)
            self.part += chunk[:room]
            self._rest = chunk[room:]
