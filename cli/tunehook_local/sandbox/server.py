"""The sandbox as a server: in a coroutine, in a thread, or as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tunehook_local.sandbox.assets import add_asset_routes
from tunehook_local.sandbox.books import Books, Clock, ReceivedRequest, TaskBook, utc_now
from tunehook_local.sandbox.control import add_control_routes
from tunehook_local.sandbox.model import Kind
from tunehook_local.sandbox.providers import Providers
from tunehook_local.sandbox.receiver import add_receiver_routes
from tunehook_local.sandbox.scenario import DEMO_SCENARIO, Scenario, TaskRule, load_scenario
from tunehook_local.sandbox.wire import forget_who_has_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

_SHUTDOWN_S = 0.5


def make_app(books: Books) -> web.Application:
    """Return the web application over a set of books."""
    app = web.Application(middlewares=[forget_who_has_gone])
    Providers(books).add_routes(app)
    add_asset_routes(app, books)
    add_receiver_routes(app, books)
    add_control_routes(app, books)
    return app


class Sandbox:
    """Stand-ins of the three providers, an asset host and a webhook receiver on one port.

    An async context manager; synchronous code uses `run_sandbox`. Its methods may be called from any thread.

    Parameters
    ----------
    scenario : Scenario or Path, optional
        What to answer, or the scenario file; the demo's by default.
    host : str
        The address to listen on.
    port : int
        The port to listen on; 0 takes a free one.
    clock : callable
        Gives the present moment in UTC; for tests.

    Raises
    ------
    InvalidInput
        If the scenario file is not acceptable; the error names the field.
    """

    def __init__(
        self,
        scenario: Scenario | Path = DEMO_SCENARIO,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Clock = utc_now,
    ) -> None:
        self._books = Books(load_scenario(scenario) if isinstance(scenario, Path) else scenario, clock)
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        # Without handler_cancellation an answer that hangs would outlive the client that gave up on it.
        self._runner = web.AppRunner(
            make_app(self._books), access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port: once the server runs, the one it is bound to."""
        return self._port

    @property
    def url(self) -> str:
        """Where the sandbox is, without a slash at the end."""
        return f"http://{self._host}:{self._port}"

    def base_url(self, kind: Kind | str) -> str:
        """Return the base URL to configure for a provider of this kind."""
        return f"{self.url}/{Kind(kind)}"

    def receiver_url(self, name: str) -> str:
        """Return the URL of a receiver; any name will do."""
        return f"{self.url}/receiver/{name}"

    def received(self, name: str | None = None) -> list[ReceivedRequest]:
        """Return the requests that reached the receiver `name`, or any of them, oldest first."""
        return self._books.received(name)

    def books(self, kind: Kind | str | None = None) -> list[TaskBook]:
        """Return the books of the tasks of one kind, or of all, in the order they were first seen in."""
        return [book for book in self._books.task_books() if kind in (None, book.kind)]

    def queries(self, kind: Kind | str) -> dict[str, int]:
        """Return how many queries of ``one`` task and of ``many`` a provider got, refused ones included."""
        return {query: self._books.queries(Kind(kind), query) for query in ("one", "many")}

    def create_task(
        self, kind: Kind | str, task_id: str, *, rule: TaskRule | None = None, age_s: float = 0
    ) -> None:
        """Let a task begin now, or `age_s` seconds ago, by the scenario or by a rule of its own."""
        self._books.create_task(Kind(kind), task_id, rule=rule, age_s=age_s)

    def reset(self) -> None:
        """Forget every task, question and webhook."""
        self._books.reset()

    def providers_secret(self) -> dict[str, dict[str, Any]]:
        """Return a configuration of the providers that points here, as the providers secret holds it."""
        return {
            kind.value: {
                "kind": kind.value,
                "base_url": self.base_url(kind),
                "api_key": f"sandbox-key-{kind}",
            }
            for kind in Kind
        }


@contextmanager
def run_sandbox(
    scenario: Scenario | Path = DEMO_SCENARIO,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    clock: Clock = utc_now,
) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of its own for as long as the context lasts.

    Parameters and exceptions are those of `Sandbox`; a port that is taken raises OSError.
    """
    sandbox = Sandbox(scenario, host=host, port=port, clock=clock)
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
    scenario_path: Path | None = None,
    on_ready: Callable[[Sandbox], None] = lambda _: None,
) -> None:
    """Run a sandbox until the process is told to stop (SIGINT or SIGTERM).

    Parameters
    ----------
    host : str
        The address to listen on.
    port : int
        The port to listen on; 0 takes a free one.
    scenario_path : Path, optional
        The scenario file; the demo's by default.
    on_ready : callable
        Called once with the sandbox when it listens.

    Raises
    ------
    InvalidInput
        If the scenario file is not acceptable; the error names the field.
    OSError
        If the port is taken.
    """

    async def run() -> None:
        stopped = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
        async with sandbox:
            on_ready(sandbox)
            await stopped.wait()

    sandbox = Sandbox(scenario_path or DEMO_SCENARIO, host=host, port=port)
    asyncio.run(run())
