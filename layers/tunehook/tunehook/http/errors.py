"""aiohttp's errors, translated to httpx's: those are what every client here raises."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError

from tunehook.http.connection_words import NO_ROUTE, NOT_REACHED, REFUSED
from tunehook.http.tls import TlsProblem, tls_cause


class NameNotResolved(httpx.ConnectError):
    """The host's name has no address, or DNS did not answer."""


class TlsFailure(httpx.ConnectError):
    """The server's certificate is not valid, or the TLS handshake failed."""


class CertificateExpired(TlsFailure):
    """The server's certificate has expired."""


class CertificateForAnotherName(TlsFailure):
    """The server's certificate is not valid for the name in the URL."""


class CertificateOfUnknownIssuer(TlsFailure):
    """The server's certificate is of an issuer that is not known here, or its chain is not complete."""


class DeadlineExceeded(httpx.TimeoutException):
    """No status came in time: the text says whether there was a connection."""


class InvalidAnswer(httpx.RemoteProtocolError):
    """The peer answered, and its response has no status that can be read."""


class UnreadableResponse(aiohttp.ClientError):
    """The response is no readable HTTP, or beyond our bounds; the message says how, and quotes nothing of it."""


class BrokenBody(aiohttp.ClientError):
    """The body of a response did not end as it should; the message quotes nothing of it."""


_OF_TLS: Final = {
    TlsProblem.EXPIRED: CertificateExpired,
    TlsProblem.ANOTHER_NAME: CertificateForAnotherName,
    TlsProblem.UNKNOWN_ISSUER: CertificateOfUnknownIssuer,
    TlsProblem.OTHER: TlsFailure,
}

# The first that fits counts: subclasses come before their bases. The texts of aiohttp may hold the URL, whose path is
# often a secret; None stands for those that do not.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError], str | None], ...] = (
    (UnreadableResponse, InvalidAnswer, None),
    (BrokenBody, httpx.RemoteProtocolError, None),
    (aiohttp.ClientConnectorDNSError, NameNotResolved, None),
    (aiohttp.ClientSSLError, TlsFailure, "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, httpx.ConnectError, None),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout, f"{NOT_REACHED} in time"),
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout, "the host sent nothing in time"),
    (TimeoutError, httpx.TimeoutException, "it took too long"),
    (
        aiohttp.ServerDisconnectedError,
        httpx.RemoteProtocolError,
        "the connection was closed before the answer",
    ),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError, "the body ended before it was whole"),
    (aiohttp.ClientResponseError, InvalidAnswer, "the answer is no valid HTTP"),
    (HttpProcessingError, InvalidAnswer, "the answer is no valid HTTP"),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol, "the URL is not of http or https"),
    (aiohttp.InvalidURL, httpx.LocalProtocolError, "the URL is not valid"),
    (aiohttp.ClientError, httpx.ReadError, "the connection broke"),
    (OSError, httpx.ReadError, "the connection broke"),
    (ValueError, httpx.LocalProtocolError, "the request is not valid HTTP"),
)

TRANSLATED: Final = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""What aiohttp raises, and `translated` knows."""


def was_sent(error: BaseException) -> bool:
    """Return whether some of a request may have been sent before its exchange failed; False if there was no connection.

    A connection counts as made once TLS is: what is raised before is of `aiohttp.ClientConnectorError`.
    """
    return not isinstance(error.__cause__, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def describe(error: httpx.RequestError) -> str:
    """Return the name of an error and, where it is one of `translated`, what happened; never a URL or its path."""
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error.__cause__, TRANSLATED) and str(error) else name


def translated(error: Exception) -> httpx.TransportError:
    """Return the error of httpx that says what one of `TRANSLATED` means."""
    if (failure := next(_tls_errors(error), None)) is not None:
        problem, words = tls_cause(failure)
        return _OF_TLS[problem](words)
    for known, to, text in _ERRORS:
        if isinstance(error, known):
            return to(_words(error) if text is None else text)
    return httpx.TransportError(type(error).__name__)


_NO_ROUTES: Final = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
)


def _words(error: Exception) -> str:
    """Return an error's own text, after what its number means where a connection was not made."""
    number = error.os_error.errno if type(error) is aiohttp.ClientConnectorError else None
    if number == errno.ECONNREFUSED:
        return f"{REFUSED}: {error}"
    if number in _NO_ROUTES:
        return f"{NO_ROUTE}: {error}"
    if number == errno.ETIMEDOUT:
        return f"{NOT_REACHED} in time: {error}"
    return str(error)


def _tls_errors(error: BaseException | None) -> Iterator[ssl.SSLError]:
    """Yield what TLS failed by, innermost first: aiohttp's own errors hide it, some of which are of such types too.

    An alert that comes after the handshake is behind an error of a broken connection.
    """
    if isinstance(error, aiohttp.ClientError | OSError):
        yield from _tls_errors(error.__cause__)
    if isinstance(error, ssl.SSLError) and not isinstance(error, aiohttp.ClientError):
        yield error
