"""What answers say already of tasks that have not ended: read where somebody asks, and the clips with their links."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tunehook.providers.adapter import Answer, Screening
from tunehook.providers.kinds import musicmint, piapi, qhaigc, suno, sunoapi
from tunehook.providers.outcomes import Pending
from tunehook.providers.results import file_link, percentage, stream_link

ADAPTERS = {
    "suno": suno.ADAPTER,
    "qhaigc": qhaigc.ADAPTER,
    "musicmint": musicmint.ADAPTER,
    "piapi": piapi.ADAPTER,
    "sunoapi": sunoapi.ADAPTER,
}
STREAM = "https://audiopipe.suno.ai/?item_id=c1"
FILE = "https://cdn.example.com/c1.mp3"


def read(kind: str, document: dict[str, Any]) -> Pending:
    outcome = ADAPTERS[kind].read(Answer(200, {}, json.dumps(document).encode()))
    assert isinstance(outcome, Pending)
    return outcome


def gateway(**task: Any) -> dict[str, Any]:
    return {"code": "success", "data": {"task_id": "t", "status": "IN_PROGRESS", "progress": "30%", **task}}


@pytest.mark.parametrize(
    ("kind", "document", "links"),
    [
        ("suno", gateway(data=[{"id": "c1", "state": "streaming", "audio_url": STREAM}]), (STREAM, None)),
        ("suno", gateway(data=[{"id": "c1", "audio_url": FILE}]), (None, FILE)),
        ("qhaigc", gateway(data=[{"id": "c1", "streamAudioUrl": STREAM}]), (STREAM, None)),
        (
            "musicmint",
            {
                "code": 0,
                "data": {"id": "t", "status": "processing", "results": [{"id": "c1", "audio_url": FILE}]},
            },
            (None, FILE),
        ),
        (
            "piapi",
            {
                "code": 200,
                "data": {
                    "task_id": "t",
                    "status": "processing",
                    "output": {"songs": [{"id": "c1", "song_path": FILE}]},
                },
            },
            (None, FILE),
        ),
        (
            "sunoapi",
            {
                "code": 200,
                "data": {
                    "taskId": "t",
                    "status": "FIRST_SUCCESS",
                    "response": {"sunoData": [{"id": "c1", "streamAudioUrl": STREAM, "audioUrl": FILE}]},
                },
            },
            (STREAM, FILE),
        ),
    ],
)
def test_the_links_of_a_clip_that_comes_early(
    kind: str, document: dict[str, Any], links: tuple[str | None, str | None]
) -> None:
    outcome = read(kind, document)
    assert outcome.may_have_clips
    assert outcome.read is not None
    (clip,) = outcome.read().clips
    assert (stream_link(clip), file_link(clip)) == links


def test_a_list_of_musicmint_has_a_clip_where_it_says_more_than_its_documents() -> None:
    told = {"id": "t", "status": 1, "results": [{"id": "c1", "audio_url": FILE}]}
    document = {"code": 0, "data": {"items": [told, {"id": "u", "status": "processing"}]}}
    screened = musicmint.ADAPTER.read_many(Answer(200, {}, json.dumps(document).encode()))
    assert isinstance(screened, Screening)
    streams, waits = screened.found["t"], screened.found["u"]
    assert streams is not None
    assert streams.may_have_clips
    assert streams.read is not None
    assert list(map(file_link, streams.read().clips)) == [FILE]
    assert waits is not None
    assert (waits.may_have_clips, waits.read) == (False, None)


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("suno", gateway(data=None)),
        ("suno", gateway(data=[], result_url="")),
        ("musicmint", {"code": 0, "data": {"id": "t", "status": "queuing", "results": None}}),
        ("piapi", {"code": 200, "data": {"task_id": "t", "status": "pending", "output": None}}),
        ("sunoapi", {"code": 200, "data": {"taskId": "t", "status": "PENDING", "response": None}}),
    ],
)
def test_where_no_clip_can_be_none_is_looked_for(kind: str, document: dict[str, Any]) -> None:
    outcome = read(kind, document)
    assert not outcome.may_have_clips
    assert outcome.read is not None
    result = outcome.read()
    assert result.clips == ()
    assert result.provider_object == document["data"]


def test_an_answer_without_a_task_says_nothing_more() -> None:
    assert read("suno", {"code": "success", "data": None}).read is None


def test_how_far_it_is_says_nothing_of_how_it_stands() -> None:
    one, other = read("suno", gateway(progress="30%")), read("suno", gateway(progress="60%"))
    assert one == other
    assert one.read is not None
    assert percentage(one.read().provider_object) == 30


@pytest.mark.parametrize(
    ("said", "percent"),
    [
        ("30%", 30),
        (" 99.6 % ", 99),
        ("100%", 100),
        (42, 42),
        (0, 0),
        (0.4, None),
        ("", None),
        (None, None),
        (True, None),
        ("soon", None),
        (101, None),
        (-1, None),
        ("1e999", None),
    ],
)
def test_progress_is_whole_per_cent(said: object, percent: int | None) -> None:
    assert percentage({"progress": said}) == percent


def test_a_link_that_stands_where_there_is_no_file_is_none() -> None:
    outcome = read("suno", gateway(data=[{"id": "c1", "audio_url": "https://cdn.example.com/api/forbidden"}]))
    assert outcome.read is not None
    (clip,) = outcome.read().clips
    assert file_link(clip) is None
