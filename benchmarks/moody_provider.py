"""A provider stand-in of the kind musicmint in a process of its own, whose mood its base URL names.

A task's id says when the task ends (`task_id`), so the stand-in keeps nothing of a task but when it was first asked.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
from aiohttp import web

from tunehook.times import now_ms
from tunehook_local.sandbox.plain_response import json_response
from tunehook_local.sandbox.respond import respond
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer

OLD = "old"
"""What the ids of the tasks begin with that hang at a provider whose old tasks hang."""


class Mood(StrEnum):
    """What a provider does with questions."""

    WELL = "well"
    HANGS = "hangs"
    HANGS_FOR_OLD = "hangs-for-old"
    THROTTLES = "throttles"
    THROTTLES_UNTIL = "throttles-until"
    FAILS = "fails"
    HTML = "html"
    DRIPS = "drips"
    RESETS = "resets"


_ANSWERS = {
    Mood.WELL: ScriptedAnswer(),
    Mood.HANGS: ScriptedAnswer(hang=True),
    Mood.HANGS_FOR_OLD: ScriptedAnswer(hang=True),
    Mood.THROTTLES: ScriptedAnswer(status=429),
    Mood.THROTTLES_UNTIL: ScriptedAnswer(status=429, headers={"retry-after": "2"}),
    Mood.FAILS: ScriptedAnswer(status=500),
    Mood.HTML: ScriptedAnswer(
        status=200, headers={"content-type": "text/html"}, body="<html><body>Bad gateway</body></html>"
    ),
    Mood.DRIPS: ScriptedAnswer(drip_bytes=1, drip_every_s=1.0),
    Mood.RESETS: ScriptedAnswer(reset=True),
}


def task_id(name: str, ends_at_ms: int | None = None) -> str:
    """Return the id of a task that ends at the stand-in at `ends_at_ms`, or never.

    Parameters
    ----------
    name : str
        What tells it from other tasks; without a colon.
    ends_at_ms : int, optional
        Milliseconds since 1970.
    """
    return name if ends_at_ms is None else f"{name}:{ends_at_ms}"


def ends_at_ms(task_id: str) -> int | None:
    """Return when the task of this id ends, in milliseconds since 1970; None if it never does."""
    _, _, moment = task_id.partition(":")
    return int(moment) if moment else None


class MoodyProvider:
    """What the stand-in answers, and what it remembers."""

    def __init__(self) -> None:
        self._questions = 0
        self._first_asked_ms: dict[str, int] = {}

    def app(self) -> web.Application:
        """Return the web application."""
        app = web.Application()
        app.router.add_post("/{mood}/{delay_ms}/api/v1/task/{task_id}", self._query_one)
        app.router.add_get("/counts", self._counts)
        app.router.add_get("/first-questions", self._first_questions)
        app.router.add_post("/forget", self._forget)
        return app

    async def _query_one(self, request: web.Request) -> web.StreamResponse:
        asked = request.match_info["task_id"]
        asked_ms = now_ms()
        self._questions += 1
        self._first_asked_ms.setdefault(asked, asked_ms)
        mood = Mood(request.match_info["mood"])
        answer = _ANSWERS[mood]
        if mood is Mood.HANGS_FOR_OLD and not asked.startswith(OLD):
            answer = _ANSWERS[Mood.WELL]
        await asyncio.sleep(int(request.match_info["delay_ms"]) / 1000)
        return await respond(request, json_response(_task(asked, now_ms())), answer)

    async def _counts(self, _: web.Request) -> web.Response:
        latest_ms = max(self._first_asked_ms.values(), default=0)
        return web.json_response(
            {"questions": self._questions, "tasks": len(self._first_asked_ms), "latest_ms": latest_ms}
        )

    async def _first_questions(self, _: web.Request) -> web.Response:
        return web.json_response(self._first_asked_ms)

    async def _forget(self, _: web.Request) -> web.Response:
        self._questions = 0
        self._first_asked_ms.clear()
        return web.json_response({})


def _task(task_id: str, at_ms: int) -> dict[str, Any]:
    ends_ms = ends_at_ms(task_id)
    task: dict[str, Any] = {"id": task_id, "status": "processing"}
    if ends_ms is not None and ends_ms <= at_ms:
        clip = {"id": f"{task_id}-1", "audio_url": "https://cdn.example.com/clip.mp3"}
        task |= {"status": "completed", "results": [clip]}
    return {"code": 0, "message": "ok", "request_id": "req-1", "data": task}


@dataclass(frozen=True, slots=True)
class Counts:
    """What the stand-in has been asked: questions, distinct tasks, and when it first heard of the latest of these."""

    questions: int
    tasks: int
    latest_ms: int


class ProviderProcess:
    """The stand-in as its user sees it.

    Parameters
    ----------
    url : str
        Where it listens.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=10)

    def base_url(self, mood: Mood, delay_s: float = 0.0) -> str:
        """Return the base URL of a provider of this mood that takes `delay_s` for an answer."""
        return f"{self._url}/{mood}/{round(delay_s * 1000)}"

    def config(self, mood: Mood, *, delay_s: float = 0.0, max_concurrency: int = 32) -> dict[str, Any]:
        """Return an entry of the providers secret for a provider of this mood."""
        return {
            "kind": "musicmint",
            "base_url": self.base_url(mood, delay_s),
            "api_key": "sk-mm-0123456789abcdef",
            "max_concurrency": max_concurrency,
            "batch": False,
        }

    def counts(self) -> Counts:
        """Return what it has been asked since `forget`."""
        return Counts(**self._http.get("/counts").raise_for_status().json())

    def first_questions(self) -> dict[str, int]:
        """Return for each task when it was first asked about, in milliseconds since 1970."""
        return dict(self._http.get("/first-questions").raise_for_status().json())

    def forget(self) -> None:
        """Forget all questions."""
        self._http.post("/forget").raise_for_status()

    def close(self) -> None:
        """Close the connection to it."""
        self._http.close()


@contextmanager
def moody_provider() -> Iterator[ProviderProcess]:
    """Run the stand-in for as long as the context lasts.

    Raises
    ------
    RuntimeError
        If it does not start.
    """
    server = subprocess.Popen([sys.executable, "-m", __name__], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        if not url:
            raise RuntimeError("the provider stand-in did not start")
        provider = ProviderProcess(url)
        try:
            yield provider
        finally:
            provider.close()
    finally:
        server.terminate()
        server.communicate()


async def _serve() -> None:
    stopped = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
    # Without handler_cancellation an answer that hangs would outlive the client that gave up on it.
    runner = web.AppRunner(
        MoodyProvider().app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
    )
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    host, port = runner.addresses[0]
    print(f"http://{host}:{port}", flush=True)
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
