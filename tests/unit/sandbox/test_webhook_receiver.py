from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict


async def test_a_request_is_kept_as_it_came(start: Any, client: Any, clock: Any) -> None:
    sandbox = await start({})
    body = b'{"type":"task.completed"}\xff'
    headers = {"Webhook-Id": "msg_1", "content-type": "application/json"}
    async with client.post(
        f"{sandbox.receiver_url('shop')}/hooks?a=1", data=body, headers=headers
    ) as response:
        assert (response.status, await response.read()) == (204, b"")
    (request,) = sandbox.received("shop")
    assert (request.name, request.method, request.path) == ("shop", "POST", "/receiver/shop/hooks?a=1")
    assert request.body == body
    assert (request.headers["webhook-id"], request.headers["content-type"]) == ("msg_1", "application/json")
    assert request.received_at == clock()


async def test_a_header_that_comes_twice_is_joined(start: Any, client: Any) -> None:
    sandbox = await start({})
    headers = CIMultiDict([("x-a", "1"), ("x-a", "2")])
    async with client.post(sandbox.receiver_url("shop"), headers=headers):
        pass
    assert sandbox.received()[0].headers["x-a"] == "1, 2"


async def test_receivers_are_kept_apart_by_name(start: Any, client: Any) -> None:
    sandbox = await start({})
    for name in ("one", "two", "one"):
        async with client.post(sandbox.receiver_url(name)):
            pass
    assert [len(sandbox.received(name)) for name in ("one", "two", "three", None)] == [2, 1, 0, 3]


async def test_a_receiver_may_fail_first_and_recover(start: Any, client: Any) -> None:
    rule = {"name": "flaky-*", "answers": [{"status": 500, "times": 2}, {"status": 200}]}
    sandbox = await start({"receivers": [rule]})
    statuses = []
    for name in ("flaky-1", "flaky-1", "flaky-2", "flaky-1", "steady"):
        async with client.post(sandbox.receiver_url(name)) as response:
            statuses.append(response.status)
    assert statuses == [500, 500, 500, 200, 204]


async def test_a_receiver_may_answer_with_headers(start: Any, client: Any) -> None:
    answer = {"headers": {"webhook-delivery": "disable"}}
    sandbox = await start({"receivers": [{"answers": [answer]}]})
    async with client.post(sandbox.receiver_url("shop")) as response:
        assert (response.status, response.headers["webhook-delivery"]) == (204, "disable")


async def test_a_request_is_kept_before_it_is_answered(start: Any, client: Any) -> None:
    sandbox = await start({"receivers": [{"answers": [{"reset": True}]}]})
    with pytest.raises(aiohttp.ClientOSError):
        await client.post(sandbox.receiver_url("shop"), data=b"x")
    assert [request.body for request in sandbox.received("shop")] == [b"x"]
