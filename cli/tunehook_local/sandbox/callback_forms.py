"""What providers send to a callback URL, as far as the sandbox plays it: one function a form, each without I/O.

``task``        whole tasks as a query answers them, at each change (``notify_hook`` of gateways)
``sunoapi``     sunoapi.org and kie.ai: ``text``, ``first``, ``complete`` or ``error``; kie.ai signs task and time
``piapi``       PiAPI: the fetch answer, its secret in a header, and echoed in the body
``midjourney``  midjourney-proxy: the whole task in camel case at each change, each twice and in no order
``replicate``   Replicate: the prediction at its start and its end, as Standard Webhooks
``fal``         fal.ai: OK or ERROR at the end; its signature is none that can be verified
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from tunehook.times import iso, to_ms
from tunehook_local.sandbox import musicmint, qhaigc, suno
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.task_snapshot import TaskSnapshot


class CallbackForm(StrEnum):
    """Whose callbacks are played."""

    TASK = "task"
    SUNOAPI = "sunoapi"
    PIAPI = "piapi"
    MIDJOURNEY = "midjourney"
    REPLICATE = "replicate"
    FAL = "fal"


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a callback URL; `moment` says what it is about, `repeated` whether a failure is tried again."""

    moment: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """What a form makes its calls of: a task that has come to another phase."""

    kind: Kind
    snapshot: TaskSnapshot
    url: str
    secret: str

    @property
    def is_over(self) -> bool:
        return self.snapshot.phase.final

    @property
    def has_failed(self) -> bool:
        return self.snapshot.phase is Phase.FAILED

    @property
    def now_s(self) -> int:
        return int(self.snapshot.now.timestamp())


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a submission says of its callbacks: where they go, whose they are, and with which secret."""

    url: str
    form: CallbackForm
    secret: str = ""


def wanted_callback(body: object) -> Wanted | None:
    """Return what the body of a submission asks for, in any vendor's field; None if nothing."""
    if not isinstance(body, dict):
        return None
    config = body.get("config")
    hook = config.get("webhook_config") if isinstance(config, dict) else None
    if isinstance(hook, dict) and isinstance(hook.get("endpoint"), str) and hook["endpoint"]:
        return Wanted(hook["endpoint"], CallbackForm.PIAPI, str(hook.get("secret") or ""))
    for name, form in _FIELDS.items():
        url = body.get(name)
        if isinstance(url, str) and url:
            return Wanted(url, form)
    return None


def calls_of(form: CallbackForm, subject: Subject) -> Sequence[Call]:
    """Return the calls that a provider makes when a task has come to its present phase, in their order."""
    return _FORMS[form](subject)


def _json(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


def _task(subject: Subject) -> Sequence[Call]:
    one = {Kind.MUSICMINT: musicmint.one, Kind.QHAIGC: qhaigc.one, Kind.SUNO: suno.one}[subject.kind]
    task = json.loads(one(subject.snapshot).body)["data"]
    return [Call(subject.snapshot.phase, _json(task))]


def _sunoapi(subject: Subject) -> Sequence[Call]:
    if subject.snapshot.phase is Phase.QUEUED:
        return ()
    moments = ("error",) if subject.has_failed else ("first", "complete") if subject.is_over else ("text",)
    return [_sunoapi_call(subject, moment) for moment in moments]


def _sunoapi_call(subject: Subject, moment: str) -> Call:
    snapshot = subject.snapshot
    # What is no music has the id under another name.
    id_name = "taskId" if snapshot.lyrics else "task_id"
    is_bad = moment == "error"
    clips = [_sunoapi_clip(subject, index, moment) for index in range(1 if moment == "first" else 2)]
    document = {
        "code": 500 if is_bad else 200,
        "msg": snapshot.reason if is_bad else "All generated successfully.",
        "data": {
            "callbackType": moment,
            id_name: snapshot.task_id,
            "data": None if is_bad else clips,
        },
    }
    headers = {}
    if subject.secret:
        stamp = str(subject.now_s)
        signed = f"{snapshot.task_id}.{stamp}".encode()
        signature = hmac.new(subject.secret.encode(), signed, hashlib.sha256).digest()
        headers = {
            "X-Webhook-Timestamp": stamp,
            "X-Webhook-Signature": base64.b64encode(signature).decode(),
        }
    return Call(moment, _json(document), headers, repeated=True)


def _sunoapi_clip(subject: Subject, index: int, moment: str) -> dict[str, Any]:
    snapshot = subject.snapshot
    audio_url = ""
    if moment != "text" and index < len(snapshot.clips):
        audio_url = snapshot.clips[index].url(snapshot.assets_url, ".mp3")
    return {
        "id": f"{snapshot.task_id}-clip-{index}",
        "audio_url": audio_url,
        "source_audio_url": audio_url,
        "prompt": snapshot.song.prompt,
        "model_name": snapshot.song.model,
        "title": snapshot.song.title,
        "tags": snapshot.song.tags,
        "createTime": snapshot.submitted_at.strftime("%Y-%m-%d %H:%M:%S"),
        "duration": 0 if moment == "text" else 87.4,
    }


def _piapi(subject: Subject) -> Sequence[Call]:
    snapshot = subject.snapshot
    if snapshot.phase is Phase.QUEUED:
        return ()
    error = {"code": 10000 if subject.has_failed else 0, "message": snapshot.reason}
    document = {
        "timestamp": subject.now_s,
        "data": {
            "task_id": snapshot.task_id,
            "model": "music-u",
            "task_type": "generate_music",
            "status": snapshot.phase.value,
            "config": {"webhook_config": {"endpoint": subject.url, "secret": subject.secret}},
            "input": {"prompt": snapshot.song.prompt},
            "output": {"songs": [clip.clip_id for clip in snapshot.clips]},
            "error": error,
        },
    }
    headers = {"x-webhook-secret": subject.secret} if subject.secret else {}
    return [Call(snapshot.phase, _json(document), headers, repeated=True)]


def _midjourney(subject: Subject) -> Sequence[Call]:
    snapshot = subject.snapshot
    words = {
        Phase.QUEUED: ("SUBMITTED", "0%"),
        Phase.PROCESSING: ("IN_PROGRESS", "50%"),
        Phase.COMPLETED: ("SUCCESS", "100%"),
        Phase.FAILED: ("FAILURE", "0%"),
    }
    status, progress = words[snapshot.phase]
    document = {
        "id": snapshot.task_id,
        "action": "IMAGINE",
        "status": status,
        "progress": progress,
        "prompt": snapshot.song.prompt,
        "submitTime": to_ms(snapshot.submitted_at),
        "startTime": to_ms(snapshot.submitted_at),
        "finishTime": None if snapshot.ended_at is None else to_ms(snapshot.ended_at),
        "failReason": snapshot.reason or None,
        "properties": {"notifyHook": subject.url, "finalPrompt": snapshot.song.prompt},
    }
    call = Call(snapshot.phase, _json(document))
    before = Call("before", _json(document | {"status": "IN_PROGRESS", "progress": "33%"}))
    # A pool of threads sends them: one from before may come after the end.
    return [call, call, before] if subject.is_over else [call, call]


def _replicate(subject: Subject) -> Sequence[Call]:
    snapshot = subject.snapshot
    words = {Phase.PROCESSING: "processing", Phase.COMPLETED: "succeeded", Phase.FAILED: "failed"}
    if snapshot.phase not in words:
        return ()
    output = [clip.url(snapshot.assets_url, ".mp3") for clip in snapshot.clips]
    body = _json(
        {
            "id": snapshot.task_id,
            "model": "meta/musicgen",
            "input": {"prompt": snapshot.song.prompt},
            "output": output or None,
            "error": snapshot.reason or None,
            "status": words[snapshot.phase],
            "created_at": iso(snapshot.submitted_at),
            "completed_at": None if snapshot.ended_at is None else iso(snapshot.ended_at),
            "webhook": subject.url,
        }
    )
    message_id = f"msg_{snapshot.task_id}_{snapshot.phase}"
    headers = {"webhook-id": message_id, "webhook-timestamp": str(subject.now_s)}
    if subject.secret:
        key = base64.b64decode(subject.secret.removeprefix("whsec_"))
        signed = b".".join([message_id.encode(), str(subject.now_s).encode(), body])
        signature = hmac.new(key, signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(signature).decode()}"
    return [Call(snapshot.phase, body, headers, repeated=subject.is_over)]


def _fal(subject: Subject) -> Sequence[Call]:
    snapshot = subject.snapshot
    if not subject.is_over:
        return ()
    files = [{"url": clip.url(snapshot.assets_url, ".mp3")} for clip in snapshot.clips]
    document = {
        "request_id": snapshot.task_id,
        "gateway_request_id": f"gateway-{snapshot.task_id}",
        "status": "ERROR" if subject.has_failed else "OK",
        "error": snapshot.reason or None,
        "payload": None if subject.has_failed else {"audio": files},
    }
    body = _json(document)
    headers = {
        "X-Fal-Webhook-Request-Id": snapshot.task_id,
        "X-Fal-Webhook-User-Id": "sandbox",
        "X-Fal-Webhook-Timestamp": str(subject.now_s),
        "X-Fal-Webhook-Signature": hashlib.sha512(body).hexdigest(),
    }
    return [Call(snapshot.phase, body, headers, repeated=True)]


_FORMS: Final[Mapping[CallbackForm, Callable[[Subject], Sequence[Call]]]] = {
    CallbackForm.TASK: _task,
    CallbackForm.SUNOAPI: _sunoapi,
    CallbackForm.PIAPI: _piapi,
    CallbackForm.MIDJOURNEY: _midjourney,
    CallbackForm.REPLICATE: _replicate,
    CallbackForm.FAL: _fal,
}

_FIELDS: Final = {
    "callBackUrl": CallbackForm.SUNOAPI,
    "notifyHook": CallbackForm.MIDJOURNEY,
    "webhook": CallbackForm.REPLICATE,
    "fal_webhook": CallbackForm.FAL,
    "notify_hook": CallbackForm.TASK,
    "callback_url": CallbackForm.TASK,
    "webhook_url": CallbackForm.TASK,
}
