from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest
from aiohttp import web
from tests.support.patience import HANG_S


async def raw_answer(sandbox: Any, *, method: str = "GET", path: str = "/suno/suno/fetch/a") -> bytes:
    """All bytes that come back on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer k\r\nConnection: close\r\n\r\n"
    )
    writer.write(request.encode())
    try:
        async with asyncio.timeout(HANG_S):
            return await reader.read()
    finally:
        writer.close()


@pytest.fixture
async def play(start: Any) -> Any:
    async def start_with(answer: dict[str, Any]) -> Any:
        return await start({"tasks": [{"answers": [answer]}]})

    return start_with


async def test_status_headers_and_body_are_sent_as_given(play: Any, client: Any) -> None:
    headers = {"Content-Type": "text/html", "Retry-After": "Fri, 20 Nov 2026 17:00:00 GMT"}
    sandbox = await play({"status": 503, "headers": headers, "body": "<html>busy</html>"})
    async with client.get(f"{sandbox.url}/suno/suno/fetch/a") as response:
        assert response.status == 503
        assert response.headers["retry-after"] == headers["Retry-After"]
        assert response.headers.getall("content-type") == ["text/html"]
        assert await response.text() == "<html>busy</html>"


async def test_a_body_is_json_unless_the_scenario_says_otherwise(play: Any, client: Any) -> None:
    sandbox = await play({"status": 200, "body": '{"code":"success","data":null}'})
    async with client.get(f"{sandbox.url}/suno/suno/fetch/a") as response:
        assert await response.json() == {"code": "success", "data": None}


async def test_bytes_that_are_no_text_are_sent_as_they_are(play: Any) -> None:
    body = b'{"code": "success", \xff\xfe'
    sandbox = await play({"status": 200, "body_base64": base64.b64encode(body).decode()})
    assert (await raw_answer(sandbox)).endswith(b"\r\n\r\n" + body)


async def test_a_status_without_a_body_has_an_empty_one(play: Any, client: Any) -> None:
    sandbox = await play({"status": 429})
    async with client.get(f"{sandbox.url}/suno/suno/fetch/a") as response:
        assert (response.status, await response.read()) == (429, b"")
        assert "retry-after" not in response.headers


@pytest.mark.parametrize("cut", [0, 4])
async def test_a_truncated_body_ends_short_of_its_announced_length(play: Any, cut: int) -> None:
    sandbox = await play({"status": 200, "body": "0123456789", "cut_after_bytes": cut})
    head, body = (await raw_answer(sandbox)).split(b"\r\n\r\n")
    assert b"content-length: 10" in head.lower()
    assert body == b"0123456789"[:cut]


async def test_an_answer_of_a_phase_can_be_truncated_too(play: Any) -> None:
    sandbox = await play({"phase": "completed", "cut_after_bytes": 20})
    head, body = (await raw_answer(sandbox)).split(b"\r\n\r\n")
    assert b" 200 " in head
    assert body == b'{"code": "success", '


async def test_a_length_can_be_announced_that_is_too_large(play: Any) -> None:
    sandbox = await play({"status": 200, "body": "0123456789", "length_off_by": 5})
    head, body = (await raw_answer(sandbox)).split(b"\r\n\r\n")
    assert b"content-length: 15" in head.lower()
    assert body == b"0123456789"


async def test_a_length_can_be_announced_that_is_too_small(play: Any) -> None:
    sandbox = await play({"status": 200, "body": "0123456789", "length_off_by": -4})
    head, body = (await raw_answer(sandbox)).split(b"\r\n\r\n")
    assert b"content-length: 6" in head.lower()
    assert body == b"0123456789"


async def test_a_length_that_is_less_than_nothing_is_none(play: Any) -> None:
    sandbox = await play({"status": 200, "body": "0123", "length_off_by": -40})
    head, body = (await raw_answer(sandbox)).split(b"\r\n\r\n")
    assert b"content-length: 0" in head.lower()
    assert body == b"0123"


async def test_a_body_can_come_without_its_length(play: Any, client: Any) -> None:
    sandbox = await play({"phase": "queued", "chunked": True})
    async with client.get(f"{sandbox.url}/suno/suno/fetch/a") as response:
        assert "content-length" not in response.headers
        assert (await response.json())["data"]["status"] == "QUEUED"


async def test_a_body_in_chunks_can_be_cut(play: Any) -> None:
    sandbox = await play({"status": 200, "body": "0123456789", "chunked": True, "cut_after_bytes": 4})
    head, body = (await raw_answer(sandbox)).split(b"\r\n\r\n", 1)
    assert b"transfer-encoding: chunked" in head.lower()
    assert body == b"4\r\n0123\r\n"


@pytest.mark.parametrize("cut", [{}, {"cut_after_bytes": 3}])
async def test_a_connection_can_be_reset(play: Any, cut: dict[str, int]) -> None:
    sandbox = await play({"status": 200, "body": "0123456789", "reset": True} | cut)
    with pytest.raises(ConnectionResetError):
        await raw_answer(sandbox)


async def test_a_dripping_body_comes_in_pieces(play: Any, client: Any) -> None:
    sandbox = await play({"status": 200, "body": "abcdef", "drip_bytes": 2, "drip_every_s": 0.05})
    started = time.monotonic()
    async with client.get(f"{sandbox.url}/suno/suno/fetch/a") as response:
        pieces = [piece async for piece in response.content.iter_any()]
    assert pieces == [b"ab", b"cd", b"ef"]
    assert time.monotonic() - started >= 0.1


async def test_a_delayed_answer_comes_late(play: Any, client: Any) -> None:
    sandbox = await play({"phase": "queued", "delay_s": 0.15})
    started = time.monotonic()
    async with client.get(f"{sandbox.url}/suno/suno/fetch/a") as response:
        assert response.status == 200
    assert time.monotonic() - started >= 0.15


async def test_a_hanging_answer_never_comes(play: Any) -> None:
    sandbox = await play({"phase": "queued", "hang": True})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(raw_answer(sandbox), 0.2)


async def test_a_client_that_gives_up_leaves_no_trace_of_an_error(play: Any, caplog: Any) -> None:
    sandbox = await play({"status": 200, "body": "x" * 100_000, "drip_bytes": 1, "drip_every_s": 0.01})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(raw_answer(sandbox), 0.1)
    await asyncio.sleep(0.1)
    assert caplog.records == []


async def test_a_client_that_is_killed_while_it_is_answered_leaves_no_trace_either(
    play: Any, caplog: Any, monkeypatch: Any
) -> None:
    async def write(*_: Any) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    sandbox = await play({"status": 200, "body": "x", "drip_bytes": 1})
    monkeypatch.setattr(web.StreamResponse, "write", write)
    await raw_answer(sandbox)
    assert caplog.records == []
