import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.support.aws import (
    BUCKET,
    BUS,
    Faulty,
    client,
    create_table,
    fault,
    items,
    put,
    received,
    watched_bus,
)
from tests.support.media import HTML, JPEG, MP3
from tests.support.tasks import KEY, NOW_MS, completed, pending

from fulfillment.archive import Archive
from fulfillment.fulfil import Fulfillment
from fulfillment.receivers import Receivers
from fulfillment.transfer import Transfer
from tunehook.aws.bus import EventBus
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.errors import Unavailable
from tunehook.events import TaskCompleted, TaskFailed, task_ended
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


class World:
    """A fulfillment over moto whose downloads a function answers."""

    def __init__(self, http: Any) -> None:
        for table in ("TasksTable", "SubscriptionsTable", "DeliveriesTable"):
            create_table(table)
        self.now_ms = NOW_MS + 90_000
        self.queue = client("sqs").create_queue(QueueName="deliveries")["QueueUrl"]
        self.downloads: list[str] = []
        self.refused: set[str] = set()
        self._emitted = watched_bus()
        self._http = http(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.downloads.append(str(request.url))
        name = request.url.path
        content = HTML if name in self.refused else JPEG if name.endswith("jpeg") else MP3
        return httpx.Response(200, stream=httpx.ByteStream(content))

    def end(
        self, end: TaskEnd | None = None, now_ms: int = NOW_MS, **fields: Any
    ) -> TaskCompleted | TaskFailed:
        """End a run of the task as the poller does; return its event."""
        item = {"task_id": "task-1", "provider": "suno", "status": "pending", "metadata": {"order": 7}}
        put("TasksTable", item | {"queue": "pending#0", "since_ms": now_ms} | fields)
        table = TasksTable(client("dynamodb"), "TasksTable")
        ended = table.end(pending(since_ms=now_ms), end or completed(), 0)
        assert isinstance(ended, EndedTask)
        table.leave_index(ended)
        return task_ended(ended)

    async def fulfil(self, event: Any, **clients: Any) -> None:
        async def no_wait(_: float) -> None:
            return

        dynamodb = clients.get("dynamodb", client("dynamodb"))
        s3 = clients.get("s3", client("s3"))
        await Fulfillment(
            archive=Archive(Transfer(s3, BUCKET, self._http), no_wait),
            s3=s3,
            bucket=BUCKET,
            tasks=TasksTable(dynamodb, "TasksTable"),
            bus=EventBus(clients.get("events", client("events")), BUS),
            receivers=Receivers(SubscriptionsTable(dynamodb, "SubscriptionsTable"), NetworkPolicy.PUBLIC),
            deliveries=DeliveriesTable(dynamodb, "DeliveriesTable"),
            queue=DeliveriesQueue(clients.get("sqs", client("sqs")), self.queue),
            clock=lambda: self.now_ms,
        ).fulfil(event)

    def archived(self) -> list[dict[str, Any]]:
        return [event["detail"] for event in self._emitted() if event["detail-type"] == "TaskArchived"]

    def item(self) -> dict[str, Any]:
        (item,) = items("TasksTable")
        return item

    def deliveries(self) -> dict[str, dict[str, Any]]:
        return {item["subscription_id"]: item for item in items("DeliveriesTable")}

    def messages(self) -> list[dict[str, Any]]:
        return received(self.queue)


@pytest.fixture
def world(bucket: str, http: Callable[..., Any]) -> World:
    return World(http)


def subscribe(*subscription_ids: str, **fields: Any) -> None:
    for subscription_id in subscription_ids:
        put(
            "SubscriptionsTable",
            {"subscription_id": subscription_id, "url": "https://hook.example.com/", **fields},
        )


def keys() -> list[str]:
    return [each["Key"] for each in client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def manifest() -> dict[str, Any]:
    return json.loads(client("s3").get_object(Bucket=BUCKET, Key=MANIFEST)["Body"].read())


async def test_every_file_of_a_completed_task_is_kept_with_a_manifest(world: World) -> None:
    await world.fulfil(world.end())
    assert keys() == [
        "results/suno/task-1/clip-1/audio.mp3",
        "results/suno/task-1/clip-1/cover.jpg",
        "results/suno/task-1/clip-2/audio.mp3",
        "results/suno/task-1/clip-2/cover.jpg",
        MANIFEST,
    ]
    assert len(manifest()["assets"]) == 4
    assert manifest()["provider_object"] == {"task_id": "task-1", "status": "SUCCESS"}


async def test_the_item_says_what_is_kept_and_since_when(world: World) -> None:
    await world.fulfil(world.end())
    assert [asset["status"] for asset in world.item()["assets"]] == ["archived"] * 4
    assert world.item()["archived_at_ms"] == world.now_ms


async def test_taskarchived_tells_where_everything_is(world: World) -> None:
    event = world.end()
    await world.fulfil(event)
    (archived,) = world.archived()
    assert (archived["archive"], len(archived["assets"])) == ("complete", 4)
    assert archived["task_event_id"] == event.event_id
    assert archived["manifest"] == {"bucket": BUCKET, "key": MANIFEST}
    assert archived["archived_at"] == "2027-01-15T08:01:30.000Z"


async def test_a_file_that_cannot_be_had_makes_the_archive_partial(world: World) -> None:
    world.refused = {"/clip-2.mp3"}
    await world.fulfil(world.end())
    (archived,) = world.archived()
    assert archived["archive"] == "partial"
    assert [asset["status"] for asset in archived["assets"]].count("unavailable") == 1
    assert "results/suno/task-1/clip-2/audio.mp3" not in keys()


async def test_a_task_without_clips_has_an_empty_archive_and_a_manifest(world: World) -> None:
    await world.fulfil(world.end(FAILED))
    (archived,) = world.archived()
    assert (archived["archive"], keys()) == ("empty", [MANIFEST])


async def test_the_clip_of_a_failed_task_is_kept(world: World) -> None:
    await world.fulfil(world.end(completed(status=Status.FAILED, failure=FAILED.failure)))
    assert "results/suno/task-1/clip-1/audio.mp3" in keys()


async def test_each_receiver_gets_one_delivery_and_one_message(world: World) -> None:
    subscribe("one", "two")
    subscribe("other", providers=["musicmint"])
    await world.fulfil(world.end(notify_hook=HOOK))
    deliveries = world.deliveries()
    hook = next(each for each in deliveries if each.startswith("hook_"))
    assert set(deliveries) == {"one", "two", hook}
    assert (deliveries[hook]["url"], "url" in deliveries["one"]) == (HOOK, False)
    messages = world.messages()
    assert {message["delivery_id"] for message in messages} == {
        delivery["delivery_id"] for delivery in deliveries.values()
    }
    assert {(message["attempt"], message["run"], message["due_at_ms"]) for message in messages} == {
        (1, 1, world.now_ms)
    }


@pytest.mark.parametrize(("end", "kind"), [(completed(), "task.completed"), (FAILED, "task.failed")])
async def test_a_delivery_tells_what_happened_and_when(world: World, end: TaskEnd, kind: str) -> None:
    subscribe("sub")
    await world.fulfil(world.end(end))
    delivery = world.deliveries()["sub"]
    assert (delivery["type"], delivery["event_at_ms"]) == (kind, end.detected_at_ms)
    assert (delivery["task_id"], delivery["provider"]) == ("task-1", "suno")


async def test_each_delivery_has_the_payload_of_its_format(world: World) -> None:
    subscribe("standard")
    subscribe("provider", format="provider")
    await world.fulfil(world.end())
    payloads = {name: json.loads(each["payload"]) for name, each in world.deliveries().items()}
    assert payloads["provider"] == {"task_id": "task-1", "status": "SUCCESS"}
    (audio, _) = payloads["standard"]["clips"][0]["assets"]
    assert audio["key"] == "results/suno/task-1/clip-1/audio.mp3"


async def test_to_do_it_twice_changes_nothing(world: World) -> None:
    subscribe("sub")
    event = world.end(notify_hook=HOOK)
    await world.fulfil(event)
    before = (world.item(), world.deliveries(), manifest(), len(world.downloads))
    world.archived()
    world.now_ms += 60_000
    await world.fulfil(event)
    assert (world.item(), world.deliveries(), manifest(), len(world.downloads)) == before
    assert world.archived() == []


async def test_a_second_time_still_sends_the_messages_that_a_crash_may_have_cost(world: World) -> None:
    subscribe("sub")
    event = world.end()
    with pytest.raises(type(fault())):
        await world.fulfil(event, sqs=Faulty(client("sqs"), send_message=[fault(operation="SendMessage")]))
    assert (len(world.deliveries()), world.messages()) == (1, [])
    await world.fulfil(event)
    (message,) = world.messages()
    assert message["delivery_id"] == world.deliveries()["sub"]["delivery_id"]


async def test_a_second_time_tells_the_same_of_the_kept_files(world: World) -> None:
    event = world.end()
    await world.fulfil(event)
    subscribe("late")
    await world.fulfil(event)
    payload = json.loads(world.deliveries()["late"]["payload"])
    assert [asset["status"] for asset in payload["clips"][0]["assets"]] == ["archived", "archived"]


async def test_a_crash_before_the_record_begins_anew(world: World) -> None:
    event = world.end()
    with pytest.raises(type(fault())):
        await world.fulfil(event, dynamodb=Faulty(client("dynamodb"), update_item=[fault()]))
    await world.fulfil(event)
    first, second = world.archived()
    assert first["event_id"] == second["event_id"]
    assert len(world.item()["assets"]) == 4


async def test_a_bus_that_does_not_take_the_event_is_tried_again_later(world: World) -> None:
    class Refusing:
        def put_events(self, Entries: list[Any]) -> dict[str, Any]:  # noqa: N803 - boto3's name
            return {"Entries": [{"ErrorCode": "ThrottlingException"} for _ in Entries]}

    event = world.end()
    with pytest.raises(Unavailable):
        await world.fulfil(event, events=Refusing())
    assert "archived_at_ms" not in world.item()


async def test_trouble_with_s3_tells_nobody_yet(world: World) -> None:
    subscribe("sub")
    event = world.end(FAILED)
    with pytest.raises(type(fault())):
        await world.fulfil(event, s3=Faulty(client("s3"), put_object=[fault("SlowDown", "PutObject")]))
    assert (world.archived(), world.deliveries()) == ([], {})


async def test_a_task_that_was_put_again_keeps_its_new_run_and_tells_of_the_old_one(world: World) -> None:
    subscribe("sub", format="provider")
    event = world.end()
    world.end(completed(provider_object='{"run": 2}'), now_ms=NOW_MS + 1, notify_hook=HOOK)
    await world.fulfil(event)
    assert "assets" not in world.item()
    (delivery,) = world.deliveries().values()
    assert json.loads(delivery["payload"])["status"] == "SUCCESS"
    assert manifest()["provider_object"] is None


async def test_a_task_that_was_deleted_is_fulfilled_from_its_event_and_stays_deleted(world: World) -> None:
    subscribe("sub")
    event = world.end()
    key = {"task_id": {"S": KEY.task_id}, "provider": {"S": KEY.provider}}
    client("dynamodb").delete_item(TableName="TasksTable", Key=key)
    await world.fulfil(event)
    assert (items("TasksTable"), len(keys()), len(world.deliveries())) == ([], 5, 1)
