"""The connections under every outgoing request: where they may lead, and how response heads are read."""

from __future__ import annotations

import functools
import re
import select
import socket
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from tunehook.http.answers import ParsedAnswer, ShortAnswer, short_answer
from tunehook.http.errors import BrokenBody, UnreadableResponse
from tunehook.http.guard import NetworkPolicy, check_address
from tunehook.http.resolver import GuardedResolver, Lookup
from tunehook.http.response_head import (
    HEAD_TOO_LARGE,
    MAX_HEAD_BYTES,
    MAX_LINES,
    NO_HTTP,
    Repaired,
    UnreadableHead,
    check_growing,
    end_of_head,
    repaired,
    repaired_cut,
)

if TYPE_CHECKING:
    import asyncio
    import ssl as tls

    from aiohttp.connector import Connection


READ_BYTES: Final = 64 * 1024
"""How much of a body is read ahead."""


class Connector(aiohttp.TCPConnector):
    """The connections of one client, for the event loop in which it is made; to be closed by the caller."""

    def __init__(
        self, guard: NetworkPolicy, lookup: Lookup, *, ssl: tls.SSLContext | None, **limits: Any
    ) -> None:
        self._guard = guard
        self._guarded_resolver = GuardedResolver(guard, lookup)
        super().__init__(
            ssl=ssl or trusted_authorities(),
            resolver=self._guarded_resolver,
            use_dns_cache=False,  # the resolver has one that goes by the wall clock
            socket_factory=self._open_socket,
            **limits,
        )
        handler: type[ResponseHandler] = ResponseProtocol
        self._factory = functools.partial(handler, self._loop)

    def _open_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        # aiohttp asks no resolver about a host that is an address: so every connection is checked.
        family, kind, protocol, _, address = address_info
        check_address(str(address[0]), self._guard)
        return socket.socket(family, kind, protocol)

    async def close(self, **options: Any) -> None:
        await super().close(**options)
        await self._guarded_resolver.close()


@functools.cache
def trusted_authorities() -> tls.SSLContext:
    """Return what connections trust by default, which takes some 30 ms to load; once for the process."""
    return httpx.create_ssl_context()


class ResponseProtocol(ResponseHandler):
    """Read responses, with their heads repaired before aiohttp's parser sees them.

    `requests` counts those that the connection has carried, the present one included. `has_begun` says whether a byte
    of the present response has come.

    A response is handed over by aiohttp's parser after `set_response_params`. After `expect_short` it is a
    `ShortAnswer` where its head is simple.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.requests = 0
        self.has_begun = False
        self.heard_at_s = time.time()  # by the wall clock: Lambda halts a process, and its other clocks
        self._in_head = False
        self._head = b""
        self._heads_bytes = 0
        self._max_bytes: int | None = None
        self._short: ShortAnswer | None = None
        self._waiting: select.poll | None = None

    def is_stale(self, kept_s: float) -> bool:
        """Return whether a kept connection can carry no other request.

        It was idle for longer than `kept_s`, the peer has closed it, or sent what would pass for the next response. The
        socket itself is polled: the event loop has not seen what came while the process was halted.
        """
        if self.should_close or not 0 <= time.time() - self.heard_at_s <= kept_s:
            return True
        peer = None if self.transport is None else self.transport.get_extra_info("socket")
        if peer is None or peer.fileno() < 0:
            return True
        if self._waiting is None:
            self._waiting = select.poll()
            self._waiting.register(peer.fileno(), select.POLLIN)
        return bool(self._waiting.poll(0))

    def expect_short(self, max_bytes: int, *, skip_payload: bool) -> None:
        """Prepare for the response to a request of which a little more than `max_bytes` are read at most."""
        self._begin(max_bytes)
        self._skip_payload = skip_payload
        self._parser = None
        self._payload = None
        self._read_timeout = None

    async def read_head(self) -> ShortAnswer | ParsedAnswer:
        """Return the answer that was expected, once its head has come."""
        assert self._max_bytes is not None
        found: Any
        while True:
            found, content = await self.read()
            if isinstance(found, ShortAnswer):
                return found
            if found.code >= _FIRST_FINAL or found.code == HTTPStatus.SWITCHING_PROTOCOLS:
                return ParsedAnswer(found, content, self._max_bytes)

    def set_response_params(self, **options: Any) -> None:
        self._begin(None)
        self._make_parser(**options)

    def _begin(self, max_bytes: int | None) -> None:
        self.requests += 1
        self.has_begun = False
        self._in_head, self._head, self._heads_bytes = True, b"", 0
        self._max_bytes = max_bytes
        self._short = None

    def _make_parser(self, **options: Any) -> None:
        super().set_response_params(
            read_until_eof=True,
            auto_decompress=False,
            # Larger than those of `tunehook.http.response_head`, which are checked before.
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
            max_headers=MAX_LINES + 1,
            **options,
        )

    def data_received(self, data: bytes) -> None:
        self.heard_at_s = time.time()
        if self._short is not None:
            self._feed_short(self._short, data)
            return
        if not self._in_head or not data:
            super().data_received(data)
            return
        self.has_begun = True
        try:
            body = self._read_heads(bytes(data))
        except UnreadableHead as error:
            self._refuse(str(error))
            return
        if body and self._short is not None:
            self._feed_short(self._short, body)
        elif body:
            # Apart from the head: where the body is longer than its Content-Length, the parser fails before it has
            # handed on what came in one piece.
            super().data_received(body)

    def _read_heads(self, data: bytes) -> bytes:
        """Hand on whole heads, those of interim responses included; return what follows the last, once it came."""
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
            if not self._is_short(data[:end]):
                self._hand_on(repaired(data[:end]))
            data = data[end:]
            if not self._in_head:
                return data

    def _is_short(self, head: bytes) -> bool:
        """Hand over the answer of a simple head; return whether it is one. After an interim one, the parser goes on."""
        if self._max_bytes is None or self._parser is not None or self._skip_payload:
            return False
        answer = short_answer(head, self._max_bytes)
        if answer is None:
            return False
        self._in_head = False
        self._short = None if answer.is_read else answer
        message: Any = (answer, None)
        self.feed_data(message)
        return True

    def _feed_short(self, answer: ShortAnswer, data: bytes) -> None:
        answer.feed(data)
        if answer.is_read:
            self._short = None
            if not answer.is_in_order:
                self.force_close()

    def _hand_on(self, repaired_head: Repaired) -> None:
        if self._parser is None:
            self._make_parser(skip_payload=self._skip_payload, read_bufsize=READ_BYTES)
        head, is_changed, fault = repaired_head
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
        self.set_exception(UnreadableResponse(reason))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Take the end of the connection, which ends a head as well, and a body only where it was orderly."""
        if self._in_head:
            try:
                if (head := repaired_cut(self._head)) is not None:
                    self._hand_on(head)
            except UnreadableHead as error:
                self._refuse(str(error))
            self._in_head = False
        if exc is not None:
            self._break_payload(_BROKE)
        if self._short is not None:
            self._short.fail(aiohttp.ClientPayloadError() if exc is None else BrokenBody(_BROKE))
            self._short = None
        super().connection_lost(exc)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Fail the response, and its body if that is being read: its reader would wait for ever."""
        if isinstance(self._exception, UnreadableResponse):
            return
        if isinstance(exc, HttpProcessingError):
            # The first words of the parser's message say what is wrong; the rest quotes the response.
            found = _FIRST_WORDS.match(exc.message)
            exc = UnreadableResponse(f"{NO_HTTP} ({found[0].strip()})" if found else NO_HTTP)
            self._break_payload(str(exc))
        super().set_exception(exc, *cause)

    def _break_payload(self, reason: str) -> None:
        if self._payload is not None and not self._payload.is_eof() and self._payload.exception() is None:
            self._payload.set_exception(BrokenBody(reason))


_BROKE: Final = "the connection broke in the middle of the body"
_FIRST_FINAL: Final = 200
_FIRST_WORDS: Final = re.compile(r"[A-Za-z][A-Za-z0-9 ,/.()'-]*")


class Response(aiohttp.ClientResponse):
    """A response whose reason phrase need not be UTF-8."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.reason = (self.reason or "").encode("utf-8", "replace").decode()
        return self
