"""The asset host: serves the clips' files, and misbehaves where the scenario says so."""

from __future__ import annotations

import mimetypes
from hashlib import sha256
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
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        usual = PlainResponse(200, {"content-type": content_type}, path.read_bytes())
        return await respond(request, _part_of(usual, request) if answer is None else usual, answer)

    kinds = "|".join(Kind)
    app.router.add_get(f"/assets/{{kind:{kinds}}}/{{task_id}}/{{name}}", handle)


def _part_of(whole: PlainResponse, request: web.Request) -> PlainResponse:
    """Return the part of a file that is asked for, from memory: aiohttp may leave a file open that it answers from."""
    etag, length = f'"{sha256(whole.body).hexdigest()}"', len(whole.body)
    headers = dict(whole.headers) | {"accept-ranges": "bytes", "etag": etag}
    try:
        start, stop, _ = request.http_range.indices(length)
    except ValueError:
        start, stop = length, length
    if "range" not in request.headers or request.headers.get("if-range", etag) != etag:
        return PlainResponse(200, headers, whole.body)
    if start >= stop:
        return PlainResponse(416, {"content-range": f"bytes */{length}"})
    headers["content-range"] = f"bytes {start}-{stop - 1}/{length}"
    return PlainResponse(206, headers, whole.body[start:stop])
