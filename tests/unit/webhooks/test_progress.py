"""Deliveries that tell of progress: one attempt at most, none once the end is known, and nothing that counts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import fault
from tests.unit.webhooks.world import START_MS, VISIBILITY_MS, Receiver, World, delivery

from tunehook.aws.items import to_attributes
from tunehook.deliveries import Delivery, message_for
from tunehook.events import progress_event_id
from tunehook.tasks import ProgressTold, TaskKey
from webhooks.delivery import Step
from webhooks.policy import ResponseClass
from webhooks.subscription_health import Change

pytestmark = pytest.mark.usefixtures("aws")

OK, FAILED, ABORTED, GONE = (
    ResponseClass.DELIVERED,
    ResponseClass.FAILED,
    ResponseClass.ABORTED,
    ResponseClass.GONE,
)
KEY = TaskKey("task", "musicmint")
DAY_MS = 24 * 3_600_000


def put_task(world: World, number: int = 1, status: str = "pending", since_ms: int = START_MS) -> None:
    told = ProgressTold(number=number, at_ms=START_MS, phase="processing", has_clip=False)
    item = {"task_id": KEY.task_id, "provider": KEY.provider, "status": status, "since_ms": since_ms}
    told_now = {"progress_told": asdict(told)} if status == "pending" else {}
    world.client.put_item(TableName="tasks", Item=to_attributes(item | told_now))


def progress(number: int = 1, **changes: Any) -> Delivery:
    event_id = progress_event_id(KEY, START_MS, number)
    return delivery(event_id=event_id, type="task.progress", **changes)


def world_with(*classes: ResponseClass | BaseException | None) -> World:
    world = World(Receiver(*classes))
    world.subscribe(events=["task.progress"])
    put_task(world)
    return world


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        (OK, "delivered", None),
        (FAILED, "failed", "its one attempt failed"),
        (None, "failed", "its one attempt failed"),
        (ABORTED, "aborted", "refused by the receiver"),
    ],
)
async def test_one_attempt_is_made_whatever_its_answer(
    answer: ResponseClass | None, status: str, reason: str | None
) -> None:
    world = world_with(answer)
    record = progress()
    world.add(record)
    await world.run()
    item = world.item(record)
    assert (item["status"], item.get("reason")) == (status, reason)
    assert len(world.receiver.attempts) == len(item["attempts"]) == 1
    assert world.idle
    assert "failing_since_ms" not in world.subscription()


async def test_its_failure_disables_nobody_and_its_success_forgives_nobody() -> None:
    world = world_with(FAILED, OK)
    world.subscribe(events=["task.progress"], failing_since_ms=START_MS - 6 * DAY_MS)
    for number in (1, 2):
        put_task(world, number)
        world.add(progress(number))
    put_task(world, 2)
    await world.run()
    assert world.subscription()["failing_since_ms"] == START_MS - 6 * DAY_MS
    assert "enabled" not in world.subscription()
    assert [outcome.change for outcome in world.outcomes] == [Change.NONE] * 2
    assert world.bus.events == []


async def test_what_was_delivered_of_progress_keeps_no_failing_subscription_enabled() -> None:
    world = world_with(OK, FAILED)
    world.subscribe(failing_since_ms=START_MS - 6 * DAY_MS, events=["task.progress", "task.completed"])
    world.add(progress())
    await world.run()
    world.add(delivery(event_id="evt_end"))
    await world.run(messages=1)
    assert world.subscription()["enabled"] is False


async def test_a_receiver_that_is_gone_is_disabled() -> None:
    world = world_with(GONE)
    world.add(progress())
    await world.run()
    assert world.subscription()["enabled"] is False


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"status": "completed"}, "overtaken: the task has ended"),
        ({"number": 2}, "overtaken: the task has gone on"),
        ({"since_ms": START_MS + 1}, "overtaken: the task has gone on"),
    ],
)
async def test_none_is_begun_that_is_overtaken(task: dict[str, Any], reason: str) -> None:
    world = world_with(OK)
    put_task(world, **task)
    record = progress()
    world.add(record)
    await world.run()
    item = world.item(record)
    assert (item["status"], item["reason"], item.get("attempts", [])) == ("aborted", reason, [])
    assert world.receiver.attempts == []
    assert [outcome.step for outcome in world.outcomes] == [Step.OVERTAKEN]
    assert world.idle


async def test_of_a_task_that_is_gone_or_cannot_be_read_none_is_begun() -> None:
    class Unreadable:
        def get(self, _: TaskKey) -> Any:
            raise fault("GetItem", "ProvisionedThroughputExceededException")

    world = world_with(OK)
    world.client.delete_item(
        TableName="tasks", Key=to_attributes({"task_id": "task", "provider": "musicmint"})
    )
    world.add(progress())
    await world.run()
    world.tasks = Unreadable()
    world.add(progress(2))
    await world.run()
    assert world.receiver.attempts == []
    assert [world.item(progress(number))["reason"] for number in (1, 2)] == [
        "overtaken: the task has ended",
        "overtaken: it is not known whether the task has ended",
    ]


async def test_a_worker_that_dies_over_the_attempt_leaves_none_to_be_made() -> None:
    world = world_with(KeyboardInterrupt("the process dies here"), OK)
    record = progress()
    message = world.add(record)
    with pytest.raises(KeyboardInterrupt):
        await world.run()
    for after_ms in (1_000, VISIBILITY_MS):
        world.arrive(message_for(record), world.now_ms + after_ms, receive_count=2)
        await world.run()
    assert len(world.receiver.attempts) == 1
    item = world.item(record)
    assert (item["status"], item["reason"]) == (
        "failed",
        "its one attempt was begun, and what came of it is not known",
    )
    assert message == message_for(record)


async def test_the_same_message_twice_is_one_attempt() -> None:
    world = world_with(OK)
    record = progress()
    message = world.add(record)
    world.arrive(message, START_MS)
    await world.run()
    assert len(world.receiver.attempts) == 1


async def test_a_fault_before_the_attempt_costs_none() -> None:
    def refuse() -> str:
        raise fault("GetSecretValue", "ThrottlingException")

    world = world_with(OK)
    world.master_secret = refuse
    record = progress()
    world.add(record)
    await world.run(messages=1)
    assert isinstance(world.faults[0], ClientError)
    world.master_secret = lambda: "m" * 32
    await world.run()
    assert world.item(record)["status"] == "delivered"


async def test_a_sample_is_attempted_as_any_delivery() -> None:
    world = world_with(FAILED, OK)
    record = delivery(event_id="evt_sample", type="task.progress")
    world.add(record)
    await world.run()
    assert len(world.receiver.attempts) == 2
