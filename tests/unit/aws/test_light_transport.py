"""What went wrong on the wire is told in botocore's errors, which its retries and our words know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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

from tunehook.aws.light_transport import sent
from tunehook.http.errors import TlsFailure
from tunehook.http.reply import Reply

URL = "https://dynamodb.eu-west-1.amazonaws.com/"


class Wire:
    """A transport that gives one answer, or raises."""

    def __init__(self, outcome: Exception | Reply) -> None:
        self.outcome = outcome

    async def send(self, *_: Any, **__: Any) -> Reply:
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


async def test_an_answer_that_is_not_whole_is_a_failure() -> None:
    whole = Reply(200, {}, b"{}", truncated=False)
    assert await call(whole) is whole
    with pytest.raises(HTTPClientError, match="too large"):
        await call(replace(whole, truncated=True))
