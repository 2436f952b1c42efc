"""What a file is, by its content: the container by its first bytes, audio or video by its tracks.

`filetype` knows the simple formats; containers are looked into here, since a brand says nothing of what is in them
(`docs/decisions/021-media-by-content.md`). What is recognised, and as what: `docs/media.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import filetype

Family = Literal["audio", "image", "video"]


@dataclass(frozen=True, slots=True)
class MediaType:
    """What a file is."""

    content_type: str
    extension: str

    @property
    def family(self) -> str:
        """The part of the type before the slash."""
        return self.content_type.partition("/")[0]


MP3: Final = MediaType("audio/mpeg", "mp3")
AAC: Final = MediaType("audio/aac", "aac")
FLAC: Final = MediaType("audio/flac", "flac")
M4A: Final = MediaType("audio/mp4", "m4a")
MP4: Final = MediaType("video/mp4", "mp4")
MOV: Final = MediaType("video/quicktime", "mov")

_SIMPLE: Final = (
    (0, b"fLaC", FLAC),
    (0, b"#!AMR", MediaType("audio/amr", "amr")),
    (0, b"MThd", MediaType("audio/midi", "mid")),
    (0, b"caff", MediaType("audio/x-caf", "caf")),
    (0, b".snd", MediaType("audio/basic", "au")),
    (0, b"MAC ", MediaType("audio/x-ape", "ape")),
    (0, b"wvpk", MediaType("audio/x-wavpack", "wv")),
    (0, b"ADIF", AAC),
    (0, b"FLV\x01", MediaType("video/x-flv", "flv")),
    (0, b"\x00\x00\x01\xba", MediaType("video/mpeg", "mpg")),
    (0, b"\x00\x00\x01\xb3", MediaType("video/mpeg", "mpg")),
)
_WAVE: Final = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_BOXES: Final = frozenset({b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"pnot"})
_AVIF: Final = frozenset({b"avif", b"avis"})
_HEIC: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})
_VIDEO_BRANDS: Final = frozenset({b"M4V ", b"M4VH", b"M4VP", b"avc1", b"hvc1", b"hev1", b"av01", b"F4V "})
_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_VIDEO: Final = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_EBML: Final = b"\x1a\x45\xdf\xa3"
_TS_PACKET: Final = 188
_PADDING_MAX: Final = 64 * 1024
_NOT_TEXT: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def recognise(head: bytes, *, is_whole: bool, wanted: str) -> MediaType | None:
    """Tell what a file is.

    Parameters
    ----------
    head : bytes
        Its beginning; the more, the surer.
    is_whole : bool
        Whether that is all of it.
    wanted : str
        What a container is taken for whose tracks lie beyond `head`: ``audio`` or ``video``.

    Returns
    -------
    MediaType or None
        None for what is of no known kind, text and HTML among it.
    """
    for offset, mark, media in _SIMPLE:
        if head.startswith(mark, offset):
            return media
    if head[4:8] in _BOXES:
        return _of_boxes(head, is_whole=is_whole, wanted=wanted)
    if head.startswith(_EBML):
        return _of_matroska(head, wanted=wanted)
    if head.startswith(b"OggS"):
        return _of_ogg(head)
    if head.startswith(_WAVE) and head[8:12] == b"WAVE":
        return MediaType("audio/wav", "wav")
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return MediaType("audio/aiff", "aiff")
    if head.startswith(_ASF):
        return (
            MediaType("video/x-ms-wmv", "wmv") if _ASF_VIDEO in head else MediaType("audio/x-ms-wma", "wma")
        )
    if (audio := _of_mpeg_audio(head)) is not None:
        return audio
    if len(head) > 2 * _TS_PACKET and head[0] == head[_TS_PACKET] == head[2 * _TS_PACKET] == 0x47:
        return MediaType("video/mp2t", "ts")
    guess = filetype.guess(head)
    if guess is None or guess.mime.partition("/")[0] not in ("image", "video"):
        return None
    return MediaType(guess.mime, guess.extension)


def is_text(head: bytes) -> bool:
    """Return whether a file's beginning is text, HTML and JSON among it: what hosts send in place of a file."""
    if not head.strip():
        return True
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"{", b"[")):
        return True
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return _NOT_TEXT.search(head[:4096]) is None


def _of_boxes(head: bytes, *, is_whole: bool, wanted: str) -> MediaType:
    """Read an ISO base media file (MP4, M4A, MOV, 3GP, AVIF, HEIC): ISO/IEC 14496-12."""
    brands: set[bytes] = set()
    major = b""
    for kind, body in _boxes(head, 0, len(head)):
        if kind == b"ftyp":
            major = bytes(body[:4])
            brands = {bytes(body[at : at + 4]) for at in range(0, len(body) - 3, 4) if at != 4}
        elif kind == b"moov":
            break
    if major in _AVIF or (major in _HEIC and brands & _AVIF):
        return MediaType("image/avif", "avif")
    if major in _HEIC:
        return MediaType("image/heic", "heic")
    is_quicktime = major in (b"qt  ", b"")
    tracks = _tracks(head)
    if b"vide" in tracks:
        return MOV if is_quicktime else MP4
    if b"soun" in tracks:
        return M4A
    # Its index lies beyond what is known, at the end of the file as a rule: the brand may tell, or else the link does.
    if major in _AUDIO_BRANDS:
        return M4A
    if brands & _VIDEO_BRANDS or is_whole or wanted == "video":
        return MOV if is_quicktime else MP4
    return M4A


def _tracks(head: bytes) -> set[bytes]:
    """Return the handler of each track; a still picture, as an album's cover, is none."""
    found: set[bytes] = set()
    for kind, start, end in _ranges(head, 0, len(head)):
        if kind != b"moov":
            continue
        for inner, track_start, track_end in _ranges(head, start, end):
            if inner != b"trak":
                continue
            for media, media_start, media_end in _ranges(head, track_start, track_end):
                if media != b"mdia":
                    continue
                for leaf, leaf_start, _ in _ranges(head, media_start, media_end):
                    if leaf == b"hdlr":
                        found.add(head[leaf_start + 8 : leaf_start + 12])
    return found


def _boxes(head: bytes, start: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    for kind, body_start, body_end in _ranges(head, start, end):
        yield kind, head[body_start:body_end]


def _ranges(head: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes between two places: the type, and where the content begins and ends as far as it is known."""
    at = start
    while at + 8 <= end:
        size = int.from_bytes(head[at : at + 4])
        kind = head[at + 4 : at + 8]
        content = at + 8
        if size == 1:
            size = int.from_bytes(head[at + 8 : at + 16])
            content = at + 16
        elif size == 0:
            size = end - at
        if size < content - at:
            return
        yield kind, content, min(at + size, end)
        at += size


def _of_matroska(head: bytes, *, wanted: str) -> MediaType:
    """Read a Matroska or WebM file (RFC 8794, RFC 9559): a track entry's type is 1 for video, 2 for audio."""
    is_webm = b"webm" in head[:64]
    types = set(_track_types(head))
    is_video = 1 in types if types else wanted == "video"
    if is_webm:
        return MediaType("video/webm" if is_video else "audio/webm", "webm")
    return MediaType("video/x-matroska", "mkv") if is_video else MediaType("audio/x-matroska", "mka")


def _track_types(head: bytes) -> Iterator[int]:
    for element, start, end in _elements(head, 0, len(head)):
        if element != 0x18538067:  # Segment
            continue
        for inner, inner_start, inner_end in _elements(head, start, end):
            if inner != 0x1654AE6B:  # Tracks
                continue
            for entry, entry_start, entry_end in _elements(head, inner_start, inner_end):
                if entry != 0xAE:  # TrackEntry
                    continue
                for leaf, leaf_start, leaf_end in _elements(head, entry_start, entry_end):
                    if leaf == 0x83:  # TrackType
                        yield int.from_bytes(head[leaf_start:leaf_end])


def _elements(head: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the elements between two places: the id, and where the content begins and ends as far as it is known."""
    at = start
    while at < end:
        id_length = 9 - head[at].bit_length()
        if id_length > 4 or at + id_length >= end:
            return
        element = int.from_bytes(head[at : at + id_length])
        at += id_length
        size_length = 9 - head[at].bit_length()
        if size_length > 8 or at + size_length > end:
            return
        bits = 7 * size_length
        size = int.from_bytes(head[at : at + size_length]) & ((1 << bits) - 1)
        at += size_length
        is_unknown = size == (1 << bits) - 1
        stop = end if is_unknown else min(at + size, end)
        yield element, at, stop
        at = stop


def _of_ogg(head: bytes) -> MediaType:
    """Read an Ogg file (RFC 3533): each logical stream's first page says what it is."""
    if any(mark in head[:4096] for mark in (b"\x80theora", b"\x01video", b"BBCD\x00")):
        return MediaType("video/ogg", "ogv")
    return MediaType("audio/ogg", "ogg")


def _of_mpeg_audio(head: bytes) -> MediaType | None:
    """Read an MP3 (every layer and rate) or ADTS AAC, behind tags and padding."""
    at, had_tag = 0, False
    while head[at : at + 3] == b"ID3" and len(head) >= at + 10:
        size = 0
        for byte in head[at + 6 : at + 10]:
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if head[at + 5] & 0x10 else 0)
        had_tag = True
    if had_tag and at >= len(head):
        return MP3
    rest = head[at : at + _PADDING_MAX].lstrip(b"\x00")
    is_padded = head[at : at + 1] == b"\x00"
    if had_tag and rest.startswith(b"fLaC"):
        return FLAC
    media = _frame(rest)
    if media is None:
        return MP3 if had_tag else None
    # A single header is two bytes of luck; a second one where the first says is none.
    is_sure = had_tag or _frame(rest[_frame_length(rest) :]) == media
    is_plain = not is_padded and not head.startswith((b"\xff\xfe", b"\xff\xff"))
    return media if is_sure or is_plain else None


_BITRATES: Final = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame(data: bytes) -> MediaType | None:
    """Return what a frame header at the beginning of `data` tells (ISO/IEC 11172-3, 13818-3, 13818-7)."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    if layer == 4:
        return AAC if data[1] & 0xF6 == 0xF0 and data[2] >> 2 & 15 < 13 else None
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    return None if version == 1 or bitrate == 15 or rate == 3 else MP3


def _frame_length(data: bytes) -> int:
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    if layer == 4:
        return max((data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5, 7) if len(data) > 5 else len(data)
    index = data[2] >> 4
    if index == 0:  # free format: no length is told
        return len(data)
    generation = 1 if version == 3 else 2
    kbps = _BITRATES[generation, layer if generation == 1 else min(layer, 2)][index - 1]
    rate = _RATES[version][data[2] >> 2 & 3]
    padding = data[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4
    samples = 72_000 if layer == 3 and generation == 2 else 144_000
    return samples * kbps // rate + padding
