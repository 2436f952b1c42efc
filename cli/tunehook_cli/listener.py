"""A local receiver of webhooks: it verifies what arrives, forwards it if asked, and hands it over to be shown."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import httpx
from aiohttp import web
from multidict import CIMultiDict
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tunehook.http.headers import HOP_BY_HOP
from tunehook.http.transport import HttpTransport
from tunehook.http.urls import wire_url
from tunehook.times import now_ms
from tunehook_cli.endings import wanted_signals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

FORWARD_S: Final = 14.0
"""How long a forwarded request may take: the attempt that it belongs to ends after 15 s."""

_MAX_ANSWER_BYTES: Final = 16 * 1024
_SHUTDOWN_S: Final = 1.0

_NOT_SENT_ON: Final = HOP_BY_HOP | {"content-length", "expect", "host"}
"""Headers that are made anew for the next connection, or that its receiver would wait for somebody to act upon."""

_ANSWERED: Final = ("content-type", "retry-after", "webhook-delivery")
"""Headers of an answer that count (docs/webhook-contract.md, "What counts"), and the body's type."""

UNHURRIED_S: Final = 1.0
"""How long the subscription is removed for, however often the process is told to end meanwhile: some are told twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request that has arrived.

    Attributes
    ----------
    at_ms : int
        When, in milliseconds since 1970.
    path : str
        Its path with the query string.
    headers : tuple of pairs
        Names and values as they came.
    body : bytes
        As it came.
    problem : str or None
        Why it is not genuine; None if its signature has been verified.
    times : int
        How often a genuine request with this ``webhook-id`` has arrived, this one included.
    answer : int
        The status that it was answered with.
    forwarded : str or None
        What came of forwarding it; None if it was not forwarded.
    """

    at_ms: int
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    problem: str | None
    times: int
    answer: int
    forwarded: str | None = None

    def header(self, name: str) -> str | None:
        """Return the value of a header, given by its lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)


Arrivals: TypeAlias = "asyncio.Queue[Arrival | None]"
"""What has arrived, in order; None where somebody wants it to end."""


class Listener:
    """A server for as long as the context lasts.

    Parameters
    ----------
    listening : socket.socket
        Where requests arrive; closed at the end.
    secret : str
        What they are to be signed with.
    forward_to : str, optional
        A URL that genuine requests are sent on to, with their own headers and bytes; its answer is the answer.
    """

    def __init__(self, listening: socket.socket, secret: str, forward_to: str | None = None) -> None:
        self.arrivals: Arrivals = asyncio.Queue()
        self._socket = listening
        self._webhook = Webhook(secret)
        self._forward_to = None if forward_to is None else wire_url(forward_to)
        self._times: Counter[str] = Counter()
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._client = await self._resources.enter_async_context(HttpTransport())
        app = web.Application()
        app.router.add_post("/{rest:.*}", self._receive)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        self._resources.push_async_callback(runner.cleanup)
        await web.SockSite(runner, self._socket).start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._resources.aclose()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = tuple(request.headers.items())
        problem = self._problem(request.headers, body)
        forwarded = None
        times = 0
        if problem is not None:
            response = web.Response(status=401, text=problem)
        else:
            message_id = request.headers["webhook-id"]
            self._times[message_id] += 1
            times = self._times[message_id]
            if self._forward_to is None:
                response = web.Response(status=204)
            else:
                response, forwarded = await self._forward(self._forward_to, headers, body)
        self.arrivals.put_nowait(
            Arrival(
                at_ms=now_ms(),
                path=request.path_qs,
                headers=headers,
                body=body,
                problem=problem,
                times=times,
                answer=response.status,
                forwarded=forwarded,
            )
        )
        return response

    def _problem(self, headers: Mapping[str, str], body: bytes) -> str | None:
        try:
            self._webhook.verify(body, dict(headers), json_parse=False)
        except WebhookVerificationError as error:
            return str(error)
        except ValueError:
            return "The signature cannot be read"
        return None

    async def _forward(
        self, url: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[web.Response, str]:
        left_out = _NOT_SENT_ON | _named_by_connection(headers)
        kept = [(name, value) for name, value in headers if name.lower() not in left_out]
        try:
            answer = await self._client.send_for_status(
                "POST",
                url,
                CIMultiDict(kept),
                body,
                max_bytes=_MAX_ANSWER_BYTES,
                deadline_s=FORWARD_S,
            )
        except httpx.TransportError as error:
            words = f"{type(error).__name__} at {url}"
            return web.Response(status=502, text=words), words
        told = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
        response = web.Response(status=answer.status, headers=told, body=answer.body)
        words = f"HTTP {answer.status} from {url}"
        return response, f"{words} ({answer.fault})" if answer.fault else words


def _named_by_connection(headers: tuple[tuple[str, str], ...]) -> set[str]:
    named = ",".join(value for name, value in headers if name.lower() == "connection")
    return {each.strip().lower() for each in named.split(",")}


class Hurried(Exception):
    """The process was told to end once more, while it was ending or had not begun yet."""


async def listen(
    listener: Listener,
    *,
    subscribe: Callable[[], None],
    unsubscribe: Callable[[], None],
    show: Callable[[Arrival], None],
) -> None:
    """Subscribe, show what arrives until the process is told to end (SIGINT, SIGTERM or SIGHUP), and unsubscribe.

    Parameters
    ----------
    listener : Listener
        The receiver, not yet running.
    subscribe, unsubscribe : callable
        Called once each: when the receiver listens, and at the end, whatever has ended it.
    show : callable
        Is given each request that has arrived. An error that it raises is an end like any other.

    Raises
    ------
    Hurried
        If the process is told to end once more while `subscribe` or `unsubscribe` runs, which may hang for a minute.
        It goes on in a thread that ends with the process: nobody knows whether it was done.
    """
    loop = asyncio.get_running_loop()
    told = _Told()
    for number in wanted_signals():
        loop.add_signal_handler(number, told.once_more, listener.arrivals)
    async with listener:
        await told.unless_hurried(subscribe)
        try:
            while (arrival := await listener.arrivals.get()) is not None:
                show(arrival)
        finally:
            await told.unless_hurried(unsubscribe)
    while not listener.arrivals.empty():
        if (last := listener.arrivals.get_nowait()) is not None:
            show(last)


class _Told:
    """How often the process was told to end."""

    def __init__(self) -> None:
        self._times = 0
        self._hurry = asyncio.Event()

    def once_more(self, arrivals: Arrivals) -> None:
        self._times += 1
        if self._times == 1:
            arrivals.put_nowait(None)
        else:
            self._hurry.set()

    async def unless_hurried(self, call: Callable[[], None]) -> None:
        """Call in a thread, and wait for its end, or for the second time that the process is told to end."""
        working = _in_thread(call)
        await asyncio.wait({working}, timeout=UNHURRIED_S)
        hurry = asyncio.ensure_future(self._hurry.wait())
        either: set[asyncio.Future[Any]] = {working, hurry}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not working.done():
            raise Hurried
        working.result()


def _in_thread(call: Callable[[], None]) -> asyncio.Future[None]:
    """Call in a thread that the process does not wait for when it ends, as it does for those of an executor."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            call()
        except BaseException as raised:  # noqa: BLE001 - raised again where it is waited for
            error = raised
        # The loop may be over by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=run, daemon=True).start()
    return done
