"""The asset host: serves the clips' files, and misbehaves where the scenario says so."""

from __future__ import annotations

import mimetypes
from urllib.parse import quote

from aiohttp import web

from tunehook_local.sandbox.clips import file_behind, signature
from tunehook_local.sandbox.ledger import Ledger
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.plain_response import PlainResponse
from tunehook_local.sandbox.request_log import remark
from tunehook_local.sandbox.respond import respond


def add_asset_routes(app: web.Application, ledger: Ledger) -> None:
    """Put ``/assets/<kind>/<task>/<file>`` into `app`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        kind, task_id, name = (request.match_info[part] for part in ("kind", "task_id", "name"))
        remark(request, f"a file of {kind} {task_id}")
        path = file_behind(Kind(kind), task_id, name)
        if path is None:
            raise web.HTTPNotFound
        if ledger.is_signed(Kind(kind), task_id):
            signed = f"{kind}/{quote(task_id, safe='')}/{name}"
            # As hosts check signed links: the spelling counts, not what it means.
            if request.raw_path != f"/assets/{signed}?{signature(signed)}":
                raise web.HTTPForbidden
        answer = ledger.take("assets", f"{kind}/{task_id}/{name}")
        if answer is None:
            return web.FileResponse(path)
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        usual = PlainResponse(200, {"content-type": content_type}, path.read_bytes())
        return await respond(request, usual, answer)

    kinds = "|".join(Kind)
    app.router.add_get(f"/assets/{{kind:{kinds}}}/{{task_id}}/{{name}}", handle)
