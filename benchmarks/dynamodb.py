"""How much processor time a call of DynamoDB takes: by boto3, by the light client, and from the event loop.

DynamoDB is a server of this script, a process of its own that answers at once; what is measured is this process, all
of its threads counted. The writes are a task's end (the poller's), and a delivery's creation (fulfillment's), ten at
once in threads as the functions make them, and a delivery's claim (the webhooks'). The ways take turns, and the medians
count.

Run it with ``python -m benchmarks.dynamodb [ROUNDS]``; it takes half a minute.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import boto3
from boto3.dynamodb.conditions import Attr

from benchmarks.report import Row, report
from tunehook.aws.clients import CONNECTIONS, client, close_in_loop
from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.items import to_attributes
from tunehook.aws.table import Table
from tunehook.deliveries import Delivery, message_for, new_delivery
from tunehook.executors import UnawaitedThreads
from tunehook.tasks import Format

ROUNDS: Final = 11
CALLS: Final = 200
BATCH: Final = 10
_OBJECT: Final = {
    "clips": [{"id": f"clip-{number}", "prompt": "la " * 300, "score": 0.5} for number in range(2)]
}
_ENVIRONMENT: Final = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
}


def delivery() -> Delivery:
    """Return a delivery whose first attempt is due."""
    return new_delivery(
        event_id="evt_1",
        subscription_id="sub",
        task_id="task",
        provider="my-gateway",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload=json.dumps(_OBJECT),
        now_ms=1,
    )


class _DynamoDB(BaseHTTPRequestHandler):
    """Answers every update with a delivery."""

    protocol_version = "HTTP/1.1"
    body = json.dumps(
        {"Attributes": to_attributes(delivery().model_dump(mode="json", exclude_none=True))}
    ).encode()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: request\r\n"
        self.wfile.write(f"{head}content-length: {len(self.body)}\r\n\r\n".encode() + self.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        pass


def serve() -> None:
    """Serve until the process is ended; print the port first."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _DynamoDB)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def dynamodb() -> Iterator[None]:
    """Run the server, and lead boto3 there."""
    command = [sys.executable, "-c", "from benchmarks.dynamodb import serve; serve()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        os.environ |= _ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(server.stdout.readline())}"}
        try:
            yield
        finally:
            server.terminate()


def end(table: Table) -> None:
    """Write what a poller writes at a task's end, near enough."""
    table.update(
        {"task_id": "task", "provider": "my-gateway"},
        set={"status": "completed", "event_id": "evt_1", "detected_at_ms": 1, "result": _OBJECT},
        remove=["last_error", "next_poll_ms"],
        condition=Attr("status").eq("pending") & Attr("submitted_at_ms").eq(1),
    )


def ways(light: Any, heavy: Any) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return each call in each way."""
    message = message_for(delivery())

    def threaded(call: Callable[[], object]) -> Callable[[], Awaitable[object]]:
        return lambda: asyncio.to_thread(call)

    found: dict[str, Callable[[], Awaitable[object]]] = {}
    for who, asked in (("boto3", heavy), ("light", light)):
        tasks, deliveries = Table(asked, "tasks"), DeliveriesTable(asked, "deliveries")
        found[f"a task's end: {who}"] = threaded(lambda tasks=tasks: end(tasks))  # type: ignore[misc]
        found[f"a delivery's creation: {who}"] = threaded(
            lambda deliveries=deliveries: deliveries.create(delivery())  # type: ignore[misc]
        )
        found[f"a delivery's claim: {who}"] = lambda deliveries=deliveries: deliveries.claim_in_loop(
            message, 1
        )  # type: ignore[misc]
    return found


async def measure(rounds: int) -> dict[str, float]:
    """Return the median of each way's milliseconds of processor time a call."""
    asyncio.get_running_loop().set_default_executor(UnawaitedThreads(CONNECTIONS))
    light, heavy = client("dynamodb"), client("dynamodb", session=boto3.Session())
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, call in ways(light, heavy).items():
            began = time.process_time()
            for _ in range(CALLS // BATCH):
                await asyncio.gather(*(call() for _ in range(BATCH)))
            if number:  # the first round connects
                taken.setdefault(name, []).append((time.process_time() - began) / CALLS * 1000)
    await close_in_loop(light)
    return {name: statistics.median(each) for name, each in taken.items()}


def main(rounds: int = ROUNDS) -> None:
    """Measure and report."""
    with dynamodb():
        medians = asyncio.run(measure(rounds))
    rows = [Row(name, medians[name], "ms") for name in sorted(medians)]
    for what in sorted({name.partition(":")[0] for name in medians}):
        ratio = medians[f"{what}: light"] / medians[f"{what}: boto3"]
        rows.append(Row(f"{what}, light / boto3", ratio, "ratio", at_most=0.5))
    report("dynamodb", f"Processor time of a call of DynamoDB, ten at once, median of {rounds} rounds", rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
