"""The PollerLeases table: whether a poller runs for a shard, and which shards there are.

That two pollers never share a shard rests on no lease: it would only cost questions. But a shard whose number is beyond
`ShardCount`, because that was larger once, is known by its lease alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE_MS: Final = 12_000
RENEW_EVERY_MS: Final = 4_000
RETIRE_AFTER_MS: Final = 3_600_000
"""How long no poller has held the lease of a shard beyond `ShardCount` before it is forgotten."""

_FREE_SINCE_MS: Final = 1_000
"""A lease that is let go ended that long ago, so that clocks which differ a little agree that it is free."""


class Leases:
    """The leases of all shards.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    table : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def register(self, shard: int, now_ms: int) -> None:
        """Make the shard known, so that its tasks are polled even if `ShardCount` is lowered."""
        self._set(shard, "nobody", now_ms - _FREE_SINCE_MS, "attribute_not_exists(#until_ms)")

    def shards(self) -> set[int]:
        """Return the shards that are known, as of all writes so far."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        return {int(from_attributes(item)["shard"]) for page in pages for item in page["Items"]}

    def retire(self, shard: int, now_ms: int) -> bool:
        """Forget a shard that has had no work for `RETIRE_AFTER_MS`; return whether it is forgotten."""
        try:
            self._client.delete_item(
                TableName=self._table,
                Key=to_attributes({"shard": shard}),
                ConditionExpression="#until_ms < :limit_ms",
                ExpressionAttributeNames={"#until_ms": "until_ms"},
                ExpressionAttributeValues=to_attributes({":limit_ms": now_ms - RETIRE_AFTER_MS}),
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def is_live(self, shard: int, now_ms: int) -> bool:
        """Return whether a poller holds the lease of `shard`."""
        answer = self._client.get_item(
            TableName=self._table, Key=to_attributes({"shard": shard}), ConsistentRead=True
        )
        return int(from_attributes(answer.get("Item", {})).get("until_ms", 0)) > now_ms

    def take_over(self, shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease, whoever holds it; return whether a poller held it until now."""
        answer = self._client.update_item(
            **self._setting(shard, owner, now_ms + LEASE_MS), ReturnValues="UPDATED_OLD"
        )
        return int(from_attributes(answer.get("Attributes", {})).get("until_ms", 0)) > now_ms

    def take_if_free(self, shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease if nobody holds it; return whether it was taken."""
        return self._set(
            shard,
            owner,
            now_ms + LEASE_MS,
            "attribute_not_exists(#until_ms) OR #until_ms <= :now_ms",
            {":now_ms": now_ms},
        )

    def renew(self, shard: int, owner: str, now_ms: int) -> bool:
        """Hold the lease for longer; return False if another poller has taken it over."""
        return self._set(shard, owner, now_ms + LEASE_MS, "#owner = :owner")

    def give_up(self, shard: int, owner: str, now_ms: int) -> bool:
        """Let the lease go; return False if another poller has taken it over."""
        return self._set(shard, owner, now_ms - _FREE_SINCE_MS, "#owner = :owner")

    def _set(
        self,
        shard: int,
        owner: str,
        until_ms: int,
        condition: str,
        values: Mapping[str, int] = MappingProxyType({}),
    ) -> bool:
        setting = self._setting(shard, owner, until_ms)
        setting["ExpressionAttributeValues"] |= to_attributes(values)
        try:
            self._client.update_item(**setting, ConditionExpression=condition)
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def _setting(self, shard: int, owner: str, until_ms: int) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": to_attributes({"shard": shard}),
            "UpdateExpression": "SET #owner = :owner, #until_ms = :until_ms",
            "ExpressionAttributeNames": {"#owner": "owner", "#until_ms": "until_ms"},
            "ExpressionAttributeValues": to_attributes({":owner": owner, ":until_ms": until_ms}),
        }
