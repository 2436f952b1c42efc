import json
from typing import Any

import pytest
from tests.support.tasks import NOW_MS, clip, completed, ended

from fulfillment.manifest import Manifest, assets_on, event_in, manifest_of, provider_object_of, texts_of
from tunehook.events import ArchivedAsset, task_ended
from tunehook.tasks import Failure, FailureCode, Status, TaskEnd
from tunehook.times import from_ms

ASSET = ArchivedAsset(
    clip_id="clip-1",
    type="audio",
    source_url="https://cdn.example.com/clip-1.mp3",
    status="archived",
    key="results/suno/task-1/clip-1/audio.mp3",
    content_type="audio/mpeg",
    bytes=7,
    sha256="00ff",
)
EVENT = task_ended(ended())
ITEM: dict[str, Any] = {
    "clips": [{"clip_id": "clip-1", "prompt": "[Verse]\nWalking down the streets"}],
    "provider_object": '{"task_id": "task-1", "title": "歌"}',
}


def written(event: Any = EVENT, item: dict[str, Any] | None = ITEM) -> bytes:
    manifest = Manifest(
        event_id=event.event_id,
        detected_at=event.detected_at,
        archived_at=from_ms(NOW_MS),
        assets=(ASSET,),
        provider_object=provider_object_of(item),
    )
    return manifest_of(event, item, manifest)


def manifest(event: Any = EVENT, item: dict[str, Any] | None = ITEM) -> dict[str, Any]:
    return json.loads(written(event, item))


def test_a_manifest_holds_the_event_the_assets_and_the_providers_object() -> None:
    content = manifest()
    assert content["event_id"] == EVENT.event_id
    assert content["clips"] == json.loads(EVENT.model_dump_json())["clips"]
    assert content["assets"] == [ASSET.model_dump(mode="json")]
    assert content["provider_object"] == {"task_id": "task-1", "title": "歌"}


def test_a_manifest_that_does_not_say_so_was_not_made_by_copying_again() -> None:
    # Those of versions that did not know of it are read by this one.
    content = manifest()
    assert content.pop("copied_again") is False
    assert not Manifest.model_validate(content).copied_again
    assert Manifest.model_validate(content | {"copied_again": True}).copied_again


def test_a_manifest_has_the_prompts_that_the_event_left_out() -> None:
    prompt = "歌" * 40_000
    clips = (clip("clip-1", prompt=prompt), clip("clip-2", prompt=prompt))
    event = task_ended(ended(end=completed(clips=clips)))
    item = {"clips": [{"clip_id": name, "prompt": prompt} for name in ("clip-1", "clip-2")]}
    assert event.truncated
    content = manifest(event, item)
    assert [each["prompt"] for each in content["clips"]] == [prompt, prompt]
    assert "truncated" not in content


def test_without_the_item_a_manifest_holds_what_the_event_has() -> None:
    content = manifest(item=None)
    assert content["clips"][0]["prompt"] == "[Verse]\nWalking down the streets"
    assert content["provider_object"] is None


def test_the_same_input_gives_the_same_bytes() -> None:
    assert written() == written(item=dict(reversed(ITEM.items())))


def test_a_manifest_is_utf_8_for_people() -> None:
    assert "我的曲目".encode() in written()


def test_a_task_that_ended_without_an_object_has_none() -> None:
    assert (provider_object_of(None), provider_object_of({})) == (None, None)


@pytest.mark.parametrize("value", ["{", "[1]", "5", 5, None, [1], {"a": 1}])
def test_a_providers_object_that_cannot_be_read_is_none(value: Any) -> None:
    assert provider_object_of({"provider_object": value}) is None


def test_texts_that_are_none_are_left_out() -> None:
    clips = [
        1,
        {"text": "a"},
        {"clip_id": 1, "text": "a"},
        {"clip_id": "b", "text": 2},
        {"clip_id": "c", "text": "c"},
    ]
    assert texts_of({"clips": clips}, "text") == {"c": "c"}


def test_of_an_items_files_those_that_are_settled_count_and_what_is_none_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting = {"clip_id": "clip-2", "type": "audio", "status": "pending"}
    item = {"task_id": "task-1", "provider": "suno", "assets": [waiting, ASSET.model_dump(mode="json")]}
    assert assets_on(item) == [ASSET]
    assert caplog.records == []
    for spoilt in (7, {"status": "archived"}, waiting | {"status": "lost"}):
        assert assets_on(item | {"assets": [spoilt]}) == []
        assert caplog.records.pop().message == "asset_unreadable"
    assert assets_on(None) == []


def test_it_is_laid_out_for_people() -> None:
    assert written().splitlines()[1].startswith(b'  "')


def test_the_event_that_a_manifest_was_written_of_is_in_it() -> None:
    failed = TaskEnd(
        status=Status.FAILED,
        detected_at_ms=NOW_MS,
        submitted_at_ms=NOW_MS,
        failure=Failure(FailureCode.TIMED_OUT, "not ended"),
    )
    for event in (EVENT, task_ended(ended(end=failed))):
        assert event_in(written(event, None)) == event
    assert event_in(b"{}") is None
