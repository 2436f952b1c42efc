"""The normalised result of a task: clips in one shape, with the provider's own object beside them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tunehook.clips import Clip
from tunehook.providers import fields
from tunehook.providers.outcomes import Completed, CompletedWithoutResults, TaskResult
from tunehook.providers.payload import bounded, json_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_OBJECT_BYTES = 200_000
MAX_CLIPS_BYTES = 100_000

_MAX_ID = 128
_MAX_LINE = 500
_MAX_PROMPT = 20_000


def read_clip(source: Mapping[str, Any], *, tags_split_at_spaces: bool = False) -> Clip:
    """Read one clip object, in any of the spellings that gateways use.

    Snake case and camel case stand for the same field; Suno-API keeps some fields in an object `metadata`.
    The id may be empty; `read_result` sees to that.
    """
    metadata = source.get("metadata")
    if isinstance(metadata, dict):
        source = {**metadata, **{name: value for name, value in source.items() if value not in (None, "")}}
    first = fields.first
    audio = first(source, "audio_url", "audioUrl")
    audio_link = fields.link(audio)
    stream = fields.link(first(source, "stream_audio_url", "streamAudioUrl"))
    if stream is None and audio_link is not None and fields.is_stream(audio_link):
        stream = audio_link
    return Clip(
        clip_id=fields.text(first(source, "clip_id", "clipId", "id"), _MAX_ID) or "",
        title=fields.text(source.get("title"), _MAX_LINE),
        tags=fields.tags(source.get("tags"), split_at_spaces=tags_split_at_spaces),
        prompt=fields.text(source.get("prompt"), _MAX_PROMPT),
        duration_s=fields.duration_s(source.get("duration")),
        model=fields.text(first(source, "mv", "model_name", "modelName", "model"), _MAX_LINE),
        created_at=fields.moment(first(source, "create_time", "createTime", "created_at", "createdAt")),
        expires_at=fields.moment(first(source, "expire_at", "expireAt", "expires_at", "expiresAt")),
        audio_url=fields.file_link(audio),
        audio_source_url=fields.file_link(first(source, "source_audio_url", "sourceAudioUrl")),
        cover_url=fields.link(first(source, "image_url", "imageUrl")),
        cover_source_url=fields.link(first(source, "source_image_url", "sourceImageUrl")),
        large_cover_url=fields.link(first(source, "image_large_url", "imageLargeUrl")),
        video_url=fields.link(first(source, "video_url", "videoUrl")),
        stream_url=stream,
        stream_source_url=fields.link(first(source, "source_stream_audio_url", "sourceStreamAudioUrl")),
    )


def read_result(
    task: Mapping[str, Any],
    clips: Iterable[Clip],
    *,
    submitted_at: Any = None,
    started_at: Any = None,
    finished_at: Any = None,
) -> TaskResult:
    """Put a task's result together and keep it within its bounds.

    Parameters
    ----------
    task : mapping
        The provider's own task object; kept whole up to `MAX_OBJECT_BYTES`, then with its longest texts cut.
    clips : iterable of Clip
        Kept whole up to `MAX_CLIPS_BYTES` together; beyond that prompts and tags go first, then clips from
        the end. A missing or repeated id is made unique, since files are kept under it.
    submitted_at, started_at, finished_at : Any
        As the provider wrote them.
    """
    given = tuple(_with_unique_ids(clips))
    kept = tuple(_within(given, MAX_CLIPS_BYTES))
    provider_object, cut = bounded(dict(task), MAX_OBJECT_BYTES)
    return TaskResult(
        clips=kept,
        submitted_at=fields.moment(submitted_at),
        started_at=fields.moment(started_at),
        finished_at=fields.moment(finished_at),
        provider_object=provider_object,
        truncated=cut or kept != given,
    )


def completed(result: TaskResult) -> Completed | CompletedWithoutResults:
    """Return which of the two good ends this is: with a playable clip, or without."""
    if any(clip.playable for clip in result.clips):
        return Completed(result)
    return CompletedWithoutResults(result)


def _with_unique_ids(clips: Iterable[Clip]) -> Iterable[Clip]:
    seen: set[str] = set()
    for position, clip in enumerate(clips, start=1):
        clip_id = clip.clip_id or f"clip-{position}"
        while clip_id in seen:
            clip_id = f"{clip_id}-{position}"
        seen.add(clip_id)
        yield dataclasses.replace(clip, clip_id=clip_id)


def _within(clips: Iterable[Clip], limit: int) -> Iterable[Clip]:
    left = limit
    for clip in clips:
        for candidate in (clip, dataclasses.replace(clip, prompt=None, tags=())):
            size = json_size({name: str(value) for name, value in dataclasses.asdict(candidate).items()})
            if size <= left:
                left -= size
                yield candidate
                break
