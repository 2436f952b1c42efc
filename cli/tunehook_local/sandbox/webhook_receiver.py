"""The webhook receiver: keeps whatever reaches it. It verifies nothing, having no secrets."""

from __future__ import annotations

from aiohttp import web

from tunehook_local.sandbox import request_log
from tunehook_local.sandbox.ledger import Ledger, ReceivedRequest
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.respond import respond


def add_receiver_routes(app: web.Application, ledger: Ledger) -> None:
    """Put ``/receiver/<name>``, and any path below it, into `app`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        body = await request.read()
        headers = {key.lower(): ", ".join(request.headers.getall(key)) for key in request.headers}
        webhook = ReceivedRequest(ledger.clock(), name, request.method, request.path_qs, headers, body)
        request_log.received(request, webhook, ledger.add_received(webhook))
        return await respond(request, PlainResponse(204), ledger.take("receivers", name))

    app.router.add_route("*", "/receiver/{name}", handle)
    app.router.add_route("*", "/receiver/{name}/{rest:.*}", handle)
