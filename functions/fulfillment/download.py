"""Download one file from one link: up to four tries, resumed where the server can, judged by its first bytes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import KW_ONLY, dataclass, field
from typing import Final

import httpx

from tunehook.errors import InvalidInput, TunehookError
from tunehook.http.client import get
from tunehook.http.decompress import Decompressor, UnreadableCoding, codings
from tunehook.http.errors import describe
from tunehook.http.retry_after import retry_after_s
from tunehook.times import from_ms, now_ms

WAITS_S: Final = (0.0, 1.0, 2.0, 4.0)
"""The waits before each try of one link."""

SILENCE_S: Final = 20.0
"""How long a host may send nothing."""

_RETRIED: Final = frozenset({403, 404, 408, 425, 429})
"""A fresh object of a CDN may answer 403 or 404 first (`docs/provider-contracts.md`, row 13)."""


@dataclass(eq=False)
class NotCopied(TunehookError):
    """A file could not be copied; `is_final` if asking the same link again is of no use.

    `status` is that of the HTTP answer, if there was one; the host wants to be left alone for `retry_after_s`.
    """

    reason: str
    _: KW_ONLY
    is_final: bool = False
    retry_after_s: float = 0.0
    status: int | None = None

    def __str__(self) -> str:
        return self.reason


class StartOver(TunehookError):
    """The connection broke, and the download cannot be resumed: it begins anew."""


class Body:
    """A file's bytes, counted and digested as they are read; of all files, only as many parts as `buffers` allow.

    `part` was read last. Nobody else may keep a reference to it: its memory is freed as soon as it has been sent.
    """

    def __init__(self, chunks: AsyncIterator[bytes], buffers: asyncio.Semaphore) -> None:
        self._chunks = chunks
        self._buffers = buffers
        self._has_buffer = False
        self._rest = b""
        self._hasher = hashlib.sha256()
        self.count = 0
        self.part = bytearray()

    async def __aenter__(self) -> Body:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._has_buffer:
            self._has_buffer = False
            self._buffers.release()

    @property
    def sha256(self) -> str:
        """The digest of what was read so far, in hexadecimal."""
        return self._hasher.hexdigest()

    async def read(self, size: int) -> None:
        """Read the next `size` bytes, fewer at the end, once a buffer is free."""
        if not self._has_buffer:
            await self._buffers.acquire()
            self._has_buffer = True
        # The first part is all of most files, and grows with them. Those that follow are full: one that grew would be
        # moved about, and leave holes in memory.
        part, end, chunk = bytearray(size if self.count else 0), 0, self._rest
        while end < size and (chunk or (chunk := await self._next())):
            piece = chunk[: size - end]
            part[end : end + len(piece)] = piece
            end += len(piece)
            chunk = chunk[len(piece) :]
        del part[end:]
        self.part, self._rest = part, chunk

    async def _next(self) -> bytes:
        chunk = await anext(self._chunks, b"")
        self._hasher.update(chunk)
        self.count += len(chunk)
        return chunk

    def hand_over(self) -> bytearray:
        """Return the part, and forget it."""
        part, self.part = self.part, bytearray()
        return part

    def release_after(self, sending: asyncio.Task[str]) -> None:
        """Release the buffer of the part that was handed over as soon as that has been sent."""
        self._has_buffer = False
        sending.add_done_callback(lambda _: self._buffers.release())


@dataclass(slots=True)
class Download:
    """The tries of one link, by a guarded client that follows redirects.

    `max_bytes` limits the decompressed file, `silence_s` how long the host may send nothing; `until_s`, in the event
    loop's time, is when no wait may end. `content_type` is what the host calls the file, and `was_answered` says
    whether there was any HTTP answer.
    """

    http: httpx.AsyncClient
    url: str
    _: KW_ONLY
    max_bytes: int
    until_s: float = float("inf")
    silence_s: float = SILENCE_S
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], int] = now_ms
    content_type: str = field(init=False, default="")
    was_answered: bool = field(init=False, default=False)
    _tries: int = field(init=False, default=0)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes from its beginning, over as many connections as it takes.

        Raises
        ------
        NotCopied
            If the link was refused for good, or no try is left.
        StartOver
            If what was yielded cannot be continued. Call this again then.
        """
        version: _Version | None = None
        count = 0
        while True:
            self._tries += 1
            try:
                async with aclosing(await self._get(version, count)) as response:
                    self.was_answered = True
                    version = self._check(response, version, count)
                    async for chunk in _plain_chunks(response, version):
                        count += len(chunk)
                        self._check_size(count)
                        yield chunk
                    if version.length in (None, count):
                        return
                    problem = NotCopied(
                        f"incomplete: {count} of {version.length} bytes", status=response.status_code
                    )
            except NotCopied as error:
                problem = error
            except UnreadableCoding as error:
                problem = NotCopied(str(error), status=httpx.codes.OK)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol):
                problem = NotCopied("the link is not acceptable: not a valid URL", is_final=True)
            except httpx.TooManyRedirects as error:
                problem = NotCopied(f"TooManyRedirects: {error}")
            except httpx.RequestError as error:
                problem = NotCopied(describe(error))
            except InvalidInput as error:
                problem = NotCopied(f"the link is not acceptable: {error.reason}", is_final=True)
            await self.wait(problem)
            if not count:
                version = None
            elif version is None or not version.can_be_resumed or isinstance(problem, _Changed):
                raise StartOver(str(problem))

    async def wait(self, problem: NotCopied) -> None:
        """Wait until the link may be tried again; raise `problem` if that is final, too far off, or no try is left."""
        if problem.is_final or self._tries >= len(WAITS_S):
            raise problem
        wait_s = max(WAITS_S[self._tries], problem.retry_after_s)
        if asyncio.get_running_loop().time() + wait_s >= self.until_s:
            raise problem
        await self.sleep(wait_s)

    async def _get(self, version: _Version | None, count: int) -> httpx.Response:
        headers = {}
        if version is not None and version.etag is not None:
            headers = {"range": f"bytes={count}-", "if-range": version.etag}
        return await get(self.http, self.url, headers, httpx.Timeout(self.silence_s))

    def _check(self, response: httpx.Response, version: _Version | None, count: int) -> _Version:
        """Return of which version of the file an answer holds the whole or the rest; raise `NotCopied` if of none."""
        status = response.status_code
        if version is not None and status in (200, 206, 416):
            if not version.is_continued_by(response, count):
                raise _Changed("the file has changed, or cannot be resumed", status=status)
            return version
        if status != httpx.codes.OK and not _is_whole(response):
            now = from_ms(self.clock())
            raise NotCopied(
                f"HTTP {status}",
                is_final=400 <= status < 500 and status not in _RETRIED,
                retry_after_s=retry_after_s(response.headers.get("retry-after"), now) or 0.0,
                status=status,
            )
        version = _Version.of(response)
        self._check_size(version.length or 0)
        self.content_type = response.headers.get("content-type", "")
        return version

    def _check_size(self, count: int) -> None:
        if count > self.max_bytes:
            reason = f"the file is larger than {self.max_bytes} bytes"
            raise NotCopied(reason, is_final=True, status=httpx.codes.OK)


async def _plain_chunks(response: httpx.Response, version: _Version) -> AsyncIterator[bytes]:
    """Yield a body's bytes, decompressed if the host compressed them although nobody asked for that."""
    if not version.is_encoded:
        async for chunk in response.aiter_raw():
            yield chunk
        return
    decompressor = Decompressor(response.headers["content-encoding"])
    async for chunk in response.aiter_raw():
        for piece in decompressor.feed(chunk):
            yield piece
    for piece in decompressor.finish():
        yield piece


class _Changed(NotCopied):
    """The download cannot be resumed: the file has changed."""


_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_STRONG_ETAG: Final = re.compile(r"(?!W/)[\x21-\x7e]{1,1024}")
_RANGE: Final = re.compile(
    r"bytes[ =]+(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})/(?P<total>[0-9]{1,18}|\*)", re.I
)


def _range_of(response: httpx.Response) -> re.Match[str] | None:
    if response.status_code != httpx.codes.PARTIAL_CONTENT:
        return None
    return _RANGE.fullmatch(response.headers.get("content-range", "").strip())


def _is_whole(response: httpx.Response) -> bool:
    """Return whether an answer with status 206 holds all of the file."""
    held = _range_of(response)
    if held is None or held["total"] == "*":
        return False
    return int(held["first"]) == 0 and int(held["last"]) + 1 == int(held["total"])


@dataclass(frozen=True, slots=True)
class _Version:
    """What an answer said of the file; its ETag allows to resume (RFC 9110, section 13.1.5)."""

    etag: str | None
    length: int | None
    is_encoded: bool

    @classmethod
    def of(cls, response: httpx.Response) -> _Version:
        etag = response.headers.get("etag", "")
        is_encoded = bool(codings(response.headers.get("content-encoding", "")))
        length = response.headers.get("content-length", "").strip()
        return cls(
            etag=etag if _STRONG_ETAG.fullmatch(etag) else None,
            length=int(length) if _LENGTH.fullmatch(length) and not is_encoded else None,
            is_encoded=is_encoded,
        )

    @property
    def can_be_resumed(self) -> bool:
        return self.etag is not None and not self.is_encoded

    def is_continued_by(self, response: httpx.Response, count: int) -> bool:
        """Return whether an answer holds this very version from the byte `count` on."""
        held = _range_of(response)
        return (
            held is not None
            and response.headers.get("etag") == self.etag
            and not codings(response.headers.get("content-encoding", ""))
            and int(held["first"]) == count
            and (self.length is None or held["total"] in ("*", str(self.length)))
        )
