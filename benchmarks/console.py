"""How fast the console's pages are over a full stack, and how many items of DynamoDB each reads.

usage: python -m benchmarks.console [TASKS [DELIVERIES]]        (10,000 and 100,000 by default, about 5 minutes)

The tables of a stack on an embedded AWS are filled by BatchWriteItem; each page is then asked for `TIMES` times.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from starlette.testclient import TestClient

from benchmarks.embedded import embedded_stack
from benchmarks.report import Row, report
from tunehook.aws.items import to_attributes
from tunehook.aws.tasks import listed_attributes
from tunehook.operations.stack import Stack
from tunehook_cli.console.app import create_app

SEED: Final = 20261129
AT_MOST_S: Final = 0.3
TIMES: Final = 5
PORT: Final = 4582
BASE: Final = f"http://127.0.0.1:{PORT}"
DAY_MS: Final = 24 * 3600 * 1000
DAYS: Final = 30
"""So long deliveries are kept."""

PROVIDERS: Final = ("musicmint", "qhaigc", "suno")
SUBSCRIPTIONS: Final = 20
PENDING: Final = 100
BATCH: Final = 25

PAGES: Final = {
    "overview": "/",
    "overview: the last tasks": "/overview/timings",
    "tasks": "/tasks",
    "tasks: failed": "/tasks?status=failed",
    "tasks: of a provider": "/tasks?provider=suno",
    "tasks: by the beginning of an id": "/tasks?id=task-0000",
    "tasks: by metadata that few have": "/tasks?metadata=order%3D7",
    "task": "/task?task_id=task-000100&provider={provider}",
    "deliveries": "/deliveries",
    "deliveries: failed": "/deliveries?status=failed",
    "deliveries: to a subscription": "/deliveries?subscription=sub-3",
    "deliveries: of two hours": "/deliveries?since=2h",
    "delivery": "/delivery?id=msg-000100",
    "subscriptions": "/subscriptions",
    "subscription": "/subscription?id=sub-3",
    "subscription: its health": "/subscription/health?id=sub-3",
    "providers": "/providers",
    "dead letters": "/dead-letters",
}


def main(task_count: int, delivery_count: int) -> None:
    """Fill a stack, ask for each page, and report."""
    with embedded_stack() as embedded:
        stack = embedded.operations()
        fill(stack, task_count, delivery_count)
        rows = measure(stack)
    title = f"{task_count:,} tasks and {delivery_count:,} deliveries: a page, the median of {TIMES}"
    report("console", title, rows)


def fill(stack: Stack, task_count: int, delivery_count: int) -> None:
    """Put tasks, deliveries and subscriptions into the tables of a stack."""
    began = time.monotonic()
    _fill(stack, "TasksTable", _tasks(task_count))
    _fill(stack, "DeliveriesTable", _deliveries(delivery_count, task_count))
    _fill(stack, "SubscriptionsTable", _subscriptions())
    print(f"filled in {time.monotonic() - began:.0f} s", file=sys.stderr)


def measure(stack: Stack) -> list[Row]:
    """Ask for each page, and return how long it took and what it read."""
    counted, counter = _counted(stack)
    client = TestClient(
        create_app(counted, token="t", port=PORT, read_only=False),
        base_url=BASE,
        cookies={f"tunehook_console_{PORT}": "t"},
    )
    rows: list[Row] = []
    with client:
        for name, path in PAGES.items():
            rows += _measure(client, name, path.format(provider=_provider(100)), counter)
    return rows


def _measure(client: TestClient, name: str, path: str, counter: Counter) -> Iterator[Row]:
    lengths, read = [], []
    for _ in range(TIMES):
        counter.items, began = 0, time.perf_counter()
        answer = client.get(path)
        lengths.append(time.perf_counter() - began)
        read.append(counter.items)
        answer.raise_for_status()
    print(f"{name}: {statistics.median(lengths):.3f} s, {max(read)} items", file=sys.stderr)
    yield Row(name, statistics.median(lengths), "s", at_most=AT_MOST_S)
    yield Row(f"{name}: read", max(read), "items")


class Counter:
    """How many items DynamoDB has read for the calls of a client."""

    def __init__(self) -> None:
        self.items = 0

    def note(self, parsed: dict[str, Any], **_: Any) -> None:
        """Add what an answer of DynamoDB says that it has read."""
        if "ScannedCount" in parsed:
            self.items += int(parsed["ScannedCount"])
        elif "Responses" in parsed:
            self.items += sum(len(each) for each in parsed["Responses"].values())
        elif "Item" in parsed:
            self.items += 1


def _counted(stack: Stack) -> tuple[Stack, Counter]:
    """Return the stack with clients whose reads are counted."""
    counter, opened = Counter(), stack.open_client

    def open_client(service: str, **settings: Any) -> Any:
        client = opened(service, **settings)
        if service == "dynamodb":
            client.meta.events.register("after-call.dynamodb", counter.note)
        return client

    return replace(stack, open_client=open_client), counter


def _fill(stack: Stack, table: str, items: Iterable[dict[str, Any]]) -> None:
    client, name, waiting = stack.client("dynamodb"), stack.output(table), iter(items)

    def put(batch: list[dict[str, Any]]) -> None:
        left = {name: [{"PutRequest": {"Item": to_attributes(item)}} for item in batch]}
        while left:
            left = client.batch_write_item(RequestItems=left).get("UnprocessedItems", {})

    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(put, iter(lambda: list(islice(waiting, BATCH)), [])):
            pass


def _provider(number: int) -> str:
    return PROVIDERS[number % len(PROVIDERS)]


def _tasks(count: int) -> Iterator[dict[str, Any]]:
    """Yield tasks of the last `DAYS` days; the newest have low numbers, and the first `PENDING` are pending."""
    chance, now_ms = random.Random(SEED), int(time.time() * 1000)
    for number in range(count):
        submitted_ms = now_ms - number * DAYS * DAY_MS // count - 60_000
        finished_ms = submitted_ms + chance.randint(30_000, 120_000)
        task_id, provider = f"task-{number:06}", _provider(number)
        item = {
            "task_id": task_id,
            "provider": provider,
            "submitted_at_ms": submitted_ms,
            "deadline_ms": submitted_ms + DAY_MS,
            **listed_attributes(task_id, submitted_ms),
            "metadata": {"order": str(number % 5_000), "customer": f"c-{number % 37}"},
        }
        if number < PENDING:
            yield item | {
                "status": "pending",
                "phase": "processing",
                "queue": "queue#parked-for-the-benchmark",
                "since_ms": submitted_ms,
            }
            continue
        clips = [_clip(task_id, each, chance) for each in range(2)]
        assets = [_asset(task_id, provider, clip, kind) for clip in clips for kind in ("audio", "cover")]
        status = "failed" if number % 50 == 0 else "completed"
        yield item | {
            "status": status,
            "event_id": f"evt-{number}",
            "finished_at_ms": finished_ms,
            "detected_at_ms": finished_ms + chance.randint(500, 5_000),
            "archived_at_ms": finished_ms + 9_000,
            "clips": clips,
            "assets": assets,
            "provider_object": json.dumps({"data": clips, "code": "success", "pad": "x" * 1_000}),
            **({"failure": {"code": "PROVIDER", "reason": "moderated"}} if status == "failed" else {}),
        }


def _clip(task_id: str, number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "clip_id": f"{task_id}-{number}",
        "title": f"Song {number} of {task_id}",
        "tags": ["pop", "dreamy", "female voice"],
        "prompt": "la la la, la la\n" * 40,
        "duration_s": chance.randint(100, 240),
        "model": "chirp",
        "audio_url": f"https://cdn.example/{task_id}-{number}.mp3",
    }


def _asset(task_id: str, provider: str, clip: dict[str, Any], kind: str) -> dict[str, Any]:
    name, content_type = ("audio.mp3", "audio/mpeg") if kind == "audio" else ("cover.jpg", "image/jpeg")
    return {
        "clip_id": clip["clip_id"],
        "type": kind,
        "status": "archived",
        "key": f"results/{provider}/{task_id}/{clip['clip_id']}/{name}",
        "content_type": content_type,
        "bytes": 3_000_000,
        "sha256": "0" * 64,
    }


def _deliveries(count: int, task_count: int) -> Iterator[dict[str, Any]]:
    """Yield deliveries of the last `DAYS` days, ten a task; the newest have low numbers."""
    now_ms = int(time.time() * 1000)
    payload = json.dumps({"type": "task.completed", "data": {"clips": ["x" * 100] * 8}})
    for number in range(count):
        task, created_ms = number * task_count // count, now_ms - number * DAYS * DAY_MS // count
        failed = number % 50 == 0
        attempt = {"run": 1, "attempt": 1, "at_ms": created_ms + 200, "duration_ms": 80}
        answer = {"status_code": 503, "excerpt": "busy"} if failed else {"status_code": 204}
        day = time.strftime("%Y-%m-%d", time.gmtime(created_ms / 1000))
        yield {
            "delivery_id": f"msg-{number:06}",
            "event_id": f"evt-{task}",
            "subscription_id": f"sub-{number % SUBSCRIPTIONS}",
            "task_id": f"task-{task:06}",
            "provider": _provider(task),
            "type": "task.completed",
            "event_at_ms": created_ms,
            "format": "standard",
            "payload": payload,
            "status": "failed" if failed else "delivered",
            "created_at_ms": created_ms,
            "created_on": day,
            "expires_at": created_ms // 1000 + 30 * 86_400,
            "run": 1,
            "next_attempt": 2,
            "attempts": [attempt | answer],
        }


def _subscriptions() -> Iterator[dict[str, Any]]:
    for number in range(SUBSCRIPTIONS):
        yield {"subscription_id": f"sub-{number}", "url": f"https://receiver-{number}.example/hook"}


if __name__ == "__main__":
    main(*(int(each) for each in (sys.argv[1:3] + ["10000", "100000"][len(sys.argv) - 1 :])))
