"""musicmint: `POST /api/v1/task/{id}`, and `POST /api/v1/tasks` for a list of summaries, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tunehook.providers import coerce
from tunehook.providers.adapter import Adapter, Answer, Request, Screening, encoded_id
from tunehook.providers.outcomes import (
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
    Unauthorised,
)
from tunehook.providers.refusals import described, says_not_found
from tunehook.providers.results import (
    Origin,
    ReadClip,
    completed,
    read_clip,
    read_result,
    read_text,
    unwrapped,
)
from tunehook.providers.statuses import ENDED, StatusClass, StatusVocabulary, pending

_STATUSES = StatusVocabulary(
    {"queued": "queuing", "processing": "processing", "succeeded": "completed", "failed": "failed failure"}
)
_LISTED_NUMBERS = {0: "queuing", 1: "processing"}
_PAGE_SIZE = 100
_ALL = -1
_KEY_REFUSED = frozenset({1003, 1004})
_GONE = frozenset({4004, 4005})  # no such task; its result has expired
_OF_A_SOUND = coerce.names("audio_url audioUrl image_url imageUrl video_url duration")
_MAX_ID = 512
_MAX_REASON = 1000


class Musicmint(Adapter):
    """Reads ``{"code": <integer, 0 is success>, "message", "request_id", "data"}``; errors have no `data`."""

    kind = "musicmint"
    ids_per_call = 5000
    actions = MappingProxyType(
        {
            "music": "/api/v1/music/generate",
            "lyrics": "/api/v1/lyrics/generate",
            "cover": "/api/v1/music/cover",
            "remaster": "/api/v1/music/remaster",
            "soundfx": "/api/v1/music/soundfx",
            "add-vocals": "/api/v1/music/add-vocals",
            "infill": "/api/v1/music/infill",
        }
    )
    callback_field = "callback_url"

    def request(self, task_id: str) -> Request:
        return Request("POST", f"/api/v1/task/{encoded_id(task_id)}", {})

    def many_request(self, _task_ids: Sequence[str], page: int, /) -> Request:
        """Return the request for one page of the key's tasks, whichever ids are wanted."""
        return Request("POST", "/api/v1/tasks", {"page": page, "page_size": _PAGE_SIZE, "status": _ALL})

    def accepts(self, _answer: Answer, payload: Mapping[str, Any], /) -> bool | None:
        code = _code(payload)
        return None if code is None else code == 0

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        return _code(payload) is not None

    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        """Read the answer about one task; of an error its code decides, not the HTTP status (row 1)."""
        code = _code(payload)
        if code in _KEY_REFUSED:
            return Unauthorised(described(answer.status, payload))
        if code not in (None, 0) and _is_gone(answer.status, payload):
            return NotFound(described(answer.status, payload))
        if code != 0 or not 200 <= answer.status < 300:
            return None
        data = payload.get("data")
        if data is None:
            return pending("queued", "")
        data = unwrapped(data)
        return read_task(data, answer.origin) if isinstance(data, dict) else None

    def read_many_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Screening | Outcome | None:
        """Read one page: who is listed as pending is; any other status takes a single poll to tell."""
        code = _code(payload)
        if code in _KEY_REFUSED:
            return Unauthorised(described(answer.status, payload))
        data = payload.get("data")
        items = data.get("items") if isinstance(data, dict) else None
        if code != 0 or not 200 <= answer.status < 300 or not isinstance(items, list):
            return None
        tasks = ((coerce.text(task.get("id"), _MAX_ID), task) for task in coerce.objects(items))
        found = {task_id: _listed(task, answer.origin) for task_id, task in tasks if task_id is not None}
        return Screening(found, last=len(items) < _PAGE_SIZE)


def _code(payload: Mapping[str, Any]) -> int | None:
    code = payload.get("code")
    return code if type(code) is int else None


def read_task(task: Mapping[str, Any], origin: Origin) -> Outcome:
    """Read a task object; only its `status` says whether it has ended."""
    word = task.get("status")
    status = _STATUSES.classify(word)
    if status not in ENDED and status != "seems_failed":
        return _pending(status, word, task, origin)
    clips = _clips(task, origin)
    result = _result(task, clips)
    if status == "succeeded":
        return completed(result, is_streaming=any(not each.is_settled for each in clips))
    error = coerce.first(task, "error", "error_message", "fail_reason", "message")
    if isinstance(error, dict):
        error = coerce.first(error, "message", "msg")
    said = coerce.text(error, _MAX_REASON)
    if status == "seems_failed":
        return SeemsFailed(said or coerce.text(word, _MAX_REASON) or "", result, "word")
    return Failed(said or "the provider gave no reason", result)


def _pending(status: StatusClass, word: object, task: Mapping[str, Any], origin: Origin) -> Pending:
    return pending(
        status,
        word,
        task.get("created_at"),
        read=lambda: _result(task, _clips(task, origin)),
        may_have_clips=bool(task.get("results")),
    )


def _clips(task: Mapping[str, Any], origin: Origin) -> list[ReadClip]:
    results = unwrapped(task.get("results"))
    if isinstance(results, dict):
        results = [{"id": clip_id, **clip} for clip_id, clip in results.items() if isinstance(clip, dict)]
    return [
        read_text(source, coerce.text(task.get("id"), _MAX_ID) or "", is_wanted=_is_lyrics(source))
        or read_clip(source, origin, tags_split_at_spaces=True)
        for source in coerce.objects(results)
    ]


def _result(task: Mapping[str, Any], clips: Sequence[ReadClip]) -> TaskResult:
    return read_result(task, clips, submitted_at=task.get("created_at"))


def _is_lyrics(result: Mapping[str, Any]) -> bool | None:
    """Return whether a result is a text: lyrics stand in `prompt`, beside none of what describes a sound (row 26)."""
    return None if any(name in result for name in _OF_A_SOUND) else True


def _is_gone(status: int, payload: Mapping[str, Any]) -> bool:
    # Only 4005 is documented. So texts count as well, and a 404 of the task API itself, known by its `request_id`.
    return (
        payload["code"] in _GONE
        or (status == 404 and isinstance(payload.get("request_id"), str))
        or (status < 500 and says_not_found(payload))
    )


def _listed(task: Mapping[str, Any], origin: Origin) -> Pending | None:
    status = task.get("status")
    if type(status) is int:
        status = _LISTED_NUMBERS.get(status)
    status_class = _STATUSES.classify(status)
    if status_class not in ("queued", "processing") or not status:
        return None
    if task.get("results"):  # the documents know of none in a list
        return _pending(status_class, status, task, origin)
    return pending(status_class, status, task.get("created_at"))


ADAPTER = Musicmint()
