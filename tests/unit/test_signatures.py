import base64
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from tunehook import ed25519
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.signatures import (
    SignatureScheme,
    derive_public_key,
    derive_secret,
    derive_secret_key,
    hkdf_sha256,
    notify_hook_subscription_id,
    sign,
    signing_texts,
)

MASTER = "m" * 32


def test_the_published_vector_of_standard_webhooks_is_met() -> None:
    signature = sign(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("key", "salt", "info", "length", "expected"),
    [
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
    ids=["A.1", "A.2", "A.3"],
)
def test_the_vectors_of_rfc_5869_are_met(key: str, salt: str, info: str, length: int, expected: str) -> None:
    output = hkdf_sha256(
        bytes.fromhex(key), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length
    )
    assert output.hex() == expected


def test_a_signature_is_verified_by_the_reference_library() -> None:
    secret = derive_secret(MASTER, "sub", 1)
    body = '{"title":"我的曲目"}'.encode()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": sign("msg_1", int(now.timestamp()), body, [secret]),
    }
    assert Webhook(secret).verify(body, headers) == {"title": "我的曲目"}


def test_each_of_two_secrets_verifies_and_the_newest_comes_first() -> None:
    newer, older = derive_secret(MASTER, "sub", 2), derive_secret(MASTER, "sub", 1)
    now_s = int(datetime.now(UTC).timestamp())
    signature = sign("msg_1", now_s, b"{}", [newer, older])
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now_s), "webhook-signature": signature}
    assert Webhook(newer).verify(b"{}", headers) == {}
    assert Webhook(older).verify(b"{}", headers) == {}
    assert signature == f"{sign('msg_1', now_s, b'{}', [newer])} {sign('msg_1', now_s, b'{}', [older])}"


def test_a_secret_is_whsec_and_the_standard_base64_of_32_bytes() -> None:
    secret = derive_secret(MASTER, "sub", 1)
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


def test_a_secret_stays_the_same_for_ever() -> None:
    # Receivers have it in their configuration: a change here breaks every one of them.
    assert derive_secret(MASTER, "sub", 1) == "whsec_czzhwZ0ot/Pro3rva76lbLdZHHiVf18g0GOOvwYt/mE="


def test_master_secret_subscription_and_version_each_make_another_secret() -> None:
    secrets = {
        derive_secret(master, subscription, version)
        for master in (MASTER, "n" * 32)
        for subscription in ("sub", "1/sub", "sub1", "")
        for version in (1, 11, 2)
    }
    assert len(secrets) == 2 * 4 * 3


def test_a_key_in_bytes_and_its_text_sign_alike() -> None:
    secret = derive_secret(MASTER, "sub", 1)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert sign("msg_1", 1, b"{}", [key]) == sign("msg_1", 1, b"{}", [secret])


def test_a_master_secret_of_31_characters_is_too_short() -> None:
    with pytest.raises(Misconfigured) as caught:
        derive_secret("m" * 31, "sub", 1)
    assert "m" * 31 not in str(caught.value)


def test_a_secret_that_is_not_base64_is_refused_without_being_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        sign("msg_1", 1, b"{}", ["whsec_hunter2!"])
    assert "hunter2" not in str(caught.value)


def test_each_notify_hook_has_a_subscription_of_its_own() -> None:
    one = notify_hook_subscription_id("https://a.example/")
    assert one == notify_hook_subscription_id("https://a.example/")
    assert one != notify_hook_subscription_id("https://b.example/")
    assert one.startswith("hook_")
    assert len(one) == 37


# The key of Svix's server, with which the specification's own example of ``v1a`` is made.
VECTOR_KEY = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
VECTOR = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="


def verify_ed25519(public_key: str, content: bytes, signature: str) -> None:
    key = Ed25519PublicKey.from_public_bytes(
        base64.b64decode(public_key.removeprefix("whpk_"), validate=True)
    )
    key.verify(base64.b64decode(signature.removeprefix("v1a,"), validate=True), content)


def test_the_example_of_the_specification_is_met_by_ed25519() -> None:
    assert sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [VECTOR_KEY]) == VECTOR


@given(st.text(max_size=40), st.integers(1, 10**9), st.binary(max_size=300))
def test_whatever_is_signed_is_verified_by_the_public_key_and_by_no_other(
    subscription_id: str, version: int, body: bytes
) -> None:
    signature = sign("msg_1", 7, body, [derive_secret_key(MASTER, subscription_id, version)])
    content = b"msg_1.7." + body
    verify_ed25519(derive_public_key(MASTER, subscription_id, version), content, signature)
    for other, altered in ((version + 1, content), (version, content + b"x")):
        with pytest.raises(InvalidSignature):
            verify_ed25519(derive_public_key(MASTER, subscription_id, other), altered, signature)


def test_a_key_pair_stays_the_same_for_ever() -> None:
    # Receivers have the public key in their configuration: a change here breaks every one of them.
    assert derive_public_key(MASTER, "sub", 1) == "whpk_vL7466jquNTmVluNA7vYgnqYHNlmlgzhkuq35H/+TyU="


def test_the_seed_of_a_key_is_no_secret_of_any_subscription() -> None:
    seed = base64.b64decode(derive_secret_key(MASTER, "sub", 1).removeprefix("whsk_"))[:32]
    ids = ("sub", "ed25519/1/sub", "1/sub")
    assert base64.b64encode(seed).decode() not in {derive_secret(MASTER, each, 1)[6:] for each in ids}


def test_both_signatures_stand_in_one_header_and_the_hmac_comes_first() -> None:
    texts = signing_texts(MASTER, "sub", 1, SignatureScheme.BOTH)
    assert [each.partition(",")[0] for each in sign("msg_1", 1, b"{}", texts).split(" ")] == ["v1", "v1a"]


@pytest.mark.parametrize("text", ["whsk_hunter2!", "whsk_aHVudGVyMg==", "whsk_"])
def test_a_key_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        sign("msg_1", 1, b"{}", [text])
    assert "hunter2" not in str(caught.value)


def test_libsodium_is_found_in_the_folder_of_this_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / f"only-{os.uname().machine}"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    ed25519._libsodium.cache_clear()
    ed25519.key_pair(bytes(32))
    assert str(folder) in sys.path
