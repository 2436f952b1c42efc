"""The SecretVersions table: which version of each subscription's secret signs.

Users write the items of the Subscriptions table: one may be put again without the version, or deleted and made anew. A
version that was retired must stay retired. So the count is kept here, only rises, and outlives the subscription; the
item's own attributes are read once, while there is no count yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import TableGateway
from tunehook.secret_versions import FIRST, SecretVersions, versions_on


class SecretVersionsTable(TableGateway):
    """The SecretVersions table."""

    def get(self, subscription_id: str) -> SecretVersions | None:
        """Return the stored versions of a subscription (strongly consistent), or None."""
        item = self._table.get(_key(subscription_id))
        return None if item is None else _versions(item)

    def ids(self) -> set[str]:
        """Return the subscriptions that have stored versions; this reads the whole table."""
        return {item["subscription_id"] for item in self._table.scan(attributes=["subscription_id"])}

    def of(self, item: Mapping[str, Any]) -> SecretVersions:
        """Return the versions of the subscription that has this item in the Subscriptions table.

        If none are stored and the item says that the secret was rotated, the item's are stored from now on.
        """
        subscription_id = str(item["subscription_id"])
        if (stored := self.get(subscription_id)) is not None:
            return stored
        found = versions_on(item)
        return found if found == FIRST else self.keep(subscription_id, found)

    def keep(self, subscription_id: str, versions: SecretVersions) -> SecretVersions:
        """Store the versions of a subscription that has none; return what is stored afterwards."""
        key = _key(subscription_id)
        write = self._table.create(key, key | _attributes(versions))
        return versions if write.done else _versions(write.found)

    def rotate(
        self, item: Mapping[str, Any], versions: SecretVersions, *, previous_until_ms: int, rotation: str
    ) -> SecretVersions | None:
        """Raise the version of the subscription that has this item, if `versions` are the stored ones still.

        The version before the present one signs no more; the present one signs until `previous_until_ms` too
        (docs/webhook-contract.md, "The request"). `rotation` is a unique name by which this rotation is recognised if
        boto3 repeats it. Return what is stored now; None, and change nothing, if another rotation was faster.
        """
        subscription_id = str(item["subscription_id"])
        if self.keep(subscription_id, versions).present != versions.present:
            return None
        rotated = SecretVersions(present=versions.present + 1, previous_until_ms=previous_until_ms)
        write = self._table.update(
            _key(subscription_id),
            set=_attributes(rotated) | {"rotation": rotation},
            condition=Attr("secret_version").eq(versions.present),
            mine=lambda kept: kept.get("rotation") == rotation,
        )
        return rotated if write.done else None


def _key(subscription_id: str) -> dict[str, Any]:
    return {"subscription_id": subscription_id}


def _attributes(versions: SecretVersions) -> dict[str, Any]:
    return {"secret_version": versions.present, "previous_secret_until_ms": versions.previous_until_ms}


def _versions(item: Mapping[str, Any]) -> SecretVersions:
    return SecretVersions(present=item["secret_version"], previous_until_ms=item["previous_secret_until_ms"])
