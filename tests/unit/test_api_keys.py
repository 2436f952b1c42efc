"""Keys of the HTTP API: what they look like, and that nothing but the whole key is the key."""

from __future__ import annotations

import re

import pytest

from tunehook.api_keys import (
    ApiKey,
    KeyState,
    Scope,
    digest_of,
    is_secret_of,
    key_text,
    make_key,
    parse_key,
)


def test_a_key_is_one_word_of_200_random_bits_beside_its_id() -> None:
    made = {make_key() for _ in range(50)}
    assert len({key_id for key_id, _ in made}) == len({secret for _, secret in made}) == 50
    for key_id, secret in made:
        text = key_text(key_id, secret)
        assert re.fullmatch(r"thk_[a-z2-7]{8}_[a-z2-7]{40}", text)
        assert parse_key(text) == (key_id, secret)
        # Five bits a letter.
        assert len(secret) * 5 >= 160


@pytest.mark.parametrize(
    "text", ["", "thk_", "thk_a_b", "sk_aaaaaaaa_" + "a" * 40, "thk_aaaaaaaa_" + "a" * 41]
)
def test_other_texts_are_no_keys(text: str) -> None:
    assert parse_key(text) is None


def test_a_secret_is_that_of_the_key_whose_digest_is_kept() -> None:
    key_id, secret = make_key()
    key = ApiKey(key_id, "shop", Scope.READ, digest_of(secret), created_at_ms=0)
    assert is_secret_of(key, secret)
    assert not is_secret_of(key, make_key()[1])
    assert not is_secret_of(key, digest_of(secret))
    assert not is_secret_of(None, secret)
    assert secret not in repr(key)


def test_a_key_is_good_until_it_expires_or_is_revoked() -> None:
    def state(now_ms: int, **moments: int) -> KeyState:
        return ApiKey("id", "shop", Scope.READ, "", created_at_ms=0, **moments).state(now_ms)

    assert state(10**15) is KeyState.ACTIVE
    assert [state(now_ms, expires_at_ms=5) for now_ms in (4, 5)] == [KeyState.ACTIVE, KeyState.EXPIRED]
    assert state(1, expires_at_ms=5, revoked_at_ms=1) is KeyState.REVOKED


def test_a_scope_allows_what_smaller_ones_allow() -> None:
    allowed = {scope: [each for each in Scope if scope.allows(each)] for scope in Scope}
    assert allowed == {
        Scope.READ: [Scope.READ],
        Scope.WRITE: [Scope.READ, Scope.WRITE],
        Scope.ADMIN: [Scope.READ, Scope.WRITE, Scope.ADMIN],
    }
