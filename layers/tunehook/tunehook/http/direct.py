"""The client of many short questions: straight to aiohttp, over the same connections as `tunehook.http.client`.

What httpx does for a request costs several times what aiohttp does (`benchmarks/poll_throughput.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import aiohttp
from yarl import URL

from tunehook.http.connections import OUR_HEADERS, Connections
from tunehook.http.errors import TRANSLATED, translated
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.resolver import Lookup, system_lookup
from tunehook.http.transport import Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_NO_TIME_LIMIT: Final = aiohttp.ClientTimeout()


class DirectClient:
    """A `tunehook.http.transport.Transport`, to be used as a context manager in one event loop.

    Parameters
    ----------
    guard, max_connections, keepalive_s, ssl_context, lookup
        See `tunehook.http.client.open_client`.
    """

    def __init__(
        self,
        *,
        guard: NetworkPolicy = NetworkPolicy.ANY,
        max_connections: int = 100,
        keepalive_s: float = 15.0,
        ssl_context: ssl.SSLContext | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._connections = Connections(
            guard=guard,
            max_connections=max_connections,
            keepalive_s=keepalive_s,
            ssl_context=ssl_context,
            lookup=lookup,
        )
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = self._connections.open_session(
            headers=OUR_HEADERS, timeout=_NO_TIME_LIMIT, auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
        await self._connections.close()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """Send a request and read the beginning of its answer.

        Raises
        ------
        httpx.TransportError
            If the exchange failed, in the middle of the body included.
        ForbiddenAddress, InvalidInput
            If the client is guarded and the URL leads where it must not.
        """
        if self._connections.guard is NetworkPolicy.PUBLIC:
            check_url(url, self._connections.guard)
        assert self._session is not None, "the client is not open"
        try:
            response = await self._session.request(
                method, URL(url, encoded=True), headers=headers, data=body, allow_redirects=False
            )
            try:
                answer, truncated = await _read(response.content, max_bytes)
            finally:
                # Of an answer that was not read to its end this drops the connection.
                response.release()
        except TRANSLATED as error:
            raise translated(error) from error
        return Reply(response.status, response.headers, answer, truncated)


async def _read(content: aiohttp.StreamReader, max_bytes: int) -> tuple[bytes, bool]:
    body = await content.readany()
    if not content.at_eof():  # few answers come in more than one piece
        whole = bytearray(body)
        while len(whole) <= max_bytes and (piece := await content.readany()):
            whole += piece
        body = bytes(whole)
    return body[:max_bytes], len(body) > max_bytes
