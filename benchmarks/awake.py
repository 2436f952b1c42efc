"""How soon an idle stack wakes: from PutItem to the first question, and from the end of a short task to its detection.

usage: python -m benchmarks.awake [TRIES]        (30 by default, about 7 minutes)

Each try puts one task at a random moment after the stack has fallen idle. One in five lasts 35 s: it is over before
the minute's schedule would come by.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.report import Row, report
from tunehook_local.sandbox import Kind, TaskRecord

SEED: Final = 20261120
IDLE_S: Final = (4.0, 9.0)
SHORT_TASK_S: Final = 35.0
PATIENCE_S: Final = 75.0


def main(tries: int) -> None:
    """Measure and report."""
    chance = random.Random(SEED)
    first_s: list[float] = []
    detected_s: list[float] = []
    with embedded_stack() as stack:
        for number in range(tries):
            time.sleep(chance.uniform(*IDLE_S))
            first_s.append(_seconds_to_first_question(stack, f"first-{number}"))
            if number % 5 == 0:
                time.sleep(chance.uniform(*IDLE_S))
                detected_s.append(_seconds_to_detection(stack, f"short-{number}"))
    report(
        "awake",
        f"an idle stack, {tries} tries",
        [
            Row("first question, p50", statistics.median(first_s), "s"),
            Row(
                "first question, p95",
                statistics.quantiles(first_s, n=100, method="inclusive")[94],
                "s",
                at_most=3.0,
            ),
            Row("first question, max", max(first_s), "s"),
            Row("a task of 35 s, end to detection, p50", statistics.median(detected_s), "s"),
            Row("a task of 35 s, end to detection, max", max(detected_s), "s", at_most=6.0),
        ],
    )


def _seconds_to_first_question(stack: EmbeddedStack, task_id: str) -> float:
    put_at = datetime.now(UTC)
    stack.submit(Kind.MUSICMINT, task_id, lasts_s=0)
    book = _wait_for(stack, task_id, lambda book: bool(book.polled_at))
    return (book.polled_at[0] - put_at).total_seconds()


def _seconds_to_detection(stack: EmbeddedStack, task_id: str) -> float:
    stack.submit(Kind.MUSICMINT, task_id, SHORT_TASK_S)

    def is_detected(book: TaskRecord) -> bool:
        return book.ended_at is not None and bool(book.polled_at) and book.polled_at[-1] >= book.ended_at

    book = _wait_for(stack, task_id, is_detected)
    assert book.ended_at is not None
    return next((at - book.ended_at).total_seconds() for at in book.polled_at if at >= book.ended_at)


def _wait_for(stack: EmbeddedStack, task_id: str, is_there: Callable[[TaskRecord], bool]) -> TaskRecord:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        for book in stack.sandbox.task_records():
            if book.task_id == task_id and is_there(book):
                return book
        time.sleep(0.05)
    raise TimeoutError(f"{task_id} was not asked in {PATIENCE_S} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
