"""The receiver of all senders: one HTTP server whose endpoints answer as they are told, and which keeps the books."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from aiohttp import web

from benchmarks.senders.books import Books, event_id_in

KEPT: Final = 20
"""How many requests of an endpoint are kept whole, for their signatures."""

HELD_MAX_S: Final = 120.0
"""How long a request is held by an endpoint that hangs, drips or does not end: no sender waits for so long."""

ENDLESS_BYTES_A_SECOND: Final = 200_000_000
"""What an endpoint without end sends, all its connections together: as fast as it could, it would take this machine."""

_CHUNK: Final = bytes(64 * 1024)
_BODY_MAX: Final = 8 * 1024 * 1024

Answer = Callable[[web.Request, int], Awaitable[web.StreamResponse]]
"""Answers a request; the number is how many there were about its event, this one with it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A request as it came."""

    headers: Mapping[str, str]
    body: bytes


@dataclass
class Place:
    """An endpoint: how it answers, whose books it keeps, and its first requests."""

    name: str
    answer: Answer
    books: Books
    kept: list[Kept] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)


class Receiver:
    """Listens while its context lasts.

    Parameters
    ----------
    host : str
        The address to listen at.
    forbidden_host : str
        An address that senders are told not to send to, or have no business to; only redirects lead there.
    port, forbidden_port : int
        0 for free ones.
    url : str, optional
        By what senders reach it, where that is another address; ``http://<host>:<port>`` by default.
    clock : callable
        Seconds.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        forbidden_host: str = "127.0.0.2",
        port: int = 0,
        forbidden_port: int = 0,
        url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.followed: list[str] = []
        """The paths that were asked for at the forbidden address."""
        self.forbidden_url: str | None = None
        """Where redirects lead; None if this machine has no such address."""
        self.strangers = 0
        """Requests about no event, or to no endpoint."""
        self._at = (host, port)
        self._forbidden_at = (forbidden_host, forbidden_port)
        self._given_url = url
        self._url = ""
        self._places: dict[str, Place] = {}
        self._runners: list[web.AppRunner] = []
        self._closing = asyncio.Event()
        self._endless = 0

    async def __aenter__(self) -> Self:
        self._url = self._given_url or await self._listen(self._receive, *self._at)
        if self._given_url is not None:
            await self._listen(self._receive, *self._at)
        try:
            self.forbidden_url = await self._listen(self._follow, *self._forbidden_at)
        except OSError:
            self.forbidden_url = None
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], host: str, port: int
    ) -> str:
        application = web.Application(client_max_size=_BODY_MAX)
        application.router.add_route("*", "/{place:.*}", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, host, port, backlog=1024).start()
        self._runners.append(runner)
        return f"http://{host}:{runner.addresses[0][1]}"

    def open(self, name: str, books: Books, answer: Answer | None = None) -> str:
        """Make an endpoint, which answers 200 at once by default, and return its URL."""
        self._places[name] = Place(name, answer or at_once(), books)
        return f"{self._url}/{name}"

    def turn(self, name: str, answer: Answer) -> None:
        """Have an endpoint answer otherwise."""
        self._places[name].answer = answer

    def kept(self, name: str) -> list[Kept]:
        """Return the first requests of an endpoint."""
        return self._places[name].kept

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        at_s = self.clock()
        place = self._places.get(request.match_info["place"])
        event_id = event_id_in(body)
        if place is None or event_id is None:
            self.strangers += 1
            return web.Response()
        place.counted[event_id] += 1
        place.books.arrive(event_id, place.name, at_s)
        if len(place.kept) < KEPT:
            place.kept.append(Kept({name.lower(): text for name, text in request.headers.items()}, body))
        return await place.answer(request, place.counted[event_id])

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        self.followed.append(request.path)
        return web.Response()

    async def hang(self, _request: web.Request, _number: int) -> web.StreamResponse:
        """Answer nothing."""
        await self._held(HELD_MAX_S)
        return web.Response()

    async def drip(self, request: web.Request, _number: int) -> web.StreamResponse:
        """Answer 200 at once, and a byte of the body each second."""
        response = await self._begin(request)
        ends_s = self.clock() + HELD_MAX_S
        while self.clock() < ends_s and await _written(response, b"."):
            if await self._held(1.0):
                break
        return response

    async def endless(self, request: web.Request, _number: int) -> web.StreamResponse:
        """Answer 200 at once, and a body that does not end."""
        response = await self._begin(request)
        ends_s = self.clock() + HELD_MAX_S
        self._endless += 1
        try:
            while self.clock() < ends_s and await _written(response, _CHUNK):
                if await self._held(self._endless * len(_CHUNK) / ENDLESS_BYTES_A_SECOND):
                    break
        finally:
            self._endless -= 1
        return response

    async def _begin(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        return response

    async def _held(self, seconds: float) -> bool:
        """Wait; return whether the receiver closes."""
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return False
        return True


async def _written(response: web.StreamResponse, chunk: bytes) -> bool:
    """Write; return whether the other side is there still."""
    try:
        await response.write(chunk)
    except OSError:
        return False
    return True


def at_once(status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return what answers a status at once."""

    async def answer(_request: web.Request, _number: int) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


def first(status: int, headers: Mapping[str, str] | None = None) -> Answer:
    """Return what answers a status to the first request about an event, and 200 to the others."""

    async def answer(_request: web.Request, number: int) -> web.StreamResponse:
        return web.Response(status=status, headers=headers) if number == 1 else web.Response()

    return answer
