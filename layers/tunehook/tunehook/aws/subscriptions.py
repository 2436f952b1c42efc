"""The Subscriptions table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import TableGateway, ValueOf


class SubscriptionsTable(TableGateway):
    """The Subscriptions table."""

    def all(self) -> list[dict[str, Any]]:
        """Return every item as plain Python values (strongly consistent)."""
        return list(self._table.scan())

    def naming(self, event: str) -> list[dict[str, Any]]:
        """Return `enabled` and `providers` of the items whose `events` name one (strongly consistent)."""
        attributes = ("enabled", "providers")
        return list(self._table.scan(where=Attr("events").contains(event), attributes=attributes))

    def get(self, subscription_id: str) -> dict[str, Any] | None:
        """Return an item as plain Python values (strongly consistent), or None."""
        return self._table.get(_key(subscription_id))

    def create(self, item: Mapping[str, Any]) -> bool:
        """Put a new item; return False, and change nothing, if its ``subscription_id`` is another item's."""
        return self._table.create(_key(item["subscription_id"]), item).done

    def delete(self, subscription_id: str) -> bool:
        """Delete an item; return False if there is none."""
        return self._table.delete(_key(subscription_id)).done

    def mark(self, subscription_id: str, disabled_reason: str | None) -> None:
        """Set the reason why nothing is delivered to a subscription, or remove it with None."""
        if disabled_reason is None:
            self._update(subscription_id, {}, ["disabled_reason"])
        else:
            self._update(subscription_id, {"disabled_reason": disabled_reason})

    def mark_failing(self, subscription_id: str, since_ms: int) -> dict[str, Any] | None:
        """Set since when an enabled subscription fails, unless that is set.

        Returns the item as it is now; None if there is none, or if it is disabled.
        """
        write = self._table.update(
            _key(subscription_id),
            set={"failing_since_ms": ValueOf("failing_since_ms", since_ms)},
            condition=_IS_THERE & ~Attr("enabled").eq(False),
            read=True,
        )
        return write.item if write.done else None

    def mark_warned(self, subscription_id: str, moment_ms: int) -> None:
        """Set up to which moment of its failing there was a warning."""
        self._update(subscription_id, {"failing_warned_ms": moment_ms})

    def clear_failing(self, subscription_id: str) -> None:
        """Forget since when a subscription fails."""
        is_failing = Attr("failing_since_ms").exists()
        self._table.update(_key(subscription_id), remove=["failing_since_ms"], condition=is_failing)

    def change(self, subscription_id: str, values: Mapping[str, Any]) -> bool:
        """Set attributes of an item, and leave the others; return False if there is none."""
        return self._update(subscription_id, values)

    def disable(self, subscription_id: str, reason: str) -> None:
        """Disable a subscription for a reason, and forget since when it fails."""
        self._update(subscription_id, {"enabled": False, "disabled_reason": reason}, _FAILING)

    def enable(self, subscription_id: str) -> bool:
        """Enable a subscription, and forget since when it fails; return False if there is none."""
        return self._update(subscription_id, {"enabled": True}, ["disabled_reason", *_FAILING])

    def _update(self, subscription_id: str, values: Mapping[str, Any], remove: Iterable[str] = ()) -> bool:
        """Update an item; one that was deleted meanwhile stays deleted."""
        return self._table.update(_key(subscription_id), set=values, remove=remove, condition=_IS_THERE).done


_IS_THERE: Final = Attr("subscription_id").exists()
_FAILING: Final = ("failing_since_ms", "failing_warned_ms")


def _key(subscription_id: str) -> dict[str, Any]:
    return {"subscription_id": subscription_id}
