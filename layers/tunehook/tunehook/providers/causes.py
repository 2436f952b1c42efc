"""Say why an exchange with a provider came to nothing, whatever library raised it."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator

from tunehook.http.tls import TlsProblem, tls_cause

_MAX_CAUSE = 300
_URL = re.compile(r"(https?://)(?:[^\s/@]*@)?([^\s/?#'\"]+)[^\s'\"]*", re.IGNORECASE)
_OF_THE_SYSTEM = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.EHOSTUNREACH: "the host cannot be reached",
    errno.ENETUNREACH: "the network cannot be reached",
    errno.ETIMEDOUT: "the host does not take the connection",
    errno.EMFILE: "too many connections are open here",
    errno.EADDRNOTAVAIL: "the host's address cannot be connected to",
}
_BROKEN = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


def cause_of(error: BaseException, host: str) -> str:
    """Return what an exception of a transport means for a user, as a phrase of at most 300 characters.

    Names (of `host`), TLS and connections are described by the operating system's error, wherever it stands in the
    chain of causes. Otherwise the error's text is passed on, behind the exception's name if it is one word; of a URL
    in it only scheme and host are left, since a path may be a secret.
    """
    chain = list(_chain(error))
    for link in reversed(chain):  # libraries' own errors may be of these types as well, and say less
        if isinstance(link, ssl.SSLError):
            problem, message = tls_cause(link)
            return f"TLS: {message} {host}" if problem is TlsProblem.ANOTHER_NAME else f"TLS: {message}"
        if isinstance(link, socket.gaierror):
            return f"the name does not resolve: {host}"
    for link in chain:
        if isinstance(link, OSError) and link.errno in _OF_THE_SYSTEM:
            return _OF_THE_SYSTEM[link.errno]
    text = _URL.sub(r"\1\2", " ".join(str(error).split()))
    if " " in text and not _is_broken(error):
        return text[:_MAX_CAUSE]
    if any(map(_is_broken, chain)):
        return "the connection broke"
    name = type(error).__name__
    return f"{name}: {text}"[:_MAX_CAUSE] if text else name


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _is_broken(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno in _BROKEN
