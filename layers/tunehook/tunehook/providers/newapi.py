"""What the gateways of the new-api / Suno-API family have in common (kinds qhaigc and suno)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunehook.providers import fields
from tunehook.providers.adapter import Adapter
from tunehook.providers.outcomes import Failed, NotFound, Outcome, TaskResult
from tunehook.providers.results import completed, read_clip, read_result
from tunehook.providers.words import Words, pending

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TASK_WORDS = Words(
    queued={"", "unknown", "not_start", "submitted", "queued", "pending"},
    processing={"in_progress", "processing"},
    succeeded={"success"},
    failed={"failure", "failed"},
)
_CLIP_WORDS = Words(
    queued={"", "submitted", "queued"},
    processing={"streaming", "processing"},
    succeeded={"complete", "completed", "succeeded", "success"},
    failed={"error", "failed", "failure"},
)
_MAX_REASON = 1000
_NO_REASON = "the provider gave no reason"


class NewApiAdapter(Adapter):
    """Reads the family's one envelope: ``{"code": "success" | <error word>, "message", "data"}``."""

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        """Return whether there is a `code` that is a word; errors of the key have none (row 3)."""
        return isinstance(payload.get("code"), str)

    def read_payload(self, status: int, payload: Mapping[str, Any]) -> Outcome | None:
        """Read the answer about one task; see the base class."""
        if self.worked(status, payload):
            return read_data(payload.get("data"))
        code = payload.get("code")
        if code == "task_not_exist" and (status in (400, 404) or 200 <= status < 300):
            return NotFound()
        if code == "invalid_request" and status == 400:  # Suno-API's word for an unknown id (row 2)
            return NotFound()
        return None

    @staticmethod
    def worked(status: int, payload: Mapping[str, Any]) -> bool:
        """Return whether the query itself worked, which says nothing about the task."""
        code = payload.get("code")
        return 200 <= status < 300 and isinstance(code, str) and code.strip().lower() == "success"


def read_data(data: Any) -> Outcome | None:
    """Read the `data` of a query that worked; None when it is nothing that could tell of a task."""
    if data is None:  # legal, and not an answer yet (row 5)
        return pending("queued", "")
    if isinstance(data, list):
        return read_clip_list(data)
    return read_task(data) if isinstance(data, dict) else None


def read_task(task: Mapping[str, Any]) -> Outcome:
    """Read a task object. Only its `status` says whether it has ended (rows 7, 8, 10)."""
    status = task.get("status")
    verdict = _TASK_WORDS.verdict(status)
    if verdict not in ("succeeded", "failed"):
        return pending(verdict, status, task.get("submit_time"))
    sources = list(_clip_objects(task.get("data")))
    result = read_result(
        task,
        map(read_clip, sources),
        submitted_at=task.get("submit_time"),
        started_at=task.get("start_time"),
        finished_at=task.get("finish_time"),
    )
    if verdict == "succeeded":
        return completed(result)
    return Failed(fields.text(task.get("fail_reason"), _MAX_REASON) or _clips_reason(sources), result)


def read_clip_list(data: list[Any]) -> Outcome:
    """Read a clip list that stands where the task should be (row 6): only the clips tell how it is.

    Pending while any clip is; failed when every clip has failed; completed when all have ended and any has
    succeeded.
    """
    sources = list(fields.objects(data))
    states = [fields.first(source, "status", "state") for source in sources]
    verdicts = [_CLIP_WORDS.verdict(state) for state in states]
    for verdict, state in zip(verdicts, states, strict=True):
        if verdict not in ("succeeded", "failed"):
            return pending(verdict, state)
    if not sources:
        return pending("queued", "")
    result: TaskResult = read_result({"data": data}, map(read_clip, sources))
    return completed(result) if "succeeded" in verdicts else Failed(_clips_reason(sources), result)


def _clip_objects(data: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the clips of a task's `data`: a list, or ``{"songs": [...]}``; lyrics and null hold none."""
    yield from fields.objects(data.get("songs") if isinstance(data, dict) else data)


def _clips_reason(sources: list[Mapping[str, Any]]) -> str:
    for source in sources:
        metadata = source.get("metadata")
        words = metadata.get("error_message") if isinstance(metadata, dict) else None
        if reason := fields.text(source.get("msg"), _MAX_REASON) or fields.text(words, _MAX_REASON):
            return reason
    return _NO_REASON
