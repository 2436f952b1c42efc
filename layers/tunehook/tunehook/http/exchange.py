"""One request and its answer, within a total time and a total size."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx


class DeadlineExceeded(httpx.TimeoutException):
    """The exchange did not end in its time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes
    ----------
    status_code : int
        The status of the final response.
    headers : httpx.Headers
        Its headers.
    body : bytes
        The beginning of its body, as it came over the wire: never decompressed.
    truncated : bool
        Whether the body went on.
    """

    status_code: int
    headers: httpx.Headers
    body: bytes
    truncated: bool


async def exchange(
    client: httpx.AsyncClient, request: httpx.Request, *, deadline_s: float, max_bytes: int
) -> Answer:
    """Send a request and read the beginning of its answer.

    Parameters
    ----------
    client : httpx.AsyncClient
        From `tunehook.http.client.open_client`.
    request : httpx.Request
        What to send. Redirects are not followed.
    deadline_s : float
        Seconds for everything: DNS, TLS, sending, headers and body.
    max_bytes : int
        How much of the body is read. The connection is dropped where it goes on.

    Returns
    -------
    Answer
        Status, headers and the beginning of the body.

    Raises
    ------
    DeadlineExceeded
        If the answer was not there, or not read, in time.
    httpx.TransportError
        If the exchange failed otherwise, in the middle of the body included.
    ForbiddenAddress
        If the client is guarded and the URL leads where it must not.
    """
    try:
        async with asyncio.timeout(deadline_s):
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                body, truncated = await _read(response, max_bytes)
            finally:
                await response.aclose()
    except TimeoutError:
        raise DeadlineExceeded(f"no complete answer within {deadline_s:g} s") from None
    return Answer(response.status_code, response.headers, body, truncated)


async def _read(response: httpx.Response, max_bytes: int) -> tuple[bytes, bool]:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            return bytes(body[:max_bytes]), True
    return bytes(body), False
