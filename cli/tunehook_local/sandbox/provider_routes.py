"""The routes of the three providers: check the key, find the answer that holds now, send it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from aiohttp import web

from tunehook_local.sandbox import musicmint, new_api, qhaigc, suno
from tunehook_local.sandbox.ledger import Ledger, Task
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.request_log import remark
from tunehook_local.sandbox.respond import read_json, respond
from tunehook_local.sandbox.scripted_answers import TaskAnswer
from tunehook_local.sandbox.task_snapshot import TaskSnapshot, snapshot_of

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
List = Callable[[web.Request, object, datetime], PlainResponse]
"""Takes a request, its JSON and the present moment; returns the true answer to a query of many tasks."""

_ONE = {Kind.MUSICMINT: musicmint.one, Kind.QHAIGC: qhaigc.one, Kind.SUNO: suno.one}


def add_provider_routes(app: web.Application, ledger: Ledger) -> None:
    """Put the providers' paths, each family below its own prefix, into `app`."""

    def one(kind: Kind) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            ledger.count_query(kind, "one")
            now = ledger.clock()
            if not accepts_key(request):
                remark(request, "its key is refused")
                return await respond(request, unauthorised(kind, now))
            task = ledger.poll(kind, request.match_info["task_id"])
            answer = task.take(now)
            remark(request, f"{kind} {task.task_id}: {answer.phase or 'answered by the scenario'}")
            return await respond(request, _usual_response(request, task, answer, now), answer)

        return handle

    def many(kind: Kind, true_list: List) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            query = await read_json(request)
            ledger.count_query(kind, "many")
            now = ledger.clock()
            if not accepts_key(request):
                remark(request, "its key is refused")
                return await respond(request, unauthorised(kind, now))
            answer = ledger.take("query_many", kind)
            remark(request, f"{kind}: {_asked(query)}")
            return await respond(request, true_list(request, query, now), answer)

        return handle

    def musicmint_list(request: web.Request, query: object, now: datetime) -> PlainResponse:
        return musicmint.many(_listable(request, ledger.tasks(Kind.MUSICMINT), now), query, now)

    def suno_list(request: web.Request, query: object, now: datetime) -> PlainResponse:
        ids = query.get("ids") if isinstance(query, dict) else None
        wanted = [task_id for task_id in ids if isinstance(task_id, str)] if isinstance(ids, list) else []
        tasks = [ledger.poll(Kind.SUNO, task_id) for task_id in dict.fromkeys(wanted)]
        return suno.many(_listable(request, tasks, now), requested=len(tasks))

    app.router.add_post("/musicmint/api/v1/task/{task_id}", one(Kind.MUSICMINT))
    app.router.add_post("/musicmint/api/v1/tasks", many(Kind.MUSICMINT, musicmint_list))
    app.router.add_get("/qhaigc/v1/music/tasks/{task_id}", one(Kind.QHAIGC))
    app.router.add_get("/suno/suno/fetch/{task_id}", one(Kind.SUNO))
    app.router.add_post("/suno/suno/fetch", many(Kind.SUNO, suno_list))


def _asked(query: object) -> str:
    ids = query.get("ids") if isinstance(query, dict) else None
    return f"{len(ids)} tasks in one request" if isinstance(ids, list) else "a page of tasks"


def accepts_key(request: web.Request) -> bool:
    """Return whether the request has a key: any bearer that does not say that it is ``wrong``."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and is_accepted(key)


def is_accepted(key: str) -> bool:
    return bool(key.strip()) and "wrong" not in key


def _listable(request: web.Request, tasks: list[Task], now: datetime) -> list[TaskSnapshot]:
    """Leave out unknown ids, and tasks whose answer is no plain phase: a query of such a task alone gets it."""
    answers = [(task, task.peek(now)) for task in tasks]
    return [
        snapshot_of(task, answer, now, _assets_url(request))
        for task, answer in answers
        if answer.is_plain_phase and answer.phase is not Phase.NOT_FOUND
    ]


def _assets_url(request: web.Request) -> str:
    return f"{request.url.origin()}/assets"


def _usual_response(request: web.Request, task: Task, answer: TaskAnswer, now: datetime) -> PlainResponse:
    if answer.phase is None:
        return PlainResponse()
    if answer.phase is Phase.NOT_FOUND:
        return musicmint.not_found(now) if task.kind is Kind.MUSICMINT else new_api.not_found()
    if answer.phase is Phase.UNAUTHORISED:
        return unauthorised(task.kind, now)
    return _ONE[task.kind](snapshot_of(task, answer, now, _assets_url(request)))


def unauthorised(kind: Kind, now: datetime) -> PlainResponse:
    return musicmint.unauthorised(now) if kind is Kind.MUSICMINT else new_api.unauthorised()
