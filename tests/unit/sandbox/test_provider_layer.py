"""The real provider layer asks the sandbox: what the sandbox plays is what the layer understands."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from tunehook.http.transport import HttpTransport
from tunehook.providers.client import Provider
from tunehook.providers.config import parse_providers
from tunehook.providers.outcomes import Completed, Failed, Outcome, Pending, Throttled
from tunehook_local.sandbox import KINDS_SCENARIO, Sandbox

KINDS = ("musicmint", "qhaigc", "suno")
LIFE = [
    {"phase": "queued", "until_s": 2},
    {"phase": "processing", "until_s": 8},
    {"phase": "completed"},
]


@pytest.fixture
async def http() -> AsyncIterator[HttpTransport]:
    async with HttpTransport() as client:
        yield client


@pytest.fixture
def provider_of(http: HttpTransport) -> Callable[[Sandbox, str], Provider]:
    def make(sandbox: Sandbox, kind: str) -> Provider:
        return Provider(parse_providers(json.dumps(sandbox.providers_secret()))[kind], http)

    return make


def in_words(outcome: Outcome) -> str:
    """The name of an outcome, with the phase of one that is pending."""
    return getattr(outcome, "phase", outcome.name)


async def in_time_order(provider: Provider, clock: Any) -> list[str]:
    words = []
    for wait_s in (0, 2, 5.9, 0.1):
        clock.pass_s(wait_s)
        words.append(in_words(await provider.poll("song")))
    return words


@pytest.mark.parametrize("kind", KINDS)
async def test_a_task_goes_from_queued_to_completed(
    start: Any, clock: Any, provider_of: Any, kind: str
) -> None:
    sandbox = await start({"tasks": [{"answers": LIFE}]})
    assert await in_time_order(provider_of(sandbox, kind), clock) == [
        "queued",
        "processing",
        "processing",
        "completed",
    ]


@pytest.mark.parametrize(("kind", "clips"), [("musicmint", 1), ("qhaigc", 2), ("suno", 2)])
async def test_every_link_of_a_completed_task_leads_to_a_file(
    start: Any, client: Any, clock: Any, provider_of: Any, kind: str, clips: int
) -> None:
    sandbox = await start({"tasks": [{"video": True, "answers": [{"phase": "completed"}]}]})
    outcome = await provider_of(sandbox, kind).poll("song")
    assert isinstance(outcome, Completed)
    assert len(outcome.result.clips) == clips
    for clip in outcome.result.clips:
        assert clip.audio_url is not None
        assert clip.cover_url is not None
        assert (clip.video_url is not None) == (kind == "suno")
        links = (getattr(clip, name) for name in clip.__slots__ if name.endswith("_url"))
        for link in filter(None, links):
            async with client.get(link) as response:
                assert response.status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_the_times_of_a_task_are_understood(
    start: Any, clock: Any, provider_of: Any, kind: str
) -> None:
    sandbox = await start({"tasks": [{"answers": LIFE}]})
    submitted_at = clock()
    provider = provider_of(sandbox, kind)
    await provider.poll("song")
    clock.pass_s(10)
    outcome = await provider.poll("song")
    assert isinstance(outcome, Completed)
    assert abs((outcome.result.submitted_at - submitted_at).total_seconds()) < 1
    if kind != "musicmint":
        assert abs((outcome.result.finished_at - submitted_at).total_seconds() - 8) < 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failed_task_has_its_reason(start: Any, provider_of: Any, kind: str) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "failed", "reason": "too rude"}]}]})
    outcome = await provider_of(sandbox, kind).poll("song")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "too rude"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ({"phase": "not_found"}, "not_found"),
        ({"phase": "unauthorised"}, "unauthorised"),
        ({"phase": "completed", "clips": 0}, "completed_without_results"),
        ({"phase": "completed", "cut_after_bytes": 40}, "transient"),
        ({"phase": "completed", "reset": True}, "transient"),
        ({"status": 200, "headers": {"content-type": "text/html"}, "body": "<html></html>"}, "transient"),
        ({"status": 500}, "transient"),
        ({"status": 429}, "throttled"),
    ],
)
async def test_an_odd_answer_is_what_it_is_meant_to_be(
    start: Any, provider_of: Any, kind: str, answer: dict[str, Any], word: str
) -> None:
    sandbox = await start({"tasks": [{"answers": [answer]}]})
    assert in_words(await provider_of(sandbox, kind).poll("song")) == word


@pytest.mark.parametrize("kind", KINDS)
async def test_a_word_that_nobody_knows_is_pending(start: Any, provider_of: Any, kind: str) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "completed", "word": "Warming-Up"}]}]})
    outcome = await provider_of(sandbox, kind).poll("song")
    assert isinstance(outcome, Pending)
    assert (outcome.word, outcome.known) == ("Warming-Up", False)


async def test_a_throttled_answer_says_for_how_long(start: Any, provider_of: Any) -> None:
    answer = {"status": 429, "headers": {"Retry-After": "7"}}
    sandbox = await start({"tasks": [{"answers": [answer]}]})
    assert await provider_of(sandbox, "suno").poll("song") == Throttled(7.0, detail="HTTP 429")


@pytest.mark.parametrize("kind", KINDS)
async def test_many_tasks_are_understood_together(start: Any, provider_of: Any, kind: str) -> None:
    sandbox = await start(
        {
            "tasks": [
                {"task_id": "done", "answers": [{"phase": "completed"}]},
                {"task_id": "bad", "answers": [{"phase": "failed"}]},
                {"task_id": "odd", "answers": [{"status": 502}]},
                {"task_id": "new", "answers": [{"phase": "queued"}]},
            ]
        }
    )
    for task_id in ("done", "bad", "odd", "new"):
        sandbox.create_task(kind, task_id)
    asked = ["done", "bad", "odd", "new", "unknown"]
    outcomes = {
        task_id: in_words(outcome) async for task_id, outcome in provider_of(sandbox, kind).poll_many(asked)
    }
    assert outcomes == {
        "done": "completed",
        "bad": "failed",
        "odd": "transient",
        "new": "queued",
        "unknown": "not_found",
    }
    assert (
        sandbox.ledger.queries(kind)
        == {
            "musicmint": {"many": 1, "one": 4},
            "qhaigc": {"many": 0, "one": 5},
            "suno": {"many": 1, "one": 2},
        }[kind]
    )


async def test_a_gateway_without_the_query_of_many_is_asked_one_by_one(start: Any, provider_of: Any) -> None:
    sandbox = await start(
        {
            "tasks": [{"answers": [{"phase": "queued"}]}],
            "query_many": [{"kind": "suno", "answers": [{"status": 404, "body": "404 page not found"}]}],
        }
    )
    asked = provider_of(sandbox, "suno").poll_many(["a", "b"])
    assert {task_id: in_words(outcome) async for task_id, outcome in asked} == {"a": "queued", "b": "queued"}
    assert sandbox.ledger.queries("suno") == {"many": 1, "one": 2}


@pytest.mark.parametrize(
    ("task_id", "answers"),
    [
        ("lyrics", [(0, "processing"), (1, "completed")]),
        ("quota", [(0, "processing"), (5, "unauthorised"), (64, "unauthorised"), (65, "completed")]),
        ("failure", [(0, "processing"), (1, "completed")]),
        ("refused", [(0, "unauthorised"), (58, "unauthorised"), (59, "completed")]),
        ("m4a", [(0, "processing"), (1, "completed")]),
        ("signed", [(0, "processing"), (1, "completed")]),
    ],
)
async def test_the_scenario_of_the_kinds_plays_what_its_names_say(
    clock: Any, provider_of: Any, task_id: str, answers: list[tuple[int, str]]
) -> None:
    async with Sandbox(KINDS_SCENARIO, clock=clock) as sandbox:
        sandbox.create_task("suno", task_id)
        started, heard = clock(), []
        for at_s, _ in answers:
            clock.moment = started + timedelta(seconds=at_s)
            # Another each time: one whose key was refused asks no more for a while.
            heard.append((at_s, in_words(await provider_of(sandbox, "suno").poll(task_id))))
    assert heard == answers


async def test_a_lyrics_task_is_understood_as_its_text(start: Any, provider_of: Any) -> None:
    rule = {"lyrics": True, "song": {"title": "Rain", "prompt": "la la"}, "answers": [{"phase": "completed"}]}
    sandbox = await start({"tasks": [rule]})
    outcome = await provider_of(sandbox, "suno").poll("song")
    assert isinstance(outcome, Completed)
    assert [(clip.title, clip.text, clip.playable) for clip in outcome.result.clips] == [
        ("Rain", "la la", False)
    ]


async def test_what_is_the_gateways_own_business_is_not_passed_on(start: Any, provider_of: Any) -> None:
    sandbox = await start({"tasks": [{"answers": [{"phase": "completed"}]}]})
    outcome = await provider_of(sandbox, "suno").poll("song")
    own = {"user_id", "group", "channel_id", "quota", "username"}
    assert not own & outcome.result.provider_object.keys()
    assert outcome.result.provider_object.get("properties", {}).keys() <= {"input"}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_provider_echoes_of_a_submission_is_in_no_object_that_is_kept(
    start: Any, client: Any, provider_of: Any, kind: str
) -> None:
    sandbox = await start({"tasks": [{"callbacks": {"lost": True}, "answers": [{"phase": "completed"}]}]})
    path = {
        "suno": "/suno/submit/music",
        "qhaigc": "/v1/music/generations",
        "musicmint": "/api/v1/music/generate",
    }
    url = "https://x.example/v1/callbacks/my-gw/a-token-that-nobody-may-see"
    hook = {"endpoint": url, "secret": "a-secret-that-nobody-may-see"}
    body = {"task_id": "song", "config": {"webhook_config": hook}}
    async with client.post(sandbox.base_url(kind) + path[kind], json=body) as response:
        assert response.status == 200
    outcome = await provider_of(sandbox, kind).poll("song")
    assert isinstance(outcome, Completed)
    kept = outcome.result.provider_object
    assert kept["notify_hook"] == "https://x.example/***"
    assert kept["config"]["webhook_config"]["endpoint"] == "https://x.example/***"
    assert "nobody-may-see" not in repr(kept)
