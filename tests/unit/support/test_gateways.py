"""A played transport behaves as the real one does."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from tests.support.gateways import PlayedTransport
from tests.unit.http.wire import answering, serving

from tunehook.http.reply import Reply, Transport
from tunehook.http.transport import HttpTransport

Seen = tuple[dict[str, str], bytes]
Opener = Callable[
    [int, dict[str, str], bytes], contextlib.AbstractAsyncContextManager[tuple[Transport, str, list[Seen]]]
]


@contextlib.asynccontextmanager
async def real(
    status: int, headers: dict[str, str], body: bytes
) -> AsyncIterator[tuple[Transport, str, list[Seen]]]:
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    async with serving(answering("\r\n".join(lines).encode() + body)) as wire, HttpTransport() as client:
        yield client, wire.url, wire.requests


@contextlib.asynccontextmanager
async def played(
    status: int, headers: dict[str, str], body: bytes
) -> AsyncIterator[tuple[Transport, str, list[Seen]]]:
    seen: list[Seen] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append((dict(request.headers), request.content))
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))

    yield PlayedTransport(answer), "http://gateway.example/", seen


@pytest.fixture(params=[real, played], ids=["real", "played"])
def opened(request: pytest.FixtureRequest) -> Opener:
    return request.param


async def reply(opened: Opener, status: int, headers: dict[str, str], body: bytes, max_bytes: int) -> Reply:
    async with opened(status, headers, body) as (transport, url, _):
        return await transport.send("GET", url, {}, None, max_bytes=max_bytes)


async def test_a_request_arrives_with_its_headers_and_body(opened: Opener) -> None:
    async with opened(200, {"content-length": "0"}, b"") as (transport, url, seen):
        await transport.send("POST", url, {"x-a": "1"}, b"{}", max_bytes=9)
    headers, body = seen[0]
    assert (headers["x-a"], body) == ("1", b"{}")


async def test_status_headers_and_body_come_back(opened: Opener) -> None:
    given = await reply(opened, 429, {"Retry-After": "7", "content-length": "2"}, b"no", 9)
    assert (given.status, given.headers["retry-after"], given.body) == (429, "7", b"no")
    assert given.headers.get("x-none") is None


@pytest.mark.parametrize(("length", "truncated"), [(0, False), (5, False), (6, True), (500_000, True)])
async def test_only_a_body_beyond_the_limit_is_cut(opened: Opener, length: int, truncated: bool) -> None:
    given = await reply(opened, 200, {"content-length": str(length)}, b"x" * length, 5)
    assert (given.body, given.truncated) == (b"x" * min(length, 5), truncated)


async def test_a_compressed_body_stays_compressed(opened: Opener) -> None:
    given = await reply(opened, 200, {"content-encoding": "gzip", "content-length": "3"}, b"abc", 9)
    assert (given.body, given.headers["content-encoding"]) == (b"abc", "gzip")
