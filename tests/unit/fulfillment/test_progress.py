"""Who is told of a pending task's progress, of what, and how long after the time before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from tests.support.aws import Faulty, client, fault, items, put, received
from tests.support.tasks import KEY, NOW_MS
from tests.unit.fulfillment.world import HOOK, World, subscribe

from fulfillment.messages import content_of
from fulfillment.progress import ProgressFanOut
from fulfillment.recipients import Recipients
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.deliveries import delivery_id, is_progress
from tunehook.events import progress_event_id
from tunehook.fulfillment_requests import ProgressClip, ProgressRequest
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import ProgressTold
from tunehook.webhook_body import render

# As documented, and not imported: a bound that moves is to be noticed.
APART_MS = 5_000
BODY_MAX_BYTES = 20_000

WANTS = {"events": ["task.progress"]}
CLIP = ProgressClip(clip_id="c1", title="Song", stream_url="https://cdn.example.com/c1/stream")


@pytest.fixture
def world(bucket: str, http: Callable[..., Any]) -> World:
    made = World(http)
    made.now_ms = NOW_MS + 1_000
    return made


def put_task(number: int = 1, **fields: Any) -> None:
    told = ProgressTold(number=number, at_ms=NOW_MS, phase="processing", has_clip=True)
    item = {"task_id": KEY.task_id, "provider": KEY.provider, "status": "pending", "since_ms": NOW_MS}
    put("TasksTable", item | {"metadata": {"order": 7}, "progress_told": asdict(told)} | fields)


def request(number: int = 1, **fields: Any) -> ProgressRequest:
    values: dict[str, Any] = {
        "task_id": KEY.task_id,
        "provider": KEY.provider,
        "since_ms": NOW_MS,
        "number": number,
        "at_ms": NOW_MS,
        "submitted_at_ms": NOW_MS - 9_000,
        "phase": "processing",
        "progress": 60,
        "clips": (CLIP,),
        "provider_object": '{"status":"IN_PROGRESS"}',
    }
    return ProgressRequest(**values | fields)


async def tell(world: World, asked: ProgressRequest, sqs: Any = None, *, is_first: bool = False) -> int:
    dynamodb = client("dynamodb")
    recipients = Recipients(
        SubscriptionsTable(dynamodb, "SubscriptionsTable"),
        NetworkPolicy.PUBLIC,
        versions=SecretVersionsTable(dynamodb, "SecretVersionsTable"),
    )
    fan_out = ProgressFanOut(
        TasksTable(dynamodb, "TasksTable"),
        recipients.of,
        DeliveriesTable(dynamodb, "DeliveriesTable"),
        DeliveriesQueue(sqs or client("sqs"), world.queue),
        world.clock,
    )
    content = content_of(asked.model_dump_json())
    assert content == asked
    return await fan_out.create_deliveries(asked, is_first=is_first)


def made() -> dict[str, dict[str, Any]]:
    return {each["subscription_id"]: each for each in items("DeliveriesTable")}


async def test_who_names_it_is_told_and_nobody_else(world: World) -> None:
    subscribe("sub", **WANTS)
    subscribe("ends", "all", events=["task.completed", "task.failed", "task.archived"])
    subscribe("other", **WANTS, providers=["other"])
    subscribe("off", **WANTS, enabled=False)
    put_task(notify_hook=HOOK)
    assert await tell(world, request()) == 1
    assert set(made()) == {"sub"}
    delivery = made()["sub"]
    assert is_progress(delivery["delivery_id"])
    assert (delivery["type"], delivery["event_at_ms"]) == ("task.progress", NOW_MS)
    assert json.loads(delivery["payload"]) == {
        "task_id": "task-1",
        "provider": "suno",
        "status": "pending",
        "phase": "processing",
        "progress": 60,
        "submitted_at": "2027-01-15T07:59:51.000Z",
        "metadata": {"order": 7},
        "clips": [
            {
                "clip_id": "c1",
                "title": "Song",
                "tags": [],
                "duration_s": None,
                "prompt": None,
                "model": None,
                "created_at": None,
                "stream_url": "https://cdn.example.com/c1/stream",
                "source_url": None,
            }
        ],
        "truncated": False,
    }
    assert [each["delivery_id"] for each in world.messages()] == [delivery["delivery_id"]]


@pytest.mark.parametrize(
    ("pattern", "is_told"),
    [
        ({"metadata": {"order": [7]}}, True),
        ({"metadata": {"order": [8]}}, False),
        ({"phase": ["processing"]}, True),
        ({"clips": {"stream_url": [{"exists": True}]}}, True),
        ({"archive": [{"exists": True}]}, False),
    ],
)
async def test_filters_look_at_its_data(world: World, pattern: dict[str, Any], is_told: bool) -> None:
    subscribe("sub", **WANTS, filter=pattern)
    put_task()
    assert bool(await tell(world, request())) is is_told


async def test_the_provider_format_has_the_providers_own_object(world: World) -> None:
    subscribe("sub", **WANTS, format="provider")
    put_task()
    await tell(world, request())
    assert made()["sub"]["payload"] == '{"status":"IN_PROGRESS"}'
    put_task(2)
    await tell(world, request(2, provider_object=None))
    later = next(each for each in items("DeliveriesTable") if "task_id" in each["payload"])
    assert json.loads(later["payload"])["status"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "completed"},
        {"status": "cancelled"},
        {"number": 2},
        {"since_ms": NOW_MS + 1},
        {"progress_told": "by hand"},
        {"progress_told": {"number": True, "at_ms": 1, "phase": "queued"}},
    ],
)
async def test_what_is_overtaken_is_not_made(world: World, fields: dict[str, Any]) -> None:
    subscribe("sub", **WANTS)
    put_task(**fields)
    assert await tell(world, request()) == 0
    assert made() == {}


@pytest.mark.parametrize("fields", [{"status": "completed"}, {"since_ms": NOW_MS + 1}, None])
async def test_what_was_made_and_not_sent_before_it_was_overtaken_is_sent_so_that_it_ends(
    world: World, fields: dict[str, Any] | None
) -> None:
    subscribe("sub", **WANTS)
    subscribe("late", **WANTS)
    put_task()
    broken = Faulty(client("sqs"), send_message_batch=[fault(operation="SendMessageBatch")])
    with pytest.raises(ExceptionGroup):
        await tell(world, request(), broken, is_first=True)
    client("dynamodb").delete_item(
        TableName="DeliveriesTable", Key={"delivery_id": {"S": made()["late"]["delivery_id"]}}
    )
    if fields is None:
        client("dynamodb").delete_item(
            TableName="TasksTable", Key={"task_id": {"S": KEY.task_id}, "provider": {"S": KEY.provider}}
        )
    else:
        put_task(**fields)
    assert await tell(world, request()) == 0
    assert set(made()) == {"sub"}
    (message,) = received(world.queue)
    assert message["delivery_id"] == made()["sub"]["delivery_id"]


async def test_nothing_is_looked_for_where_there_was_no_earlier_try(world: World) -> None:
    subscribe("sub", **WANTS)
    put_task()
    assert await tell(world, request()) == 1
    assert len(received(world.queue)) == 1
    put_task(status="completed")
    assert await tell(world, request(), is_first=True) == 0
    assert received(world.queue) == []


async def test_a_message_that_comes_twice_makes_one_delivery(world: World) -> None:
    subscribe("sub", **WANTS)
    put_task()
    await tell(world, request())
    before = made()
    world.now_ms += 3_000
    await tell(world, request())
    assert made() == before


@pytest.mark.parametrize(
    ("attempted", "waits"),
    [
        ({"attempts": [{"run": 1, "attempt": 1, "at_ms": NOW_MS + 4_000, "duration_ms": 3}]}, True),
        ({"claimed_until_ms": NOW_MS + 4_000 + 25_000}, True),
        ({"attempts": [{"run": 1, "attempt": 1, "at_ms": NOW_MS - 1_000, "duration_ms": 3}]}, False),
        ({}, False),
    ],
)
async def test_an_attempt_that_was_late_puts_the_next_one_off(
    world: World, attempted: dict[str, Any], waits: bool
) -> None:
    subscribe("sub", **WANTS)
    put_task()
    await tell(world, request())
    (first,) = items("DeliveriesTable")
    put("DeliveriesTable", first | attempted)
    world.messages()
    world.now_ms = NOW_MS + 5_000
    put_task(2)
    await tell(world, request(2))
    second_id = delivery_id(progress_event_id(KEY, NOW_MS, 2), "sub")
    second = next(each for each in items("DeliveriesTable") if each["delivery_id"] == second_id)
    due_ms = second["next_attempt_at_ms"]
    if waits:
        assert NOW_MS + 4_000 + APART_MS < due_ms <= NOW_MS + 4_000 + APART_MS + 1_000
    else:
        assert due_ms == world.now_ms


async def test_a_body_keeps_its_bound(world: World) -> None:
    clips = tuple(
        ProgressClip(clip_id=str(number), prompt="p" * 900, stream_url=f"https://c.example.com/{'x' * 900}")
        for number in range(40)
    )
    subscribe("sub", **WANTS)
    put_task()
    await tell(world, request(clips=clips))
    record = DeliveriesTable(client("dynamodb"), "DeliveriesTable").get(made()["sub"]["delivery_id"])
    assert record is not None
    body = render(record, lambda key: key, NOW_MS).content
    assert len(body) < BODY_MAX_BYTES
    assert json.loads(body)["data"]["truncated"]
