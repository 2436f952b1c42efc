from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import json
import re
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from tests.support.gateways import PlayedTransport
from tests.support.patience import HANG_S
from tests.support.virtual_tests import in_virtual_time
from tests.unit.http.certificates import server_and_client_contexts
from tests.unit.http.wire import serving, silent
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
from tunehook.providers import client, task_poller
from tunehook.providers.adapter import Answer
from tunehook.providers.client import Provider
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import NotFound, Pending, Throttled, Transient, Unauthorised

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
    await gateway.poll("t")
    assert seen[0].headers["authorization"] == f"Bearer {API_KEY}"


async def test_a_kind_may_have_another_header_for_it() -> None:
    seen: list[httpx.Request] = []
    gateway = provider(lambda request: (seen.append(request), json_answer(PENDING))[1], "piapi")
    await gateway.poll("t")
    assert seen[0].headers["x-api-key"] == API_KEY
    assert "authorization" not in seen[0].headers


async def test_an_id_in_a_query_is_encoded() -> None:
    seen: list[httpx.Request] = []
    gateway = provider(lambda request: (seen.append(request), json_answer(PENDING))[1], "sunoapi")
    await gateway.poll("a/b&c=d #+")
    asked = seen[0].url.raw_path.decode()
    assert asked == "/api/v1/generate/record-info?taskId=a%2Fb%26c%3Dd%20%23%2B"


async def test_the_path_of_the_base_url_is_kept() -> None:
    seen: list[httpx.Request] = []
    gateway = provider(
        lambda request: (seen.append(request), json_answer(PENDING))[1],
        base_url="https://gw.example.com/api/suno/",
    )
    await gateway.poll("t")
    assert str(seen[0].url) == "https://gw.example.com/api/suno/suno/fetch/t"


async def target_on_the_wire(task_id: str, base_path: str = "") -> str:
    async def respond(writer: asyncio.StreamWriter) -> None:
        body = json.dumps(PENDING).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )

    async with raw_server(respond) as (url, heads), HttpTransport() as http:
        assert isinstance(await Provider(config(base_url=url + base_path), http).poll(task_id), Pending)
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
    assert await gateway.poll(task_id) == NotFound()
    assert asked == []


async def test_a_redirect_is_not_followed() -> None:
    asked: list[httpx.Request] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"location": "https://elsewhere.example.com/"})

    assert isinstance(await provider(redirect).poll("t"), Transient)
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

    assert isinstance(await provider(fail).poll("t"), Transient)


async def test_a_connection_that_is_refused_is_transient() -> None:
    async with HttpTransport() as http:
        assert isinstance(await Provider(config(base_url="http://127.0.0.1:1"), http).poll("t"), Transient)


async def test_a_dripping_body_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_poller, "REQUEST_DEADLINE_S", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(drip) as (url, _), HttpTransport() as http:
        assert await Provider(config(base_url=url), http).poll("t") == Transient("no answer within 0.3 s")


async def test_dripping_headers_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_poller, "REQUEST_DEADLINE_S", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(10_000):
            writer.write(b"x-%d: y\r\n" % number)
            await writer.drain()
            await asyncio.sleep(0.05)

    async with raw_server(drip) as (url, _), HttpTransport() as http:
        assert await Provider(config(base_url=url), http).poll("t") == Transient("no answer within 0.3 s")


async def test_a_body_of_two_mib_is_read() -> None:
    body = json.dumps(PENDING).encode()
    gateway = provider(streaming(body, b" " * (TWO_MIB - len(body))))
    assert isinstance(await gateway.poll("t"), Pending)


async def test_a_body_beyond_two_mib_is_refused() -> None:
    body = json.dumps(PENDING).encode()
    gateway = provider(streaming(body, b" " * (TWO_MIB + 1 - len(body))))
    assert await gateway.poll("t") == Transient("the body exceeds 2 MiB", is_too_large=True)


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

    async with asyncio.timeout(HANG_S), raw_server(respond) as (url, _), HttpTransport() as http:
        outcome = await Provider(config(base_url=url), http).poll("t")
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
    assert isinstance(await gateway.poll("t"), Pending)


async def test_a_decompression_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(b" " * 64 * 1024 * 1024)
    gateway = provider(streaming(bomb, content_encoding="gzip"))
    tracemalloc.start()
    try:
        assert await gateway.poll("t") == Transient("the body exceeds 2 MiB", is_too_large=True)
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
    assert await provider(streaming(body, content_encoding=encoding)).poll("t") == Transient(cause)


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
    await asyncio.gather(*(gateway.poll(str(number)) for number in range(20)))
    assert most == 3


@in_virtual_time
async def test_requests_per_second_spaces_the_requests() -> None:
    times: list[float] = []
    loop = asyncio.get_running_loop()
    gateway = provider(
        lambda _request: (times.append(loop.time()), json_answer(PENDING))[1], requests_per_second=50
    )
    await asyncio.gather(*(gateway.poll(str(number)) for number in range(6)))
    assert times == pytest.approx([number / 50 for number in range(6)], abs=0.001)


async def test_a_throttled_provider_is_not_asked_until_retry_after_has_passed() -> None:
    clock = Clock()
    gateway = provider(
        answering(httpx.Response(429, headers={"retry-after": "30"}), json_answer(PENDING)), clock=clock
    )
    assert await gateway.poll("t") == Throttled(30.0, detail="HTTP 429")
    clock.now += 29
    assert await gateway.poll("t") == Throttled(1.0, asked=False)
    assert gateway.is_paused()
    clock.now += 1
    assert isinstance(await gateway.poll("t"), Pending)
    assert not gateway.is_paused()


async def test_a_pause_tells_when_it_ends_and_why() -> None:
    clock = Clock()
    gateway = provider(answering(httpx.Response(401)), clock=clock)
    assert isinstance(await gateway.poll("t"), Unauthorised)
    assert gateway.paused_until == clock.now + 60
    assert gateway.pause_reason == "unauthorised"


async def test_those_waiting_when_a_pause_begins_are_not_sent() -> None:
    asked: list[httpx.Request] = []
    gateway = provider(
        lambda request: (asked.append(request), httpx.Response(429))[1], clock=Clock(), max_concurrency=1
    )
    outcomes = await asyncio.gather(*(gateway.poll(str(number)) for number in range(10)))
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
        await gateway.poll("t")
    most = 0
    clock.now += 5
    outcomes = await asyncio.gather(*(gateway.poll(str(number)) for number in range(10)))
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
    await gateway.poll("t")
    clock.now += 60
    probe = asyncio.create_task(gateway.poll("t"))
    waiting = asyncio.create_task(gateway.poll("t"))
    while len(answers) > 1:
        await asyncio.sleep(0)
    assert gateway.is_paused()
    probe.cancel()
    assert isinstance(await waiting, Pending)


async def test_cancelling_is_not_swallowed() -> None:
    begun = asyncio.Event()

    async def hang(_request: httpx.Request) -> httpx.Response:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    asking = asyncio.create_task(provider(hang).poll("t"))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def cause_at(base_url: str, **options: Any) -> str:
    async with HttpTransport(**options) as http:
        outcome = await Provider(config(base_url=base_url), http).poll("t")
    assert isinstance(outcome, Transient)
    return outcome.cause


async def test_a_refused_connection_is_told_in_words() -> None:
    assert await cause_at("http://127.0.0.1:1/secret-path") == "the connection was refused"


async def test_a_name_without_an_address_is_told_in_words() -> None:
    def no_name(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    cause = await cause_at("https://gw.example.com/secret-path", lookup=no_name)
    assert cause == "the name does not resolve: gw.example.com"


async def test_a_certificate_for_another_name_is_told_in_words(tmp_path: Path) -> None:
    server, client_context = server_and_client_contexts(tmp_path, "other.example")
    async with serving(silent, server) as wire:
        cause = await cause_at(f"https://localhost:{wire.port}", ssl_context=client_context)
    assert cause == "TLS: the certificate is not valid for the name localhost"


async def test_a_certificate_of_an_unknown_issuer_is_told_in_words(tmp_path: Path) -> None:
    server, _ = server_and_client_contexts(tmp_path, "localhost")
    async with serving(silent, server) as wire:
        cause = await cause_at(f"https://localhost:{wire.port}", ssl_context=ssl.create_default_context())
    assert cause == "TLS: the certificate is signed by itself, by no known issuer"


async def test_plain_http_behind_https_is_told_in_words() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(speak_http, "127.0.0.1", 0) as server:
        cause = await cause_at(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert cause == "TLS: the host speaks no TLS on this port (plain http?)"


async def test_a_time_limit_of_the_transports_own_is_not_called_ours() -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    assert await provider(fail).poll("t") == Transient("the host does not take the connection")


async def test_relative_links_are_read_against_the_base_url(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Answer] = []
    gateway = provider(answering(json_answer(PENDING)), base_url="https://gw.example.com/sub/")
    monkeypatch.setattr(type(ADAPTERS["suno"]), "read", lambda _, answer: read.append(answer))
    await gateway.poll("t")
    assert read[0].base_url == "https://gw.example.com/sub"


def test_a_key_digest_tells_keys_and_providers_apart_and_does_not_hold_the_key() -> None:
    http = PlayedTransport(answering(json_answer(PENDING)))
    digests = {
        Provider(config(name=name, api_key=key), http).key_digest
        for name in ("gw", "other")
        for key in (API_KEY, f"{API_KEY}x")
    }
    assert len(digests) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
    assert Provider(config(), http).key_digest in digests


async def test_a_restored_pause_keeps_from_asking_until_it_ends() -> None:
    clock = Clock()
    asked: list[httpx.Request] = []
    gateway = provider(lambda request: (asked.append(request), json_answer(PENDING))[1], clock=clock)
    gateway.restore_pause(20.0, "unauthorised")
    assert await gateway.poll("t") == Throttled(20.0, asked=False)
    assert (gateway.is_paused(), gateway.pause_reason) == (True, "unauthorised")
    clock.now += 20
    assert isinstance(await gateway.poll("t"), Pending)
    assert len(asked) == 1


def refusing(*refused: str) -> tuple[Any, list[str]]:
    """A gateway that refuses the key for these tasks alone, and whom it was asked about."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        return httpx.Response(401) if asked[-1] in refused else json_answer(PENDING)

    return answer, asked


@pytest.mark.parametrize("max_concurrency", [1, 4])
@pytest.mark.parametrize("others", [{"old": ()}, {"overdue": ("x",)}], ids=["usual", "overdue"])
async def test_a_refusal_about_one_task_holds_up_no_others(max_concurrency: int, others: Any) -> None:
    gateway, _ = refusing("x")
    asked = provider(gateway, clock=Clock(), batch=False, max_concurrency=max_concurrency)
    for _ in range(5):
        outcomes = dict([item async for item in asked.poll_many(["x", "a", "b"], **others)])
        assert isinstance(outcomes["x"], Unauthorised)
        assert isinstance(outcomes["a"], Pending)
        assert isinstance(outcomes["b"], Pending)
        assert not asked.is_paused()


async def test_a_refusal_about_one_task_holds_up_none_after_a_pause_of_an_earlier_pass() -> None:
    clock = Clock()
    gateway, _ = refusing("x")
    asked = provider(gateway, clock=clock, batch=False)
    asked.restore_pause(10.0, "unauthorised")
    clock.now += 10
    outcomes = dict([item async for item in asked.poll_many(["x", "a", "b"], overdue=["x"])])
    assert isinstance(outcomes["a"], Pending)
    assert not asked.is_paused()


async def test_a_key_that_is_refused_for_two_tasks_in_a_row_is_not_tried_for_a_third() -> None:
    gateway, singly = refusing("a", "b", "c", "d")
    asked = provider(gateway, clock=Clock(), batch=False, max_concurrency=1)
    outcomes = [outcome async for _, outcome in asked.poll_many("abcd")]
    assert singly == ["a", "b"]
    assert [outcome.name for outcome in outcomes] == ["unauthorised"] * 2 + ["throttled"] * 2
    assert asked.pause_reason == "unauthorised"


async def test_a_key_that_is_refused_for_a_task_that_it_was_accepted_for_is_believed_at_once() -> None:
    gateway = provider(answering(json_answer(PENDING), httpx.Response(401)), clock=Clock(), batch=False)
    await gateway.poll("t")
    assert isinstance(await gateway.poll("t"), Unauthorised)
    assert gateway.is_paused()


async def test_a_task_that_query_many_leaves_out_and_that_is_refused_holds_up_no_others() -> None:
    def gateway(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(401)
        known = [{"task_id": task_id, "status": "QUEUED"} for task_id in json.loads(request.content)["ids"]]
        return json_answer({"code": "success", "data": [task for task in known if task["task_id"] != "x"]})

    asked = provider(gateway, clock=Clock())
    for _ in range(5):
        outcomes = dict([item async for item in asked.poll_many(["x", "a", "b"])])
        assert isinstance(outcomes["x"], Unauthorised)
        assert isinstance(outcomes["a"], Pending)
    assert not asked.is_paused()


async def test_a_task_that_fails_again_and_again_beside_good_answers_pauses_nothing() -> None:
    def gateway(request: httpx.Request) -> httpx.Response:
        if request.url.path.rpartition("/")[2].startswith("bad"):
            return httpx.Response(404, text="<html>no such page</html>")
        return json_answer(PENDING)

    asked = provider(gateway, clock=Clock(), batch=False, max_concurrency=1)
    for _ in range(10):
        await asked.poll("good")
        for number in range(4):
            await asked.poll(f"bad-{number}")
    assert not asked.is_paused()


@pytest.mark.parametrize(
    ("kind", "fields", "tasks", "pace"),
    [
        ("suno", {}, 3_200, "pace"),
        ("suno", {"batch": False}, 32, "pace_one_by_one"),
        ("suno", {"max_concurrency": 2}, 200, "pace"),
        ("musicmint", {}, 160_000, "pace"),
        ("qhaigc", {}, 32, "pace_one_by_one"),
    ],
)
def test_how_many_tasks_are_asked_about_at_a_time_is_a_matter_of_query_many(
    kind: str, fields: dict[str, Any], tasks: int, pace: str
) -> None:
    asked = provider(answering(json_answer(PENDING)), kind, **fields)
    assert (asked.tasks_at_a_time, asked.knows_many) == (tasks, pace == "pace")
    assert asked.pace is getattr(ADAPTERS[kind], pace)
    assert asked.name == "gw"


def test_a_key_is_known_again_by_a_digest_that_is_the_same_for_ever() -> None:
    digest = client.key_digest("gw", API_KEY)
    assert digest == hashlib.pbkdf2_hmac("sha256", API_KEY.encode(), b"gw", 10_000, 16).hex()
    assert provider(answering(json_answer(PENDING))).key_digest == digest


@in_virtual_time
async def test_a_question_is_given_up_after_ten_seconds() -> None:
    class Silent:
        async def send(self, *_: Any, **__: Any) -> Any:
            await asyncio.sleep(3_600)

    silent_transport: Any = Silent()
    asked = Provider(config(), silent_transport, clock=asyncio.get_running_loop().time)
    began_s = asyncio.get_running_loop().time()
    assert await asked.poll("t") == Transient("no answer within 10 s")
    assert asyncio.get_running_loop().time() - began_s == pytest.approx(10.0)


async def test_only_a_request_with_a_body_says_of_what_type_it_is() -> None:
    types: dict[str, str | None] = {}

    def note(request: httpx.Request) -> httpx.Response:
        types[request.method] = request.headers.get("content-type")
        return json_answer({"code": "success", "data": [] if request.method == "POST" else PENDING["data"]})

    asked = provider(note)
    async for _ in asked.poll_many(["a", "b"]):
        pass
    await asked.poll("t")
    assert types == {"POST": "application/json", "GET": None}
