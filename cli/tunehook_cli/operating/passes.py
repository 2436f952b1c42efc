"""Which shards there are, and until when each was watched, from the PollerLeases table.

A pass that finds nothing to do takes no lease: of an idle stack the table does not say whether its schedule runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunehook.aws.items import from_attributes

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NOBODY: Final = "nobody"
"""Who holds the lease of a shard that was made known and never polled (`tunehook.aws.leases.Leases.register`)."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Whether a poller watches a shard.

    Attributes
    ----------
    shard : int
        The shard.
    live : bool
        Whether a poller holds its lease.
    seen_ms : int or None
        When the last lease ended, or will; a poller that ends by itself lets it end with it. None if no poller ever
        held one.
    """

    shard: int
    live: bool
    seen_ms: int | None


def watches(dynamodb: DynamoDBClient, table: str, shard_count: int, now_ms: int) -> list[Watch]:
    """Return how each shard is watched: those below `shard_count`, and those left from when it was larger."""
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    leases = {item["shard"]: item for page in pages for item in map(from_attributes, page["Items"])}
    found = []
    for shard in sorted({*leases, *range(shard_count)}):
        lease = leases.get(shard, {"owner": _NOBODY})
        seen_ms = None if lease["owner"] == _NOBODY else lease["until_ms"]
        found.append(Watch(shard, seen_ms is not None and seen_ms > now_ms, seen_ms))
    return found
