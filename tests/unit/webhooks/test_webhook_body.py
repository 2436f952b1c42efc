import json
from typing import Any

import pytest
from tests.unit.webhooks.world import START_MS, delivery

from tunehook.errors import InvalidInput
from tunehook.tasks import Format
from tunehook.times import from_ms, iso
from tunehook.webhook_body import Body, render

LINK = "https://bucket.s3.amazonaws.com/{}?X-Amz-Signature=abc"


def asset(kind: str, key: str | None) -> dict[str, Any]:
    return {
        "type": kind,
        "key": key,
        "content_type": "audio/mpeg",
        "bytes": 10,
        "sha256": "ab",
        "status": "archived" if key else "unavailable",
    }


def data(**changes: Any) -> dict[str, Any]:
    clip = {
        "clip_id": "c1",
        "title": "我的曲目",
        "tags": ["pop"],
        "duration_s": 87.4,
        "prompt": "la la",
        "model": "v4",
        "created_at": "2026-11-20T16:00:00.000Z",
        "assets": [asset("audio", "results/p/t/c1/audio.mp3"), asset("cover", "results/p/t/c1/cover.jpg")],
    }
    return {
        "task_id": "task",
        "provider": "musicmint",
        "status": "completed",
        "submitted_at": "2026-11-20T16:00:00.000Z",
        "finished_at": None,
        "detected_at": "2026-11-20T16:01:00.000Z",
        "metadata": {"a": 1},
        "clips": [clip],
        "failure": None,
        "manifest": {"bucket": "b", "key": "results/p/t/manifest.json"},
        "truncated": False,
    } | changes


def rendered(payload: Any, kind: Format = Format.STANDARD, link: str = LINK) -> Body:
    record = delivery(payload=json.dumps(payload), format=kind)
    return render(record, link.format, START_MS)


def body(*args: Any, **options: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(rendered(*args, **options).content)
    return parsed


def test_a_standard_body_is_type_timestamp_and_data() -> None:
    result = body(data())
    assert list(result) == ["type", "timestamp", "data"]
    assert result["type"] == "task.completed"
    assert result["timestamp"] == iso(from_ms(START_MS - 5_000))
    assert rendered(data()).content_type == "application/json; charset=utf-8"


def test_what_the_payload_says_is_in_the_body_unchanged() -> None:
    result = body(data())["data"]
    for given in result["clips"][0]["assets"]:
        del given["url"], given["url_expires_at"]
    assert result == data()


def test_a_file_that_may_still_come_has_the_providers_link_and_none_of_ours() -> None:
    missing = {"type": "video", "status": "pending", "source_url": "https://cdn.example.com/v.mp4"}
    clip = data()["clips"][0] | {"assets": [missing]}
    told = body(data(clips=[clip], archive="pending"))["data"]
    assert told["archive"] == "pending"
    assert told["clips"][0]["assets"] == [missing | {"url": None, "url_expires_at": None}]


def test_the_links_of_lesser_files_that_may_still_come_are_left_out_where_there_is_no_room() -> None:
    long = f"https://cdn.example.com/{'x' * 11_000}"
    missing = [{"type": kind, "status": "pending", "source_url": long} for kind in ("audio", "video")]
    clip = data()["clips"][0] | {"assets": missing}
    audio, video = body(data(clips=[clip]))["data"]["clips"][0]["assets"]
    assert (audio["source_url"], "source_url" in video) == (long, False)


def test_each_archived_asset_has_a_link_and_says_when_it_ends() -> None:
    audio, cover = body(data())["data"]["clips"][0]["assets"]
    assert audio["url"] == LINK.format("results/p/t/c1/audio.mp3")
    assert cover["url"] == LINK.format("results/p/t/c1/cover.jpg")
    assert audio["url_expires_at"] == cover["url_expires_at"] == iso(from_ms(START_MS + 3_600_000))


def test_an_asset_that_is_not_there_has_no_link() -> None:
    clip = data()["clips"][0] | {"assets": [asset("audio", None)]}
    (missing,) = body(data(clips=[clip]))["data"]["clips"][0]["assets"]
    assert missing["url"] is None
    assert missing["url_expires_at"] is None


def test_text_is_utf_8_and_not_escaped() -> None:
    assert "我的曲目".encode() in rendered(data()).content


def test_half_a_surrogate_pair_does_no_harm() -> None:
    clip = data()["clips"][0] | {"title": "\ud83d"}
    assert body(data(clips=[clip]))["data"]["clips"][0]["title"] == "?"


def test_a_number_that_json_does_not_know_becomes_null() -> None:
    clip = data()["clips"][0] | {"duration_s": float("nan")}
    assert body(data(clips=[clip]))["data"]["clips"][0]["duration_s"] is None


def test_a_body_of_19999_bytes_keeps_its_prompts() -> None:
    clip = data()["clips"][0]
    room = 19_999 - len(rendered(data(clips=[clip | {"prompt": ""}])).content)
    fits = rendered(data(clips=[clip | {"prompt": "x" * room}])).content
    assert len(fits) == 19_999
    assert json.loads(fits)["data"]["truncated"] is False
    longer = json.loads(rendered(data(clips=[clip | {"prompt": "x" * (room + 1)}])).content)
    assert longer["data"]["truncated"] is True


def test_long_prompts_are_left_out_and_nothing_else() -> None:
    clip = data()["clips"][0]
    result = body(data(clips=[clip | {"prompt": "词" * 7_000}]))["data"]
    assert "prompt" not in result["clips"][0]
    assert result["clips"][0]["title"] == "我的曲目"
    assert result["clips"][0]["assets"][1]["url"]
    assert result["truncated"] is True


def test_long_texts_are_left_out_with_the_prompts() -> None:
    payload = data()
    payload["clips"][0]["text"] = "la " * 7_000
    told = body(payload)["data"]
    assert told["truncated"] is True
    assert {"prompt", "text"}.isdisjoint(told["clips"][0])


def test_the_link_of_a_text_stays_as_long_as_that_of_audio() -> None:
    texts = [asset("lyrics", f"results/p/t/{number}/lyrics.txt") for number in range(12)]
    covers = [asset("cover", f"results/p/t/{number}/cover.jpg") for number in range(12)]
    payload = data()
    payload["clips"][0]["assets"] = texts + covers
    told = body(payload, link=LINK + "x" * 700)["data"]["clips"][0]["assets"]
    assert {each["type"] for each in told if each["url"] is not None} == {"lyrics"}


def test_if_that_does_not_do_the_links_of_the_audio_stay_longest() -> None:
    clip = data()["clips"][0]
    audio, cover = body(data(clips=[clip]), link="https://b/{}?" + "x" * 12_000)["data"]["clips"][0]["assets"]
    assert audio["url"]
    assert cover["url"] is None


@pytest.mark.parametrize("kind", [Format.STANDARD, Format.CLOUDEVENTS])
@pytest.mark.parametrize(
    "huge",
    [
        {"clips": data()["clips"] * 500},
        {"metadata": {"a": "x" * 50_000}},
        {"failure": {"code": "provider_failed", "reason": "错" * 50_000}},
        {
            "clips": data()["clips"] * 500,
            "metadata": {"a": "x" * 50_000},
            "failure": {"code": "x", "reason": "错" * 50_000},
        },
    ],
    ids=["clips", "metadata", "reason", "all"],
)
def test_a_body_stays_below_20000_bytes_whatever_is_too_long(huge: dict[str, Any], kind: Format) -> None:
    content = rendered(data(**huge), kind).content
    result = json.loads(content)["data"]
    assert len(content) < 20_000
    assert result["truncated"] is True
    assert result["manifest"] == data()["manifest"]
    assert result["task_id"] == "task"


def test_the_provider_format_is_the_providers_own_object_to_the_byte() -> None:
    own = '{"code": 0, "data": {"id": "x", "n": 1.50, "big": 12345678901234567890, "s": "\\u6211"}}'
    record = delivery(payload=own, format=Format.PROVIDER)
    assert render(record, LINK.format, START_MS) == Body(own.encode(), "application/json; charset=utf-8")


def test_half_a_surrogate_pair_in_the_providers_object_does_no_harm() -> None:
    record = delivery(payload='{"title": "\ud83d"}', format=Format.PROVIDER)
    assert json.loads(render(record, LINK.format, START_MS).content) == {"title": "?"}


def test_a_cloud_event_has_the_attributes_of_structured_mode() -> None:
    result = body(data(), Format.CLOUDEVENTS)
    assert result.pop("data")["task_id"] == "task"
    assert result == {
        "specversion": "1.0",
        "id": "evt_1",
        "source": "tunehook/musicmint",
        "type": "task.completed",
        "subject": "task",
        "time": iso(from_ms(START_MS - 5_000)),
        "datacontenttype": "application/json",
    }
    assert rendered(data(), Format.CLOUDEVENTS).content_type == "application/cloudevents+json; charset=utf-8"


def outputs(count: int, length: int) -> list[dict[str, Any]]:
    """So many clips of one picture each, whose links are so long."""
    clip = data()["clips"][0] | {"prompt": None}
    return [
        clip | {"clip_id": f"c{number}", "assets": [asset("image", f"{'k' * length}{number}")]}
        for number in range(count)
    ]


def test_the_one_file_of_an_output_keeps_its_link_where_a_cover_loses_it() -> None:
    song = data()["clips"][0]
    clips = [song | {"prompt": "la" * 5_000}, *outputs(1, 5_000)]
    song["assets"][1]["key"] = "c" * 6_000
    told = body(data(clips=clips))["data"]
    assert told["truncated"] is True
    assert [[each["url"] is None for each in clip["assets"]] for clip in told["clips"]] == [
        [False, True],
        [False],
    ]


def test_very_many_outputs_are_told_without_links_before_they_are_not_told() -> None:
    few = body(data(clips=outputs(10, 900)))["data"]
    assert [clip["assets"][0]["url"] is None for clip in few["clips"]] == [False] * 10 or few["truncated"]
    many = body(data(clips=outputs(12, 800)))["data"]
    assert [clip["assets"][0]["url"] for clip in many["clips"]] == [None] * 12
    assert many["truncated"] is True
    assert body(data(clips=outputs(200, 800)))["data"]["clips"] == []


@pytest.mark.parametrize("kind", list(Format))
def test_a_payload_that_is_gone_is_not_sent_as_an_empty_body(kind: Format) -> None:
    record = delivery(format=kind).model_copy(update={"payload": ""})
    with pytest.raises(InvalidInput) as refused:
        render(record, lambda _: LINK, START_MS)
    assert refused.value.field == "payload"
