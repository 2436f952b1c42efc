"""The answers of musicmint: times in milliseconds, an integer `code` (docs/provider-contracts.md)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tunehook.times import to_ms
from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Phase
from tunehook_local.sandbox.plain_response import PlainResponse, json_response
from tunehook_local.sandbox.task_snapshot import TaskSnapshot

_MAX_PAGE_SIZE = 100
_DEFAULT_PAGE_SIZE = 20
_RESULTS_LAST = timedelta(days=7)
_STATUSES = {
    Phase.QUEUED: "queuing",
    Phase.PROCESSING: "processing",
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
}
_FILTERS = {0: Phase.QUEUED, 1: Phase.PROCESSING, 2: Phase.COMPLETED, 3: Phase.FAILED}


def one(snapshot: TaskSnapshot) -> PlainResponse:
    """Return the answer to ``POST /api/v1/task/{id}``."""
    data = _summary(snapshot)
    if snapshot.phase is Phase.COMPLETED:
        as_result = _lyrics if snapshot.lyrics else _clip
        data["results"] = [as_result(snapshot, clip) for clip in snapshot.clips]
    return _envelope(snapshot.now, 0, "ok", data=data)


def many(snapshots: Sequence[TaskSnapshot], query: object, now: datetime) -> PlainResponse:
    """Return the answer to ``POST /api/v1/tasks``: one page of summaries, without results, of all tasks, newest first.

    `query` is the JSON of the request: ``page`` from 1, ``page_size`` up to 100, ``status`` (-1 is all).
    """
    fields = query if isinstance(query, dict) else {}
    page = max(1, _integer(fields, "page", 1))
    page_size = min(max(1, _integer(fields, "page_size", _DEFAULT_PAGE_SIZE)), _MAX_PAGE_SIZE)
    wanted = _FILTERS.get(_integer(fields, "status", -1))
    matching = [snapshot for snapshot in snapshots if wanted in (None, snapshot.phase)]
    items = [_summary(snapshot) for snapshot in matching[(page - 1) * page_size : page * page_size]]
    return _envelope(now, 0, "ok", data={"items": items, "total": len(matching), "page": page})


def not_found(now: datetime) -> PlainResponse:
    """Return the only answer on record that says that a task does not exist: its result has expired."""
    return _envelope(now, 4005, "Music result has expired")


def unauthorised(now: datetime) -> PlainResponse:
    """Return the answer to a deleted key: only `code` tells (docs/provider-contracts.md, row 1)."""
    return _envelope(now, 1004, "AppKey deleted")


def submitted(task_id: str, now: datetime) -> PlainResponse:
    """Return the answer to a submission that was taken."""
    return _envelope(now, 0, "ok", data={"task_id": task_id, "status": _STATUSES[Phase.QUEUED]})


def refused(now: datetime) -> PlainResponse:
    """Return the answer to a submission that cannot be read, or asks for nothing."""
    return _envelope(now, 4001, "prompt, tags or gpt_description_prompt is required")


def _summary(snapshot: TaskSnapshot) -> dict[str, Any]:
    data = {
        "id": snapshot.task_id,
        "status": _STATUSES[snapshot.phase] if snapshot.word is None else snapshot.word,
        "created_at": to_ms(snapshot.submitted_at),
        **snapshot.echo,
    }
    if snapshot.phase is Phase.FAILED:
        data["error"] = snapshot.reason
    return data


def _lyrics(snapshot: TaskSnapshot, clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.clip_id,
        "title": snapshot.song.title,
        "tags": snapshot.song.tags,
        "prompt": snapshot.song.prompt,
    }


def _clip(snapshot: TaskSnapshot, clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.clip_id,
        "audio_url": clip.url(snapshot.assets_url, ".mp3"),
        "image_url": clip.url(snapshot.assets_url, ".jpeg"),
        "title": snapshot.song.title,
        "duration": clip.track.duration_s,
        "tags": snapshot.song.tags,
        "prompt": snapshot.song.prompt,
        "expire_at": to_ms((snapshot.ended_at or snapshot.now) + _RESULTS_LAST),
    }


def _envelope(now: datetime, code: int, message: str, **content: Any) -> PlainResponse:
    return json_response({"code": code, "message": message, "request_id": f"req-{to_ms(now)}", **content})


def _integer(fields: dict[str, Any], name: str, default: int) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else default
