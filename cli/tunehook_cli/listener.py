"""A local receiver of webhooks: it verifies each request, forwards it if asked, and queues it to be shown."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx
from aiohttp import web
from multidict import CIMultiDict
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tunehook.http.headers import HOP_BY_HOP
from tunehook.http.transport import HttpTransport
from tunehook.http.urls import wire_url
from tunehook.times import now_ms
from tunehook_cli.signals import handled_signals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

FORWARD_S: Final = 14.0
"""How long a forwarded request may take: the attempt that it belongs to ends after 15 s."""

_MAX_ANSWER_BYTES: Final = 16 * 1024
_SHUTDOWN_S: Final = 1.0

_NOT_SENT_ON: Final = HOP_BY_HOP | {"content-length", "expect", "host"}
"""Headers that are made anew for the next connection, or that its receiver would wait for somebody to act upon."""

_ANSWERED: Final = ("content-type", "retry-after", "webhook-delivery")
"""Headers of an answer that count (docs/webhook-contract.md, "What counts"), and the body's type."""

GRACE_S: Final = 1.0
"""How long the subscription is removed for, however many signals come meanwhile: some send each one twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWebhook:
    """A request as it came.

    `problem` is None if its signature is verified; `times` counts the genuine requests with this ``webhook-id``;
    `answer` is the status of the answer; `forwarded`, what came of forwarding it.
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
        return next((value for key, value in self.headers if key.lower() == name), None)


Received: TypeAlias = "asyncio.Queue[ReceivedWebhook | None]"
"""Webhooks in the order in which they came; None at the end."""


class Listener:
    """A server behind a listening socket: requests that `secret` has signed are forwarded as they came, if asked."""

    def __init__(self, listening: socket.socket, secret: str, forward_to: str | None = None) -> None:
        self.received: Received = asyncio.Queue()
        self._socket = listening
        self._webhook = Webhook(secret)
        self._forward_to = None if forward_to is None else wire_url(forward_to)
        self._times: Counter[str] = Counter()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve for as long as the context lasts, and close the socket."""
        async with HttpTransport() as self._client:
            app = web.Application()
            app.router.add_post("/{rest:.*}", self._receive)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
            await runner.setup()
            try:
                await web.SockSite(runner, self._socket).start()
                yield
            finally:
                await runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), tuple(request.headers.items())
        problem = self._problem(request.headers, body)
        forwarded, times = None, 0
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
        self.received.put_nowait(
            ReceivedWebhook(
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
        named = ",".join(value for name, value in headers if name.lower() == "connection")
        left_out = _NOT_SENT_ON | {each.strip().lower() for each in named.split(",")}
        kept = [(name, value) for name, value in headers if name.lower() not in left_out]
        try:
            answer = await self._client.send_for_status(
                "POST", url, CIMultiDict(kept), body, max_bytes=_MAX_ANSWER_BYTES, deadline_s=FORWARD_S
            )
        except httpx.TransportError as error:
            problem = f"{type(error).__name__} at {url}"
            return web.Response(status=502, text=problem), problem
        answered = {name: answer.headers[name] for name in _ANSWERED if name in answer.headers}
        response = web.Response(status=answer.status, headers=answered, body=answer.body)
        came = f"HTTP {answer.status} from {url}"
        return response, f"{came} ({answer.fault})" if answer.fault else came


class Interrupted(Exception):
    """A second signal came while the subscription was made or removed."""


async def listen(
    listener: Listener,
    *,
    subscribe: Callable[[], None],
    unsubscribe: Callable[[], None],
    show: Callable[[ReceivedWebhook], None],
) -> None:
    """Subscribe, show what comes until SIGINT, SIGTERM or SIGHUP, and unsubscribe.

    `unsubscribe` is called whatever has ended it, an error of `show` included. Raises `Interrupted` if a second signal
    comes while `subscribe` or `unsubscribe` runs, which may hang for a minute: it goes on in a daemon thread.
    """
    loop = asyncio.get_running_loop()
    second_signal, signals = asyncio.Event(), itertools.count(1)

    def on_signal() -> None:
        if next(signals) == 1:
            listener.received.put_nowait(None)
        else:
            second_signal.set()

    for number in handled_signals():
        loop.add_signal_handler(number, on_signal)
    async with listener.running():
        await _unless(second_signal, subscribe)
        try:
            while (webhook := await listener.received.get()) is not None:
                show(webhook)
        finally:
            await _unless(second_signal, unsubscribe)
    while not listener.received.empty():
        if (last := listener.received.get_nowait()) is not None:
            show(last)


async def _unless(second_signal: asyncio.Event, call: Callable[[], None]) -> None:
    """Call in a thread, and wait for its end, or for a second signal that comes within `GRACE_S` or later."""
    working = _in_thread(call)
    await asyncio.wait({working}, timeout=GRACE_S)
    waiting = asyncio.ensure_future(second_signal.wait())
    either: set[asyncio.Future[Any]] = {working, waiting}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not working.done():
        raise Interrupted
    working.result()


def _in_thread(call: Callable[[], None]) -> asyncio.Future[None]:
    """Call in a daemon thread, for which the process does not wait at its end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
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
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=run, daemon=True).start()
    return done
