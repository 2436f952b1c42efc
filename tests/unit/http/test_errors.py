"""Whatever an exchange fails by is one of httpx's errors; nothing else escapes, and no message quotes a secret."""

from __future__ import annotations

import asyncio
import errno
import random
import ssl
from collections import Counter
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import client_exceptions
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadHttpMessage
from multidict import CIMultiDict, CIMultiDictProxy
from tests.unit.http.wire import serving
from yarl import URL

from tunehook.http.errors import (
    TRANSLATED,
    BrokenBody,
    CertificateExpired,
    CertificateForAnotherName,
    CertificateOfUnknownIssuer,
    InvalidAnswer,
    NameNotResolved,
    TlsFailure,
    UnreadableResponse,
    describe,
    translated,
)
from tunehook.http.reply import Reply
from tunehook.http.transport import HttpTransport

KEY = ConnectionKey("host.example", 443, True, True, None, None, None)
REQUEST = aiohttp.RequestInfo(URL("https://host.example/secret"), "GET", CIMultiDictProxy(CIMultiDict()))


def made(kind: type[Exception]) -> Exception:
    """An error of a kind, as aiohttp makes it."""
    if issubclass(kind, aiohttp.ClientConnectorCertificateError):
        return kind(KEY, ssl.SSLCertVerificationError("bad"))
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(KEY, OSError(1, "no"))
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(REQUEST, ())
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"1", b"2", "host.example", 443)
    if issubclass(kind, aiohttp.InvalidURL):
        return kind("https://host.example/secret")
    return kind()


KINDS = [
    kind
    for name in client_exceptions.__all__
    if not name.startswith("WS") and issubclass(kind := getattr(client_exceptions, name), Exception)
]
"""But for those of websockets, which are not used."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_of_aiohttp_has_its_word(kind: type[Exception]) -> None:
    error = made(kind)
    assert isinstance(error, TRANSLATED)
    seen = translated(error)
    assert type(seen) is not httpx.TransportError
    assert "secret" not in str(seen)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BadHttpMessage("bad: secret"), InvalidAnswer),
        (OSError(5, "secret"), httpx.ReadError),
        (UnicodeError("secret"), httpx.LocalProtocolError),
        (ssl.SSLError(1, "secret"), TlsFailure),
        (KeyError("secret"), httpx.TransportError),
    ],
)
def test_so_have_others_and_what_nobody_thought_of(error: Exception, kind: type[Exception]) -> None:
    seen = translated(error)
    assert type(seen) is kind
    assert "secret" not in str(seen)


ANSWERS = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 Busy\r\nretry-after: 7\r\nset-cookie: a=b; path=/\r\n\r\nno",
    b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n\x81\x05hello",
    b"HTTP/1.1 204 No Content\r\nconnection: keep-alive\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 302 Found\nlocation: //x\n y\nContent-Encoding : gzip\n\n\x1f\x8b\x08\x00",
)
SPICE = (
    b"\r\n",
    b"\n",
    b"\0",
    b":",
    b" ",
    b"\xff",
    b"0",
    b"f" * 20,
    b"content-length: 1\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 ",
)


def spoiled(answer: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 4)):
        at, to = sorted(chance.randint(0, len(answer)) for _ in range(2))
        match chance.randint(0, 3):
            case 0:
                answer = answer[:at] + answer[min(to, at + 9) :]
            case 1:
                answer = answer[:at] + chance.choice(SPICE) + answer[at:]
            case 2:
                answer = answer[:at] + answer[at:to] + answer[at:]
            case _:
                answer = answer[:at]
    return answer


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_comes_over_the_wire_is_a_reply_or_an_error_of_httpx(seed: int) -> None:
    chance = random.Random(seed)
    answers = [spoiled(chance.choice(ANSWERS), chance) for _ in range(150)]
    left = iter(answers)

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = next(left)
        cut = chance.randint(0, len(answer))
        writer.write(answer[:cut])
        await writer.drain()
        await asyncio.sleep(0)
        writer.write(answer[cut:])

    kinds: Counter[str] = Counter()
    async with serving(script) as wire, HttpTransport() as client:
        for answer in answers:
            given: dict[str, Any] = {"max_bytes": 99, "deadline_s": 30}
            try:
                reply = await client.send_for_status("POST", wire.url, {}, b"{}", **given)
            except httpx.TransportError as error:
                kinds[type(error).__name__] += 1
            else:
                assert isinstance(reply, Reply), answer
                kinds["Reply"] += 1
    assert wire.connections == len(wire.requests) == len(answers)
    assert kinds.total() == len(answers)
    assert min(kinds["Reply"], kinds["InvalidAnswer"]) > 9


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (UnreadableResponse("too long"), InvalidAnswer, "too long"),
        (BrokenBody("cut"), httpx.RemoteProtocolError, "cut"),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(1, "no")), NameNotResolved, None),
        (aiohttp.ClientConnectorError(KEY, OSError(1, "no")), httpx.ConnectError, None),
        (aiohttp.ConnectionTimeoutError(), httpx.ConnectTimeout, "no connection in time"),
        (aiohttp.SocketTimeoutError(), httpx.ReadTimeout, "the host sent nothing in time"),
        (TimeoutError(), httpx.TimeoutException, "it took too long"),
        (
            aiohttp.ServerDisconnectedError(),
            httpx.RemoteProtocolError,
            "the connection was closed before the answer",
        ),
        (aiohttp.ClientPayloadError(), httpx.RemoteProtocolError, "the body ended before it was whole"),
        (aiohttp.ClientResponseError(REQUEST, ()), InvalidAnswer, "the answer is no valid HTTP"),
        (BadHttpMessage("bad"), InvalidAnswer, "the answer is no valid HTTP"),
        (
            aiohttp.NonHttpUrlClientError("ftp://x"),
            httpx.UnsupportedProtocol,
            "the URL is not of http or https",
        ),
        (aiohttp.InvalidURL("x"), httpx.LocalProtocolError, "the URL is not valid"),
        (aiohttp.ClientError(), httpx.ReadError, "the connection broke"),
        (OSError(), httpx.ReadError, "the connection broke"),
        (ValueError(), httpx.LocalProtocolError, "the request is not valid HTTP"),
        (KeyError("x"), httpx.TransportError, "KeyError"),
    ],
)
def test_an_error_is_of_its_kind_and_says_what_happened(
    error: Exception, kind: type[Exception], words: str | None
) -> None:
    seen = translated(error)
    assert type(seen) is kind
    assert words is None or str(seen) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ECONNREFUSED, "the connection was refused: "),
        (errno.ENETUNREACH, "there is no route to the address: "),
        (errno.EHOSTUNREACH, "there is no route to the address: "),
        (errno.ENETDOWN, "there is no route to the address: "),
        (errno.EHOSTDOWN, "there is no route to the address: "),
        (errno.EADDRNOTAVAIL, "there is no route to the address: "),
        (errno.ETIMEDOUT, "no connection in time: "),
        (errno.EPERM, ""),
    ],
)
def test_why_a_connection_was_not_made_comes_before_the_systems_words(number: int, words: str) -> None:
    error = aiohttp.ClientConnectorError(KEY, OSError(number, "no"))
    assert str(translated(error)) == f"{words}{error}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (10, CertificateExpired),
        (62, CertificateForAnotherName),
        (20, CertificateOfUnknownIssuer),
        (23, TlsFailure),
    ],
)
def test_what_is_wrong_with_a_certificate_is_an_error_of_its_own_however_deep_it_lies(
    code: int, kind: type[Exception]
) -> None:
    failure = ssl.SSLCertVerificationError(1, "certificate verify failed")
    failure.verify_code, failure.verify_message = code, ""
    hidden = aiohttp.ClientOSError()
    hidden.__cause__ = failure
    for error in (failure, hidden, aiohttp.ClientConnectorCertificateError(KEY, failure)):
        if error.__cause__ is None and error is not failure:
            error.__cause__ = failure
        assert type(translated(error)) is kind


def test_only_what_was_translated_is_told_in_words() -> None:
    bare, told = httpx.ReadError("secret"), httpx.ReadError("the connection broke")
    told.__cause__ = OSError()
    silent = httpx.ReadError("")
    silent.__cause__ = OSError()
    assert [describe(error) for error in (bare, told, silent)] == [
        "ReadError",
        "ReadError: the connection broke",
        "ReadError",
    ]
