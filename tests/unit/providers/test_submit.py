"""A submission on the wire: one request, whatever happens to its answer, and nothing secret in what is told of it."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.patience import HANG_S
from tests.support.recipes import KEY_IN_QUERY, RECIPE
from tests.support.virtual_tests import in_virtual_time
from tests.unit.http.certificates import server_and_client_contexts
from tests.unit.http.wire import Script, Wire, answering, serving, silent
from tests.unit.providers.support import API_KEY, config

from tunehook.http.reply import Reply
from tunehook.http.transport import HttpTransport
from tunehook.providers.adapters import adapter_of
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.submission_answers import Refused, Submitted, Unclear
from tunehook.providers.submit import SUBMIT_DEADLINE_S, NotSent, SubmitResult, submit

ID = "task_s5sudYVSO0UYEjmvuHiVN6cbmPSiUKbC"
URL = "https://api.example/v1/callbacks/gw/t0ken-t0ken-t0ken"
REQUEST = ADAPTERS["suno"].submission("music", {"prompt": "la"}, URL)


def http(status: str, body: Any, *, length: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(content) if length is None else length
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + content


async def submitted(script: Script) -> tuple[SubmitResult, Wire]:
    async with asyncio.timeout(HANG_S), serving(script) as wire, HttpTransport(max_connections=1) as client:
        gateway = config(base_url=f"http://127.0.0.1:{wire.port}/base/")
        return await submit(gateway, REQUEST, client, hidden=[URL]), wire


async def test_the_request_has_the_key_and_the_body_with_the_callback() -> None:
    result, wire = await submitted(answering(http("200 OK", {"code": "success", "data": ID})))
    assert result == Submitted(ID)
    (headers, body), line = wire.requests[0], wire.lines[0][0]
    assert line == "POST /base/suno/submit/music HTTP/1.1"
    assert headers["authorization"] == f"Bearer {API_KEY}"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"prompt": "la", "notify_hook": URL}


async def test_a_described_provider_gets_callback_and_key_in_the_query_and_none_of_them_is_told() -> None:
    submits = {"actions": {"run": "/make"}, "callback_query": "hook", "id": "ticket"}
    recipe = KEY_IN_QUERY | {"submit": submits}

    async def result(answer: bytes) -> tuple[SubmitResult, str]:
        async with asyncio.timeout(HANG_S), serving(answering(answer)) as wire, HttpTransport() as client:
            api = config("described", recipe=recipe, base_url=f"http://127.0.0.1:{wire.port}")
            request = adapter_of(api).submission("run", {"prompt": "la"}, URL)
            return await submit(api, request, client, hidden=[URL]), wire.lines[0][0]

    done, line = await result(http("200 OK", {"ticket": "t-7", "id": "another-1"}))
    assert done == Submitted("t-7")
    target = f"/make?hook={quote(URL, safe='')}&api_key={API_KEY}"
    assert line == f"POST {target} HTTP/1.1"
    refused, _ = await result(http("400 No", {"error": f"cannot POST {target}"}))
    assert isinstance(refused, Refused)
    assert API_KEY not in str(refused.body)
    assert "t0ken" not in str(refused.body)


@pytest.mark.parametrize(
    "script",
    [
        answering(),
        answering(b"HTTP/1.1 200 OK\r\n"),
        answering(b"no HTTP at all\r\n\r\n"),
        answering(http("200 OK", {"code": "success", "data": ID}, length=500)),
        answering(http("500 No", {"code": "insert_task_failed", "message": "no"})),
        answering(http("200 OK", b"x" * (2 * 1024 * 1024 + 1))),
    ],
    ids=["closed", "cut in the head", "no HTTP", "cut in the body", "500", "too large"],
)
async def test_without_a_whole_answer_it_is_sent_once_and_unclear(script: Script) -> None:
    result, wire = await submitted(script)
    assert isinstance(result, Unclear)
    assert wire.connections == 1
    assert len(wire.requests) == 1


async def test_neither_key_nor_callback_is_in_what_is_told() -> None:
    said = {"message": f"bad {URL} of {API_KEY}", URL: [API_KEY], "raw": URL.replace("/", r"\/")}
    refused, _ = await submitted(answering(http("422 No", {"code": "bad", **said})))
    assert isinstance(refused, Refused)
    assert refused.body["message"] == "bad *** of ***"
    assert "t0ken" not in repr(refused.body)
    assert API_KEY not in repr(refused.body)
    unclear, _ = await submitted(answering(http("500 No", said)))
    assert unclear == Unclear("HTTP 500: bad *** of ***: that does not say whether the task was taken")
    in_text, _ = await submitted(answering(http("400 No", f"<p>{URL} {API_KEY}</p>".encode())))
    assert in_text == Refused(400, "<p>*** ***</p>")
    as_id, _ = await submitted(answering(http("200 OK", {"data": {"task_id": f"x-{URL}"}})))
    assert isinstance(as_id, Unclear)


async def test_an_id_that_holds_the_key_in_the_end_is_told_to_nobody() -> None:
    recipe = RECIPE | {"submit": {"actions": {"run": "/make"}, "id": "join('', parts)"}}
    answer = http("200 OK", {"parts": [API_KEY[:9], API_KEY[9:]]})
    async with asyncio.timeout(HANG_S), serving(answering(answer)) as wire, HttpTransport() as client:
        api = config("described", recipe=recipe, base_url=f"http://127.0.0.1:{wire.port}")
        result = await submit(api, adapter_of(api).submission("run", {}, URL), client)
    assert result == Unclear("its task id holds a secret")


async def test_where_nothing_listens_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gateway = config(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        async with asyncio.timeout(HANG_S), HttpTransport() as client:
            assert await submit(gateway, REQUEST, client) == NotSent("the connection was refused")


async def test_a_certificate_that_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    server, _ = server_and_client_contexts(tmp_path, "127.0.0.1")
    async with asyncio.timeout(HANG_S), serving(silent, tls=server) as wire, HttpTransport() as client:
        gateway = config(base_url=f"https://127.0.0.1:{wire.port}")
        result = await submit(gateway, REQUEST, client)
    assert isinstance(result, NotSent)
    assert result.reason.startswith("TLS: ")
    assert wire.requests == []


async def test_a_name_that_does_not_resolve_gets_nothing() -> None:
    def no_name(*_: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with HttpTransport(lookup=no_name) as client:
        result = await submit(config(), REQUEST, client)
    assert result == NotSent("the name does not resolve: gw.example.com")


class Hanging:
    """A transport whose answer never comes."""

    async def send(self, *_: Any, **__: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError


@in_virtual_time
async def test_an_answer_that_does_not_come_in_time_is_unclear() -> None:
    began = asyncio.get_running_loop().time()
    assert await submit(config(), REQUEST, Hanging()) == Unclear("no answer within 20 s")
    assert asyncio.get_running_loop().time() - began == SUBMIT_DEADLINE_S


class Failing:
    """A transport that raises an error."""

    def __init__(self, error: Exception, *, when_cancelled: bool = False) -> None:
        self._error = error
        self._when_cancelled = when_cancelled

    async def send(self, *_: Any, **__: Any) -> Reply:
        try:
            if self._when_cancelled:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise self._error from None
        raise self._error


async def test_a_time_limit_of_the_network_is_not_taken_for_that_of_the_submission() -> None:
    timed_out = TimeoutError(errno.ETIMEDOUT, "Connection timed out")
    result = await submit(config(), REQUEST, Failing(timed_out))
    assert result == Unclear("the host does not take the connection")


@in_virtual_time
async def test_what_a_connection_says_when_its_time_is_over_is_told() -> None:
    refused = Failing(ConnectionRefusedError(errno.ECONNREFUSED, "refused"), when_cancelled=True)
    result = await submit(config(), REQUEST, refused)
    assert result == Unclear("the connection was refused")


async def test_a_connection_that_does_not_come_about_in_time_is_given_up_before_that() -> None:
    # The server takes the connection and never begins TLS.
    async with serving(silent) as wire, HttpTransport(connect_timeout_s=0.05) as client:
        gateway = config(base_url=f"https://127.0.0.1:{wire.port}")
        assert await submit(gateway, REQUEST, client) == NotSent("no connection in time")
