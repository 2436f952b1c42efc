"""The one way to the wire: requests over aiohttp's connector, byte for byte as their callers wrote them.

aiohttp's session is not used: it follows redirects, keeps cookies and adds headers, and costs time. It also repeats too
little (a POST never) and too much (what went over a fresh connection); see `HttpTransport.open`. Nor are its requests
and responses where an answer is short: those of questions, webhooks and DynamoDB are most of what the functions do.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Self, TypeVar

import aiohttp
from yarl import URL

from tunehook.http.connection_words import NOT_REACHED
from tunehook.http.connections import READ_BYTES, Connector, Response, ResponseProtocol
from tunehook.http.errors import TRANSLATED, DeadlineExceeded, UnreadableResponse, translated
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.headers import DEFAULT_HEADERS
from tunehook.http.reply import Reply
from tunehook.http.request_bytes import BODY_HEADERS, WITHOUT_BODY, Peer, request_bytes
from tunehook.http.resolver import Lookup, system_lookup
from tunehook.http.response_head import CUT
from tunehook.http.urls import MAX_WIRE_URL_LENGTH, split_wire_url

if TYPE_CHECKING:
    import ssl

    from aiohttp.connector import Connection

    from tunehook.http.answers import Answer

BODY_S: Final = 1.0
"""How long `HttpTransport.send_for_status` reads a body at most."""

_NO_TIME_LIMIT: Final = aiohttp.ClientTimeout()
_KEPT: Final = 1_000
_REQUEST_TIMEOUT: Final = 408
_CONNECTION_ERRORS: Final = (aiohttp.ClientConnectionError, OSError)

_Answered = TypeVar("_Answered", aiohttp.ClientResponse, "Answer")


@dataclass(slots=True, kw_only=True)
class HttpTransport:
    """A `tunehook.http.reply.Transport`, to be used as a context manager in one event loop.

    It asks for answers that are not compressed, and uses no ``.netrc``. Its requests raise `httpx.TransportError` and,
    with a guard, `tunehook.http.guard.ForbiddenAddress` or `tunehook.errors.InvalidInput`.

    `guard` is ``PUBLIC`` for URLs that a user gave (receivers, results), ``ANY`` for those of the stack (gateways). An
    idle connection is kept for `keepalive_s` by the wall clock. `send` gives up what has no connection (DNS and TLS
    included) within `connect_timeout_s`, so that nothing was sent. Without an `ssl_context`, certifi's authorities are
    trusted, or those of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``. Without `resends`, nothing is sent a second time by
    itself (see `open`).
    """

    guard: NetworkPolicy = NetworkPolicy.ANY
    max_connections: int = 100
    keepalive_s: float = 15.0
    connect_timeout_s: float | None = None
    ssl_context: ssl.SSLContext | None = None
    resends: bool = True
    lookup: Lookup = system_lookup
    _connector: Connector | None = field(default=None, init=False)
    _peers: dict[str, Peer] = field(default_factory=dict, init=False)
    _destinations: dict[str, tuple[Peer, str]] = field(default_factory=dict, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        connector, self._connector = self._connector, None
        self._peers.clear()
        self._destinations.clear()
        if connector is not None:
            await connector.close()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """Send a request and read the beginning of its answer; a body that ends badly is an error."""
        exchange = await self._exchange(method, url, headers, body, max_bytes)
        try:
            await exchange.answer.read()
        except TRANSLATED as error:
            raise translated(error) from error
        finally:
            exchange.end()
        return exchange.reply(max_bytes)

    async def send_for_status(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        max_bytes: int,
        deadline_s: float,
    ) -> Reply:
        """Send a request and read the status of its answer; `Reply.fault` says how its body ended badly, if it did.

        `deadline_s` is for everything: DNS, TLS, sending, headers and body, which has `BODY_S` of it at most. Raise
        `DeadlineExceeded` if there was no status in time.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + deadline_s
        lacking = NOT_REACHED

        def is_connected() -> None:
            nonlocal lacking
            lacking = "no answer"

        try:
            async with asyncio.timeout_at(until_s):
                exchange = await self._exchange(method, url, headers, body, max_bytes, is_connected)
        except TimeoutError:
            raise DeadlineExceeded(f"{lacking} within {deadline_s:g} s") from None
        fault = None
        limit = asyncio.timeout_at(min(loop.time() + BODY_S, until_s))
        try:
            if exchange.answer.is_read:
                await exchange.answer.read()
            else:
                async with limit:
                    await exchange.answer.read()
        except TRANSLATED as error:
            fault = "the body did not end in time" if limit.expired() else str(translated(error))
        finally:
            exchange.end()
        return exchange.reply(max_bytes, fault)

    async def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        limits: aiohttp.ClientTimeout = _NO_TIME_LIMIT,
        read_bytes: int = READ_BYTES,
    ) -> aiohttp.ClientResponse:
        """Send a request and read the head of its answer.

        A request is sent once more over a fresh connection, whatever its method, where it went over a connection that
        had been used before and that broke before a byte of the answer: the peer had closed it as idle (RFC 9112,
        section 9.3.1). So is a GET that is answered by 408 and the end of such a connection.

        A GET without a body has no header that describes one either. The response is to be released by the caller; its
        body is read from `content`, and was never decompressed. `limits` are for the steps `connect` (a place among the
        connections, and the connection), `sock_connect` and `sock_read`; `read_bytes` of the body are read ahead.
        """

        async def ask(connection: Connection, protocol: ResponseProtocol) -> aiohttp.ClientResponse:
            request = _request(method, url, headers, body)
            protocol.set_response_params(
                skip_payload=method == "HEAD", read_timeout=limits.sock_read, read_bufsize=read_bytes
            )
            response = await request.send(connection)
            try:
                await response.start(connection)
            except BaseException:
                response.close()
                raise
            return response

        try:
            peer, _ = self._destination(url)
            _, response = await self._ask(method, peer, ask, limits)
        except TRANSLATED as error:
            raise translated(error) from error
        return response

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        max_bytes: int,
        on_connection: Callable[[], None] | None = None,
    ) -> Exchange:
        """Do as `open` does, for an answer of which a little more than `max_bytes` is read at most.

        `on_connection` is called when there is a connection, before anything is sent.
        """

        async def ask(connection: Connection, protocol: ResponseProtocol) -> Answer:
            if on_connection is not None:
                on_connection()
            wire = connection.transport
            if wire is None or wire.is_closing():
                raise aiohttp.ClientConnectionResetError
            protocol.expect_short(max_bytes, skip_payload=method == "HEAD")
            wire.write(request)
            return await protocol.read_head()

        connect_s = self.connect_timeout_s
        limits = _NO_TIME_LIMIT if connect_s is None else aiohttp.ClientTimeout(connect=connect_s)
        try:
            peer, target = self._destination(url)
            request = request_bytes(method, target, peer, headers, body)
            return Exchange(*await self._ask(method, peer, ask, limits))
        except TRANSLATED as error:
            raise translated(error) from error

    def _destination(self, url: str) -> tuple[Peer, str]:
        """Return where a request to a URL goes, and its target there."""
        known = self._destinations.get(url)
        if known is not None:
            return known
        if self.guard is NetworkPolicy.PUBLIC:
            check_url(url, self.guard, max_length=MAX_WIRE_URL_LENGTH)
        origin, target = _split(url)
        if len(self._destinations) == _KEPT:
            self._peers.clear()
            self._destinations.clear()
        peer = self._peers.get(origin)
        if peer is None:
            peer = self._peers[origin] = Peer(origin, asyncio.get_running_loop())
        self._destinations[url] = peer, target
        return peer, target

    async def _ask(
        self,
        method: str,
        peer: Peer,
        ask: Callable[[Connection, ResponseProtocol], Awaitable[_Answered]],
        limits: aiohttp.ClientTimeout,
    ) -> tuple[Connection, _Answered]:
        """Send a request by `ask`, and once more where `open` says so; return its connection and its answer."""
        if self._connector is None:
            options = {"limit": self.max_connections, "keepalive_timeout": self.keepalive_s}
            self._connector = Connector(self.guard, self.lookup, ssl=self.ssl_context, **options)
        for is_again in (False, True):
            connection, protocol = await self._connect(peer, limits, is_fresh=is_again)
            try:
                answer = await ask(connection, protocol)
            except BaseException as error:
                connection.close()
                if isinstance(error, TimeoutError) or not isinstance(error, _CONNECTION_ERRORS):
                    raise
                if protocol.has_begun:
                    raise UnreadableResponse(CUT) from error
                if is_again or protocol.requests == 1 or not self.resends:
                    raise
                continue
            # Proxies say so on a connection that was idle for too long, before they close it.
            was_idle = answer.status == _REQUEST_TIMEOUT and protocol.requests > 1 and protocol.should_close
            if was_idle and method in WITHOUT_BODY:
                connection.close()
                continue
            return connection, answer
        raise AssertionError("what is sent again is answered or raises")

    async def _connect(
        self, peer: Peer, limits: aiohttp.ClientTimeout, *, is_fresh: bool
    ) -> tuple[Connection, ResponseProtocol]:
        assert self._connector is not None
        while True:
            try:
                connection = await self._connector.connect(peer, traces=[], timeout=limits)
            except TimeoutError as error:
                raise aiohttp.ConnectionTimeoutError from error
            protocol = connection.protocol
            assert isinstance(protocol, ResponseProtocol)
            if not protocol.requests or not (is_fresh or protocol.is_stale(self.keepalive_s)):
                return connection, protocol
            connection.close()


class Exchange(NamedTuple):
    """An answer whose head was read, and the connection that it comes over."""

    connection: Connection
    answer: Answer

    def end(self) -> None:
        """Keep the connection for another request, or drop it where the answer was not read to its end."""
        if self.answer.is_read:
            self.connection.release()
        else:
            self.connection.close()

    def reply(self, max_bytes: int, fault: str | None = None) -> Reply:
        status, headers, body = self.answer.status, self.answer.headers, self.answer.body
        return Reply(status, headers, bytes(body[:max_bytes]), len(body) > max_bytes, fault)


def _split(url: str) -> tuple[str, str]:
    """Return origin and target of a URL; raise `ValueError` or an error of aiohttp's if no request can go to it."""
    try:
        return split_wire_url(url)
    except ValueError:
        if url.lower().startswith(("http://", "https://")):
            raise
        raise aiohttp.NonHttpUrlClientError(url) from None


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> aiohttp.ClientRequest:
    origin, target = _split(url)
    given = {name.lower() for name in headers}
    left_out = BODY_HEADERS if not body and method in WITHOUT_BODY else frozenset()
    return aiohttp.ClientRequest(
        method,
        # As a path alone, the target stays as it is; yarl would drop an empty query.
        _origin(origin).with_path(target, encoded=True),
        headers=[
            *(default for default in DEFAULT_HEADERS.items() if default[0] not in given),
            *(header for header in headers.items() if header[0].lower() not in left_out),
        ],
        data=body or None,
        loop=asyncio.get_running_loop(),
        response_class=Response,
    )


@functools.lru_cache(maxsize=1024)
def _origin(origin: str) -> URL:
    return URL(origin, encoded=True)
