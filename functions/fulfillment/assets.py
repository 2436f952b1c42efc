"""Which files a clip has, and what a file must be to be what it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from fulfillment.file_types import HTML, file_type_of, named_type
from fulfillment.media import MediaType, is_text, recognise
from tunehook.clips import Clip
from tunehook.errors import InvalidInput
from tunehook.events import AssetType

AssetName: TypeAlias = tuple[str, str]
"""A file within its task: the clip's id and the file's type."""

LYRICS: Final = MediaType("text/plain; charset=utf-8", "txt")
UNRECOGNISED: Final = "unrecognised"
"""The remark on a file of an unknown kind that is kept on its host's word."""
UNEXPECTED: Final = "unexpected"
"""The remark on an output of another kind than its type says, such as a ZIP in place of a picture."""

_FAMILY: Final = {"audio": "audio", "cover": "image", "large_cover": "image", "video": "video"}
_MEDIA_TYPE: Final = re.compile(r"(?:audio|image|video)/[a-z0-9][a-z0-9!#$&^_.+-]{0,79}")
"""RFC 6838, section 4.2."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that is wanted, with its links, the preferred one first, and the title of its clip.

    One that `is_inline` came inside the provider's answer, and is stored in the results bucket (`inline_key`). A text
    has its `content`, unless that is lost. One that `is_output` is kept whatever it holds, unless that is HTML.
    """

    clip_id: str
    type: AssetType
    urls: tuple[str, ...]
    title: str | None = None
    expires_at: datetime | None = None
    is_inline: bool = False
    content: bytes | None = None
    is_output: bool = False

    @property
    def name(self) -> AssetName:
        """The file within its task."""
        return self.clip_id, self.type


class NotThatMedia(InvalidInput):
    """A file's bytes are not what the file is called."""


def assets_of(clip: Clip) -> Iterator[Asset]:
    """Yield the files of a clip; a text is one, a stream is not. An output is one file."""
    if clip.is_output and (output := _output_of(clip)) is not None:
        yield output
        return
    candidates: tuple[tuple[AssetType, tuple[str | None, ...]], ...] = (
        ("audio", (clip.audio_url, clip.audio_source_url)),
        ("cover", (clip.cover_url, clip.cover_source_url)),
        ("large_cover", (clip.large_cover_url,)),
        ("video", (clip.video_url,)),
    )
    for kind, links in candidates:
        urls = tuple(dict.fromkeys(link for link in links if link))
        if urls or kind in clip.inline:
            yield Asset(clip.clip_id, kind, urls, clip.title, clip.expires_at, kind in clip.inline)
    if clip.text is not None:
        yield Asset(clip.clip_id, "lyrics", (), clip.title, content=clip.text.encode("utf-8", "replace"))


def _output_of(clip: Clip) -> Asset | None:
    candidates: tuple[tuple[AssetType, str | None], ...] = (
        ("image", clip.image_url),
        ("audio", clip.audio_url),
        ("video", clip.video_url),
        ("file", clip.file_url),
    )
    for kind, url in candidates:
        if url or kind in clip.inline:
            urls = (url,) if url else ()
            is_inline = kind in clip.inline
            return Asset(
                clip.clip_id, kind, urls, clip.title, clip.expires_at, is_inline=is_inline, is_output=True
            )
    return None


def media_type_of(kind: AssetType, head: bytes, *, host_says: str = "", is_output: bool = False) -> MediaType:
    """Return the media type of a file by its beginning, `head`.

    If its kind is not known, the ``Content-Type`` that its host gave counts, with the remark `UNRECOGNISED`. Raises
    `NotThatMedia` if it is empty, or something else than the provider says: an HTML page is no mp3. An output may be
    anything but HTML; where it is not what its type says, the remark is `UNEXPECTED`.
    """
    if kind == "lyrics":
        return LYRICS
    if not head:
        raise NotThatMedia(kind, "the file is empty")
    if is_output:
        return _output_type(kind, head, host_says)
    media = recognise(head, wanted=_FAMILY[kind])
    if media is not None and media.family == _FAMILY[kind]:
        return media
    if media is not None:
        raise NotThatMedia(kind, f"the file is {media.content_type}")
    if is_text(head):
        raise NotThatMedia(kind, "the file is of no known type: it is text, such as a web page")
    said = host_says.partition(";")[0].strip().lower()
    if _MEDIA_TYPE.fullmatch(said):
        return MediaType(said, "bin", UNRECOGNISED)
    raise NotThatMedia(kind, "the file is of no known type")


def _output_type(kind: AssetType, head: bytes, host_says: str) -> MediaType:
    media = file_type_of(head, wanted="audio" if kind == "audio" else "video", host_says=host_says)
    if media is None:
        return MediaType(named_type(host_says), "bin", UNRECOGNISED)
    if media is HTML:
        raise NotThatMedia(kind, "the file is a web page (HTML)")
    is_expected = kind == "file" or media.family == kind
    return media if is_expected else replace(media, remark=UNEXPECTED)
