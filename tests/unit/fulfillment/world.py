"""A fulfillment over moto whose downloads a function answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
from tests.support.aws import BUCKET, BUS, client, create_table, items, put, received, watched_bus
from tests.support.media import HTML, JPEG, MP3
from tests.support.tasks import NOW_MS, completed, pending

from fulfillment.archiver import Archiver
from fulfillment.fan_out import DeliveryFanOut
from fulfillment.fulfill import Fulfillment
from fulfillment.metrics import Metrics
from fulfillment.notices import Notices
from fulfillment.recipients import Recipients
from fulfillment.results import Results
from tunehook.aws.bus import EventBus
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.events import TaskEnded, task_ended
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import EndedTask, Failure, FailureCode, Status, TaskEnd

HOOK = "https://own.example.com/"
FAILED = TaskEnd(
    status=Status.FAILED,
    detected_at_ms=NOW_MS + 5,
    submitted_at_ms=NOW_MS,
    failure=Failure(FailureCode.TIMED_OUT, "not ended within 3600 s"),
)
MANIFEST = "results/suno/task-1/manifest.json"
MAX_ASSET_BYTES = 512 * 1024 * 1024

Handler = Callable[[httpx.Request], httpx.Response]


class World:
    """A fulfillment over moto.

    ``downloads`` are the links that were asked; the paths in ``refused`` answer with a page of HTML, those in
    ``gone`` with 410, those in ``large`` with a file of more than 8 MiB.
    """

    def __init__(self, http: Callable[[Handler], httpx.AsyncClient]) -> None:
        for table in ("TasksTable", "SubscriptionsTable", "SecretVersionsTable", "DeliveriesTable"):
            create_table(table)
        self.now_ms = NOW_MS + 90_000
        self.clock: Callable[[], int] = lambda: self.now_ms
        self.patience_s = 60
        self.queue = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
        self.downloads: list[str] = []
        self.refused: set[str] = set()
        self.gone: set[str] = set()
        self.large: set[str] = set()
        self.emitted = watched_bus()
        self.http = http(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.downloads.append(str(request.url))
        name = request.url.path
        if name in self.gone:
            return httpx.Response(410)
        content = HTML if name in self.refused else JPEG if name.endswith("jpeg") else MP3
        if name in self.large:
            content = MP3.ljust(8 * 1024 * 1024 + 9, b"\x00")
        return httpx.Response(200, stream=httpx.ByteStream(content))

    def end(self, end: TaskEnd | None = None, now_ms: int = NOW_MS, **fields: Any) -> TaskEnded:
        """End a run of the task as the poller does; return its event."""
        end = end or completed()
        item = {"task_id": "task-1", "provider": "suno", "status": "pending", "metadata": {"order": 7}}
        put("TasksTable", item | {"queue": "work#0", "since_ms": now_ms} | fields)
        table = TasksTable(client("dynamodb"), "TasksTable")
        ended = table.end(pending(since_ms=now_ms), end)
        assert isinstance(ended, EndedTask)
        table.mark_event_sent(ended)
        return task_ended(ended)

    async def fulfill(self, event: Any, *, clients: dict[str, Any] | None = None, **options: Any) -> None:
        async def no_wait(_: float) -> None:
            return

        def use(service: str) -> Any:
            return (clients or {}).get(service) or client(service)

        clock = self.clock
        results = Results(use("s3"), BUCKET)
        await Fulfillment(
            metrics=Metrics(),
            archiver=Archiver(
                results,
                (clients or {}).get("http") or self.http,
                max_asset_bytes=MAX_ASSET_BYTES,
                sleep=no_wait,
                clock=clock,
            ),
            results=results,
            tasks=TasksTable(use("dynamodb"), "TasksTable"),
            bus=EventBus(use("events"), BUS),
            fan_out=DeliveryFanOut(
                Recipients(
                    SubscriptionsTable(use("dynamodb"), "SubscriptionsTable"),
                    NetworkPolicy.PUBLIC,
                    versions=SecretVersionsTable(use("dynamodb"), "SecretVersionsTable"),
                ).of,
                DeliveriesTable(use("dynamodb"), "DeliveriesTable"),
                DeliveriesQueue(use("sqs"), self.queue),
                Notices(results),
                clock,
            ),
            patience_s=self.patience_s,
            clock=clock,
        ).fulfill(event, **options)

    def archived(self) -> list[dict[str, Any]]:
        return [event["detail"] for event in self.emitted() if event["detail-type"] == "TaskArchived"]

    def item(self) -> dict[str, Any]:
        (item,) = items("TasksTable")
        return item

    def deliveries(self, kind: str | None = None) -> dict[str, dict[str, Any]]:
        """The deliveries by subscription; of one type, or of a task's end."""
        return {
            item["subscription_id"]: item
            for item in items("DeliveriesTable")
            if item["type"] == kind or (kind is None and item["type"] != "task.archived")
        }

    def told(self, kind: str | None = None) -> dict[str, str]:
        """What each delivery says of the archive, by subscription."""
        return {
            name: json.loads(each["payload"]).get("archive", "")
            for name, each in self.deliveries(kind).items()
        }

    def messages(self) -> list[dict[str, Any]]:
        return received(self.queue)


def subscribe(*subscription_ids: str, **fields: Any) -> None:
    for subscription_id in subscription_ids:
        put(
            "SubscriptionsTable",
            {"subscription_id": subscription_id, "url": "https://hook.example.com/", **fields},
        )


def keys() -> list[str]:
    return [each["Key"] for each in client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def unfinished_uploads() -> list[Any]:
    return list(client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


def manifest() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(client("s3").get_object(Bucket=BUCKET, Key=MANIFEST)["Body"].read())
    return content
