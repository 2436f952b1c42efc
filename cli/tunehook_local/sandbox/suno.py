"""The answers of a suno gateway: new-api's task object around the vendor's clips (docs/provider-contracts.md).

Task times are in seconds, clip times seconds as text. The object holds what is the gateway's own business (row 31).
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

from tunehook_local.sandbox import gateway
from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Kind, Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunehook_local.sandbox.content import Content
    from tunehook_local.sandbox.views import TaskView

_WORDS = {
    Phase.QUEUED: "QUEUED",
    Phase.PROCESSING: "IN_PROGRESS",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILURE",
}
_QUOTA: Final = 50_000


def one(view: TaskView) -> Content:
    """Return the answer to ``GET /suno/fetch/{id}``."""
    return gateway.success(_task(view))


def many(views: Sequence[TaskView], asked: int) -> Content:
    """Return the answer to ``POST /suno/fetch``: the tasks that are known, in its own order.

    Parameters
    ----------
    views : sequence of TaskView
        The tasks that are known.
    asked : int
        How many ids were named. Where none of them is known, the gateway answers with null.
    """
    found = [_task(view) for view in sorted(views, key=lambda view: view.task_id)]
    return gateway.success(found or (None if asked else []))


def _task(view: TaskView) -> dict[str, Any]:
    start_time = 0 if view.phase is Phase.QUEUED else int(view.submitted_at.timestamp())
    clips = [_clip(view, clip) for clip in view.clips]
    action = "LYRICS" if view.lyrics else "MUSIC"
    task = gateway.task(view, action=action, word=_WORDS[view.phase], start_time=start_time, clips=clips)
    if view.lyrics:
        task["data"] = _text(view) if view.phase is Phase.COMPLETED else None
    return task | _own_business(view, action)


def _own_business(view: TaskView, action: str) -> dict[str, Any]:
    """Return what new-api has beside the task itself: its database's row, its user, its price."""
    model = f"suno_{action.lower()}"
    own = {
        "id": zlib.crc32(view.task_id.encode()),
        "created_at": int(view.submitted_at.timestamp()),
        "updated_at": int(view.updated_at.timestamp()),
        "platform": "suno",
        "user_id": 1,
        "group": "default",
        "channel_id": 1,
        "quota": 0 if view.phase is Phase.FAILED else _QUOTA,
        "properties": {"input": "", "upstream_model_name": model, "origin_model_name": model},
    }
    # What has failed holds the reason there (row 7).
    return own | ({"result_url": view.reason} if view.reason else {})


def _text(view: TaskView) -> dict[str, Any]:
    return {
        "id": Clip(Kind.SUNO, view.task_id, 0).clip_id,
        "status": "complete",
        "title": view.song.title,
        "text": view.song.prompt,
    }


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
