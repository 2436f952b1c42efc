"""How much processor time a call of AWS takes: by boto3, by the light clients, and from the event loop.

AWS is a server of this script, a process of its own that answers at once; what is measured is this process, all of its
threads counted. The writes are a delivery's creation (fulfillment's) and its claim (the webhooks'); and all that is
written for a task: by the poller at its end (the update, the event, the update that takes it out of the index), and by
fulfillment afterwards (the item that is read, the event, the files on the item, one delivery and its message; S3, which
boto3 writes to, is left out), for ten tasks at once. The ways take turns, and the medians count.

Run it with ``python -m benchmarks.dynamodb [ROUNDS]``; it takes half a minute.
"""

from __future__ import annotations

import asyncio
import json
import logging
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

from benchmarks.report import Row, report
from fulfillment.archived_event import record_assets
from poller.outbox import Outbox
from tunehook.aws.bus import EventBus
from tunehook.aws.clients import CONNECTIONS, client, close_in_loop
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.items import to_attributes
from tunehook.aws.tasks import TasksTable
from tunehook.clips import Clip
from tunehook.deliveries import Delivery, message_for, new_delivery
from tunehook.events import ArchivedAsset, ManifestLocation, TaskArchived
from tunehook.executors import UnawaitedThreads
from tunehook.tasks import Format, Status, TaskEnd, TaskKey, WorkItem
from tunehook.times import from_ms

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


_CLIPS: Final = tuple(
    Clip(
        clip_id=f"clip-{number}",
        title="a title",
        tags=("pop",),
        prompt="la " * 200,
        duration_s=180.5,
        model="v5",
        created_at=from_ms(1),
        expires_at=None,
        audio_url=f"https://files.example/{number}.mp3",
        audio_source_url=None,
        cover_url=f"https://files.example/{number}.jpeg",
        cover_source_url=None,
        large_cover_url=None,
        video_url=None,
        stream_url=None,
        stream_source_url=None,
    )
    for number in range(2)
)
_END: Final = TaskEnd(
    status=Status.COMPLETED,
    detected_at_ms=2,
    submitted_at_ms=1,
    finished_at_ms=2,
    clips=_CLIPS,
    provider_object=json.dumps(_OBJECT),
)
_ARCHIVED: Final = TaskArchived(
    event_id="evt_2",
    task_event_id="evt_1",
    task_id="task",
    provider="my-gateway",
    archived_at=from_ms(2),
    archive="complete",
    manifest=ManifestLocation(bucket="results", key="manifest.json"),
    assets=tuple(
        ArchivedAsset(
            clip_id=clip.clip_id,
            type=kind,
            status="archived",
            key=f"results/my-gateway/task/{clip.clip_id}",
            content_type="audio/mpeg",
            bytes=4_800_000,
            sha256="0" * 64,
        )
        for clip in _CLIPS
        for kind in ("audio", "cover")
    ),
)
_TASK: Final = to_attributes(
    {
        "task_id": "task",
        "provider": "my-gateway",
        "status": "completed",
        "event_id": "evt_1",
        "detected_at_ms": 2,
        "submitted_at_ms": 1,
        "metadata": {"order": "17"},
        "provider_object": json.dumps(_OBJECT),
    }
)


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


class _Aws(BaseHTTPRequestHandler):
    """Answers reads with a task, updates with a delivery or a task, and takes whatever events and messages come.

    The subscription is one to the receiver's URL, and of receivers nothing is known.
    """

    protocol_version = "HTTP/1.1"
    receiver = ""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        entries = request.get("Entries", ())
        match self.headers["x-amz-target"].rpartition(".")[2]:
            case "GetItem" if request["TableName"] == "subscriptions":
                item = {"subscription_id": "sub", "url": self.receiver}
                answer: Any = {"Item": to_attributes(item)}
            case "GetItem":
                answer = {"Item": _TASK} if request["TableName"] == "tasks" else {}
            case "PutEvents":
                answer = {"FailedEntryCount": 0, "Entries": [{"EventId": "id"} for _ in entries]}
            case "SendMessageBatch":
                answer = {"Successful": [{"Id": each["Id"], "MessageId": "id"} for each in entries]}
            case _ if "ReturnValues" in request:
                answer = {"Attributes": _ITEMS.get(request["TableName"], {})}
            case _:
                answer = {}
        body = json.dumps(answer).encode()
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: request\r\n"
        self.wfile.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        pass


_ITEMS: Final = {
    "tasks": _TASK,
    "deliveries": to_attributes(delivery().model_dump(mode="json", exclude_none=True)),
}


def serve(receiver: str) -> None:
    """Serve until the process is ended; print the port first."""
    _Aws.receiver = receiver
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Aws)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def quick_aws(receiver: str = "") -> Iterator[str]:
    """Run the server, and yield its URL; `receiver` is the URL of the one subscription."""
    command = [sys.executable, "-c", f"from benchmarks.dynamodb import serve; serve({receiver!r})"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


class Poller:
    """Ends tasks as the poller does."""

    def __init__(self, dynamodb: Any, events: Any) -> None:
        self._outbox = Outbox(TasksTable(dynamodb, "tasks"), EventBus(events, "bus"))
        self._ended = 0

    async def end(self) -> None:
        """End a task, emit its event, and take it out of the index."""
        self._ended += 1
        task = WorkItem(
            key=TaskKey(f"task-{self._ended}", "my-gateway"),
            queue="work#0",
            since_ms=1,
            deadline_ms=2,
            submitted_at_ms=1,
        )
        await self._outbox.end(task, _END)


class Fulfillment:
    """Writes what follows a task's end, but for its files and its manifest, as `fulfillment.fulfill` does."""

    def __init__(self, dynamodb: Any, events: Any, sqs: Any) -> None:
        self._tasks = TasksTable(dynamodb, "tasks")
        self._deliveries = DeliveriesTable(dynamodb, "deliveries")
        self._queue = DeliveriesQueue(sqs, "https://queue")
        self._bus = EventBus(events, "bus")

    async def write(self) -> None:
        """Read a task, emit that it is archived and record that, create a delivery and send its message."""
        key = TaskKey("task", "my-gateway")
        await asyncio.to_thread(self._tasks.get, key)
        await self._bus.put_in_loop([_ARCHIVED])
        await record_assets(self._tasks, key, "evt_1", _ARCHIVED.assets, 1)
        made = delivery()
        await self._deliveries.create_in_loop(made, has_payload=False)
        await self._queue.send_batch([message_for(made)], 1)


def ways(who: str, session: boto3.Session | None) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return each call by the clients of a session, or by the process's own."""
    dynamodb, events, sqs = (client(each, session=session) for each in ("dynamodb", "events", "sqs"))
    deliveries, message = DeliveriesTable(dynamodb, "deliveries"), message_for(delivery())
    return {
        f"a delivery's creation: {who}": lambda: deliveries.create_in_loop(delivery(), has_payload=False),
        f"a delivery's claim: {who}": lambda: deliveries.claim_in_loop(message, 1),
        f"the poller's writes of a task's end: {who}": Poller(dynamodb, events).end,
        f"fulfillment's writes of a task: {who}": Fulfillment(dynamodb, events, sqs).write,
        f"closing: {who}": lambda: asyncio.gather(*map(close_in_loop, (dynamodb, events, sqs))),
    }


async def measure(rounds: int) -> dict[str, float]:
    """Return the median of each way's milliseconds of processor time a call, or a task."""
    asyncio.get_running_loop().set_default_executor(UnawaitedThreads(CONNECTIONS))
    logging.disable(logging.INFO)
    asked = ways("boto3", boto3.Session()) | ways("light", None)
    closing = [asked.pop(f"closing: {who}") for who in ("boto3", "light")]
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, call in asked.items():
            began = time.process_time()
            for _ in range(CALLS // BATCH):
                await asyncio.gather(*(call() for _ in range(BATCH)))
            if number:  # the first round connects
                taken.setdefault(name, []).append((time.process_time() - began) / CALLS * 1000)
    for close in closing:
        await close()
    return {name: statistics.median(each) for name, each in taken.items()}


def main(rounds: int = ROUNDS) -> None:
    """Measure and report."""
    with quick_aws() as url:
        os.environ |= _ENVIRONMENT | {"AWS_ENDPOINT_URL": url}
        medians = asyncio.run(measure(rounds))
    rows = [Row(name, medians[name], "ms") for name in sorted(medians)]
    for what in sorted({name.partition(":")[0] for name in medians}):
        ratio = medians[f"{what}: light"] / medians[f"{what}: boto3"]
        rows.append(Row(f"{what}, light / boto3", ratio, "ratio", at_most=0.5))
    report("dynamodb", f"Processor time of calls of AWS, ten at once, median of {rounds} rounds", rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
