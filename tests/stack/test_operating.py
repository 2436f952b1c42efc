"""What an operator does: the stack examined, its troubles named, its dead letters listed and dealt with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.stack.calling import Api, create_key
from tests.stack.commanding import Command
from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about

from tunehook.operations.queues import DeadLetters, depth
from tunehook_local.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("no_dead_letters")

RECEIVES_MAX = 40
"""The template's, of the fulfillment queue."""


@pytest.fixture
def tunehook(stack: DeployedStack) -> Command:
    return Command(stack)


@pytest.fixture
def no_dead_letters(stack: DeployedStack) -> None:
    """What other tests have left among the dead letters is taken away: the command counts all that there is."""
    sqs, urls = stack.client("sqs"), [stack.outputs[queue.output] for queue in DeadLetters]
    for url in urls:
        sqs.purge_queue(QueueUrl=url)
    eventually(lambda: not any(depth(sqs, url).total for url in urls))


def troubles(tunehook: Command) -> dict[str, str]:
    """Return what the doctor says must be mended, by part."""
    return {each["check"]: each["words"] for each in tunehook("doctor", "--json") if each["state"] == "fail"}


@contextmanager
def schedule_disabled(stack: DeployedStack) -> Iterator[None]:
    scheduler = stack.client("scheduler")
    schedule = scheduler.get_schedule(Name=f"{stack.environment.stack_name}-every-minute")
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "Description")
    same = {key: schedule[key] for key in kept}
    scheduler.update_schedule(**same, State="DISABLED")
    try:
        yield
    finally:
        scheduler.update_schedule(**same, State="ENABLED")


@contextmanager
def not_fed(stack: DeployedStack, function: str) -> Iterator[None]:
    lambdas = stack.client("lambda")
    (mapping,) = lambdas.list_event_source_mappings(FunctionName=stack.outputs[function])[
        "EventSourceMappings"
    ]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


def test_the_doctor_finds_a_working_stack_well_and_names_what_is_switched_off(
    stack: DeployedStack, sandbox: Sandbox, tunehook: Command
) -> None:
    assert (troubles(tunehook), tunehook.status) == ({}, 0)
    with schedule_disabled(stack), not_fed(stack, "WebhooksFunction"):
        found = troubles(tunehook)
        assert tunehook.status == 1
    assert set(found) == {"schedule", "mappings"}
    assert "every-minute is disabled" in found["schedule"]
    assert "webhooks gets no events" in found["mappings"]
    assert (troubles(tunehook), tunehook.status) == ({}, 0)


def test_the_status_counts_what_is_there(
    stack: DeployedStack, sandbox: Sandbox, tunehook: Command, unique: str
) -> None:
    def completed() -> int:
        return sum(each.get("status") == "completed" for each in stack.items("TasksTable", "status"))

    def counted() -> tuple[dict[str, Any], int] | None:
        """The parts of the status, and what the table has, unless a task of another test ends meanwhile."""
        there = completed()
        parts = tunehook("status", "--json")
        return (parts, there) if completed() == there else None

    task_id = f"counted-{unique}"
    before, were_there = eventually(counted)
    begin_ended(sandbox, "musicmint", task_id)
    stack.put("TasksTable", task_id=task_id, provider="musicmint")
    stack.ended_task(task_id, "musicmint")
    parts, are_there = eventually(counted)
    assert tunehook.status == 0
    assert are_there > were_there
    more = parts["ended"]["completed"] - before["ended"]["completed"]
    assert (more, parts["ended"]["complete"]) == (are_there - were_there, True)
    assert parts["subscriptions"]["unusable"] == 2
    assert [shard["shard"] for shard in parts["poller"]["shards"]] == [0]


def dead_letters(tunehook: Command, queue: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = tunehook("dlq", "list", queue, "--json")
    return listed


def test_an_event_that_was_put_aside_is_listed_and_redriven_and_ends_well(
    stack: DeployedStack, sandbox: Sandbox, tunehook: Command, unique: str
) -> None:
    task_id = f"aside-{unique}"
    sqs, queue = stack.client("sqs"), stack.outputs["FulfillmentQueue"]
    begin_ended(sandbox, "musicmint", task_id)
    with not_fed(stack, "FulfillmentFunction"):
        # What another test has left there would be put aside with it.
        sqs.purge_queue(QueueUrl=queue)
        stack.put("TasksTable", task_id=task_id, provider="musicmint")
        stack.ended_task(task_id, "musicmint")

        def put_aside() -> bool:
            sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, WaitTimeSeconds=0)
            return bool(dead_letters(tunehook, "fulfillment")) if next(looks) > RECEIVES_MAX else False

        looks = itertools.count()
        eventually(put_aside, every_s=0.02)
        (letter,) = dead_letters(tunehook, "fulfillment")
        assert letter["about"] == f"TaskCompleted of musicmint {task_id}"
        assert letter["reason"].startswith("failed each time")
        assert troubles(tunehook)["dead letters"] == "fulfillment: 1"
    assert stack.keys("musicmint", task_id) == []

    assert tunehook("dlq", "redrive", "fulfillment") == "Moved 1 message back to the fulfillment queue.\n"
    eventually(lambda: webhooks_about(sandbox, "main", task_id))
    assert "archived_at_ms" in stack.task(task_id, "musicmint")
    assert dead_letters(tunehook, "fulfillment") == []


def test_an_item_that_intake_missed_is_taken_in(
    stack: DeployedStack, sandbox: Sandbox, tunehook: Command, unique: str
) -> None:
    task_id = f"missed-{unique}"
    begin_ended(sandbox, "musicmint", task_id)
    record = {
        "requestContext": {"condition": "RetryAttemptsExhausted"},
        "DDBStreamBatchInfo": {"batchSize": 1},
    }
    with not_fed(stack, "IntakeFunction"):
        stack.put("TasksTable", task_id=task_id, provider="musicmint")
        stack.client("sqs").send_message(
            QueueUrl=stack.outputs["IntakeDeadLetters"], MessageBody=json.dumps(record)
        )
        (letter,) = dead_letters(tunehook, "intake")
        assert (letter["about"], letter["reason"]) == (
            "1 new item of the Tasks table",
            "RetryAttemptsExhausted",
        )
        said = tunehook("dlq", "redrive", "intake")
        assert (tunehook.status, said) == (0, "Processed 1 item and removed 1 record.\n")
        assert stack.ended_task(task_id, "musicmint")["status"] == "completed"
    assert dead_letters(tunehook, "intake") == []


def test_items_expire_on_the_embedded_aws_as_the_template_says(stack: DeployedStack) -> None:
    """It takes no expiry from a template: `tunehook local up` switches it on."""
    for table in ("TasksTable", "DeliveriesTable"):
        told = stack.client("dynamodb").describe_time_to_live(TableName=stack.outputs[table])
        assert told["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def test_what_the_api_is_asked_is_in_its_log_by_the_route_and_without_the_key(
    stack: DeployedStack, tunehook: Command, unique: str
) -> None:
    key = create_key(stack, f"operator-{unique}", "read")
    assert Api(stack, key)("GET", f"/v1/tasks/musicmint/asked-{unique}").status == 404

    printed = tunehook("logs", "api", "--since", "5m")

    assert tunehook.status == 0, tunehook.errors
    assert "/v1/tasks/" in printed
    assert key.rpartition("_")[2] not in printed
