"""What users do by hand while a run goes on, and are free to do: they edit items of tasks, and move subscriptions."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from tests.stack.driving import DeployedStack

from tunehook.aws.errors import AWS_FAULTS
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.tasks import TasksTable

EDITS: Final[tuple[tuple[str, Any], ...]] = (
    ("comment", "looked at by hand"),
    ("priority", 7),
    ("metadata", {"edited": True}),
    ("metadata", {"raw": b"\x00\xff", "of": {1, 2}}),
    ("phase", "nobody knows"),
    ("last_error", "somebody wrote this"),
    ("not_found_count", 0),
    ("empty_count", 0),
)
"""Attributes that a user sets. None of them may change how a task ends, or whether it is told of."""


def edit_items(stack: DeployedStack, chance: Random, share: float) -> int:
    """Set an attribute of a share of the tasks' items; return of how many.

    Those that intake has not seen yet are left alone: what is in them is what is asked for.
    """
    dynamodb, table = stack.client("dynamodb"), stack.outputs["TasksTable"]
    edited = 0
    try:
        for item in list(TasksTable(dynamodb, table).scan(("task_id", "provider", "status"))):
            if "status" not in item or chance.random() >= share:
                continue
            name, value = chance.choice(EDITS)
            dynamodb.update_item(
                TableName=table,
                Key=to_attributes({"task_id": item["task_id"], "provider": item["provider"]}),
                UpdateExpression="SET #name = :value",
                ConditionExpression="attribute_exists(#status)",
                ExpressionAttributeNames={"#name": name, "#status": "status"},
                ExpressionAttributeValues=to_attributes({":value": value}),
            )
            edited += 1
    except AWS_FAULTS:
        # AWS is away, as somebody restarts it: a user would come back later.
        return edited
    return edited


def move_subscription(stack: DeployedStack, subscription_id: str, number: int) -> str | None:
    """Give a subscription another URL, which leads to the same receiver; return it, or None where AWS is away."""
    dynamodb, table = stack.client("dynamodb"), stack.outputs["SubscriptionsTable"]
    key = to_attributes({"subscription_id": subscription_id})
    try:
        item = from_attributes(dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"])
        url = f"{item['url'].partition('?')[0]}?moved={number}"
        dynamodb.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET #url = :url",
            ExpressionAttributeNames={"#url": "url"},
            ExpressionAttributeValues=to_attributes({":url": url}),
        )
    except AWS_FAULTS:
        return None
    return url
