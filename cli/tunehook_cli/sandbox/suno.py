"""The answers of a suno gateway: task times in seconds, clip times as text (docs/provider-contracts.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunehook_cli.sandbox import gateway
from tunehook_cli.sandbox.answers import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunehook_cli.sandbox.clips import Clip
    from tunehook_cli.sandbox.views import TaskView
    from tunehook_cli.sandbox.wire import Content

_WORDS = {
    Phase.QUEUED: "QUEUED",
    Phase.PROCESSING: "IN_PROGRESS",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILURE",
}


def one(view: TaskView) -> Content:
    """Return the answer to ``GET /suno/fetch/{id}``."""
    return gateway.success(_task(view))


def many(views: Sequence[TaskView]) -> Content:
    """Return the answer to ``POST /suno/fetch``: the tasks that are known, in its own order."""
    return gateway.success([_task(view) for view in sorted(views, key=lambda view: view.task_id)])


def _task(view: TaskView) -> dict[str, Any]:
    start_time = 0 if view.phase is Phase.QUEUED else int(view.submitted_at.timestamp())
    clips = [_clip(view, clip) for clip in view.clips]
    return gateway.task(view, action="MUSIC", word=_WORDS[view.phase], start_time=start_time, clips=clips)


def _clip(view: TaskView, clip: Clip) -> dict[str, Any]:
    ended = view.ended_at is not None
    updated_at = view.ended_at or view.now
    return {
        "id": clip.clip_id,
        "mv": view.song.model,
        "msg": "",
        "tags": view.song.tags,
        "state": "succeeded" if ended else "streaming",
        "title": view.song.title,
        "prompt": view.song.prompt,
        "status": "complete" if ended else "streaming",
        "clip_id": clip.clip_id,
        "task_id": f"{view.task_id}_{clip.index + 1}",
        "duration": clip.track.duration_s if ended else None,
        "audio_url": clip.url(view.assets_url, ".mp3" if ended else "-stream.mp3"),
        "image_url": clip.url(view.assets_url, ".jpeg"),
        "video_url": clip.url(view.assets_url, ".mp4") if ended and view.video else "",
        "continue_at": None,
        "create_time": str(int(view.submitted_at.timestamp())),
        "update_time": str(int(updated_at.timestamp())),
        "image_large_url": clip.url(view.assets_url, "-large.jpeg"),
        "continue_clip_id": None,
        "gpt_description_prompt": None,
    }
