"""Files of every kind, as ffmpeg made them (media/README.md), and what docs/media.md says of them."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment import media as module
from fulfillment.media import MediaType, is_text, recognise

FILES = Path(__file__).parent / "media"
DOCUMENT = Path(__file__).parents[3] / "docs" / "media.md"
KINDS = {
    "aac.aac": ("audio/aac", "aac"),
    "aac.mov": ("audio/mp4", "m4a"),
    "aac-dash.mp4": ("audio/mp4", "m4a"),
    "aac-faststart.mp4": ("audio/mp4", "m4a"),
    "aac-fragmented.mp4": ("audio/mp4", "m4a"),
    "aac-isom.mp4": ("audio/mp4", "m4a"),
    "aac-m4a.mp4": ("audio/mp4", "m4a"),
    "aac-m4b.mp4": ("audio/mp4", "m4a"),
    "aac-mp42.mp4": ("audio/mp4", "m4a"),
    "aifc.aiff": ("audio/aiff", "aiff"),
    "aiff.aiff": ("audio/aiff", "aiff"),
    "alac.m4a": ("audio/mp4", "m4a"),
    "audio.mka": ("audio/x-matroska", "mka"),
    "audio.webm": ("audio/webm", "webm"),
    "caf.caf": ("audio/x-caf", "caf"),
    "flac.flac": ("audio/flac", "flac"),
    "flac.ogg": ("audio/ogg", "ogg"),
    "image.avif": ("image/avif", "avif"),
    "image.bmp": ("image/bmp", "bmp"),
    "image.gif": ("image/gif", "gif"),
    "image.jpg": ("image/jpeg", "jpg"),
    "image.png": ("image/png", "png"),
    "image.tiff": ("image/tiff", "tif"),
    "image.webp": ("image/webp", "webp"),
    "layer2.mp2": ("audio/mpeg", "mp3"),
    "mp3-cover.mp3": ("audio/mpeg", "mp3"),
    "mp3-mpeg2.mp3": ("audio/mpeg", "mp3"),
    "mp3-mpeg25.mp3": ("audio/mpeg", "mp3"),
    "mp3-plain.mp3": ("audio/mpeg", "mp3"),
    "mp3-tagged.mp3": ("audio/mpeg", "mp3"),
    "opus.ogg": ("audio/ogg", "ogg"),
    "rf64.wav": ("audio/wav", "wav"),
    "video.avi": ("video/x-msvideo", "avi"),
    "video.mkv": ("video/x-matroska", "mkv"),
    "video.mov": ("video/quicktime", "mov"),
    "video.mp4": ("video/mp4", "mp4"),
    "video.ogv": ("video/ogg", "ogv"),
    "video.webm": ("video/webm", "webm"),
    "video-called-audio.mp4": ("video/mp4", "mp4"),
    "vorbis.ogg": ("audio/ogg", "ogg"),
    "wave.wav": ("audio/wav", "wav"),
    "wma.wma": ("audio/x-ms-wma", "wma"),
}
MP3, M4A, MP4 = module.MP3, module.M4A, module.MP4
FRAME_LENGTH = 417  # of MPEG 1, layer III, 128 kbit/s, 44,100 Hz


def known(head: bytes, wanted: str = "audio", *, is_whole: bool = False) -> MediaType | None:
    return recognise(head, is_whole=is_whole, wanted=wanted)


def test_every_file_has_its_kind() -> None:
    assert {path.name for path in FILES.iterdir()} == {*KINDS, "README.md"}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("wanted", ["audio", "video", "image"])
def test_a_file_is_told_by_its_content(name: str, wanted: str) -> None:
    content = (FILES / name).read_bytes()
    assert recognise(content, is_whole=True, wanted=wanted) == MediaType(*KINDS[name])
    assert not is_text(content)


def frames(second: int) -> bytes:
    head = bytes([0xFF, second, 0x54, 0x64])
    length = module._frame_length(head)
    return (head + b"\x55" * (length - 4)) * 3


@pytest.mark.parametrize(
    "second", [0xFB, 0xFA, 0xFD, 0xFC, 0xFF, 0xF3, 0xF2, 0xF5, 0xF4, 0xE3, 0xE2, 0xE5, 0xE4]
)
def test_mpeg_audio_of_every_layer_and_rate_is_mp3(second: int) -> None:
    assert known(frames(second)) == MP3


@pytest.mark.parametrize("length", [1, 512, 5_000])
def test_padding_before_the_first_frame_is_passed_over(length: int) -> None:
    assert known(b"\x00" * length + frames(0xFB)) == MP3


def test_padding_before_anything_else_is_nothing() -> None:
    assert known(b"\x00" * 512 + b"\xff\xfb\x90\x64" + b"\x01" * 2_000) is None


def test_a_tag_longer_than_what_is_known_is_that_of_an_mp3() -> None:
    assert known(b"ID3\x03\x00\x00\x00\x7f\x7f\x7f" + b"\x01" * 2_000) == MP3


def test_flac_and_aac_behind_a_tag_are_what_they_are() -> None:
    tag = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + b"\x00" * 10
    assert known(tag + b"fLaC\x00") == module.FLAC
    assert known(tag + (FILES / "aac.aac").read_bytes()) == module.AAC


def test_text_in_utf_16_is_no_frame() -> None:
    assert known('{"error": "forbidden"}'.encode("utf-16")) is None


INDEX_AT_THE_END = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2\x7f\xff\xff\xffmdat"


@pytest.mark.parametrize(("wanted", "media"), [("audio", M4A), ("video", MP4)])
def test_an_index_beyond_what_is_known_leaves_it_to_the_link(wanted: str, media: MediaType) -> None:
    assert known(INDEX_AT_THE_END, wanted) == media


@pytest.mark.parametrize(("brand", "media"), [(b"M4A ", M4A), (b"M4B ", M4A), (b"M4V ", MP4), (b"avc1", MP4)])
@pytest.mark.parametrize("wanted", ["audio", "video"])
def test_or_to_a_brand_that_says_it(brand: bytes, media: MediaType, wanted: str) -> None:
    assert known(INDEX_AT_THE_END.replace(b"isom\x00", brand + b"\x00"), wanted) == media


@pytest.mark.parametrize(
    ("major", "others", "media"),
    [
        (b"heic", b"mif1heic", "image/heic"),
        (b"mif1", b"mif1heic", "image/heic"),
        (b"mif1", b"mif1avif", "image/avif"),
        (b"avis", b"avif", "image/avif"),
    ],
)
def test_pictures_in_boxes_are_told_by_their_brand(major: bytes, others: bytes, media: str) -> None:
    box = b"ftyp" + major + b"\x00\x00\x00\x00" + others
    found = known((len(box) + 4).to_bytes(4) + box, "image")
    assert found is not None
    assert found.content_type == media


@pytest.mark.parametrize(
    "text", ["<!DOCTYPE html>", "<svg/>", '{"a": 1}', "not found", "", " \n", "夏の雨", "\ufeff<html>"]
)
def test_text_is_text_in_utf_8(text: str) -> None:
    assert is_text(text.encode())
    assert known(text.encode()) is None


def test_the_document_lists_what_is_recognised() -> None:
    rows = re.findall(r"\| `(\w+/[\w.+-]+)` \| `(\w+)` \|$", DOCUMENT.read_text(), re.MULTILINE)
    source = Path(module.__file__).read_text()
    written = set(
        re.findall(r'"((?:audio|video|image)/[\w.+-]+)"(?: if \w+ else "([\w/-]+)")?, "(\w+)"', source)
    )
    in_code = {(kind, extension) for first, second, extension in written for kind in (first, second) if kind}
    by_library = {("image/jpeg", "jpg"), ("image/png", "png"), ("image/webp", "webp"), ("image/gif", "gif")}
    by_library |= {("image/bmp", "bmp"), ("image/tiff", "tif"), ("video/x-msvideo", "avi")}
    assert set(rows) == in_code | by_library


@given(
    st.binary(max_size=300)
    | st.sampled_from(sorted(KINDS)).flatmap(
        lambda name: st.tuples(st.just(name), st.integers(0, 400), st.binary(max_size=8)).map(
            lambda cut: (
                (FILES / cut[0]).read_bytes()[: cut[1]]
                + cut[2]
                + (FILES / cut[0]).read_bytes()[cut[1] + len(cut[2]) :]
            )
        )
    )
)
def test_no_file_makes_it_stumble(head: bytes) -> None:
    for is_whole in (True, False):
        recognise(head, is_whole=is_whole, wanted="audio")
    is_text(head)
