"""The control API: what the sandbox saw, and tasks that begin when a test wants them to.

``GET /control/received?name=``  the requests that reached a receiver (or any), bodies as text
``GET /control/requests``        how often each provider was polled, and the record of every task
``GET /control/callbacks?task_id=``  the callbacks that were sent (of a task, or all), without URLs
``POST /control/tasks``          ``{"kind", "task_id"}`` begins a task now, or ``age_s`` earlier, by its own ``rule``;
                                 ``callback_url`` is what its submission would have named, in the form ``task``
``POST /control/reset``          forget everything
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from tunehook.errors import InvalidInput
from tunehook_local.sandbox.callback_forms import CallbackForm, Wanted
from tunehook_local.sandbox.callback_sender import CallbackSender
from tunehook_local.sandbox.ledger import Ledger
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.respond import read_json
from tunehook_local.sandbox.scenario import TaskRule, parse
from tunehook_local.sandbox.scripted_answers import Seconds, Strict


class NewTask(Strict):
    kind: Kind
    task_id: Annotated[str, Field(min_length=1)]
    age_s: Seconds = 0
    rule: TaskRule | None = None
    callback_url: Annotated[str, Field(pattern=r"^https?://\S+$")] | None = None


def add_control_routes(app: web.Application, ledger: Ledger, sender: CallbackSender) -> None:

    async def received(request: web.Request) -> web.Response:
        return web.json_response([each.as_json() for each in ledger.received(request.query.get("name"))])

    async def requests(_: web.Request) -> web.Response:
        queries = {kind.value: ledger.queries(kind) for kind in Kind}
        tasks = [record.as_json() for record in ledger.task_records()]
        return web.json_response({"queries": queries, "tasks": tasks})

    async def callbacks(request: web.Request) -> web.Response:
        return web.json_response([each.as_json() for each in ledger.sent(request.query.get("task_id"))])

    async def create_task(request: web.Request) -> web.Response:
        try:
            new = parse(NewTask, await read_json(request))
        except InvalidInput as error:
            return web.json_response({"field": error.field, "reason": error.reason}, status=400)
        url = new.callback_url
        callback = None if url is None else Wanted(url, CallbackForm.TASK)
        task = ledger.create_task(new.kind, new.task_id, rule=new.rule, age_s=new.age_s, callback=callback)
        sender.watch(task)
        return web.json_response(task.record(ledger.clock()).as_json(), status=201)

    async def reset(_: web.Request) -> web.Response:
        ledger.reset()
        return web.Response(status=204)

    app.router.add_get("/control/received", received)
    app.router.add_get("/control/requests", requests)
    app.router.add_get("/control/callbacks", callbacks)
    app.router.add_post("/control/tasks", create_task)
    app.router.add_post("/control/reset", reset)
