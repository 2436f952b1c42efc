"""The callbacks that the sandbox sends: each vendor's form, found and verified as tunehook does."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from tests.support.patience import HANG_S

from tunehook.callback_schemes import CallbackScheme
from tunehook.callbacks import Callback, find_task_ids, verified_ids
from tunehook_local.sandbox import TaskRule, parse

PHASES = [{"phase": "queued", "until_s": 1}, {"phase": "processing", "until_s": 2}]
COMPLETED = {"answers": [*PHASES, {"phase": "completed"}]}
FAILED = {"answers": [*PHASES, {"phase": "failed", "reason": "no"}]}
SUBMIT = {
    "suno": "/suno/submit/music",
    "qhaigc": "/v1/music/generations",
    "musicmint": "/api/v1/music/generate",
}
Counts = tuple[int, int, int]
STANDARD_SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()


async def submit(client: Any, sandbox: Any, body: dict[str, Any], kind: str = "suno") -> Any:
    async with client.post(sandbox.base_url(kind) + SUBMIT[kind], json=body) as response:
        assert response.status == 200
        return (await response.json())["data"]


async def until(count: int, sandbox: Any) -> list[Any]:
    """Wait until so many callbacks were answered, and return them as they came."""
    async with asyncio.timeout(HANG_S):
        while len(sandbox.sent_callbacks()) < count:
            await asyncio.sleep(0.01)
    return sandbox.received("hook")


async def calls(start: Any, client: Any, clock: Any, rule: dict[str, Any], field: Any, counts: Counts) -> Any:
    """Play a task through its three phases, after which so many callbacks are there; return those that came."""
    sandbox = await start({"tasks": [rule]})
    url = sandbox.receiver_url("hook")
    body = field(url) if callable(field) else {field: url}
    await submit(client, sandbox, {"prompt": "x", "task_id": "t-1"} | body)
    for seconds, count in zip((0, 1.1, 1.1), counts, strict=True):
        clock.pass_s(seconds)
        received = await until(count, sandbox)
    return received


def piapi(url: str) -> dict[str, Any]:
    return {"config": {"webhook_config": {"endpoint": url, "secret": "the-secret-of-piapi"}}}


def told(received: Any) -> list[Any]:
    return [json.loads(each.body) for each in received]


@pytest.mark.parametrize(
    ("field", "counts"),
    [
        ("notify_hook", (1, 2, 3)),
        ("callBackUrl", (0, 1, 3)),
        ("notifyHook", (2, 4, 7)),
        ("webhook", (0, 1, 2)),
        ("fal_webhook", (0, 0, 1)),
        (piapi, (0, 1, 2)),
    ],
)
async def test_each_form_names_its_task_where_it_is_looked_for(
    start: Any, client: Any, clock: Any, field: Any, counts: Counts
) -> None:
    received = await calls(start, client, clock, COMPLETED, field, counts)
    assert len(received) == counts[-1]
    for each in received:
        found = find_task_ids(Callback(each.body, each.headers))
        assert next(iter(found)) == "t-1", each.body


async def test_sunoapi_calls_at_text_first_and_complete(start: Any, client: Any, clock: Any) -> None:
    rule = COMPLETED | {"callbacks": {"secret": "key-of-kie"}}
    received = await calls(start, client, clock, rule, "callBackUrl", (0, 1, 3))
    kinds = sorted(each["data"]["callbackType"] for each in told(received))
    assert kinds == ["complete", "first", "text"]
    for each in received:
        callback = Callback(each.body, each.headers)
        now_s = clock().timestamp()
        assert verified_ids(callback, ["t-1", "t-2"], CallbackScheme.KIE, "key-of-kie", now_s) == ["t-1"]


async def test_sunoapi_has_another_name_for_the_id_of_lyrics(start: Any, client: Any, clock: Any) -> None:
    received = await calls(start, client, clock, FAILED | {"lyrics": True}, "callBackUrl", (0, 1, 2))
    last = next(each for each in told(received) if each["data"]["callbackType"] == "error")
    assert last == {
        "code": 500,
        "msg": "no",
        "data": {"callbackType": "error", "taskId": "t-1", "data": None},
    }


async def test_piapi_has_its_secret_in_the_header_and_in_the_body(
    start: Any, client: Any, clock: Any
) -> None:
    received = await calls(start, client, clock, FAILED, piapi, (0, 1, 2))
    for each in received:
        callback = Callback(each.body, each.headers)
        assert verified_ids(callback, ["t-1"], CallbackScheme.HEADER, "the-secret-of-piapi", 0) == ["t-1"]
    assert told(received)[-1]["data"]["config"]["webhook_config"]["secret"] == "the-secret-of-piapi"


async def test_replicate_signs_as_standard_webhooks(start: Any, client: Any, clock: Any) -> None:
    rule = COMPLETED | {"callbacks": {"secret": STANDARD_SECRET}}
    for each in await calls(start, client, clock, rule, "webhook", (0, 1, 2)):
        callback, now_s = Callback(each.body, each.headers), clock().timestamp()
        scheme = CallbackScheme.STANDARD_WEBHOOKS
        assert verified_ids(callback, ["t-1"], scheme, STANDARD_SECRET, now_s) == ["t-1"]


async def test_midjourney_proxy_repeats_and_keeps_no_order(start: Any, client: Any, clock: Any) -> None:
    received = await calls(start, client, clock, COMPLETED, "notifyHook", (2, 4, 7))
    statuses = [each["status"] for each in told(received)]
    assert statuses.count("SUCCESS") == 2
    assert statuses.count("IN_PROGRESS") == 3


async def test_a_rule_repeats_them_or_loses_them(start: Any, client: Any, clock: Any) -> None:
    rules = [
        {"task_id": "lost", "callbacks": {"lost": True}, "answers": [{"phase": "completed"}]},
        {"callbacks": {"times": 4, "form": "fal"}, "answers": [{"phase": "completed"}]},
    ]
    sandbox = await start({"tasks": rules})
    for task_id in ("lost", "t-1"):
        await submit(client, sandbox, {"task_id": task_id, "notify_hook": sandbox.receiver_url("hook")})
    received = await until(4, sandbox)
    assert {each["request_id"] for each in told(received)} == {"t-1"}


async def test_one_that_fails_is_repeated_where_its_vendor_does_so(
    start: Any, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook_local.sandbox.callback_sender.REPEAT_AFTER_S", 0.01)
    failing = [{"name": "hook", "answers": [{"status": 500, "times": 2}]}]
    sandbox = await start({"tasks": [{"answers": [{"phase": "completed"}]}], "receivers": failing})
    url = sandbox.receiver_url("hook")
    await submit(client, sandbox, {"task_id": "t-1", "fal_webhook": url})
    await until(3, sandbox)
    assert [each.status for each in sandbox.sent_callbacks("t-1")] == [500, 500, 204]


async def test_a_url_that_nobody_answers_is_noted_without_it(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "completed"}]}]})
    await submit(client, sandbox, {"task_id": "t-1", "notify_hook": "http://127.0.0.1:9/secret-path"})
    await until(1, sandbox)
    async with client.get(f"{sandbox.url}/control/callbacks?task_id=t-1") as response:
        (sent,) = await response.json()
    assert (sent["form"], sent["moment"], sent["attempt"], sent["status"]) == ("task", "completed", 1, None)
    assert "secret-path" not in str(sent)


@pytest.mark.parametrize("kind", SUBMIT)
async def test_every_provider_takes_submissions_and_echoes_their_url(
    start: Any, client: Any, kind: str
) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "queued"}]}]})
    url = sandbox.receiver_url("hook")
    data = await submit(client, sandbox, {"prompt": "x", "callback_url": url}, kind)
    task_id = data if isinstance(data, str) else data["task_id"]
    assert {record.task_id for record in sandbox.task_records()} == {task_id}
    path = {"suno": "/suno/fetch/", "qhaigc": "/v1/music/tasks/", "musicmint": "/api/v1/task/"}[kind]
    method = client.post if kind == "musicmint" else client.get
    async with method(f"{sandbox.base_url(kind)}{path}{task_id}") as response:
        assert url in await response.text()


@pytest.mark.parametrize("kind", SUBMIT)
async def test_a_submission_needs_a_key_and_a_json_object(start: Any, client: Any, kind: str) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "queued"}]}]})
    url = sandbox.base_url(kind) + SUBMIT[kind]
    for options in ({"headers": {"authorization": "Bearer wrong"}, "json": {}}, {"data": b"[1]"}):
        async with client.post(url, **options) as response:
            text = await response.text()
        assert "task-" not in text
    assert sandbox.task_records() == []


async def test_the_control_api_begins_a_task_with_callbacks(start: Any, client: Any) -> None:
    sandbox = await start({})
    new = {
        "kind": "suno",
        "task_id": "t-1",
        "rule": {"answers": [{"phase": "completed"}]},
        "callback_url": sandbox.receiver_url("hook"),
    }
    async with client.post(f"{sandbox.url}/control/tasks", json=new) as response:
        assert response.status == 201
    (received,) = await until(1, sandbox)
    assert json.loads(received.body)["status"] == "SUCCESS"


async def test_so_does_the_sandbox_itself(start: Any, client: Any) -> None:
    sandbox = await start({})
    rule = parse(TaskRule, {"answers": [{"phase": "failed"}]})
    sandbox.create_task("qhaigc", "t-2", rule=rule, callback_url=sandbox.receiver_url("hook"))
    (received,) = await until(1, sandbox)
    assert json.loads(received.body)["status"] == "FAILED"
