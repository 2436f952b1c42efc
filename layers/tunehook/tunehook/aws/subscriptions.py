"""The Subscriptions table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SubscriptionsTable:
    """The Subscriptions table.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._client = client
        self._name = name

    def all(self) -> list[dict[str, Any]]:
        """Return every item as plain Python values."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._name)
        return [from_attributes(attributes) for page in pages for attributes in page["Items"]]

    def get(self, subscription_id: str) -> dict[str, Any] | None:
        """Return an item as plain Python values, as of all writes so far, or None."""
        answer = self._client.get_item(TableName=self._name, Key=_key(subscription_id), ConsistentRead=True)
        return from_attributes(answer["Item"]) if "Item" in answer else None

    def create(self, item: Mapping[str, Any]) -> bool:
        """Put a new item; return False, and change nothing, if its ``subscription_id`` is taken."""
        try:
            self._client.put_item(
                TableName=self._name,
                Item=to_attributes(item),
                ConditionExpression="attribute_not_exists(subscription_id)",
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def delete(self, subscription_id: str) -> bool:
        """Delete an item; return False if there is none."""
        answer = self._client.delete_item(
            TableName=self._name, Key=_key(subscription_id), ReturnValues="ALL_OLD"
        )
        return "Attributes" in answer

    def mark(self, subscription_id: str, disabled_reason: str | None) -> None:
        """Say on a subscription why nothing is delivered to it, or, with None, that something is again."""
        if disabled_reason is None:
            self._update(subscription_id, UpdateExpression="REMOVE disabled_reason")
        else:
            self._update(
                subscription_id,
                UpdateExpression="SET disabled_reason = :reason",
                ExpressionAttributeValues=to_attributes({":reason": disabled_reason}),
            )

    def mark_failing(self, subscription_id: str, since_ms: int) -> dict[str, Any] | None:
        """Say since when an enabled subscription fails, unless it says so already.

        Returns
        -------
        dict or None
            The item as it is now; None if there is none, or if it is disabled.
        """
        return self._update(
            subscription_id,
            UpdateExpression="SET failing_since_ms = if_not_exists(failing_since_ms, :since_ms)",
            ConditionExpression="attribute_exists(subscription_id) AND NOT enabled = :disabled",
            ExpressionAttributeValues=to_attributes({":since_ms": since_ms, ":disabled": False}),
            ReturnValues="ALL_NEW",
        )

    def mark_warned(self, subscription_id: str, moment_ms: int) -> None:
        """Say up to which moment of its failing a subscription has been warned of."""
        self._update(
            subscription_id,
            UpdateExpression="SET failing_warned_ms = :moment_ms",
            ExpressionAttributeValues=to_attributes({":moment_ms": moment_ms}),
        )

    def mark_well(self, subscription_id: str) -> None:
        """Say that a subscription does not fail any more."""
        self._update(
            subscription_id,
            UpdateExpression="REMOVE failing_since_ms",
            ConditionExpression="attribute_exists(failing_since_ms)",
        )

    def disable(self, subscription_id: str, reason: str) -> None:
        """Disable a subscription and say why. How it has failed is forgotten: once enabled, it starts anew."""
        self._update(
            subscription_id,
            UpdateExpression=(
                "SET enabled = :enabled, disabled_reason = :reason REMOVE failing_since_ms, failing_warned_ms"
            ),
            ExpressionAttributeValues=to_attributes({":enabled": False, ":reason": reason}),
        )

    def enable(self, subscription_id: str) -> bool:
        """Enable a subscription, and forget how it has failed; return False if there is none."""
        item = self._update(
            subscription_id,
            UpdateExpression=(
                "SET enabled = :enabled REMOVE disabled_reason, failing_since_ms, failing_warned_ms"
            ),
            ExpressionAttributeValues=to_attributes({":enabled": True}),
        )
        return item is not None

    def _update(self, subscription_id: str, **update: Any) -> dict[str, Any] | None:
        """Update an item and return what was asked for of it; one that was deleted meanwhile stays deleted."""
        options = {"ConditionExpression": "attribute_exists(subscription_id)"} | update
        try:
            answer = self._client.update_item(TableName=self._name, Key=_key(subscription_id), **options)
        except ClientError as error:
            if not is_condition_failure(error):
                raise
            return None
        return from_attributes(answer.get("Attributes", {}))


def _key(subscription_id: str) -> dict[str, Any]:
    return to_attributes({"subscription_id": subscription_id})
