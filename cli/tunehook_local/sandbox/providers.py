"""The routes of the three providers: who may ask, which answer holds now, and its way out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from tunehook_local.sandbox import gateway, musicmint, qhaigc, suno
from tunehook_local.sandbox.answers import TaskAnswer
from tunehook_local.sandbox.content import Content
from tunehook_local.sandbox.model import Kind, Phase
from tunehook_local.sandbox.views import TaskView, view_of
from tunehook_local.sandbox.wire import read_json, send

if TYPE_CHECKING:
    from datetime import datetime

    from tunehook_local.sandbox.books import Books, Task

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def accepts_key(request: web.Request) -> bool:
    """Return whether the request has a key: any bearer that does not say that it is ``wrong``."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and bool(key.strip()) and "wrong" not in key


class Providers:
    """The request handlers of all three providers over one set of books."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def add_routes(self, app: web.Application) -> None:
        """Put the providers' paths, each family below its own prefix, into `app`."""
        app.add_routes(
            [
                web.post("/musicmint/api/v1/task/{task_id}", self._one(Kind.MUSICMINT)),
                web.post("/musicmint/api/v1/tasks", self._musicmint_many),
                web.get("/qhaigc/v1/music/tasks/{task_id}", self._one(Kind.QHAIGC)),
                web.get("/suno/suno/fetch/{task_id}", self._one(Kind.SUNO)),
                web.post("/suno/suno/fetch", self._suno_many),
            ]
        )

    def _one(self, kind: Kind) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            self._books.count_query(kind, "one")
            now = self._books.clock()
            if not accepts_key(request):
                return await send(request, _unauthorised(kind, now))
            task = self._books.asked_about(kind, request.match_info["task_id"])
            answer = task.answer(now)
            return await send(request, _usual_content(request, task, answer, now), answer)

        return handle

    async def _musicmint_many(self, request: web.Request) -> web.StreamResponse:
        query = await read_json(request)

        def content(now: datetime) -> Content:
            views = self._listable(request, self._books.tasks(Kind.MUSICMINT), now)
            return musicmint.many(views, query, now)

        return await self._many(Kind.MUSICMINT, request, content)

    async def _suno_many(self, request: web.Request) -> web.StreamResponse:
        query = await read_json(request)
        ids = query.get("ids") if isinstance(query, dict) else None
        wanted = [task_id for task_id in ids if isinstance(task_id, str)] if isinstance(ids, list) else []

        def content(now: datetime) -> Content:
            tasks = [self._books.asked_about(Kind.SUNO, task_id) for task_id in dict.fromkeys(wanted)]
            return suno.many(self._listable(request, tasks, now), asked=len(tasks))

        return await self._many(Kind.SUNO, request, content)

    async def _many(
        self, kind: Kind, request: web.Request, content: Callable[[datetime], Content]
    ) -> web.StreamResponse:
        self._books.count_query(kind, "many")
        now = self._books.clock()
        if not accepts_key(request):
            return await send(request, _unauthorised(kind, now))
        answer = self._books.play_query_many(kind)
        return await send(request, content(now), answer)

    def _listable(self, request: web.Request, tasks: list[Task], now: datetime) -> list[TaskView]:
        """Return the tasks that a list can hold.

        An id that is unknown now is left out, and so is a task whose answer is no plain phase: whoever misses
        it asks about it alone and gets that very answer.
        """
        looked_at = [(task, task.look(now)) for task in tasks]
        return [
            view_of(task, answer, now, assets_url(request))
            for task, answer in looked_at
            if not answer.disturbed and answer.phase is not Phase.NOT_FOUND
        ]


def assets_url(request: web.Request) -> str:
    """Return where the asset host is, seen from whoever sent the request."""
    return f"{request.url.origin()}/assets"


def _usual_content(request: web.Request, task: Task, answer: TaskAnswer, now: datetime) -> Content:
    if answer.phase is None:
        return Content()
    if answer.phase is Phase.NOT_FOUND:
        return musicmint.not_found(now) if task.kind is Kind.MUSICMINT else gateway.not_found()
    if answer.phase is Phase.UNAUTHORISED:
        return _unauthorised(task.kind, now)
    one = {Kind.MUSICMINT: musicmint.one, Kind.QHAIGC: qhaigc.one, Kind.SUNO: suno.one}[task.kind]
    return one(view_of(task, answer, now, assets_url(request)))


def _unauthorised(kind: Kind, now: datetime) -> Content:
    return musicmint.unauthorised(now) if kind is Kind.MUSICMINT else gateway.unauthorised()
