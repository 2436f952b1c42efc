from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tunehook_local.sandbox import Sandbox, Scenario, parse

RECORDED = Path(__file__).parents[2] / "contract" / "providers" / "recorded"

QUEUED = {"answers": [{"phase": "queued"}]}
QUESTIONS = [
    ("POST", "musicmint", "/api/v1/task/a"),
    ("POST", "musicmint", "/api/v1/tasks"),
    ("GET", "qhaigc", "/v1/music/tasks/a"),
    ("GET", "suno", "/suno/fetch/a"),
    ("POST", "suno", "/suno/fetch"),
]


def is_refusal(answer: Any) -> bool:
    return "error" in answer or answer["code"] == 1004


@pytest.mark.parametrize(("method", "kind", "path"), QUESTIONS)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic sandbox-key", "Bearer is-wrong"])
async def test_a_question_without_an_acceptable_key_is_refused(
    start: Any, client: Any, method: str, kind: str, path: str, header: str
) -> None:
    sandbox = await start({"tasks": [QUEUED]})
    headers = {"authorization": header}
    async with client.request(method, sandbox.base_url(kind) + path, headers=headers) as response:
        assert is_refusal(await response.json())
    assert sandbox.task_records() == []


@pytest.mark.parametrize(("method", "kind", "path"), QUESTIONS)
async def test_any_other_key_is_accepted(start: Any, client: Any, method: str, kind: str, path: str) -> None:
    sandbox = await start({"tasks": [QUEUED]})
    async with client.request(method, sandbox.base_url(kind) + path) as response:
        assert not is_refusal(await response.json())


@pytest.mark.parametrize(("method", "kind", "path"), QUESTIONS)
async def test_a_query_is_counted_as_one_or_as_many(
    start: Any, client: Any, method: str, kind: str, path: str
) -> None:
    sandbox = await start({"tasks": [QUEUED]})
    async with client.request(method, sandbox.base_url(kind) + path):
        pass
    one = int(path.endswith("/a"))
    assert sandbox.ledger.queries(kind) == {"one": one, "many": 1 - one}


async def test_an_id_may_hold_a_slash_and_any_letter(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [QUEUED]})
    async with client.get(f"{sandbox.base_url('suno')}/suno/fetch/a%2F%E6%98%A5") as response:
        assert (await response.json())["data"]["task_id"] == "a/春"


async def test_a_key_can_be_refused_for_one_task_at_a_moment(start: Any, client: Any) -> None:
    sandbox = await start(
        {"tasks": [{"answers": [{"phase": "unauthorised", "times": 1}, {"phase": "queued"}]}]}
    )
    statuses = []
    for _ in range(2):
        async with client.get(f"{sandbox.base_url('suno')}/suno/fetch/a") as response:
            statuses.append(response.status)
    assert statuses == [401, 200]


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/musicmint/api/v1/task/a", "audio_url"),
        ("/qhaigc/v1/music/tasks/a", "audioUrl"),
        ("/suno/suno/fetch/a", "image_url"),
    ],
)
async def test_the_links_of_a_task_may_lead_to_another_host(
    start: Any, client: Any, path: str, link: str
) -> None:
    rule = {"answers": [{"phase": "completed"}], "assets_url": "http://cdn.example.com:8080/kept"}
    sandbox = await start({"tasks": [rule]})
    kind = path.split("/")[1]
    async with client.request("POST" if kind == "musicmint" else "GET", sandbox.url + path) as response:
        data = (await response.json())["data"]
    clip = (data.get("results") or data["data"])[0]
    assert clip[link].startswith(f"http://cdn.example.com:8080/kept/{kind}/a/")


async def test_the_scenario_may_spell_the_status_word(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "processing", "word": "Warming-Up"}]}]})
    async with client.get(f"{sandbox.base_url('suno')}/suno/fetch/a") as response:
        assert (await response.json())["data"]["status"] == "Warming-Up"


async def test_a_gateway_may_not_know_the_query_of_many(start: Any, client: Any) -> None:
    rule = {"kind": "suno", "answers": [{"status": 404, "body": "404 page not found"}]}
    sandbox = await start({"tasks": [QUEUED], "query_many": [rule]})
    async with client.post(f"{sandbox.base_url('suno')}/suno/fetch", json={"ids": ["a"]}) as response:
        assert (response.status, await response.text()) == (404, "404 page not found")
    async with client.post(f"{sandbox.base_url('musicmint')}/api/v1/tasks", json={}) as response:
        assert response.status == 200


async def test_a_query_of_many_may_be_disturbed_for_a_while(start: Any, client: Any, clock: Any) -> None:
    rule = {"kind": "suno", "answers": [{"status": 429, "headers": {"Retry-After": "7"}, "until_s": 7}]}
    sandbox = await start({"tasks": [QUEUED], "query_many": [rule]})
    statuses = []
    for wait_s in (0, 6.9, 0.1):
        clock.pass_s(wait_s)
        async with client.post(f"{sandbox.base_url('suno')}/suno/fetch", json={"ids": ["a"]}) as response:
            statuses.append((response.status, response.headers.get("retry-after")))
    assert statuses == [(429, "7"), (429, "7"), (200, None)]


async def test_a_query_of_many_that_is_no_json_lists_nothing(start: Any, client: Any) -> None:
    sandbox = await start({"tasks": [QUEUED]})
    async with client.post(f"{sandbox.base_url('suno')}/suno/fetch", data=b"\xff{") as response:
        assert json.loads(await response.read())["data"] == []


async def test_every_recorded_answer_can_be_played_as_it_was_recorded(client: Any) -> None:
    names = sorted(str(path.relative_to(RECORDED)) for path in RECORDED.glob("*/*.json"))
    answers = [{"recorded": name, "times": 1} for name in names]
    document = {"tasks": [{"answers": [*answers, {"phase": "queued"}]}]}
    async with Sandbox(parse(Scenario, document, folder=RECORDED)) as sandbox:
        for name in names:
            answer = json.loads((RECORDED / name).read_text())["answer"]
            async with client.get(f"{sandbox.url}/suno/suno/fetch/a", allow_redirects=False) as response:
                assert response.status == answer["status"], name
                assert answer["headers"] == {key: response.headers.get(key) for key in answer["headers"]}, (
                    name
                )
                body = await response.read()
            if "body_base64" in answer:
                assert body == base64.b64decode(answer["body_base64"]), name
            elif isinstance(answer["body"], str):
                assert body == answer["body"].encode(), name
            else:
                assert json.loads(body) == answer["body"], name
    assert len(names) > 100
