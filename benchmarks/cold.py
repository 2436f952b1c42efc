"""The first task after a pause, when no function has a worker: put to first question, end to webhook.

usage: python -m benchmarks.cold [ROUNDS]        (5 by default, about 3 minutes; Linux)

Before each round the workers of all functions of the embedded AWS are killed, so that intake and poller start by the
put. Each round has two tasks, one after the other. Each is asked about every 5 s: how long its end waits for the next
question is the cadence, whatever starts. After the end of the first one comes what the poller has warmed up. Shortly
before the end of the second one the workers of fulfillment and webhooks are killed again: the baseline, with their
starts in a row.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Final, NamedTuple

from tests.stack.faults.kills import is_busy, kill_workers, worker_pids

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.report import Row, report
from tunehook_local.sandbox import Kind

ROUNDS: Final = 5
LASTS_S: Final = 12.0
BEFORE_THE_END_S: Final = 2.0
PATIENCE_S: Final = 90.0
RECEIVER: Final = "cold"
AFTER_AN_END: Final = ("FulfillmentFunction", "WebhooksFunction")
FUNCTIONS: Final = ("IntakeFunction", "PollerFunction", *AFTER_AN_END)


class Took(NamedTuple):
    """How long the steps of a task took, in seconds."""

    put_to_question: float
    end_to_question: float
    end_to_webhook: float
    question_to_webhook: float


def main(rounds: int) -> None:
    """Measure and report."""
    warmed_up: list[Took] = []
    baseline: list[Took] = []
    with embedded_stack() as stack:
        stack.subscribe(RECEIVER)
        for number in range(rounds):
            _kill(stack, FUNCTIONS)
            warmed_up.append(_run(stack, f"warmed-up-{number}"))
            _wait_until_idle(stack)
            baseline.append(_run(stack, f"in-a-row-{number}", kills=True))
            _wait_until_idle(stack)
    end_s = statistics.median(each.end_to_webhook for each in warmed_up)
    report(
        "cold",
        f"{rounds} tasks put when no function has a worker, and as many whose end finds none",
        [
            Row("cold: put to first question, p50", _p50(warmed_up, "put_to_question"), "s"),
            Row("cold: end to webhook, p50", end_s, "s", at_most=4.0),
            Row("cold: of that, end to question, p50", _p50(warmed_up, "end_to_question"), "s"),
            Row("cold: end to webhook, max", max(each.end_to_webhook for each in warmed_up), "s"),
            Row("cold: answer to webhook, p50", _p50(warmed_up, "question_to_webhook"), "s"),
            Row("starts in a row: end to webhook, p50", _p50(baseline, "end_to_webhook"), "s"),
            Row("starts in a row: answer to webhook, p50", _p50(baseline, "question_to_webhook"), "s"),
        ],
    )


def _p50(took: list[Took], name: str) -> float:
    return float(statistics.median(getattr(each, name) for each in took))


def _run(stack: EmbeddedStack, task_id: str, *, kills: bool = False) -> Took:
    """Put a task, and return how long its steps took; kill before its end what is needed after it, if asked to."""
    put_s = time.time()
    stack.submit(Kind.SUNO, task_id, LASTS_S)
    if kills:
        time.sleep(max(0.0, put_s + LASTS_S - BEFORE_THE_END_S - time.time()))
        _kill(stack, AFTER_AN_END)
    deadline = time.monotonic() + PATIENCE_S
    while (received_s := _received_s(stack, task_id)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no webhook of {task_id}")
        time.sleep(0.05)
    (record,) = (each for each in stack.sandbox.task_records() if each.task_id == task_id)
    assert record.ended_at is not None
    asked_s = [at.timestamp() for at in record.polled_at]
    end_s = record.ended_at.timestamp()
    question_s = next(each for each in asked_s if each >= end_s)
    return Took(asked_s[0] - put_s, question_s - end_s, received_s - end_s, received_s - question_s)


def _received_s(stack: EmbeddedStack, task_id: str) -> float | None:
    return next(
        (
            request.received_at.timestamp()
            for request in stack.sandbox.received(RECEIVER)
            if json.loads(request.body)["data"]["task_id"] == task_id
        ),
        None,
    )


def _kill(stack: EmbeddedStack, functions: tuple[str, ...]) -> None:
    for name in functions:
        kill_workers(stack.home, stack.outputs[name])


def _wait_until_idle(stack: EmbeddedStack) -> None:
    """Wait until no worker is at work: the poller has given its lease up then, and its next start takes it."""
    deadline = time.monotonic() + PATIENCE_S
    idle = 0
    while idle < 5 and time.monotonic() < deadline:
        time.sleep(0.3)
        pids = [pid for name in FUNCTIONS for pid in worker_pids(stack.home, stack.outputs[name])]
        idle = 0 if any(map(is_busy, pids)) else idle + 1


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
