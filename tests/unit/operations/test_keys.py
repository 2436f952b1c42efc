"""Keys of the HTTP API are made, listed and revoked, and what is kept of one is of no use to a thief."""

from __future__ import annotations

import json
import re

import pytest
from tests.support.aws import items

from tunehook.api_keys import KeyState, Scope, make_key, parse_key
from tunehook.errors import Conflict, InvalidInput, NotFound
from tunehook.operations import keys
from tunehook.operations.documents import key_document
from tunehook.operations.stack import Stack
from tunehook.times import now_ms

HOUR_MS = 3_600_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The moment that operations see, in milliseconds, as the only element."""
    moment = [now_ms()]
    monkeypatch.setattr(keys, "now_ms", lambda: moment[0])
    return moment


def test_a_new_key_is_what_its_holder_was_told(found: Stack, clock: list[int]) -> None:
    created = keys.create_key(found, "shop", Scope.WRITE, expires_in_ms=HOUR_MS)
    key_id, secret = parse_key(created.text) or ("", "")
    assert (created.key.key_id, created.key.scope) == (key_id, Scope.WRITE)
    assert (created.key.created_at_ms, created.key.expires_at_ms) == (clock[0], clock[0] + HOUR_MS)
    assert found.api_keys.get(key_id) == created.key
    assert secret not in json.dumps(items("ApiKeysTable"))


def test_a_key_may_only_read_and_for_ever_unless_told_otherwise(found: Stack) -> None:
    key = keys.create_key(found, "shop").key
    assert (key.scope, key.expires_at_ms) == (Scope.READ, None)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", " shop", "shop ", "\x00", "thk_" + "a" * 20])
def test_a_name_is_a_short_text(found: Stack, name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.create_key(found, name)
    assert caught.value.field == "name"
    assert keys.list_keys(found) == []


@pytest.mark.parametrize("life_ms", [0, 59_999, 3650 * 86_400_000 + 1])
def test_a_life_has_bounds(found: Stack, life_ms: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        keys.create_key(found, "shop", expires_in_ms=life_ms)
    assert caught.value.field == "expires"


def test_of_two_keys_of_one_name_one_is_good_at_most(found: Stack, clock: list[int]) -> None:
    first = keys.create_key(found, "shop", expires_in_ms=HOUR_MS).key
    with pytest.raises(Conflict, match=first.key_id):
        keys.create_key(found, "shop")
    clock[0] += HOUR_MS
    second = keys.create_key(found, "shop").key
    keys.revoke_key(found, "shop")
    assert [each.state(clock[0]) for each in keys.list_keys(found)] == [KeyState.REVOKED, KeyState.EXPIRED]
    assert keys.list_keys(found)[0].key_id == second.key_id


def test_keys_of_other_names_are_good_beside_it(found: Stack) -> None:
    names = ["shop", "x", "x" * 64]
    for name in names:
        keys.create_key(found, name)
    assert sorted(each.name for each in keys.list_keys(found)) == names


@pytest.mark.parametrize("life_ms", [60_000, 3650 * 86_400_000])
def test_a_life_may_be_a_minute_or_ten_years(found: Stack, clock: list[int], life_ms: int) -> None:
    assert keys.create_key(found, "shop", expires_in_ms=life_ms).key.expires_at_ms == clock[0] + life_ms


def test_an_id_that_was_drawn_twice_makes_no_second_key(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = make_key()
    monkeypatch.setattr(keys, "make_key", lambda: drawn)
    keys.create_key(found, "shop")
    with pytest.raises(Conflict, match="drawn twice"):
        keys.create_key(found, "other")
    assert [each.name for each in keys.list_keys(found)] == ["shop"]


def test_a_key_is_revoked_by_its_id_too(found: Stack, clock: list[int]) -> None:
    key = keys.create_key(found, "shop").key
    assert keys.revoke_key(found, key.key_id).revoked_at_ms == clock[0]
    with pytest.raises(NotFound):
        keys.revoke_key(found, "shop")


def test_nobody_writes_a_key_down_to_revoke_it(found: Stack) -> None:
    text = keys.create_key(found, "shop").text
    with pytest.raises(InvalidInput) as caught:
        keys.revoke_key(found, text)
    assert type(caught.value) is InvalidInput
    assert text not in str(caught.value)
    assert keys.list_keys(found)[0].revoked_at_ms is None


def test_its_document_has_no_digest(found: Stack, clock: list[int]) -> None:
    key = keys.create_key(found, "shop", Scope.ADMIN).key
    document = key_document(key, clock[0]).to_json()
    assert document.pop("created_at")
    assert document == {
        "key_id": key.key_id,
        "name": "shop",
        "scope": "admin",
        "state": "active",
        "expires_at": None,
        "last_used_at": None,
        "revoked_at": None,
    }
    assert not re.search("[0-9a-f]{64}", str(document))
