"""The world outside of tunehook during a run: providers, asset host, receivers, and what is in their books."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from aiohttp import web
from tests.stack.faults.asset_host import AssetHost, Served
from tests.stack.faults.links import FileName, paths_of
from tests.stack.faults.media import Media
from tests.stack.faults.plan import CHECKED, GONE_ANSWERS, WATCHER, Plan, PlannedTask, ReceiverTrouble
from tests.stack.faults.receivers import Receipt, Receivers
from tests.stack.faults.tripwire import Tripped, Tripwire

from tunehook.operations.sample_event import TASK_ID
from tunehook.subscriptions import OPERATIONAL
from tunehook_local.sandbox import Kind, Sandbox, Scenario, TaskRecord, TaskRule, parse
from tunehook_local.sandbox.respond import ignore_disconnects

_SHUTDOWN_S: Final = 0.5
_CALL_S: Final = 10.0
_LARGEST_WEBHOOK_BYTES: Final = 1 << 20

_OF_CHECKS: Final = tuple(
    ReceiverTrouble(name, TASK_ID, "refused", [{"status": 503}] * GONE_ANSWERS)
    for name, is_accepted in CHECKED.items()
    if not is_accepted
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A task whose files and whose hook lie where a deployment with ``NetworkPolicy: public`` may not go.

    `task` ends well at its provider; it is to be put with `hook_url` for a ``notify_hook``.
    """

    task: PlannedTask
    hook_url: str
    assets_url: str


class World:
    """Everything outside of tunehook, on loopback, in one thread; a context manager.

    Parameters
    ----------
    plan : Plan
        What it does wrong.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._sandbox = Sandbox(parse(Scenario, {"query_many": list(plan.query_many)}))
        self._media = Media(plan.seed)
        self._tripwire = Tripwire()
        self._assets = AssetHost(self._media, plan.assets)
        troubles = (*plan.receivers, *(each.trouble for each in plan.gone), *_OF_CHECKS)
        self._receivers = Receivers(troubles, lambda: self._tripwire.url)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="world", daemon=True)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def providers_secret(self) -> dict[str, dict[str, Any]]:
        """Return the configuration of the providers, each of which has the name of its kind."""
        return self._sandbox.providers_secret()

    def subscriptions(self, *, late: bool = False) -> list[dict[str, Any]]:
        """Return the items to put into the Subscriptions table at the beginning, or those in the middle of the run."""
        return [
            {
                "subscription_id": each.subscription_id,
                "url": self._receiver_url(each.subscription_id),
                "format": each.format,
                "signature": each.signature,
                **each.fields,
            }
            | ({"retry_schedule": list(each.retry_schedule)} if each.retry_schedule else {})
            | ({"max_per_second": each.max_per_second} if each.max_per_second else {})
            for each in self.plan.subscriptions
            if each.is_late == late
        ]

    def watchers(self) -> list[dict[str, Any]]:
        """Return the items of the subscriptions that are told of trouble, and of those whose receivers want no more."""
        watcher = {"subscription_id": WATCHER, "events": [each.value for each in OPERATIONAL]}
        gone = [{"subscription_id": each.subscription_id, **each.fields} for each in self.plan.gone]
        return [each | {"url": self._receiver_url(each["subscription_id"])} for each in (watcher, *gone)]

    def checked(self) -> list[dict[str, Any]]:
        """Return the items of the subscriptions whose endpoints are checked; they want no task."""
        return [
            {
                "subscription_id": name,
                "url": self._receiver_url(name),
                "enabled": False,
                "filter": {"task_id": [{"exists": False}]},
            }
            for name in CHECKED
        ]

    def hook_url(self, task: PlannedTask) -> str | None:
        """Return the ``notify_hook`` that a task is to be put with; None if it has none."""
        return None if task.hook_name is None else self._receiver_url(task.hook_name)

    def begin(self, task: PlannedTask, *, assets_url: str | None = None) -> None:
        """Let a task be there at its provider; to be called right before it is put.

        Parameters
        ----------
        task : PlannedTask
            The task.
        assets_url : str, optional
            Where its files lie, without a slash at the end; at the asset host of this world by default.
        """
        document = task.rule | {"assets_url": assets_url or f"{self.url}/assets"}
        self._sandbox.create_task(task.kind, task.task_id, rule=parse(TaskRule, document), age_s=task.age_s)

    def forbidden_tasks(self) -> list[Forbidden]:
        """Return tasks whose files and hooks are on loopback, spelled in all the ways in which that can be spelled."""
        kinds = list(Kind)
        return [
            Forbidden(
                task=PlannedTask(
                    kind=kinds[number % len(kinds)].value,
                    task_id=f"forbidden-{self.plan.seed}-{number}",
                    put_at_s=0,
                    age_s=0,
                    hook_name=None,
                    status="completed",
                    rule={"answers": [{"phase": "completed"}]},
                ),
                hook_url=f"{url}/hook",
                assets_url=f"{url}/assets",
            )
            for number, url in enumerate(self._tripwire.spellings())
        ]

    def begin_forbidden(self, forbidden: Forbidden) -> None:
        """Let such a task be there at its provider; to be called right before it is put."""
        self.begin(forbidden.task, assets_url=forbidden.assets_url)

    def task_books(self) -> list[TaskRecord]:
        """Return what the providers know of their tasks: when each ended, and how."""
        return self._sandbox.task_records()

    def links(self, task: PlannedTask) -> dict[FileName, tuple[str, ...]]:
        """Return the files that are to be kept of a task, and the paths of the links of each, the preferred first."""
        return paths_of(task)

    def path_of(self, url: str) -> str | None:
        """Return what follows ``/assets/`` in a link to the asset host; None if it leads elsewhere."""
        start = f"{self.url}/assets/"
        return url.removeprefix(start) if url.startswith(start) else None

    def sha256(self, path: str) -> str:
        """Return the digest of the whole file at a path of the asset host, in hexadecimal."""
        return self._media.sha256(path)

    def served(self, path: str | None = None) -> list[Served]:
        """Return what the asset host has answered to the questions for a file, or for any."""
        return self._assets.served(path)

    def received(self) -> list[Receipt]:
        """Return every webhook that came, in the order of its coming, and what each was answered."""
        return self._receivers.received()

    def tripped(self) -> list[Tripped]:
        """Return the connections to where no request may go."""
        return self._tripwire.tripped()

    def _receiver_url(self, name: str) -> str:
        return f"{self.url}/receiver/{name}"

    async def _start(self) -> None:
        await self._tripwire.start()
        await self._sandbox.__aenter__()
        app = web.Application(client_max_size=_LARGEST_WEBHOOK_BYTES, middlewares=[ignore_disconnects])
        self._assets.add_routes(app)
        self._receivers.add_routes(app)
        # Without handler_cancellation an answer that hangs would outlive the client that gave up on it.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_S
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self._sandbox.__aexit__(None, None, None)
        await self._tripwire.stop()

    def _end(self) -> None:
        try:
            self._call(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_CALL_S)
