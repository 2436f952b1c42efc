"""Files of every kind, as ffmpeg made them (media/README.md), and what docs/media.md says of them."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fulfillment import media as module
from fulfillment.media import MediaType, is_text, recognise

FILES = Path(__file__).parent / "media"
DOCUMENT = Path(__file__).parents[3] / "docs" / "media.md"
KINDS = {
    "aac-dash.mp4": ("audio/mp4", "m4a"),
    "aac-faststart.mp4": ("audio/mp4", "m4a"),
    "aac-fragmented.mp4": ("audio/mp4", "m4a"),
    "aac-isom.mp4": ("audio/mp4", "m4a"),
    "aac-m4a.mp4": ("audio/mp4", "m4a"),
    "aac-m4b.mp4": ("audio/mp4", "m4a"),
    "aac-mp42.mp4": ("audio/mp4", "m4a"),
    "aac.3gp": ("audio/mp4", "m4a"),
    "aac.aac": ("audio/aac", "aac"),
    "aac.mov": ("audio/mp4", "m4a"),
    "aac.ts": ("audio/mp2t", "ts"),
    "ac3.ac3": ("audio/ac3", "ac3"),
    "aifc.aiff": ("audio/aiff", "aiff"),
    "aiff.aiff": ("audio/aiff", "aiff"),
    "alac.m4a": ("audio/mp4", "m4a"),
    "animation.avif": ("image/avif", "avif"),
    "audio.mka": ("audio/x-matroska", "mka"),
    "audio.webm": ("audio/webm", "webm"),
    "caf.caf": ("audio/x-caf", "caf"),
    "dts.dts": ("audio/vnd.dts", "dts"),
    "eac3.eac3": ("audio/eac3", "eac3"),
    "flac.flac": ("audio/flac", "flac"),
    "flac.ogg": ("audio/ogg", "ogg"),
    "image.avif": ("image/avif", "avif"),
    "image.bmp": ("image/bmp", "bmp"),
    "image.gif": ("image/gif", "gif"),
    "image.ico": ("image/x-icon", "ico"),
    "image.jp2": ("image/jp2", "jp2"),
    "image.jpg": ("image/jpeg", "jpg"),
    "image.jxl": ("image/jxl", "jxl"),
    "image.png": ("image/png", "png"),
    "image.tiff": ("image/tiff", "tif"),
    "image.webp": ("image/webp", "webp"),
    "layer2.mp2": ("audio/mpeg", "mp3"),
    "live.webm": ("audio/webm", "webm"),
    "mp3-cover.mp3": ("audio/mpeg", "mp3"),
    "mp3-cut.mp3": ("audio/mpeg", "mp3"),
    "mp3-mpeg2.mp3": ("audio/mpeg", "mp3"),
    "mp3-mpeg25.mp3": ("audio/mpeg", "mp3"),
    "mp3-plain.mp3": ("audio/mpeg", "mp3"),
    "mp3-tagged.mp3": ("audio/mpeg", "mp3"),
    "mp3.flv": ("audio/x-flv", "flv"),
    "opus.ogg": ("audio/ogg", "ogg"),
    "rf64.wav": ("audio/wav", "wav"),
    "speex.ogg": ("audio/ogg", "ogg"),
    "sun.au": ("audio/basic", "au"),
    "tta.tta": ("audio/x-tta", "tta"),
    "video-called-audio.mp4": ("video/mp4", "mp4"),
    "video.avi": ("video/x-msvideo", "avi"),
    "video.flv": ("video/x-flv", "flv"),
    "video.mkv": ("video/x-matroska", "mkv"),
    "video.mov": ("video/quicktime", "mov"),
    "video.mp4": ("video/mp4", "mp4"),
    "video.mpg": ("video/mpeg", "mpg"),
    "video.ogv": ("video/ogg", "ogv"),
    "video.ts": ("video/mp2t", "ts"),
    "video.webm": ("video/webm", "webm"),
    "video.wmv": ("video/x-ms-wmv", "wmv"),
    "vorbis.ogg": ("audio/ogg", "ogg"),
    "wave.w64": ("audio/x-w64", "w64"),
    "wave.wav": ("audio/wav", "wav"),
    "wavpack.wv": ("audio/x-wavpack", "wv"),
    "wma.wma": ("audio/x-ms-wma", "wma"),
}
MP3, M4A, MP4 = module.MP3, module.M4A, module.MP4
FRAME_LENGTH = 417  # of MPEG 1, layer III, 128 kbit/s, 44,100 Hz


WITH_A_PICTURE = ["sound-and-mjpeg.mov", "sound-and-mjpeg.mp4", "sound-and-png.mov"]
BEGINNINGS = {
    "amr": b"#!AMR\n\x3c",
    "mid": b"MThd\x00\x00\x00\x06",
    "ape": b"MAC \x96\x0f\x00\x00",
    "mpc": b"MPCKSH\x1c\x00",
    "dsf": b"DSD \x1c\x00\x00\x00",
    "heic": b"\x00\x00\x00\x14ftypheic\x00\x00\x00\x00heic",
}


def known(head: bytes, wanted: str = "audio") -> MediaType | None:
    return recognise(head, wanted=wanted)


def test_every_file_has_its_kind() -> None:
    assert {path.name for path in FILES.iterdir()} == {*KINDS, *WITH_A_PICTURE, "README.md"}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("wanted", ["audio", "video", "image"])
def test_a_file_is_told_by_its_content(name: str, wanted: str) -> None:
    content = (FILES / name).read_bytes()
    assert recognise(content, wanted=wanted) == MediaType(*KINDS[name])
    assert not is_text(content)


@pytest.mark.parametrize("extension", BEGINNINGS)
def test_what_ffmpeg_does_not_make_is_told_by_its_first_bytes(extension: str) -> None:
    media = known(BEGINNINGS[extension] + b"\x00" * 100)
    assert media is not None
    assert media.extension == extension


def test_every_kind_is_shown_by_a_file_or_a_beginning() -> None:
    shown = {extension for _, extension in KINDS.values()} | set(BEGINNINGS)
    assert {media.extension for media in all_kinds()} == shown


def all_kinds() -> set[MediaType]:
    named = [value for value in vars(module).values() if isinstance(value, MediaType)]
    by_signature = [media for _, media in module._SIGNATURES]
    return {*named, *by_signature, *module._BY_LIBRARY.values()}


@pytest.mark.parametrize("name", WITH_A_PICTURE)
@pytest.mark.parametrize(("wanted", "family"), [("audio", "audio"), ("image", "audio"), ("video", "video")])
def test_a_picture_beside_sound_makes_a_video_of_it_only_where_one_is_wanted(
    name: str, wanted: str, family: str
) -> None:
    media = known((FILES / name).read_bytes(), wanted)
    assert media is not None
    assert media.family == family


def test_pictures_without_sound_are_a_video() -> None:
    content = (FILES / "sound-and-mjpeg.mp4").read_bytes().replace(b"soun", b"text")
    assert known(content) == MP4


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


def test_the_rest_of_a_cut_frame_is_passed_over() -> None:
    assert known(b"\x55\xff\xfb\x12" * 100 + frames(0xFB) + frames(0xFB)) == MP3


def test_three_frames_in_the_middle_of_something_are_an_accident() -> None:
    assert known(b"\x07\x00" * 100 + frames(0xFB) + b"\x01" * 500) is None


def test_frames_of_two_streams_are_no_stream() -> None:
    assert known(b"\x07\x00" * 100 + (frames(0xFB)[:FRAME_LENGTH] + frames(0xF3)) * 2) is None


def test_padding_before_anything_else_is_nothing() -> None:
    assert known(b"\x00" * 512 + b"\xff\xfb\x90\x64" + b"\x01" * 2_000) is None


def test_a_tag_longer_than_what_is_known_is_that_of_an_mp3() -> None:
    assert known(b"ID3\x03\x00\x00\x00\x7f\x7f\x7f" + b"\x01" * 2_000) == MP3


def test_flac_and_aac_behind_a_tag_are_what_they_are() -> None:
    tag = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + b"\x00" * 10
    assert known(tag + b"fLaC\x00") == MediaType("audio/flac", "flac")
    assert known(tag + (FILES / "aac.aac").read_bytes()) == module.AAC


def test_tags_in_a_row_are_passed_over() -> None:
    id3 = b"ID3\x03\x00\x00\x00\x00\x00\x0a" + b"\x01" * 10
    ape = b"APETAGEX\xd0\x07\x00\x00\x28\x00\x00\x00" + b"\x00" * 56
    assert known(id3 + id3 + ape + (FILES / "aac.aac").read_bytes()) == module.AAC
    assert known(ape + frames(0xFB)) == MP3


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


ASCII_TEXTS = [
    "<!DOCTYPE html>",
    "<svg/>",
    '{"a": 1}',
    '[{"a": 1}]',
    "not found",
    "MAC address is blocked",
    "GIFs are not allowed",
    "BMW",
    " \n",
]


@pytest.mark.parametrize("text", [*ASCII_TEXTS, "", "夏の雨", "\ufeff<html>"])
@pytest.mark.parametrize("charset", ["utf-8", "utf-16", "gb18030"])
def test_text_is_text(text: str, charset: str) -> None:
    assert is_text(text.encode(charset))
    assert known(text.encode(charset)) is None


@pytest.mark.parametrize("text", ASCII_TEXTS)
@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_text_with_zeros_between_its_letters_is_text(text: str, charset: str) -> None:
    assert is_text(text.encode(charset))
    assert known(text.encode(charset)) is None


@pytest.mark.parametrize("start", [b"<", b"{", b"[", b" <", b"{ "])
def test_bytes_that_begin_as_markup_does_are_no_text(start: bytes) -> None:
    assert not is_text(start + b"\x07\x00\x9a\x11" * 100)


def test_html_with_a_stray_byte_in_it_is_text() -> None:
    assert is_text(b"<html>\x00</html>")


def test_a_text_whose_last_character_is_cut_is_text() -> None:
    assert known(b"BM" + "夏".encode() * 2_000) is None


def test_the_document_lists_what_is_recognised() -> None:
    of_media, _, _ = DOCUMENT.read_text().partition("\n## Outputs\n")
    rows = re.findall(r"\| `(\w+/[\w.+-]+)` \| `(\w+)` \|$", of_media, re.MULTILINE)
    assert sorted(rows) == sorted((media.content_type, media.extension) for media in all_kinds())


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (len(content) + 8).to_bytes(4) + kind + content


FTYP = box(b"ftyp", b"isom\x00\x00\x00\x00")
TRACK = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stsd") * 9))))


@pytest.mark.parametrize(
    "content",
    [
        FTYP + box(b"free") * 1_000_000,
        FTYP + box(b"moov", TRACK * 70_000),
        b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\xec\x80" * 4_000_000,
        b"ID3\x03\x00\x00\x00\x00\x00\x00" * 800_000,
        (b"OggS\x00\x02" + b"\x00" * 21) * 300_000,
    ],
    ids=["boxes", "tracks", "elements", "tags", "pages"],
)
def test_no_file_takes_long(content: bytes) -> None:
    looked_at = 0

    class Counted(bytes):
        def __getitem__(self, at: Any) -> Any:
            nonlocal looked_at
            looked_at += 1
            return super().__getitem__(at)

    recognise(Counted(content), wanted="audio")
    assert looked_at < 200_000


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
    for wanted in ("audio", "image", "video"):
        recognise(head, wanted=wanted)
    is_text(head)


MARKS = {
    "fLaC": "audio/flac",
    "#!AMR": "audio/amr",
    "MThd": "audio/midi",
    "caff": "audio/x-caf",
    ".snd": "audio/basic",
    "MAC ": "audio/x-ape",
    "wvpk": "audio/x-wavpack",
    "MPCK": "audio/x-musepack",
    "MP+": "audio/x-musepack",
    "TTA1": "audio/x-tta",
    "DSD ": "audio/x-dsf",
    "riff.\x91Ï\x11¥Ö(Û\x04Á\x00\x00": "audio/x-w64",
    "ADIF": "audio/aac",
    "\x7fþ\x80\x01": "audio/vnd.dts",
    "\x00\x00\x01º": "video/mpeg",
    "\x00\x00\x01³": "video/mpeg",
    "ÿ\n": "image/jxl",
    "\x00\x00\x00\x0cJXL \r\n\x87\n": "image/jxl",
    "RIFF\x04\x00\x00\x00WAVE": "audio/wav",
    "RIFX\x04\x00\x00\x00WAVE": "audio/wav",
    "RF64\x04\x00\x00\x00WAVE": "audio/wav",
    "BW64\x04\x00\x00\x00WAVE": "audio/wav",
    "FORM\x04\x00\x00\x00AIFF": "audio/aiff",
    "FORM\x04\x00\x00\x00AIFC": "audio/aiff",
    "FLV\x01\x04": "audio/x-flv",
    "FLV\x01\x05": "video/x-flv",
    "\x0bw\x00\x00\x00\x50": "audio/ac3",
    "\x0bw\x00\x00\x00\x58": "audio/eac3",
}
"""How files begin, in Latin-1, by their own specifications."""


@pytest.mark.parametrize(("mark", "kind"), MARKS.items())
def test_a_file_is_known_by_its_mark(mark: str, kind: str) -> None:
    media = known(mark.encode("latin-1") + b"\x9f\x00\x01" * 40)
    assert media is not None
    assert media.content_type == kind


def boxed(major: bytes, *others: bytes) -> bytes:
    body = major + b"\x00\x00\x00\x00" + b"".join(others)
    return (8 + len(body)).to_bytes(4) + b"ftyp" + body


@pytest.mark.parametrize(
    "box", [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"sidx", b"moof", b"pnot"]
)
def test_a_file_of_boxes_may_begin_with_any_of_them(box: bytes) -> None:
    assert known(b"\x00\x00\x00\x08" + box + b"\x9f") == M4A
    assert known(b"\x00\x00\x00\x08abcd\x9f") is None


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        *[((each,), "avif") for each in (b"avif", b"avis")],
        *[((each,), "heic") for each in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")],
        *[((each,), "heic") for each in (b"mif1", b"mif2", b"msf1", b"miaf")],
        *[((each, b"x   ", b"avif"), "avif") for each in (b"mif1", b"mif2", b"msf1", b"miaf")],
        ((b"mif1", b"avis"), "avif"),
        *[((each,), "m4a") for each in (b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B ")],
        ((b"isom", b"avif"), "mp4"),
        ((b"qt  ",), "mov"),
    ],
)
def test_a_brand_says_what_is_in_the_boxes(brands: tuple[bytes, ...], kind: str) -> None:
    media = known(boxed(*brands) + b"\x9f", "video")
    assert media is not None
    assert media.extension == kind


@pytest.mark.parametrize("brand", [b"M4V ", b"M4VH", b"M4VP", b"avc1", b"hvc1", b"hev1", b"av01", b"F4V "])
def test_a_brand_of_video_is_one_where_audio_is_wanted_too(brand: bytes) -> None:
    assert known(boxed(b"isom", brand) + b"\x9f", "audio") == MP4
    assert known(boxed(b"isom", b"iso2") + b"\x9f", "audio") == M4A


def ogg(*streams: bytes) -> bytes:
    pages = (b"OggS\x00\x02" + bytes(20) + b"\x01\x10" + each.ljust(16, b"\x9f") for each in streams)
    return b"".join(pages) + b"\x9f" * 30


@pytest.mark.parametrize(
    "stream", [b"\x80theora", b"BBCD\x00", b"KW-DIRAC", b"OVP80", b"\x80daala", b"\x01video"]
)
def test_an_ogg_file_is_a_video_by_any_of_its_streams(stream: bytes) -> None:
    for head, kind in ((ogg(stream), "ogv"), (ogg(b"OpusHead", stream), "ogv"), (ogg(b"OpusHead"), "ogg")):
        media = known(head)
        assert media is not None
        assert media.extension == kind


def transported(*types: int, before: bytes = b"") -> bytes:
    def section(table: int, body: bytes) -> bytes:
        return bytes([table]) + (0xB000 | 9 + len(body)).to_bytes(2) + bytes(5) + body + bytes(4)

    def packet(pid: int, payload: bytes) -> bytes:
        return (b"\x47" + (0x4000 | pid).to_bytes(2) + b"\x10\x00" + payload).ljust(188, b"\xff")

    streams = b"".join(bytes([each]) + b"\xe1\x00\xf0\x00" for each in types)
    tables = (
        packet(0, section(0, b"\x00\x01\xe1\x00")),
        *((packet(0x100, section(3, before)),) if before else ()),
        packet(0x100, section(2, b"\xe1\x00\xf0\x00" + streams)),
    )
    return b"".join((*tables, packet(0x1FF, b""), packet(0x1FF, b"")))


@pytest.mark.parametrize("audio", [0x03, 0x04, 0x0F, 0x11, 0x81, 0x87])
def test_a_transport_stream_of_sound_alone_is_audio(audio: int) -> None:
    assert known(transported(audio)) == module.TS_AUDIO
    assert known(transported(0x06, audio)) == module.TS_AUDIO
    assert known(transported(0x06)) == module.TS
    # Another table that the map's packets carry names no stream.
    assert known(transported(audio, before=b"\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x00")) == module.TS_AUDIO


@pytest.mark.parametrize("video", [0x01, 0x02, 0x10, 0x1B, 0x20, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xEA])
def test_a_transport_stream_with_pictures_is_video(video: int) -> None:
    assert known(transported(0x0F, video)) == module.TS


# ISO/IEC 11172-3, 2.4.2.3, and 13818-3, 2.4.2.3: kbit/s by index, of version 1 and 2, by layer; then samples a second.
KBPS = {
    (3, 1): [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    (3, 2): [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    (3, 3): [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    (2, 1): [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    (2, 2): [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    (2, 3): [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
}
RATES = {3: [44_100, 48_000, 32_000], 2: [22_050, 24_000, 16_000], 0: [11_025, 12_000, 8_000]}


@pytest.mark.parametrize("version", RATES)
@pytest.mark.parametrize("layer", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1])
def test_frames_in_a_row_are_found_behind_junk_by_their_lengths(
    version: int, layer: int, padding: int
) -> None:
    for bitrate, kbps in enumerate(KBPS[version or 2, layer], start=1):
        for rate, hertz in enumerate(RATES[version]):
            samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
            if layer == 1:
                length = (12_000 * kbps // hertz + padding) * 4
            else:
                length = samples // 8 * kbps * 1000 // hertz + padding
            header = bytes(
                [0xFF, 0xE1 | version << 3 | 4 - layer << 1, bitrate << 4 | rate << 2 | padding << 1, 0]
            )
            for more, media in ((0, MP3), (1, None)):
                frames = header.ljust(length + more, b"\x9f") * 4
                found = known(b"\x9f\x01" * 20 + frames)
                assert found == media, (version, layer, kbps, hertz, more)


@pytest.mark.parametrize(("length", "media"), [(65_533, MP3), (65_534, None)])
def test_junk_before_the_first_frame_takes_64_kib_at_most(length: int, media: MediaType | None) -> None:
    frame = b"\xff\xfb\x90\x00".ljust(FRAME_LENGTH, b"\x9f")
    assert known(b"\x9f" * length + frame * 4) == media
