"""Whether many pending tasks in several shards are all asked within the minute, and what memory that takes.

usage: python -m benchmarks.wide [SHARDS]        (8 by default, about 4 minutes)

100,000 tasks are spread over 8 shards as intake does it. Their pollers, which on AWS run at the same time, run here
one after another, each in a process of its own over its own shard's tasks; SHARDS is how many of them. The tasks have
come evenly over the last two minutes, so most are due again every 5 s while others still wait for their first question.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Sequence
from typing import Final

import aiohttp

from benchmarks.lone_poller import PendingItem, Surroundings, lone_poller, surroundings
from benchmarks.moody_provider import Mood, ProviderProcess, moody_provider
from benchmarks.report import Row, report
from tunehook.ids import shard_of
from tunehook.times import now_ms

TASKS: Final = 100_000
SHARDS: Final = 8
ANSWER_S: Final = 0.2
MAX_CONCURRENCY: Final = 128
OLDEST_MS: Final = 120_000
SEED: Final = 20261120
PATIENCE_S: Final = 95.0


def split(ids: Sequence[str], shards: int = SHARDS) -> list[list[str]]:
    """Return the tasks of each shard, as intake spreads them."""
    parts: list[list[str]] = [[] for _ in range(shards)]
    for task_id in ids:
        parts[shard_of(task_id, shards)].append(task_id)
    return parts


def unevenness(parts: Sequence[Sequence[str]]) -> float:
    """Return how many times the mean the largest part is."""
    return max(map(len, parts)) * len(parts) / sum(map(len, parts))


def ideal_s(tasks: int) -> float:
    """Return how long one question about each of `tasks` takes if no connection is ever idle, in seconds."""
    return tasks / MAX_CONCURRENCY * ANSWER_S


def first_round(
    around: Surroundings, provider: ProviderProcess, shard: int, ids: Sequence[str]
) -> tuple[float, float]:
    """Have a poller watch one shard until each of its tasks was asked.

    Returns
    -------
    tuple of float and float
        Seconds from the invocation's start until the last task's first question; its process's peak memory in MB.

    Raises
    ------
    RuntimeError
        If that takes longer than an invocation may.
    """
    chance = random.Random(SEED + shard)
    around.begin_anew({"gw": provider.config(Mood.WELL, delay_s=ANSWER_S, max_concurrency=MAX_CONCURRENCY)})
    provider.forget()
    with lone_poller(around, shard=shard, shard_count=SHARDS) as poller:
        filled_ms = now_ms()
        around.add(PendingItem(each, "gw", filled_ms - chance.randrange(OLDEST_MS), shard) for each in ids)
        started_ms = poller.start()
        give_up_at = time.monotonic() + PATIENCE_S
        while (counts := provider.counts()).tasks < len(ids):
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"only {counts.tasks} of {len(ids)} tasks were asked in {PATIENCE_S} s")
            time.sleep(0.5)
        memory_mb = poller.stop()
    return (counts.latest_ms - started_ms) / 1000, memory_mb


async def ask_bare(base_url: str, ids: Sequence[str]) -> float:
    """Ask about each task once with aiohttp alone; return how many seconds that takes."""
    waiting = iter(ids)

    async def work(session: aiohttp.ClientSession) -> None:
        for task_id in waiting:
            async with session.post(f"{base_url}/api/v1/task/{task_id}", data=b"{}") as response:
                await response.read()
                response.raise_for_status()

    started = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=MAX_CONCURRENCY)) as session:
        await asyncio.gather(*(work(session) for _ in range(MAX_CONCURRENCY)))
    return time.perf_counter() - started


def main(shards: int) -> None:
    """Measure `shards` of the shards and report the worst."""
    parts = split([f"{number:06}-64f3a1b2c8d9" for number in range(TASKS)])
    seconds, memory_mb = [], []
    with moody_provider() as provider, surroundings() as around:
        for shard, ids in enumerate(parts[:shards]):
            shard_s, shard_mb = first_round(around, provider, shard, ids)
            seconds.append(shard_s)
            memory_mb.append(shard_mb)
            print(f"shard {shard}: {len(ids):,} tasks, {shard_s:.1f} s, {shard_mb:.0f} MB", flush=True)
        largest = max(parts[:shards], key=len)
        bare_s = asyncio.run(ask_bare(provider.base_url(Mood.WELL, ANSWER_S), largest))
    report(
        "wide",
        f"{TASKS:,} pending tasks in {SHARDS} shards, {shards} of them measured; answers in {ANSWER_S:g} s, "
        f"{MAX_CONCURRENCY} at a time",
        [
            Row("largest shard / mean", unevenness(parts), "ratio", at_most=1.05),
            Row("first round, slowest shard", max(seconds), "s", at_most=55),
            Row("first round, fastest shard", min(seconds), "s"),
            Row("bare aiohttp, largest shard", bare_s, "s"),
            Row("no connection ever idle, largest shard", ideal_s(len(largest)), "s"),
            Row("peak memory, largest process", max(memory_mb), "MB", at_most=400),
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SHARDS)
