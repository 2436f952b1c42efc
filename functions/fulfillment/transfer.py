"""Copies one file from a link to S3, streaming: no more than a few parts of it are in memory at a time."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, cast
from urllib.parse import quote

import httpx
from boto3.s3.transfer import TransferConfig

from fulfillment.assets import SNIFFED_BYTES, AssetType, MediaType, NotThatMedia, media_type_of
from tunehook.errors import InvalidInput, TunehookError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES: Final = 8 * 1024 * 1024
MAX_ASSET_BYTES: Final = 512 * 1024 * 1024
SILENCE_S: Final = 20.0
SOURCE_URL_MAX_LENGTH: Final = 1024
"""Of the link, in the object's metadata, which S3 limits to 2 kB together; the manifest has the whole link."""

_RETRIED: Final = frozenset({403, 404, 408, 425, 429})
"""A fresh object of a CDN may answer 403 or 404 first (`docs/provider-contracts.md`, row 13)."""


class NotCopied(TunehookError):
    """A file could not be copied.

    Parameters
    ----------
    reason : str
        Why, without the link.
    is_final : bool
        Whether asking the same link again is of no use.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that lies in S3 now; `sha256` is in hexadecimal."""

    key: str
    content_type: str
    bytes: int
    sha256: str


class Transfer:
    """Copies files to a bucket.

    Parameters
    ----------
    s3 : S3Client
        A low-level boto3 client.
    bucket : str
        Where to.
    http : httpx.AsyncClient
        A guarded client: the links are the provider's.
    """

    def __init__(self, s3: S3Client, bucket: str, http: httpx.AsyncClient) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._http = http

    async def copy(self, url: str, kind: AssetType, key_of: Callable[[MediaType], str]) -> Copied:
        """Copy a file, if its bytes are what its name says.

        Parameters
        ----------
        url : str
            Where from; redirects are followed, each as guarded as the first request.
        kind : str
            What the file is called.
        key_of : callable
            Gives the key for what the file turns out to be.

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
        try:
            async with self._http.stream(
                "GET", url, follow_redirects=True, timeout=httpx.Timeout(SILENCE_S)
            ) as response:
                if response.status_code != httpx.codes.OK:
                    raise _refused(response.status_code)
                return await self._store(_Body(response.aiter_raw()), url, kind, key_of)
        except (httpx.TransportError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
            raise NotCopied(type(error).__name__) from error
        except NotThatMedia as error:
            raise NotCopied(error.reason) from error
        except InvalidInput as error:
            raise NotCopied(f"the link is not acceptable: {error.reason}", is_final=True) from error

    async def _store(
        self, body: _Body, url: str, kind: AssetType, key_of: Callable[[MediaType], str]
    ) -> Copied:
        head = await body.read(PART_BYTES)
        media = media_type_of(kind, head[:SNIFFED_BYTES])
        key = key_of(media)
        metadata = {"source-url": quote(url, safe=":/?&=%+,;@~!$'()*")[:SOURCE_URL_MAX_LENGTH]}
        if len(head) < PART_BYTES:
            await asyncio.to_thread(
                self._s3.put_object,
                Bucket=self._bucket,
                Key=key,
                Body=head,
                ContentType=media.content_type,
                Metadata=metadata | {"sha256": body.sha256},
            )
        else:
            reader = _BlockingReader(head, body, asyncio.get_running_loop())
            try:
                await asyncio.to_thread(
                    self._s3.upload_fileobj,
                    cast("IO[bytes]", reader),
                    self._bucket,
                    key,
                    ExtraArgs={"ContentType": media.content_type, "Metadata": metadata},
                    Config=TransferConfig(multipart_chunksize=PART_BYTES, use_threads=False),
                )
            finally:
                reader.stop()
        return Copied(key, media.content_type, body.count, body.sha256)


def _refused(status: int) -> NotCopied:
    return NotCopied(f"HTTP {status}", is_final=400 <= status < 500 and status not in _RETRIED)


class _Body:
    """The body of an answer, counted and digested as it is read."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""
        self._hasher = hashlib.sha256()
        self.count = 0

    @property
    def sha256(self) -> str:
        """The digest of what was read so far, in hexadecimal."""
        return self._hasher.hexdigest()

    async def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer at the end."""
        parts = [self._rest]
        room = size - len(self._rest)
        while room > 0 and (chunk := await anext(self._chunks, b"")):
            self._hasher.update(chunk)
            self.count += len(chunk)
            if self.count > MAX_ASSET_BYTES:
                raise NotCopied(f"the file is larger than {MAX_ASSET_BYTES} bytes", is_final=True)
            parts.append(chunk)
            room -= len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


class _BlockingReader(io.RawIOBase):
    """Lets a thread read what the event loop downloads."""

    def __init__(self, head: bytes, body: _Body, loop: asyncio.AbstractEventLoop) -> None:
        self._head = head
        self._body = body
        self._loop = loop
        self._reading: Future[bytes] | None = None
        self._stopped = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise ValueError("a file of unknown length is read in parts")
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        self._reading = asyncio.run_coroutine_threadsafe(self._body.read(size), self._loop)
        if self._stopped:
            self._reading.cancel()
        return self._reading.result()

    def stop(self) -> None:
        """Make what the thread reads fail, so that nothing goes on after whoever waited for it has gone."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()
