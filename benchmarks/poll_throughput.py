"""How many questions a second one process asks: the provider layer beside a bare client and beside the seed's loop.

A described kind is asked about the same answers as the coded one, by a recipe that reads the same of them.

Every round asks in each way in turn; rates are the medians of the rounds, ratios the medians of each round's own
ratio, so that a slow moment of the machine counts for both sides. Run it with ``python -m benchmarks.poll_throughput``;
it takes about a minute and needs nginx.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import requests

from benchmarks.gateway import gateway, task_ids
from benchmarks.memory import peak_memory_mb
from benchmarks.nginx import NginxMissingError
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

THREADS = 64
API_KEY = "sk-mm-0123456789abcdef"
_HEADERS = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/json"}
_PEAK_MEMORY = "--peak-memory"


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


def _rate(number: int, work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return number / (time.perf_counter() - started)


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


def measure(base_url: str) -> list[Row]:
    """Ask in each way, round by round."""
    ids = task_ids(TASKS)
    layer, described, bare, threads, many = [], [], [], [], []
    for _ in range(ROUNDS):
        layer.append(_rate(TASKS, _run(ask_with_layer(base_url, "musicmint", ids))))
        described.append(_rate(TASKS, _run(ask_with_layer(base_url, "described", ids))))
        bare.append(_rate(TASKS, _run(ask_bare(base_url, ids))))
        threads.append(_rate(LOOP_TASKS, lambda: ask_on_threads(base_url, ids[:LOOP_TASKS])))
        many.append(_rate(TASKS, _run(ask_with_layer(base_url, "suno", ids, batch=True))))
    return [
        Row("tunehook: one by one", statistics.median(layer), "questions/s"),
        Row("tunehook: one by one, a described kind", statistics.median(described), "questions/s"),
        Row("bare aiohttp, bodies only read", statistics.median(bare), "questions/s"),
        Row(f"requests loop, {THREADS} threads", statistics.median(threads), "questions/s"),
        Row("described kind / coded kind", _ratio(described, layer), "ratio", at_least=0.5),
        Row("tunehook / bare aiohttp", _ratio(layer, bare), "ratio", at_least=0.45),
        Row("tunehook / requests loop", _ratio(layer, threads), "ratio", at_least=4),
        Row("tunehook: query-many", statistics.median(many), "tasks/s", at_least=20_000),
        Row("tunehook: peak memory of a pass", _peak_memory_of_a_pass_mb(base_url), "MB", at_most=200),
    ]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def main() -> None:
    """Report how fast a pass is; with `--peak-memory <base URL>` make one and print its peak in MB."""
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
