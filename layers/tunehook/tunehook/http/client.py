"""httpx's client over `HttpTransport`, for downloads and tools of users.

httpx parses a URL and writes it anew. A request that is to carry its target byte for byte says so in the extension
``target``, as with httpx's own transport.
"""

from __future__ import annotations

import http.cookiejar
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

import aiohttp
import httpx
from multidict import CIMultiDict

from tunehook.errors import InvalidInput
from tunehook.http.errors import TRANSLATED, translated
from tunehook.http.headers import DEFAULT_HEADERS
from tunehook.http.transport import HttpTransport
from tunehook.http.urls import as_https, resolved, split_wire_url, wire_url

MAX_REDIRECTS: Final = 20

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_PIECE_BYTES: Final = 512 * 1024
"""How much of a body is read, and handed on, at a time at most: files of hundreds of MB come this way."""


def open_client(*, timeout: httpx.Timeout | float | None = None, **options: Any) -> httpx.AsyncClient:
    """Make a client over a `HttpTransport` with these options, to be closed by the caller.

    It follows no redirects unless it is told to, and belongs to the event loop that it is first used in. `timeout` is
    in seconds, for each step (connect, read, pool), not for the whole; without it the requests say how long.
    """
    return httpx.AsyncClient(
        transport=_HttpxTransport(HttpTransport(**options)),
        timeout=timeout,
        headers=DEFAULT_HEADERS,
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,
    )


async def get(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], limits: httpx.Timeout
) -> httpx.Response:
    """GET what a link leads to, the link and each ``Location`` byte for byte as they were given.

    Each hop is as guarded as the first request; a redirect to http is requested over https where http is not allowed.
    The response is the first that is no redirect, or one that does not say where to. Its body is yet to be read; it is
    to be closed by the caller. Raise `httpx.TransportError`, `httpx.InvalidURL` or `httpx.TooManyRedirects` if a hop
    failed or there was no end, `InvalidInput` if the link or a redirect is no URL, or leads where it must not.
    """
    hop = wire_url(url)
    for followed in range(MAX_REDIRECTS + 1):
        try:
            response = await _get_once(client, hop, headers, limits)
        except InvalidInput:
            if not followed or (secure := as_https(hop)) == hop:
                raise
            hop = secure
            try:
                response = await _get_once(client, hop, headers, limits)
            except httpx.TransportError as error:
                reason = f"a redirect to plain http, which is not allowed; asked for over https: {error}"
                raise type(error)(reason) from error.__cause__
        location: bytes = response.extensions.get("location", b"") or _location(response.headers.raw)
        if response.status_code not in _REDIRECTS or not location.strip():
            return response
        await response.aclose()
        hop = resolved(hop, location.decode("utf-8", "surrogateescape"))
    raise httpx.TooManyRedirects(f"more than {MAX_REDIRECTS} redirects", request=response.request)


async def _get_once(
    client: httpx.AsyncClient, url: str, headers: Mapping[str, str], limits: httpx.Timeout
) -> httpx.Response:
    _, target = split_wire_url(url)
    request = client.build_request(
        "GET", url, headers=headers, timeout=limits, extensions={"target": target.encode()}
    )
    return await client.send(request, stream=True)


def _location(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    return next((value for name, value in headers if name.lower() == b"location"), b"")


class _HttpxTransport(httpx.AsyncBaseTransport):
    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout = request.extensions.get("timeout", {})
        limits = aiohttp.ClientTimeout(
            connect=timeout.get("pool"), sock_connect=timeout.get("connect"), sock_read=timeout.get("read")
        )
        url = request.url
        userinfo = f"{url.userinfo.decode()}@" if url.userinfo else ""
        target: bytes = request.extensions.get("target", url.raw_path)
        response = await self._transport.open(
            request.method,
            f"{url.scheme}://{userinfo}{url.netloc.decode()}{target.decode()}",
            CIMultiDict(each for each in request.headers.multi_items() if each[0] != "transfer-encoding"),
            await request.aread(),
            limits=limits,
            read_bytes=_PIECE_BYTES,
        )
        headers = list(response.raw_headers)
        extensions = {}
        if "target" in request.extensions:
            # Whoever writes targets follows redirects as well: httpx would parse a Location even if it does not follow.
            extensions = {"location": _location(headers)}
            headers = [header for header in headers if header[0].lower() != b"location"]
        return httpx.Response(
            response.status, headers=headers, stream=_Stream(response), request=request, extensions=extensions
        )

    async def aclose(self) -> None:
        await self._transport.close()


class _Stream(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._response.content.read(_PIECE_BYTES):
                yield piece
        except TRANSLATED as error:
            raise translated(error) from error

    async def aclose(self) -> None:
        # This drops the connection of a response that was not read to its end.
        self._response.release()
