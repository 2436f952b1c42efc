"""The connections under every outgoing request: where they may lead, and how their answers are read.

aiohttp rejects two kinds of answers, or waits for ever for the rest of them; here they count as what they are.
"""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from tunehook import __version__
from tunehook.http.guard import NetworkPolicy, check_address
from tunehook.http.resolver import GuardedResolver, Lookup

if TYPE_CHECKING:
    import ssl

    from aiohttp.connector import Connection

OUR_HEADERS: Final = {"user-agent": f"tunehook/{__version__}", "accept-encoding": "identity"}
"""On every request that does not say otherwise."""


class Connections:
    """The connections of one client. They belong to the event loop in which the session is opened.

    Parameters
    ----------
    guard, max_connections, keepalive_s, ssl_context, lookup
        See `tunehook.http.client.open_client`.
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
        self.guard = guard
        self.ssl_context = ssl_context or _trusted()
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._resolver = GuardedResolver(guard, lookup)

    def open_session(self, **options: Any) -> aiohttp.ClientSession:
        """Open a session that keeps no cookies and uses no proxy or ``.netrc`` of the environment.

        Parameters
        ----------
        **options
            Further ones of `aiohttp.ClientSession`.

        Returns
        -------
        aiohttp.ClientSession
            To be closed by the caller, and then `close`.
        """
        connector = _Connector(
            ssl=self.ssl_context,
            resolver=self._resolver,
            socket_factory=self._open_socket,
            limit=self._max_connections,
            keepalive_timeout=self._keepalive_s,
        )
        return aiohttp.ClientSession(
            connector=connector,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            **options,
        )

    def _open_socket(self, address_info: aiohttp.AddrInfoType) -> socket.socket:
        # aiohttp asks no resolver about a host that is an address: the last gate is where every
        # connection is made.
        family, kind, protocol, _, address = address_info
        check_address(str(address[0]), self.guard)
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Let go of what resolves names."""
        await self._resolver.close()


@functools.cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context()


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
