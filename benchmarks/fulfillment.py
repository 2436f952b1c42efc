"""What fulfilling a typical task takes by the function's memory: its time, and what 1,000 tasks cost with it.

usage: python -m benchmarks.fulfillment        (about three minutes; needs nginx, and the right to make control groups)

The handler of the function runs in a process of its own, warm, held to the share of a processor that Lambda gives a
function of that memory. AWS is the embedded one, the files' host nginx, which sends each file with `HOST_BYTES_A_S`.
A typical task has two clips, with a file and a cover each, `TASK_BYTES` in all, and one recipient. Invocations are
measured with one task and with ten. GB-seconds and dollars are computed from that, for 100,000 tasks a day as
`benchmarks.aws_calls` has counted them; not measured are Lambda's network and its processor, and TLS.
"""

from __future__ import annotations

import copy
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from tests.support.aws import Context
from tests.support.events import queue_event
from tests.support.media import JPEG, MP3
from tests.support.tasks import clip, completed, pending
from tests.support.template import resolved, resources, table_definition

from benchmarks.aws_cost import (
    FULFILLMENT_RESULTS,
    VOLUME,
    Metrics,
    fulfillment_row,
    read_figures,
    read_prices,
    usage_of_function,
)
from benchmarks.held import WHOLE_MB, CannotHoldError, holding
from benchmarks.nginx import NginxMissingError, nginx
from benchmarks.report import Row, report
from tunehook.aws.items import to_attributes
from tunehook.aws.tasks import TasksTable
from tunehook.events import task_ended
from tunehook.metrics import Observability
from tunehook.tasks import EndedTask, TaskKey
from tunehook.times import now_ms
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home, LocalEnvironment

MEMORIES_MB: Final = (512, 768, 1024, WHOLE_MB)
MANY: Final = 10
ONES: Final = 15
TENS: Final = 5
WARM_UP: Final = 2

HOST_BYTES_A_S: Final = 5 * 1024 * 1024
"""What the files' host sends a second on each connection."""

AUDIO_BYTES: Final = 4_500_000
COVER_BYTES: Final = 300_000
TASK_BYTES: Final = 2 * (AUDIO_BYTES + COVER_BYTES)

BEFORE_MB: Final = 1_024
BEFORE_S: Final = 3.0
"""What was assumed of every invocation before it was measured."""

TABLES: Final = ("TasksTable", "SubscriptionsTable", "SecretVersionsTable", "DeliveriesTable")

_HTTP: Final = """
    sendfile on;
    server {{ listen 127.0.0.1:{port}; root {folder}; limit_rate {rate}; }}
"""


@contextmanager
def file_host() -> Iterator[str]:
    """Serve a song and a cover at the host's rate; yield its base URL, or raise `NginxMissingError`."""

    def prepare(folder: Path, port: int) -> str:
        for name, start, size in (("song.mp3", MP3, AUDIO_BYTES), ("cover.jpeg", JPEG, COVER_BYTES)):
            (folder / name).write_bytes(start.ljust(size, b"\x00"))
        return _HTTP.format(port=port, folder=folder, rate=HOST_BYTES_A_S)

    with nginx(prepare) as base_url:
        yield base_url


class Stack:
    """What fulfillment needs of AWS, on an embedded one, and the ended tasks that it is given."""

    def __init__(self, aws: LocalEnvironment, host: str) -> None:
        self._aws = aws
        self._host = host
        dynamodb, sqs = aws.client("dynamodb"), aws.client("sqs")
        for table in TABLES:
            dynamodb.create_table(TableName=table, **_without_extras(table_definition(table)))
        self._put("SubscriptionsTable", subscription_id="sub", url="https://receiver.example/")
        aws.client("s3").create_bucket(Bucket="results")
        aws.client("events").create_event_bus(Name="bus")
        hidden = {"VisibilityTimeout": "1440"}
        queues = {
            name: sqs.create_queue(QueueName=name, Attributes=hidden)["QueueUrl"]
            for name in ("DeliveriesQueue", "FulfillmentQueue", "FulfillmentDeadLetters")
        }
        # The function's process, which is this module too, has no use for all of the functions and moto.
        from benchmarks.aws_life import variables

        places = queues | {"ResultsBucket": "results", "EventBus": "bus"}
        self.variables = aws.variables() | variables(places, Observability.LEAN)
        self.variables["POWERTOOLS_SERVICE_NAME"] = "fulfillment"
        self._tasks = TasksTable(dynamodb, "TasksTable")

    def event(self, tasks: int) -> dict[str, Any]:
        """Return Lambda's event about so many tasks that have just ended."""
        sqs, queue = self._aws.client("sqs"), self.variables["FULFILLMENT_QUEUE"]
        records: list[dict[str, Any]] = []
        for _ in range(tasks):
            sqs.send_message(QueueUrl=queue, MessageBody=self._ended())
            (taken,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
            (record,) = queue_event(taken["Body"])["Records"]
            records.append(
                record | {"messageId": taken["MessageId"], "receiptHandle": taken["ReceiptHandle"]}
            )
        return {"Records": records}

    def delete(self, event: dict[str, Any]) -> None:
        """Delete the messages of an event, as Lambda does once they are handled."""
        for record in event["Records"]:
            self._aws.client("sqs").delete_message(
                QueueUrl=self.variables["FULFILLMENT_QUEUE"], ReceiptHandle=record["receiptHandle"]
            )

    def archived(self) -> int:
        """Return how many tasks are archived."""
        found = self._aws.client("dynamodb").scan(TableName="TasksTable")["Items"]
        return sum("archived_at_ms" in each for each in found)

    def _ended(self) -> str:
        key = TaskKey(uuid.uuid4().hex, "bench")
        at_ms = now_ms()
        item = {"task_id": key.task_id, "provider": key.provider, "status": "pending"}
        self._put("TasksTable", **item, queue="work#0", since_ms=at_ms)
        clips = tuple(
            clip(f"clip-{n}", audio_url=f"{self._host}/song.mp3", cover_url=f"{self._host}/cover.jpeg")
            for n in range(2)
        )
        end = replace(
            completed(clips=clips), detected_at_ms=at_ms, submitted_at_ms=at_ms, finished_at_ms=at_ms
        )
        done = self._tasks.end(pending(key, since_ms=at_ms, submitted_at_ms=at_ms), end)
        assert isinstance(done, EndedTask)
        self._tasks.mark_event_sent(done)
        event = task_ended(done)
        return json.dumps({"detail-type": type(event).__name__, "detail": event.model_dump(mode="json")})

    def _put(self, table: str, **attributes: Any) -> None:
        self._aws.client("dynamodb").put_item(TableName=table, Item=to_attributes(attributes))


def _without_extras(definition: dict[str, Any]) -> dict[str, Any]:
    names = ("KeySchema", "AttributeDefinitions", "GlobalSecondaryIndexes", "BillingMode")
    return {name: copy.deepcopy(definition[name]) for name in names if name in definition}


@contextmanager
def opened(host: str) -> Iterator[Stack]:
    """Run an embedded AWS with a stack."""
    memory = Path("/dev/shm")  # what is measured is not this machine's disk
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tunehook-bench-", dir=place) as folder:
        home = Home(Path(folder))
        aws = ministack.start(home, ministack.free_port())
        try:
            yield Stack(aws, host)
        finally:
            ministack.stop(home, aws)


class Function:
    """The function's process, one for each memory."""

    def __init__(self, stack: Stack, memory_mb: int) -> None:
        self._stack = stack
        self._handled = stack.archived()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fulfillment", "handle"],
            env=os.environ | stack.variables | {"MEMORY_MB": str(memory_mb)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def handle(self, tasks: int) -> dict[str, float]:
        """Have it handle an event with so many tasks; raise `RuntimeError` if they are not archived afterwards."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        event = self._stack.event(tasks)
        self.process.stdin.write(json.dumps(event) + "\n")
        self.process.stdin.flush()
        took: dict[str, float] = json.loads(self.process.stdout.readline())
        self._stack.delete(event)
        self._handled += tasks
        if (archived := self._stack.archived()) != self._handled:
            raise RuntimeError(f"{archived} of {self._handled} tasks were archived")
        return took

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def measure(memory_mb: int, host: str) -> list[Row]:
    """Measure the function with this memory."""
    with opened(host) as stack, holding(memory_mb / WHOLE_MB) as hold:
        function = Function(stack, memory_mb)
        try:
            hold(function.process.pid)
            for _ in range(WARM_UP):
                function.handle(1)
            ones = [function.handle(1) for _ in range(ONES)]
            tens = [function.handle(MANY) for _ in range(TENS)]
        finally:
            function.close()
    rows = []
    for tasks, took in ((1, ones), (MANY, tens)):
        for what in ("time", "processor time"):
            value = statistics.median(each[what] for each in took)
            rows.append(Row(fulfillment_row(memory_mb, tasks, what), value, "s"))
    return rows


def costs(rows: list[Row]) -> Iterator[Row]:
    """Return what follows from the times: GB-seconds a task, and dollars for 1,000 tasks of 100,000 a day."""
    counted, prices = read_figures(), read_prices()

    def dollars(memory_mb: int, measured: Metrics) -> float:
        figures = {**counted, **measured} | {"template: fulfillment: memory": memory_mb}
        return prices.cost(usage_of_function(figures, prices, VOLUME, "fulfillment"))

    times = {row.name: row.value for row in rows}
    for memory_mb in MEMORIES_MB:
        one_s = times[fulfillment_row(memory_mb, 1)]
        yield Row(f"{memory_mb} MB: a task by itself, computed", memory_mb / 1024 * one_s, "GB-s")
        yield Row(f"{memory_mb} MB: 1,000 tasks, computed", dollars(memory_mb, times), "dollars")
    assumed = {fulfillment_row(BEFORE_MB, tasks): BEFORE_S for tasks in (1, MANY)}
    # A list of the bucket for each task instead of a question for its manifest.
    before = (
        dollars(BEFORE_MB, assumed) + prices.cost({"s3_puts": 1_000.0}) - prices.cost({"s3_gets": 1_000.0})
    )
    chosen_mb = int(resolved(resources("AWS::Serverless::Function")["FulfillmentFunction"]["MemorySize"]))
    yield Row(f"1,000 tasks with {BEFORE_MB} MB and {BEFORE_S:g} s assumed", before, "dollars")
    yield Row(
        "1,000 tasks, as the template has it, to that",
        dollars(chosen_mb, times) / before,
        "ratio",
        at_most=0.6,
    )


def handle() -> None:
    """Handle events, one a line, and print what each took; the function's process."""
    from fulfillment import app

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the function logs
    for line in sys.stdin:
        event = json.loads(line)
        began = time.perf_counter(), time.process_time()
        failed = app.handler(event, Context())["batchItemFailures"]
        took = {
            "time": time.perf_counter() - began[0],
            "processor time": time.process_time() - began[1],
        }
        if failed:
            raise RuntimeError(f"not fulfilled: {failed}")
        print(json.dumps(took), file=answers, flush=True)
    app._worker().close()


def main() -> None:
    """Measure and report; with ``handle``, be the function."""
    if sys.argv[1:] == ["handle"]:
        handle()
        return
    try:
        with file_host() as host:
            rows = [row for memory_mb in MEMORIES_MB for row in measure(memory_mb, host)]
    except (NginxMissingError, CannotHoldError) as error:
        sys.exit(str(error))
    title = (
        f"Fulfillment of a task of {TASK_BYTES / 1e6:g} MB, warm, held to its memory's share of a processor"
    )
    report(FULFILLMENT_RESULTS.stem, title, [*rows, *costs(rows)])


if __name__ == "__main__":
    main()
