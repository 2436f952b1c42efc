from __future__ import annotations

import asyncio
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from tests.unit.providers.support import (
    API_KEY,
    PENDING,
    Clock,
    answering,
    config,
    json_answer,
    provider,
    raw_server,
)

from tunehook.http.transport import HttpTransport
from tunehook.providers import NotFound, Pending, Provider, Throttled, Transient, Unauthorised, client

TWO_MIB = 2 * 1024 * 1024


class Stream(httpx.AsyncByteStream):
    """A body that comes in pieces."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


def streaming(*pieces: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: httpx.Response(200, headers=named, stream=Stream(*pieces))


async def test_the_key_goes_in_the_authorization_header() -> None:
    seen: list[httpx.Request] = []
    gateway = provider(lambda request: (seen.append(request), json_answer(PENDING))[1])
    await gateway.ask("t")
    assert seen[0].headers["authorization"] == f"Bearer {API_KEY}"


async def test_the_path_of_the_base_url_is_kept() -> None:
    seen: list[httpx.Request] = []
    gateway = provider(
        lambda request: (seen.append(request), json_answer(PENDING))[1],
        base_url="https://gw.example.com/api/suno/",
    )
    await gateway.ask("t")
    assert str(seen[0].url) == "https://gw.example.com/api/suno/suno/fetch/t"


async def target_on_the_wire(task_id: str, base_path: str = "") -> str:
    async def respond(writer: asyncio.StreamWriter) -> None:
        body = json.dumps(PENDING).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )

    async with raw_server(respond) as (url, heads), HttpTransport() as http:
        assert isinstance(await Provider(config(base_url=url + base_path), http).ask(task_id), Pending)
    return heads[0].split(b" ")[1].decode()


@pytest.mark.parametrize(
    "task_id",
    [
        "../admin",
        "a/b",
        "a?b=c",
        "a#b",
        "a%2Fb",
        "a b",
        "歌",
        "a\r\nx: y",
        "a;b",
        "a\\b",
        "a%3Bb",
        "~a",
        "a+b",
        "a:b",
    ],
)
async def test_an_id_stays_one_segment_of_the_path_on_the_wire(task_id: str) -> None:
    target = await target_on_the_wire(task_id)
    prefix, _, segment = target.rpartition("/")
    assert prefix == "/suno/fetch"
    assert not set(segment) & set("?#\\;: ")
    assert unquote(segment) == task_id


@pytest.mark.parametrize(
    ("base_path", "on_the_wire"),
    [
        ("/api;v=1/a%2Fb%3B/~x", "/api;v=1/a%2Fb%3B/~x"),
        ("/{tenant}", "/%7Btenant%7D"),
        ('/"a|b"', "/%22a%7Cb%22"),
        ("/v1/", "/v1"),
    ],
)
async def test_the_path_of_the_base_url_means_the_same_on_the_wire(base_path: str, on_the_wire: str) -> None:
    assert await target_on_the_wire("t", base_path) == f"{on_the_wire}/suno/fetch/t"


@pytest.mark.parametrize("task_id", ["", ".", "..", "\ud800"])
async def test_an_id_that_no_path_can_carry_is_not_asked_for(task_id: str) -> None:
    asked: list[httpx.Request] = []
    gateway = provider(lambda request: (asked.append(request), json_answer(PENDING))[1])
    assert await gateway.ask(task_id) == NotFound()
    assert asked == []


async def test_a_redirect_is_not_followed() -> None:
    asked: list[httpx.Request] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"location": "https://elsewhere.example.com/"})

    assert isinstance(await provider(redirect).ask("t"), Transient)
    assert len(asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("no route"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("odd"),
        httpx.InvalidURL("odd"),
        OSError("odd"),
        ValueError("odd"),
        TimeoutError(),
        UnicodeEncodeError("ascii", "é", 0, 1, "odd"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_transport_raises_is_transient(error: Exception) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    assert isinstance(await provider(fail).ask("t"), Transient)


async def test_a_connection_that_is_refused_is_transient() -> None:
    async with HttpTransport() as http:
        assert isinstance(await Provider(config(base_url="http://127.0.0.1:1"), http).ask("t"), Transient)


async def test_a_dripping_body_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "REQUEST_DEADLINE_S", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        for _ in range(100):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(drip) as (url, _), HttpTransport() as http:
        began = time.monotonic()
        assert await Provider(config(base_url=url), http).ask("t") == Transient("no answer within 0.3 s")
    assert time.monotonic() - began < 2


async def test_dripping_headers_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "REQUEST_DEADLINE_S", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            writer.write(b"x-%d: y\r\n" % number)
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(drip) as (url, _), HttpTransport() as http:
        assert await Provider(config(base_url=url), http).ask("t") == Transient("no answer within 0.3 s")


async def test_a_body_of_two_mib_is_read() -> None:
    body = json.dumps(PENDING).encode()
    gateway = provider(streaming(body, b" " * (TWO_MIB - len(body))))
    assert isinstance(await gateway.ask("t"), Pending)


async def test_a_body_beyond_two_mib_is_refused() -> None:
    body = json.dumps(PENDING).encode()
    gateway = provider(streaming(body, b" " * (TWO_MIB + 1 - len(body))))
    assert await gateway.ask("t") == Transient("the body exceeds 2 MiB", is_too_large=True)


async def test_the_connection_of_a_body_beyond_two_mib_is_dropped() -> None:
    written = 0
    gone = asyncio.Event()

    async def respond(writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(b" " * 65_536)
                await writer.drain()
                written += 65_536
        finally:
            gone.set()

    async with asyncio.timeout(5), raw_server(respond) as (url, _), HttpTransport() as http:
        outcome = await Provider(config(base_url=url), http).ask("t")
        await gone.wait()
    assert outcome == Transient("the body exceeds 2 MiB", is_too_large=True)
    assert written < 10 * TWO_MIB


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
    ],
    ids=["gzip", "upper case", "zlib", "raw deflate"],
)
async def test_a_compressed_body_is_read(encoding: str, compress: Any) -> None:
    gateway = provider(streaming(compress(json.dumps(PENDING).encode()), content_encoding=encoding))
    assert isinstance(await gateway.ask("t"), Pending)


async def test_a_decompression_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 64 * 1024 * 1024)
    gateway = provider(streaming(bomb, content_encoding="gzip"))
    tracemalloc.start()
    try:
        assert await gateway.ask("t") == Transient("the body exceeds 2 MiB", is_too_large=True)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("encoding", "body", "cause"),
    [
        ("br", b"\x0b", "the compressed body is truncated"),
        ("zstd", b"\x28\xb5\x2f\xfd\x04", "the body is compressed by zstd, which was not asked for"),
        ("gzip", gzip.compress(b"{}" * 100, mtime=0)[:10] + b"\xff" * 90, "the compressed body is broken"),
        ("gzip", gzip.compress(b"{}" * 100, mtime=0)[:-9], "the compressed body is truncated"),
    ],
)
async def test_a_body_that_cannot_be_unpacked_is_transient(encoding: str, body: bytes, cause: str) -> None:
    assert await provider(streaming(body, content_encoding=encoding)).ask("t") == Transient(cause)


async def test_no_more_than_max_concurrency_requests_run_at_a_time() -> None:
    running = most = 0

    async def slow(_request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return json_answer(PENDING)

    gateway = provider(slow, max_concurrency=3)
    await asyncio.gather(*(gateway.ask(str(number)) for number in range(20)))
    assert most == 3


async def test_requests_per_second_spaces_the_requests() -> None:
    times: list[float] = []
    gateway = provider(
        lambda _request: (times.append(time.monotonic()), json_answer(PENDING))[1], requests_per_second=50
    )
    await asyncio.gather(*(gateway.ask(str(number)) for number in range(6)))
    assert times[-1] - times[0] >= 5 / 50 * 0.9


async def test_a_throttled_provider_is_not_asked_until_retry_after_has_passed() -> None:
    clock = Clock()
    gateway = provider(
        answering(httpx.Response(429, headers={"retry-after": "30"}), json_answer(PENDING)), clock=clock
    )
    assert await gateway.ask("t") == Throttled(30.0, detail="HTTP 429")
    clock.now += 29
    assert await gateway.ask("t") == Throttled(1.0, asked=False)
    assert gateway.is_paused()
    clock.now += 1
    assert isinstance(await gateway.ask("t"), Pending)
    assert not gateway.is_paused()


async def test_a_pause_tells_when_it_ends_and_why() -> None:
    clock = Clock()
    gateway = provider(answering(httpx.Response(401)), clock=clock)
    assert isinstance(await gateway.ask("t"), Unauthorised)
    assert gateway.paused_until == clock.now + 60
    assert gateway.pause_reason == "unauthorised"


async def test_those_waiting_when_a_pause_begins_are_not_sent() -> None:
    asked: list[httpx.Request] = []
    gateway = provider(
        lambda request: (asked.append(request), httpx.Response(429))[1], clock=Clock(), max_concurrency=1
    )
    outcomes = await asyncio.gather(*(gateway.ask(str(number)) for number in range(10)))
    assert len(asked) == 1
    assert [outcome.asked for outcome in outcomes if isinstance(outcome, Throttled)] == [True] + [False] * 9


async def test_a_pause_ends_with_one_probe_that_the_others_wait_for() -> None:
    clock = Clock()
    running = most = 0

    async def gateway_answer(_request: httpx.Request) -> httpx.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return httpx.Response(503)

    gateway = provider(gateway_answer, clock=clock)
    for _ in range(5):
        await gateway.ask("t")
    most = 0
    clock.now += 5
    outcomes = await asyncio.gather(*(gateway.ask(str(number)) for number in range(10)))
    assert most == 1
    assert sum(isinstance(outcome, Transient) for outcome in outcomes) == 1
    assert gateway.paused_until == clock.now + 10


async def test_a_cancelled_probe_leaves_its_place_to_the_next() -> None:
    clock = Clock()
    hang = asyncio.Event()
    answers = [httpx.Response(401), None, json_answer(PENDING)]

    async def gateway_answer(_request: httpx.Request) -> httpx.Response:
        if (answer := answers.pop(0)) is None:
            await hang.wait()
        assert answer is not None
        return answer

    gateway = provider(gateway_answer, clock=clock)
    await gateway.ask("t")
    clock.now += 60
    probe = asyncio.create_task(gateway.ask("t"))
    waiting = asyncio.create_task(gateway.ask("t"))
    await asyncio.sleep(0.01)
    assert gateway.is_paused()
    probe.cancel()
    assert isinstance(await waiting, Pending)


async def test_cancelling_is_not_swallowed() -> None:
    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    asking = asyncio.create_task(provider(hang).ask("t"))
    await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
