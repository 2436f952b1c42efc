"""The PollerLeases table: whether a poller runs for a shard, and which shards there are.

Nothing depends on a lease for correctness: two pollers of one shard only cost polls. But a shard whose number is beyond
`ShardCount`, because that was larger once, is known by its lease alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import TableGateway, ValueOf
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase

LEASE_MS: Final = 12_000
RENEW_EVERY_MS: Final = 4_000
RETIRE_AFTER_MS: Final = 3_600_000
"""How long the lease of a shard beyond `ShardCount` must have been free before the shard is forgotten."""

START_AGAIN_AFTER_MS: Final = 10_000
"""How long a poller that was started may take until it holds the lease, before another one is started."""

_FREE_SINCE_MS: Final = 1_000
"""A released lease is dated back by this, so that clocks which differ a little agree that it is free."""


class Position(NamedTuple):
    """A task's position in the order in which a shard's tasks are polled."""

    since_ms: int
    task_id: str


class Handover(NamedTuple):
    """What a poller finds on the lease that it has taken over.

    `until_ms` is when the lease of the poller before ended, 0 if there was none. `positions` has the task to go on with
    for each provider that had more tasks due than could be polled.
    """

    until_ms: int
    positions: dict[str, Position]


class Leases(TableGateway):
    """The leases of all shards."""

    def register(self, shard: int, now_ms: int) -> None:
        """Make the shard known, so that its tasks are polled even if `ShardCount` is lowered."""
        self._set(shard, "nobody", now_ms - _FREE_SINCE_MS, Attr("until_ms").not_exists())

    def shards(self) -> set[int]:
        """Return the shards that are known (strongly consistent)."""
        return {int(item["shard"]) for item in self._table.scan()}

    def retire(self, shard: int, now_ms: int) -> bool:
        """Forget a shard that has had no work for `RETIRE_AFTER_MS`; return whether it is forgotten."""
        write = self._table.delete({"shard": shard}, Attr("until_ms").lt(now_ms - RETIRE_AFTER_MS))
        return write.item is None

    def is_live(self, shard: int, now_ms: int) -> bool:
        """Return whether a poller holds the lease of `shard`."""
        return int((self._table.get({"shard": shard}) or {}).get("until_ms", 0)) > now_ms

    def take_over(self, shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease, whoever holds it; return whether a poller held it until now."""
        until_ms = now_ms + LEASE_MS
        mine = Attr("owner").eq(owner) & Attr("until_ms").eq(until_ms)
        write = self._table.update(
            {"shard": shard},
            # Kept on the item: a second try cannot see what the first one has replaced.
            set={"was_until_ms": ValueOf("until_ms", 0), "owner": owner, "until_ms": until_ms},
            condition=~mine,
            read=True,
        )
        return int(write.found["was_until_ms"]) > now_ms

    def take_if_free(self, shard: int, owner: str, now_ms: int) -> bool:
        """Take the lease if nobody else holds it; return whether it was taken."""
        return self._set(shard, owner, now_ms + LEASE_MS, _is_free(now_ms) | Attr("owner").eq(owner))

    def note_start(self, shard: int, now_ms: int, missed_after_ms: int) -> bool:
        """Note that a start of the schedule was not missed, and leave the lease free, and whose it was.

        Return False, and change nothing, if a poller holds it, if none has held it or was noted for `missed_after_ms`,
        or if it has positions to go on with.
        """
        is_known = Attr("until_ms").between(now_ms - missed_after_ms, now_ms)
        return self._table.update(
            {"shard": shard},
            set={"until_ms": now_ms - _FREE_SINCE_MS},
            condition=is_known & Attr("behind").not_exists(),
        ).done

    def renew(self, shard: int, owner: str, now_ms: int) -> bool:
        """Extend the lease; return False if another poller has taken it over."""
        return self._set(shard, owner, now_ms + LEASE_MS, Attr("owner").eq(owner))

    def give_up(self, shard: int, owner: str, now_ms: int) -> bool:
        """Release the lease; return False if another poller has taken it over."""
        return self._set(shard, owner, now_ms - _FREE_SINCE_MS, Attr("owner").eq(owner))

    def begin_start(self, shard: int, starter: str, now_ms: int) -> bool:
        """Claim the start of a poller for `shard`, which one of many callers gets.

        `starter` is another text each time, so that a claim whose answer was lost is recognised. The claim fails if a
        poller holds the lease, or was started within `START_AGAIN_AFTER_MS` and has not taken it yet.
        """
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
                # If the shard was retired meanwhile, its item is made anew, with a free lease.
                "owner": ValueOf("owner", "nobody"),
                "until_ms": ValueOf("until_ms", now_ms - _FREE_SINCE_MS),
            },
            condition=_is_free(now_ms) & (is_old | Attr("starter").eq(starter)),
        ).done

    def undo_start(self, shard: int, starter: str) -> bool:
        """Release the claim of a start that has failed; return False if it is another's."""
        return self._table.update(
            {"shard": shard},
            remove=["started_at_ms", "starter"],
            condition=Attr("starter").eq(starter),
            mine=lambda lease: "starter" not in lease,
            only_in_doubt=True,
        ).done

    def handover(self, shard: int) -> Handover:
        """Return what the poller before has left (strongly consistent), without what is malformed."""
        lease = self._table.get({"shard": shard}) or {}
        noted, until_ms = lease.get("behind"), lease.get("was_until_ms")
        saved = noted.items() if isinstance(noted, dict) else ()
        positions = {
            name: Position(each["since_ms"], each["task_id"]) for name, each in saved if _is_position(each)
        }
        return Handover(until_ms if is_whole(until_ms, 0, LATEST_MS) else 0, positions)

    def save_positions(self, shard: int, owner: str, positions: Mapping[str, Position]) -> bool:
        """Save the task to go on with by provider; return False if another poller has taken over."""
        return self._table.update(
            {"shard": shard},
            set={"behind": {name: each._asdict() for name, each in positions.items()}} if positions else {},
            remove=[] if positions else ["behind"],
            condition=Attr("owner").eq(owner),
        ).done

    def _set(self, shard: int, owner: str, until_ms: int, condition: ConditionBase) -> bool:
        values = {"owner": owner, "until_ms": until_ms}
        return self._table.update({"shard": shard}, set=values, condition=condition).done


def _is_free(now_ms: int) -> ConditionBase:
    return Attr("until_ms").not_exists() | Attr("until_ms").lte(now_ms)


def _is_position(noted: Any) -> bool:
    return (
        isinstance(noted, dict)
        and is_whole(noted.get("since_ms"), 0, LATEST_MS)
        and isinstance(noted.get("task_id"), str)
    )
