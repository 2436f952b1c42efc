import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.tasks import KEY, NOW_MS, clip, completed, ended

from tunehook.events import (
    EVENT_MODELS,
    ClipDetail,
    TaskArchived,
    TaskCompleted,
    TaskFailed,
    event_id_of,
    size_of,
    task_ended,
)
from tunehook.tasks import Failure, FailureCode, Status, TaskEnd, TaskKey

# As documented, and not imported: a bound that moves is to be noticed.
DETAIL_MAX_BYTES = 200_000

FAILED = TaskEnd(
    status=Status.FAILED,
    detected_at_ms=NOW_MS + 5,
    submitted_at_ms=NOW_MS,
    failure=Failure(FailureCode.PROVIDER_FAILED, "all platforms unavailable"),
)


def written(event: Any) -> dict[str, Any]:
    return json.loads(event.model_dump_json())


def test_a_completed_task_makes_taskcompleted_with_all_that_is_known() -> None:
    event = task_ended(ended())
    assert isinstance(event, TaskCompleted)
    detail = written(event)
    assert (detail["task_id"], detail["provider"], detail["status"]) == ("task-1", "suno", "completed")
    assert detail["submitted_at"] == "2027-01-15T07:59:59.500Z"
    assert detail["finished_at"] == "2027-01-15T08:00:58.000Z"
    assert detail["detected_at"] == "2027-01-15T08:01:00.000Z"
    assert detail["metadata"] == {"order": 7}
    assert [each["clip_id"] for each in detail["clips"]] == ["clip-1", "clip-2"]
    assert detail["clips"][0]["created_at"] == "2026-11-20T16:01:57.123Z"
    assert (detail["version"], detail["truncated"]) == ("1", False)


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
def test_any_other_end_makes_taskfailed_with_a_code_and_a_reason(status: Status) -> None:
    end = TaskEnd(status=status, detected_at_ms=NOW_MS, submitted_at_ms=NOW_MS, failure=FAILED.failure)
    event = task_ended(ended(end=end))
    assert isinstance(event, TaskFailed)
    assert written(event)["status"] == status.value
    assert written(event)["failure"] == {"code": "provider_failed", "reason": "all platforms unavailable"}


def test_the_same_run_always_makes_the_same_event() -> None:
    assert task_ended(ended()).model_dump_json() == task_ended(ended()).model_dump_json()


def test_the_event_id_tells_runs_and_ends_apart() -> None:
    events = [
        task_ended(ended()),
        task_ended(ended(since_ms=NOW_MS + 1)),
        task_ended(ended(end=FAILED)),
        task_ended(ended(key=type(KEY)("task-1", "other"))),
    ]
    assert len({event.event_id for event in events}) == 4


def test_prompts_are_left_out_where_the_event_would_be_too_long() -> None:
    clips = tuple(clip(f"clip-{number}", prompt="歌" * 40_000) for number in range(2))
    event = task_ended(ended(end=completed(clips=clips)))
    assert size_of(event) <= DETAIL_MAX_BYTES
    assert event.truncated
    assert [each.prompt for each in event.clips] == [None, None]
    assert event.clips[0].title == "我的曲目"


def test_clips_are_left_out_where_that_is_not_enough() -> None:
    clips = tuple(clip(f"clip-{number}", title="t" * 50_000) for number in range(5))
    event = task_ended(ended(end=completed(clips=clips)))
    assert size_of(event) <= DETAIL_MAX_BYTES
    assert (event.truncated, event.clips) == (True, ())


def test_an_event_that_fits_is_not_cut() -> None:
    event = task_ended(ended(end=completed(clips=(clip(prompt="x" * 190_000),))))
    assert not event.truncated
    assert event.clips[0].prompt is not None


def test_an_event_tells_what_the_provider_layer_has_cut_already() -> None:
    assert task_ended(ended(end=completed(truncated=True))).truncated


def test_a_clip_survives_its_event() -> None:
    original = clip(duration_s=None, video_url="https://cdn.example.com/1.mp4")
    detail = ClipDetail.model_validate(original).model_dump_json()
    assert ClipDetail.model_validate_json(detail).to_clip() == original


def test_an_event_is_measured_in_bytes() -> None:
    event = task_ended(ended())
    assert size_of(event) == len(event.model_dump_json().encode()) > len(event.model_dump_json())


def test_metadata_with_any_number_that_dynamodb_holds_can_be_written() -> None:
    event = task_ended(ended(metadata={"large": 10**125, "small": 1e-130}))
    assert written(event)["metadata"] == {"large": 10**125, "small": 1e-130}


@pytest.mark.parametrize("name", ["submitted_at", "finished_at", "detected_at"])
@pytest.mark.parametrize(
    "moment",
    ["2026-11-20T16:00:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "yesterday"],
)
def test_what_cannot_be_written_as_a_moment_of_utc_is_refused(name: str, moment: str) -> None:
    with pytest.raises(ValidationError) as refused:
        TaskCompleted.model_validate(written(task_ended(ended())) | {name: moment})
    assert refused.value.errors()[0]["loc"] == (name,)


def test_a_moment_of_another_zone_is_the_same_in_utc() -> None:
    detail = written(task_ended(ended())) | {"detected_at": "2026-11-20T16:00:00+08:00"}
    event = TaskCompleted.model_validate(detail)
    assert event.detected_at == datetime(2026, 11, 20, 8, tzinfo=UTC)
    assert written(event)["detected_at"] == "2026-11-20T08:00:00.000Z"


@pytest.mark.parametrize(("name", "longest"), [("task_id", 2_048), ("provider", 1_024)])
def test_an_event_is_about_a_task_that_a_table_can_hold(name: str, longest: int) -> None:
    detail = written(task_ended(ended()))
    assert TaskCompleted.model_validate(detail | {name: "x" * longest})
    for text in ("", "x" * (longest + 1)):
        with pytest.raises(ValidationError):
            TaskCompleted.model_validate(detail | {name: text})


def test_an_event_of_exactly_the_largest_size_is_not_cut() -> None:
    room = DETAIL_MAX_BYTES - size_of(task_ended(ended(end=completed(clips=(clip(prompt="x"),)))))
    for more, truncated in ((0, False), (1, True)):
        event = task_ended(ended(end=completed(clips=(clip(prompt="x" * (1 + room + more)),))))
        assert event.truncated is truncated


def test_every_event_of_the_contract_has_its_model() -> None:
    assert set(EVENT_MODELS) == {
        "TaskCompleted",
        "TaskFailed",
        "TaskArchived",
        "SubscriptionFailing",
        "SubscriptionDisabled",
        "ProviderUnauthorised",
        "DeadLettersFound",
    }


def test_what_says_nothing_of_it_is_not_cut() -> None:
    fields = [model.model_fields["truncated"] for model in (TaskCompleted, TaskFailed, TaskArchived)]
    assert [field.default for field in fields] == [False] * 3


def test_an_event_is_named_after_its_kind_its_task_and_its_run() -> None:
    names = {
        event_id_of(TaskKey(task_id, provider), status, run_ms)
        for status in (Status.COMPLETED, Status.FAILED)
        for provider in ("a", "b")
        for task_id in ("1", "2")
        for run_ms in (1, 2)
    }
    assert len(names) == 16
    assert all(name.startswith("evt_") and len(name) == 36 for name in names)


def test_an_output_is_told_with_its_link_and_comes_back_as_it_was() -> None:
    output = clip("out-1", audio_url=None, cover_url=None, image_url="https://h/a.png", is_output=True)
    event = task_ended(ended(end=completed(clips=(output,))))
    (told,) = json.loads(event.model_dump_json())["clips"]
    assert (told["image_url"], told["is_output"], "file_url" in told) == ("https://h/a.png", True, False)
    assert TaskCompleted.model_validate_json(event.model_dump_json()).clips[0].to_clip() == output


def test_the_event_of_a_song_says_nothing_of_outputs() -> None:
    (told, _) = json.loads(task_ended(ended()).model_dump_json())["clips"]
    assert not {"image_url", "file_url", "is_output"} & told.keys()
    assert TaskCompleted.model_validate_json(task_ended(ended()).model_dump_json()) == task_ended(ended())
