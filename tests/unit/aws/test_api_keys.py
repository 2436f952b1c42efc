"""The ApiKeys table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.aws import client, create_table

from tunehook.api_keys import ApiKey, Scope
from tunehook.aws.api_keys import ApiKeysTable

# As documented, and not imported: a bound that moves is to be noticed.
NOTED_EVERY_MS = 3_600_000

NOW_MS = 1_800_000_000_000
KEY = ApiKey("key-1", "shop", Scope.WRITE, "digest", created_at_ms=NOW_MS)
WHOLE = replace(KEY, key_id="key-2", expires_at_ms=NOW_MS + 1, last_used_at_ms=NOW_MS + 2)


@pytest.fixture
def keys(aws: None) -> ApiKeysTable:
    create_table("ApiKeysTable")
    return ApiKeysTable(client("dynamodb"), "ApiKeysTable")


def test_what_is_put_is_what_is_read(keys: ApiKeysTable) -> None:
    assert keys.create(KEY)
    assert keys.create(WHOLE)
    assert (keys.get("key-1"), keys.get("key-2"), keys.get("key-3")) == (KEY, WHOLE, None)
    assert sorted(keys.all(), key=lambda key: key.key_id) == [KEY, WHOLE]


def test_no_key_takes_the_place_of_another(keys: ApiKeysTable) -> None:
    keys.create(KEY)
    assert not keys.create(replace(KEY, name="thief"))
    assert keys.get("key-1") == KEY


def test_a_key_stays_revoked_since_the_first_time(keys: ApiKeysTable) -> None:
    keys.create(KEY)
    first = keys.revoke("key-1", NOW_MS)
    assert first == keys.revoke("key-1", NOW_MS + 5) == replace(KEY, revoked_at_ms=NOW_MS)


def test_what_is_not_there_is_neither_revoked_nor_used(keys: ApiKeysTable) -> None:
    assert keys.revoke("key-1", NOW_MS) is None
    assert not keys.note_use(KEY, NOW_MS)
    assert keys.all() == []


def test_the_use_that_another_has_just_noted_is_not_noted_again(keys: ApiKeysTable) -> None:
    keys.create(KEY)
    assert keys.note_use(KEY, NOW_MS)
    # It has read the key before that.
    assert not keys.note_use(KEY, NOW_MS + 1)
    assert not keys.note_use(KEY, NOW_MS + NOTED_EVERY_MS - 1)
    assert keys.note_use(KEY, NOW_MS + NOTED_EVERY_MS)
    assert keys.get("key-1") == replace(KEY, last_used_at_ms=NOW_MS + NOTED_EVERY_MS)


def test_whoever_knows_of_a_use_within_the_hour_asks_nobody(keys: ApiKeysTable) -> None:
    keys.create(used := replace(KEY, last_used_at_ms=NOW_MS))
    asks_nobody = ApiKeysTable(None, "ApiKeysTable")  # type: ignore[arg-type]
    assert not asks_nobody.note_use(used, NOW_MS + NOTED_EVERY_MS - 1)
    assert keys.note_use(used, NOW_MS + NOTED_EVERY_MS)
