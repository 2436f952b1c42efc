"""One request and its answer, within a total time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.http.reply import Reply, Transport


class DeadlineExceeded(httpx.TimeoutException):
    """The exchange did not end in its time."""


async def exchange(
    transport: Transport,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    deadline_s: float,
    max_bytes: int,
) -> Reply:
    """Send a request and read the beginning of its answer.

    Parameters
    ----------
    transport, method, url, headers, body, max_bytes
        See `tunehook.http.reply.Transport.send`.
    deadline_s : float
        Seconds for everything: DNS, TLS, sending, headers and body.

    Raises
    ------
    DeadlineExceeded
        If the answer was not there, or not read, in time.
    Exception
        What the transport raises.
    """
    try:
        async with asyncio.timeout(deadline_s):
            return await transport.send(method, url, headers, body, max_bytes=max_bytes)
    except TimeoutError:
        raise DeadlineExceeded(f"no complete answer within {deadline_s:g} s") from None
