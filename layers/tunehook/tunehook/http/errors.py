"""What becomes of aiohttp's errors: httpx's, which are the words of every client here.

httpx-aiohttp says "connect timeout" for a connection that broke, and lets some of aiohttp's errors pass.
"""

from __future__ import annotations

from typing import Final

import aiohttp
import httpx


class NameNotResolved(httpx.ConnectError):
    """The host's name has no address, or DNS did not answer."""


class TlsFailure(httpx.ConnectError):
    """The server's certificate is not valid for the name, or the TLS handshake failed."""


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


TRANSLATED: Final = (aiohttp.ClientError, OSError, ValueError)
"""What aiohttp raises, and `translated` knows."""


def translated(error: Exception) -> httpx.TransportError:
    """Return the error of httpx that says what one of `TRANSLATED` means."""
    translation = next(to for known, to in _ERRORS if isinstance(error, known))
    # The other texts of aiohttp may hold the URL, whose path is often a secret.
    telling = isinstance(error, aiohttp.ClientConnectorError)
    return translation(str(error) if telling else type(error).__name__)
