"""Sends a response as a scenario wants it: late, in small pieces, cut off, or not at all."""

from __future__ import annotations

import asyncio
import json
import socket
import struct

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from tunehook_local.sandbox.plain_response import JSON_HEADERS, PlainResponse
from tunehook_local.sandbox.request_log import cut_off
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer

# SO_LINGER on with zero seconds: closing such a socket sends RST instead of FIN.
_LINGER_ZERO = struct.pack("ii", 1, 0)


async def read_json(request: web.Request) -> object:
    """Return the JSON of a request's body; an empty one is an empty object, one that is no JSON is None."""
    try:
        document: object = json.loads(await request.read() or b"{}")
    except ValueError:
        return None
    return document


@web.middleware
async def ignore_disconnects(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Ignore a client that closes its connection before it has the response: it has given up, or was killed."""
    try:
        return await handler(request)
    except ConnectionResetError:
        return web.Response()


async def respond(
    request: web.Request, usual: PlainResponse, answer: ScriptedAnswer | None = None
) -> web.StreamResponse:
    """Answer a request as the scenario wants it: `usual` is sent where `answer` has no status, or is None."""
    if answer is None:
        return web.Response(status=usual.status, headers=usual.headers, body=usual.body)
    if answer.hang:
        await asyncio.Event().wait()
    await asyncio.sleep(answer.delay_s)
    if answer.reset and answer.cut_after_bytes is None:
        _reset(request)
        return web.Response()

    content = usual
    if answer.status is not None:
        content = PlainResponse(answer.status, JSON_HEADERS if answer.content else {}, answer.content)
    headers = CIMultiDict(content.headers)
    headers.update(answer.headers)
    if answer.is_sent_whole:
        return web.Response(status=content.status, headers=headers, body=content.body)

    announced = max(0, len(content.body) + answer.length_off_by)
    # Without this header the response is sent in chunks.
    if not answer.chunked:
        headers.setdefault("content-length", str(announced))
    response = web.StreamResponse(status=content.status, headers=headers)
    await response.prepare(request)
    piece_bytes = answer.drip_bytes or max(1, len(content.body))
    sent = content.body[: answer.cut_after_bytes]
    for start in range(0, max(1, len(sent)), piece_bytes):
        if start:
            await asyncio.sleep(answer.drip_every_s)
        await response.write(sent[start : start + piece_bytes])
    if answer.length_off_by < 0 and request.transport is not None:
        # The response itself sends no more than it has announced.
        request.transport.write(sent[announced:])
    if answer.cut_after_bytes is not None or answer.length_off_by:
        if answer.reset:
            _reset(request)
        elif request.transport is not None:
            request.transport.close()
    return response


def _reset(request: web.Request) -> None:
    cut_off(request)
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        request.transport.abort()
