"""The sandbox as a server: in a coroutine, in a thread, or as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tunehook_local.sandbox.asset_host import add_asset_routes
from tunehook_local.sandbox.callback_forms import CallbackForm, Wanted
from tunehook_local.sandbox.callback_sender import CallbackSender
from tunehook_local.sandbox.control_api import add_control_routes
from tunehook_local.sandbox.guide import add_guide_route, api_key, guide
from tunehook_local.sandbox.ledger import (
    Clock,
    Ledger,
    ReceivedRequest,
    ReceivedSubmission,
    SentCallback,
    TaskRecord,
    utc_now,
)
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.provider_routes import add_provider_routes
from tunehook_local.sandbox.request_log import OnRequest, noting
from tunehook_local.sandbox.reseller_routes import add_reseller_routes
from tunehook_local.sandbox.respond import ignore_disconnects
from tunehook_local.sandbox.scenario import DEMO_SCENARIO, Scenario, TaskRule, load_scenario
from tunehook_local.sandbox.submit_routes import add_submit_routes
from tunehook_local.sandbox.webhook_receiver import add_receiver_routes

_SHUTDOWN_S = 0.5


def make_app(ledger: Ledger, sender: CallbackSender, on_request: OnRequest | None = None) -> web.Application:
    """Return the application; `on_request` is called with each request once it is answered."""
    noted = [] if on_request is None else [noting(on_request, ledger.clock)]
    app = web.Application(middlewares=[*noted, ignore_disconnects])
    add_provider_routes(app, ledger)
    add_submit_routes(app, ledger, sender)
    add_reseller_routes(app, ledger, sender)
    add_asset_routes(app, ledger)
    add_receiver_routes(app, ledger)
    add_control_routes(app, ledger, sender)
    return app


class Sandbox:
    """Stand-ins of the three providers, an asset host and a webhook receiver on one port.

    An async context manager; synchronous code uses `run_sandbox`. Its methods may be called from any thread. Port 0
    takes a free one. Raises `InvalidInput`, which names the field, if the scenario file is not acceptable.
    """

    def __init__(
        self,
        scenario: Scenario | Path = DEMO_SCENARIO,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = utc_now,
        on_request: OnRequest | None = None,
    ) -> None:
        self.ledger = Ledger(load_scenario(scenario) if isinstance(scenario, Path) else scenario, clock)
        self._host = host
        self.port = port
        """Once the server runs, the one it is bound to."""
        self._on_request = on_request
        self._runner: web.AppRunner | None = None
        self._sender: CallbackSender | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        # Without handler_cancellation an answer that hangs would outlive the client that gave up on it.
        self._loop = asyncio.get_running_loop()
        self._sender = CallbackSender(self.ledger, lambda: f"{self.url}/assets")
        app = make_app(self.ledger, self._sender, self._on_request)
        add_guide_route(app, self, self.ledger.scenario)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self.port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sender is not None:
            await self._sender.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    def base_url(self, kind: Kind | str) -> str:
        return f"{self.url}/{Kind(kind)}"

    def receiver_url(self, name: str) -> str:
        return f"{self.url}/receiver/{name}"

    def received(self, name: str | None = None) -> list[ReceivedRequest]:
        return self.ledger.received(name)

    def submitted(self, kind: Kind | str | None = None) -> list[ReceivedSubmission]:
        return self.ledger.submitted(None if kind is None else Kind(kind))

    def sent_callbacks(self, task_id: str | None = None) -> list[SentCallback]:
        """Return the attempts to call the callback URLs of a task, or of all."""
        return self.ledger.sent(task_id)

    def task_records(self, kind: Kind | str | None = None) -> list[TaskRecord]:
        return [record for record in self.ledger.task_records() if kind in (None, record.kind)]

    def create_task(
        self,
        kind: Kind | str,
        task_id: str,
        *,
        rule: TaskRule | None = None,
        age_s: float = 0,
        callback_url: str | None = None,
    ) -> None:
        """Let a task begin, as if it had been submitted, with callbacks where it has a URL for them."""
        callback = None if callback_url is None else Wanted(callback_url, CallbackForm.TASK)
        task = self.ledger.create_task(Kind(kind), task_id, rule=rule, age_s=age_s, callback=callback)
        if callback is not None and self._loop is not None and self._sender is not None:
            self._loop.call_soon_threadsafe(self._sender.watch, task)

    def guide(self) -> str:
        """Return what there is, with commands that can be pasted."""
        return guide(self, self.ledger.scenario)

    def providers_secret(self) -> dict[str, dict[str, Any]]:
        """Return a configuration of the providers that points here, as the providers secret holds it."""
        return {
            kind.value: {
                "kind": kind.value,
                "base_url": self.base_url(kind),
                "api_key": api_key(kind),
            }
            for kind in Kind
        }


@contextmanager
def run_sandbox(
    scenario: Scenario | Path = DEMO_SCENARIO, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Sandbox]:
    """Run a `Sandbox` in a thread for as long as the context lasts; raises `OSError` if the port is taken."""
    sandbox = Sandbox(scenario, host=host, port=port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="tunehook-sandbox", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sandbox.__aenter__(), loop).result()
        try:
            yield sandbox
        finally:
            asyncio.run_coroutine_threadsafe(sandbox.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def serve(
    host: str,
    port: int,
    scenario_path: Path | None,
    on_ready: Callable[[Sandbox], None],
    on_request: OnRequest | None = None,
) -> None:
    """Run a `Sandbox` until SIGINT or SIGTERM; raise `OSError` if it cannot listen.

    `on_ready` is called once it listens, `on_request` with each request once it is answered.
    """

    async def run() -> None:
        stopped = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
        async with sandbox:
            on_ready(sandbox)
            await stopped.wait()

    sandbox = Sandbox(scenario_path or DEMO_SCENARIO, host=host, port=port, on_request=on_request)
    asyncio.run(run())
