"""Whose key a request has: good ones are told apart, others are refused, and none of it is written anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.support.aws import Context, Faulty, client, fault, items

from api import app
from api.authorizer import authorize, is_question
from tunehook.api_keys import ApiKey, Scope, digest_of, key_text, make_key
from tunehook.aws.api_keys import ApiKeysTable

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
REFUSED = {"isAuthorized": False}


def question(authorization: str | None) -> dict[str, Any]:
    """What the gateway asks of a request with this header."""
    headers = {} if authorization is None else {"authorization": authorization}
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3/$default/GET/v1/tasks",
        "identitySource": [authorization] if authorization else [],
        "routeKey": "ANY /v1/{proxy+}",
        "rawPath": "/v1/tasks",
        "headers": headers,
    }


def add(keys: ApiKeysTable, **values: Any) -> tuple[str, str]:
    """Put a key, and return its id and its text."""
    key_id, secret = make_key()
    made = ApiKey(key_id, "shop", Scope.WRITE, digest_of(secret), created_at_ms=NOW_MS - 1)
    keys.create(replace(made, **values))
    return key_id, key_text(key_id, secret)


def ask(keys: ApiKeysTable, authorization: str | None, now_ms: int = NOW_MS) -> dict[str, Any]:
    return authorize(question(authorization), keys, lambda: now_ms)


def test_a_good_key_is_told_with_its_name_and_its_scope(keys: ApiKeysTable) -> None:
    key_id, text = add(keys)
    expected = {"isAuthorized": True, "context": {"key_id": key_id, "name": "shop", "scope": "write"}}
    assert ask(keys, f"Bearer {text}") == ask(keys, f"bearer {text}") == expected


def test_what_is_no_key_is_refused_without_a_look_into_the_table() -> None:
    nothing = ApiKeysTable(Faulty(client("dynamodb"), get_item=[fault()]), "ApiKeysTable")
    good = key_text(*make_key())
    for given in (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {good}",
        good,
        f"Bearer {good}x",
        f"Bearer {good} y",
    ):
        assert ask(nothing, given) == REFUSED, given
    for given in (good[4:], good.upper(), good.replace("_", "-"), "thk_" + "a" * 49, "é" * 20):
        assert ask(nothing, f"Bearer {given}") == REFUSED, given


def test_an_unknown_key_and_a_wrong_secret_are_refused(keys: ApiKeysTable) -> None:
    key_id, _ = add(keys)
    assert ask(keys, f"Bearer {key_text(*make_key())}") == REFUSED
    assert ask(keys, f"Bearer {key_text(key_id, make_key()[1])}") == REFUSED


def test_a_key_opens_until_it_expires(keys: ApiKeysTable) -> None:
    _, text = add(keys, expires_at_ms=NOW_MS + 1)
    assert ask(keys, f"Bearer {text}")["isAuthorized"] is True
    assert ask(keys, f"Bearer {text}", NOW_MS + 1) == REFUSED


def test_a_revoked_key_opens_nothing(keys: ApiKeysTable) -> None:
    key_id, text = add(keys)
    keys.revoke(key_id, NOW_MS)
    assert ask(keys, f"Bearer {text}") == REFUSED


def test_its_use_is_written_once_an_hour(keys: ApiKeysTable) -> None:
    key_id, text = add(keys)
    counted = Faulty(client("dynamodb"))
    table = ApiKeysTable(counted, "ApiKeysTable")
    seen = []
    for now_ms in (NOW_MS, NOW_MS + 1, NOW_MS + HOUR_MS - 1, NOW_MS + HOUR_MS):
        assert ask(table, f"Bearer {text}", now_ms)["isAuthorized"] is True
        found = keys.get(key_id)
        assert found is not None
        seen.append(found.last_used_at_ms)
    assert seen == [NOW_MS, NOW_MS, NOW_MS, NOW_MS + HOUR_MS]
    assert [name for name, _ in counted.calls if name == "update_item"] == ["update_item"] * 2


def test_a_use_that_cannot_be_written_keeps_nobody_out(
    keys: ApiKeysTable, caplog: pytest.LogCaptureFixture
) -> None:
    _, text = add(keys)
    table = ApiKeysTable(Faulty(client("dynamodb"), update_item=[fault()]), "ApiKeysTable")
    assert ask(table, f"Bearer {text}")["isAuthorized"] is True
    assert "use_of_key_not_noted" in caplog.text


def test_nobody_comes_in_while_keys_cannot_be_read(keys: ApiKeysTable) -> None:
    _, text = add(keys)
    table = ApiKeysTable(Faulty(client("dynamodb"), get_item=[fault()]), "ApiKeysTable")
    with pytest.raises(type(fault())):
        ask(table, f"Bearer {text}")


def test_no_part_of_a_secret_is_logged_or_kept(
    deployed: None, keys: ApiKeysTable, caplog: pytest.LogCaptureFixture
) -> None:
    key_id, text = add(keys)
    secret = text.rpartition("_")[2]
    app.handler(question(f"Bearer {text}"), Context())
    app.handler(question(f"Bearer {text}x"), Context())
    app.handler(question(f"Bearer {key_text(make_key()[0], secret)}"), Context())
    keys.revoke(key_id, NOW_MS)
    app.handler(question(f"Bearer {text}"), Context())
    fields = [vars(record) for record in caplog.records]
    assert [each["reason"] for each in fields] == ["malformed", "unknown", "revoked"]
    assert secret not in str(fields)
    assert secret not in json.dumps(items("ApiKeysTable"))


def test_a_question_is_told_from_a_request() -> None:
    assert is_question(question(None))
    assert not is_question({"version": "2.0", "rawPath": "/v1/tasks", "requestContext": {}})
    assert not is_question({"type": "REQUEST"})
    assert not is_question({"routeArn": "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3"})
