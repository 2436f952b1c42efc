"""The connections under every outgoing request: where they may lead, and how the heads of their answers are read."""

from __future__ import annotations

import functools
import re
import socket
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from tunehook.http.errors import UnreadableAnswer
from tunehook.http.guard import NetworkPolicy, check_address
from tunehook.http.heads import (
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    MAX_LINES,
    UnreadableHead,
    check_growing,
    completed,
    end_of_head,
    mended,
)
from tunehook.http.resolver import GuardedResolver, Lookup

if TYPE_CHECKING:
    import asyncio
    import ssl

    from aiohttp.connector import Connection

PARSER_LIMITS: Final = {
    "max_line_size": MAX_HEAD_BYTES,
    "max_field_size": MAX_HEAD_BYTES,
    "max_headers": MAX_LINES + 1,
}
"""For aiohttp's parser: the bounds that count are those of `tunehook.http.heads`, which are checked before."""


class Connector(aiohttp.TCPConnector):
    """The connections of one client, for the event loop in which it is made; to be closed by the caller.

    Parameters
    ----------
    guard, max_connections, keepalive_s, ssl_context, lookup
        See `tunehook.http.transport.HttpTransport`.
    """

    def __init__(
        self,
        *,
        guard: NetworkPolicy,
        max_connections: int,
        keepalive_s: float,
        ssl_context: ssl.SSLContext | None,
        lookup: Lookup,
    ) -> None:
        self._guard = guard
        self._guarded_resolver = GuardedResolver(guard, lookup)
        super().__init__(
            ssl=ssl_context or _trusted(),
            resolver=self._guarded_resolver,
            socket_factory=self._open_socket,
            limit=max_connections,
            keepalive_timeout=keepalive_s,
        )
        handler: type[ResponseHandler] = AnswerProtocol
        self._factory = functools.partial(handler, self._loop)

    def _open_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        # aiohttp asks no resolver about a host that is an address: the last gate is where every
        # connection is made.
        family, kind, protocol, _, address = address_info
        check_address(str(address[0]), self._guard)
        return socket.socket(family, kind, protocol)

    async def close(self, **options: Any) -> None:
        """Close every connection, and let go of what resolves names."""
        await super().close(**options)
        await self._guarded_resolver.close()


@functools.cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class AnswerProtocol(ResponseHandler):
    """Read answers, with their heads mended before aiohttp's parser sees them.

    Attributes
    ----------
    requests : int
        How many requests the connection has carried, the present one included.
    has_begun : bool
        Whether a byte of the present answer has come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        self.has_begun = False
        self._in_head = False
        self._head = b""
        self._heads_bytes = 0

    def set_response_params(self, **options: Any) -> None:
        """Expect the answer to one more request."""
        self.requests += 1
        self.has_begun = False
        self._in_head, self._head, self._heads_bytes = True, b"", 0
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent."""
        if not self._in_head or self._parser is None or not data:
            super().data_received(data)
            return
        self.has_begun = True
        try:
            body = self._read_heads(bytes(data))
        except UnreadableHead as error:
            self._refuse(str(error))
            return
        if body:
            # Apart from the head: where the answer is longer than it says, the parser fails before it has handed on
            # what came in one piece.
            super().data_received(body)

    def _read_heads(self, data: bytes) -> bytes:
        """Hand on whole heads, those of interim answers included; return what follows the last, once it came."""
        while True:
            if not self._head:
                data = data.lstrip(b"\r\n")
            searched = max(len(self._head) - 3, 0)
            data = self._head + data if self._head else data
            end = end_of_head(data, searched)
            if end is None:
                check_growing(data)
                self._head = data
                self.start_timeout()
                return b""
            self._heads_bytes += end
            if self._heads_bytes > MAX_HEAD_BYTES:
                raise UnreadableHead(HEAD_TOO_LARGE)
            self._head = b""
            head, is_changed = mended(data[:end])
            if is_changed:
                self.force_close()
            data = data[end:]
            self._in_head = head[9:10] == b"1" and head[9:12] != b"101"
            super().data_received(head)
            if not self._in_head:
                return data

    def _refuse(self, reason: str) -> None:
        self._in_head = False
        if self.transport is not None:
            self.transport.close()
        self.set_exception(UnreadableAnswer(reason))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection, which ends a head as well, and a body only where it was orderly."""
        if self._in_head and exc is None and self._parser is not None:
            self._in_head = False
            if (whole := completed(self._head)) is not None:
                try:
                    super().data_received(mended(whole)[0])
                except UnreadableHead as error:
                    self._refuse(str(error))
        if exc is not None:
            self._break_payload("the connection broke in the middle of the body")
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Fail the answer, and its body if that is being read: whoever reads it would wait for ever."""
        if isinstance(self._exception, UnreadableAnswer):
            return
        if isinstance(exc, HttpProcessingError):
            exc = UnreadableAnswer(_in_words(exc))
            self._break_payload(str(exc))
        super().set_exception(exc, *cause)

    def _break_payload(self, reason: str) -> None:
        if self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(UnreadableAnswer(reason))


_WORDS: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ,/.()'-]*")


def _in_words(error: HttpProcessingError) -> str:
    """Return what aiohttp's parser found wrong: the first words of its message, since the rest quotes the answer."""
    found = _WORDS.match(error.message)
    return f"the answer is no valid HTTP ({found[0].strip()})" if found else "the answer is no valid HTTP"


class Response(aiohttp.ClientResponse):
    """Accept a reason phrase that is not UTF-8."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read the head of the final answer."""
        await super().start(connection)
        self.reason = (self.reason or "").encode("utf-8", "replace").decode()
        return self
