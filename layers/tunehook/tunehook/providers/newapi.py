"""What the gateways of the new-api / Suno-API family have in common (kinds qhaigc and suno)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tunehook.providers import coerce, results
from tunehook.providers.adapter import Adapter, Answer
from tunehook.providers.outcomes import Failed, NotFound, Outcome, SeemsFailed, TaskResult, Transient
from tunehook.providers.refusals import described, refusal, says_not_found
from tunehook.providers.results import Origin, ReadClip, has_file, unwrapped
from tunehook.providers.statuses import StatusClass, StatusVocabulary, normal, pending

# Sources: docs/provider-contracts.md, "Status words".
_TASK_STATUSES: Final = StatusVocabulary(
    {
        "queued": "unknown not_start submitted queued queueing queuing pending in_queue on_queue pending_queue staged"
        " waiting wait created preparing",
        "processing": "in_progress processing running starting started generating text_success first_success"
        " callback_exception",
        "succeeded": "success succeeded succeed successful complete completed finished done",
        "failed": "failure failed fail error canceled cancelled aborted timeouted create_task_failed"
        " generate_audio_failed generate_lyrics_failed sensitive_word_error",
    }
)
_CLIP_STATUSES: Final = StatusVocabulary(
    {
        "queued": "submitted queued pending waiting",
        "processing": "streaming processing in_progress running generating",
        "succeeded": "complete completed succeeded success finished done",
        "failed": "error failed failure fail canceled cancelled aborted",
    }
)
_WORKED: Final = frozenset({"success", "succeed", "succeeded", "ok", "true", "0", "1", "200"})
_CODES: Final = ("code", "status_code", "statusCode", "errcode", "errno", "ret")
_TASK_IDS: Final = ("task_id", "taskId", "id")
_STATUS: Final = ("status", "task_status", "taskStatus", "state")
_OF_A_TASK: Final = coerce.names("progress fail_reason submit_time start_time finish_time action platform")
_OF_LISTED_TASKS: Final = frozenset({"data", "result_url", "clips", "songs"})
_TASK_INSIDE: Final = ("task", "task_info", "taskInfo", "record")
_CLIP_LISTS: Final = coerce.names(
    "clips songs sunoData suno_data data results result response output tracks music musics audios lyricsData"
    " lyrics_data lyrics resultJson result_json"
)
_MAPS_BY_ID: Final = ("clips", "songs", "tracks")
# Where a task or its `data` may have links outside of all clips.
_LINKS: Final = coerce.names(
    "result_url resultUrl audio_url audioUrl video_url videoUrl media_urls mediaUrls result_urls resultUrls urls output"
    " result"
)
_RESULTS: Final = ("resultJson", "result_json", "response", "output", "result")
_RESULT_PLACES: Final = tuple(dict.fromkeys((*_CLIP_LISTS, *_LINKS)))
_FAIL_REASON: Final = ("fail_reason", "failReason", "fail_msg", "failMsg")
_REASONS: Final = coerce.names(
    "error_message errorMessage error_msg errorMsg err_msg error failure_reason msg message detail reason"
)
_EMPTY_TEXTS: Final = frozenset({"", "success", "ok", "null", "none", "data:"})
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
# Fields whose links are not the result, even where they end like it.
_NOT_IT = re.compile(r"stream|source|origin|input|reference|callback|hook", re.IGNORECASE)
_HUNDRED = re.compile(r"100(?:\.0*)?\s*%?", re.ASCII)
_MAX_REASON = 1000
_MAX_ID = 512
_NO_REASON = "the provider gave no reason"


class NewApiAdapter(Adapter):
    """Reads ``{"code": "success" | <error word>, "message", "data"}``.

    Some gateways send a number as `code` (0, 1 or 200), ``"success": true`` instead, or the task's fields beside it.
    """

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        """Return whether there is a `code` or a `success`; errors of the key have neither (row 3)."""
        return isinstance(payload.get("code"), str | int) or isinstance(payload.get("success"), bool)

    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        if self.worked(answer.status, payload):
            if _is_task(payload):
                task = {name: value for name, value in payload.items() if name not in ("code", "success")}
                return read_task(task, answer.origin)
            data = coerce.first(payload, "data") if "data" in payload else payload.get("result")
            error = _error_without_data(answer.status, payload) if data is None else None
            return error or read_data(data, answer.origin)
        if payload.get("code") == "invalid_request" and answer.status == 400:
            return NotFound(described(400, payload))  # Suno-API's word for an unknown id (row 2)
        return None

    def accepts(self, answer: Answer, payload: Mapping[str, Any], /) -> bool | None:
        if self.worked(answer.status, payload):
            return True
        has_code = coerce.first(payload, *_CODES) is not None or payload.get("success") is not None
        return False if has_code else None

    @staticmethod
    def worked(status: int, payload: Mapping[str, Any]) -> bool:
        """Return whether the query itself worked, which says nothing about the task."""
        success = payload.get("success")
        if not 200 <= status < 300 or success is False or success == "false":
            return False
        if (code := _code(payload)) is not None:
            return code in _WORKED
        if success is True or success in (1, "true"):
            return True
        word = payload.get("status")  # beside the `data` it stands for the code
        return "data" in payload and isinstance(word, str | int) and str(word).strip().lower() in _WORKED


def _code(payload: Mapping[str, Any]) -> str | None:
    """Return the envelope's code as a word in lower case; zeros before a number do not count."""
    code = coerce.first(payload, *_CODES)
    if isinstance(code, float) and code.is_integer():
        code = int(code)
    if not isinstance(code, str | int | float):
        return None if code is None else "?"
    word = str(code).strip().lower()
    return (word.lstrip("0") or "0") if word.isascii() and word.isdigit() else word


def _is_task(payload: Mapping[str, Any]) -> bool:
    """Return whether an envelope is the task itself, not an error that quotes its id."""
    has_status = isinstance(coerce.first(payload, *_STATUS), str)
    has_id = coerce.first(payload, *_TASK_IDS) is not None
    return has_status and has_id and any(name in payload for name in _OF_A_TASK)


def _error_without_data(status: int, payload: Mapping[str, Any]) -> Outcome | None:
    """Return the error in an answer without a task that seems to have worked: to some gateways code 1 is an error."""
    detail = described(status, payload)
    if says_not_found(payload):
        return NotFound(detail)
    if (refused := refusal(status, payload, detail)) is not None:
        return refused
    said = coerce.text(coerce.first(payload, "message", "msg"), _MAX_REASON) or ""
    return Transient(detail) if _code(payload) == "1" and said.lower() not in _EMPTY_TEXTS else None


def read_data(data: Any, origin: Origin) -> Outcome | None:
    """Read the `data` of a query that worked; None when it is nothing that could tell of a task."""
    data = unwrapped(data)
    if data is None or data == "":  # legal, and not an answer yet (row 5)
        return pending("queued", "")
    if isinstance(data, list):
        named = (each for each in coerce.objects(data) if "task_id" in each and "status" in each)
        tasks = [each for each in named if not _OF_LISTED_TASKS.isdisjoint(each)]
        if not tasks:
            return read_clip_list(data, origin)
        return read_task(tasks[0], origin) if len(data) == 1 else None
    if not isinstance(data, dict):
        return None
    if coerce.first(data, *_STATUS) is None:
        inner = (data[name] for name in _TASK_INSIDE if isinstance(data.get(name), dict))
        inside: Mapping[str, Any] = next(inner, {})
        data = data if coerce.first(inside, *_STATUS) is None else inside
    return read_task(data, origin)


def read_task(task: Mapping[str, Any], origin: Origin) -> Outcome:
    """Read a task object, whose `status` says whether it has ended.

    The exceptions (rows 7, 17 to 19): clips that are all there make a failure without a reason a success, and a
    progress of 100 % beside a reason makes an unfinished status look like a failure.
    """
    word = coerce.first(task, *_STATUS)
    status = _TASK_STATUSES.classify(word)
    is_undelivered = status == "processing" and normal(word) == "callback_exception"
    is_unfinished = status in ("queued", "processing") and not is_undelivered
    unfinished = pending(
        status,
        word,
        task.get("submit_time"),
        task.get("updated_at"),
        read=lambda: _Clips(task, origin).result,
        may_have_clips=any(task.get(name) for name in _RESULT_PLACES),
    )
    if status == "unknown" or (is_unfinished and not _is_hundred(task.get("progress"))):
        return unfinished
    clips = _Clips(task, origin)
    reason = _fail_reason(task)
    if status == "succeeded":
        return results.completed(clips.result, is_streaming=clips.are_coming, reason=clips.reason)
    if is_undelivered:
        return results.completed(clips.result) if clips.are_there(unsaid=True) else unfinished
    if not _is_reason(reason) and clips.are_there():
        return results.completed(clips.result)
    said = _failure_text(task, reason)
    if status == "failed":
        link = f", but a link: {reason}" if _URL.fullmatch(reason) else ""
        return Failed(said or clips.reason or _NO_REASON + link, clips.result)
    if status == "seems_failed":
        said = said or clips.reason or coerce.text(word, _MAX_REASON) or ""
        return SeemsFailed(said, clips.result, "word")
    return SeemsFailed(said or reason, clips.result, "progress") if _is_reason(reason) else unfinished


def read_clip_list(data: list[Any], origin: Origin) -> Outcome:
    """Read a clip list that stands where the task should be (row 6).

    Pending while any clip is; failed when every clip has failed; completed when all have ended and any has succeeded.
    """
    clips = _Clips({"data": data}, origin)
    words: dict[StatusClass, Any] = {}
    for status, word in clips.statuses:
        if status not in ("succeeded", "failed", "seems_failed"):
            return pending(status, word, read=lambda: clips.result, may_have_clips=True)
        words.setdefault(status, word)
    if not words:
        return pending("queued", "")
    if "seems_failed" in words:
        said = clips.reason or coerce.text(words["seems_failed"], _MAX_REASON) or _NO_REASON
        return SeemsFailed(said, clips.result, "word")
    if "succeeded" in words:
        return results.completed(clips.result, is_streaming=clips.are_coming, reason=clips.reason)
    return Failed(clips.reason or _NO_REASON, clips.result)


class _Clips:
    """The clips of a task object, wherever they stand in it, and what they say together."""

    def __init__(self, task: Mapping[str, Any], origin: Origin) -> None:
        self._task = task
        self._origin = origin
        self._task_id = coerce.text(coerce.first(task, *_TASK_IDS), _MAX_ID) or ""
        self._is_text = _is_text_task(task)
        self._unusable: list[str] = []
        self._is_of_reason = False
        self._data = unwrapped(task.get("data"))
        self.sources = _clip_objects(self._data)
        if not self.sources and self._data in (None, "", [], {}):
            self.sources = _clip_objects({name: task.get(name) for name in _CLIP_LISTS if name != "data"})
        words = [coerce.first(source, "status", "state") for source in self.sources]
        self.statuses = [(_CLIP_STATUSES.classify(word), word) for word in words]
        pairs = zip(self.sources, self.statuses, strict=True)
        self._read = [self._clip(source, *status) for source, status in pairs]
        if not any(has_file(each.clip) for each in self._read):
            self._read = self._outside()

    def _clip(self, source: Mapping[str, Any], status: StatusClass, word: Any) -> ReadClip:
        text = results.read_text(source, self._task_id, is_wanted=self._is_text)
        if text is not None and status != "failed":
            return text
        is_expected = status in ("queued", "processing") and word is not None
        clip = results.read_clip(source, self._origin, is_expected=is_expected)
        is_settled = clip.is_settled or status in ("failed", "seems_failed")
        return ReadClip(clip.clip, clip.files, is_settled, clip.unusable)

    def _outside(self) -> list[ReadClip]:
        """Add what is outside of the clips, where none of them has a file (rows 22 and 26)."""
        links = [entry for entry in self._links() if not results.is_message(entry)]
        if not links:
            reason = coerce.first(self._task, *_FAIL_REASON)
            links = [reason] if coerce.is_data(reason) or not _is_reason(_fail_reason(self._task)) else []
            self._is_of_reason = any(links)
        found = results.read_links(links, self._task_id, self._origin)
        if len(found) == len(self._read) == 1:
            return [results.with_files_of(self._read[0], found[0])]
        self._unusable = [] if found else [f"result_url: {results.quoted(link)}" for link in links if link]
        return [*self._read, *(found or self._texts())]

    def _links(self) -> Iterator[Any]:
        for place in (self._task, self._data, *(unwrapped(self._task.get(name)) for name in _RESULTS)):
            if isinstance(place, dict):
                yield from (entry for name in _LINKS for entry in results.entries(place.get(name)))
        if isinstance(self._data, str | list):
            yield from (entry for entry in results.entries(self._data) if isinstance(entry, str))
        for place in (self._data, *self.sources):
            for name, each in place.items() if isinstance(place, dict) else ():
                if results.is_media(each) and not _NOT_IT.search(name):
                    yield each

    def _texts(self) -> list[ReadClip]:
        data = self._data
        if self._is_text is False:
            return []
        if isinstance(data, str) and data.strip():
            return [results.text_clip(data.strip(), self._task_id, self._task)]
        if isinstance(data, list):
            lines = [line.strip() for line in data if isinstance(line, str) and line.strip()]
            if lines and len(lines) == len(data):
                return [results.text_clip(line, self._task_id, {}) for line in lines]
        names = ("text", "lyrics", "lyric", *(("output", "result") if self._is_text else ()))
        for place in (self._task, data) if isinstance(data, dict) else (self._task,):
            for name in names:
                if isinstance(value := place.get(name), str) and value.strip() and _URL.match(value) is None:
                    titled = place if "title" in place else {}
                    return [results.text_clip(value.strip(), self._task_id, titled)]
        return []

    @property
    def result(self) -> TaskResult:
        return results.read_result(
            self._task,
            self._read,
            submitted_at=self._task.get("submit_time"),
            started_at=self._task.get("start_time"),
            finished_at=self._task.get("finish_time"),
            unusable=self._unusable,
        )

    def are_there(self, *, unsaid: bool = False) -> bool:
        """Return whether there are clips, and each calls itself complete (or nothing, if `unsaid`) and has its file.

        A link in `fail_reason` is no file of a clip: only SUCCESS says that it is a result (row 22).
        """
        ended = [status == "succeeded" or (unsaid and word in (None, "")) for status, word in self.statuses]
        have_files = not self._is_of_reason and all(has_file(each.clip) for each in self._read)
        return bool(ended) and all(ended) and have_files

    @property
    def are_coming(self) -> bool:
        return any(not each.is_settled for each in self._read)

    @property
    def reason(self) -> str:
        """Why the first clip that says so has failed; empty if none does."""
        for source in self.sources:
            for place in (source, source.get("metadata")):
                if isinstance(place, dict) and (reason := _text_in(place, (*_REASONS, *_FAIL_REASON))):
                    return reason
        data = self._data
        if isinstance(data, dict):
            return _text_in(data, (*_FAIL_REASON, *_REASONS))
        return "" if not isinstance(data, str) or coerce.is_data(data) else data.strip()[:_MAX_REASON]


def _is_text_task(task: Mapping[str, Any]) -> bool | None:
    """Return whether a task is one for texts; None where it does not say what it is for."""
    action = coerce.first(task, "action", "task_type", "taskType", "type")
    word = action.strip().lower() if isinstance(action, str) else None
    return None if word is None else "lyric" in word or word == "text"


def _clip_objects(data: Any, depth: int = 3) -> list[Mapping[str, Any]]:
    """Return the clips in a task's `data`: a list, a map by id, an object that holds either, or a single clip."""
    data = unwrapped(data)
    if isinstance(data, list):
        return [clip for item in coerce.objects(data) for clip in _clips_in(item)]
    if not isinstance(data, dict) or depth == 0:
        return []
    for name in _CLIP_LISTS:
        inner = unwrapped(data.get(name))
        if isinstance(inner, dict) and name in _MAPS_BY_ID and (found := _by_id(inner)):
            return found
        if isinstance(inner, list | dict) and (found := _clip_objects(inner, depth - 1)):
            return found
    if _is_clip(data):
        return [data]
    found = _by_id(data)
    return found if all(map(_is_clip, found)) else []


def _clips_in(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the clips that an item of a list holds under names, if it says nothing of itself; else the item."""
    if _is_clip(item) or coerce.first(item, "status", "state") is not None:
        return [item]
    return [each for each in item.values() if isinstance(each, dict) and _is_clip(each)] or [item]


def _by_id(clips: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    is_map = all(isinstance(each, dict) for each in clips.values())
    return [{"id": clip_id, **clip} for clip_id, clip in clips.items()] if is_map else []


def _is_clip(value: Mapping[str, Any]) -> bool:
    has_link = any(name in value for name in ("audio_url", "audioUrl"))
    return has_link or results.read_text(value, "") is not None or has_file(results.read_clip(value).clip)


def _fail_reason(task: Mapping[str, Any]) -> str:
    """Return what stands where a failure's reason should be: a text, the result's URL, or whatever else."""
    value = coerce.first(task, *_FAIL_REASON)
    if value is None:
        return ""
    if isinstance(value, dict):
        value = _text_in(value, _REASONS) or json.dumps(value, ensure_ascii=False)
    return (coerce.text(value, _MAX_REASON) if isinstance(value, str) else str(value)[:_MAX_REASON]) or ""


def _failure_text(task: Mapping[str, Any], fail_reason: str) -> str:
    """Return a failure's reason as a text, from wherever a task has it; empty if it has none."""
    said = fail_reason if _is_reason(fail_reason) and fail_reason not in _EMPTY_TEXTS else ""
    # `result_url` falls back to the failure's text (row 7).
    return _text_in(task, _FAIL_REASON) or said or _text_in(task, (*_REASONS, "result_url"))


def _text_in(place: Mapping[str, Any], names: Iterable[str]) -> str:
    for name in names:
        value = place.get(name)
        if isinstance(value, str) and value[:1] == "{":
            value = unwrapped(value)
        if isinstance(value, dict):
            value = coerce.first(value, "message", "msg", "detail", "reason", "raw_message", "code")
        text = coerce.text(value, _MAX_REASON) or ""
        if text.lower() not in _EMPTY_TEXTS and _is_reason(text):
            return text
    return ""


def _is_hundred(progress: Any) -> bool:
    if isinstance(progress, str):
        return _HUNDRED.fullmatch(progress.strip()) is not None
    return isinstance(progress, int | float) and not isinstance(progress, bool) and progress == 100


def _is_reason(reason: str) -> bool:
    # Gateways have stored the result's URL there (row 7).
    return bool(reason) and _URL.fullmatch(reason) is None
