"""One piece of music as tunehook sees it, whichever provider made it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A clip of a task: what it is and where its files are.

    Every link is an absolute http(s) URL or None, and each kind of link stands under its own name only. `audio_url` and
    `audio_source_url` are files, never live streams (docs/provider-contracts.md, rows 8 and 13). A ``source`` is the
    upstream copy, a fallback at best. The links die at `expires_at`, if the provider says so.

    `clip_id` is unique within its task, and not fit for a path as it is. `text` is itself the result, such as lyrics.
    `inline` has the types of its files (``audio``, ``cover``, ``large_cover``, ``video``) that came inside the
    provider's answer as ``data:`` URIs, and so have no link.
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

    @property
    def playable(self) -> bool:
        """Whether there is a link to the audio file itself."""
        return self.audio_url is not None or self.audio_source_url is not None
