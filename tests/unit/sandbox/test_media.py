"""The files are what their names say, told by their own structure."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tunehook_local.sandbox.clips import LARGE_COVER, MEDIA, TRACKS, VIDEO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# MPEG 1, layer III: kbit/s by the header's bitrate index.
BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def mp3_frames(data: bytes) -> Iterator[int]:
    """Yields the samples of each frame behind the ID3v2 tag; fails where no frame follows a frame."""
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte
    position, end = 10 + size, len(data) - 128
    while position < end:
        sync, layer, rates = data[position], data[position + 1], data[position + 2]
        assert (sync, layer & 0xFE) == (0xFF, 0xFA), f"no frame at {position}"
        assert rates >> 2 & 3 == 0, "not 44.1 kHz"
        position += 144 * BITRATES[rates >> 4] * 1000 // 44_100 + (rates >> 1 & 1)
        yield 1152
    assert position == end


def jpeg_size(data: bytes) -> tuple[int, int]:
    """The width and height that the frame header of a JPEG says."""
    position = 2
    while data[position + 1] not in (0xC0, 0xC2):
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    height, width = struct.unpack(">HH", data[position + 5 : position + 9])
    return width, height


def mp4_boxes(data: bytes) -> list[bytes]:
    boxes, position = [], 0
    while position < len(data):
        size, name = struct.unpack(">I4s", data[position : position + 8])
        boxes.append(name)
        position += size
    assert position == len(data)
    return boxes


@pytest.mark.parametrize("track", TRACKS, ids=lambda track: track.audio.name)
class TestRecording:
    def test_it_has_both_kinds_of_id3_tags(self, track: object) -> None:
        data = track.audio.read_bytes()
        assert data[:3] == b"ID3"
        assert b"TIT2" in data[:200]
        assert data[-128:-125] == b"TAG"

    def test_it_is_unbroken_mp3_of_the_length_that_the_providers_say(self, track: object) -> None:
        samples = sum(mp3_frames(track.audio.read_bytes()))
        assert samples / 44_100 == pytest.approx(track.duration_s, abs=0.06)

    def test_it_is_small(self, track: object) -> None:
        assert 30_000 < track.audio.stat().st_size < 120_000

    def test_its_cover_is_a_jpeg_of_256_pixels(self, track: object) -> None:
        data = track.cover.read_bytes()
        assert (data[:3], data[-2:]) == (b"\xff\xd8\xff", b"\xff\xd9")
        assert jpeg_size(data) == (256, 256)


def test_the_large_cover_is_a_jpeg_of_1024_pixels() -> None:
    assert jpeg_size(LARGE_COVER.read_bytes()) == (1024, 1024)


def test_the_video_is_an_mp4_with_h264_and_aac() -> None:
    data = VIDEO.read_bytes()
    boxes = mp4_boxes(data)
    assert boxes[0] == b"ftyp"
    assert {b"moov", b"mdat"} < set(boxes)
    assert b"avc1" in data
    assert b"mp4a" in data
    assert len(data) < 150_000


def test_the_m4a_is_sound_alone_though_its_brand_does_not_say_so() -> None:
    data = (MEDIA / "tone.m4a").read_bytes()
    assert data[4:12] == b"ftypisom"
    assert {b"moov", b"mdat"} < set(mp4_boxes(data))
    assert b"mp4a" in data
    assert b"vide" not in data
    assert len(data) < 5_000


def test_the_recordings_and_covers_differ() -> None:
    files: list[Path] = [path for track in TRACKS for path in (track.audio, track.cover)]
    assert len({path.read_bytes() for path in files}) == 4
