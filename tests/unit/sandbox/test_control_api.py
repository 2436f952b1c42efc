from __future__ import annotations

import base64
from typing import Any

import pytest

from tunehook.times import iso

RULE = {"answers": [{"phase": "processing", "until_s": 8}, {"phase": "completed"}]}


async def post(client: Any, sandbox: Any, path: str, document: Any = None) -> tuple[int, Any]:
    async with client.post(f"{sandbox.url}/control/{path}", json=document) as response:
        return response.status, await response.json() if response.content_type == "application/json" else None


async def get(client: Any, sandbox: Any, path: str) -> Any:
    async with client.get(f"{sandbox.url}/control/{path}") as response:
        return await response.json()


@pytest.mark.parametrize(
    ("body", "text"), [('{"title": "春天"}'.encode(), '{"title": "春天"}'), (b"", ""), (b"\xff\x00", None)]
)
async def test_what_a_receiver_got_is_listed_with_its_body_as_text_if_it_is_one(
    start: Any, client: Any, body: bytes, text: str | None
) -> None:
    sandbox = await start({})
    for name in ("shop", "other"):
        async with client.post(sandbox.receiver_url(name), data=body):
            pass
    (listed,) = await get(client, sandbox, "received?name=shop")
    assert listed["body"] == text
    assert listed["body_base64"] == (None if text is not None else base64.b64encode(body).decode())
    assert (listed["name"], listed["method"]) == ("shop", "POST")
    assert len(await get(client, sandbox, "received")) == 2


async def test_the_books_tell_every_question(start: Any, client: Any, clock: Any) -> None:
    sandbox = await start({"tasks": [RULE]})
    first = iso(clock())
    for wait_s in (0, 9):
        clock.pass_s(wait_s)
        async with client.get(f"{sandbox.base_url('suno')}/suno/fetch/a"):
            pass
    async with client.post(f"{sandbox.base_url('suno')}/suno/fetch", json={"ids": ["a", "b"]}):
        pass
    ledger = await get(client, sandbox, "requests")
    assert ledger["queries"] == {
        "musicmint": {"one": 0, "many": 0},
        "qhaigc": {"one": 0, "many": 0},
        "suno": {"one": 2, "many": 1},
    }
    assert ledger["tasks"][0] == {
        "kind": "suno",
        "task_id": "a",
        "first_seen_at": first,
        "ended_at": first.replace(":00.250", ":08.250"),
        "outcome": "completed",
        "asked": 3,
        "asked_at": [first, iso(clock()), iso(clock())],
    }
    assert (ledger["tasks"][1]["task_id"], ledger["tasks"][1]["asked"]) == ("b", 1)


async def test_a_task_begins_when_it_is_made(start: Any, client: Any, clock: Any) -> None:
    sandbox = await start({"tasks": [RULE]})
    status, made = await post(client, sandbox, "tasks", {"kind": "suno", "task_id": "a"})
    assert (status, made["first_seen_at"], made["asked"]) == (201, iso(clock()), 0)
    clock.pass_s(8)
    async with client.get(f"{sandbox.base_url('suno')}/suno/fetch/a") as response:
        assert (await response.json())["data"]["status"] == "SUCCESS"


async def test_a_task_may_have_begun_earlier(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [RULE]})
    _, made = await post(client, sandbox, "tasks", {"kind": "suno", "task_id": "a", "age_s": 100})
    assert made["outcome"] == "completed"


async def test_a_task_may_bring_its_own_rule(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [RULE]})
    rule = {"answers": [{"phase": "failed", "reason": "as ordered"}]}
    await post(client, sandbox, "tasks", {"kind": "suno", "task_id": "a", "rule": rule})
    async with client.get(f"{sandbox.base_url('suno')}/suno/fetch/a") as response:
        assert (await response.json())["data"]["fail_reason"] == "as ordered"


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"kind": "suno"}, "task_id"),
        ({"kind": "udio", "task_id": "a"}, "kind"),
        ({"kind": "suno", "task_id": "a", "rule": {"answers": []}}, "rule.answers"),
        ([], "document"),
    ],
)
async def test_a_bad_task_is_refused_by_its_field(start: Any, client: Any, document: Any, field: str) -> None:
    sandbox = await start({})
    status, problem = await post(client, sandbox, "tasks", document)
    assert (status, problem["field"]) == (400, field)
    assert sandbox.task_records() == []


async def test_a_body_that_is_no_json_is_refused(start: Any, client: Any) -> None:
    sandbox = await start({})
    async with client.post(f"{sandbox.url}/control/tasks", data=b"{") as response:
        assert (response.status, (await response.json())["field"]) == (400, "document")


async def test_a_reset_forgets_everything(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [RULE]})
    sandbox.create_task("suno", "a")
    async with client.post(sandbox.receiver_url("shop")):
        pass
    assert await post(client, sandbox, "reset") == (204, None)
    assert (await get(client, sandbox, "requests"))["tasks"] == []
    assert await get(client, sandbox, "received") == []
