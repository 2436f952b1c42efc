"""The PollerLeases table: whether a poller runs for a shard, and which shards there are.

That two pollers never share a shard rests on no lease: it would only cost questions. But a shard whose number is beyond
`ShardCount`, because that was larger once, is known by its lease alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from botocore.exceptions import ClientError

from tunehook.aws.faults import is_condition_failure
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

LEASE_MS: Final = 12_000
RENEW_EVERY_MS: Final = 4_000
RETIRE_AFTER_MS: Final = 3_600_000
"""How long no poller has held the lease of a shard beyond `ShardCount` before it is forgotten."""

START_AGAIN_AFTER_MS: Final = 10_000
"""How long a poller that was started may take until it holds the lease, before another one is started."""

_FREE_SINCE_MS: Final = 1_000
"""A lease that is let go ended that long ago, so that clocks which differ a little agree that it is free."""


class Place(NamedTuple):
    """A task's place in the order in which a shard's tasks are asked about."""

    since_ms: int
    task_id: str


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

    def begin_start(self, shard: int, starter: str, now_ms: int) -> bool:
        """Claim the start of a poller for `shard`: of many who want it at the same time one gets it.

        Parameters
        ----------
        shard : int
        starter : str
            Who claims it: another text each time, so that a claim whose answer was lost is known again.
        now_ms : int
            The present moment in milliseconds since 1970.

        Returns
        -------
        bool
            False if a poller holds the lease, or was started within `START_AGAIN_AFTER_MS` and has not taken it yet.
        """
        return self._start_set(
            shard,
            # A shard may have been retired meanwhile: then its item is made anew, as that of a free lease.
            "SET #started_at_ms = :now_ms, #starter = :starter, #owner = if_not_exists(#owner, :nobody),"
            " #until_ms = if_not_exists(#until_ms, :free_ms)",
            "(attribute_not_exists(#until_ms) OR #until_ms <= :now_ms) AND (attribute_not_exists(#started_at_ms)"
            " OR #started_at_ms <= :before_ms OR #started_at_ms <= #until_ms OR #starter = :starter)",
            {
                ":now_ms": now_ms,
                ":starter": starter,
                ":nobody": "nobody",
                ":free_ms": now_ms - _FREE_SINCE_MS,
                ":before_ms": now_ms - START_AGAIN_AFTER_MS,
            },
        )

    def undo_start(self, shard: int, starter: str) -> bool:
        """Let somebody else start a poller, since the start that was claimed came to nothing."""
        return self._start_set(
            shard, "REMOVE #started_at_ms, #starter", "#starter = :starter", {":starter": starter}
        )

    def _start_set(self, shard: int, update: str, condition: str, values: Mapping[str, Any]) -> bool:
        names = ("started_at_ms", "starter", "owner", "until_ms")
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_attributes({"shard": shard}),
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in names if f"#{name}" in update},
                ExpressionAttributeValues=to_attributes(values),
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

    def behind(self, shard: int) -> dict[str, Place]:
        """Return with which task to go on, by the names of the providers that have more tasks due than turns to ask."""
        answer = self._client.get_item(
            TableName=self._table, Key=to_attributes({"shard": shard}), ConsistentRead=True
        )
        noted = from_attributes(answer.get("Item", {})).get("behind", {})
        return {
            name: Place(place["since_ms"], place["task_id"])
            for name, place in (noted.items() if isinstance(noted, dict) else ())
            if _is_place(place)
        }

    def note_behind(self, shard: int, owner: str, behind: Mapping[str, Place]) -> bool:
        """Note with which task to go on, by provider; return False if another poller has taken over."""
        setting: dict[str, Any] = {"UpdateExpression": "REMOVE #behind"}
        values: dict[str, Any] = {":owner": owner}
        if behind:
            setting["UpdateExpression"] = "SET #behind = :behind"
            values[":behind"] = {name: place._asdict() for name, place in behind.items()}
        try:
            self._client.update_item(
                TableName=self._table,
                Key=to_attributes({"shard": shard}),
                ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner", "#behind": "behind"},
                ExpressionAttributeValues=to_attributes(values),
                **setting,
            )
        except ClientError as error:
            if is_condition_failure(error):
                return False
            raise
        return True

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


def _is_place(noted: Any) -> bool:
    """Return whether this is a place that tunehook can have written."""
    return (
        isinstance(noted, dict)
        and is_whole(noted.get("since_ms"), 0, LATEST_MS)
        and isinstance(noted.get("task_id"), str)
    )
