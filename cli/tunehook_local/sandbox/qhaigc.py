"""The answers of qhaigc: task times in seconds, clip times in milliseconds (docs/provider-contracts.md)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tunehook.times import to_ms
from tunehook_local.sandbox import new_api
from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Phase
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.task_snapshot import TaskSnapshot

_STATUSES = {
    Phase.QUEUED: "PENDING",
    Phase.PROCESSING: "PROCESSING",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILED",
}


def one(snapshot: TaskSnapshot) -> PlainResponse:
    """Return the answer to ``GET /v1/music/tasks/{id}``; `start_time` stays 0 even on success."""
    clips = [_clip(snapshot, clip) for clip in snapshot.clips]
    status = _STATUSES[snapshot.phase]
    return new_api.success(
        new_api.task(snapshot, action="GENERATIONS", status=status, start_time=0, clips=clips)
    )


def submitted(task_id: str, now: datetime) -> PlainResponse:
    """Return the answer to ``POST /v1/music/generations`` that was taken: the task as it begins."""
    task = {
        "task_id": task_id,
        "action": "GENERATIONS",
        "status": _STATUSES[Phase.QUEUED],
        "fail_reason": "",
        "submit_time": int(now.timestamp()),
        "start_time": 0,
        "finish_time": 0,
        "progress": "0%",
        "data": None,
    }
    return new_api.success(task)


def _clip(snapshot: TaskSnapshot, clip: Clip) -> dict[str, Any]:
    stream = clip.url(snapshot.assets_url, "-stream.mp3")
    ended = snapshot.ended_at is not None
    return {
        "id": clip.clip_id,
        "tags": snapshot.song.tags,
        "title": snapshot.song.title,
        "prompt": snapshot.song.prompt,
        "audioUrl": clip.url(snapshot.assets_url, ".mp3") if ended else "",
        "duration": clip.track.duration_s if ended else None,
        "imageUrl": clip.url(snapshot.assets_url, ".jpeg"),
        "modelName": snapshot.song.model,
        "createTime": to_ms(snapshot.ended_at or snapshot.now),
        "sourceAudioUrl": clip.url(snapshot.assets_url, "-source.mp3") if ended else "",
        "sourceImageUrl": clip.url(snapshot.assets_url, "-source.jpeg"),
        "streamAudioUrl": stream,
        "sourceStreamAudioUrl": stream,
    }
