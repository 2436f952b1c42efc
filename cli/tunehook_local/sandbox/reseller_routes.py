"""The tasks of suno gateways as two resellers tell them: sunoapi.org (and kie.ai), and PiAPI."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from tunehook.times import iso
from tunehook_local.sandbox.callback_forms import wanted_callback
from tunehook_local.sandbox.callback_sender import CallbackSender
from tunehook_local.sandbox.ledger import Ledger
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.plain_response import PlainResponse, json_response
from tunehook_local.sandbox.provider_routes import accepts_key, is_accepted
from tunehook_local.sandbox.request_log import remark
from tunehook_local.sandbox.respond import read_json, respond
from tunehook_local.sandbox.task_snapshot import TaskSnapshot, snapshot_of

_SUNOAPI_WORDS: Final = {
    Phase.QUEUED: "PENDING",
    Phase.PROCESSING: "TEXT_SUCCESS",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "GENERATE_AUDIO_FAILED",
}
_NOT_SET: Final = "0001-01-01T00:00:00Z"


def add_reseller_routes(app: web.Application, ledger: Ledger, sender: CallbackSender) -> None:
    """Put the paths of both, each below its own prefix, into `app`."""
    sunoapi, piapi = Sunoapi(), Piapi()
    app.router.add_get("/sunoapi/api/v1/generate/record-info", _one(sunoapi, ledger))
    app.router.add_post("/sunoapi/api/v1/generate", _submit(sunoapi, ledger, sender))
    app.router.add_post("/sunoapi/api/v1/generate/{call}", _submit(sunoapi, ledger, sender))
    app.router.add_get("/piapi/api/v1/task/{task_id}", _one(piapi, ledger))
    app.router.add_post("/piapi/api/v1/task", _submit(piapi, ledger, sender))


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sunoapi:
    """Answers with HTTP 200 throughout; an error is a code in the body."""

    def task_id(self, request: web.Request) -> str:
        return request.query.get("taskId", "")

    def accepts_key(self, request: web.Request) -> bool:
        return accepts_key(request)

    def new_id(self) -> str:
        return secrets.token_hex(16)

    def success(self, data: Any) -> PlainResponse:
        return json_response({"code": 200, "msg": "success", "data": data})

    def unauthorised(self) -> PlainResponse:
        return json_response({"code": 401, "msg": "You do not have access permissions", "data": None})

    def not_found(self) -> PlainResponse:
        return json_response({"code": 422, "msg": "recordInfo is null", "data": None})

    def refusal(self, fields: dict[str, Any]) -> PlainResponse | None:
        """Return why a submission is not taken, None if it is."""
        if not fields.get("callBackUrl"):
            return json_response({"code": 422, "msg": "Please enter callBackUrl", "data": None})
        if fields.get("prompt") == "":
            return json_response({"code": 422, "msg": "prompt cannot be empty", "data": None})
        return None

    def submitted(self, task_id: str, _now: datetime) -> PlainResponse:
        return self.success({"taskId": task_id})

    def task(self, snapshot: TaskSnapshot) -> dict[str, Any]:
        clips = [self._clip(snapshot, index) for index in range(len(snapshot.clips))]
        word = _SUNOAPI_WORDS[snapshot.phase] if snapshot.word is None else snapshot.word
        return {
            "taskId": snapshot.task_id,
            "parentMusicId": "",
            "param": json.dumps({"prompt": snapshot.song.prompt, **snapshot.echo}, ensure_ascii=False),
            "response": {"taskId": snapshot.task_id, "sunoData": clips} if clips else None,
            "status": word,
            "type": "GENERATE",
            "errorCode": 500 if snapshot.reason else None,
            "errorMessage": snapshot.reason or None,
        }

    def _clip(self, snapshot: TaskSnapshot, index: int) -> dict[str, Any]:
        clip = snapshot.clips[index]
        ended = snapshot.ended_at is not None
        return {
            "id": clip.clip_id,
            "audioUrl": clip.url(snapshot.assets_url, ".mp3") if ended else "",
            "streamAudioUrl": clip.url(snapshot.assets_url, "-stream.mp3"),
            "imageUrl": clip.url(snapshot.assets_url, ".jpeg"),
            "prompt": snapshot.song.prompt,
            "modelName": snapshot.song.model,
            "title": snapshot.song.title,
            "tags": snapshot.song.tags,
            "createTime": snapshot.submitted_at.strftime("%Y-%m-%d %H:%M:%S"),
            "duration": clip.track.duration_s if ended else None,
        }


class Piapi:
    """Answers with the task in one form, from its submission on; the key is in a header of its own."""

    def task_id(self, request: web.Request) -> str:
        return request.match_info["task_id"]

    def accepts_key(self, request: web.Request) -> bool:
        return is_accepted(request.headers.get("x-api-key", ""))

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def success(self, data: Any) -> PlainResponse:
        return json_response({"code": 200, "data": data, "message": "success"})

    def unauthorised(self) -> PlainResponse:
        return json_response({"code": 401, "data": None, "message": "Invalid API key"}, 401)

    def not_found(self) -> PlainResponse:
        return json_response({"code": 400, "data": None, "message": "task not found"}, 400)

    def refusal(self, fields: dict[str, Any]) -> PlainResponse | None:
        """Return why a submission is not taken, None if it is."""
        if fields.get("prompt") != "" and fields:
            return None
        return json_response({"code": 400, "data": None, "message": "invalid request: no input"}, 400)

    def submitted(self, task_id: str, now: datetime) -> PlainResponse:
        return self.success(self._task(task_id, "pending", {}, now, None))

    def task(self, snapshot: TaskSnapshot) -> dict[str, Any]:
        songs = [
            {
                "id": clip.clip_id,
                "title": snapshot.song.title,
                "image_path": clip.url(snapshot.assets_url, ".jpeg"),
                "song_path": clip.url(snapshot.assets_url, ".mp3") if snapshot.ended_at else "",
                "lyrics": snapshot.song.prompt,
                "tags": snapshot.song.tags,
                "duration": clip.track.duration_s,
                "finished": snapshot.ended_at is not None,
            }
            for clip in snapshot.clips
        ]
        phase = "pending" if snapshot.phase is Phase.QUEUED else snapshot.phase.value
        word = phase if snapshot.word is None else snapshot.word
        task = self._task(
            snapshot.task_id, word, snapshot.echo, snapshot.submitted_at, snapshot.ended_at, snapshot.reason
        )
        return task | {"output": {"songs": songs} if songs else None}

    def _task(
        self,
        task_id: str,
        word: str,
        echo: Any,
        submitted_at: datetime,
        ended_at: datetime | None,
        reason: str = "",
    ) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "model": "music-u",
            "task_type": "generate_music",
            "status": word,
            "config": echo.get("config", {"webhook_config": {"endpoint": "", "secret": ""}}),
            "input": {"lyrics_type": "generate"},
            "output": None,
            "meta": {
                "created_at": iso(submitted_at),
                "started_at": _NOT_SET,
                "ended_at": _NOT_SET if ended_at is None else iso(ended_at),
            },
            "detail": None,
            "logs": None,
            "error": {"code": 10000 if reason else 0, "raw_message": "", "message": reason, "detail": None},
        }


def _one(reseller: Sunoapi | Piapi, ledger: Ledger) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        ledger.count_query(Kind.SUNO, "one")
        now = ledger.clock()
        if not reseller.accepts_key(request):
            remark(request, "its key is refused")
            return await respond(request, reseller.unauthorised())
        task = ledger.poll(Kind.SUNO, reseller.task_id(request))
        answer = task.take(now)
        remark(request, f"{Kind.SUNO} {task.task_id}: {answer.phase or 'answered by the scenario'}")
        if answer.phase is None:
            usual = PlainResponse()
        elif answer.phase is Phase.NOT_FOUND:
            usual = reseller.not_found()
        elif answer.phase is Phase.UNAUTHORISED:
            usual = reseller.unauthorised()
        else:
            snapshot = snapshot_of(task, answer, now, f"{request.url.origin()}/assets")
            usual = reseller.success(reseller.task(snapshot))
        return await respond(request, usual, answer)

    return handle


def _submit(reseller: Sunoapi | Piapi, ledger: Ledger, sender: CallbackSender) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        if not reseller.accepts_key(request):
            remark(request, "its key is refused")
            return await respond(request, reseller.unauthorised())
        fields = body if isinstance(body, dict) else {}
        if (refusal := reseller.refusal(fields)) is not None:
            remark(request, f"{Kind.SUNO}: refused")
            return await respond(request, refusal)
        named = fields.get("task_id")
        task_id = named if isinstance(named, str) and named else reseller.new_id()
        task = ledger.submit(Kind.SUNO, task_id, fields, callback=wanted_callback(fields), is_lyrics=False)
        sender.watch(task)
        remark(request, f"{Kind.SUNO} {task.task_id}: submitted")
        return await respond(request, reseller.submitted(task.task_id, task.submitted_at))

    return handle
