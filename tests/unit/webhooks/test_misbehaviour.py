"""Receivers that misbehave, on a raw socket: none holds an attempt beyond its deadline or reads as what it is not."""

import asyncio
import gzip
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.patience import HANG_S
from tests.unit.http.wire import Script, answering, dripping, serving, silent
from tests.unit.webhooks.world import START_MS, delivery, subscribed

from tunehook.http.guard import NetworkPolicy
from tunehook.http.resolver import Lookup, system_lookup
from tunehook.http.transport import BODY_S, HttpTransport
from webhooks.attempt import MAX_ANSWER_BYTES, Result, Sender
from webhooks.policy import ResponseClass

MASTER = "m" * 40
DEADLINE_S = 0.4
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


async def attempt(url: str, *, deadline_s: float = DEADLINE_S, lookup: Lookup = system_lookup) -> Result:
    async with HttpTransport(lookup=lookup) as client:
        sender = Sender(client, NetworkPolicy.ANY, "https://bucket/{}".format, deadline_s)
        return await sender.attempt(delivery(), subscribed({"url": url}), MASTER, START_MS)


async def post_to(script: Script, **options: Any) -> Result:
    async with serving(script) as wire:
        result = await attempt(wire.url, **options)
    assert wire.connections == 1
    return result


@pytest.mark.parametrize(
    "script",
    [
        silent,
        dripping(b"H", b""),
        dripping(b"HTTP/1.1 200 ", b"O"),
        dripping(HEAD, b"x-a: b\r\n"),
        dripping(HEAD + b"x-a: ", b"b"),
    ],
    ids=["silence", "first byte", "status line", "headers", "one header"],
)
async def test_an_attempt_ends_at_its_deadline_whatever_drips(script: Script) -> None:
    result = await post_to(script)
    assert (result.response_class, result.attempt.error, result.answered) == (
        ResponseClass.FAILED,
        "DeadlineExceeded",
        False,
    )
    assert result.attempt.status_code is None
    assert result.attempt.duration_ms >= DEADLINE_S * 1000 - 1


@pytest.mark.parametrize("interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_interim_answers_without_end_are_no_answer(interim: bytes) -> None:
    result = await post_to(dripping(b"", interim))
    assert result.response_class is ResponseClass.FAILED
    assert result.attempt.status_code is None


async def test_a_tls_handshake_that_is_not_answered_ends_at_the_deadline() -> None:
    async with bare_server() as port:
        result = await attempt(f"https://127.0.0.1:{port}/")
    assert (result.attempt.error, result.answered) == ("DeadlineExceeded", False)


async def test_a_name_server_that_does_not_answer_ends_at_the_deadline() -> None:
    release = threading.Event()

    def lookup(*_: object) -> Any:
        release.wait(HANG_S)
        raise OSError

    try:
        result = await attempt("http://receiver.example/", lookup=lookup)
    finally:
        release.set()
    assert result.attempt.error == "DeadlineExceeded"


@pytest.mark.parametrize(
    "script",
    [
        dripping(HEAD + b"content-length: 1000000000\r\n\r\n", b"x" * 65_536, pause_s=0),
        dripping(CHUNKED, b"ffff\r\n" + b"x" * 65_535 + b"\r\n", pause_s=0),
        dripping(HEAD + b"\r\n", b"x" * 65_536, pause_s=0),
        dripping(HEAD + b"content-encoding: gzip\r\n\r\n", gzip.compress(bytes(10_000_000)), pause_s=0),
    ],
    ids=["content-length", "chunked", "until close", "compressed"],
)
async def test_an_answer_without_end_counts_by_its_status(script: Script) -> None:
    result = await post_to(script, deadline_s=HANG_S)
    assert (result.response_class, result.attempt.status_code) == (ResponseClass.DELIVERED, 200)
    assert len((result.attempt.excerpt or "").encode()) <= 3 * 1024


async def test_of_an_answer_without_end_16_kibibytes_are_taken_and_the_connection_is_dropped() -> None:
    sent = itertools.count()
    gone = asyncio.Event()

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 1000000000\r\n\r\n")
        try:
            while True:
                next(sent)
                writer.write(b"x" * 65_536)
                await writer.drain()
        except ConnectionError:
            gone.set()
            raise

    async with serving(script) as wire:
        await attempt(wire.url, deadline_s=HANG_S)
        await asyncio.wait_for(gone.wait(), HANG_S)
    # The rest of it lay in the buffers of the two sockets.
    assert next(sent) * 65_536 < 20_000_000
    assert MAX_ANSWER_BYTES == 16 * 1024


async def test_a_compressed_answer_is_kept_as_it_came() -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = HEAD + f"content-encoding: gzip\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    result = await post_to(answering(head + bomb), deadline_s=HANG_S)
    excerpt = result.attempt.excerpt or ""
    assert bomb[:1024].decode("utf-8", "replace").startswith(excerpt)
    # A replacement character has three bytes, and one that is cut is left out.
    assert 1022 <= len(excerpt.encode()) <= 1024


@pytest.mark.parametrize(
    "script",
    [
        dripping(HEAD + b"content-length: 16000\r\n\r\n", b"x"),
        dripping(CHUNKED, b"1\r\nx\r\n"),
        dripping(CHUNKED + b"1", b""),
        dripping(HEAD + b"\r\n", b"x"),
        dripping(b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
        dripping(HEAD + b"content-length: 2\r\n\r\n", b""),
    ],
    ids=["body", "chunks", "a chunk's size", "body until close", "HTTP/1.0 body", "no body"],
)
@pytest.mark.parametrize("deadline_s", [DEADLINE_S, 30], ids=["until the deadline", "for a moment"])
async def test_once_the_status_is_there_a_body_that_drips_changes_nothing(
    script: Script, deadline_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if deadline_s > 1:
        monkeypatch.setattr("tunehook.http.transport.BODY_S", 0.2)
    result = await post_to(script, deadline_s=deadline_s)
    assert (result.response_class, result.attempt.status_code, result.answered) == (
        ResponseClass.DELIVERED,
        200,
        True,
    )
    assert (result.attempt.error, result.attempt.detail) == (None, "the body did not end in time")
    assert set(result.attempt.excerpt or "x") == {"x"}


def test_a_body_is_read_for_a_second() -> None:
    assert BODY_S == 1.0


CUT_BODY = b"content-length: 20\r\n\r\nok"


@pytest.mark.parametrize(
    ("answer", "response_class", "status_code", "detail"),
    [
        (HEAD + CUT_BODY, ResponseClass.DELIVERED, 200, "the body ended before it was whole"),
        (CHUNKED + b"2\r\nok\r\n", ResponseClass.DELIVERED, 200, "the body ended before it was whole"),
        (CHUNKED + b"5\r\nhel", ResponseClass.DELIVERED, 200, "the body ended before it was whole"),
        (CHUNKED + b"zz\r\nhello\r\n", ResponseClass.DELIVERED, 200, "the answer is no valid HTTP"),
        (b"HTTP/1.1 410 Gone\r\n" + CUT_BODY, ResponseClass.GONE, 410, "the body ended before it was whole"),
        (
            b"HTTP/1.1 500 X\r\nwebhook-delivery: disable\r\n" + CUT_BODY,
            ResponseClass.GONE,
            500,
            "the body ended before it was whole",
        ),
        (
            b"HTTP/1.1 500 X\r\nwebhook-delivery: abort-message\r\n" + CUT_BODY,
            ResponseClass.ABORTED,
            500,
            "the body ended before it was whole",
        ),
        (HEAD, ResponseClass.DELIVERED, 200, "the connection was closed in the middle of the headers"),
        (
            b"HTTP/1.1 410 Gone\n",
            ResponseClass.GONE,
            410,
            "the connection was closed in the middle of the headers",
        ),
        (HEAD + b"x-a: b\r\nx-h", ResponseClass.DELIVERED, 200, None),
        (HEAD + b"webhook-delivery: disable\r\n", ResponseClass.GONE, 200, None),
        (
            HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nok",
            ResponseClass.DELIVERED,
            200,
            "the Content-Length headers of the answer contradict each other",
        ),
        (
            HEAD + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08",
            ResponseClass.DELIVERED,
            200,
            None,
        ),
        (
            HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            ResponseClass.DELIVERED,
            200,
            None,
        ),
        (HEAD + b"transfer-encoding: gzip\r\n\r\nok", ResponseClass.DELIVERED, 200, None),
    ],
    ids=[
        "short",
        "no last chunk",
        "in the middle of a chunk",
        "a chunk's size that is none",
        "short 410",
        "short disable",
        "short abort",
        "a status line alone",
        "a status line alone with a bare line feed",
        "in the middle of a header",
        "no blank line",
        "contradictory lengths",
        "gzip that is cut",
        "chunked and more",
        "a coding that is not chunked",
    ],
)
async def test_how_an_answer_ends_changes_nothing_about_its_status(
    answer: bytes, response_class: ResponseClass, status_code: int, detail: str | None
) -> None:
    result = await post_to(answering(answer), deadline_s=HANG_S)
    assert (result.response_class, result.attempt.status_code, result.answered) == (
        response_class,
        status_code,
        True,
    )
    assert result.attempt.error is None
    assert (result.attempt.detail or "")[: len(detail or "")] == (detail or "")
    assert (result.attempt.detail is None) == (detail is None)


def reset(start: bytes) -> Script:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        await asyncio.sleep(0.05)  # what lies unread at the receiver is lost with a reset
        peer: Any = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")

    return script


@pytest.mark.parametrize(
    "start", [HEAD, HEAD + b"x-a: b\r\n", HEAD + CUT_BODY, HEAD + b"\r\nok", CHUNKED + b"2\r\nok"]
)
async def test_a_reset_after_the_status_changes_nothing_about_it(start: bytes) -> None:
    result = await post_to(reset(start), deadline_s=HANG_S)
    assert (result.response_class, result.attempt.status_code, result.answered) == (
        ResponseClass.DELIVERED,
        200,
        True,
    )
    assert result.attempt.detail


LINES = b"".join(b"x-%d: 1\r\n" % number for number in range(600))
LARGE = b"".join(b"x-%d: ".ljust(60_000, b"x") % number + b"\r\n" for number in range(5))
NO_HTTP = "the answer is no valid HTTP"
UNPARSABLE = {
    "a status that is none": (b"HTTP/1.1 2x0 OK\r\n\r\n", NO_HTTP),
    "SSH": (b"SSH-2.0-secret\r\n", NO_HTTP),
    "a page without a head": (b"<html>secret</html>", NO_HTTP),
    "a TLS alert": (b"\x15\x03\x03\x00\x02\x02\x28", NO_HTTP),
    "a frame of HTTP/2": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", NO_HTTP),
    "600 header lines": (HEAD + LINES + b"\r\n", "the answer has more than 500 header lines"),
    "300 kB of headers": (HEAD + LARGE + b"\r\n", "the headers of the answer are larger than 256 kB"),
    "a line of 70 kB": (
        HEAD + b"x: ".ljust(70_000, b"x") + b"\r\n\r\n",
        "a header line of the answer is longer than 64 kB",
    ),
}
"""What no more bytes can make an answer of."""

CUT_BEFORE_A_STATUS = {
    "half a status line": b"HTTP/1.1 2",
    "an interim answer alone": b"HTTP/1.1 100 Continue\r\n\r\n",
}


async def assert_it_does_not_hang(script: Script, detail: str) -> None:
    result = await post_to(script, deadline_s=HANG_S)
    assert (result.response_class, result.attempt.error, result.answered) == (
        ResponseClass.FAILED,
        "InvalidAnswer",
        True,
    )
    assert (result.attempt.detail or "").startswith(detail)
    assert "secret" not in (result.attempt.detail or "")


@pytest.mark.parametrize("name", UNPARSABLE)
@pytest.mark.parametrize("script", [answering, lambda answer: dripping(answer, b"")], ids=["closes", "stays"])
async def test_what_cannot_be_parsed_is_a_failed_attempt_of_a_receiver_that_does_not_hang(
    name: str, script: Callable[[bytes], Script]
) -> None:
    answer, detail = UNPARSABLE[name]
    await assert_it_does_not_hang(script(answer), detail)


@pytest.mark.parametrize("name", CUT_BEFORE_A_STATUS)
@pytest.mark.parametrize("end", [answering, lambda answer: reset(answer)], ids=["closes", "resets"])
async def test_so_is_an_answer_that_ends_before_its_status(name: str, end: Callable[[bytes], Script]) -> None:
    await assert_it_does_not_hang(
        end(CUT_BEFORE_A_STATUS[name]), "the connection was closed in the middle of the headers"
    )


async def test_a_receiver_that_closes_without_a_byte_has_failed() -> None:
    result = await post_to(answering(b""), deadline_s=HANG_S)
    assert (result.response_class, result.attempt.error, result.answered) == (
        ResponseClass.FAILED,
        "RemoteProtocolError",
        False,
    )
    assert result.attempt.detail == "the connection was closed before the answer"


async def test_a_receiver_that_resets_the_connection_has_failed() -> None:
    result = await post_to(reset(b""), deadline_s=HANG_S)
    assert (result.response_class, result.answered) == (ResponseClass.FAILED, False)


@pytest.mark.parametrize(
    ("answer", "response_class", "status_code", "excerpt"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nhello", ResponseClass.DELIVERED, 200, "hello"),
        (b"HTTP/1.0 500 Oh\r\ncontent-length: 2\r\n\r\nno", ResponseClass.FAILED, 500, "no"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok",
            ResponseClass.DELIVERED,
            200,
            "ok",
        ),
        (
            b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
            b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n",
            ResponseClass.FAILED,
            503,
            "",
        ),
        (b"HTTP/1.1 204 No Content\r\n\r\nhello", ResponseClass.DELIVERED, 204, ""),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello", ResponseClass.DELIVERED, 204, ""),
        (
            b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            ResponseClass.DELIVERED,
            204,
            "",
        ),
        (b"HTTP/1.1 200 \xff\xfe\r\ncontent-length: 2\r\n\r\nok", ResponseClass.DELIVERED, 200, "ok"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", ResponseClass.FAILED, 304, ""),
    ],
    ids=[
        "1.0",
        "1.0 failure",
        "100",
        "102 and 103",
        "204 with a body",
        "204 with a length",
        "204 chunked",
        "odd reason",
        "304",
    ],
)
async def test_an_odd_answer_counts_as_what_it_says(
    answer: bytes, response_class: ResponseClass, status_code: int, excerpt: str
) -> None:
    result = await post_to(answering(answer), deadline_s=HANG_S)
    assert (result.response_class, result.attempt.status_code, result.attempt.excerpt) == (
        response_class,
        status_code,
        excerpt,
    )
    assert result.answered is True


async def test_a_receiver_that_asks_for_nothing_is_sent_no_expect_header() -> None:
    async with serving(answering(HEAD + b"content-length: 0\r\n\r\n")) as wire:
        await attempt(wire.url, deadline_s=HANG_S)
    assert "expect" not in wire.requests[0][0]


async def test_a_receiver_that_never_reads_does_not_hold_an_attempt() -> None:
    async with bare_server() as port:
        result = await attempt(f"http://127.0.0.1:{port}/")
    assert result.attempt.error == "DeadlineExceeded"


@asynccontextmanager
async def bare_server() -> AsyncIterator[int]:
    """A socket that accepts in the kernel alone: nobody reads from it, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
