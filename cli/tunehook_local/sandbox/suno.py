"""The answers of a suno gateway: new-api's task object around the vendor's clips (docs/provider-contracts.md).

Task times are in seconds, clip times seconds as text. The object holds fields of the gateway alone (row 31).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final

from tunehook_local.sandbox import new_api
from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.task_snapshot import TaskSnapshot

_STATUSES = {
    Phase.QUEUED: "QUEUED",
    Phase.PROCESSING: "IN_PROGRESS",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILURE",
}
_QUOTA: Final = 50_000


def one(snapshot: TaskSnapshot) -> PlainResponse:
    """Return the answer to ``GET /suno/fetch/{id}``."""
    return new_api.success(_task(snapshot))


def many(snapshots: Sequence[TaskSnapshot], requested: int) -> PlainResponse:
    """Return the answer to ``POST /suno/fetch``: the tasks that are known, in its own order.

    `requested` is how many ids were named. Where none of them is known, the gateway answers with null.
    """
    found = [_task(snapshot) for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.task_id)]
    return new_api.success(found or (None if requested else []))


def _task(snapshot: TaskSnapshot) -> dict[str, Any]:
    start_time = 0 if snapshot.phase is Phase.QUEUED else int(snapshot.submitted_at.timestamp())
    clips = [_clip(snapshot, clip) for clip in snapshot.clips]
    action = "LYRICS" if snapshot.lyrics else "MUSIC"
    task = new_api.task(
        snapshot, action=action, status=_STATUSES[snapshot.phase], start_time=start_time, clips=clips
    )
    if snapshot.lyrics:
        text = {
            "id": Clip(Kind.SUNO, snapshot.task_id, 0).clip_id,
            "status": "complete",
            "title": snapshot.song.title,
            "text": snapshot.song.prompt,
        }
        task["data"] = text if snapshot.phase is Phase.COMPLETED else None
    return task | _gateway_fields(snapshot, action)


def _gateway_fields(snapshot: TaskSnapshot, action: str) -> dict[str, Any]:
    """Return what new-api has beside the task itself: its database's row, its user, its price."""
    model = f"suno_{action.lower()}"
    own = {
        "id": zlib.crc32(snapshot.task_id.encode()),
        "created_at": int(snapshot.submitted_at.timestamp()),
        "updated_at": int(snapshot.updated_at.timestamp()),
        "platform": "suno",
        "user_id": 1,
        "group": "default",
        "channel_id": 1,
        "quota": 0 if snapshot.phase is Phase.FAILED else _QUOTA,
        "properties": {"input": "", "upstream_model_name": model, "origin_model_name": model},
    }
    # What has failed holds the reason there (row 7).
    return own | ({"result_url": snapshot.reason} if snapshot.reason else {})


def _clip(snapshot: TaskSnapshot, clip: Clip) -> dict[str, Any]:
    ended = snapshot.ended_at is not None
    updated_at = snapshot.ended_at or snapshot.now
    return {
        "id": clip.clip_id,
        "mv": snapshot.song.model,
        "msg": "",
        "tags": snapshot.song.tags,
        "state": "succeeded" if ended else "streaming",
        "title": snapshot.song.title,
        "prompt": snapshot.song.prompt,
        "status": "complete" if ended else "streaming",
        "clip_id": clip.clip_id,
        "task_id": f"{snapshot.task_id}_{clip.index + 1}",
        "duration": clip.track.duration_s if ended else None,
        "audio_url": clip.url(snapshot.assets_url, ".mp3" if ended else "-stream.mp3"),
        "image_url": clip.url(snapshot.assets_url, ".jpeg"),
        "video_url": clip.url(snapshot.assets_url, ".mp4") if ended and snapshot.video else "",
        "continue_at": None,
        "create_time": str(int(snapshot.submitted_at.timestamp())),
        "update_time": str(int(updated_at.timestamp())),
        "image_large_url": clip.url(snapshot.assets_url, "-large.jpeg"),
        "continue_clip_id": None,
        "gpt_description_prompt": None,
    }
