"""The CallbackHintsTable: what providers have called back about, until the poller has asked about it.

A hint says that a provider knows something new of a task. It is worth a question, and nothing else is believed of it.
The hints of a shard share one partition, so that one Query finds them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from boto3.dynamodb.conditions import Attr, Key

from tunehook.aws.table import TableGateway
from tunehook.ids import digest
from tunehook.keys import RANGE_KEY_MAX_BYTES
from tunehook.tasks import TaskKey
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

KEPT_MS: Final = 3_600_000
"""How long a hint is kept that nobody reads: polling has told of its task long before."""

TAKE_IN_KEPT_MS: Final = 86_400_000
"""How long a task that is not in the Tasks table may wait for a provider that cannot be asked about it."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What one item says.

    Parameters
    ----------
    shard : int
        The shard whose poller asks.
    key : TaskKey
        The task that was called about, which may not exist.
    hinted_at_ms : int
        When the last callback about it came, in milliseconds since 1970.
    take_in_at_ms : int, optional
        Of a task that was not in the Tasks table: when it may be taken in. None if it was there.
    """

    shard: int
    key: TaskKey
    hinted_at_ms: int
    take_in_at_ms: int | None = None


class CallbackHintsTable(TableGateway):
    """The hints of all shards."""

    def put(self, shard: int, key: TaskKey, now_ms: int) -> None:
        """Say that a callback about a task of the Tasks table has come at `now_ms`.

        It always changes the item, if there is one: else a callback that comes while the poller is asking would be
        deleted with the one before.
        """
        self._table.update(
            _key(shard, key),
            set=_attributes(key, now_ms, now_ms + KEPT_MS),
            remove=["take_in_at_ms"],
        )

    def put_unknown(self, shard: int, key: TaskKey, now_ms: int, take_in_at_ms: int) -> bool:
        """Say that a callback about a task that is not in the Tasks table has come.

        Return False, and change nothing, if there is a hint of this task already: as it stays until `take_in_at_ms`,
        a task that nobody knows costs one question for all callbacks until then.
        """
        item = _attributes(key, now_ms, take_in_at_ms + TAKE_IN_KEPT_MS) | {"take_in_at_ms": take_in_at_ms}
        return self._table.update(
            _key(shard, key),
            set=item,
            # DynamoDB removes what has expired when it finds the time.
            condition=Attr("hint").not_exists() | Attr("expires_at").lt(now_ms // 1000),
            mine=lambda found: item.items() <= found.items(),
            only_in_doubt=True,
        ).done

    def of_shard(self, shard: int, *, consistent: bool = False) -> list[Hint]:
        """Return the hints of a shard by one Query (more where there is more than a megabyte), malformed ones left out.

        Without `consistent`, those of the last second may be missing.
        """
        condition = Key("queue").eq(_queue(shard))
        found = self._table.query(condition, consistent=consistent)
        return list(_hints(shard, found))

    def claim_take_in(self, hint: Hint, until_ms: int) -> Hint | None:
        """Claim the question about a task that is not in the Tasks table; return the hint as it is now.

        No other poller asks about it before `until_ms`, nor does this one if it dies. None says that another has
        claimed it, or that a callback has come meanwhile.
        """
        unchanged = Attr("hinted_at_ms").eq(hint.hinted_at_ms) & Attr("take_in_at_ms").eq(hint.take_in_at_ms)
        write = self._table.update(
            _key(hint.shard, hint.key),
            set={"take_in_at_ms": until_ms},
            condition=unchanged,
            mine=lambda found: (
                (found.get("hinted_at_ms"), found.get("take_in_at_ms")) == (hint.hinted_at_ms, until_ms)
            ),
            # Another may claim it in the same millisecond.
            only_in_doubt=True,
        )
        return replace(hint, take_in_at_ms=until_ms) if write.done else None

    def delete(self, hint: Hint) -> bool:
        """Delete a hint, unless another callback has come since it was read; return whether it is gone."""
        write = self._table.delete(_key(hint.shard, hint.key), Attr("hinted_at_ms").eq(hint.hinted_at_ms))
        return write.item is None


def _queue(shard: int) -> str:
    return f"hints#{shard}"


def _key(shard: int, key: TaskKey) -> dict[str, Any]:
    hint = f"{key.provider}#{key.task_id}"
    if len(hint.encode()) > RANGE_KEY_MAX_BYTES:
        hint = f"{key.provider}#{digest(key.task_id)}"
    return {"queue": _queue(shard), "hint": hint}


def _attributes(key: TaskKey, now_ms: int, until_ms: int) -> dict[str, Any]:
    return {
        "task_id": key.task_id,
        "provider": key.provider,
        "hinted_at_ms": now_ms,
        "expires_at": until_ms // 1000,
    }


def _hints(shard: int, items: Iterator[Mapping[str, Any]]) -> Iterator[Hint]:
    """Yield what items say that tunehook can have written."""
    for item in items:
        task_id, provider = item.get("task_id"), item.get("provider")
        hinted_at_ms, take_in_at_ms = item.get("hinted_at_ms"), item.get("take_in_at_ms")
        if (
            isinstance(task_id, str)
            and isinstance(provider, str)
            and is_whole(hinted_at_ms, 0, LATEST_MS)
            and (take_in_at_ms is None or is_whole(take_in_at_ms, 0, LATEST_MS))
        ):
            yield Hint(shard, TaskKey(task_id, provider), hinted_at_ms, take_in_at_ms)
