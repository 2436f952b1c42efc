"""sunoapi: sunoapi.org and kie.ai, whose music is asked for by `GET /api/v1/generate/record-info?taskId=`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from tunehook.providers import coerce, results
from tunehook.providers.adapter import Adapter, Answer, Request, encoded_id
from tunehook.providers.outcomes import Failed, NotFound, Outcome, SeemsFailed, TaskResult
from tunehook.providers.refusals import described, says_not_found
from tunehook.providers.results import Origin, ReadClip, has_file, unwrapped
from tunehook.providers.statuses import StatusVocabulary, normal, pending

_STATUSES: Final = StatusVocabulary(
    {
        "queued": "pending waiting queuing",
        "processing": "text_success first_success callback_exception generating",
        "succeeded": "success",
        "failed": "create_task_failed generate_audio_failed sensitive_word_error fail",
    }
)
_MADE_NOTHING: Final = frozenset({501, 531})
"""Codes of the envelope for "the generation failed"; the latter adds that the credits were given back."""

_ASKED_WRONGLY: Final = frozenset({400, 404, 422})
_NO_RECORD: Final = re.compile(r"(?i)\b(?:record|task)\s?(?:info)?\s+(?:is\s+null|(?:does\s+)?not\s+exist)")
_RESULTS: Final = ("response", "resultJson")
_CLIPS: Final = ("sunoData", "data", "clips")
_LINKS: Final = ("resultUrls", "result_urls", "audioUrl", "audio_url", "videoUrl", "video_url")
_ZONELESS: Final = re.compile(r"(?a)\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*")
_CLOCKS_DIFFER_BY: Final = timedelta(minutes=5)
_MAX_ID: Final = 512
_MAX_REASON: Final = 1000


class Sunoapi(Adapter):
    """Reads ``{"code": <integer, 200 is success>, "msg", "data"}``, which comes with HTTP 200 also for an error.

    The other calls of these vendors (lyrics, WAV, stems, videos) have ids and queries of their own, which it does not
    know. Their limit of 3 queries a second is one of a task, so none of the provider follows from it.
    """

    kind = "sunoapi"
    actions = MappingProxyType(
        {
            "music": "/api/v1/generate",
            "extend": "/api/v1/generate/extend",
            "cover": "/api/v1/generate/upload-cover",
            "upload-extend": "/api/v1/generate/upload-extend",
            "add-instrumental": "/api/v1/generate/add-instrumental",
            "add-vocals": "/api/v1/generate/add-vocals",
        }
    )
    callback_field = "callBackUrl"
    callback_required = True

    def request(self, task_id: str) -> Request:
        return Request("GET", f"/api/v1/generate/record-info?taskId={encoded_id(task_id)}")

    def accepts(self, _answer: Answer, payload: Mapping[str, Any], /) -> bool | None:
        code = _code(payload)
        return None if code is None else code == 200

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        return _code(payload) is not None

    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        """Read the answer about one task; where the code is no success, only a failed status ends it."""
        code = _code(payload)
        if code is None or not 200 <= answer.status < 300:
            return None
        data = unwrapped(payload.get("data"))
        if code in _ASKED_WRONGLY and data in (None, "") and _is_unknown(payload):
            return NotFound(described(answer.status, payload))
        if code in _MADE_NOTHING:
            return _failed(answer, payload, data)
        if code != 200:
            return None
        if data in (None, ""):
            return pending("queued", "")
        return _read_task(data, answer.origin) if isinstance(data, dict) else None


def _code(payload: Mapping[str, Any]) -> int | None:
    code = payload.get("code")
    if isinstance(code, str) and re.fullmatch(r"(?a)\s*\d{1,5}\s*", code):
        return int(code)
    return code if type(code) is int else None


def _is_unknown(payload: Mapping[str, Any]) -> bool:
    msg = payload.get("msg")
    return says_not_found(payload) or (isinstance(msg, str) and _NO_RECORD.search(msg) is not None)


def _failed(answer: Answer, payload: Mapping[str, Any], data: Any) -> Outcome | None:
    """Return what an envelope means that says that the generation failed; None if its task says otherwise."""
    task = data if isinstance(data, dict) else {"data": data}
    if _word(task) is None:
        return SeemsFailed(described(answer.status, payload), results.read_result(task, ()), "word")
    outcome = _read_task(task, answer.origin)
    return outcome if isinstance(outcome, Failed | SeemsFailed) else None


def _word(task: Mapping[str, Any]) -> Any:
    return coerce.first(task, "status", "state")


def _read_task(task: Mapping[str, Any], origin: Origin) -> Outcome:
    """Read a task object; only its status says whether it has ended.

    One that the vendor could not call back about (CALLBACK_EXCEPTION) has, once each of its clips has its file.
    """
    word = _word(task)
    status = _STATUSES.classify(word)
    submitted_at = _zoned(task.get("createTime"))
    is_undelivered = status == "processing" and normal(word) == "callback_exception"
    if status in ("queued", "processing", "unknown") and not is_undelivered:
        return pending(
            status,
            word,
            submitted_at,
            read=lambda: _result(task, submitted_at, _clips(task, origin)),
            may_have_clips=any(task.get(name) for name in _RESULTS),
        )
    clips = _clips(task, origin)
    if is_undelivered and not (clips and all(has_file(each.clip) for each in clips)):
        read = partial(_result, task, submitted_at, clips)
        return pending(status, word, submitted_at, read=read, may_have_clips=bool(clips))
    result = _result(task, submitted_at, clips)
    reason = _reason(task)
    if status == "failed":
        return Failed(reason or f"the provider says {coerce.text(word, _MAX_REASON)}, and no more", result)
    if status == "seems_failed":
        return SeemsFailed(reason or coerce.text(word, _MAX_REASON) or "", result, "word")
    is_streaming = any(not each.is_settled for each in clips)
    return results.completed(result, is_streaming=is_streaming, reason=reason)


def _result(task: Mapping[str, Any], submitted_at: Any, clips: Iterable[ReadClip]) -> TaskResult:
    finished_at = _zoned(task.get("completeTime"))
    return results.read_result(task, clips, submitted_at=submitted_at, finished_at=finished_at)


def _zoned(written: Any) -> Any:
    """Return a time as it was written, None for one without a zone: a task must not look hours older than it is."""
    return None if isinstance(written, str) and _ZONELESS.fullmatch(written) else written


def _reason(task: Mapping[str, Any]) -> str:
    said = coerce.text(coerce.first(task, "errorMessage", "failMsg"), _MAX_REASON)
    code = coerce.text(coerce.first(task, "errorCode", "failCode"), _MAX_REASON)
    return said or ("" if code is None else f"error code {code}")


def _clips(task: Mapping[str, Any], origin: Origin) -> list[ReadClip]:
    """Return the clips of a task: in its `response`, or in the JSON that is the text of `resultJson`."""
    task_id = coerce.text(coerce.first(task, "taskId", "task_id"), _MAX_ID) or ""
    found = (_clips_in(unwrapped(task.get(name)), task_id, origin) for name in _RESULTS)
    return next(filter(None, found), [])


def _clips_in(place: Any, task_id: str, origin: Origin) -> list[ReadClip]:
    sources = place
    if isinstance(place, dict):
        sources = next((each for name in _CLIPS if (each := unwrapped(place.get(name)))), None)
        if not sources:
            links = [entry for name in _LINKS for entry in results.entries(place.get(name))]
            return results.read_links(links, task_id, origin) if links else []
    return [_clip(source, origin) for source in coerce.objects(sources)]


def _clip(source: Mapping[str, Any], origin: Origin) -> ReadClip:
    """Read a clip. Its time has no zone and is read as UTC; one that would be to come was written in another zone."""
    read = results.read_clip(source, origin)
    created_at, now = read.clip.created_at, origin.received_at
    if created_at is None or now is None or created_at <= now + _CLOCKS_DIFFER_BY:
        return read
    return dataclasses.replace(read, clip=dataclasses.replace(read.clip, created_at=None))


ADAPTER = Sunoapi()
