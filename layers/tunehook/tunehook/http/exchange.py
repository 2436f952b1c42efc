"""One request and its answer, within a total time, where the status is what counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tunehook.http.reply import Reply
    from tunehook.http.transport import HttpTransport

BODY_S: Final = 1.0
"""How long the body of an answer is read at most: its status is there, and nobody need wait for more."""


class DeadlineExceeded(httpx.TimeoutException):
    """No status came in time."""


async def exchange(
    transport: HttpTransport,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None,
    *,
    deadline_s: float,
    max_bytes: int,
) -> Reply:
    """Send a request, and read the status of its answer and the beginning of the body.

    Parameters
    ----------
    transport, method, url, headers, body, max_bytes
        See `tunehook.http.reply.Transport.send`.
    deadline_s : float
        Seconds for everything: DNS, TLS, sending, headers and body. The body has `BODY_S` of it at most.

    Returns
    -------
    Reply
        However its body ended; `Reply.fault` says so.

    Raises
    ------
    DeadlineExceeded
        If no status came in time.
    Exception
        What the transport raises.
    """
    try:
        return await transport.send_for_status(
            method, url, headers, body, max_bytes=max_bytes, deadline_s=deadline_s, body_s=BODY_S
        )
    except TimeoutError:
        raise DeadlineExceeded(f"no answer within {deadline_s:g} s") from None
