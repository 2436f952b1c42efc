"""The PollerLeases table: whether a poller runs for a shard, and which shards there are.

That two pollers never share a shard rests on no lease: it would only cost questions. But a shard whose number is beyond
`ShardCount`, because that was larger once, is known by its lease alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import Table, ValueOf
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase
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


class Left(NamedTuple):
    """What the poller before has left to the one that has taken its lease over.

    Attributes
    ----------
    until_ms : int
        Until when it held the lease, or would have; 0 if there was none.
    behind : dict
        With which task to go on, by the names of the providers that have more tasks due than turns to ask.
    """

    until_ms: int
    behind: dict[str, Place]


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
        self._table = Table(client, table)

    def register(self, shard: int, now_ms: int) -> None:
        """Make the shard known, so that its tasks are polled even if `ShardCount` is lowered."""
        self._set(shard, "nobody", now_ms - _FREE_SINCE_MS, Attr("until_ms").not_exists())

    def shards(self) -> set[int]:
        """Return the shards that are known (strongly consistent)."""
        return {int(item["shard"]) for item in self._table.scan()}

    def retire(self, shard: int, now_ms: int) -> bool:
        """Forget a shard that has had no work for `RETIRE_AFTER_MS`; return whether it is forgotten."""
        write = self._table.delete({"shard": shard}, Attr("until_ms").lt(now_ms - RETIRE_AFTER_MS))
        return write.done or write.item is None

    def is_live(self, shard: int, now_ms: int) -> bool:
        """Return whether a poller holds the lease of `shard`."""
        return int((self._table.get({"shard": shard}) or {}).get("until_ms", 0)) > now_ms

    def take_over(self, shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease, whoever holds it; return whether a poller held it until now."""
        until_ms = now_ms + LEASE_MS
        mine = Attr("owner").eq(owner) & Attr("until_ms").eq(until_ms)
        write = self._table.update(
            {"shard": shard},
            # Kept on the item, as a second try can no longer see what the first one has replaced.
            set={"was_until_ms": ValueOf("until_ms", 0), "owner": owner, "until_ms": until_ms},
            condition=~mine,
            read=True,
        )
        return int((write.item or {}).get("was_until_ms", 0)) > now_ms

    def take_if_free(self, shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease if nobody else holds it; return whether it was taken."""
        is_free = Attr("until_ms").not_exists() | Attr("until_ms").lte(now_ms)
        return self._set(shard, owner, now_ms + LEASE_MS, is_free | Attr("owner").eq(owner))

    def renew(self, shard: int, owner: str, now_ms: int) -> bool:
        """Hold the lease for longer; return False if another poller has taken it over."""
        return self._set(shard, owner, now_ms + LEASE_MS, Attr("owner").eq(owner))

    def give_up(self, shard: int, owner: str, now_ms: int) -> bool:
        """Let the lease go; return False if another poller has taken it over."""
        return self._set(shard, owner, now_ms - _FREE_SINCE_MS, Attr("owner").eq(owner))

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
        is_free = Attr("until_ms").not_exists() | Attr("until_ms").lte(now_ms)
        is_old = (
            Attr("started_at_ms").not_exists()
            | Attr("started_at_ms").lte(now_ms - START_AGAIN_AFTER_MS)
            | Attr("started_at_ms").lte(Attr("until_ms"))
        )
        return self._table.update(
            {"shard": shard},
            set={
                "started_at_ms": now_ms,
                "starter": starter,
                # A shard may have been retired meanwhile: then its item is made anew, as that of a free lease.
                "owner": ValueOf("owner", "nobody"),
                "until_ms": ValueOf("until_ms", now_ms - _FREE_SINCE_MS),
            },
            condition=is_free & (is_old | Attr("starter").eq(starter)),
        ).done

    def undo_start(self, shard: int, starter: str) -> bool:
        """Let somebody else start a poller, since the start that was claimed came to nothing."""
        return self._table.update(
            {"shard": shard},
            remove=["started_at_ms", "starter"],
            condition=Attr("starter").eq(starter),
            mine=lambda lease: "starter" not in lease,
            only_in_doubt=True,
        ).done

    def left(self, shard: int) -> Left:
        """Return what the poller before the present one has left (strongly consistent)."""
        lease = self._table.get({"shard": shard}) or {}
        noted, was_until_ms = lease.get("behind"), lease.get("was_until_ms")
        behind = {
            name: Place(place["since_ms"], place["task_id"])
            for name, place in (noted.items() if isinstance(noted, dict) else ())
            if _is_place(place)
        }
        if not isinstance(was_until_ms, int) or not is_whole(was_until_ms, 0, LATEST_MS):
            was_until_ms = 0
        return Left(was_until_ms, behind)

    def note_behind(self, shard: int, owner: str, behind: Mapping[str, Place]) -> bool:
        """Note with which task to go on, by provider; return False if another poller has taken over."""
        return self._table.update(
            {"shard": shard},
            set={"behind": {name: place._asdict() for name, place in behind.items()}} if behind else {},
            remove=[] if behind else ["behind"],
            condition=Attr("owner").eq(owner),
        ).done

    def _set(self, shard: int, owner: str, until_ms: int, condition: ConditionBase) -> bool:
        values = {"owner": owner, "until_ms": until_ms}
        return self._table.update({"shard": shard}, set=values, condition=condition).done


def _is_place(noted: Any) -> bool:
    """Return whether this is a place that tunehook can have written."""
    return (
        isinstance(noted, dict)
        and is_whole(noted.get("since_ms"), 0, LATEST_MS)
        and isinstance(noted.get("task_id"), str)
    )
