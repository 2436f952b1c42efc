"""The HTTP client of every outgoing request: httpx's interface over aiohttp's connections.

What httpx-aiohttp leaves open is settled here: its session would keep cookies; its errors say "connect
timeout" for a connection that broke, and some of aiohttp's pass it unmapped; it knows no network policy. And two
kinds of answers that aiohttp rejects, or httpx-aiohttp stumbles over, count as what they are.
"""

from __future__ import annotations

import functools
import http.cookiejar
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from tunehook import __version__
from tunehook.http.guard import NetworkPolicy, check_address, check_url
from tunehook.http.resolver import GuardedResolver, Lookup, system_lookup

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from aiohttp.connector import Connection

USER_AGENT = f"tunehook/{__version__}"


class NameNotResolved(httpx.ConnectError):
    """The host's name has no address, or DNS did not answer."""


class TlsFailure(httpx.ConnectError):
    """The server's certificate is not valid for the name, or the TLS handshake failed."""


def open_client(
    *,
    guard: NetworkPolicy = NetworkPolicy.ANY,
    timeout: httpx.Timeout | float | None = 10.0,
    max_connections: int = 100,
    keepalive_s: float = 15.0,
    ssl_context: ssl.SSLContext | None = None,
    lookup: Lookup = system_lookup,
) -> httpx.AsyncClient:
    """Make a client for outgoing requests.

    It follows no redirects, keeps no cookies, uses no proxy or ``.netrc`` of the environment, and asks
    for answers that are not compressed. It belongs to the event loop that it is first used in.

    Parameters
    ----------
    guard : NetworkPolicy
        ``PUBLIC`` for URLs that a user gave (receivers, results): each request, each hop of a redirect
        included, obeys docs/webhook-contract.md, "Where a request may go". ``ANY`` for those of the
        deployment itself (gateways).
    timeout : httpx.Timeout or float or None
        Seconds for each step (connect, read, pool), not for the whole: that is
        `tunehook.http.exchange.exchange`.
    max_connections : int
        Connections that may be open at once.
    keepalive_s : float
        Seconds that an idle connection is kept for another request.
    ssl_context : ssl.SSLContext, optional
        Whom to trust; by default certifi's authorities, or those of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``.
    lookup : callable
        What resolves names.

    Returns
    -------
    httpx.AsyncClient
        To be closed by the caller. Its requests raise `httpx.TransportError` (of which `NameNotResolved` and
        `TlsFailure` are two) and, with a guard, `tunehook.http.guard.ForbiddenAddress` or
        `tunehook.errors.InvalidInput`; nothing of aiohttp's.
    """
    return httpx.AsyncClient(
        transport=_Transport(guard, lookup, ssl_context or _trusted(), max_connections, keepalive_s),
        timeout=timeout,
        headers={"user-agent": USER_AGENT, "accept-encoding": "identity"},
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        follow_redirects=False,
        max_redirects=3,
    )


@functools.cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()


class _Transport(AiohttpTransport):
    def __init__(
        self,
        guard: NetworkPolicy,
        lookup: Lookup,
        ssl_context: ssl.SSLContext,
        max_connections: int,
        keepalive_s: float,
    ) -> None:
        super().__init__(verify=ssl_context, client=self._open_session)
        self._guard = guard
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._resolver = GuardedResolver(guard, lookup)

    def _open_session(self) -> aiohttp.ClientSession:
        connector = _Connector(
            ssl=self.ssl_context,
            resolver=self._resolver,
            socket_factory=self._open_socket,
            limit=self._max_connections,
            keepalive_timeout=self._keepalive_s,
        )
        return aiohttp.ClientSession(
            connector=connector, response_class=_Response, cookie_jar=aiohttp.DummyCookieJar()
        )

    def _open_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        # aiohttp asks no resolver about a host that is an address: the last gate is where every
        # connection is made.
        family, kind, protocol, _, address = address_info
        check_address(str(address[0]), self._guard)
        return socket.socket(family, kind, protocol)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._guard is NetworkPolicy.PUBLIC:
            check_url(str(request.url.copy_with(fragment=None)), self._guard)
        with _httpx_errors():
            response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Stream(response.stream)
        return response

    async def aclose(self) -> None:
        await super().aclose()
        await self._resolver.close()


class _Connector(aiohttp.TCPConnector):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        handler: type[ResponseHandler] = _ResponseHandler
        self._factory = functools.partial(handler, self._loop)


class _ResponseHandler(ResponseHandler):
    """Mend how aiohttp takes two kinds of malformed answers.

    An answer longer than it says, such as a 204 with a body: where the surplus comes in one packet with the head,
    the parser fails before it has handed the head on. A body that is not well-formed: whoever reads it would wait
    for ever.
    """

    def data_received(self, data: bytes) -> None:
        head, end, rest = data.partition(b"\r\n\r\n")
        super().data_received(head + end)
        if rest:
            super().data_received(rest)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        if isinstance(exc, HttpProcessingError) and self._payload is not None and not self._payload.is_eof():
            self._payload.set_exception(aiohttp.ClientPayloadError("malformed body"))


class _Response(aiohttp.ClientResponse):
    """Accept a reason phrase that is not UTF-8."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        self.reason = (self.reason or "").encode("utf-8", "replace").decode()
        return self


class _Stream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        with _httpx_errors():
            await self._stream.aclose()


# The first that fits counts: subclasses come before their bases.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ClientConnectorDNSError, NameNotResolved),
    (aiohttp.ClientSSLError, TlsFailure),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
    (TimeoutError, httpx.TimeoutException),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.InvalidURL, httpx.LocalProtocolError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
    (ValueError, httpx.LocalProtocolError),
)


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        cause = error.__cause__
        raise (_translated(cause) if isinstance(cause, Exception) else error) from cause
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> httpx.TransportError:
    translation = next(to for known, to in _ERRORS if isinstance(error, known))
    # The other texts of aiohttp may hold the URL, whose path is often a secret.
    telling = isinstance(error, aiohttp.ClientConnectorError)
    return translation(str(error) if telling else type(error).__name__)
