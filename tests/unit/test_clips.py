"""What a clip is where nothing is said of it, and whether it can be played."""

from typing import Any

import pytest

from tunehook.clips import Clip

BARE: dict[str, Any] = dict.fromkeys(
    name
    for name in Clip.__slots__
    if name not in ("tags", "text", "inline", "image_url", "file_url", "is_output")
)


def test_a_clip_of_which_nothing_is_said_is_a_song_without_anything() -> None:
    clip = Clip(**BARE | {"clip_id": "c", "tags": ()})
    assert (clip.is_output, clip.inline, clip.text, clip.image_url, clip.file_url) == (
        False,
        (),
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("links", "playable"),
    [
        ({}, False),
        ({"audio_url": "https://h/a.mp3"}, True),
        ({"audio_source_url": "https://h/a.mp3"}, True),
        ({"stream_url": "https://h/live", "video_url": "https://h/a.mp4"}, False),
    ],
)
def test_a_clip_with_a_file_of_its_audio_can_be_played(links: dict[str, str], playable: bool) -> None:
    assert Clip(**BARE | {"clip_id": "c", "tags": ()} | links).playable is playable
