"""Exchanges where the status is what counts: `HttpTransport.send_for_status`."""

import httpx
import pytest
from tests.support.patience import HANG_S
from tests.unit.http.wire import OK, Script, dripping, serving, silent

from tunehook.http import transport
from tunehook.http.errors import DeadlineExceeded
from tunehook.http.reply import Reply
from tunehook.http.transport import HttpTransport

HEAD = b"HTTP/1.1 200 OK\r\n"


async def post(script: Script, *, deadline_s: float = HANG_S, max_bytes: int = 16_384) -> Reply:
    async with serving(script) as wire, HttpTransport() as client:
        return await client.send_for_status(
            "POST", wire.url, {}, b"{}", deadline_s=deadline_s, max_bytes=max_bytes
        )


async def test_what_comes_in_time_is_the_transports_reply() -> None:
    answer = await post(OK, max_bytes=1)
    assert (answer.status, answer.body, answer.truncated) == (200, b"o", True)


@pytest.mark.parametrize("script", [silent, dripping(HEAD, b"x-a: b\r\n")], ids=["silence", "headers"])
async def test_what_has_no_status_by_the_deadline_is_given_up(script: Script) -> None:
    with pytest.raises(DeadlineExceeded):
        await post(script, deadline_s=0.4)


async def test_a_body_that_drips_is_given_up_and_the_status_counts() -> None:
    answer = await post(dripping(HEAD + b"content-length: 9000\r\n\r\n", b"x"), deadline_s=0.4)
    assert (answer.status, answer.truncated, answer.fault) == (200, False, "the body did not end in time")
    assert answer.body.strip(b"x") == b""


async def test_another_failure_is_the_transports_own() -> None:
    async with HttpTransport() as client:
        with pytest.raises(httpx.ConnectError):
            await client.send_for_status("POST", "http://127.0.0.1:1/", {}, b"", deadline_s=3, max_bytes=1)


async def test_a_body_has_a_second_of_the_deadline_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert transport.BODY_S == 1.0
    monkeypatch.setattr(transport, "BODY_S", 0.1)
    answer = await post(dripping(HEAD + b"content-length: 9000\r\n\r\n", b"x"))
    assert answer.fault == "the body did not end in time"
