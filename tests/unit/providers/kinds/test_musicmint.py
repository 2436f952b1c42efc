from __future__ import annotations

import json
from typing import Any

import pytest

from tunehook.providers.adapter import Answer, Screening
from tunehook.providers.kinds import ADAPTERS
from tunehook.providers.outcomes import (
    Completed,
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    Transient,
    Unauthorised,
)

CLIP = {"id": "c", "audio_url": "https://h/1.mp3", "tags": "slow pop"}


def read(payload: Any, status: int = 200) -> Outcome:
    return ADAPTERS["musicmint"].read(Answer(status, {}, json.dumps(payload).encode()))


def ended(**task: Any) -> Any:
    return read({"code": 0, "data": {"id": "t", **task}})


def listed(*tasks: Any) -> Any:
    return ADAPTERS["musicmint"].read_many(
        Answer(200, {}, json.dumps({"code": 0, "data": {"items": tasks}}).encode())
    )


@pytest.mark.parametrize(
    ("payload", "status", "outcome"),
    [
        *[
            ({"code": code, "message": "no"}, 200, Unauthorised(f"HTTP 200: {code} no"))
            for code in (1003, 1004)
        ],
        *[({"code": code, "message": "no"}, 200, NotFound(f"HTTP 200: {code} no")) for code in (4004, 4005)],
        ({"code": 7, "message": "no", "request_id": "r"}, 404, NotFound("HTTP 404: 7 no")),
        ({"code": 7, "message": "no"}, 404, Transient("HTTP 404: 7 no")),
        ({"code": 7, "message": "no", "request_id": "r"}, 400, Transient("HTTP 400: 7 no")),
        ({"code": 7, "message": "no", "request_id": 1}, 404, Transient("HTTP 404: 7 no")),
        ({"code": 7, "message": "no such task"}, 499, NotFound("HTTP 499: 7 no such task")),
        ({"code": 7, "message": "no such task"}, 500, Transient("HTTP 500: 7 no such task")),
        ({"code": 0}, 200, Pending("queued", "")),
        ({"code": 0}, 299, Pending("queued", "")),
        ({"code": 0}, 300, Transient("HTTP 300: 0")),
        ({"code": 0, "data": 7}, 200, Transient("HTTP 200: 0 (not the expected envelope)")),
        ({"code": "0"}, 200, Transient("HTTP 200: 0 (not the expected envelope)")),
        ({"code": 0, "data": '{"status": "processing"}'}, 200, Pending("processing", "processing")),
        ({"code": 0, "data": {"status": "queuing"}}, 200, Pending("queued", "queuing")),
        ({"code": 0, "data": {"status": "odd"}}, 200, Pending("processing", "odd", known=False)),
    ],
)
def test_its_own_code_decides_before_the_status(payload: Any, status: int, outcome: Outcome) -> None:
    assert read(payload, status) == outcome


@pytest.mark.parametrize("results", [[CLIP], json.dumps([CLIP]), {"k": {**CLIP, "id": "c"}, "size": 3}])
def test_the_clips_of_a_task_come_as_a_list_a_map_or_their_json(results: Any) -> None:
    outcome = ended(status="completed", results=results, created_at=1733717599)
    assert isinstance(outcome, Completed)
    (clip,) = outcome.result.clips
    assert (clip.clip_id, clip.audio_url, clip.tags) == ("c", "https://h/1.mp3", ("slow", "pop"))
    assert outcome.result.submitted_at is not None
    assert not outcome.is_streaming


def test_a_map_names_its_clips_and_a_text_goes_by_its_task() -> None:
    named = ended(status="completed", results={"k": {"audio_url": "https://h/1.mp3"}})
    assert [clip.clip_id for clip in named.result.clips] == ["k"]
    text = ended(status="completed", results=[{"text": "la"}])
    assert [(clip.clip_id, clip.text) for clip in text.result.clips] == [("t", "la")]


def test_a_clip_that_streams_may_still_get_its_file() -> None:
    assert ended(status="completed", results=[{"id": "c", "stream_audio_url": "https://h/s"}]).is_streaming


@pytest.mark.parametrize("status", ["failed", "failure"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        *[({name: "because"}, "because") for name in ("error", "error_message", "fail_reason", "message")],
        *[({"error": {name: "because"}}, "because") for name in ("message", "msg")],
        *[({}, "the provider gave no reason"), ({"error": "x" * 2000}, "x" * 1000)],
    ],
)
def test_a_failure_tells_its_reason(status: str, error: dict[str, Any], reason: str) -> None:
    outcome = ended(status=status, **error)
    assert isinstance(outcome, Failed)
    assert outcome.reason == reason


@pytest.mark.parametrize(("error", "reason"), [({"error": "because"}, "because"), ({}, "upload_failed")])
def test_a_word_that_ends_like_a_failure_seems_to_be_one(error: dict[str, str], reason: str) -> None:
    outcome = ended(status="upload_failed", **error)
    assert isinstance(outcome, SeemsFailed)
    assert (outcome.reason, outcome.evidence) == (reason, "word")


@pytest.mark.parametrize(
    ("status", "found"),
    [
        *[(0, Pending("queued", "queuing")), (1, Pending("processing", "processing"))],
        *[("queuing", Pending("queued", "queuing")), ("processing", Pending("processing", "processing"))],
        *[
            (2, None),
            (3, None),
            ("completed", None),
            ("failed", None),
            ("", None),
            (None, None),
            ("odd", None),
        ],
    ],
)
def test_only_who_is_listed_as_pending_is_so(status: Any, found: Pending | None) -> None:
    assert listed({"id": "t", "status": status}, {"status": 0}, 7) == Screening({"t": found}, last=True)


@pytest.mark.parametrize(("count", "is_last"), [(99, True), (100, False)])
def test_a_page_that_is_not_full_is_the_last(count: int, is_last: bool) -> None:
    assert listed(*[{"id": str(number), "status": 0} for number in range(count)]).last is is_last


def test_an_id_is_read_up_to_512_characters() -> None:
    assert list(listed({"id": "x" * 600, "status": 0}).found) == ["x" * 512]


@pytest.mark.parametrize("data", [None, [], {"items": None}, {"items": {}}])
def test_a_page_without_a_list_is_none(data: Any) -> None:
    body = json.dumps({"code": 0, "data": data}).encode()
    assert isinstance(ADAPTERS["musicmint"].read_many(Answer(200, {}, body)), Transient)
