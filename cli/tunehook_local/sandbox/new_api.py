"""What the gateways of the new-api family share: envelopes, errors, and the task around its clips.

Times of a task are whole seconds, 0 when not set (docs/provider-contracts.md, rows 2, 3, 11).
"""

from __future__ import annotations

from typing import Any

from tunehook_local.sandbox.model import Phase
from tunehook_local.sandbox.plain_response import PlainResponse, json_response
from tunehook_local.sandbox.task_snapshot import TaskSnapshot

_PROGRESS = {Phase.QUEUED: "0%", Phase.PROCESSING: "50%", Phase.COMPLETED: "100%", Phase.FAILED: "100%"}


def success(data: object) -> PlainResponse:
    """Return the envelope of a query that worked, whatever the task does."""
    return json_response({"code": "success", "message": "", "data": data})


def not_found() -> PlainResponse:
    """Return the answer about an unknown id: HTTP 400, not 404."""
    return json_response({"code": "task_not_exist", "message": "task_not_exist", "data": None}, 400)


def refused() -> PlainResponse:
    """Return the answer to a submission that cannot be read, or asks for nothing that the gateway knows."""
    return json_response({"code": "invalid_request", "message": "prompt is required", "data": None}, 400)


def unauthorised() -> PlainResponse:
    """Return the answer to a key that is wrong, expired, withdrawn or used up: nothing tells these apart (row 3)."""
    message = "Invalid token (request id: 20261128024758911842613)"
    return json_response({"error": {"code": "", "message": message, "type": "new_api_error"}}, 401)


def task(
    snapshot: TaskSnapshot, *, action: str, status: str, start_time: int, clips: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the task object; a task without clips has null in their place."""
    return {
        "task_id": snapshot.task_id,
        "action": action,
        "status": status if snapshot.word is None else snapshot.word,
        "fail_reason": snapshot.reason,
        "submit_time": int(snapshot.submitted_at.timestamp()),
        "start_time": start_time,
        "finish_time": 0 if snapshot.ended_at is None else int(snapshot.ended_at.timestamp()),
        "progress": _PROGRESS[snapshot.phase],
        "data": clips or None,
        **snapshot.echo,
    }
