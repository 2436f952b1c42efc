import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.media import HTML, JPEG, MP3, MP3_WITHOUT_TAG, MP4, PNG
from tests.support.tasks import clip

from fulfillment.assets import (
    UNEXPECTED,
    UNRECOGNISED,
    Asset,
    AssetType,
    MediaType,
    NotThatMedia,
    assets_of,
    media_type_of,
)

CDN = "https://cdn.example.com/"


def test_a_clip_has_a_file_for_each_kind_of_link() -> None:
    full = clip(cover_url=f"{CDN}c", large_cover_url=f"{CDN}l", video_url=f"{CDN}v")
    assert [asset.type for asset in assets_of(full)] == ["audio", "cover", "large_cover", "video"]


def test_a_stream_is_no_file() -> None:
    only_streams = clip(
        audio_url=None, cover_url=None, stream_url=f"{CDN}live", stream_source_url=f"{CDN}live2"
    )
    assert list(assets_of(only_streams)) == []


def test_the_upstream_copy_is_the_second_choice() -> None:
    audio, cover = assets_of(clip(audio_source_url=f"{CDN}up.mp3", cover_source_url=f"{CDN}up.jpeg"))
    assert audio == Asset("clip-1", "audio", (f"{CDN}clip-1.mp3", f"{CDN}up.mp3"), "我的曲目")
    assert cover.urls[1] == f"{CDN}up.jpeg"


def test_the_upstream_copy_is_the_only_one_where_there_is_no_other() -> None:
    audio, _ = assets_of(clip(audio_url=None, audio_source_url=f"{CDN}up.mp3"))
    assert audio.urls == (f"{CDN}up.mp3",)


def test_the_same_link_twice_is_tried_once() -> None:
    audio, _ = assets_of(clip(audio_source_url=f"{CDN}clip-1.mp3"))
    assert audio.urls == (f"{CDN}clip-1.mp3",)


@pytest.mark.parametrize(
    ("kind", "head", "media"),
    [
        ("audio", MP3, MediaType("audio/mpeg", "mp3")),
        ("audio", MP3_WITHOUT_TAG, MediaType("audio/mpeg", "mp3")),
        ("cover", JPEG, MediaType("image/jpeg", "jpg")),
        ("large_cover", PNG, MediaType("image/png", "png")),
        ("video", MP4, MediaType("video/mp4", "mp4")),
    ],
)
def test_a_file_is_what_its_bytes_say(kind: AssetType, head: bytes, media: MediaType) -> None:
    assert media_type_of(kind, head) == media


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("audio", HTML),
        ("audio", b'{"error": "forbidden"}'),
        ("audio", b""),
        ("audio", b"\x00"),
        ("audio", JPEG),
        ("audio", MP4),
        ("cover", MP3),
        ("cover", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("video", JPEG),
        ("large_cover", HTML),
    ],
)
def test_a_file_that_is_something_else_is_refused(kind: AssetType, head: bytes) -> None:
    with pytest.raises(NotThatMedia):
        media_type_of(kind, head)


@given(st.binary(max_size=64) | st.sampled_from([MP3, JPEG, MP4]).flatmap(lambda b: st.just(b[:12])))
def test_no_beginning_of_a_file_makes_it_stumble(head: bytes) -> None:
    try:
        media_type_of("audio", head)
    except NotThatMedia:
        return


UNKNOWN = b"\x07\x00\x9a\x11" * 100


@pytest.mark.parametrize("host_says", ["audio/x-new", "Audio/X-New; codecs=new", "video/new", "image/new"])
def test_a_file_of_an_unknown_kind_is_kept_on_its_hosts_word(host_says: str) -> None:
    media = media_type_of("audio", UNKNOWN, host_says=host_says)
    assert media == MediaType(host_says.partition(";")[0].lower(), "bin", UNRECOGNISED)


@pytest.mark.parametrize(
    "host_says",
    [
        "",
        "application/octet-stream",
        "text/html",
        "audio/" + "x" * 200,
        "audio/ä",
        "audio/",
        "audio/a b",
        "audio",
    ],
)
def test_a_file_of_an_unknown_kind_is_refused_without_its_hosts_word(host_says: str) -> None:
    with pytest.raises(NotThatMedia):
        media_type_of("audio", UNKNOWN, host_says=host_says)


@pytest.mark.parametrize(
    "head", [HTML, b'{"error": "forbidden"}', b"not found", b"\xef\xbb\xbf <html>", b"  \n", "夏".encode()]
)
def test_text_is_refused_whatever_its_host_says(head: bytes) -> None:
    with pytest.raises(NotThatMedia):
        media_type_of("audio", head, host_says="audio/mpeg")


def test_a_text_is_a_file() -> None:
    (asset,) = assets_of(clip(audio_url=None, cover_url=None, text="夏の雨"))
    assert (asset.type, asset.urls, asset.content) == ("lyrics", (), "夏の雨".encode())
    assert media_type_of("lyrics", b"la") == MediaType("text/plain; charset=utf-8", "txt")


def test_a_file_inside_the_answer_is_one_without_links() -> None:
    (asset,) = assets_of(clip(audio_url=None, cover_url=None, inline=("audio",)))
    assert (asset.type, asset.urls, asset.is_inline) == ("audio", (), True)


@pytest.mark.parametrize(
    ("kind", "head", "content_type"), [("audio", JPEG, "image/jpeg"), ("cover", MP3, "audio/mpeg")]
)
def test_what_its_bytes_say_goes_before_the_word_of_its_host(
    kind: AssetType, head: bytes, content_type: str
) -> None:
    with pytest.raises(NotThatMedia, match=content_type):
        media_type_of(kind, head, host_says="application/x-unknown")


ZIP = b"PK\x03\x04" + b"\x00" * 100


@pytest.mark.parametrize("kind", ["image", "audio", "video", "file"])
def test_an_output_is_one_file_of_its_type(kind: AssetType) -> None:
    links = {"audio_url": None, "cover_url": f"{CDN}c", f"{kind}_url": f"{CDN}o"}
    assert list(assets_of(clip(is_output=True, **links))) == [
        Asset("clip-1", kind, (f"{CDN}o",), "我的曲目", is_output=True)
    ]
    inside = clip(is_output=True, audio_url=None, inline=(kind,))
    assert list(assets_of(inside)) == [Asset("clip-1", kind, (), "我的曲目", is_inline=True, is_output=True)]


def test_an_output_that_is_a_text_alone_is_one_as_lyrics_are() -> None:
    (asset,) = assets_of(clip(is_output=True, audio_url=None, cover_url=None, text="la"))
    assert (asset.type, asset.content, asset.is_output) == ("lyrics", b"la", False)


@pytest.mark.parametrize(
    ("kind", "head", "media"),
    [
        ("image", PNG, MediaType("image/png", "png")),
        ("image", b"<svg/>", MediaType("image/svg+xml", "svg")),
        ("image", ZIP, MediaType("application/zip", "zip", UNEXPECTED)),
        ("image", b'{"error": "forbidden"}', MediaType("application/json", "json", UNEXPECTED)),
        ("audio", MP4, MediaType("video/mp4", "mp4", UNEXPECTED)),
        ("video", MP4, MediaType("video/mp4", "mp4")),
        ("video", MP3, MediaType("audio/mpeg", "mp3", UNEXPECTED)),
        ("audio", PNG, MediaType("image/png", "png", UNEXPECTED)),
        ("file", MP4, MediaType("video/mp4", "mp4")),
        ("file", ZIP, MediaType("application/zip", "zip")),
        ("file", b"la la", MediaType("text/plain; charset=utf-8", "txt")),
        ("file", b" ", MediaType("text/plain; charset=utf-8", "txt")),
        ("file", b"\x00", MediaType("application/octet-stream", "bin", UNRECOGNISED)),
    ],
)
def test_an_output_is_kept_as_what_it_is(kind: AssetType, head: bytes, media: MediaType) -> None:
    assert media_type_of(kind, head, is_output=True) == media


@pytest.mark.parametrize(
    ("host_says", "content_type"),
    [
        ("application/x-new; v=1", "application/x-new"),
        ("text/html", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_an_output_of_an_unknown_kind_is_kept_with_a_remark(host_says: str, content_type: str) -> None:
    for kind in ("image", "audio", "video", "file"):
        media = media_type_of(kind, UNKNOWN, host_says=host_says, is_output=True)
        assert media == MediaType(content_type, "bin", UNRECOGNISED)


@pytest.mark.parametrize(
    ("head", "reason"), [(b"", "the file is empty"), (HTML, "the file is a web page (HTML)")]
)
@pytest.mark.parametrize("kind", ["image", "audio", "video", "file"])
def test_an_output_that_is_html_or_empty_is_refused(kind: AssetType, head: bytes, reason: str) -> None:
    with pytest.raises(NotThatMedia) as caught:
        media_type_of(kind, head, host_says="application/zip", is_output=True)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("kind", "content_type"), [("audio", "audio/mp4"), ("video", "video/mp4"), ("file", "video/mp4")]
)
def test_an_output_whose_index_lies_at_its_end_is_taken_for_what_is_wanted(
    kind: AssetType, content_type: str
) -> None:
    head = b"\x00\x00\x00\x14ftypisom\x00\x00\x00\x00isom" + b"\x7f\xff\xff\xffmdat" + bytes(64)
    media = media_type_of(kind, head, is_output=True)
    assert (media.content_type, media.remark) == (content_type, None)
