"""The SecretVersions table: which version of each subscription's secret signs, where no user writes.

An item of the Subscriptions table is its user's: it may be put again without the version, or deleted and made anew.
What was retired must stay so whatever happens there. So the count is kept here, only rises, and outlives the
subscription; the item's own attributes are read once, where there is no count yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import Table
from tunehook.secret_versions import FIRST, SecretVersions, versions_on

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


class SecretVersionsTable:
    """The SecretVersions table.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The table's name.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._table = Table(client, name)

    def get(self, subscription_id: str) -> SecretVersions | None:
        """Return what is kept of a subscription, strongly consistent, or None."""
        item = self._table.get(_key(subscription_id))
        return None if item is None else _versions(item)

    def ids(self) -> set[str]:
        """Return the subscriptions of which something is kept; this reads the whole table."""
        return {item["subscription_id"] for item in self._table.scan(attributes=["subscription_id"])}

    def of(self, item: Mapping[str, Any]) -> SecretVersions:
        """Return the versions of a subscription.

        Where nothing is kept of it yet, and its item says that it was rotated, that is kept from now on. Of one that
        was never rotated nothing is written.

        Parameters
        ----------
        item : mapping
            Its item of the Subscriptions table.
        """
        subscription_id = str(item["subscription_id"])
        kept = self.get(subscription_id)
        if kept is not None:
            return kept
        found = versions_on(item)
        return found if found == FIRST else self.keep(subscription_id, found)

    def keep(self, subscription_id: str, versions: SecretVersions) -> SecretVersions:
        """Keep the versions of a subscription of which nothing is kept yet; return what is kept then."""
        key = _key(subscription_id)
        write = self._table.create(key, key | _attributes(versions))
        return versions if write.done else _versions(write.item or {})

    def rotate(
        self, item: Mapping[str, Any], versions: SecretVersions, *, previous_until_ms: int, rotation: str
    ) -> SecretVersions | None:
        """Raise a subscription's version by one. The version before the present one signs no more.

        Parameters
        ----------
        item : mapping
            Its item of the Subscriptions table.
        versions : SecretVersions
            What `of` said.
        previous_until_ms : int
            Until when the version that was present signs too, in milliseconds since 1970
            (docs/webhook-contract.md, "The request").
        rotation : str
            Names this rotation and no other, so that it is known as done where boto3 repeats it after a lost answer.

        Returns
        -------
        SecretVersions or None
            What is kept now; None, and nothing is changed, if another rotation was faster.
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
