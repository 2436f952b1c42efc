"""What the gateways of the new-api / Suno-API family have in common (kinds qhaigc and suno)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from tunehook.providers import fields
from tunehook.providers.adapter import Adapter
from tunehook.providers.outcomes import Failed, NotFound, Outcome, SeemsFailed, TaskResult
from tunehook.providers.payload import UnreadablePayloadError, parse
from tunehook.providers.refusals import described
from tunehook.providers.results import (
    Origin,
    ReadClip,
    completed,
    has_file,
    read_clip,
    read_links,
    read_result,
    read_text,
)
from tunehook.providers.statuses import StatusVocabulary, normal, pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tunehook.providers.adapter import Answer

# Sources: docs/provider-contracts.md, "Status words".
_TASK_STATUSES: Final = StatusVocabulary(
    queued={
        *("", "unknown", "not_start", "submitted", "queued", "queueing", "queuing", "pending"),
        *("in_queue", "staged", "waiting", "created"),
    },
    processing={
        *("in_progress", "processing", "running", "starting", "started", "generating"),
        *("text_success", "first_success", "callback_exception"),
    },
    succeeded={"success", "succeeded", "succeed", "complete", "completed"},
    failed={
        *("failure", "failed", "fail", "error", "canceled", "cancelled", "aborted"),
        *("create_task_failed", "generate_audio_failed", "generate_lyrics_failed", "sensitive_word_error"),
    },
)
_CLIP_STATUSES: Final = StatusVocabulary(
    queued={"", "submitted", "queued", "pending"},
    processing={"streaming", "processing", "in_progress", "running"},
    succeeded={"complete", "completed", "succeeded", "success"},
    failed={"error", "failed", "failure"},
)
_CALLBACK_EXCEPTION: Final = "callback_exception"
_WORKED: Final = frozenset({"success", "ok", "0", "1", "200"})
_CLIP_LISTS: Final = (
    "clips",
    "songs",
    "sunoData",
    "suno_data",
    "data",
    "results",
    "result",
    "response",
    "output",
)
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_HUNDRED = re.compile(r"100(?:\.0*)?\s*%?", re.ASCII)
_MAX_REASON = 1000
_MAX_ID = 512
_NO_REASON = "the provider gave no reason"


class NewApiAdapter(Adapter):
    """Reads the family's envelope: ``{"code": "success" | <error word>, "message", "data"}``.

    Members of the family have a number for the word (0, 1 or 200), or ``"success": true``.
    """

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        """Return whether there is a `code` or a `success` beside it; errors of the key have none (row 3)."""
        code = payload.get("code")
        return isinstance(code, str | int) or isinstance(payload.get("success"), bool)

    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        """Read the answer about one task; see the base class."""
        if self.worked(answer.status, payload):
            return read_data(payload.get("data"), answer.origin)
        if payload.get("code") == "invalid_request" and answer.status == 400:
            return NotFound(described(400, payload))  # Suno-API's word for an unknown id (row 2)
        return None

    @staticmethod
    def worked(status: int, payload: Mapping[str, Any]) -> bool:
        """Return whether the query itself worked, which says nothing about the task."""
        if not 200 <= status < 300:
            return False
        code, success = payload.get("code"), payload.get("success")
        if code is None:
            return success is True
        if isinstance(code, bool):
            return code
        return success is not False and isinstance(code, str | int) and str(code).strip().lower() in _WORKED


def read_data(data: Any, origin: Origin) -> Outcome | None:
    """Read the `data` of a query that worked; None when it is nothing that could tell of a task."""
    if isinstance(data, str) and data.strip():
        data = _unwrapped(data)
    if data is None or data == "":  # legal, and not an answer yet (row 5)
        return pending("queued", "")
    if isinstance(data, list):
        if len(data) == 1 and isinstance(data[0], dict) and {"task_id", "status", "data"} <= data[0].keys():
            return read_task(data[0], origin)
        return read_clip_list(data, origin)
    return read_task(data, origin) if isinstance(data, dict) else None


def read_task(task: Mapping[str, Any], origin: Origin) -> Outcome:
    """Read a task object.

    Its `status` says whether it has ended, with the exceptions of rows 7 and 17 to 19: clips that are all there make a
    failure without a reason a success, and a progress of 100 % beside a reason makes an unfinished status look like a
    failure.
    """
    word = task.get("status")
    status = _TASK_STATUSES.classify(word)
    is_undelivered = isinstance(word, str) and normal(word) == _CALLBACK_EXCEPTION
    is_unfinished = status in ("queued", "processing")
    if status == "unknown" or (
        is_unfinished and not is_undelivered and not _is_hundred(task.get("progress"))
    ):
        return _pending(status, task)
    clips = _Clips(task, origin)
    reason = _reason(task.get("fail_reason"))
    if status == "succeeded":
        return completed(clips.result, is_streaming=clips.are_coming)
    if is_undelivered:
        return completed(clips.result) if clips.are_there(unsaid=True) else _pending(status, task)
    if clips.are_there() and not _says_why(reason):
        return completed(clips.result)
    if status == "failed":
        return Failed(reason or clips.reason or _NO_REASON, clips.result)
    if status == "seems_failed":
        return SeemsFailed(
            reason or clips.reason or fields.text(word, _MAX_REASON) or "", clips.result, "word"
        )
    if _says_why(reason):
        return SeemsFailed(reason, clips.result, "progress")
    return _pending(status, task)


def read_clip_list(data: list[Any], origin: Origin) -> Outcome:
    """Read a clip list that stands where the task should be (row 6): only the clips tell how it is.

    Pending while any clip is; failed when every clip has failed; completed when all have ended and any has
    succeeded.
    """
    clips = _Clips({"data": data}, origin)
    for status, word in clips.statuses:
        if status == "seems_failed":
            return SeemsFailed(fields.text(word, _MAX_REASON) or _NO_REASON, clips.result, "word")
        if status not in ("succeeded", "failed"):
            return pending(status, word)
    if not clips.statuses:
        return pending("queued", "")
    if any(status == "succeeded" for status, _ in clips.statuses):
        return completed(clips.result)
    return Failed(clips.reason or _NO_REASON, clips.result)


class _Clips:
    """The clips of a task object, wherever they stand in it, and what they say together."""

    def __init__(self, task: Mapping[str, Any], origin: Origin) -> None:
        self._task = task
        self._origin = origin
        self._task_id = fields.text(fields.first(task, "task_id", "taskId", "id"), _MAX_ID) or ""
        data = task.get("data")
        if isinstance(data, str):
            unwrapped = _unwrapped(data)
            data = [{"text": unwrapped}] if isinstance(unwrapped, str) and self._is_text() else unwrapped
        self.sources = list(_clip_objects(data))
        if not self.sources and data in (None, "", [], {}):
            self.sources = list(
                _clip_objects({name: task.get(name) for name in _CLIP_LISTS if name != "data"})
            )
        self.statuses = [
            (_CLIP_STATUSES.classify(state), state)
            for state in (fields.first(source, "status", "state") for source in self.sources)
        ]
        self._read = [
            self._clip(source, status)
            for source, (status, _) in zip(self.sources, self.statuses, strict=True)
        ]
        if not any(has_file(each.clip) for each in self._read):
            self._read = self._with_links()

    def _is_text(self) -> bool:
        action = self._task.get("action")
        return isinstance(action, str) and action.strip().lower() in ("lyrics", "lyric")

    def _clip(self, source: Mapping[str, Any], status: str) -> ReadClip:
        if (text := read_text(source, self._task_id)) is not None and status != "failed":
            return text
        state = fields.first(source, "status", "state")
        is_expected = status in ("queued", "processing") and state is not None
        clip = read_clip(source, self._origin, is_expected=is_expected)
        return ReadClip(clip.clip, clip.files, True, clip.unusable) if status == "failed" else clip

    def _with_links(self) -> list[ReadClip]:
        """Add what stands outside of the clips, where none of them has a file (rows 20 and 21)."""
        task = self._task
        urls = task.get("media_urls")
        entries = urls if isinstance(urls, list) else [urls]
        entries = [
            *entries,
            *(task.get(name) for name in ("result_url", "resultUrl", "audio_url", "video_url")),
        ]
        found = {
            (each.clip.audio_url, each.clip.video_url, each.clip.cover_url, *each.clip.inline): each
            for each in read_links(
                (entry for entry in entries if entry not in (None, "")), self._task_id, self._origin
            )
        }
        return [*self._read, *found.values()]

    @property
    def result(self) -> TaskResult:
        """All of it, normalised."""
        return read_result(
            self._task,
            self._read,
            submitted_at=self._task.get("submit_time"),
            started_at=self._task.get("start_time"),
            finished_at=self._task.get("finish_time"),
        )

    def are_there(self, *, unsaid: bool = False) -> bool:
        """Return whether there are clips, and each calls itself complete and has its file.

        Parameters
        ----------
        unsaid : bool
            Whether one that has its file and says nothing of itself counts as well.
        """
        ended = all(
            status == "succeeded" or (unsaid and word in (None, "")) for status, word in self.statuses
        )
        return bool(self.sources) and ended and all(has_file(each.clip) for each in self._read)

    @property
    def are_coming(self) -> bool:
        """Whether a clip has no file yet and may still get one."""
        return any(not each.is_settled for each in self._read)

    @property
    def reason(self) -> str:
        """Why the first clip that says so has failed; empty if none does."""
        for source in self.sources:
            metadata = source.get("metadata")
            places = (source, metadata) if isinstance(metadata, dict) else (source,)
            for place in places:
                for name in ("error_message", "errorMessage", "fail_reason", "msg", "error"):
                    if reason := fields.text(place.get(name), _MAX_REASON):
                        return reason
        return ""


def _pending(status: Any, task: Mapping[str, Any]) -> Outcome:
    return pending(status, task.get("status"), task.get("submit_time"), task.get("updated_at"))


def _unwrapped(text: str) -> Any:
    """Return what a text holds as JSON, once or twice encoded; the text itself where it is no JSON."""
    value: Any = text
    for _ in range(2):
        if not isinstance(value, str) or not value.strip():
            break
        try:
            value = parse(value.encode("utf-8", "replace"))
        except UnreadablePayloadError:
            break
    return value


def _clip_objects(data: Any, depth: int = 3) -> Iterable[Mapping[str, Any]]:
    """Return the clips in a task's `data`: a list, a map by id, an object that holds either, or a single clip."""
    if isinstance(data, str):
        data = _unwrapped(data)
    if isinstance(data, list):
        return list(fields.objects(data))
    if not isinstance(data, dict) or depth == 0:
        return []
    for name in _CLIP_LISTS:
        inner = data.get(name)
        if isinstance(inner, str):
            inner = _unwrapped(inner)
        if (
            isinstance(inner, dict)
            and name in ("clips", "songs")
            and inner
            and all(isinstance(each, dict) for each in inner.values())
        ):
            return [{"id": clip_id, **clip} for clip_id, clip in inner.items()]
        if isinstance(inner, list | dict) and (found := _clip_objects(inner, depth - 1)):
            return found
    is_clip = read_text(data, "") is not None or has_file(read_clip(data).clip) or "audio_url" in data
    return [data] if is_clip else []


def _is_hundred(progress: Any) -> bool:
    if isinstance(progress, str):
        return _HUNDRED.fullmatch(progress.strip()) is not None
    return isinstance(progress, int | float) and not isinstance(progress, bool) and progress == 100


def _reason(value: Any) -> str:
    """Return a task's reason, empty where there is none; what is no text counts as words, and is written as JSON."""
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return fields.text(value, _MAX_REASON) or ""
    return json.dumps(value, ensure_ascii=False)[:_MAX_REASON]


def _says_why(reason: str) -> bool:
    """Return whether a reason is one in words: gateways have stored the result's URL there (row 7)."""
    return bool(reason) and _URL.fullmatch(reason) is None
