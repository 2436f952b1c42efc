"""A bare loop: what is handed over waits in memory, and 64 workers post it with aiohttp, once. The baseline.

It is a process of its own: ``python -m benchmarks.senders.bare PORT`` takes ``POST /send`` with ``url`` and ``body``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from benchmarks.senders.adapter import Endpoint, JsonApi, Refused
from tunehook_local.embedded.ministack import free_port

WORKERS: Final = 64
TIMEOUT_S: Final = 15.0
_LOOK_EVERY_S: Final = 0.05
_LOOKS: Final = 1_200


class BareLoop:
    """Starts the loop's process for as long as the context lasts, and hands events over to it."""

    name = "bare loop"
    settle_s = 0.0

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._port = free_port()
        self._api = JsonApi(session, f"http://127.0.0.1:{self._port}", {})
        self._urls: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    @property
    def pids(self) -> list[int]:
        """The process."""
        return [] if self._process is None else [self._process.pid]

    async def kill(self) -> None:
        """Kill the process with SIGKILL, and start it again."""
        await self._end()
        await self._start()

    async def add_endpoint(self, name: str, url: str) -> Endpoint:
        """Remember a URL."""
        self._urls[name] = url
        return Endpoint(name, name)

    async def send(self, endpoint: Endpoint, event_id: str, text: str) -> None:
        """Hand over a body."""
        body = json.dumps({"id": event_id, "text": text})
        await self._api("POST", "/send", {"url": self._urls[endpoint.id], "body": body})

    async def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Forget a URL."""
        del self._urls[endpoint.id]

    async def close(self) -> None:
        """Nothing is left."""

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.senders.bare", str(self._port)
        )
        for _ in range(_LOOKS):
            with contextlib.suppress(Refused):
                await self._api("GET", "/health")
                return
            await asyncio.sleep(_LOOK_EVERY_S)
        raise Refused("the bare loop", 0, "did not start")

    async def _end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def serve(port: int) -> None:
    """Take events and post them, until the process is killed."""
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        waiting.put_nowait(await request.json())
        return web.Response(status=202)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    async def post(session: aiohttp.ClientSession) -> None:
        while True:
            given = await waiting.get()
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                async with session.post(given["url"], data=given["body"]) as response:
                    await response.read()

    application = web.Application()
    application.router.add_post("/send", take)
    application.router.add_get("/health", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(
        timeout=timeout,
        connector=aiohttp.TCPConnector(limit=WORKERS),
        headers={"content-type": "application/json"},
    ) as session:
        await asyncio.gather(*(post(session) for _ in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
