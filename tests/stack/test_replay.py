"""A replay of the bus's archive reaches the rules of consumers, and nothing is done again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about
from tests.stack.watching import BusWatch

from tunehook.aws.items import to_attributes
from tunehook_local.sandbox import Sandbox

PROVIDER = "musicmint"


def told_and_archived(stack: DeployedStack, sandbox: Sandbox, task_id: str) -> None:
    begin_ended(sandbox, PROVIDER, task_id)
    stack.put("TasksTable", task_id=task_id, provider=PROVIDER)
    stack.ended_task(task_id, PROVIDER)
    eventually(lambda: stack.task(task_id, PROVIDER).get("archived_at_ms"), moved=stack.moved)
    eventually(lambda: webhooks_about(sandbox, "main", task_id), moved=stack.moved)


def deliveries_of(stack: DeployedStack, task_id: str) -> list[dict[str, Any]]:
    rows = stack.items("DeliveriesTable", "delivery_id", "task_id")
    return [each for each in rows if each.get("task_id") == task_id]


def test_a_replay_makes_no_webhook_even_of_what_is_forgotten(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    events, before = stack.client("events"), datetime.now(UTC) - timedelta(minutes=1)
    bus = events.describe_event_bus(Name=stack.outputs["EventBusName"])["Arn"]
    name, old, new = f"kept-{unique}", f"replayed-{unique}", f"after-{unique}"
    archive = events.create_archive(ArchiveName=name, EventSourceArn=bus)["ArchiveArn"]
    try:
        told_and_archived(stack, sandbox, old)
        for each in deliveries_of(stack, old):
            key = to_attributes({"delivery_id": each["delivery_id"]})
            stack.client("dynamodb").delete_item(TableName=stack.outputs["DeliveriesTable"], Key=key)
        with BusWatch(stack) as watch:
            events.start_replay(
                ReplayName=name,
                EventSourceArn=archive,
                EventStartTime=before,
                EventEndTime=datetime.now(UTC) + timedelta(minutes=1),
                Destination={"Arn": bus},
            )
            (replayed,) = eventually(lambda: watch.about(old, "TaskCompleted"))
        assert replayed["replay-name"] == name
        # What comes to fulfillment later has gone all its way.
        told_and_archived(stack, sandbox, new)
        assert deliveries_of(stack, old) == []
        assert len(webhooks_about(sandbox, "main", old)) == 1
    finally:
        events.delete_archive(ArchiveName=name)
