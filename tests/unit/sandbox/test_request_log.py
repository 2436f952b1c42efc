from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from tunehook_local.sandbox import LoggedRequest, Sandbox, Scenario, parse
from tunehook_local.sandbox.request_log import describe_webhook

RULES: dict[str, Any] = {
    "tasks": [{"answers": [{"phase": "processing"}]}],
    "receivers": [{"name": "cut", "answers": [{"reset": True}]}],
}


@pytest.fixture
def noted() -> list[LoggedRequest]:
    return []


@pytest.fixture
async def sandbox(noted: list[LoggedRequest], clock: Callable[[], Any]) -> AsyncIterator[Sandbox]:
    async with AsyncExitStack() as stack:
        made = Sandbox(parse(Scenario, RULES), clock=clock, on_request=noted.append)
        yield await stack.enter_async_context(made)


def lines(noted: list[LoggedRequest]) -> list[tuple[object, ...]]:
    return [(each.status, each.method, each.path, each.remark) for each in noted]


async def test_each_request_is_noted_with_its_answer_and_what_it_was_about(
    sandbox: Sandbox, noted: list[LoggedRequest], client: Any, clock: Any
) -> None:
    base = sandbox.base_url("suno")
    (await client.get(f"{base}/suno/fetch/a")).close()
    (await client.post(f"{base}/suno/fetch", json={"ids": ["a", "b"]})).close()
    (await client.get(f"{sandbox.url}/nothing")).close()
    (await client.get(f"{sandbox.url}/assets/suno/a/none.mp3?Signature=s")).close()
    assert lines(noted) == [
        (200, "GET", "/suno/suno/fetch/a", "suno a: processing"),
        (200, "POST", "/suno/suno/fetch", "suno: 2 tasks in one request"),
        (404, "GET", "/nothing", None),
        (404, "GET", "/assets/suno/a/none.mp3", "a file of suno a"),
    ]
    assert {each.at for each in noted} == {clock()}


async def test_a_refused_key_is_said_and_no_key_is_noted(
    sandbox: Sandbox, noted: list[LoggedRequest]
) -> None:
    async with aiohttp.ClientSession(headers={"authorization": "Bearer wrong-key-1"}) as session:
        (await session.get(f"{sandbox.base_url('suno')}/suno/fetch/a?token=wrong-key-2")).close()
    assert lines(noted) == [(401, "GET", "/suno/suno/fetch/a", "its key is refused")]
    assert "wrong-key" not in repr(noted)


async def test_a_webhook_is_noted_with_its_type_and_task_and_told_from_a_duplicate(
    sandbox: Sandbox, noted: list[LoggedRequest], client: Any
) -> None:
    body = {"type": "task.completed", "data": {"task_id": "a"}}
    for message_id in ("msg_1", "msg_1", "msg_2"):
        url = sandbox.receiver_url("shop")
        (await client.post(url, json=body, headers={"webhook-id": message_id})).close()
    assert [each.remark for each in noted] == [
        "task.completed a",
        "task.completed a, duplicate (2nd time)",
        "task.completed a",
    ]
    assert [each.received for each in noted] == sandbox.received("shop")


async def test_a_request_without_an_answer_has_no_status(
    sandbox: Sandbox, noted: list[LoggedRequest], client: Any
) -> None:
    with pytest.raises(aiohttp.ClientError):
        await client.post(sandbox.receiver_url("cut"), data=b"x")
    assert lines(noted) == [(None, "POST", "/receiver/cut", "1 byte of no JSON object")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"status": "SUCCESS", "task_id": "t"}', "status SUCCESS t"),
        (b'{"type": "webhook.test", "data": {}}', "webhook.test"),
        (b"[1]", "3 bytes of no JSON object"),
        (b"\xff", "1 byte of no JSON object"),
    ],
)
def test_other_bodies_are_described_too(body: bytes, words: str) -> None:
    assert describe_webhook(body) == words


async def test_the_root_says_what_there_is(sandbox: Sandbox, client: Any) -> None:
    async with client.get(sandbox.url) as response:
        text = await response.text()
    assert response.content_type == "text/plain"
    assert f"tunehook providers set suno --kind suno --base-url {sandbox.url}/suno --api-key " in text
    assert "any other id  stays in progress" in text
    async with client.get(sandbox.url, headers={"accept": "text/html,*/*"}) as response:
        page = await response.text()
    assert response.content_type == "text/html"
    assert '<a href="/control/received">' in page
    assert "&lt;any name&gt;" in page


async def test_what_becomes_of_tasks_is_told_rule_by_rule(start: Any) -> None:
    rules = [
        {"kind": "suno", "task_id": "a*", "answers": [{"phase": "queued", "times": 3}, {"phase": "failed"}]},
        {"task_id": "b", "answers": [{"phase": "queued", "until_s": [1, 4]}, {"status": 500}]},
        {"task_id": "c", "answers": [{"phase": "not_found"}]},
    ]
    text = (await start({"tasks": rules})).guide()
    assert "  a* (suno)  fails after 3 polls\n  b          answers HTTP 500 after 1 to 4 s\n" in text
    assert "  c          is not known\n" in text
    assert "  and 1 more\n" in (await start({"tasks": [rules[2]] * 13})).guide()
    assert "none: every task is unknown" in (await start({})).guide()
