"""`tunehook keys`: a key is printed once, alone on standard output, and never again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.aws import items

from tunehook.api_keys import parse_key

pytestmark = pytest.mark.usefixtures("stack")


def test_create_prints_the_key_alone(tunehook: Any) -> None:
    result = tunehook("keys", "create", "shop", "--scope", "write", "--expires", "90d")
    key_id, secret = parse_key(result.stdout.removesuffix("\n")) or ("", "")
    assert result.exit_code == 0
    assert f"Created the key {key_id} for shop, with the scope write, until " in result.stderr
    assert secret
    assert secret not in result.stderr + json.dumps(items("ApiKeysTable"))


def test_create_prints_a_document(tunehook: Any) -> None:
    document = json.loads(tunehook("keys", "create", "shop", "--json").stdout)
    assert parse_key(document["key"]) is not None
    assert (document["name"], document["scope"], document["state"]) == ("shop", "read", "active")


def test_list_shows_what_is_kept(tunehook: Any) -> None:
    assert "There are no keys" in tunehook("keys", "list").stderr
    text = tunehook("keys", "create", "shop").stdout.strip()
    key_id, secret = parse_key(text) or ("", "")
    shown = tunehook("keys", "list").stdout
    assert f"{key_id}  shop  read   active" in shown
    (document,) = json.loads(tunehook("keys", "list", "--json").stdout)
    assert document["key_id"] == key_id
    assert secret not in shown + json.dumps(document)


def test_revoke_says_what_it_did(tunehook: Any) -> None:
    key_id, _ = parse_key(tunehook("keys", "create", "shop").stdout.strip()) or ("", "")
    assert tunehook("keys", "revoke", "shop").stdout == f"Revoked the key {key_id} of shop.\n"
    again = json.loads(tunehook("keys", "revoke", key_id, "--json").stdout)
    assert again["state"] == "revoked"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "shop", "--expires", "soon"), "tunehook: --expires: must be a whole number and a unit"),
        (("create", " "), "tunehook: NAME: must be 1 to 64 printable characters"),
        (("revoke", "nobody"), "tunehook: ID: there is none of this id or name"),
    ],
)
def test_what_is_wrong_is_named(tunehook: Any, words: tuple[str, ...], said: str) -> None:
    result = tunehook("keys", *words)
    assert (result.exit_code, result.stderr[: len(said)]) == (2, said)
