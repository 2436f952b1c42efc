"""What becomes of aiohttp's errors: httpx's, which are the words of every client here, each with what happened."""

from __future__ import annotations

from typing import Final

import aiohttp
import httpx


class NameNotResolved(httpx.ConnectError):
    """The host's name has no address, or DNS did not answer."""


class TlsFailure(httpx.ConnectError):
    """The server's certificate is not valid for the name, or the TLS handshake failed."""


class UnreadableAnswer(aiohttp.ClientError):
    """The answer is no HTTP that can be read, or beyond our bounds; the message says how, and quotes nothing of it."""


_BROKEN: Final = "the connection broke"

# The first that fits counts: subclasses come before their bases. The texts of aiohttp may hold the URL, whose path is
# often a secret; None stands for those that do not.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError], str | None], ...] = (
    (UnreadableAnswer, httpx.RemoteProtocolError, None),
    (aiohttp.ClientConnectorDNSError, NameNotResolved, None),
    (aiohttp.ClientSSLError, TlsFailure, None),
    (aiohttp.ClientConnectorError, httpx.ConnectError, None),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, "no connection in time"),
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout, "the host sent nothing in time"),
    (TimeoutError, httpx.TimeoutException, "it took too long"),
    (
        aiohttp.ServerDisconnectedError,
        httpx.RemoteProtocolError,
        "the connection was closed before the answer",
    ),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the body ended before it was whole"),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError, "the answer is no valid HTTP"),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol, "the URL is not of http or https"),
    (aiohttp.InvalidURL, httpx.LocalProtocolError, "the URL is not valid"),
    (aiohttp.ClientError, httpx.ReadError, _BROKEN),
    (OSError, httpx.ReadError, _BROKEN),
    (ValueError, httpx.LocalProtocolError, "the request is not valid HTTP"),
)


TRANSLATED: Final = (aiohttp.ClientError, OSError, ValueError)
"""What aiohttp raises, and `translated` knows."""


def words_of(error: httpx.RequestError) -> str:
    """Return the name of an error and, where it is one of `translated`, what happened; never a URL or its path."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error.__cause__, TRANSLATED) and str(error) else name


def translated(error: Exception) -> httpx.TransportError:
    """Return the error of httpx that says what one of `TRANSLATED` means."""
    for known, to, text in _ERRORS:
        if isinstance(error, known):
            return to(str(error) if text is None else text)
    return httpx.TransportError(type(error).__name__)
