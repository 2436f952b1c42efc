"""Results are kept although their host refuses at first, and many receivers are told at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.stack.driving import DeployedStack, begin_ended, eventually, webhooks_about

from tunehook.aws.items import to_attributes
from tunehook_local.sandbox import Sandbox, Scenario, parse, run_sandbox

RECEIVERS = 1000
FRESH_S = 16
"""After that, fulfillment knows a new subscription."""

REFUSING = {
    "tasks": [{"task_id": "*", "answers": [{"phase": "completed"}]}],
    # Each file is asked for up to four times a look, and the looks begin after 0, 17, 36 and 65 s.
    "assets": [
        {"path": "*/late-*/*", "answers": [{"status": 403, "times": 6}]},
        {"path": "*/later-*/*", "answers": [{"status": 403, "times": 14}]},
    ],
}


@contextmanager
def subscriptions(stack: DeployedStack, items: list[dict[str, Any]]) -> Iterator[None]:
    """Let subscriptions be there for a while."""
    dynamodb, table = stack.client("dynamodb"), stack.outputs["SubscriptionsTable"]

    def write(requests: list[dict[str, Any]]) -> None:
        for start in range(0, len(requests), 25):
            dynamodb.batch_write_item(RequestItems={table: requests[start : start + 25]})

    write([{"PutRequest": {"Item": to_attributes(item)}} for item in items])
    try:
        yield
    finally:
        keys = [to_attributes({"subscription_id": item["subscription_id"]}) for item in items]
        write([{"DeleteRequest": {"Key": key}} for key in keys])


def delivery_count(stack: DeployedStack, task_id: str) -> int:
    pages = (
        stack.client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=stack.outputs["DeliveriesTable"],
            IndexName="by_task",
            KeyConditionExpression="task_id = :task_id",
            ExpressionAttributeValues=to_attributes({":task_id": task_id}),
            Select="COUNT",
        )
    )
    return sum(page["Count"] for page in pages)


def test_a_host_that_refuses_at_first_is_asked_again_through_the_queue(
    stack: DeployedStack, unique: str
) -> None:
    task_id, provider = f"late-{unique}", f"late-{unique}"
    with run_sandbox(parse(Scenario, REFUSING)) as refusing:
        # Under a name of its own: a running poller goes on with the providers that it knows for a minute.
        secret = {provider: refusing.providers_secret()["musicmint"]}
        with stack.configured(secret):
            begin_ended(refusing, "musicmint", task_id)
            stack.put(
                "TasksTable",
                task_id=task_id,
                provider=provider,
                notify_hook=refusing.receiver_url("patient"),
            )
            ended = stack.ended_task(task_id, provider)
            eventually(lambda: webhooks_about(refusing, "patient", task_id), moved=stack.moved)

    item = stack.task(task_id, provider)
    assert {asset["status"] for asset in item["assets"]} == {"archived"}
    assert item["archived_at_ms"] - ended["detected_at_ms"] > 10_000
    keys = stack.keys(provider, task_id)
    assert keys[-1].endswith("/manifest.json")
    assert len(keys) == len(item["assets"]) + 1


def test_whoever_was_told_before_the_files_came_is_told_when_they_have(
    stack: DeployedStack, unique: str
) -> None:
    task_id, provider = f"later-{unique}", f"later-{unique}"
    with (
        run_sandbox(parse(Scenario, REFUSING)) as refusing,
        stack.configured({provider: refusing.providers_secret()["musicmint"]}),
    ):
        begin_ended(refusing, "musicmint", task_id)
        hook = refusing.receiver_url("prompt")
        stack.put("TasksTable", task_id=task_id, provider=provider, notify_hook=hook)
        stack.ended_task(task_id, provider)
        eventually(lambda: len(webhooks_about(refusing, "prompt", task_id)) == 2, moved=stack.moved)
        told = [json.loads(each.body) for each in webhooks_about(refusing, "prompt", task_id)]

    by_type = {each["type"]: each["data"] for each in told}
    assert {name: data["archive"] for name, data in by_type.items()} == {
        "task.completed": "pending",
        "task.archived": "complete",
    }
    missing = [each for clip in by_type["task.completed"]["clips"] for each in clip["assets"]]
    assert {each["status"] for each in missing} == {"pending"}
    assert all(each["source_url"].startswith("http") and each["url"] is None for each in missing)


def test_a_filter_lets_through_what_it_matches_in_every_format(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    task_id, provider = f"some-{unique}", f"some-{unique}"
    order = {"metadata": {"order": [{"numeric": [">=", 1000]}]}}
    filters: dict[str, Any] = {
        "map": {"filter": order | {"clips": {"assets": {"status": ["archived"]}}}, "format": "provider"},
        "text": {"filter": json.dumps(order)},
        "other": {"filter": {"metadata": {"order": [{"numeric": ["<", 1000]}]}}},
    }
    some = [
        {
            "subscription_id": f"{provider}-{name}",
            "url": sandbox.receiver_url(f"{name}-{unique}"),
            "providers": [provider],
            **fields,
        }
        for name, fields in filters.items()
    ]
    secret = sandbox.providers_secret()
    with (
        stack.configured(secret | {provider: secret["musicmint"]}),
        subscriptions(stack, some),
    ):
        time.sleep(FRESH_S)
        begin_ended(sandbox, "musicmint", task_id)
        stack.put("TasksTable", task_id=task_id, provider=provider, metadata={"order": 1017})
        stack.ended_task(task_id, provider)
        eventually(
            lambda: all(sandbox.received(f"{name}-{unique}") for name in ("map", "text")), moved=stack.moved
        )
        # All records of a task's end are made before any message is sent.
        made = {
            item["subscription_id"]
            for item in stack.items("DeliveriesTable")
            if item.get("task_id") == task_id
        }
    assert made & {each["subscription_id"] for each in some} == {f"{provider}-map", f"{provider}-text"}
    assert not sandbox.received(f"other-{unique}")


def test_a_thousand_receivers_have_their_deliveries(
    stack: DeployedStack, sandbox: Sandbox, unique: str
) -> None:
    task_id, provider = f"crowd-{unique}", f"crowd-{unique}"
    url = sandbox.receiver_url("crowd")
    crowd = [
        {"subscription_id": f"{provider}-{number}", "url": url, "providers": [provider]}
        for number in range(RECEIVERS)
    ]
    secret = sandbox.providers_secret()
    with (
        stack.configured(secret | {provider: secret["musicmint"]}),
        subscriptions(stack, crowd),
    ):
        time.sleep(FRESH_S)
        begin_ended(sandbox, "musicmint", task_id)
        stack.put("TasksTable", task_id=task_id, provider=provider)
        stack.ended_task(task_id, provider)
        eventually(lambda: stack.task(task_id, provider).get("archived_at_ms"), moved=stack.moved)
        eventually(lambda: delivery_count(stack, task_id) >= RECEIVERS, moved=stack.moved)
