"""Sends an answer as a scenario wants it on the wire: late, in drops, cut off, or not at all."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web
from multidict import CIMultiDict

from tunehook_local.sandbox.content import Content

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from tunehook_local.sandbox.answers import Answer

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
async def forget_who_has_gone(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Make nothing of a client that goes away while it is being answered: it has given up, or was killed."""
    try:
        return await handler(request)
    except ConnectionResetError:
        return web.Response()


async def send(request: web.Request, usual: Content, answer: Answer | None = None) -> web.StreamResponse:
    """Answer a request.

    Parameters
    ----------
    request : aiohttp.web.Request
        Its connection may be broken off.
    usual : Content
        What to send when `answer` has no status of its own.
    answer : Answer, optional
        What the scenario wants; without it the usual content goes out undisturbed.

    Returns
    -------
    aiohttp.web.StreamResponse
        What the handler has to return, sent already or not.
    """
    if answer is None:
        return web.Response(status=usual.status, headers=usual.headers, body=usual.body)
    if answer.hang:
        await asyncio.Event().wait()
    await asyncio.sleep(answer.delay_s)
    if answer.reset and answer.cut_after_bytes is None:
        _reset(request)
        return web.Response()

    content = usual if answer.status is None else _content_of(answer.status, answer.content)
    headers = CIMultiDict(content.headers)
    headers.update(answer.headers)
    if not answer.is_framed_oddly:
        return web.Response(status=content.status, headers=headers, body=content.body)

    announced = max(0, len(content.body) + answer.length_off_by)
    # Without it, the response is sent in chunks.
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
        _break_off(request, reset=answer.reset)
    return response


def _content_of(status: int, body: bytes) -> Content:
    return Content(status, {"content-type": "application/json; charset=utf-8"} if body else {}, body)


def _break_off(request: web.Request, *, reset: bool) -> None:
    if reset:
        _reset(request)
    elif request.transport is not None:
        request.transport.close()


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        transport.abort()
