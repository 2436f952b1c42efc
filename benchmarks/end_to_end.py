"""From the end of a task at its provider to the first byte of its webhook at a receiver, on the embedded AWS.

usage: python -m benchmarks.end_to_end [TASKS]        (60 by default, about 4 minutes)

Tasks last 25 to 60 s and are put one a second; each ends with one mp3 of 49 or 65 kB and a cover. How long an end waits
for its question is the provider's cadence. What comes after that is measured by itself, once more with five times as
many tasks, put ten a second, whose first answer shows their end. New tasks are found once a second, so about ten of
these are asked for at once; how many, and how long the embedded AWS's one process computes for each, is printed beside.
So is how many processes of the functions were started meanwhile: who waits for one that starts waits for seconds.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.process import children, processor_time_s
from benchmarks.report import Row, report
from tunehook_local.sandbox import Kind

SEED: Final = 20261120
LASTS_S: Final = (25.0, 60.0)
PATIENCE_S: Final = 90.0
RECEIVER: Final = "bench"
A_SECOND: Final = 10
ONCE: Final = "bench"
WARMING: Final = "warm"
AT_ONCE: Final = "quick"
WARM_UP: Final = 5 * A_SECOND
"""So many tasks begin as many processes of the functions as the rate needs, and are not counted."""

APART: Final = timedelta(seconds=0.1)


def main(count: int) -> None:
    """Measure `count` tasks, and five times as many, and report."""
    chance = random.Random(SEED)
    many = 5 * count
    with embedded_stack() as stack:
        stack.subscribe(RECEIVER)
        for number in range(count):
            stack.submit(Kind.MUSICMINT, f"{ONCE}-{number:04}", chance.uniform(*LASTS_S))
            time.sleep(1.0)
        stack.wait_for_webhooks(RECEIVER, count, PATIENCE_S)
        _submit_at_rate(stack, WARMING, WARM_UP)
        stack.wait_for_webhooks(RECEIVER, count + WARM_UP, PATIENCE_S)
        before, computed_s = children(stack.environment.pid), processor_time_s(stack.environment.pid)
        _submit_at_rate(stack, AT_ONCE, many)
        stack.wait_for_webhooks(RECEIVER, count + WARM_UP + many, PATIENCE_S)
        computed_s = processor_time_s(stack.environment.pid) - computed_s
        started = children(stack.environment.pid) - before
        steps = stack.steps(RECEIVER)
    single = [each for task_id, each in steps.items() if task_id.startswith(ONCE)]
    quick = [each for task_id, each in steps.items() if task_id.startswith(AT_ONCE)]
    delays_s = [each.end_to_webhook_s for each in single]
    afterwards_s = [each.answer_to_webhook_s for each in single]
    quick_s = [each.answer_to_webhook_s for each in quick]
    at_once = found_at_once([each.answered_at for each in quick])
    report(
        "end_to_end",
        f"{count} tasks, one a second, and {many}, {A_SECOND} a second, to the first byte at the receiver",
        [
            Row("tasks told", len(single), "tasks", at_least=count),
            Row("delay, p50", statistics.median(delays_s), "s", at_most=7.0),
            Row("delay, mean", statistics.mean(delays_s), "s"),
            Row("delay, p95", p95(delays_s), "s"),
            Row("delay, max", max(delays_s), "s"),
            Row("answer to webhook, p50", statistics.median(afterwards_s), "s"),
            Row("answer to webhook, p95", p95(afterwards_s), "s"),
            Row(f"{A_SECOND} a second: tasks told", len(quick), "tasks", at_least=many),
            Row(
                f"{A_SECOND} a second: answer to webhook, p50", statistics.median(quick_s), "s", at_most=0.25
            ),
            Row(f"{A_SECOND} a second: answer to webhook, p95", p95(quick_s), "s", at_most=0.6),
            Row(f"{A_SECOND} a second: ends found at once, p50", statistics.median(at_once), "tasks"),
            Row(
                f"{A_SECOND} a second: processor time of the embedded AWS, a task",
                computed_s / many * 1000,
                "ms",
            ),
            Row(f"{A_SECOND} a second: processes that were started meanwhile", len(started), "processes"),
        ],
    )


def _submit_at_rate(stack: EmbeddedStack, name: str, count: int) -> None:
    began_s = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began_s + number / A_SECOND - time.monotonic()))
        stack.submit(Kind.MUSICMINT, f"{name}-{number:04}", 0)


def found_at_once(moments: Iterable[datetime]) -> list[int]:
    """Return for each moment how many there are in its burst, in which each is less than `APART` after another."""
    bursts: list[list[datetime]] = []
    for each in sorted(moments):
        if bursts and each - bursts[-1][-1] < APART:
            bursts[-1].append(each)
        else:
            bursts.append([each])
    return [len(burst) for burst in bursts for _ in burst]


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=100, method="inclusive")[94]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
