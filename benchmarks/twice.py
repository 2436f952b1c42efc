"""How many ends are on the bus more than once: tasks put at once, on a quiet machine and beside busy processes.

usage: python -m benchmarks.twice [TASKS]        (200 by default, about four minutes)

At least once is what is promised; once is what should be usual. The busy processes take the machine from the embedded
AWS and from the functions, so that looks, updates and events overtake one another.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.embedded import EmbeddedStack, embedded_stack
from benchmarks.report import Row, report
from tunehook_local.sandbox import Kind

BUSY: Final = 4
SHORTEST_S: Final = 20.0
SPREAD_S: Final = 10.0
"""The tasks end within so many seconds."""

PATIENCE_S: Final = 240.0
AFTERWARDS_S: Final = 20.0
"""How long second events are waited for: an event that is left over is emitted after 10 s."""

TWICE_UNDER_LOAD: Final = 0.01


class Bus:
    """A rule of its own on the stack's bus, and a queue behind it."""

    def __init__(self, stack: EmbeddedStack) -> None:
        outputs = stack.environment.outputs()
        self._sqs: Any = stack.environment.client("sqs")
        events: Any = stack.environment.client("events")
        bus = outputs["EventBusName"]
        self._queue = self._sqs.create_queue(QueueName="twice")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])
        pattern = json.dumps({"detail-type": ["TaskCompleted", "TaskFailed"]})
        events.put_rule(Name="twice", EventBusName=bus, EventPattern=pattern)
        target = {"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}
        events.put_targets(Rule="twice", EventBusName=bus, Targets=[target])
        # The queue may give a message twice: the bus names each event that it takes.
        self._seen: dict[str, str] = {}

    def times(self) -> Counter[str]:
        """Return how often each event of ours has been put on the bus so far."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._queue, MaxNumberOfMessages=10, WaitTimeSeconds=0
        ).get("Messages"):
            for message in messages:
                event = json.loads(message["Body"])
                self._seen[event["id"]] = event["detail"]["event_id"]
                self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return Counter(self._seen.values())


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processes busy."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=_spin, daemon=True) for _ in range(processes)]
    for process in started:
        process.start()
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        sum(range(10_000))


def twice(stack: EmbeddedStack, bus: Bus, name: str, tasks: int) -> tuple[int, int]:
    """Put tasks at once; return how many of them ended, and how many ends were on the bus more than once."""
    before = set(bus.times())
    for number in range(tasks):
        stack.submit(Kind.MUSICMINT, f"{name}-{number:03}", SHORTEST_S + SPREAD_S * number / tasks)
    deadline = time.monotonic() + PATIENCE_S
    while len(bus.times().keys() - before) < tasks and time.monotonic() < deadline:
        time.sleep(1)
    time.sleep(AFTERWARDS_S)
    times = {event_id: count for event_id, count in bus.times().items() if event_id not in before}
    return len(times), sum(count > 1 for count in times.values())


def main(tasks: int) -> None:
    """Measure and report."""
    with embedded_stack() as stack:
        bus = Bus(stack)
        quiet_ends, quiet_twice = twice(stack, bus, "quiet", tasks)
        with busy(BUSY):
            busy_ends, busy_twice = twice(stack, bus, "busy", tasks)
    report(
        "twice",
        f"{tasks} tasks put at once on the embedded AWS",
        [
            Row("quiet: ends on the bus", quiet_ends, "ends", at_least=tasks),
            Row("quiet: more than once", quiet_twice, "ends", at_most=0),
            Row(f"beside {BUSY} busy processes: ends on the bus", busy_ends, "ends", at_least=tasks),
            Row(
                f"beside {BUSY} busy processes: more than once",
                busy_twice / max(1, busy_ends),
                "ratio",
                at_most=TWICE_UNDER_LOAD,
            ),
        ],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
