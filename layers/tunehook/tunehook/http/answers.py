"""The answers of short exchanges: those whose bodies are kept in memory, read by hand where their heads are simple.

Most answers are: HTTP/1.1, every line as it should be, a ``Content-Length``. Reading these by hand takes a quarter of
the time of a parser, a stream and their events; all others are read by aiohttp's parser as before.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from tunehook.http.response_head import MAX_LINE_BYTES, MAX_LINES

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http import RawResponseMessage

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"  # RFC 9110, section 5.6.2
_TEXT: Final = r"[^\x00-\x08\x0a-\x1f\x7f]*+"
_SIMPLE: Final = re.compile(
    rf"HTTP/1\.1 (?P<status>[2-9][0-9]{{2}})(?: {_TEXT})?\r\n(?P<lines>(?:{_NAME}++:{_TEXT}\r\n)*+)\r\n"
)
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_WITHOUT_BODY: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({"content-length", "transfer-encoding", "connection", "upgrade"})


class Answer(Protocol):
    """A final answer whose head was read: its body is read into `body`, until that is longer than what is wanted.

    `headers` are looked up by names in lower case, and give the first value of each. `is_read` says whether the body
    is read as far as it is wanted, or failed, so that `read` need not wait.
    """

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytearray: ...

    @property
    def is_read(self) -> bool: ...

    async def read(self) -> None:
        """Read the body; raise what it was broken by."""
        ...


class ShortAnswer:
    """An answer whose head is simple; its protocol feeds it. One byte more than is wanted is kept, and no more."""

    __slots__ = ("_error", "_left", "_waiter", "_wanted", "body", "headers", "is_read", "status")

    def __init__(self, status: int, headers: Mapping[str, str], length: int, max_bytes: int) -> None:
        self.status = status
        self.headers = headers
        self.body = bytearray()
        self.is_read = not length
        self._left = length
        self._wanted = min(length, max_bytes + 1)
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_in_order(self) -> bool:
        """Whether all of the body has come, and nothing after it."""
        return self._left == 0

    def feed(self, data: bytes) -> None:
        """Take what has come of the body."""
        self._left -= len(data)
        self.body += data[: self._wanted - len(self.body)]
        if len(self.body) == self._wanted:
            self._end()

    def fail(self, error: Exception) -> None:
        """Break a body that is not read yet."""
        if not self.is_read:
            self._error = error
            self._end()

    async def read(self) -> None:
        if not self.is_read:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._error is not None:
            raise self._error

    def _end(self) -> None:
        self.is_read = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ParsedAnswer:
    """An answer that aiohttp's parser reads."""

    def __init__(self, message: RawResponseMessage, content: StreamReader, max_bytes: int) -> None:
        self.status: int = message.code
        self.headers: Mapping[str, str] = message.headers
        self.body = bytearray()
        self._content = content
        self._max_bytes = max_bytes

    @property
    def is_read(self) -> bool:
        return self._content.is_eof()

    async def read(self) -> None:
        while len(self.body) <= self._max_bytes and (piece := await self._content.readany()):
            self.body += piece


class _Head(NamedTuple):
    """What a simple head says."""

    status: int
    headers: dict[str, str]
    length: int


def short_answer(head: bytes, max_bytes: int) -> ShortAnswer | None:
    """Return the answer that a whole head begins, None if a parser is needed to tell what it says."""
    found = _simple_head(head)
    return None if found is None else ShortAnswer(*found, max_bytes)


@functools.lru_cache(maxsize=64)
def _simple_head(head: bytes) -> _Head | None:
    """Read a head that is simple; many answers of one second have the very same one."""
    if len(head) > MAX_LINE_BYTES:
        return None
    found = _SIMPLE.fullmatch(head.decode("utf-8", "surrogateescape"))
    if found is None:
        return None
    lines = found["lines"].split("\r\n")
    if len(lines) > MAX_LINES:
        return None
    headers: dict[str, str] = {}
    for line in lines[:-1]:
        name, _, value = line.partition(":")
        name = name.lower()
        if name not in headers:
            headers[name] = value.strip(" \t")
        elif name in _FRAMING:
            return None
    status = int(found["status"])
    length = "0" if status in _WITHOUT_BODY else headers.get("content-length", "")
    if "transfer-encoding" in headers or "upgrade" in headers or _LENGTH.fullmatch(length) is None:
        return None
    if headers.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    return _Head(status, headers, int(length))
