"""The one way to the wire: requests over aiohttp's connector, byte for byte as their callers wrote them.

aiohttp's session is not used: it follows, keeps, guesses and adds what is not wanted here, and costs time for it. It
also repeats too little (a POST never) and too much (what went over a fresh connection); see `HttpTransport.open`.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp
from yarl import URL

from tunehook import __version__
from tunehook.http.connections import PARSER_LIMITS, AnswerProtocol, Connector, Response
from tunehook.http.errors import TRANSLATED, UnreadableAnswer, translated
from tunehook.http.guard import NetworkPolicy, check_url
from tunehook.http.heads import CUT
from tunehook.http.reply import Reply
from tunehook.http.resolver import Lookup, system_lookup
from tunehook.http.urls import MAX_WIRE_URL_LENGTH, split_wire_url

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

OUR_HEADERS: Final = {
    "user-agent": f"tunehook/{__version__}",
    "accept-encoding": "identity",
}
"""On every request that does not say otherwise."""

_NO_TIME_LIMIT: Final = aiohttp.ClientTimeout()
_READ_BYTES: Final = 64 * 1024
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
_OF_A_BODY: Final = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})
_REQUEST_TIMEOUT: Final = 408
_NEVER_ARRIVED: Final = (aiohttp.ClientConnectionError, OSError)


class HttpTransport:
    """A `tunehook.http.reply.Transport`, to be used as a context manager in one event loop.

    It follows no redirects, keeps no cookies, uses no proxy or ``.netrc`` of the environment, and asks for answers that
    are not compressed.

    Parameters
    ----------
    guard : NetworkPolicy
        ``PUBLIC`` for URLs that a user gave (receivers, results): each request obeys docs/webhook-contract.md, "Where a
        request may go". ``ANY`` for those of the deployment itself (gateways).
    max_connections : int
        Connections that may be open at once.
    keepalive_s : float
        Seconds that an idle connection is kept for another request, by the wall clock.
    ssl_context : ssl.SSLContext, optional
        Whom to trust; by default certifi's authorities, or those of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``.
    lookup : callable
        What resolves names.
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
        self._guard = guard
        self._keepalive_s = keepalive_s
        self._make_connector = functools.partial(
            Connector,
            guard=guard,
            max_connections=max_connections,
            keepalive_s=keepalive_s,
            ssl_context=ssl_context,
            lookup=lookup,
        )
        self._connector: Connector | None = None

    async def __aenter__(self) -> Self:
        """Do nothing: connections are made as they are needed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        connector, self._connector = self._connector, None
        if connector is not None:
            await connector.close()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """Send a request and read the beginning of its answer.

        Raises
        ------
        httpx.TransportError
            If the exchange failed, in the middle of the body included.
        ForbiddenAddress, InvalidInput
            If the transport is guarded and the URL leads where it must not.
        """
        response = await self.open(method, url, headers, body)
        try:
            try:
                answer, truncated = await _read(response.content, max_bytes)
            finally:
                # Of an answer that was not read to its end this drops the connection.
                response.release()
        except TRANSLATED as error:
            raise translated(error) from error
        return Reply(response.status, response.headers, answer, truncated)

    async def send_for_status(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        max_bytes: int,
        deadline_s: float,
        body_s: float,
    ) -> Reply:
        """Send a request and read the status of its answer, and of the body what comes soon.

        Parameters
        ----------
        method, url, headers, body, max_bytes
            See `tunehook.http.reply.Transport.send`.
        deadline_s : float
            Seconds for everything: DNS, TLS, sending, headers and body.
        body_s : float
            How long the body is read at most, once the head is there.

        Returns
        -------
        Reply
            Once there is a status, whatever becomes of the body.

        Raises
        ------
        TimeoutError
            If there was no status in time.
        httpx.TransportError, ForbiddenAddress, InvalidInput
            As of `send`, but not for what comes after the head.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + deadline_s
        async with asyncio.timeout_at(until_s):
            response = await self.open(method, url, headers, body)
        answer = bytearray()
        fault = None
        try:
            async with asyncio.timeout_at(min(loop.time() + body_s, until_s)) as limit:
                await _read_into(answer, response.content, max_bytes)
        except TimeoutError as error:
            fault = "the body did not end in time" if limit.expired() else str(translated(error))
        except TRANSLATED as error:
            fault = str(translated(error))
        finally:
            response.release()
        return Reply(
            response.status, response.headers, bytes(answer[:max_bytes]), len(answer) > max_bytes, fault
        )

    async def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        limits: aiohttp.ClientTimeout = _NO_TIME_LIMIT,
        read_bytes: int = _READ_BYTES,
    ) -> aiohttp.ClientResponse:
        """Send a request and read the head of its answer.

        A request that went over a connection which had been used before, and which broke before a byte of the answer,
        is sent once more over a fresh one, whatever its method: the peer had closed it as idle (RFC 9112, section
        9.3.1). So is a GET that is answered by 408 and the end of such a connection. What changes something is not sent
        again once a byte of an answer came.

        Parameters
        ----------
        method, url, headers, body
            See `tunehook.http.reply.Transport.send`. A GET without a body has no header that describes one either.
        limits : aiohttp.ClientTimeout
            For the steps `connect` (a place among the connections, and the connection), `sock_connect`, `sock_read`.
        read_bytes : int
            How much of the body is read ahead.

        Returns
        -------
        aiohttp.ClientResponse
            To be released by the caller; its body is read from `content`, and was never decompressed.

        Raises
        ------
        httpx.TransportError
            If there was no answer.
        ForbiddenAddress, InvalidInput
            If the transport is guarded and the URL leads where it must not.
        """
        if self._guard is NetworkPolicy.PUBLIC:
            check_url(url, self._guard, max_length=MAX_WIRE_URL_LENGTH)
        if self._connector is None:
            self._connector = self._make_connector()
        try:
            make = functools.partial(_request, method, url, headers, body)
            response = await self._try(make(), limits, read_bytes, is_again=False)
            if response is None:
                response = await self._try(make(), limits, read_bytes, is_again=True)
        except TRANSLATED as error:
            raise translated(error) from error
        assert response is not None, "what is sent again is answered or raises"
        return response

    async def _try(
        self,
        request: aiohttp.ClientRequest,
        limits: aiohttp.ClientTimeout,
        read_bytes: int,
        *,
        is_again: bool,
    ) -> aiohttp.ClientResponse | None:
        """Send a request once; return None if it is to be sent again."""
        connection = await self._connection(request, limits, is_fresh=is_again)
        protocol = connection.protocol
        assert isinstance(protocol, AnswerProtocol)
        try:
            protocol.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                skip_payload=request.method == "HEAD",
                read_timeout=limits.sock_read,
                read_bufsize=read_bytes,
                **PARSER_LIMITS,
            )
            response = await request.send(connection)
            try:
                await response.start(connection)
            except BaseException:
                response.close()
                raise
            if (
                response.status == _REQUEST_TIMEOUT
                and protocol.requests > 1
                and protocol.should_close
                and request.method in _WITHOUT_BODY
            ):
                # Proxies say so on a connection that was idle for too long, before they close it.
                response.close()
                return None
            return response
        except TimeoutError:
            connection.close()
            raise
        except _NEVER_ARRIVED as error:
            connection.close()
            if protocol.requests > 1 and not protocol.has_begun:
                return None
            if protocol.has_begun:
                raise UnreadableAnswer(CUT) from error
            raise
        except BaseException:
            connection.close()
            raise

    async def _connection(
        self, request: aiohttp.ClientRequest, limits: aiohttp.ClientTimeout, *, is_fresh: bool
    ) -> Any:
        assert self._connector is not None
        while True:
            try:
                connection = await self._connector.connect(request, traces=[], timeout=limits)
            except TimeoutError as error:
                raise aiohttp.ConnectionTimeoutError from error
            protocol = connection.protocol
            assert isinstance(protocol, AnswerProtocol)
            if not protocol.requests or not (is_fresh or protocol.is_stale(self._keepalive_s)):
                return connection
            connection.close()


def _request(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> aiohttp.ClientRequest:
    try:
        origin, target = split_wire_url(url)
    except ValueError:
        if url.lower().startswith(("http://", "https://")):
            raise
        raise aiohttp.NonHttpUrlClientError(url) from None
    given = {name.lower() for name in headers}
    left_out = _OF_A_BODY if not body and method in _WITHOUT_BODY else frozenset()
    return aiohttp.ClientRequest(
        method,
        # As a path alone, the target stays as it is; yarl would drop an empty query.
        _origin(origin).with_path(target, encoded=True),
        headers=[
            *(ours for ours in OUR_HEADERS.items() if ours[0] not in given),
            *(header for header in headers.items() if header[0].lower() not in left_out),
        ],
        data=body or None,
        loop=asyncio.get_running_loop(),
        response_class=Response,
    )


@functools.lru_cache(maxsize=1024)
def _origin(origin: str) -> URL:
    return URL(origin, encoded=True)


async def _read(content: aiohttp.StreamReader, max_bytes: int) -> tuple[bytes, bool]:
    body = await content.readany()
    if not content.at_eof():  # few answers come in more than one piece
        whole = bytearray(body)
        await _read_into(whole, content, max_bytes)
        body = bytes(whole)
    return body[:max_bytes], len(body) > max_bytes


async def _read_into(whole: bytearray, content: aiohttp.StreamReader, max_bytes: int) -> None:
    while len(whole) <= max_bytes and (piece := await content.readany()):
        whole += piece
