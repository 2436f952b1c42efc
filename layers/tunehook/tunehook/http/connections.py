"""The connections under every outgoing request: where they may lead, and how the heads of their answers are read."""

from __future__ import annotations

import functools
import re
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from tunehook.http.errors import BrokenBody, UnreadableAnswer
from tunehook.http.guard import NetworkPolicy, check_address
from tunehook.http.heads import (
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    MAX_LINES,
    NO_ANSWER,
    Mended,
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
            use_dns_cache=False,  # the resolver has one that goes by the wall clock
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
    heard_at_s : float
        When the peer was heard last, by the wall clock: Lambda halts a process, and its other clocks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        self.has_begun = False
        self.heard_at_s = time.time()
        self._in_head = False
        self._head = b""
        self._heads_bytes = 0

    def is_stale(self, kept_s: float) -> bool:
        """Return whether a kept connection can carry no other request.

        That is one which was idle for longer than `kept_s`, which the peer has closed, or over which something came
        that nobody has asked for: it would pass for the next answer. The socket is looked at itself, since the event
        loop has not heard of what came while the process was halted.
        """
        if self.should_close or not 0 <= time.time() - self.heard_at_s <= kept_s:
            return True
        peer = None if self.transport is None else self.transport.get_extra_info("socket")
        if peer is None or peer.fileno() < 0:
            return True
        waiting = select.poll()
        waiting.register(peer.fileno(), select.POLLIN)
        return bool(waiting.poll(0))

    def set_response_params(self, **options: Any) -> None:
        """Expect the answer to one more request."""
        self.requests += 1
        self.has_begun = False
        self._in_head, self._head, self._heads_bytes = True, b"", 0
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent."""
        self.heard_at_s = time.time()
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
            head = mended(data[:end])
            data = data[end:]
            self._take(head)
            if not self._in_head:
                return data

    def _take(self, given: Mended) -> None:
        """Hand on a whole head."""
        head, is_changed, fault = given
        if is_changed:
            self.force_close()
        self._in_head = head[9:10] == b"1" and head[9:12] != b"101"
        super().data_received(head)
        if fault is not None and not self._in_head:
            self._break_payload(fault)

    def _refuse(self, reason: str) -> None:
        self._in_head = False
        if self.transport is not None:
            self.transport.close()
        self.set_exception(UnreadableAnswer(reason))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection, which ends a head as well, and a body only where it was orderly."""
        if self._in_head and self._parser is not None:
            try:
                if (head := completed(self._head)) is not None:
                    self._take(head)
            except UnreadableHead as error:
                self._refuse(str(error))
            self._in_head = False
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
        if self._payload is not None and not self._payload.is_eof() and self._payload.exception() is None:
            self._payload.set_exception(BrokenBody(reason))


_WORDS: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ,/.()'-]*")


def _in_words(error: HttpProcessingError) -> str:
    """Return what aiohttp's parser found wrong: the first words of its message, since the rest quotes the answer."""
    found = _WORDS.match(error.message)
    return f"{NO_ANSWER} ({found[0].strip()})" if found else NO_ANSWER


class Response(aiohttp.ClientResponse):
    """Accept a reason phrase that is not UTF-8."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Read the head of the final answer."""
        await super().start(connection)
        self.reason = (self.reason or "").encode("utf-8", "replace").decode()
        return self
