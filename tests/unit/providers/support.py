"""What the tests of the provider layer share: scripted gateways, a clock that stands still, a raw server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
from tests.support.gateways import Handler, PlayedTransport

from tunehook.providers.client import Provider
from tunehook.providers.config import ProviderConfig

API_KEY = "sk-0123456789abcdef"
PENDING = {"code": "success", "message": "", "data": {"task_id": "t", "status": "IN_PROGRESS"}}


class Clock:
    """A monotonic clock that moves only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def config(kind: str = "suno", **fields: Any) -> ProviderConfig:
    given = {"name": "gw", "kind": kind, "base_url": "https://gw.example.com", "api_key": API_KEY}
    return ProviderConfig.model_validate({**given, **fields})


def provider(
    handler: Handler, kind: str = "suno", clock: Callable[[], float] | None = None, **fields: Any
) -> Provider:
    return Provider(
        config(kind, **fields), PlayedTransport(handler), **({} if clock is None else {"clock": clock})
    )


def answering(*answers: httpx.Response) -> Handler:
    """A gateway that gives these answers in turn, and the last one from then on."""
    left = list(answers)

    def answer(_request: httpx.Request) -> httpx.Response:
        response = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)

    return answer


def json_answer(body: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(body).encode())


@contextlib.asynccontextmanager
async def raw_server(
    respond: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that writes whatever `respond` writes; yields its URL and the request heads it saw."""
    heads: list[bytes] = []
    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.current_task()
        assert conversation is not None
        conversations.add(conversation)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await respond(writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", heads
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
