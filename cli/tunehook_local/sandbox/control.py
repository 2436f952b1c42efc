"""The control API: what the sandbox saw, and tasks that begin when a test wants them to.

=====================================  ====================================================================
``GET /control/received?name=``        the requests that reached a receiver (or any), bodies in base64
``GET /control/requests``              how often each provider was asked, and the book of every task
``POST /control/tasks``                ``{"kind", "task_id"}`` begins a task now; ``age_s`` lets it have
                                       begun earlier, ``rule`` is a rule of ``[[tasks]]`` for it alone
``POST /control/reset``                forget everything
=====================================  ====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from aiohttp import web
from pydantic import Field

from tunehook.errors import InvalidInput
from tunehook_local.sandbox.answers import Seconds, Strict
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.scenario import TaskRule, parse
from tunehook_local.sandbox.wire import read_json

if TYPE_CHECKING:
    from tunehook_local.sandbox.books import Books


class NewTask(Strict):
    """The body of ``POST /control/tasks``."""

    kind: Kind
    task_id: Annotated[str, Field(min_length=1)]
    age_s: Seconds = 0
    rule: TaskRule | None = None


def requests_json(books: Books) -> dict[str, Any]:
    """Return the books as JSON values: the queries of each provider, and every task."""
    return {
        "queries": {
            kind.value: {"one": books.queries(kind, "one"), "many": books.queries(kind, "many")}
            for kind in Kind
        },
        "tasks": [book.as_json() for book in books.task_books()],
    }


def add_control_routes(app: web.Application, books: Books) -> None:
    """Put the control API into `app`."""

    async def received(request: web.Request) -> web.Response:
        return web.json_response([each.as_json() for each in books.received(request.query.get("name"))])

    async def requests(_: web.Request) -> web.Response:
        return web.json_response(requests_json(books))

    async def create_task(request: web.Request) -> web.Response:
        try:
            new = parse(NewTask, await read_json(request))
        except InvalidInput as error:
            return web.json_response({"field": error.field, "reason": error.reason}, status=400)
        task = books.create_task(new.kind, new.task_id, rule=new.rule, age_s=new.age_s)
        return web.json_response(task.book(books.clock()).as_json(), status=201)

    async def reset(_: web.Request) -> web.Response:
        books.reset()
        return web.Response(status=204)

    app.add_routes(
        [
            web.get("/control/received", received),
            web.get("/control/requests", requests),
            web.post("/control/tasks", create_task),
            web.post("/control/reset", reset),
        ]
    )
