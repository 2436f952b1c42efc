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


LINKS = {
    "audio_url": (
        *(
            "audio_url",
            "audioUrl",
            "song_url",
            "songUrl",
            "song_path",
            "songPath",
            "mp3_url",
            "mp3Url",
            "audio",
        ),
        *("sound_url", "soundUrl", "music_url", "musicUrl", "audio_file", "audioFile", "wav_url", "wavUrl"),
        *("audio_wav_url", "audioWavUrl"),
    ),
    "audio_source_url": ("source_audio_url", "sourceAudioUrl"),
    "cover_url": ("image_url", "imageUrl", "cover_url", "coverUrl", "image_path", "imagePath"),
    "cover_source_url": ("source_image_url", "sourceImageUrl"),
    "large_cover_url": ("image_large_url", "imageLargeUrl"),
    "video_url": ("video_url", "videoUrl", "mp4_url", "mp4Url", "video"),
    "stream_url": ("stream_audio_url", "streamAudioUrl"),
    "stream_source_url": ("source_stream_audio_url", "sourceStreamAudioUrl"),
}
OTHERS = {
    "clip_id": ("clip_id", "clipId", "id"),
    "title": ("title", "song_name", "songName"),
    "prompt": ("prompt", "lyric", "lyrics"),
    "model": ("mv", "model_name", "modelName", "model"),
}
MOMENTS = {
    "created_at": ("create_time", "createTime", "created_at", "createdAt"),
    "expires_at": ("expire_at", "expireAt", "expires_at", "expiresAt"),
}


def spelled(names: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(field, name) for field, spellings in names.items() for name in spellings]


@pytest.mark.parametrize(("field", "name"), spelled(LINKS))
def test_a_link_is_read_in_every_spelling_of_the_family(field: str, name: str) -> None:
    clip = read_clip({name: "https://h/files/1"}).clip
    assert {each: getattr(clip, each) for each in LINKS if getattr(clip, each) is not None} == {
        field: "https://h/files/1"
    }


@pytest.mark.parametrize(("field", "name"), spelled(OTHERS))
def test_a_text_is_read_in_every_spelling_of_the_family(field: str, name: str) -> None:
    assert getattr(read_clip({name: "words"}).clip, field) == "words"


@pytest.mark.parametrize(("field", "name"), spelled(MOMENTS))
def test_a_moment_is_read_in_every_spelling_of_the_family(field: str, name: str) -> None:
    moment = getattr(read_clip({name: "2026-11-20T16:01:57Z"}).clip, field)
    assert moment.isoformat() == "2026-11-20T16:01:57+00:00"


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        *[(f"duration{unit}", 87.5) for unit in ("", "_s", "_seconds", "Seconds", "_formatted", "Formatted")],
        *[("audio_length", 87.5), ("audioLength", 87.5), ("duration_ms", 0.0875), ("durationMs", 0.0875)],
    ],
)
def test_a_duration_is_read_in_every_spelling_of_the_family(name: str, seconds: float) -> None:
    assert read_clip({name: 87.5}).clip.duration_s == seconds


@pytest.mark.parametrize(
    "name", ["file_url", "fileUrl", "download_url", "downloadUrl", "play_url", "playUrl", "url"]
)
@pytest.mark.parametrize(
    ("field", "ending"),
    [
        *[
            ("audio_url", each)
            for each in ["mp3", "m4a", "wav", "flac", "ogg", "opus", "aac", "aiff", "weba"]
        ],
        *[("video_url", each) for each in ["mp4", "m4v", "mov", "webm", "mkv"]],
    ],
)
def test_a_link_that_does_not_say_to_what_is_known_by_its_ending(name: str, field: str, ending: str) -> None:
    clip = read_clip({name: f"https://h/1.{ending}"}).clip
    links = {each: getattr(clip, each) for each in ("audio_url", "video_url")}
    assert links == {"audio_url": None, "video_url": None, field: f"https://h/1.{ending}"}


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "png", "webp", "gif", "avif", "heic"])
def test_a_picture_is_neither_the_audio_nor_the_video(ending: str) -> None:
    clip = read_clip({"url": f"https://h/1.{ending}", "media_urls": [f"https://h/2.{ending}"]}).clip
    assert (clip.audio_url, clip.video_url) == (None, None)


def test_texts_are_cut_at_their_bounds() -> None:
    long = "x" * 100_000
    clip = read_clip({"id": long, "title": long, "prompt": long, "model": long}).clip
    lengths = [len(each or "") for each in (clip.clip_id, clip.title, clip.prompt, clip.model)]
    assert lengths == [128, 500, 20_000, 500]
