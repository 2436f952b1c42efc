"""The light client's calls over the one transport, whose errors are told as botocore's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import httpx
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)

from tunehook.http.errors import TlsFailure
from tunehook.http.transport import HttpTransport

if TYPE_CHECKING:
    from tunehook.http.reply import Reply

MAX_BYTES: Final = 16 * 1024 * 1024
"""More than any answer of DynamoDB: a page has 1 MB of items, whose bytes JSON may write in six each."""


def open_transport(max_connections: int, connect_timeout_s: float, bundle: str | None) -> HttpTransport:
    """Return a transport for the running event loop that sends nothing twice: the client counts its retries.

    `bundle` is a file of the authorities to trust instead of the transport's own.
    """
    return HttpTransport(
        max_connections=max_connections,
        connect_timeout_s=connect_timeout_s,
        ssl_context=None if bundle is None else ssl.create_default_context(cafile=bundle),
        resends=False,
    )


async def sent(
    transport: HttpTransport, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
) -> Reply:
    """Send a POST and read its answer, all within `timeout_s`; raise botocore's errors if no whole one came."""
    try:
        async with asyncio.timeout(timeout_s):
            reply = await transport.send("POST", url, headers, body, max_bytes=MAX_BYTES)
    except TlsFailure as error:
        raise SSLError(endpoint_url=url, error=error) from error
    except httpx.ConnectTimeout as error:
        raise ConnectTimeoutError(endpoint_url=url) from error
    except httpx.ConnectError as error:
        raise EndpointConnectionError(endpoint_url=url) from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise ReadTimeoutError(endpoint_url=url) from error
    except httpx.TransportError as error:
        raise ConnectionClosedError(endpoint_url=url) from error
    if reply.truncated:
        raise HTTPClientError(error="the answer is too large")
    return reply
