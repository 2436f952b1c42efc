"""musicmint: `POST /api/v1/task/{id}`, and `POST /api/v1/tasks` for a list of summaries, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunehook.providers import coerce
from tunehook.providers.adapter import Adapter, Request, Screening, encoded_id
from tunehook.providers.outcomes import Failed, NotFound, Outcome, Pending, SeemsFailed, Unauthorised
from tunehook.providers.refusals import described, says_not_found
from tunehook.providers.results import Origin, completed, read_clip, read_result, read_text, unwrapped
from tunehook.providers.statuses import ENDED, StatusVocabulary, pending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tunehook.providers.adapter import Answer

_STATUSES = StatusVocabulary(
    {"queued": "queuing", "processing": "processing", "succeeded": "completed", "failed": "failed failure"}
)
_LISTED_NUMBERS = {0: "queuing", 1: "processing"}
_PAGE_SIZE = 100
_ALL = -1
_KEY_REFUSED = frozenset({1003, 1004})
_GONE = frozenset({4004, 4005})  # no such task; its result has expired
_MAX_ID = 512
_MAX_REASON = 1000


class Musicmint(Adapter):
    """Reads ``{"code": <integer, 0 is success>, "message", "request_id", "data"}``; errors have no `data`."""

    kind = "musicmint"
    ids_per_call = 5000

    def request(self, task_id: str) -> Request:
        """Return the question about one task; see the base class."""
        return Request("POST", f"/api/v1/task/{encoded_id(task_id)}", {})

    def many_request(self, _task_ids: Sequence[str], page: int, /) -> Request:
        """Return the question about one page of the key's tasks, whichever ids are wanted."""
        return Request("POST", "/api/v1/tasks", {"page": page, "page_size": _PAGE_SIZE, "status": _ALL})

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        """Return whether there is a `code` that is an integer."""
        return type(payload.get("code")) is int

    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        """Read the answer about one task; of an error its code decides, not the HTTP status (row 1)."""
        if (trouble := self._refused(answer.status, payload)) is not None:
            return trouble
        if self.has_envelope(payload) and payload["code"] != 0 and _is_gone(answer.status, payload):
            return NotFound(described(answer.status, payload))
        if not self._worked(answer.status, payload):
            return None
        data = payload.get("data")
        if data is None:
            return pending("queued", "")
        data = unwrapped(data)
        return read_task(data, answer.origin) if isinstance(data, dict) else None

    def read_many_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Screening | Outcome | None:
        """Read one page: who is listed as pending is; any other status takes a single query to tell."""
        if (trouble := self._refused(answer.status, payload)) is not None:
            return trouble
        data = payload.get("data")
        items = data.get("items") if isinstance(data, dict) else None
        if not self._worked(answer.status, payload) or not isinstance(items, list):
            return None
        tasks = ((coerce.text(task.get("id"), _MAX_ID), task) for task in coerce.objects(items))
        found = {task_id: _listed(task) for task_id, task in tasks if task_id is not None}
        return Screening(found, last=len(items) < _PAGE_SIZE)

    def _refused(self, status: int, payload: Mapping[str, Any]) -> Unauthorised | None:
        if self.has_envelope(payload) and payload["code"] in _KEY_REFUSED:
            return Unauthorised(described(status, payload))
        return None

    def _worked(self, status: int, payload: Mapping[str, Any]) -> bool:
        return 200 <= status < 300 and self.has_envelope(payload) and payload["code"] == 0


def read_task(task: Mapping[str, Any], origin: Origin) -> Outcome:
    """Read a task object; only its `status` says whether it has ended."""
    word = task.get("status")
    status = _STATUSES.classify(word)
    if status not in ENDED and status != "seems_failed":
        return pending(status, word, task.get("created_at"))
    results = unwrapped(task.get("results"))
    if isinstance(results, dict):
        results = [{"id": clip_id, **clip} for clip_id, clip in results.items() if isinstance(clip, dict)]
    clips = [
        read_text(source, coerce.text(task.get("id"), _MAX_ID) or "")
        or read_clip(source, origin, tags_split_at_spaces=True)
        for source in coerce.objects(results)
    ]
    result = read_result(task, clips, submitted_at=task.get("created_at"))
    if status == "succeeded":
        return completed(result, is_streaming=any(not each.is_settled for each in clips))
    error = coerce.first(task, "error", "error_message", "fail_reason", "message")
    said = coerce.text(
        coerce.first(error, "message", "msg") if isinstance(error, dict) else error, _MAX_REASON
    )
    if status == "seems_failed":
        return SeemsFailed(said or coerce.text(word, _MAX_REASON) or "", result, "word")
    return Failed(said or "the provider gave no reason", result)


def _is_gone(status: int, payload: Mapping[str, Any]) -> bool:
    """Return whether an error says that the result is gone (4005), or that there is no such task (4004).

    Only the former is documented. So words count as well, and a 404 of the task API itself, which is told by its
    `request_id`.
    """
    return (
        payload["code"] in _GONE
        or (status == 404 and isinstance(payload.get("request_id"), str))
        or (status < 500 and says_not_found(payload))
    )


def _listed(task: Mapping[str, Any]) -> Pending | None:
    status = task.get("status")
    if type(status) is int:
        status = _LISTED_NUMBERS.get(status)
    status_class = _STATUSES.classify(status)
    return (
        pending(status_class, status, task.get("created_at"))
        if status_class in ("queued", "processing") and status
        else None
    )


ADAPTER = Musicmint()
