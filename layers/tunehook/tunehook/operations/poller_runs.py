"""Which shards there are, and until when a poller held the lease of each.

A run that finds nothing to do takes no lease: of an idle stack the table does not say whether its schedule runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tunehook.aws.items import from_attributes
from tunehook.operations.stack import Stack

_NOBODY: Final = "nobody"
"""Who holds the lease of a shard that was made known and never polled (`tunehook.aws.leases.Leases.register`)."""


@dataclass(frozen=True, slots=True)
class ShardLease:
    """The lease of a shard: whether it is `live`, and when it ended or will (None if no poller ever held one)."""

    shard: int
    live: bool
    seen_ms: int | None


def shard_leases(stack: Stack, now_ms: int) -> list[ShardLease]:
    """Return the lease of each shard: those that new tasks are put into, and those left from when there were more.

    >>> [each.live for each in shard_leases(stack, 0)]
    [False]
    """
    pages = (
        stack.client("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=stack.output("PollerLeasesTable"), ConsistentRead=True)
    )
    leases = {item["shard"]: item for page in pages for item in map(from_attributes, page["Items"])}
    found = []
    for shard in sorted({*leases, *range(stack.shard_count)}):
        lease = leases.get(shard, {"owner": _NOBODY})
        seen_ms = None if lease["owner"] == _NOBODY else lease["until_ms"]
        found.append(ShardLease(shard, seen_ms is not None and seen_ms > now_ms, seen_ms))
    return found
