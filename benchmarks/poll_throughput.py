"""How many questions a second one process asks: the provider layer beside a bare client and beside the seed's loop.

A described kind is asked about the same answers as the coded one, by a recipe that reads the same of them.

Every round asks in each way in turn; rates are the medians of the rounds, ratios the medians of each round's own
ratio, so that a slow moment of the machine counts for both sides. Processor time is that of this process alone, all of
its threads counted. A function of 512 MB has `SHARE` of a processor: both are held to that too, in processes of their
own, where control groups can be made; elsewhere it is computed from processor time. Run it with ``python -m
benchmarks.poll_throughput``; it takes about two minutes and needs nginx.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import aiohttp
import requests

from benchmarks.gateway import gateway, task_ids
from benchmarks.held import CannotHoldError, holding
from benchmarks.nginx import NginxMissingError
from benchmarks.process import peak_memory_mb
from benchmarks.report import Row, report
from poller.registry import CONNECTIONS_MAX
from tunehook.http.transport import HttpTransport
from tunehook.providers.client import Provider
from tunehook.providers.config import ProviderConfig
from tunehook.providers.outcomes import Pending

TASKS = 10_000
LOOP_TASKS = 2_000
"""Fewer for the loop on threads, which is slow: it is the rate that is compared."""

ROUNDS = 5
CONCURRENCY = 32
"""A provider's `max_concurrency` where nothing else is configured; more makes neither client faster."""

RECIPE = {
    "ask": {"method": "POST", "path": "/api/v1/task/{task_id}", "body": {}},
    "task": {
        "object": "data",
        "status": "status",
        "reason": ["error.message", "error", "fail_reason"],
        "submitted_at": "created_at",
    },
    "words": {
        "queued": ["queuing"],
        "processing": ["processing"],
        "succeeded": ["completed"],
        "failed": ["failed", "failure"],
    },
    "clips": {"each": "results", "id": "id", "title": "title", "audio_url": "audio_url"},
    "answers": {"code": "code", "not_found": {"codes": [4004, 4005]}, "refused": {"codes": [1003, 1004]}},
}
"""The kind musicmint, as a recipe."""

SHARE = 0.29
"""Of a processor, what a function of 512 MB has (1,769 MB are a whole one)."""

HELD_ROUNDS = 3

THREADS = 64
API_KEY = "sk-mm-0123456789abcdef"
_HEADERS = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
_PEAK_MEMORY = "--peak-memory"
_HELD = "--held"


async def ask_with_layer(base_url: str, kind: str, ids: Sequence[str], *, batch: bool = False) -> None:
    """Ask about each task as the poller does, and insist on an outcome for each."""
    config = ProviderConfig.model_validate(
        {
            "name": "gateway",
            "kind": kind,
            "recipe": RECIPE if kind == "described" else None,
            "base_url": base_url,
            "api_key": API_KEY,
            "max_concurrency": CONCURRENCY,
            "batch": batch,
        }
    )
    async with HttpTransport(max_connections=CONNECTIONS_MAX) as http:
        answered = 0
        async for _, outcome in Provider(config, http).poll_many(ids):
            answered += isinstance(outcome, Pending)
    _insist(answered, ids)


async def ask_bare(base_url: str, ids: Sequence[str]) -> None:
    """Ask about each task with aiohttp alone, and read the bodies without a look at them."""
    waiting = iter(ids)
    answered = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        for task_id in waiting:
            async with session.post(
                f"{base_url}/api/v1/task/{task_id}", data=b"{}", headers=_HEADERS
            ) as response:
                answered += bool(await response.read()) and response.status == 200

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session:
        await asyncio.gather(*(work(session) for _ in range(CONCURRENCY)))
    _insist(answered, ids)


def ask_on_threads(base_url: str, ids: Sequence[str]) -> None:
    """Ask about each task as the provider's example does, on `THREADS` threads."""

    def ask(task_id: str) -> bool:
        url = f"{base_url}/api/v1/task/{task_id}"
        answer = requests.post(url, json={}, headers=_HEADERS, timeout=10).json()
        return bool(answer["data"]["status"] == "processing")

    with ThreadPoolExecutor(THREADS) as threads:
        _insist(sum(threads.map(ask, ids)), ids)


def _insist(answered: int, ids: Sequence[str]) -> None:
    if answered != len(ids):
        raise RuntimeError(f"only {answered} of {len(ids)} questions were answered")


class Rate(NamedTuple):
    """Questions a second: by the clock, and of processor time."""

    real: float
    processor: float


def _rate(number: int, work: Callable[[], None]) -> Rate:
    began = time.perf_counter(), time.process_time()
    work()
    return Rate(number / (time.perf_counter() - began[0]), number / (time.process_time() - began[1]))


def _run(work: Coroutine[Any, Any, None]) -> Callable[[], None]:
    return lambda: asyncio.run(work)


def _peak_memory_of_a_pass_mb(base_url: str) -> float:
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.poll_throughput", _PEAK_MEMORY, base_url],
        check=True,
        stdout=subprocess.PIPE,
        timeout=120,
    )
    return float(child.stdout)


def _held_rate(way: str, base_url: str) -> float:
    """Return how many questions a second a process asks that is held to `SHARE` of a processor."""
    with (
        holding(SHARE) as hold,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.poll_throughput", _HELD, way, base_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child,
    ):
        hold(child.pid)
        took, _ = child.communicate("go\n", timeout=300)
        return TASKS / float(took)


def _ask_held(way: str, base_url: str) -> None:
    """Ask once this process is held, which a line says, and print how many seconds that took."""
    ids = task_ids(TASKS)
    sys.stdin.readline()
    began = time.perf_counter()
    asyncio.run(ask_bare(base_url, ids) if way == "bare" else ask_with_layer(base_url, "musicmint", ids))
    print(time.perf_counter() - began)


def _held_rows(base_url: str, a_second: float) -> list[Row]:
    """Ask held; where nothing can be held, return what follows from the questions of a second of processor time."""
    what = f"{TASKS:,} tasks at {SHARE:g} of a processor"
    try:
        rounds = [(_held_rate("layer", base_url), _held_rate("bare", base_url)) for _ in range(HELD_ROUNDS)]
    except CannotHoldError as error:
        print(f"nothing is held: {error}", file=sys.stderr)
        return [Row(f"{what}, computed", TASKS / a_second / SHARE, "s", at_most=60)]
    ours, theirs = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratio = statistics.median(our / their for our, their in rounds)
    return [
        Row(f"held to {SHARE:g} of a processor: tunehook", ours, "questions/s"),
        Row(f"held to {SHARE:g} of a processor: bare aiohttp", theirs, "questions/s"),
        Row(f"held to {SHARE:g} of a processor: tunehook / bare aiohttp", ratio, "ratio", at_least=0.85),
        Row(what, TASKS / ours, "s", at_most=60),
    ]


def measure(base_url: str) -> list[Row]:
    """Ask in each way, round by round."""
    ids = task_ids(TASKS)
    layer, described, bare, threads, many = _Taken(), _Taken(), _Taken(), _Taken(), _Taken()
    for _ in range(ROUNDS):
        layer.append(_rate(TASKS, _run(ask_with_layer(base_url, "musicmint", ids))))
        described.append(_rate(TASKS, _run(ask_with_layer(base_url, "described", ids))))
        bare.append(_rate(TASKS, _run(ask_bare(base_url, ids))))
        threads.append(_rate(LOOP_TASKS, lambda: ask_on_threads(base_url, ids[:LOOP_TASKS])))
        many.append(_rate(TASKS, _run(ask_with_layer(base_url, "suno", ids, batch=True))))
    a_second = layer.processor
    return [
        Row("tunehook: one by one", layer.real, "questions/s"),
        Row("tunehook: one by one, a described kind", described.real, "questions/s"),
        Row("bare aiohttp, bodies only read", bare.real, "questions/s"),
        Row(f"requests loop, {THREADS} threads", threads.real, "questions/s"),
        Row("described kind / coded kind", described.over(layer).real, "ratio", at_least=0.5),
        Row("tunehook / bare aiohttp", layer.over(bare).real, "ratio", at_least=0.85),
        Row("tunehook / requests loop", layer.over(threads).real, "ratio", at_least=4),
        Row("tunehook: query-many", many.real, "tasks/s", at_least=20_000),
        Row("a second of processor time: tunehook", a_second, "questions/s"),
        Row("a second of processor time: bare aiohttp", bare.processor, "questions/s"),
        Row(
            "a second of processor time: tunehook / bare aiohttp",
            layer.over(bare).processor,
            "ratio",
            at_least=0.85,
        ),
        *_held_rows(base_url, a_second),
        Row("tunehook: peak memory of a pass", _peak_memory_of_a_pass_mb(base_url), "MB", at_most=200),
    ]


class _Taken(list[Rate]):
    """The rates of the rounds of one way."""

    @property
    def real(self) -> float:
        return statistics.median(each.real for each in self)

    @property
    def processor(self) -> float:
        return statistics.median(each.processor for each in self)

    def over(self, other: _Taken) -> Rate:
        """Return the medians of each round's own ratio to that of another way."""
        ratios = [
            (our.real / their.real, our.processor / their.processor)
            for our, their in zip(self, other, strict=True)
        ]
        return Rate(*(statistics.median(each) for each in zip(*ratios, strict=True)))


def main() -> None:
    """Report how fast a pass is; with an option make one, and print its peak in MB or how long it took."""
    if sys.argv[1:2] == [_HELD]:
        _ask_held(*sys.argv[2:])
        return
    if sys.argv[1:2] == [_PEAK_MEMORY]:
        asyncio.run(ask_with_layer(sys.argv[2], "musicmint", task_ids(TASKS)))
        print(peak_memory_mb())
        return
    try:
        with gateway(TASKS) as base_url:
            rows = measure(base_url)
    except NginxMissingError as error:
        sys.exit(str(error))
    title = (
        f"{TASKS:,} pending tasks, {CONCURRENCY} connections, nginx on loopback, median of {ROUNDS} rounds"
    )
    report("poll_throughput", title, rows)


if __name__ == "__main__":
    main()
