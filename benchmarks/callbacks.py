"""What callbacks save: from the end of a task at its provider to its detection and to its webhook, and the questions.

usage: python -m benchmarks.callbacks [TASKS]        (60 by default, about 5 minutes)

Tasks last 30 to 120 s (docs/provider-contracts.md, "Figures") and are put one a second, each twice on the embedded AWS:
at a provider that calls back, and at another of the same kind that does not. The kind is one that is asked every 5 s,
about one task at a time, so that each question is a request. Before them the first provider ends a few tasks that are
not counted, as each provider does once: until three have ended by a callback, it is asked every 5 s like any other.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

import httpx

from benchmarks.embedded import EmbeddedStack, embedded_stack, first_question_after
from benchmarks.report import Row, report
from tunehook.operations.callbacks import callback_url
from tunehook_local.sandbox import Kind, TaskRecord

SEED: Final = 20261129
LASTS_S: Final = (30.0, 120.0)
PATIENCE_S: Final = 180.0
KIND: Final = Kind.QHAIGC
CALLING: Final = "calls"
SILENT: Final = "silent"
FIRST: Final = 5
FIRST_LAST_S: Final = 12.0
WARM_UP_S: Final = 60.0
RECEIVER: Final = "bench"


def main(count: int) -> None:
    """Measure `count` tasks of each provider and report."""
    chance = random.Random(SEED)
    lasts_s = [chance.uniform(*LASTS_S) for _ in range(count)]
    with embedded_stack() as stack:
        entry = stack.sandbox.providers_secret()[KIND.value]
        stack.configure({CALLING: entry, SILENT: entry})
        url = callback_url(stack.operations(), CALLING)
        stack.subscribe(RECEIVER)
        _warm_up(stack, url)
        for number, each_s in enumerate(lasts_s):
            stack.submit(KIND, f"{CALLING}-{number:04}", each_s, provider=CALLING, callback_url=url)
            stack.submit(KIND, f"{SILENT}-{number:04}", each_s, provider=SILENT)
            time.sleep(1.0)
        calling, silent = (_detected(stack, provider, count) for provider in (CALLING, SILENT))
        stack.wait_for_webhooks(RECEIVER, FIRST + 2 * count, PATIENCE_S)
        steps = [each for key, each in stack.steps(RECEIVER).items() if key.startswith(f"{CALLING}-")]
        refused = sum(each.status != 200 for each in stack.sandbox.sent_callbacks())
    told_s = [each.end_to_webhook_s for each in steps]
    delays_s, questions = _delays_s(calling), _questions(calling)
    report(
        "callbacks",
        f"{count} tasks of 30 to 120 s at a provider known to call back, and as many at one that does not",
        [
            Row("tasks detected, with callbacks", len(calling), "tasks", at_least=count),
            Row("callbacks that were not answered 200", refused, "callbacks", at_most=0),
            Row("with callbacks: delay, p50", statistics.median(delays_s), "s"),
            Row("with callbacks: delay, p95", _p95(delays_s), "s", at_most=1.0),
            Row("with callbacks: delay, max", max(delays_s), "s"),
            Row("with callbacks: tasks told", len(told_s), "tasks", at_least=count),
            Row("with callbacks: end to webhook, p50", statistics.median(told_s), "s", at_most=1.0),
            Row("with callbacks: end to webhook, p95", _p95(told_s), "s", at_most=2.0),
            Row(
                "with callbacks: answer to webhook, p50",
                statistics.median(each.answer_to_webhook_s for each in steps),
                "s",
            ),
            Row("with callbacks: questions", questions, "questions/task"),
            Row("polling alone: delay, p50", statistics.median(_delays_s(silent)), "s"),
            Row("polling alone: delay, p95", _p95(_delays_s(silent)), "s"),
            Row("polling alone: questions", _questions(silent), "questions/task"),
            Row(
                "questions with callbacks / polling alone",
                questions / _questions(silent),
                "ratio",
                at_most=1 / 3,
            ),
        ],
    )


def _warm_up(stack: EmbeddedStack, url: str) -> None:
    """Have the function started that takes callbacks, and the provider known as one that calls back."""
    httpx.post(url, json={}, timeout=WARM_UP_S).raise_for_status()
    for number in range(FIRST):
        stack.submit(KIND, f"first-{number}", FIRST_LAST_S, provider=CALLING, callback_url=url)
    _detected(stack, "first", FIRST)
    deadline = time.monotonic() + WARM_UP_S
    states = stack.operations().provider_states
    while not states.get(CALLING).callbacks_come and time.monotonic() < deadline:
        time.sleep(0.5)


def _detected(stack: EmbeddedStack, provider: str, count: int) -> list[TaskRecord]:
    """Wait until the ends of all tasks of a provider are detected, and return those that are."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        records = [each for each in stack.sandbox.task_records() if each.task_id.startswith(f"{provider}-")]
        found = [each for each in records if _delay_s(each) is not None]
        if len(found) >= count or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _delay_s(record: TaskRecord) -> float | None:
    """Return how long after its end a task was first asked about, None if it has not ended or was not."""
    end = record.ended_at
    if end is None:
        return None
    answered_at = first_question_after(end, record)
    return None if answered_at is None else (answered_at - end).total_seconds()


def _delays_s(records: Sequence[TaskRecord]) -> list[float]:
    return [delay_s for each in records if (delay_s := _delay_s(each)) is not None]


def _questions(records: Sequence[TaskRecord]) -> float:
    return statistics.fmean(len(each.polled_at) for each in records)


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[94]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
