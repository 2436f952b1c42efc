"""The Subscriptions table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import Table, ValueOf

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
        self._table = Table(client, name)

    def all(self) -> list[dict[str, Any]]:
        """Return every item as plain Python values (strongly consistent)."""
        return list(self._table.scan())

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
        """Say on a subscription why nothing is delivered to it, or, with None, that something is again."""
        if disabled_reason is None:
            self._update(subscription_id, remove=["disabled_reason"])
        else:
            self._update(subscription_id, {"disabled_reason": disabled_reason})

    def mark_failing(self, subscription_id: str, since_ms: int) -> dict[str, Any] | None:
        """Say since when an enabled subscription fails, unless it says so already.

        Returns
        -------
        dict or None
            The item as it is now; None if there is none, or if it is disabled.
        """
        write = self._table.update(
            _key(subscription_id),
            set={"failing_since_ms": ValueOf("failing_since_ms", since_ms)},
            condition=_IS_THERE & ~Attr("enabled").eq(False),
            read=True,
        )
        return write.item if write.done else None

    def mark_warned(self, subscription_id: str, moment_ms: int) -> None:
        """Say up to which moment of its failing a subscription has been warned of."""
        self._update(subscription_id, {"failing_warned_ms": moment_ms})

    def clear_failing(self, subscription_id: str) -> None:
        """Say that a subscription does not fail any more."""
        self._table.update(
            _key(subscription_id),
            remove=["failing_since_ms"],
            condition=Attr("failing_since_ms").exists(),
        )

    def disable(self, subscription_id: str, reason: str) -> None:
        """Disable a subscription and say why. How it has failed is forgotten: once enabled, it starts anew."""
        self._update(subscription_id, {"enabled": False, "disabled_reason": reason}, _FAILING)

    def enable(self, subscription_id: str) -> bool:
        """Enable a subscription, and forget how it has failed; return False if there is none."""
        return self._update(subscription_id, {"enabled": True}, ["disabled_reason", *_FAILING])

    def _update(
        self, subscription_id: str, values: Mapping[str, Any] | None = None, remove: Iterable[str] = ()
    ) -> bool:
        """Update an item; one that was deleted meanwhile stays deleted."""
        return self._table.update(_key(subscription_id), set=values, remove=remove, condition=_IS_THERE).done


_IS_THERE: Final = Attr("subscription_id").exists()
_FAILING: Final = ("failing_since_ms", "failing_warned_ms")


def _key(subscription_id: str) -> dict[str, Any]:
    return {"subscription_id": subscription_id}
