"""From the end of a task at its provider to the first byte of its webhook at a receiver, on the embedded AWS.

usage: python -m benchmarks.end_to_end [TASKS]        (60 by default, about 3 minutes)

Tasks last 25 to 60 s and are put one a second; each ends with one mp3 of 49 or 65 kB and a cover.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from typing import Final

from benchmarks.embedded import embedded_stack
from benchmarks.report import Row, report
from tunehook_local.sandbox import Kind, Sandbox

SEED: Final = 20261120
LASTS_S: Final = (25.0, 60.0)
PATIENCE_S: Final = 90.0
RECEIVER: Final = "bench"


def main(count: int) -> None:
    """Measure `count` tasks and report."""
    chance = random.Random(SEED)
    with embedded_stack() as stack:
        stack.subscribe(RECEIVER)
        for number in range(count):
            stack.submit(Kind.MUSICMINT, f"bench-{number:04}", chance.uniform(*LASTS_S))
            time.sleep(1.0)
        deadline = time.monotonic() + PATIENCE_S
        while len(stack.sandbox.received(RECEIVER)) < count and time.monotonic() < deadline:
            time.sleep(0.5)
        delays_s = _delays_s(stack.sandbox)
    report(
        "end_to_end",
        f"{count} tasks, from the end at the provider to the first byte at the receiver",
        [
            Row("tasks told", len(delays_s), "tasks", at_least=count),
            Row("delay, p50", statistics.median(delays_s), "s", at_most=7.0),
            Row("delay, mean", statistics.mean(delays_s), "s"),
            Row("delay, p95", statistics.quantiles(delays_s, n=100, method="inclusive")[94], "s"),
            Row("delay, max", max(delays_s), "s"),
        ],
    )


def _delays_s(sandbox: Sandbox) -> list[float]:
    ended_at = {book.task_id: book.ended_at for book in sandbox.task_records()}
    delays_s: dict[str, float] = {}
    for request in sandbox.received(RECEIVER):
        task_id = json.loads(request.body)["data"]["task_id"]
        if (end := ended_at[task_id]) is not None:
            delays_s.setdefault(task_id, (request.received_at - end).total_seconds())
    return list(delays_s.values())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
