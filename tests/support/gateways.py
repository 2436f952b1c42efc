"""Providers played by a function: what the provider layer sends becomes a request of httpx, its answer a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import httpx

from tunehook.http.reply import Reply

Handler = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Awaitable[httpx.Response]]


class PlayedTransport:
    """A `tunehook.http.reply.Transport` whose every answer `handler` makes of the request."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        answer = self._handler(httpx.Request(method, url, headers=headers, content=body))
        response = answer if isinstance(answer, httpx.Response) else await answer
        content = await _beginning(response, max_bytes + 1)
        return Reply(
            response.status_code, response.headers, content[:max_bytes], truncated=len(content) > max_bytes
        )


async def _beginning(response: httpx.Response, enough: int) -> bytes:
    if response.is_stream_consumed:  # given whole
        return response.content
    content = b""
    async for piece in response.aiter_raw():
        content += piece
        if len(content) >= enough:
            break
    return content
