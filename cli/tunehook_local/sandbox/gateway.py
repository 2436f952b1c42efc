"""What the gateways of the new-api family have in common: envelopes, errors, and the task around its clips.

Times of a task are whole seconds, 0 when not set (docs/provider-contracts.md, rows 2, 3, 11). The words are new-api's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunehook_local.sandbox.content import Content, json_content
from tunehook_local.sandbox.model import Phase

if TYPE_CHECKING:
    from tunehook_local.sandbox.views import TaskView

_PROGRESS = {Phase.QUEUED: "0%", Phase.PROCESSING: "50%", Phase.COMPLETED: "100%", Phase.FAILED: "100%"}


def success(data: object) -> Content:
    """Return the envelope of a query that worked, whatever the task does."""
    return json_content({"code": "success", "message": "", "data": data})


def not_found() -> Content:
    """Return the answer about an unknown id: HTTP 400, not 404."""
    return json_content({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400)


def unauthorised() -> Content:
    """Return the answer to a key that is wrong, expired, withdrawn or used up: nothing tells these apart (row 3)."""
    error = {
        "code": "",
        "message": "Invalid token (request id: 20261128024758911842613)",
        "type": "new_api_error",
    }
    return json_content({"error": error}, 401)


def task(
    view: TaskView, *, action: str, word: str, start_time: int, clips: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the task object; a task without clips has null in their place."""
    return {
        "task_id": view.task_id,
        "action": action,
        "status": word if view.word is None else view.word,
        "fail_reason": view.reason,
        "submit_time": int(view.submitted_at.timestamp()),
        "start_time": start_time,
        "finish_time": 0 if view.ended_at is None else int(view.ended_at.timestamp()),
        "progress": _PROGRESS[view.phase],
        "data": clips or None,
    }
