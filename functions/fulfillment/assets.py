"""Which files a clip has, and what a file must begin with to be what it is called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

import filetype

from tunehook.clips import Clip
from tunehook.errors import InvalidInput

AssetType: TypeAlias = Literal["audio", "cover", "large_cover", "video"]

SNIFFED_BYTES: Final = 8192
"""How much of a file's beginning tells what it is."""

_FAMILY: Final[dict[AssetType, str]] = {
    "audio": "audio/",
    "cover": "image/",
    "large_cover": "image/",
    "video": "video/",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file to keep: the links to it, the preferred one first, and when they die."""

    clip_id: str
    type: AssetType
    urls: tuple[str, ...]
    title: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class MediaType:
    """What a file is, by its bytes."""

    content_type: str
    extension: str


class NotThatMedia(InvalidInput):
    """A file's bytes are not what the file is called."""


def assets_of(clip: Clip) -> Iterator[Asset]:
    """Yield the files of a clip. A stream is no file, and is not among them."""
    candidates: tuple[tuple[AssetType, tuple[str | None, ...]], ...] = (
        ("audio", (clip.audio_url, clip.audio_source_url)),
        ("cover", (clip.cover_url, clip.cover_source_url)),
        ("large_cover", (clip.large_cover_url,)),
        ("video", (clip.video_url,)),
    )
    for kind, links in candidates:
        urls = tuple(dict.fromkeys(link for link in links if link))
        if urls:
            yield Asset(clip.clip_id, kind, urls, clip.title, clip.expires_at)


def media_type_of(kind: AssetType, head: bytes) -> MediaType:
    """Tell what a file is from its first bytes.

    Parameters
    ----------
    kind : str
        What the provider calls it.
    head : bytes
        The first `SNIFFED_BYTES` of the file, or all of it.

    Returns
    -------
    MediaType
        The content type and the extension without a dot.

    Raises
    ------
    NotThatMedia
        If it is empty, or something else than the provider says: an HTML page is no mp3.
    """
    if not head:
        raise NotThatMedia(kind, "the file is empty")
    guess = filetype.guess(head)
    if guess is None or not guess.mime.startswith(_FAMILY[kind]):
        raise NotThatMedia(kind, f"the file is {guess.mime if guess else 'of no known type'}")
    return MediaType(guess.mime, guess.extension)
