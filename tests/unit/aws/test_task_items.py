import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from tests.support.tasks import KEY, NOW_MS, clip, completed

from tunehook.aws.task_items import (
    details_of,
    end_to_items,
    ended_task,
    note_to_item,
    pending_task,
    progress_on,
    with_details,
)
from tunehook.clips import Clip
from tunehook.errors import InvalidInput
from tunehook.events import task_ended
from tunehook.tasks import FailureCode, ProgressTold, Status, TaskKey
from tunehook.times import from_ms

PLACE: dict[str, Any] = {
    "task_id": KEY.task_id,
    "provider": KEY.provider,
    "queue": "work#0",
    "since_ms": NOW_MS,
}
FAILED: dict[str, Any] = PLACE | {
    "status": "failed",
    "submitted_at_ms": NOW_MS,
    "detected_at_ms": NOW_MS + 5,
    "failure": {"code": "timed_out", "reason": "not ended within 60 s"},
}


@pytest.mark.parametrize("name", ["since_ms", "deadline_ms", "submitted_at_ms"])
@pytest.mark.parametrize("value", [-1, 253_402_300_800_000, 10**30, 1.5, "1800000000000", None, True])
def test_what_is_no_moment_makes_an_item_of_the_index_unreadable(name: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        pending_task(PLACE | {name: value})
    assert refused.value.field == name


@pytest.mark.parametrize("name", ["not_found_count", "empty_count"])
@pytest.mark.parametrize("value", [-1, 10**38, 0.5, "1"])
def test_what_is_no_count_makes_an_item_of_the_index_unreadable(name: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        pending_task(PLACE | {name: value})
    assert refused.value.field == name


GOOD_TROUBLE = {"kind": "x", "count": 1, "since_ms": NOW_MS}
GOOD_SUSPICION = {"evidence": "word", "count": 1, "since_ms": NOW_MS, "at_ms": NOW_MS}


@pytest.mark.parametrize(
    ("spoilt", "field"),
    [
        ({"streaming_since_ms": "x"}, "streaming_since_ms"),
        ({"streaming_since_ms": None}, "streaming_since_ms"),
        ({"trouble": "x"}, "trouble"),
        ({"trouble": {}}, "since_ms"),
        ({"trouble": GOOD_TROUBLE | {"kind": 7}}, "kind"),
        ({"trouble": GOOD_TROUBLE | {"count": -1}}, "count"),
        ({"trouble": GOOD_TROUBLE | {"since_ms": 10**30}}, "since_ms"),
        ({"trouble": GOOD_TROUBLE | {"told": True}}, "told"),
        ({"suspicion": [1]}, "suspicion"),
        ({"suspicion": {}}, "since_ms"),
        ({"suspicion": GOOD_SUSPICION | {"at_ms": "x"}}, "at_ms"),
        ({"suspicion": GOOD_SUSPICION | {"evidence": 1}}, "evidence"),
    ],
)
def test_what_tunehook_never_notes_makes_an_item_of_the_index_unreadable(
    spoilt: dict[str, Any], field: str
) -> None:
    assert pending_task(PLACE | {"trouble": GOOD_TROUBLE, "suspicion": GOOD_SUSPICION})
    with pytest.raises(InvalidInput) as refused:
        pending_task(PLACE | spoilt)
    assert refused.value.field == field


def test_an_end_is_read_as_it_was_written() -> None:
    end = ended_task(pending_task(FAILED), FAILED).end
    assert (end.status, end.failure and end.failure.code) == (Status.FAILED, FailureCode.TIMED_OUT)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"detected_at_ms": 10**30},
        {"detected_at_ms": "x"},
        {"submitted_at_ms": -(10**15)},
        {"finished_at_ms": 10**30},
        {"status": "pending"},
        {"status": {"a": 1}},
        {"failure": None},
        {"failure": {"code": "timed_out", "reason": 7}},
        {"failure": {"code": "of no kind", "reason": "x"}},
        {"clips": [{}]},
        {"clips": [{"clip_id": "c", "title": 7}]},
        {"clips": [{"clip_id": "c", "created_at_ms": 10**30}]},
        {"clips": 7},
        {"truncated": "maybe"},
        {"task_id": "\ud800"},
    ],
)
def test_an_end_that_no_event_can_tell_of_is_refused_before_it_meets_others(spoilt: dict[str, Any]) -> None:
    task = pending_task(FAILED | {"task_id": spoilt.get("task_id", KEY.task_id)})
    with pytest.raises(InvalidInput) as refused:
        ended_task(task, FAILED | spoilt)
    assert refused.value.field == "item"


def test_the_words_about_a_spoilt_end_quote_no_value() -> None:
    spoilt = FAILED | {"clips": [{"clip_id": "c", "title": ["a secret"]}]}
    with pytest.raises(InvalidInput) as refused:
        ended_task(pending_task(FAILED), spoilt)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("metadata", [{"half": "\ud800"}, {"\udfff": 1}, {"deep": [{"half": "x\udc00"}]}])
def test_metadata_with_half_a_surrogate_pair_is_not_told(metadata: dict[str, Any]) -> None:
    ended = ended_task(pending_task(FAILED), FAILED | {"metadata": metadata})
    assert task_ended(ended).metadata == {}


@pytest.mark.parametrize("name", ["not_found_count", "empty_count"])
def test_a_count_goes_up_to_a_million(name: str) -> None:
    assert getattr(pending_task(PLACE | {name: 1_000_000}), name) == 1_000_000
    assert getattr(pending_task(PLACE), name) == 0
    with pytest.raises(InvalidInput):
        pending_task(PLACE | {name: 1_000_001})
    for part, good in (("trouble", GOOD_TROUBLE), ("suspicion", GOOD_SUSPICION)):
        assert getattr(pending_task(PLACE | {part: good | {"count": 1_000_000}}), part).count == 1_000_000
        with pytest.raises(InvalidInput):
            pending_task(PLACE | {part: good | {"count": 1_000_001}})


def test_a_clip_on_an_item_is_read_with_all_that_it_has() -> None:
    noted = {
        "clip_id": "c",
        "title": "T",
        "tags": ["slow", "pop"],
        "inline": ["audio"],
        "duration_s": 87.4,
        "created_at_ms": NOW_MS,
        "expires_at_ms": NOW_MS + 1,
        "audio_url": "https://h/1",
    }
    (clip,) = ended_task(pending_task(FAILED), FAILED | {"clips": [noted]}).end.clips
    assert (clip.clip_id, clip.title, clip.tags, clip.inline) == ("c", "T", ("slow", "pop"), ("audio",))
    assert (clip.created_at, clip.expires_at) == (from_ms(NOW_MS), from_ms(NOW_MS + 1))
    assert (clip.duration_s, clip.audio_url, clip.prompt) == (87.4, "https://h/1", None)
    (bare,) = ended_task(pending_task(FAILED), FAILED | {"clips": [{"clip_id": "c"}]}).end.clips
    assert (bare.tags, bare.inline, bare.created_at, bare.expires_at) == ((), (), None, None)


def test_what_a_task_has_learnt_is_read_as_it_was_noted() -> None:
    task = pending_task(PLACE | {"trouble": GOOD_TROUBLE | {"told": "y"}, "suspicion": GOOD_SUSPICION})
    noted = {name: note_to_item(getattr(task, name)) for name in ("trouble", "suspicion")}
    assert noted == {"trouble": GOOD_TROUBLE | {"told": "y"}, "suspicion": GOOD_SUSPICION}
    untold = pending_task(PLACE | {"trouble": GOOD_TROUBLE})
    assert note_to_item(untold.trouble) == GOOD_TROUBLE
    assert untold.trouble is not None
    assert untold.trouble.is_kept
    assert note_to_item("processing") == "processing"


@pytest.mark.parametrize(("part", "good"), [("trouble", GOOD_TROUBLE), ("suspicion", GOOD_SUSPICION)])
def test_what_was_noted_without_a_count_was_seen_no_time(part: str, good: dict[str, Any]) -> None:
    noted = {name: value for name, value in good.items() if name != "count"}
    assert getattr(pending_task(PLACE | {part: noted}), part).count == 0


def test_an_output_comes_back_from_the_item_as_it_was() -> None:
    task = pending_task(PLACE)
    output = clip("a", audio_url=None, cover_url=None, image_url="https://h/a.png", is_output=True)
    item = with_details(*end_to_items(task, completed(clips=(output, clip("b")))))
    assert ["is_output" in each for each in item["clips"]] == [True, False]
    assert ended_task(task, item).end.clips == (output, clip("b"))


def test_what_a_clip_does_not_have_is_not_on_the_item() -> None:
    fields: dict[str, Any] = dict.fromkeys(Clip.__slots__) | {"clip_id": "c", "tags": (), "inline": ()}
    fields["is_output"] = False
    item = with_details(*end_to_items(pending_task(PLACE), completed(clips=(Clip(**fields),))))
    assert [
        {name: each for name, each in clip.items() if each not in ((), [])} for clip in item["clips"]
    ] == [{"clip_id": "c"}]


def test_details_are_on_an_item_of_their_own_and_nothing_else_is() -> None:
    end = completed(clips=(clip("a", title="长歌"), clip("b")))
    values, details = end_to_items(pending_task(PLACE), end)
    assert details is not None
    item = PLACE | values
    assert details_of(item) == TaskKey(KEY.task_id, details["provider"])
    assert not {"clips", "provider_object"} & values.keys()
    # Commands of earlier versions leave out what is parked, and intake what has a status.
    assert (details["parked"], details["status"]) == (True, "details")
    assert details["expires_at"] > values["expires_at"]
    assert ended_task(pending_task(PLACE), with_details(item, details)).end == end


def test_an_end_without_details_has_no_other_item() -> None:
    values, details = end_to_items(pending_task(PLACE), completed(clips=(), provider_object=None))
    assert (details, details_of(PLACE | values)) == (None, None)


def test_details_of_an_earlier_version_are_on_the_item_itself() -> None:
    assert details_of(PLACE | {"clips": [{"clip_id": "c"}], "provider_object": "{}"}) is None


@pytest.mark.parametrize(
    "key", ["suno", "suno#1800000000000", "#end#1", "suno#end#", "suno#end#1x", 7, b"x", "x" * 70 + "#end#1"]
)
def test_a_key_that_tunehook_does_not_write_is_not_looked_for(key: object) -> None:
    assert details_of(PLACE | {"details": key}) is None


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"content": "text"},
        {"content": b"no zlib"},
        {"content": zlib.compress(b"[1")},
        {"content": zlib.compress(b"7")},
    ],
)
def test_details_that_are_gone_or_spoilt_are_said_to_be_missing(found: Any) -> None:
    assert with_details(PLACE, found) == PLACE | {"truncated": True}


def test_what_unpacks_to_far_more_than_tunehook_writes_is_spoilt() -> None:
    bomb = zlib.compress(b'{"clips": [' + b" " * 5_000_000 + b"]}")
    assert with_details(PLACE, {"content": bomb})["truncated"] is True


def test_details_expire_a_week_after_the_task_which_is_kept_for_90_days() -> None:
    end = replace(completed(), detected_at_ms=NOW_MS + 999)
    values, details = end_to_items(pending_task(PLACE), end)
    assert details is not None
    assert values["expires_at"] == NOW_MS // 1000 + 90 * 24 * 3600
    assert details["expires_at"] == values["expires_at"] + 7 * 24 * 3600


@pytest.mark.parametrize(("more", "has_prompt"), [(0, True), (1, False)])
def test_of_an_end_of_more_than_350_kb_the_prompts_are_left_out(more: int, has_prompt: bool) -> None:
    task, clips = pending_task(PLACE), (clip("a", prompt="ein Lied für zwei"),)
    item = with_details(*end_to_items(task, completed(clips=clips, provider_object=None)))
    room = 350_000 - len(json.dumps(item["clips"], ensure_ascii=False).encode())
    item = with_details(*end_to_items(task, completed(clips=clips, provider_object="x" * (room + more))))
    assert ("prompt" in item["clips"][0]) is has_prompt


@pytest.mark.parametrize(("more", "is_spoilt"), [(0, False), (1, True)])
def test_details_have_4_mb_at_most(more: int, is_spoilt: bool) -> None:
    content = b'{"clips": [' + b" " * (4_000_000 + more - 13) + b"]}"
    assert with_details(PLACE, {"content": zlib.compress(content)}).get("truncated", False) is is_spoilt


TOLD: dict[str, Any] = {"number": 2, "at_ms": NOW_MS, "phase": "queued", "has_clip": True}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"number": 1},
        {"number": 1_000_000},
        {"at_ms": 0},
        {"at_ms": 253_402_300_799_999},
        {"has_clip": False},
    ],
)
def test_what_was_told_of_progress_is_read_as_it_was_noted(change: dict[str, Any]) -> None:
    assert progress_on({"progress_told": TOLD | change}) == ProgressTold(**TOLD | change)


@pytest.mark.parametrize(
    "told",
    [
        None,
        "x",
        TOLD | {"number": 0},
        TOLD | {"number": 1_000_001},
        TOLD | {"number": None},
        TOLD | {"at_ms": -1},
        TOLD | {"at_ms": 253_402_300_800_000},
        TOLD | {"phase": 7},
    ],
)
def test_what_tunehook_cannot_have_told_of_progress_is_nothing(told: Any) -> None:
    assert progress_on({"progress_told": told}) is None
    assert progress_on({}) is None


def test_whether_a_clip_was_told_of_is_true_or_not() -> None:
    read = progress_on({"progress_told": TOLD | {"has_clip": 1}})
    assert read is not None
    assert read.has_clip is False
