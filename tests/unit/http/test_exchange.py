import gzip
import itertools
import time
import zlib

import httpx
import pytest
from tests.unit.http.wire import OK, Script, answering, dripping, serving, silent

from tunehook.http.client import open_client
from tunehook.http.exchange import Answer, DeadlineExceeded, exchange

HEAD = b"HTTP/1.1 200 OK\r\n"


async def post(script: Script, *, deadline_s: float = 3.0, max_bytes: int = 16_384) -> Answer:
    async with serving(script) as wire, open_client(timeout=None) as client:
        request = client.build_request("POST", wire.url, content=b"{}")
        return await exchange(client, request, deadline_s=deadline_s, max_bytes=max_bytes)


async def test_a_short_answer_is_read_whole() -> None:
    answer = await post(OK)
    assert (answer.status_code, answer.body, answer.truncated) == (200, b"ok", False)
    assert answer.headers["content-length"] == "2"


@pytest.mark.parametrize(
    "script",
    [
        silent,
        dripping(b"", b"H"),
        dripping(b"HTTP/1.1 200 ", b"O"),
        dripping(HEAD, b"x-a: b\r\n"),
        dripping(HEAD + b"x-a: ", b"b"),
        dripping(HEAD + b"content-length: 100000\r\n\r\n", b"x"),
        dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    ],
    ids=[
        "silence",
        "first byte",
        "status line",
        "headers",
        "one header",
        "body",
        "chunks",
        "HTTP/1.0 body",
        "100 without end",
        "103 without end",
    ],
)
async def test_the_deadline_holds_whatever_drips(script: Script) -> None:
    started = time.monotonic()
    with pytest.raises((DeadlineExceeded, httpx.RemoteProtocolError)):
        await post(script, deadline_s=0.4)
    assert time.monotonic() - started < 1.2


@pytest.mark.parametrize(
    "script",
    [
        dripping(HEAD + b"content-length: 1000000000\r\n\r\n", b"x" * 65_536, pause_s=0),
        dripping(
            HEAD + b"transfer-encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 65_535 + b"\r\n", pause_s=0
        ),
        dripping(HEAD + b"\r\n", b"x" * 65_536, pause_s=0),
    ],
    ids=["content-length", "chunked", "until close"],
)
async def test_an_endless_answer_is_read_up_to_the_limit(script: Script) -> None:
    answer = await post(script)
    assert answer.status_code == 200
    assert answer.body == b"x" * 16_384
    assert answer.truncated


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
async def test_a_compressed_answer_is_not_decompressed(encoding: str) -> None:
    bomb = zlib.compress(b"\0" * 10_000_000) if encoding == "deflate" else gzip.compress(b"\0" * 10_000_000)
    head = HEAD + f"content-encoding: {encoding}\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    answer = await post(answering(head + bomb), max_bytes=len(bomb))
    assert answer.body == bomb
    assert not answer.truncated


async def test_an_answer_of_exactly_the_limit_is_not_truncated() -> None:
    answer = await post(answering(HEAD + b"content-length: 5\r\n\r\nhello"), max_bytes=5)
    assert (answer.body, answer.truncated) == (b"hello", False)


async def test_an_answer_cut_in_the_middle_is_an_error() -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await post(answering(HEAD + b"content-length: 100\r\n\r\nhello"))


async def test_http_1_0_without_a_length_ends_with_the_connection() -> None:
    answer = await post(answering(b"HTTP/1.0 200 OK\r\n\r\nhello"))
    assert (answer.status_code, answer.body) == (200, b"hello")


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"]
)
@pytest.mark.parametrize("pause_s", [0.0, 0.05])
async def test_interim_responses_are_passed_over(interim: bytes, pause_s: float) -> None:
    parts = [interim, interim, HEAD + b"content-length: 2\r\n\r\nok"]
    answer = await post(answering(*parts, pause_s=pause_s) if pause_s else answering(b"".join(parts)))
    assert (answer.status_code, answer.body) == (200, b"ok")


async def test_a_204_with_a_body_is_a_204() -> None:
    assert (
        await post(answering(b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello"))
    ).status_code == 204


async def test_the_connection_of_a_truncated_answer_is_dropped() -> None:
    script = dripping(HEAD + b"content-length: 1000000000\r\n\r\n", b"x" * 65_536, pause_s=0)
    async with serving(script) as wire, open_client(timeout=None) as client:
        for _ in itertools.repeat(None, 2):
            request = client.build_request("POST", wire.url, content=b"{}")
            await exchange(client, request, deadline_s=3, max_bytes=100)
    assert wire.connections == 2
