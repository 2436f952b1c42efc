"""Who is asked how often where a provider can answer fewer questions than are due: passes handed over, in virtual time.

Every minute a pass begins that knows nothing of the one before it, as in another process, and takes the lease over. The
poller and the provider layer are the real ones; tables, bus and gateways are played. Run it with
``python -m benchmarks.overload``.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
from tests.support.gateways import PlayedTransport
from tests.support.virtual import Clock

from benchmarks.report import Row, report
from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.poll_loop import PollLoop
from poller.provider_health import ProviderHealthStore
from poller.registry import ProviderRegistry
from tunehook.aws.callback_hints import Hint
from tunehook.aws.leases import LEASE_MS, Handover, Position
from tunehook.aws.provider_states import ProviderState
from tunehook.tasks import EndedTask, TaskEnd, TaskKey, Work, WorkItem

TASKS: Final = 200
MANY_TASKS: Final = 8_000
MINUTES: Final = 8
PASS_MS: Final = 120_000
MINUTE_S: Final = 60.0
START_MS: Final = 1_800_000_000_000
SHORT_TASKS: Final = 100
SHORT_DEADLINE_S: Final = 240.0
"""Some tasks reach their deadlines in the middle."""

MOST_TO_MEAN: Final = 2.0
"""How often a task may be asked, as a multiple of the mean."""

Kind = Literal["qhaigc", "suno"]


@dataclass
class Shard:
    """What the tables and the bus of one shard hold."""

    tasks: dict[TaskKey, WorkItem] = field(default_factory=dict)
    ends: dict[str, TaskEnd] = field(default_factory=dict)
    lease: tuple[str, int] = ("nobody", 0)
    positions: dict[str, Position] = field(default_factory=dict)

    def work(self, _shard: int, since_ms: int = 0, _is_known: object = None) -> Work:
        """Return the tasks that are pending."""
        return Work(pending=[task for task in self.tasks.values() if task.since_ms >= since_ms])

    def of_shard(self, _shard: int) -> list[Hint]:
        return []

    async def note_in_loop(self, _task: WorkItem, _changes: dict[str, Any]) -> bool:
        """Take a change as made."""
        return True

    async def end_in_loop(self, task: WorkItem, end: TaskEnd) -> EndedTask | None:
        """End a task, once."""
        if self.tasks.pop(task.key, None) is None:
            return None
        self.ends[task.key.task_id] = end
        return EndedTask(key=task.key, queue=task.queue, since_ms=task.since_ms, end=end, metadata={})

    async def mark_event_sent_in_loop(self, _task: EndedTask) -> bool:
        """An ended task is not in the index here."""
        return True

    async def put_in_loop(self, events: list[Any]) -> list[bool]:
        """Take all events."""
        return [True] * len(events)

    def take_over(self, _shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease; return whether somebody held it."""
        was_held = self.lease[1] > now_ms
        self.lease = owner, now_ms + LEASE_MS
        return was_held

    def renew(self, _shard: int, owner: str, now_ms: int) -> bool:
        """Hold the lease for longer, if it is one's own."""
        if self.lease[0] != owner:
            return False
        self.lease = owner, now_ms + LEASE_MS
        return True

    def give_up(self, _shard: int, owner: str, now_ms: int) -> bool:
        """Let the lease go, if it is one's own."""
        if self.lease[0] != owner:
            return False
        self.lease = owner, now_ms
        return True

    def handover(self, _shard: int) -> Handover:
        """Return with whom to go on."""
        return Handover(self.lease[1], dict(self.positions))

    def save_positions(self, _shard: int, owner: str, positions: dict[str, Position]) -> bool:
        """Note with whom to go on, if the lease is one's own."""
        if self.lease[0] != owner:
            return False
        self.positions = dict(positions)
        return True

    def get_many(self, names: list[str]) -> dict[str, ProviderState]:
        """Return that nothing is known of any provider."""
        return {name: ProviderState(provider=name) for name in names}

    def save(self, _before: ProviderState, _after: ProviderState) -> None:
        """What is known of a provider is of no interest here."""


@dataclass
class Gateway:
    """A provider that calls each task unended, and remembers when it was asked about which."""

    clock: Clock
    requests: int = 0
    asked_ms: dict[str, list[int]] = field(default_factory=dict)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer about one task, or many."""
        self.requests += 1
        many = request.method == "POST"
        ids = json.loads(request.content)["ids"] if many else [request.url.path.rpartition("/")[2]]
        for task_id in ids:
            self.asked_ms.setdefault(task_id, []).append(self.clock())
        tasks = [{"task_id": task_id, "status": "IN_PROGRESS"} for task_id in ids]
        return httpx.Response(
            200, json={"code": "success", "message": "", "data": tasks if many else tasks[0]}
        )


@dataclass(frozen=True)
class Played:
    """What became of the tasks.

    Attributes
    ----------
    tasks, requests, answers : int
        How many there were.
    never_asked : int
        Of the tasks that were pending all the time.
    most_to_mean : float
        How often the task was asked that was asked most, as a multiple of the mean, of those tasks.
    oldest_s : float
        How long ago the last question was about the task that was asked longest ago, at the end.
    overdue_ended : int
        How many of those with a deadline ended.
    unasked_ends : int
        How many of those by no answer.
    latest_s : float
        How long after its deadline the last one ended.
    """

    tasks: int
    requests: int
    answers: int
    never_asked: int
    most_to_mean: float
    oldest_s: float
    overdue_ended: int = 0
    unasked_ends: int = 0
    latest_s: float = 0.0


def play(
    kind: Kind,
    tasks: int,
    *,
    requests_per_second: float = 1.0,
    minutes: int = MINUTES,
    short: int = 0,
) -> Played:
    """Watch tasks that do not end by themselves.

    Parameters
    ----------
    kind : str
        Of the provider.
    tasks : int
        How many are put, ten seconds long.
    requests_per_second : float
        What the provider is configured with.
    minutes : int
        For how many; a pass begins each minute.
    short : int
        How many of the tasks have a deadline of `SHORT_DEADLINE_S`.
    """
    clock = Clock(START_MS)
    shard, gateway = Shard(), Gateway(clock)
    every = tasks // short if short else 0
    for number in range(tasks):
        since_ms = START_MS - 10_000 + 10_000 * number // tasks
        is_short = every > 0 and number % every == 0
        key = TaskKey(f"t{number * 7919 % tasks:05}", "gw")
        shard.tasks[key] = WorkItem(
            key=key,
            queue="work#0",
            since_ms=since_ms,
            submitted_at_ms=since_ms,
            deadline_ms=since_ms + round(1000 * (SHORT_DEADLINE_S if is_short else 2 * 3_600)),
        )
    deadlines_ms = {task.key.task_id: task.deadline_ms for task in shard.tasks.values()}
    entry = {"kind": kind, "base_url": "https://gw.example.com", "api_key": "sk-12345678"}
    secret = json.dumps({"gw": entry | {"requests_per_second": requests_per_second}})

    async def one(number: int) -> None:
        await asyncio.sleep(MINUTE_S * number)
        await _pass(str(number), shard, gateway, secret, clock)

    async def all_passes() -> None:
        passes = [asyncio.create_task(one(number)) for number in range(minutes + 1)]
        await asyncio.sleep(MINUTE_S * minutes)
        for task in passes:
            task.cancel()
        await asyncio.gather(*passes, return_exceptions=True)

    clock.run(all_passes())
    return _played(shard, gateway, deadlines_ms, clock())


async def _pass(owner: str, shard: Shard, gateway: Gateway, secret: str, clock: Clock) -> None:
    ends_ms = clock() + PASS_MS
    played: Any = shard
    await PollLoop(
        shard=0,
        owner=owner,
        tasks=played,
        leases=played,
        hints=played,
        outbox=Outbox(played, played, clock=clock),
        providers=ProviderRegistry(
            lambda: secret, PlayedTransport(gateway.answer), clock, lambda: clock() / 1000
        ),
        health=ProviderHealthStore(played, clock),
        metrics=Metrics(),
        clock=clock,
        remaining_ms=lambda: ends_ms - clock(),
    ).run(take_over=True)


def _played(shard: Shard, gateway: Gateway, deadlines_ms: dict[str, int], now_ms: int) -> Played:
    asked = Counter({task_id: len(moments) for task_id, moments in gateway.asked_ms.items()})
    lasting = [key.task_id for key in shard.tasks]
    lasting_asked = [asked[task_id] for task_id in lasting]
    mean = sum(lasting_asked) / len(lasting)
    late_s = [(end.detected_at_ms - deadlines_ms[task_id]) / 1000 for task_id, end in shard.ends.items()]
    by_no_answer = [
        end for end in shard.ends.values() if end.failure and "not be asked" in end.failure.reason
    ]
    return Played(
        tasks=len(deadlines_ms),
        requests=gateway.requests,
        answers=asked.total(),
        never_asked=lasting_asked.count(0),
        most_to_mean=max(lasting_asked) / mean,
        oldest_s=max((now_ms - gateway.asked_ms.get(task_id, [START_MS])[-1]) / 1000 for task_id in lasting),
        overdue_ended=len(shard.ends),
        unasked_ends=len(by_no_answer),
        latest_s=max(late_s, default=0.0),
    )


def rows(name: str, played: Played, *, short: int = 0) -> Iterator[Row]:
    """Return the figures of one play, with what is wanted of them."""
    yield Row(f"{name}: tasks", played.tasks, "tasks")
    yield Row(f"{name}: requests", played.requests, "requests")
    yield Row(f"{name}: answers about tasks", played.answers, "answers")
    yield Row(f"{name}: never asked", played.never_asked, "tasks", at_most=0)
    yield Row(f"{name}: asked most, to the mean", played.most_to_mean, "ratio", at_most=MOST_TO_MEAN)
    yield Row(f"{name}: longest since a last answer", played.oldest_s, "s")
    if short:
        yield Row(f"{name}: overdue, ended", played.overdue_ended, "tasks", at_least=short)
        yield Row(f"{name}: of these by no answer", played.unasked_ends, "tasks", at_most=0)
        yield Row(f"{name}: longest after a deadline", played.latest_s, "s")


@contextmanager
def silence() -> Iterator[None]:
    """Keep the poller's log away from the table."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def main() -> None:
    """Play and report."""
    with silence():
        found = [
            *rows("qhaigc, 1 a second", play("qhaigc", TASKS)),
            *rows("qhaigc, 3 a second", play("qhaigc", TASKS, requests_per_second=3)),
            *rows("qhaigc, with deadlines", play("qhaigc", TASKS, short=SHORT_TASKS), short=SHORT_TASKS),
            *rows("suno, 1 a second", play("suno", MANY_TASKS)),
        ]
    report("overload", f"{MINUTES} minutes of passes that are handed over every minute", found)


if __name__ == "__main__":
    main()
