"""The ApiKeys table: the keys of the HTTP API, without their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.api_keys import ApiKey, Scope
from tunehook.aws.table import TableGateway, ValueOf

NOTED_EVERY_MS: Final = 3_600_000
"""How often the last use of a key is written at most."""


class ApiKeysTable(TableGateway):
    """The ApiKeys table."""

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key (strongly consistent), or None."""
        item = self._table.get({"key_id": key_id})
        return None if item is None else _key(item)

    def all(self) -> list[ApiKey]:
        """Return every key (strongly consistent), in no order."""
        return [_key(item) for item in self._table.scan()]

    def create(self, key: ApiKey) -> bool:
        """Put a new key; return False, and change nothing, if its id is another key's."""
        return self._table.create({"key_id": key.key_id}, _item(key)).done

    def revoke(self, key_id: str, now_ms: int) -> ApiKey | None:
        """Revoke a key for ever, and return it as it is now; None if there is none.

        One that was revoked before keeps its moment.
        """
        write = self._table.update(
            {"key_id": key_id},
            set={"revoked_at_ms": ValueOf("revoked_at_ms", now_ms)},
            condition=Attr("key_id").exists(),
            read=True,
        )
        return None if write.item is None else _key(write.item)

    def note_use(self, key: ApiKey, now_ms: int) -> bool:
        """Write that a key is used now, unless that was written within the last hour, or the key is gone.

        Return whether it was written.
        """
        if key.last_used_at_ms is not None and key.last_used_at_ms > now_ms - NOTED_EVERY_MS:
            return False
        write = self._table.update(
            {"key_id": key.key_id},
            set={"last_used_at_ms": now_ms},
            condition=Attr("key_id").exists()
            & (Attr("last_used_at_ms").not_exists() | Attr("last_used_at_ms").lte(now_ms - NOTED_EVERY_MS)),
            mine=lambda item: item.get("last_used_at_ms") == now_ms,
        )
        return write.done


def _item(key: ApiKey) -> dict[str, Any]:
    values = {
        "key_id": key.key_id,
        "name": key.name,
        "scope": key.scope.value,
        "digest": key.digest,
        "created_at_ms": key.created_at_ms,
        "expires_at_ms": key.expires_at_ms,
        "last_used_at_ms": key.last_used_at_ms,
        "revoked_at_ms": key.revoked_at_ms,
    }
    return {name: value for name, value in values.items() if value is not None}


def _key(item: Mapping[str, Any]) -> ApiKey:
    return ApiKey(
        key_id=item["key_id"],
        name=item["name"],
        scope=Scope(item["scope"]),
        digest=item["digest"],
        created_at_ms=item["created_at_ms"],
        expires_at_ms=item.get("expires_at_ms"),
        last_used_at_ms=item.get("last_used_at_ms"),
        revoked_at_ms=item.get("revoked_at_ms"),
    )
