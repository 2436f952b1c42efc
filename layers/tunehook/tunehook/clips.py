"""One result of a task as tunehook sees it, whichever provider made it: a piece of music, or another output."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip of a task: what it is and where its files are.

    Every link is an absolute http(s) URL or None, and each kind of link stands under its own name only. `audio_url` and
    `audio_source_url` are files, never live streams (docs/provider-contracts.md, rows 8 and 13). A ``source`` is the
    upstream copy, a fallback at best. The links die at `expires_at`, if the provider says so.

    `clip_id` is unique within its task, and not fit for a path as it is. `text` is itself the result, such as lyrics.
    `inline` has the types of its files (``audio``, ``cover``, ``large_cover``, ``video``, ``image``, ``file``) that
    came inside the provider's answer as ``data:`` URIs, and so have no link.

    A clip that `is_output` is one file of a task that makes other than music. It has exactly one of `image_url`,
    `audio_url`, `video_url` and `file_url`, or that file inline; whatever the file holds is kept, unless it is HTML.
    """

    clip_id: str
    title: str | None
    tags: tuple[str, ...]
    prompt: str | None
    duration_s: float | None
    model: str | None
    created_at: datetime | None
    expires_at: datetime | None
    audio_url: str | None
    audio_source_url: str | None
    cover_url: str | None
    cover_source_url: str | None
    large_cover_url: str | None
    video_url: str | None
    stream_url: str | None
    stream_source_url: str | None
    text: str | None = None
    inline: tuple[str, ...] = ()
    image_url: str | None = None
    file_url: str | None = None
    is_output: bool = False

    @property
    def playable(self) -> bool:
        """Whether there is a link to the audio file itself."""
        return self.audio_url is not None or self.audio_source_url is not None
