"""piapi: PiAPI, formerly GoAPI. `GET /api/v1/task/{id}`, and `POST /api/v1/task` for whatever its models make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from tunehook.providers import coerce, results
from tunehook.providers.adapter import Adapter, Answer, Request, encoded_id
from tunehook.providers.outcomes import Failed, Outcome, SeemsFailed, TaskResult
from tunehook.providers.results import Origin, ReadClip, unwrapped
from tunehook.providers.statuses import StatusVocabulary, normal, pending

_STATUSES: Final = StatusVocabulary(
    {
        "queued": "pending staged",
        "processing": "processing starting retry",
        "succeeded": "completed success",
        "failed": "failed",
    }
)
_UNFINISHED: Final = frozenset({"submitted", "queued", "pending", "processing", "streaming"})
"""A clip's own words."""

_AUDIO: Final = ("audio_url", "audio", "audio_urls")
_OUTPUTS: Final = {
    "image": ("image_url", "image_urls", "image"),
    "video": ("video_url", "video_urls", "video"),
}
_FILES: Final = ("resource_without_watermark", "resource", "url")
_MAX_ID: Final = 512
_MAX_REASON: Final = 1000


class Piapi(Adapter):
    """Reads ``{"code": 200, "message", "data"}``, or what a callback has: ``{"timestamp", "data"}``.

    `data` is the task in one form for every model; what a model makes stands in its `output`.
    """

    kind = "piapi"
    actions = MappingProxyType({"music": "/api/v1/task"})
    callback_field = "config.webhook_config.endpoint"

    def request(self, task_id: str) -> Request:
        return Request("GET", f"/api/v1/task/{encoded_id(task_id)}")

    def key_headers(self, api_key: str) -> Mapping[str, str]:
        return {"x-api-key": api_key}

    def wants_callback(self, body: Mapping[str, Any]) -> bool:
        config = body.get("config") or {}
        webhook = (config.get("webhook_config") or {}) if isinstance(config, dict) else None
        return isinstance(webhook, dict) and webhook.get("endpoint") in (None, "")

    def with_callback(self, body: Mapping[str, Any], url: str, secret: str | None, /) -> Mapping[str, Any]:
        """Put the URL where PiAPI reads it, and beside it the secret that its callbacks are to show."""
        config = body.get("config") or {}
        webhook = {**(config.get("webhook_config") or {}), "endpoint": url}
        if secret is not None:
            webhook["secret"] = secret
        return {**body, "config": {**config, "webhook_config": webhook}}

    def accepts(self, _answer: Answer, payload: Mapping[str, Any], /) -> bool | None:
        code = payload.get("code")
        return code == 200 if type(code) is int else None

    def has_envelope(self, payload: Mapping[str, Any]) -> bool:
        return type(payload.get("code")) is int

    def read_payload(self, answer: Answer, payload: Mapping[str, Any]) -> Outcome | None:
        """Read the answer about one task; an error has another code, or a `data` without a status."""
        if not 200 <= answer.status < 300:
            return None
        data = unwrapped(payload.get("data"))
        if "code" not in payload:
            is_task = type(payload.get("timestamp")) is int and isinstance(data, dict) and "task_id" in data
            return _read_task(data, answer.origin) if is_task else None
        if payload["code"] != 200 or type(payload["code"]) is not int:
            return None
        if data is None:
            return pending("queued", "")
        return _read_task(data, answer.origin) if isinstance(data, dict) else None


def _read_task(task: Mapping[str, Any], origin: Origin) -> Outcome:
    """Read a task object; only its status says whether it has ended."""
    word = task.get("status")
    status = _STATUSES.classify(word)
    times = task.get("meta")
    meta: Mapping[str, Any] = times if isinstance(times, dict) else {}
    if status in ("queued", "processing", "unknown"):
        return pending(
            status,
            word,
            meta.get("created_at"),
            read=lambda: _result(task, meta, _clips(task, origin)),
            may_have_clips=bool(task.get("output")),
        )
    clips = _clips(task, origin)
    result = _result(task, meta, clips)
    reason = _reason(task.get("error"))
    if status == "failed":
        return Failed(reason or "the provider gave no reason", result)
    if status == "seems_failed":
        return SeemsFailed(reason or coerce.text(word, _MAX_REASON) or "", result, "word")
    is_streaming = any(not each.is_settled for each in clips)
    return results.completed(result, is_streaming=is_streaming, reason=reason)


def _result(task: Mapping[str, Any], meta: Mapping[str, Any], clips: Iterable[ReadClip]) -> TaskResult:
    return results.read_result(
        task,
        clips,
        submitted_at=meta.get("created_at"),
        started_at=meta.get("started_at"),
        finished_at=meta.get("ended_at"),
    )


def _reason(error: Any) -> str:
    """Return why a task failed: the `error` of one that did not has code 0 and empty texts."""
    if isinstance(error, str):
        return coerce.text(error, _MAX_REASON) or ""
    if not isinstance(error, dict):
        return ""
    said = (coerce.text(error.get(name), _MAX_REASON) for name in ("message", "raw_message", "detail"))
    code = error.get("code")
    return next(filter(None, said), "" if code in (None, 0, "") else f"error code {coerce.text(code, 20)}")


def _clips(task: Mapping[str, Any], origin: Origin) -> list[ReadClip]:
    task_id = coerce.text(task.get("task_id"), _MAX_ID) or ""
    output = unwrapped(task.get("output"))
    if not isinstance(output, dict):
        return results.read_links(results.entries(output), task_id, origin) if output else []
    for name in ("songs", "clips"):
        if sources := _sources(unwrapped(output.get(name))):
            return [_clip(source, origin) for source in sources]
    if links := [entry for name in _AUDIO for entry in results.entries(output.get(name))]:
        return results.read_links(links, task_id, origin)
    if outputs := list(_outputs(output)):
        return [results.read_output(value, task_id, kind, origin) for kind, value in outputs]
    task_type = task.get("task_type")
    is_wanted = isinstance(task_type, str) and "lyric" in task_type.lower()
    text = results.read_text(output, task_id, is_wanted=is_wanted or None)
    return [] if text is None else [text]


def _outputs(output: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the pictures and videos of a task that made no music, and what each is; those of `works` have resources."""
    for place in (output, *coerce.objects(unwrapped(output.get("works")))):
        for kind, names in _OUTPUTS.items():
            value = coerce.first(place, *names)
            if isinstance(value, dict):
                value = coerce.first(value, *_FILES)
            for each in value if isinstance(value, list) else (value,):
                if each not in (None, ""):
                    yield kind, each


def _sources(clips: Any) -> list[Mapping[str, Any]]:
    """Return the clips of a list, or of a map by their ids."""
    if isinstance(clips, dict):
        return [{"id": clip_id, **clip} for clip_id, clip in clips.items() if isinstance(clip, dict)]
    return list(coerce.objects(clips))


def _clip(source: Mapping[str, Any], origin: Origin) -> ReadClip:
    word = source.get("status")
    is_expected = source.get("finished") is False or (isinstance(word, str) and normal(word) in _UNFINISHED)
    return results.read_clip(source, origin, is_expected=is_expected)


ADAPTER = Piapi()
