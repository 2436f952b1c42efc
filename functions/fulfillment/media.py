"""Sniff the media type of a file: the container by its first bytes, audio or video by its tracks.

`filetype` knows the simple formats; a container's brand says nothing of its tracks
(`docs/decisions/021-media-by-content.md`). What is recognised, and as what: `docs/media.md`.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import filetype


@dataclass(frozen=True, slots=True)
class MediaType:
    """What a file is; the `extension` is without a dot, and the `remark` says what is odd about it, if anything."""

    content_type: str
    extension: str
    remark: str | None = None

    @property
    def family(self) -> str:
        """The part of the type before the slash."""
        return self.content_type.partition("/")[0]


MP3: Final = MediaType("audio/mpeg", "mp3")
AAC: Final = MediaType("audio/aac", "aac")
M4A: Final = MediaType("audio/mp4", "m4a")
OGG: Final = MediaType("audio/ogg", "ogg")
WEBM_AUDIO: Final = MediaType("audio/webm", "webm")
MKA: Final = MediaType("audio/x-matroska", "mka")
WAV: Final = MediaType("audio/wav", "wav")
AIFF: Final = MediaType("audio/aiff", "aiff")
WMA: Final = MediaType("audio/x-ms-wma", "wma")
AMR: Final = MediaType("audio/amr", "amr")
MUSEPACK: Final = MediaType("audio/x-musepack", "mpc")
AC3: Final = MediaType("audio/ac3", "ac3")
EAC3: Final = MediaType("audio/eac3", "eac3")
FLV_AUDIO: Final = MediaType("audio/x-flv", "flv")
TS_AUDIO: Final = MediaType("audio/mp2t", "ts")
MP4: Final = MediaType("video/mp4", "mp4")
MOV: Final = MediaType("video/quicktime", "mov")
WEBM: Final = MediaType("video/webm", "webm")
MKV: Final = MediaType("video/x-matroska", "mkv")
OGV: Final = MediaType("video/ogg", "ogv")
FLV: Final = MediaType("video/x-flv", "flv")
MPG: Final = MediaType("video/mpeg", "mpg")
TS: Final = MediaType("video/mp2t", "ts")
WMV: Final = MediaType("video/x-ms-wmv", "wmv")
PNG: Final = MediaType("image/png", "png")
AVIF: Final = MediaType("image/avif", "avif")
HEIC: Final = MediaType("image/heic", "heic")
JXL: Final = MediaType("image/jxl", "jxl")

_BY_LIBRARY: Final = {
    "image/jpeg": MediaType("image/jpeg", "jpg"),
    "image/png": PNG,
    "image/apng": PNG,
    "image/webp": MediaType("image/webp", "webp"),
    "image/gif": MediaType("image/gif", "gif"),
    "image/bmp": MediaType("image/bmp", "bmp"),
    "image/tiff": MediaType("image/tiff", "tif"),
    "image/jpx": MediaType("image/jp2", "jp2"),
    "image/x-icon": MediaType("image/x-icon", "ico"),
    "video/x-msvideo": MediaType("video/x-msvideo", "avi"),
    "video/mpeg": MPG,
}
_SIGNATURES: Final = (
    (b"fLaC", MediaType("audio/flac", "flac")),
    (b"#!AMR", AMR),
    (b"MThd", MediaType("audio/midi", "mid")),
    (b"caff", MediaType("audio/x-caf", "caf")),
    (b".snd", MediaType("audio/basic", "au")),
    (b"MAC ", MediaType("audio/x-ape", "ape")),
    (b"wvpk", MediaType("audio/x-wavpack", "wv")),
    (b"MPCK", MUSEPACK),
    (b"MP+", MUSEPACK),
    (b"TTA1", MediaType("audio/x-tta", "tta")),
    (b"DSD ", MediaType("audio/x-dsf", "dsf")),
    (bytes.fromhex("726966662e91cf11a5d628db04c10000"), MediaType("audio/x-w64", "w64")),
    (b"ADIF", AAC),
    (b"\x7f\xfe\x80\x01", MediaType("audio/vnd.dts", "dts")),
    (b"\x00\x00\x01\xba", MPG),
    (b"\x00\x00\x01\xb3", MPG),
    (b"\xff\x0a", JXL),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", JXL),
)
_WAVE: Final = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_BOXES: Final = frozenset(
    {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"styp", b"sidx", b"moof", b"pnot"}
)
_AVIF: Final = frozenset({b"avif", b"avis"})
_HEIC: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_STILLS: Final = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
"""Brands of pictures of any coding, which the other brands name."""

_AUDIO_BRANDS: Final = frozenset({b"M4A ", b"M4B ", b"M4P ", b"F4A ", b"F4B "})
_VIDEO_BRANDS: Final = frozenset({b"M4V ", b"M4VH", b"M4VP", b"avc1", b"hvc1", b"hev1", b"av01", b"F4V "})
_PICTURE_CODINGS: Final = frozenset({b"jpeg", b"png ", b"gif ", b"tiff"})
_JPEG_OR_PNG_IN_MP4: Final = re.compile(
    # ISO/IEC 14496-1, 7.2.6: an ES_Descriptor, and in it the objectTypeIndication of a DecoderConfigDescriptor.
    rb"esds.{4}\x03[\x80-\xff]{0,3}[\x00-\x7f].{3}\x04[\x80-\xff]{0,3}[\x00-\x7f][\x6c\x6d]",
    re.DOTALL,
)
_ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_VIDEO: Final = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_EBML: Final = b"\x1a\x45\xdf\xa3"
_OGG_VIDEO: Final = (b"\x80theora", b"BBCD\x00", b"KW-DIRAC", b"OVP80", b"\x80daala", b"\x01video")
_TS_PACKET: Final = 188
_TS_VIDEO: Final = frozenset({0x01, 0x02, 0x10, 0x1B, 0x20, 0x24, 0x33, 0x42, 0xD1, 0xD2, 0xEA})
_TS_AUDIO: Final = frozenset({0x03, 0x04, 0x0F, 0x11, 0x81, 0x87})

_JUNK_MAX: Final = 64 * 1024
"""How much other than zeros may lie before the first frame of an MP3, such as the rest of a cut one."""

_SYNC: Final = re.compile(rb"\xff(?=[\xe2-\xe7\xf0-\xff][\x00-\xef])")

_SURE_FRAMES: Final = 4
"""So many frames in a row are no accident."""

_STEPS_MAX: Final = 20_000
"""How many boxes or elements of one file are read."""

_TAGS_MAX: Final = 16
_OGG_STREAMS_MAX: Final = 64

_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MARKUP: Final = re.compile(rb"""(?:\xef\xbb\xbf)?\s*(?:<[!?/A-Za-z]|\{\s*["}]|\[\s*[]\[{"])""")
_TEXT_LOOKED_AT: Final = 4096


def recognise(head: bytes, *, wanted: str) -> MediaType | None:
    """Return what a file is by its beginning; None for an unknown kind, and for text.

    A container whose tracks lie beyond `head` is taken for what is `wanted`: ``audio`` or ``video``.
    """
    if _is_utf8_text(head):
        return None
    start = _after_tags(head)
    media = _recognise(head[start:] if start else head, wanted)
    if not start:
        return media
    # A tag stands before audio only. What follows a long one may lie beyond `head`.
    return media if media is not None and media.family == "audio" else MP3


def _recognise(head: bytes, wanted: str) -> MediaType | None:
    for mark, media in _SIGNATURES:
        if head.startswith(mark):
            return media
    if head[4:8] in _BOXES:
        return _of_boxes(head, wanted)
    if head.startswith(_EBML):
        return _of_matroska(head, wanted)
    if head.startswith(b"OggS"):
        return OGV if any(page.startswith(_OGG_VIDEO) for page in _first_pages(head)) else OGG
    if head.startswith(_WAVE) and head[8:12] == b"WAVE":
        return WAV
    if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head.startswith(b"FLV\x01"):
        return FLV_AUDIO if head[4:5] == b"\x04" else FLV
    if head.startswith(_ASF):
        return WMV if _ASF_VIDEO in head[: int.from_bytes(head[16:24], "little")] else WMA
    if head.startswith(b"\x0b\x77") and len(head) > 5:
        return EAC3 if head[5] >> 3 > 10 else AC3  # bsid: ETSI TS 102 366, E.1.1
    if (audio := _of_mpeg_audio(head)) is not None:
        return audio
    if len(head) > 2 * _TS_PACKET and head[0] == head[_TS_PACKET] == head[2 * _TS_PACKET] == 0x47:
        return _of_transport_stream(head)
    guess = filetype.guess(head)
    if guess is not None and guess.mime in _BY_LIBRARY:
        return _BY_LIBRARY[guess.mime]
    return _of_frames_behind_junk(head)


def is_text(head: bytes) -> bool:
    """Return whether a file's beginning is text of any charset, HTML and JSON included.

    Text of UTF-16 without a byte order mark has zeros between its ASCII.
    """
    head = head[:_TEXT_LOOKED_AT]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    for part in (head[::2], head[1::2]):
        if len(head) >= 4 and not any(part):
            return is_text(head.replace(b"\x00", b"") or b"\x00")
    return _MARKUP.match(head) is not None or _CONTROL.search(head) is None


def _is_utf8_text(head: bytes) -> bool:
    head = head[:_TEXT_LOOKED_AT]
    try:
        # The last character may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(head) is None


def _after_tags(head: bytes) -> int:
    """Return where the tags before audio end: ID3v2 (id3.org, 2.4.0, section 3.1), and APEv2."""
    at = 0
    for _ in range(_TAGS_MAX):
        if head[at : at + 3] == b"ID3" and len(head) >= at + 10:
            size = 0
            for byte in head[at + 6 : at + 10]:
                size = size << 7 | byte & 0x7F
            at += 10 + size + (10 if head[at + 5] & 0x10 else 0)
        elif head[at : at + 8] == b"APETAGEX" and len(head) >= at + 16:
            at += 32 + int.from_bytes(head[at + 12 : at + 16], "little")
        else:
            break
    return at


def _of_boxes(head: bytes, wanted: str) -> MediaType:
    """Read an ISO base media file (MP4, M4A, MOV, 3GP, AVIF, HEIC): ISO/IEC 14496-12."""
    steps = iter(range(_STEPS_MAX))
    brands: frozenset[bytes] = frozenset()
    major = b""
    tracks: list[tuple[bytes, bool]] = []
    for kind, start, end in _boxes(head, 0, len(head), steps):
        if kind == b"ftyp":
            body = head[start : min(end, start + 1024)]
            major = body[:4]
            brands = frozenset(body[at : at + 4] for at in range(0, len(body) - 3, 4) if at != 4)
        elif kind == b"moov":
            tracks = list(_tracks(head, start, end, steps))
            break
    if major in _AVIF or (major in _STILLS and brands & _AVIF):
        return AVIF
    if major in _HEIC | _STILLS:
        return HEIC
    video = MOV if major in (b"qt  ", b"") else MP4
    has_sound = any(handler == b"soun" for handler, _ in tracks)
    for handler, is_still in tracks:
        # A picture beside sound is its cover, or those of its chapters; of a video, it may be all there is.
        if handler == b"vide" and not (is_still and has_sound and wanted != "video"):
            return video
    if has_sound or major in _AUDIO_BRANDS:
        return M4A
    # Its index lies beyond `head`, at the end of the file as a rule.
    return video if brands & _VIDEO_BRANDS or wanted == "video" else M4A


def _tracks(head: bytes, start: int, end: int, steps: Iterator[int]) -> Iterator[tuple[bytes, bool]]:
    """Yield the handler of each track of a movie box, and whether it shows still pictures."""
    for track in _within(_boxes, head, (start, end), (b"trak",), steps):
        handler = b""
        for at, _ in _within(_boxes, head, track, (b"mdia", b"hdlr"), steps):
            handler = head[at + 8 : at + 12]
        is_still = False
        for at, until in _within(_boxes, head, track, (b"mdia", b"minf", b"stbl", b"stsd"), steps):
            entry = head[at + 8 : min(until, at + 1024)]
            is_still = entry[4:8] in _PICTURE_CODINGS or _JPEG_OR_PNG_IN_MP4.search(entry) is not None
        yield handler, is_still


def _within(
    read: Callable[..., Iterator[tuple[Any, int, int]]],
    head: bytes,
    place: tuple[int, int],
    path: tuple[Any, ...],
    steps: Iterator[int],
) -> Iterator[tuple[int, int]]:
    """Yield where the content of each box or element on a path of kinds lies."""
    for kind, start, end in read(head, *place, steps):
        if kind == path[0] and len(path) == 1:
            yield start, end
        elif kind == path[0]:
            yield from _within(read, head, (start, end), path[1:], steps)


def _boxes(head: bytes, start: int, end: int, steps: Iterator[int]) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box, and where its content begins and ends as far as that is known."""
    at = start
    while at + 8 <= end and next(steps, None) is not None:
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


def _of_matroska(head: bytes, wanted: str) -> MediaType:
    """Read a Matroska or WebM file (RFC 8794, RFC 9559): a track entry's type is 1 for video, 2 for audio."""
    steps = iter(range(_STEPS_MAX))
    is_webm = False
    types: set[int] = set()
    for element, start, end in _elements(head, 0, len(head), steps):
        if element == 0x1A45DFA3:  # EBML, and in it the DocType
            doc_types = _within(_elements, head, (start, end), (0x4282,), steps)
            is_webm = any(head[at:until].startswith(b"webm") for at, until in doc_types)
        elif element == 0x18538067:  # Segment, and in it Tracks, TrackEntry, TrackType
            entries = _within(_elements, head, (start, end), (0x1654AE6B, 0xAE, 0x83), steps)
            types = {int.from_bytes(head[at:until]) for at, until in entries}
            break
    is_video = 1 in types if types else wanted == "video"
    if is_webm:
        return WEBM if is_video else WEBM_AUDIO
    return MKV if is_video else MKA


def _elements(head: bytes, start: int, end: int, steps: Iterator[int]) -> Iterator[tuple[int, int, int]]:
    """Yield the id of each element, and where its content begins and ends as far as that is known."""
    at = start
    while at < end and next(steps, None) is not None:
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


def _first_pages(head: bytes) -> Iterator[bytes]:
    """Yield the beginning of each logical stream's first page, which names its codec (RFC 3533)."""
    at = 0
    for _ in range(_OGG_STREAMS_MAX):
        if head[at : at + 4] != b"OggS" or len(head) < at + 27 or not head[at + 5] & 2:
            return
        content = at + 27 + head[at + 26]
        yield head[content : content + 16]
        at = content + sum(head[at + 27 : content])


def _of_transport_stream(head: bytes) -> MediaType:
    """Read an MPEG transport stream (ISO/IEC 13818-1, 2.4.4): the program map names the type of each stream."""
    map_pids: set[int] = set()
    for at in range(0, min(len(head), 512 * _TS_PACKET) - _TS_PACKET + 1, _TS_PACKET):
        packet = head[at : at + _TS_PACKET]
        pid = int.from_bytes(packet[1:3]) & 0x1FFF
        if packet[0] != 0x47 or not packet[1] & 0x40 or not packet[3] & 0x10:
            continue
        content = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        section = content[1 + content[0] :] if content else b""
        body = section[8 : max((int.from_bytes(section[1:3]) & 0xFFF) - 1, 8)]
        if pid == 0 and section[:1] == b"\x00":
            map_pids.update(
                int.from_bytes(body[place + 2 : place + 4]) & 0x1FFF for place in range(0, len(body) - 3, 4)
            )
        elif pid in map_pids and section[:1] == b"\x02":
            types = set(_stream_types(body))
            return TS_AUDIO if types & _TS_AUDIO and not types & _TS_VIDEO else TS
    return TS


def _stream_types(program: bytes) -> Iterator[int]:
    at = 4 + (int.from_bytes(program[2:4]) & 0xFFF)
    while at + 5 <= len(program):
        yield program[at]
        at += 5 + (int.from_bytes(program[at + 3 : at + 5]) & 0xFFF)


def _of_mpeg_audio(head: bytes) -> MediaType | None:
    """Read an MP3 (every layer and rate) or ADTS AAC, behind zeros if need be."""
    is_padded = head.startswith(b"\x00")
    frames = head.lstrip(b"\x00") if is_padded else head
    if (media := _frame(frames)) is None:
        return None
    # Two bytes may be a header by accident, or the mark of UTF-16; a second header where the first says is none.
    is_plain = not is_padded and not head.startswith((b"\xff\xfe", b"\xff\xff"))
    return media if is_plain or _frames_in_a_row(frames, 0) > 1 else None


def _of_frames_behind_junk(head: bytes) -> MediaType | None:
    """Find frames in a row behind other bytes: a recorded stream begins within a frame."""
    for found in _SYNC.finditer(head[:_JUNK_MAX]):
        if _frames_in_a_row(head, found.start()) >= _SURE_FRAMES:
            return _frame(head[found.start() : found.start() + 4])
    return None


def _frames_in_a_row(data: bytes, at: int) -> int:
    """Count the frames of one stream, one right behind the other, up to `_SURE_FRAMES`."""
    first = data[at : at + 3]
    count = 0
    while count < _SURE_FRAMES and len(data) >= at + 4:
        header = data[at : at + 6]
        is_alike = header[0] == first[0] and header[1] == first[1] and not (header[2] ^ first[2]) & 0x0C
        if _frame(header) is None or not is_alike:
            break
        count += 1
        at += _frame_length(header) or len(data)
    return count


_BITRATES: Final = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame(data: bytes) -> MediaType | None:
    """Return the type that a frame header names (ISO/IEC 11172-3, 13818-3, 13818-7)."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
    if layer == 4:
        return AAC if data[1] & 0xF6 == 0xF0 and data[2] >> 2 & 15 < 13 else None
    bitrate, rate = data[2] >> 4, data[2] >> 2 & 3
    return None if version == 1 or bitrate == 15 or rate == 3 else MP3


def _frame_length(header: bytes) -> int:
    """Return how long a frame is in bytes, by its first 6 bytes; 0 if they do not say."""
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    if layer == 4:
        return max((header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5, 7) if len(header) > 5 else 0
    index = header[2] >> 4
    if index == 0:  # of free format
        return 0
    generation = 1 if version == 3 else 2
    kbps = _BITRATES[generation, layer if generation == 1 else min(layer, 2)][index - 1]
    rate = _RATES[version][header[2] >> 2 & 3]
    padding = header[2] >> 1 & 1
    if layer == 1:
        return (12_000 * kbps // rate + padding) * 4
    samples = 72_000 if layer == 3 and generation == 2 else 144_000
    return samples * kbps // rate + padding
