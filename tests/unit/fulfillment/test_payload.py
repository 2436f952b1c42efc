import json
from typing import Any

import pytest
from tests.support.tasks import NOW_MS, clip, completed, ended

from fulfillment.payload import payload_of, progress_payload_of
from tunehook.events import (
    ArchivedAsset,
    ManifestLocation,
    PendingAsset,
    TaskCompleted,
    TaskFailed,
    task_ended,
)
from tunehook.fulfillment_requests import ProgressRequest
from tunehook.tasks import Failure, FailureCode, Format, Status, TaskEnd

MANIFEST = ManifestLocation(bucket="results", key="results/suno/task-1/manifest.json")
PROVIDER_OBJECT = {"task_id": "task-1", "status": "SUCCESS", "data": [{"title": "歌", "odd": None}]}
EVENT = task_ended(ended())
TIMED_OUT = task_ended(
    ended(
        end=TaskEnd(
            status=Status.FAILED,
            detected_at_ms=NOW_MS,
            submitted_at_ms=NOW_MS,
            failure=Failure(FailureCode.TIMED_OUT, "not ended within 3600 s"),
        )
    )
)


def asset(clip_id: str = "clip-1", **fields: Any) -> ArchivedAsset:
    values: dict[str, Any] = {
        "type": "audio",
        "source_url": "https://cdn.example.com/x",
        "status": "archived",
        "key": f"results/suno/task-1/{clip_id}/audio.mp3",
        "content_type": "audio/mpeg",
        "bytes": 7,
        "sha256": "00ff",
    }
    return ArchivedAsset(clip_id=clip_id, **values | fields)


def payload(
    format: Format = Format.STANDARD,  # noqa: A002 - the contract's own name for it
    event: TaskCompleted | TaskFailed = EVENT,
    provider_object: dict[str, Any] | None = PROVIDER_OBJECT,
    assets: tuple[ArchivedAsset, ...] = (),
) -> dict[str, Any]:
    return json.loads(payload_of(format, event, provider_object, assets, MANIFEST))


def test_the_standard_payload_is_the_data_of_a_webhook() -> None:
    data = payload()
    assert {name: data[name] for name in ("task_id", "provider", "status", "metadata", "truncated")} == {
        "task_id": "task-1",
        "provider": "suno",
        "status": "completed",
        "metadata": {"order": 7},
        "truncated": False,
    }
    assert data["detected_at"] == "2027-01-15T08:01:00.000Z"
    assert data["manifest"] == {"bucket": "results", "key": "results/suno/task-1/manifest.json"}
    assert data["failure"] is None


def test_the_payload_of_cloudevents_is_the_same_data() -> None:
    assert payload(Format.CLOUDEVENTS) == payload(Format.STANDARD)


def test_each_clip_has_its_own_assets() -> None:
    unavailable = asset("clip-2", status="unavailable", key=None, reason="HTTP 410")
    data = payload(assets=(asset("clip-1"), asset("clip-1", type="cover"), unavailable))
    first, second = data["clips"]
    assert [each["type"] for each in first["assets"]] == ["audio", "cover"]
    assert first["assets"][0]["key"] == "results/suno/task-1/clip-1/audio.mp3"
    assert (second["assets"][0]["status"], second["assets"][0]["reason"]) == ("unavailable", "HTTP 410")
    assert "key" not in second["assets"][0]


def test_links_of_the_provider_are_not_told() -> None:
    assert "cdn.example.com" not in json.dumps(payload(assets=(asset(),)))


def test_a_failed_task_is_told_with_code_and_reason() -> None:
    data = payload(event=TIMED_OUT)
    assert data["failure"] == {"code": "timed_out", "reason": "not ended within 3600 s"}


def test_the_providers_own_object_is_the_whole_payload_of_its_format() -> None:
    assert payload(Format.PROVIDER) == PROVIDER_OBJECT


def test_a_task_that_timed_out_is_told_in_the_providers_format_too() -> None:
    assert payload(Format.PROVIDER, TIMED_OUT, None) == {
        "task_id": "task-1",
        "status": "FAILURE",
        "fail_reason": "not ended within 3600 s",
        "progress": "100%",
        "data": [],
    }


def test_a_completed_task_whose_object_is_gone_is_no_failure() -> None:
    body = payload(Format.PROVIDER, EVENT, None)
    assert (body["status"], body["fail_reason"]) == ("SUCCESS", "")
    assert [each["id"] for each in body["data"]] == ["clip-1", "clip-2"]
    assert body["data"][0]["audio_url"] == "https://cdn.example.com/clip-1.mp3"
    assert body["data"][0]["tags"] == "流行, 欢快"


def test_without_its_first_link_a_clip_is_told_with_the_upstream_copy() -> None:
    upstream = clip(audio_url=None, audio_source_url="https://up.example.com/1.mp3")
    event = task_ended(ended(end=completed(clips=(upstream,))))
    (told,) = payload(Format.PROVIDER, event, None)["data"]
    assert told["audio_url"] == "https://up.example.com/1.mp3"


LYRICS = clip("lyrics-1", audio_url=None, cover_url=None, text="夏の雨")


def test_a_text_is_told_in_its_clip() -> None:
    (told,) = payload(event=task_ended(ended(end=completed(clips=(LYRICS,)))))["clips"]
    assert told["text"] == "夏の雨"


def test_a_clip_of_music_has_no_text() -> None:
    assert "text" not in payload()["clips"][0]


def test_a_lyrics_task_whose_object_is_gone_is_told_as_a_gateway_does() -> None:
    body = payload(Format.PROVIDER, task_ended(ended(end=completed(clips=(LYRICS,)))), None)
    assert body["data"] == {
        "id": "lyrics-1",
        "title": LYRICS.title,
        "text": "夏の雨",
        "status": "complete",
    }


def test_an_unrecognised_file_is_told_with_its_remark() -> None:
    data = payload(assets=(asset(remark="unrecognised"), asset("clip-2")))
    first, second = (each["assets"][0] for each in data["clips"])
    assert first["remark"] == "unrecognised"
    assert "remark" not in second


@pytest.mark.parametrize("form", Format)
def test_a_payload_is_compact_and_not_escaped(form: Format) -> None:
    text = payload_of(form, EVENT, PROVIDER_OBJECT, (), MANIFEST)
    assert '": ' not in text
    assert "\\u" not in text


def test_what_is_too_long_is_told_without_its_texts_and_at_worst_without_its_clips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = payload_of(Format.STANDARD, EVENT, None, (), MANIFEST)
    for most, clips, prompt in (
        (len(whole.encode()), 2, True),
        (len(whole.encode()) - 1, 2, False),
        (500, 0, False),
    ):
        monkeypatch.setattr("fulfillment.payload.PAYLOAD_MAX_BYTES", most)
        told = payload()
        assert (len(told["clips"]), told["truncated"]) == (clips, not prompt)
        assert any(clip["prompt"] for clip in told["clips"]) is prompt


@pytest.mark.parametrize(("size", "clips"), [(300_000, 2), (300_001, 0)])
def test_a_payload_has_300_kb_at_most(size: int, clips: int) -> None:
    def sized(filler: str) -> Any:
        bare = EVENT.model_copy(
            update={"clips": tuple(each.model_copy(update={"prompt": None}) for each in EVENT.clips)}
        )
        return bare.model_copy(update={"metadata": {"x": filler}, "truncated": True})

    room = size - len(payload_of(Format.STANDARD, sized(""), None, (), MANIFEST).encode())
    told = payload_of(Format.STANDARD, sized("x" * room), None, (), MANIFEST)
    assert len(json.loads(told)["clips"]) == clips


def test_a_text_that_is_too_long_is_left_out_of_its_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    event = task_ended(ended(end=completed(clips=(LYRICS,))))
    monkeypatch.setattr(
        "fulfillment.payload.PAYLOAD_MAX_BYTES",
        len(payload_of(Format.STANDARD, event, None, (), MANIFEST).encode()) - 1,
    )
    (told,) = payload(event=event)["clips"]
    assert (told["clip_id"], "text" in told) == (LYRICS.clip_id, False)


@pytest.mark.parametrize(
    ("phase", "progress", "status", "percent"),
    [("queued", None, "QUEUED", ""), ("queued", 0, "QUEUED", "0%"), ("processing", 60, "IN_PROGRESS", "60%")],
)
def test_progress_is_told_by_its_data_or_by_an_object_of_the_provider(
    phase: str, progress: int | None, status: str, percent: str
) -> None:
    asked = ProgressRequest(
        task_id="task-1",
        provider="suno",
        since_ms=NOW_MS,
        number=1,
        at_ms=NOW_MS,
        submitted_at_ms=NOW_MS,
        phase=phase,
        progress=progress,
    )
    data = {"task_id": "task-1", "title": "歌"}
    for form in (Format.STANDARD, Format.CLOUDEVENTS):
        assert progress_payload_of(form, asked, data) == '{"task_id":"task-1","title":"歌"}'
    assert json.loads(progress_payload_of(Format.PROVIDER, asked, data)) == {
        "task_id": "task-1",
        "status": status,
        "fail_reason": "",
        "progress": percent,
        "data": [],
    }
    whole = asked.model_copy(update={"provider_object": '{"status": "its own"}'})
    assert progress_payload_of(Format.PROVIDER, whole, data) == '{"status": "its own"}'


def test_a_file_that_may_still_come_is_told_with_the_providers_link() -> None:
    waited = PendingAsset(clip_id="clip-1", type="audio", source_url="https://up/1", reason="HTTP 404")
    data = payload(assets=(waited, asset("clip-2")))  # type: ignore[arg-type]
    first, second = (each["assets"][0] for each in data["clips"])
    assert first == {"type": "audio", "status": "pending", "reason": "HTTP 404", "source_url": "https://up/1"}
    assert "source_url" not in second
    assert set(second) == {"type", "status", "key", "content_type", "bytes", "sha256"}
    assert data["archive"] == "pending"


def test_a_failure_whose_object_is_gone_is_told_as_a_gateway_does() -> None:
    body = payload(Format.PROVIDER, TIMED_OUT, None)
    assert body == {
        "task_id": "task-1",
        "status": "FAILURE",
        "fail_reason": "not ended within 3600 s",
        "progress": "100%",
        "data": [],
    }


def test_a_clip_is_told_with_all_that_a_gateway_has_of_it() -> None:
    only = clip(
        audio_url="https://h/1", cover_url=None, cover_source_url="https://h/c", video_url="https://h/v"
    )
    (told,) = payload(Format.PROVIDER, task_ended(ended(end=completed(clips=(only,)))), None)["data"]
    assert told == {
        "id": "clip-1",
        "title": "我的曲目",
        "tags": "流行, 欢快",
        "prompt": only.prompt,
        "duration": 87.4,
        "audio_url": "https://h/1",
        "image_url": "https://h/c",
        "video_url": "https://h/v",
    }
    (standard,) = payload(event=task_ended(ended(end=completed(clips=(only,)))))["clips"]
    assert set(standard) == {
        *("clip_id", "title", "tags", "duration_s", "prompt", "model", "created_at", "assets"),
    }


def test_in_a_gateways_form_the_link_of_a_file_goes_before_that_of_its_source() -> None:
    links = {
        name: f"https://h/{name}"
        for name in ("audio_url", "audio_source_url", "cover_url", "cover_source_url")
    }
    event = task_ended(ended(end=completed(clips=(clip(**links),))))
    (told,) = payload(Format.PROVIDER, event, None)["data"]
    assert (told["audio_url"], told["image_url"]) == ("https://h/audio_url", "https://h/cover_url")


@pytest.mark.parametrize("name", ["audio_url", "audio_source_url"])
def test_a_text_with_a_sound_is_a_clip_of_music_in_a_gateways_form(name: str) -> None:
    links = {"audio_url": None, "audio_source_url": None, name: "https://cdn.example.com/x"}
    event = task_ended(ended(end=completed(clips=(clip("both", text="la la", **links),))))
    (told,) = json.loads(payload_of(Format.PROVIDER, event, None, (), MANIFEST))["data"]
    assert (told["audio_url"], "text" in told) == ("https://cdn.example.com/x", False)


PICTURE = clip("out-1", audio_url=None, cover_url=None, image_url="https://cdn.example.com/1", is_output=True)


def test_an_output_is_told_like_a_clip_of_music() -> None:
    event = task_ended(ended(end=completed(clips=(PICTURE,))))
    kept = asset("out-1", type="image", key="results/suno/task-1/out-1/image.png", content_type="image/png")
    (told,) = payload(event=event, assets=(kept,))["clips"]
    assert [(each["type"], each["key"]) for each in told["assets"]] == [
        ("image", "results/suno/task-1/out-1/image.png")
    ]
    assert told.keys() == payload()["clips"][0].keys()


def test_an_output_whose_object_is_gone_is_told_with_its_link() -> None:
    body = payload(Format.PROVIDER, task_ended(ended(end=completed(clips=(PICTURE,)))), None)
    assert body["data"] == [
        {
            "id": "out-1",
            "title": PICTURE.title,
            "prompt": PICTURE.prompt,
            "image_url": "https://cdn.example.com/1",
        }
    ]
