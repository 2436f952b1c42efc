"""The answers of musicmint: times in milliseconds, an integer `code` (docs/provider-contracts.md)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tunehook.times import to_ms
from tunehook_local.sandbox.content import Content, json_content
from tunehook_local.sandbox.model import Phase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tunehook_local.sandbox.clips import Clip
    from tunehook_local.sandbox.views import TaskView

MAX_PAGE_SIZE = 100
_DEFAULT_PAGE_SIZE = 20
_RESULTS_LAST = timedelta(days=7)
_WORDS = {
    Phase.QUEUED: "queuing",
    Phase.PROCESSING: "processing",
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
}
_FILTERS = {0: Phase.QUEUED, 1: Phase.PROCESSING, 2: Phase.COMPLETED, 3: Phase.FAILED}


def one(view: TaskView) -> Content:
    """Return the answer to ``POST /api/v1/task/{id}``."""
    data = _summary(view)
    if view.phase is Phase.COMPLETED:
        data["results"] = [_clip(view, clip) for clip in view.clips]
    return _envelope(view.now, data)


def many(views: Sequence[TaskView], query: object, now: datetime) -> Content:
    """Return the answer to ``POST /api/v1/tasks``: one page of summaries, without results.

    Parameters
    ----------
    views : sequence of TaskView
        All tasks, newest first.
    query : object
        The JSON of the request: ``page`` from 1, ``page_size`` up to 100, ``status`` (-1 is all).
    now : datetime
        The moment of the question.
    """
    fields = query if isinstance(query, dict) else {}
    page = max(1, _integer(fields, "page", 1))
    page_size = min(max(1, _integer(fields, "page_size", _DEFAULT_PAGE_SIZE)), MAX_PAGE_SIZE)
    wanted = _FILTERS.get(_integer(fields, "status", -1))
    matching = [view for view in views if wanted in (None, view.phase)]
    items = [_summary(view) for view in matching[(page - 1) * page_size : page * page_size]]
    return _envelope(now, {"items": items, "total": len(matching), "page": page})


def not_found(now: datetime) -> Content:
    """Return the only answer on record that says a task is not there (any more): its result has expired."""
    return _error(now, 4005, "Music result has expired")


def unauthorised(now: datetime) -> Content:
    """Return the answer to a deleted key: only `code` tells (docs/provider-contracts.md, row 1)."""
    return _error(now, 1004, "AppKey deleted")


def _summary(view: TaskView) -> dict[str, Any]:
    data = {
        "id": view.task_id,
        "status": _WORDS[view.phase] if view.word is None else view.word,
        "created_at": to_ms(view.submitted_at),
    }
    if view.phase is Phase.FAILED:
        data["error"] = view.reason
    return data


def _clip(view: TaskView, clip: Clip) -> dict[str, Any]:
    return {
        "id": clip.clip_id,
        "audio_url": clip.url(view.assets_url, ".mp3"),
        "image_url": clip.url(view.assets_url, ".jpeg"),
        "title": view.song.title,
        "duration": clip.track.duration_s,
        "tags": view.song.tags,
        "prompt": view.song.prompt,
        "expire_at": to_ms((view.ended_at or view.now) + _RESULTS_LAST),
    }


def _envelope(now: datetime, data: dict[str, Any]) -> Content:
    return json_content({"code": 0, "message": "ok", "request_id": f"req-{to_ms(now)}", "data": data})


def _error(now: datetime, code: int, message: str) -> Content:
    return json_content({"code": code, "message": message, "request_id": f"req-{to_ms(now)}"})


def _integer(fields: dict[str, Any], name: str, default: int) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else default
