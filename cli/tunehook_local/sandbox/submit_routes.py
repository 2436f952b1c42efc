"""The routes by which tasks are submitted: an id of the provider's own form, and what it is to call back.

The song's title stands for the task's id in a scenario's patterns: with the title ``demo-failure`` it fails. A task id
in the body becomes that of the new task.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from tunehook_local.sandbox import musicmint, new_api, qhaigc
from tunehook_local.sandbox.callback_forms import wanted_callback
from tunehook_local.sandbox.callback_sender import CallbackSender
from tunehook_local.sandbox.ledger import Ledger, Task
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.provider_routes import accepts_key, unauthorised
from tunehook_local.sandbox.request_log import remark
from tunehook_local.sandbox.respond import read_json, respond

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PATHS: Final = {
    "/musicmint/api/v1/music/{call}": Kind.MUSICMINT,
    "/musicmint/api/v1/lyrics/{call}": Kind.MUSICMINT,
    "/qhaigc/v1/music/{call}": Kind.QHAIGC,
    "/suno/suno/submit/{call}": Kind.SUNO,
}
_CALLS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.MUSICMINT: frozenset({"generate", "cover", "remaster", "soundfx", "add-vocals", "infill"}),
    Kind.QHAIGC: frozenset({"generations"}),
    Kind.SUNO: frozenset({"music", "lyrics"}),
}
_LETTERS: Final = string.ascii_letters + string.digits


def add_submit_routes(app: web.Application, ledger: Ledger, sender: CallbackSender) -> None:
    """Put the paths of submissions, each below its provider's prefix, into `app`."""

    def submit(kind: Kind) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await read_json(request)
            now = ledger.clock()
            if not accepts_key(request):
                remark(request, "its key is refused")
                return await respond(request, unauthorised(kind, now))
            call = request.match_info["call"]
            fields = body if isinstance(body, dict) else {}
            if call not in _CALLS[kind] or not fields or fields.get("prompt") == "":
                remark(request, f"{kind}: refused")
                return await respond(request, _refused(kind, ledger))
            answer = ledger.take("submissions", kind)
            if answer is not None and answer.status is not None:
                remark(request, f"{kind}: answered by the scenario")
                return await respond(request, PlainResponse(), answer)
            is_lyrics = call == "lyrics" or "/lyrics/" in request.path
            named = fields.get("task_id")
            task_id = named if isinstance(named, str) and named else _new_id(kind)
            callback = wanted_callback(fields)
            task = ledger.submit(kind, task_id, fields, callback=callback, is_lyrics=is_lyrics)
            sender.watch(task)
            remark(request, f"{kind} {task.task_id}: submitted")
            return await respond(request, _accepted(task), answer)

        return handle

    for path, kind in _PATHS.items():
        app.router.add_post(path, submit(kind))


def _new_id(kind: Kind) -> str:
    """Return an id as the provider makes them (docs/provider-contracts.md)."""
    if kind is Kind.SUNO:
        return "task_" + "".join(secrets.choice(_LETTERS) for _ in range(32))
    return secrets.token_hex(12 if kind is Kind.MUSICMINT else 16)


def _accepted(task: Task) -> PlainResponse:
    if task.kind is Kind.MUSICMINT:
        return musicmint.submitted(task.task_id, task.submitted_at)
    if task.kind is Kind.QHAIGC:
        return qhaigc.submitted(task.task_id, task.submitted_at)
    return new_api.success(task.task_id)


def _refused(kind: Kind, ledger: Ledger) -> PlainResponse:
    return musicmint.refused(ledger.clock()) if kind is Kind.MUSICMINT else new_api.refused()
