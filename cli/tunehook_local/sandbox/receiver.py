"""The webhook receiver: keeps whatever reaches it. It verifies nothing, having no secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunehook_local.sandbox.books import Books, ReceivedRequest
from tunehook_local.sandbox.content import Content
from tunehook_local.sandbox.wire import send

if TYPE_CHECKING:
    from aiohttp import web


def add_receiver_routes(app: web.Application, books: Books) -> None:
    """Put ``/receiver/<name>``, and any path below it, into `app`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        body = await request.read()
        headers = {key.lower(): ", ".join(request.headers.getall(key)) for key in request.headers}
        books.note_received(
            ReceivedRequest(books.clock(), name, request.method, request.path_qs, headers, body)
        )
        return await send(request, Content(204), books.play_receiver(name))

    app.router.add_route("*", "/receiver/{name}", handle)
    app.router.add_route("*", "/receiver/{name}/{rest:.*}", handle)
