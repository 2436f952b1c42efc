"""Passes of the poller in virtual time: the real tables over moto, the real provider layer over scripted gateways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from tests.support.aws import BUS, client, create_table, items, put, watched_bus
from tests.support.gateways import PlayedTransport
from tests.support.tasks import NOW_MS
from tests.support.virtual import Clock

from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.poll_loop import PollLoop, StopReason
from poller.provider_health import ProviderHealthStore
from poller.registry import ProviderRegistry
from tunehook.aws.bus import EventBus
from tunehook.aws.callback_hints import CallbackHintsTable
from tunehook.aws.leases import Leases
from tunehook.aws.provider_states import ProviderState, ProviderStates
from tunehook.aws.tasks import TasksTable
from tunehook.tasks import TaskKey

Answer = dict[str, Any] | httpx.Response
Gateway = Callable[[str], Answer | Awaitable[Answer]]

PROCESSING: dict[str, Any] = {"status": "processing"}
COMPLETED: dict[str, Any] = {
    "status": "completed",
    "results": [{"id": "clip-1", "audio_url": "https://cdn.example.com/clip-1.mp3"}],
}
FAILED: dict[str, Any] = {"status": "failed", "error": "all platforms unavailable"}


class World:
    """One shard, its pollers, and gateways of the kind musicmint, each a function from task id to task object."""

    def __init__(self, **gateways: Gateway) -> None:
        create_table("TasksTable")
        create_table("PollerLeasesTable")
        create_table("ProviderStatesTable")
        create_table("CallbackHintsTable")
        self.clock = Clock(NOW_MS)
        self.gateways = gateways or {"gw": lambda _: PROCESSING}
        self.asked: list[tuple[float, str]] = []
        self.dynamodb = client("dynamodb")
        self.states = ProviderStates(client("dynamodb"), "ProviderStatesTable")
        self.hints = CallbackHintsTable(client("dynamodb"), "CallbackHintsTable")
        self.leases = Leases(self.dynamodb, "PollerLeasesTable")
        self.secret_reads = 0
        self._emitted = watched_bus()
        self.api_key = "sk-12345678"
        self.entry: dict[str, Any] = {}
        self._http = PlayedTransport(self._answer)

    def secret(self) -> str:
        self.secret_reads += 1
        return json.dumps(
            {
                name: {
                    "kind": "musicmint",
                    "base_url": f"https://{name}.example.com",
                    "api_key": self.api_key,
                    "batch": False,
                }
                | self.entry
                for name in self.gateways
            }
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        name, task_id = request.url.host.split(".")[0], request.url.path.rsplit("/", 1)[-1]
        self.asked.append((self.seconds(), task_id))
        answer = self.gateways[name](task_id)
        data = await answer if isinstance(answer, Awaitable) else answer
        if isinstance(data, httpx.Response):
            return data
        return httpx.Response(200, json={"code": 0, "message": "ok", "data": {"id": task_id, **data}})

    def seconds(self) -> float:
        """Seconds since the world began."""
        return (self.clock() - NOW_MS) / 1000

    def add(self, task_id: str = "task-1", provider: str = "gw", age_s: float = 0, **fields: Any) -> None:
        """Put a task that was accepted `age_s` ago."""
        since_ms = self.clock() - round(age_s * 1000)
        values: dict[str, Any] = {
            "task_id": task_id,
            "provider": provider,
            "status": "pending",
            "queue": "work#0",
            "since_ms": since_ms,
            "submitted_at_ms": since_ms,
            "deadline_ms": since_ms + 3_600_000,
        }
        put("TasksTable", values | fields)

    def call_back(self, task_id: str = "task-1", provider: str = "gw") -> None:
        """Leave the hint of a callback about a task of the table."""
        self.hints.put(0, TaskKey(task_id, provider), self.clock())

    def call_back_unknown(
        self, task_id: str = "task-1", provider: str = "gw", *, after_s: float = 60
    ) -> bool:
        """Leave the hint of a callback about a task that is not in the table."""
        now_ms = self.clock()
        return self.hints.put_unknown(0, TaskKey(task_id, provider), now_ms, now_ms + round(after_s * 1000))

    def hinted(self) -> list[str]:
        """The tasks whose hints are left."""
        return [each.key.task_id for each in self.hints.of_shard(0)]

    def item(self, task_id: str = "task-1") -> dict[str, Any]:
        return next(item for item in items("TasksTable") if item["task_id"] == task_id)

    def state(self, provider: str = "gw") -> ProviderState:
        """What is kept of a provider."""
        return self.states.get(provider)

    def emitted(self) -> list[tuple[str, str]]:
        """The kinds and tasks of the events about tasks that have come out since the last call."""
        return [
            (event["detail-type"], event["detail"]["task_id"])
            for event in self._emitted()
            if "task_id" in event["detail"]
        ]

    def all_emitted(self) -> list[dict[str, Any]]:
        """The events that have come out since the last call, whole."""
        return self._emitted()

    def times_of(self, task_id: str = "task-1") -> list[float]:
        """When a task was asked."""
        return [at_s for at_s, each in self.asked if each == task_id]

    def shard_pass(self, owner: str = "a", lasts_s: float = 105, **parts: Any) -> PollLoop:
        """Return a pass that asks for `lasts_s` at most from now on."""
        tasks = TasksTable(self.dynamodb, "TasksTable")
        ends_ms = self.clock() + round((lasts_s + 15) * 1000)
        given: dict[str, Any] = {
            "tasks": tasks,
            "leases": self.leases,
            "hints": self.hints,
            "outbox": Outbox(tasks, EventBus(client("events"), BUS), clock=self.clock),
            "providers": ProviderRegistry(self.secret, self._http, self.clock, self.seconds),
            "health": ProviderHealthStore(self.states, self.clock),
            "metrics": Metrics(),
        }
        return PollLoop(
            shard=0,
            owner=owner,
            clock=self.clock,
            remaining_ms=lambda: ends_ms - self.clock(),
            **given | parts,
        )

    def run(self, *, take_over: bool = True, **options: Any) -> StopReason:
        """Run one pass to its end."""
        return self.clock.run(self.shard_pass(**options).run(take_over=take_over))

    def run_together(self, *work: Awaitable[Any]) -> list[Any]:
        """Run several things at the same time."""

        async def together() -> list[Any]:
            return list(await asyncio.gather(*work))

        return self.clock.run(together())

    async def later(self, seconds: float, work: Callable[[], Any]) -> Any:
        """Do something after some seconds."""
        await asyncio.sleep(seconds)
        result = work()
        return await result if isinstance(result, Awaitable) else result
