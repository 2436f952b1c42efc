"""The sandbox as sunoapi.org and PiAPI: submitted, polled, failed, unknown and refused by their kinds."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.providers.support import config

from tunehook.http.transport import HttpTransport
from tunehook.providers.client import Provider
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import Completed, Failed, NotFound, Outcome, Pending, Unauthorised
from tunehook.providers.submission_answers import Refused, Submitted
from tunehook.providers.submit import SubmitResult, submit

URL = "http://127.0.0.1:9/v1/callbacks/gw/t0ken"
RULES = [
    {"task_id": "bad*", "answers": [{"phase": "failed", "reason": "too rude"}]},
    {"task_id": "gone*", "answers": [{"phase": "not_found"}]},
    {
        "task_id": "*",
        "answers": [
            {"phase": "queued", "until_s": 2},
            {"phase": "processing", "clips": 2, "until_s": 5},
            {"phase": "completed"},
        ],
    },
]
SONGS = {
    "sunoapi": {"prompt": "rain", "model": "V5"},
    "piapi": {"model": "music-u", "input": {"prompt": "rain"}},
}
KINDS = pytest.mark.parametrize("kind", sorted(SONGS))


def gateway(sandbox: Any, kind: str, key: str = "good-key") -> Any:
    return config(kind, base_url=f"{sandbox.url}/{kind}", api_key=key)


async def send(
    sandbox: Any, kind: str, body: dict[str, Any], *, url: str | None = URL, key: str = "good"
) -> SubmitResult:
    request = ADAPTERS[kind].submission("music", body, url)
    async with HttpTransport(max_connections=1) as http:
        return await submit(gateway(sandbox, kind, key), request, http, deadline_s=5)


async def poll(sandbox: Any, kind: str, task_id: str, key: str = "good-key") -> Outcome:
    async with HttpTransport() as http:
        return await Provider(gateway(sandbox, kind, key), http).poll(task_id)


@KINDS
async def test_what_is_submitted_is_made_in_the_words_of_the_kind(start: Any, clock: Any, kind: str) -> None:
    sandbox = await start({"tasks": RULES})
    taken = await send(sandbox, kind, SONGS[kind])
    assert isinstance(taken, Submitted)
    phases = []
    for seconds in (0, 3):
        clock.pass_s(seconds)
        outcome = await poll(sandbox, kind, taken.task_id)
        assert isinstance(outcome, Pending)
        assert outcome.known
        phases.append(outcome.phase)
    assert phases == ["queued", "processing"]
    clock.pass_s(3)
    outcome = await poll(sandbox, kind, taken.task_id)
    assert isinstance(outcome, Completed)
    assert not outcome.is_streaming
    assert [(bool(clip.audio_url), bool(clip.cover_url)) for clip in outcome.result.clips] == [
        (True, True)
    ] * 2


@KINDS
async def test_failures_unknown_ids_and_wrong_keys_are_told_as_the_vendor_tells_them(
    start: Any, kind: str
) -> None:
    sandbox = await start({"tasks": RULES})
    failed = await poll(sandbox, kind, "bad")
    assert isinstance(failed, Failed)
    assert failed.reason == "too rude"
    assert isinstance(await poll(sandbox, kind, "gone"), NotFound)
    assert isinstance(await poll(sandbox, kind, "song", key="a-wrong-key"), Unauthorised)
    assert isinstance(await send(sandbox, kind, SONGS[kind], key="a-wrong-key"), Refused)
    assert isinstance(await send(sandbox, kind, {"prompt": ""}), Refused)
    assert sandbox.submitted() == []


async def test_a_submission_to_sunoapi_without_a_callback_url_is_refused(start: Any) -> None:
    sandbox = await start({"tasks": RULES})
    refused = await send(sandbox, "sunoapi", SONGS["sunoapi"], url=None)
    assert refused == Refused(200, {"code": 422, "msg": "Please enter callBackUrl", "data": None})


async def test_piapi_repeats_the_secret_that_is_kept_nowhere(start: Any, clock: Any) -> None:
    sandbox = await start({"tasks": RULES})
    hook = {"webhook_config": {"endpoint": URL, "secret": "s3cr3t"}}
    taken = await send(sandbox, "piapi", SONGS["piapi"] | {"config": hook})
    assert isinstance(taken, Submitted)
    clock.pass_s(6)
    outcome = await poll(sandbox, "piapi", taken.task_id)
    assert isinstance(outcome, Completed)
    assert outcome.result.provider_object["config"] == {
        "webhook_config": {"endpoint": "http://127.0.0.1:9/***"}
    }
