"""The client of requests that anything may come of: httpx's interface over aiohttp's connections.

What httpx-aiohttp leaves open is settled here and in `tunehook.http.connections`: its session would keep cookies,
its errors mislead, and it knows no network policy. `tunehook.http.direct` does less, and is much faster.
"""

from __future__ import annotations

import functools
import http.cookiejar
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from tunehook.http.connections import OUR_HEADERS, Connections
from tunehook.http.errors import TRANSLATED, NameNotResolved, TlsFailure, translated
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.resolver import Lookup, system_lookup

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

__all__ = ["NameNotResolved", "TlsFailure", "open_client"]


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
        Seconds for each step (connect, read, pool), not for the whole.
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
    connections = Connections(
        guard=guard,
        max_connections=max_connections,
        keepalive_s=keepalive_s,
        ssl_context=ssl_context,
        lookup=lookup,
    )
    return httpx.AsyncClient(
        transport=_Transport(connections),
        timeout=timeout,
        headers=OUR_HEADERS,
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
        follow_redirects=False,
        max_redirects=3,
    )


_PIECE_BYTES: Final = 512 * 1024
"""How much of a body is read, and handed on, at a time at most: files of hundreds of MB come this way."""


class _Transport(AiohttpTransport):
    def __init__(self, connections: Connections) -> None:
        super().__init__(
            verify=connections.ssl_context,
            client=functools.partial(connections.open_session, read_bufsize=_PIECE_BYTES),
        )
        self._connections = connections

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        guard = self._connections.guard
        if guard is NetworkPolicy.PUBLIC:
            check_url(str(request.url.copy_with(fragment=None)), guard)
        with _httpx_errors():
            response = await super().handle_async_request(request)
        assert isinstance(response.stream, AiohttpResponseStream)
        response.stream.CHUNK_SIZE = _PIECE_BYTES
        response.stream = _Stream(response.stream)
        return response

    async def aclose(self) -> None:
        await super().aclose()
        await self._connections.close()


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


@contextmanager
def _httpx_errors() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        cause = error.__cause__
        raise (translated(cause) if isinstance(cause, Exception) else error) from cause
    except TRANSLATED as error:
        raise translated(error) from error
