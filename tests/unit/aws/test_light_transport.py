"""What went wrong on the wire is told in botocore's errors, which its retries and our words know."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import certifi
import httpx
import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from tests.support.virtual_tests import in_virtual_time

from tunehook.aws.light_transport import open_transport, sent
from tunehook.http.errors import TlsFailure
from tunehook.http.reply import Reply

URL = "https://dynamodb.eu-west-1.amazonaws.com/"


class Wire:
    """A transport that gives one answer, or raises."""

    def __init__(self, outcome: Exception | Reply) -> None:
        self.outcome = outcome

    async def send(self, *given: Any, **options: Any) -> Reply:
        self.asked = (given, options)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


async def call(outcome: Exception | Reply) -> Reply:
    return await sent(Wire(outcome), URL, {}, b"{}", 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (TlsFailure("the certificate has expired"), SSLError),
        (httpx.ConnectTimeout("slow"), ConnectTimeoutError),
        (httpx.ConnectError("refused"), EndpointConnectionError),
        (httpx.ReadTimeout("slow"), ReadTimeoutError),
        (TimeoutError(), ReadTimeoutError),
        (httpx.RemoteProtocolError("closed"), ConnectionClosedError),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else each.__name__,
)
async def test_a_failure_is_told_as_botocore_tells_it(
    failure: Exception, told: type[HTTPClientError]
) -> None:
    with pytest.raises(told) as raised:
        await call(failure)
    assert type(raised.value) is told
    assert raised.value.kwargs["endpoint_url"] == URL


async def test_what_is_sent_is_a_post_whose_answer_may_have_16_mib() -> None:
    wire = Wire(Reply(200, {}, b"{}", truncated=False))
    await sent(wire, URL, {"x-a": "1"}, b"body", 5)  # type: ignore[arg-type]
    assert wire.asked == (("POST", URL, {"x-a": "1"}, b"body"), {"max_bytes": 16 * 1024 * 1024})


@in_virtual_time
async def test_what_takes_too_long_is_given_up() -> None:
    class Silent:
        async def send(self, *_: Any, **__: Any) -> Reply:
            await asyncio.sleep(60)
            raise AssertionError

    loop = asyncio.get_running_loop()
    with pytest.raises(ReadTimeoutError):
        await sent(Silent(), URL, {}, b"{}", 5)  # type: ignore[arg-type]
    assert loop.time() == 5


def test_the_transport_has_the_clients_settings_and_repeats_nothing_by_itself() -> None:
    made = open_transport(5, 3, None)
    assert (made.max_connections, made.connect_timeout_s, made.ssl_context, made.resends) == (
        5,
        3,
        None,
        False,
    )
    trusting = open_transport(5, 3, certifi.where()).ssl_context
    assert trusting is not None
    assert trusting.get_ca_certs()


async def test_an_answer_that_is_not_whole_is_a_failure() -> None:
    whole = Reply(200, {}, b"{}", truncated=False)
    assert await call(whole) is whole
    with pytest.raises(HTTPClientError, match="too large"):
        await call(replace(whole, truncated=True))
