"""The answers of qhaigc: task times in seconds, clip times in milliseconds (docs/provider-contracts.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunehook.times import to_ms
from tunehook_local.sandbox import gateway
from tunehook_local.sandbox.model import Phase

if TYPE_CHECKING:
    from tunehook_local.sandbox.clips import Clip
    from tunehook_local.sandbox.content import Content
    from tunehook_local.sandbox.views import TaskView

_WORDS = {
    Phase.QUEUED: "PENDING",
    Phase.PROCESSING: "PROCESSING",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILED",
}


def one(view: TaskView) -> Content:
    """Return the answer to ``GET /v1/music/tasks/{id}``; `start_time` stays 0 even on success."""
    clips = [_clip(view, clip) for clip in view.clips]
    word = _WORDS[view.phase]
    return gateway.success(gateway.task(view, action="GENERATIONS", word=word, start_time=0, clips=clips))


def _clip(view: TaskView, clip: Clip) -> dict[str, Any]:
    stream = clip.url(view.assets_url, "-stream.mp3")
    ended = view.ended_at is not None
    return {
        "id": clip.clip_id,
        "tags": view.song.tags,
        "title": view.song.title,
        "prompt": view.song.prompt,
        "audioUrl": clip.url(view.assets_url, ".mp3") if ended else "",
        "duration": clip.track.duration_s if ended else None,
        "imageUrl": clip.url(view.assets_url, ".jpeg"),
        "modelName": view.song.model,
        "createTime": to_ms(view.ended_at or view.now),
        "sourceAudioUrl": clip.url(view.assets_url, "-source.mp3") if ended else "",
        "sourceImageUrl": clip.url(view.assets_url, "-source.jpeg"),
        "streamAudioUrl": stream,
        "sourceStreamAudioUrl": stream,
    }
