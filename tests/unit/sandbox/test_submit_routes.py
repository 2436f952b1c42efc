"""Submissions to the sandbox: taken, refused and disturbed as the real providers do it."""

from __future__ import annotations

import re
from typing import Any

import aiohttp
import pytest
from tests.unit.providers.support import config

from tunehook.http.transport import HttpTransport
from tunehook.providers.client import Provider
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import Completed, Failed, Pending
from tunehook.providers.submission_answers import Refused, Submitted, Unclear
from tunehook.providers.submit import SubmitResult, submit
from tunehook_local.sandbox import Kind

URL = "http://127.0.0.1:9/v1/callbacks/gw/t0ken"
RULES = [
    {"task_id": "demo-failure*", "answers": [{"phase": "failed", "reason": "no"}]},
    {"task_id": "*", "answers": [{"phase": "queued", "until_s": 5}, {"phase": "completed"}]},
]
ACTIONS = [(kind.value, action) for kind in sorted(Kind) for action in sorted(ADAPTERS[kind].actions)]
IDS = {"musicmint": r"[0-9a-f]{24}", "qhaigc": r"[0-9a-f]{32}", "suno": r"task_[0-9A-Za-z]{32}"}
BODY = {"prompt": "rain", "tags": "calm"}


def gateway(sandbox: Any, kind: str, key: str = "sandbox-key-test") -> Any:
    return config(kind, base_url=sandbox.base_url(kind), api_key=key)


async def send(
    sandbox: Any, kind: str, action: str = "music", body: dict[str, Any] = BODY, **options: Any
) -> SubmitResult:
    request = ADAPTERS[kind].submission(action, body, URL)
    async with HttpTransport(max_connections=1) as http:
        return await submit(gateway(sandbox, kind, **options), request, http, deadline_s=0.5)


@pytest.mark.parametrize(("kind", "action"), ACTIONS)
async def test_each_action_is_taken_under_an_id_of_its_form_and_polled(
    start: Any, clock: Any, kind: str, action: str
) -> None:
    sandbox = await start({"tasks": RULES})
    taken = await send(sandbox, kind, action)
    assert isinstance(taken, Submitted)
    assert re.fullmatch(IDS[kind], taken.task_id)
    field = ADAPTERS[kind].callback_field
    (noted,) = sandbox.submitted(kind)
    assert noted.task_id == taken.task_id
    assert noted.fields == BODY | ({field: URL} if field else {})
    async with HttpTransport() as http:
        provider = Provider(gateway(sandbox, kind), http)
        assert isinstance(await provider.poll(taken.task_id), Pending)
        clock.pass_s(6)
        outcome = await provider.poll(taken.task_id)
    assert isinstance(outcome, Completed)
    is_text = outcome.result.clips[0].text is not None
    assert is_text is (action == "lyrics")


async def test_the_title_decides_as_an_id_would(start: Any) -> None:
    sandbox = await start({"tasks": RULES})
    taken = await send(sandbox, "suno", body=BODY | {"title": "demo-failure-7"})
    assert isinstance(taken, Submitted)
    async with HttpTransport() as http:
        assert isinstance(await Provider(gateway(sandbox, "suno"), http).poll(taken.task_id), Failed)


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
async def test_what_asks_for_nothing_and_a_wrong_key_are_refused(start: Any, kind: str) -> None:
    sandbox = await start({"tasks": RULES})
    assert isinstance(await send(sandbox, kind, body={"prompt": ""}), Refused)
    assert isinstance(await send(sandbox, kind, key="a-wrong-key"), Refused)
    assert sandbox.submitted() == []
    assert sandbox.task_records() == []


async def test_a_scenario_refuses_or_loses_the_answer_of_what_was_taken(start: Any) -> None:
    answers = [
        {"status": 403, "body": "{}", "times": 1},
        {"reset": True, "times": 1},
        {"hang": True, "times": 1},
    ]
    sandbox = await start({"tasks": RULES, "submissions": [{"kind": "suno", "answers": answers}]})
    results = [type(await send(sandbox, "suno")) for _ in range(4)]
    assert results == [Refused, Unclear, Unclear, Submitted]
    assert len(sandbox.submitted("suno")) == 3


async def test_a_path_that_no_action_has_is_refused(start: Any, client: aiohttp.ClientSession) -> None:
    sandbox = await start({"tasks": RULES})
    async with client.post(f"{sandbox.base_url('suno')}/suno/submit/video", json=BODY) as response:
        assert response.status == 400
    assert sandbox.submitted() == []
