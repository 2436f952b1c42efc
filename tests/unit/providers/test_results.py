from __future__ import annotations

import json
from typing import Any

import pytest

from tunehook.providers.results import MAX_OBJECT_BYTES, entries, read_clip, read_result


def test_a_field_outside_metadata_wins_over_one_in_it() -> None:
    clip = read_clip({"id": "a", "tags": "pop", "metadata": {"tags": "rock", "duration": 3}}).clip
    assert (clip.tags, clip.duration_s) == (("pop",), 3.0)


def test_an_empty_field_outside_metadata_does_not_hide_one_in_it() -> None:
    assert read_clip({"id": "a", "prompt": "", "metadata": {"prompt": "la"}}).clip.prompt == "la"


def test_the_clip_id_goes_before_the_id() -> None:
    assert read_clip({"id": "row-7", "clip_id": "a"}).clip.clip_id == "a"


def test_a_stream_in_the_place_of_the_file_becomes_the_stream() -> None:
    clip = read_clip({"audio_url": "https://audiopipe.suno.ai/?item_id=a"}).clip
    assert (clip.audio_url, clip.stream_url, clip.playable) == (
        None,
        "https://audiopipe.suno.ai/?item_id=a",
        False,
    )


def test_a_stream_does_not_replace_the_stream_link() -> None:
    clip = read_clip({"audio_url": "https://audiopipe.suno.ai/x", "streamAudioUrl": "https://h/s"}).clip
    assert clip.stream_url == "https://h/s"


def test_a_clip_with_the_upstream_copy_alone_is_playable() -> None:
    assert read_clip({"sourceAudioUrl": "https://h/a.mp3"}).clip.playable


def test_ids_are_unique_even_where_the_made_up_ones_are_taken() -> None:
    given: list[dict[str, Any]] = [{"id": "a-2"}, {"id": "a"}, {"id": "a"}, {}, {"id": "clip-4"}]
    ids = [clip.clip_id for clip in read_result({}, map(read_clip, given)).clips]
    assert ids[:2] == ["a-2", "a"]
    assert len(set(ids)) == 5


def test_lyrics_within_the_bound_are_kept_whole() -> None:
    task = {"data": [{"prompt": "詞" * 20_000}] * 3}
    result = read_result(task, ())
    assert (result.provider_object, result.truncated) == (task, False)


def test_the_providers_object_is_cut_beyond_200_kb_and_says_so() -> None:
    result = read_result({"data": [{"prompt": "詞" * 50_000}] * 3}, ())
    assert len(json.dumps(result.provider_object, ensure_ascii=False).encode()) <= MAX_OBJECT_BYTES
    assert result.truncated


def test_clips_beyond_100_kb_lose_their_prompts_first() -> None:
    sources = [
        {"id": str(number), "prompt": "x" * 15_000, "audio_url": "https://h/a.mp3"} for number in range(20)
    ]
    result = read_result({}, map(read_clip, sources))
    assert len(result.clips) == 20
    assert [clip.prompt is not None for clip in result.clips] == [True] * 6 + [False] * 14
    assert result.truncated


def test_clips_without_number_are_bounded() -> None:
    sources = ({"id": str(number), "audio_url": "https://h/" + "a" * 4000} for number in range(1000))
    result = read_result({}, map(read_clip, sources))
    assert 20 < len(result.clips) < 26
    assert result.truncated


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (["https://h/1", {"url": "https://h/2"}], ["https://h/1", {"url": "https://h/2"}]),
        ('["https://h/1"]', ["https://h/1"]),
        ({"audio": "https://h/1", "video": "", "size": 3}, [{"url": "https://h/1", "type": "audio"}]),
        ("https://h/1", ("https://h/1",)),
        ("", ()),
        (None, ()),
    ],
)
def test_links_are_found_in_a_list_in_an_object_in_json_and_alone(value: Any, found: Any) -> None:
    assert entries(value) == found
