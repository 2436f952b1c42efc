from __future__ import annotations

import bisect
import json
from dataclasses import asdict
from typing import Any

import pytest

from tunehook.providers.outcomes import Completed, CompletedWithoutResults
from tunehook.providers.payload import json_size
from tunehook.providers.results import (
    Origin,
    completed,
    entries,
    has_file,
    is_message,
    published,
    read_clip,
    read_links,
    read_output,
    read_result,
    read_text,
    text_clip,
    unwrapped,
    with_files_of,
)

# As documented, and not imported: a bound that moves is to be noticed.
MAX_OBJECT_BYTES = 200_000


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


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        *[
            (f"https://h/1.{ending}", "cover_url")
            for ending in ("jpg", "jpeg", "png", "webp", "gif", "avif", "heic")
        ],
        *[(f"https://h/1.{ending}", "video_url") for ending in ("mp4", "m4v", "mov", "webm", "MKV")],
        *[(f"https://h/1.{ending}", "audio_url") for ending in ("mp3", "bin")],
        *[
            ({"url": "https://h/1.jpg", name: "video/mp4"}, "video_url")
            for name in ("content_type", "mime_type")
        ],
        *[({"url": "https://h/1.jpg", "type": said}, "video_url") for said in ("VIDEO", "mp4")],
        *[
            ({"url": "https://h/1.mp4", "type": said}, "cover_url")
            for said in ("image/png", "Cover", "thumbnail")
        ],
        ({"url": "https://h/1.mp4", "type": "audio"}, "audio_url"),
    ],
)
def test_what_a_link_of_a_list_leads_to_is_said_by_its_type_or_else_by_its_ending(
    entry: Any, field: str
) -> None:
    (read,) = read_links([entry], "c", Origin())
    links = {each: getattr(read.clip, each) for each in ("audio_url", "video_url", "cover_url")}
    assert {name for name, link in links.items() if link is not None} == {field}


def test_each_audio_link_is_a_clip_and_a_video_and_a_cover_belong_to_the_first() -> None:
    links = [f"https://h/{name}" for name in ("1.mp3", "2.mp3", "1.mp3", "v.mp4", "c.jpg", "d.jpg", "e.jpg")]
    read = read_links([*links, ""], "c", Origin())
    assert [(each.clip.audio_url, each.clip.video_url, each.clip.cover_url) for each in read] == [
        ("https://h/1.mp3", "https://h/v.mp4", "https://h/c.jpg"),
        ("https://h/2.mp3", None, "https://h/d.jpg"),
    ]
    assert [each.clip.clip_id for each in read] == ["c", "c"]


def test_each_video_is_a_clip_where_there_is_no_audio_and_nothing_is_none() -> None:
    read = read_links(["https://h/1.mp4", "https://h/2.mp4"], "c", Origin())
    assert [each.clip.video_url for each in read] == ["https://h/1.mp4", "https://h/2.mp4"]
    assert read_links([], "c", Origin()) == []
    assert read_links(["no link"], "c", Origin()) == []


def test_a_file_inside_the_answer_is_a_clip_as_well_and_once() -> None:
    uri = "data:audio/mpeg;base64,SUQz"
    (read,) = read_links([uri, {"url": uri}, "data:image/png;base64,SUQz"], "c", Origin())
    assert (read.files, read.clip.inline) == ({"audio": b"ID3", "cover": b"ID3"}, ("audio", "cover"))
    two = read_links([uri, "data:audio/mpeg;base64,SUQ0"], "c", Origin())
    assert [each.files for each in two] == [{"audio": b"ID3"}, {"audio": b"ID4"}]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(name, "audio") for name in ("audio_url", "audio_wav_url", "source_audio_url", "media_urls")],
        *[(name, "cover") for name in ("image_url", "source_image_url", "sourceImageUrl")],
        *[("image_large_url", "large_cover"), ("video_url", "video")],
    ],
)
def test_a_file_inside_a_clip_is_the_file_of_its_field(name: str, kind: str) -> None:
    read = read_clip({name: "data:application/octet-stream;base64,SUQz"})
    assert (read.files, read.clip.inline) == ({kind: b"ID3"}, (kind,))


@pytest.mark.parametrize("link", ["audio_url", "video_url", "cover_url", "stream_url"])
def test_a_clip_without_a_file_gets_those_of_another(link: str) -> None:
    source = {"cover_url": "image_url", "stream_url": "stream_audio_url"}.get(link, link)
    merged = with_files_of(read_clip({"id": "c", "title": "T"}), read_clip({source: "https://h/1"}))
    assert (getattr(merged.clip, link), merged.clip.title) == ("https://h/1", "T")


@pytest.mark.parametrize("name", ["user_id", "channel_id", "group", "quota", "username"])
def test_what_is_a_gateways_own_business_is_not_told(name: str) -> None:
    assert published({name: 1, "status": "SUCCESS", "properties": {"input": "a", "upstream": "b"}}) == {
        "status": "SUCCESS",
        "properties": {"input": "a"},
    }


def test_neither_secrets_nor_files_are_told_however_deep_they_lie() -> None:
    file = "data:audio/mpeg;base64,SUQz"
    task = {"data": [{"secret": "s", "webhook_secret": "w", "a": file, "b": f"see {file}", "c": [1]}]}
    assert published(task) == {"data": [{"a": None, "b": "see data:", "c": [1]}]}
    assert published({"properties": "text"}) == {"properties": "text"}


@pytest.mark.parametrize(
    ("source", "is_wanted", "text"),
    [
        *[({name: "la"}, None, "la") for name in ("text", "lyrics", "lyric", "content")],
        *[({"prompt": "la"}, None, None), ({"prompt": "la"}, True, "la"), ({"prompt": "la"}, False, None)],
        *[
            ({"text": ["la", "li"]}, None, "la\nli"),
            ({"text": ["la", 1]}, None, None),
            ({"text": " "}, None, None),
        ],
        *[
            ({"text": "la", "audio_url": "https://h/1"}, True, None),
            ({"text": "la", "video": "x"}, True, None),
        ],
        *[({"lyrics": "la", "audio_url": ""}, None, None), ({"text": "la", "audio_url": ""}, None, "la")],
        *[({"lyrics": "la", "audio_url": None}, True, "la"), ({"text": "la", "audio_url": ""}, False, None)],
        *[
            ({"text": "la", "media_urls": []}, None, "la"),
            ({"text": "la", "media_urls": ["https://h/1.mp3"]}, None, None),
            ({"text": "la", "source_audio_url": "x"}, None, None),
        ],
    ],
)
def test_a_text_is_the_result_where_no_link_is(
    source: dict[str, Any], is_wanted: bool | None, text: str | None
) -> None:
    read = read_text(source, "t", is_wanted=is_wanted)
    assert (None if read is None else read.clip.text) == text


@pytest.mark.parametrize("name", ["id", "clip_id", "lyrics_id"])
def test_a_text_goes_by_its_own_id_or_by_its_tasks(name: str) -> None:
    assert text_clip("la", "t", {name: "own", "tags": "pop", "title": "T"}).clip.clip_id == "own"
    other = text_clip("la", "t", {"tags": "pop", "title": "T"}).clip
    assert (other.clip_id, other.tags, other.title) == ("t", ("pop",), "T")


def test_a_text_takes_80_kb_at_most_and_no_half_letter() -> None:
    text = text_clip("x" + "詞" * 30_000, "t", {}).clip.text or ""
    assert len(text.encode()) == 79_999
    assert text_clip("x" * 80_000, "t", {}).clip.text == "x" * 80_000
    assert text_clip("x" * 80_001, "t", {}).clip.text == "x" * 80_000


def test_ten_links_that_cannot_be_made_urls_are_told_each_by_80_characters() -> None:
    read = [read_clip({"audio_url": "no link " + "x" * 100})] * 6
    result = read_result({}, read, unusable=[f"result_url: {number}" for number in range(6)])
    assert len(result.unusable_links) == 10
    assert result.unusable_links[0] == f"audio_url: {('no link ' + 'x' * 100)[:80]}"
    assert result.unusable_links[-1] == "result_url: 3"


@pytest.mark.parametrize("name", ["audio_url", "source_audio_url", "video_url", "media_urls"])
def test_a_link_that_cannot_be_made_one_is_told_where_there_is_no_file(name: str) -> None:
    assert read_clip({name: "no link"}).unusable == (f"{name}: no link",)
    assert read_clip({name: "no link", "text": "la", "mp4_url": "https://h/1"}).unusable == ()
    assert read_clip({name: " "}).unusable == ()


def test_what_is_quoted_of_an_unusable_link_has_no_data_in_the_middle_of_it_either() -> None:
    written = 'see "data:audio/mpeg;base64,SUQz" and <data:text/html;base64,SUQz>'
    assert read_clip({"audio_url": written}).unusable == ('audio_url: see "data:" and <data:>',)


def test_the_better_of_two_links_is_the_file_and_the_other_the_fallback() -> None:
    both = read_clip({"audio_url": "https://h/1", "songUrl": "https://h/2"}).clip
    assert (both.audio_url, both.audio_source_url) == ("https://h/1", "https://h/2")
    placeholder = read_clip({"audio_url": "https://h/None.mp3", "songUrl": "https://h/2"}).clip
    assert (placeholder.audio_url, placeholder.audio_source_url) == ("https://h/2", "https://h/None.mp3")
    source = read_clip({"audio_url": "https://h/None.mp3", "sourceAudioUrl": "https://h/2"}).clip
    assert (source.audio_url, source.audio_source_url) == (None, "https://h/2")


@pytest.mark.parametrize(
    ("source", "is_expected", "is_settled"),
    [
        ({"audio_url": "https://h/1"}, True, True),
        ({"stream_audio_url": "https://h/1"}, False, False),
        ({"source_stream_audio_url": "https://h/1"}, False, False),
        ({"audio_url": "https://h/None.mp3"}, True, False),
        ({"video_url": "https://h/1"}, True, False),
        ({}, True, False),
        ({}, False, True),
    ],
)
def test_a_clip_is_settled_with_its_audio_or_where_none_is_expected(
    source: dict[str, str], is_expected: bool, is_settled: bool
) -> None:
    assert read_clip(source, is_expected=is_expected).is_settled is is_settled


@pytest.mark.parametrize(
    ("source", "has_one"),
    [
        *[({name: "https://h/1"}, True) for name in ("audio_url", "source_audio_url", "video_url")],
        *[
            ({"video_url": "data:video/mp4;base64,SUQz"}, True),
            ({"audio_url": "data:audio/x;base64,SUQz"}, True),
        ],
        *[({"audio_url": "https://h/None.mp3"}, False), ({"image_url": "https://h/1.jpg"}, False)],
    ],
)
def test_a_clip_has_a_file_by_its_audio_or_its_video(source: dict[str, str], has_one: bool) -> None:
    assert has_file(read_clip(source).clip) is has_one


@pytest.mark.parametrize(
    ("entry", "is_one"),
    [
        ("because of this", True),
        ("because", False),
        ("https://h/a b", False),
        (7, False),
        ("data:a/b;base64,x y", False),
    ],
)
def test_words_are_told_from_links(entry: Any, is_one: bool) -> None:
    assert is_message(entry) is is_one


@pytest.mark.parametrize("count", [3, 4, 5])
def test_json_may_be_encoded_twice_and_no_more(count: int) -> None:
    text: Any = [1]
    for _ in range(count):
        text = json.dumps(text)
    assert unwrapped(text) == json.loads(json.loads(text))
    assert unwrapped("no json") == "no json"
    assert unwrapped(" ") == " "


def test_the_clips_of_a_result_take_100_kb_and_the_object_200_kb_just() -> None:
    def taken(last: int) -> bool:
        lengths = (20_000, 20_000, 20_000, 20_000, last)
        clips = [read_clip({"id": str(at), "prompt": "x" * length}) for at, length in enumerate(lengths)]
        result = read_result({}, clips)
        written = [{name: str(value) for name, value in asdict(clip).items()} for clip in result.clips]
        assert sum(map(json_size, written)) <= 100_000
        return not result.truncated

    longest = bisect.bisect_left(range(20_000), True, key=lambda length: not taken(length)) - 1
    assert taken(longest)
    assert not taken(longest + 1)
    assert longest > 17_000
    task = {"prompt": "x" * (200_000 - len('{"prompt": ""}'))}
    assert not read_result(task, ()).truncated
    assert read_result({"prompt": task["prompt"] + "x"}, ()).truncated


def test_milliseconds_are_a_length_where_no_other_is() -> None:
    assert read_clip({"duration_ms": "87500"}).clip.duration_s == 87.5
    assert read_clip({"duration": 3, "duration_ms": 87500}).clip.duration_s == 3
    assert read_clip({"duration": "?", "audio_length": 4}).clip.duration_s == 4


@pytest.mark.parametrize(
    ("kind", "endings"),
    [
        ("image", "jpg jpeg png webp gif avif heic svg bmp tif tiff jxl ico"),
        ("audio", "mp3 m4a wav flac ogg opus aac aiff weba"),
        ("video", "mp4 m4v mov webm mkv"),
        ("file", "zip pdf glb"),
    ],
)
def test_an_output_that_nobody_names_is_known_by_its_ending(kind: str, endings: str) -> None:
    for ending in endings.split():
        clip = read_output(f"https://h/1.{ending}", "a").clip
        links = {name for name, url in asdict(clip).items() if name.endswith("_url") and url is not None}
        assert links == {f"{kind}_url"}, ending


@pytest.mark.parametrize(
    ("value", "named", "kind"),
    [
        ("https://h/a.png", None, "image"),
        ("https://h/a.SVG?x=1", None, "image"),
        ("https://h/a.wav", None, "audio"),
        ("https://h/a.mp4", "", "video"),
        ("https://h/a.zip", None, "file"),
        ("https://h/a", None, "file"),
        ("https://h/a.png", "file", "file"),
        ("https://h/a", "image/webp", "image"),
        ("https://h/a", " Video ", "video"),
        ("https://h/a", "mp3", "audio"),
        ("https://h/a.jpg", "application/zip", "image"),
        ("https://h/a.jpg", {"kind": "image"}, "image"),
        ({"url": "https://h/a", "content_type": "image/png"}, None, "image"),
        ({"url": "https://h/a.mp4", "type": "final"}, None, "video"),
        ({"url": "https://h/a.mp4", "type": "image"}, "audio", "audio"),
    ],
)
def test_an_output_has_one_link_of_its_type(value: Any, named: Any, kind: str) -> None:
    clip = read_output(value, "a", named).clip
    links = {name: url for name, url in asdict(clip).items() if name.endswith("_url") and url is not None}
    url = value["url"] if isinstance(value, dict) else value
    assert (links, clip.is_output, clip.clip_id) == ({f"{kind}_url": url}, True, "a")
    assert has_file(clip)


def test_an_outputs_link_may_be_relative_to_the_provider() -> None:
    assert read_output("/files/a.png", "a", None, Origin("https://api.h")).clip.image_url == (
        "https://api.h/files/a.png"
    )


@pytest.mark.parametrize(
    ("value", "named", "kind", "content"),
    [
        ("data:image/png;base64,iVBORw==", None, "image", b"\x89PNG"),
        ("data:application/pdf;base64,JVBERg==", None, "file", b"%PDF"),
        ("data:text/plain,hello%20you", None, "file", b"hello you"),
        ({"url": "data:;base64,JVBERg=="}, "video", "video", b"%PDF"),
    ],
)
def test_an_output_inside_the_answer_is_of_any_type(
    value: Any, named: Any, kind: str, content: bytes
) -> None:
    read = read_output(value, "a", named)
    assert (dict(read.files), read.clip.inline) == ({kind: content}, (kind,))
    assert has_file(read.clip)


def test_a_live_stream_is_no_output_yet() -> None:
    read = read_output("https://audiopipe.suno.ai/?item_id=a", "a", "audio")
    assert (read.clip.audio_url, read.clip.stream_url) == (None, "https://audiopipe.suno.ai/?item_id=a")
    assert not has_file(read.clip)


@pytest.mark.parametrize(
    ("value", "unusable"),
    [
        ("soon", ("output: soon",)),
        ("data:image/png;base64,", ("output: data: (not a file that can be read)",)),
        ({"width": 3}, ()),
        (None, ()),
        (" ", ()),
        (7, ()),
        ("https://h/none", ()),
    ],
)
def test_what_is_no_link_is_no_output(value: Any, unusable: tuple[str, ...]) -> None:
    read = read_output(value, "a", "image")
    assert (has_file(read.clip), read.unusable) == (False, unusable)


def test_a_task_of_outputs_alone_is_completed() -> None:
    outputs = [read_output(f"https://h/{name}", "") for name in ("a.png", "b.zip")]
    outcome = completed(read_result({}, outputs))
    assert isinstance(outcome, Completed)
    assert [clip.clip_id for clip in outcome.result.clips] == ["clip-1", "clip-2"]
    assert isinstance(completed(read_result({}, [read_output(None, "")])), CompletedWithoutResults)


def test_the_files_inside_an_answer_are_those_of_its_outputs() -> None:
    result = read_result({}, [read_output("data:application/pdf;base64,JVBERg==", "a")])
    assert [(each.clip_id, each.type, each.content) for each in result.inline_files] == [
        ("a", "file", b"%PDF")
    ]
