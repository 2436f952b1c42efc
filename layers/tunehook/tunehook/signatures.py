"""Signatures of webhooks: Standard Webhooks 1.0.0, symmetric ``v1`` and asymmetric ``v1a``, with secrets and keys that
are derived and never stored (docs/webhook-contract.md, "The request" and "Ed25519").
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
from collections.abc import Sequence
from enum import StrEnum

from tunehook import ed25519
from tunehook.errors import InvalidInput, Misconfigured

MIN_MASTER_SECRET_LENGTH = 32

NOTIFY_HOOK_PREFIX = "hook_"
"""No subscription of a user may begin so: it would share the secret of a task's own hook."""

_PREFIX = "whsec_"
_SECRET_KEY_PREFIX = "whsk_"  # noqa: S105 - no secret, but how one begins
_PUBLIC_KEY_PREFIX = "whpk_"
_SECRET_BYTES = 32
_HASH = hashlib.sha256
_SALT = b"tunehook/webhook-signing/v1"


class SignatureScheme(StrEnum):
    """By what the webhooks of a subscription are signed (`docs/webhook-contract.md`, "Ed25519")."""

    V1 = "v1"
    V1A = "v1a"
    BOTH = "both"

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The identifiers of the signatures, in the order in which they stand in the header."""
        return ("v1", "v1a") if self is SignatureScheme.BOTH else (self.value,)


def sign(message_id: str, timestamp_s: int, body: bytes, secrets: Sequence[bytes | str]) -> str:
    """Return the ``webhook-signature`` of one attempt: one signature a secret, joined by one space.

    `message_id` is the ``webhook-id``, without a dot; `timestamp_s` the ``webhook-timestamp``; `secrets` are bytes, or
    texts as `derive_secret` makes them, for ``v1,<base64>``, and as `derive_secret_key` does, for ``v1a,<base64>``,
    newest first. Raise `InvalidInput` if a text is not its prefix and base64.
    """
    content = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    return " ".join(_signature(secret, content) for secret in secrets)


def signing_texts(
    master_secret: str, subscription_id: str, version: int, scheme: SignatureScheme
) -> tuple[str, ...]:
    """Return what `sign` takes for one version of a subscription's secret, in the order of the scheme's signatures."""
    derive = {"v1": derive_secret, "v1a": derive_secret_key}
    return tuple(derive[each](master_secret, subscription_id, version) for each in scheme.identifiers)


def derive_secret(master_secret: str, subscription_id: str, version: int) -> str:
    """Derive the signing secret of a subscription: ``whsec_`` and the standard base64 of 32 bytes.

    `subscription_id` is `notify_hook_subscription_id` for a task's own hook; `version` starts at 1, and a rotation
    raises it. Raise `Misconfigured` if the master secret has fewer than 32 characters.
    """
    # The number comes first, so that no two pairs of version and id make the same text.
    key = _derive(master_secret, f"{version}/{subscription_id}")
    return _PREFIX + base64.b64encode(key).decode()


def derive_secret_key(master_secret: str, subscription_id: str, version: int) -> str:
    """Derive the Ed25519 key that signs a subscription's webhooks: ``whsk_`` and the base64 of seed and public key.

    The parameters and errors are those of `derive_secret`.
    """
    _, secret_key = _key_pair(master_secret, subscription_id, version)
    return _SECRET_KEY_PREFIX + base64.b64encode(secret_key).decode()


def derive_public_key(master_secret: str, subscription_id: str, version: int) -> str:
    """Derive what verifies these signatures: ``whpk_`` and the base64 of 32 bytes; as `derive_secret_key`."""
    public_key, _ = _key_pair(master_secret, subscription_id, version)
    return _PUBLIC_KEY_PREFIX + base64.b64encode(public_key).decode()


def _key_pair(master_secret: str, subscription_id: str, version: int) -> tuple[bytes, bytes]:
    # No info of a secret begins so: theirs begin with a number.
    return ed25519.key_pair(_derive(master_secret, f"ed25519/{version}/{subscription_id}"))


def _derive(master_secret: str, info: str) -> bytes:
    if len(master_secret) < MIN_MASTER_SECRET_LENGTH:
        raise Misconfigured(f"the master secret has fewer than {MIN_MASTER_SECRET_LENGTH} characters")
    return hkdf_sha256(master_secret.encode(), salt=_SALT, info=info.encode(), length=_SECRET_BYTES)


@functools.lru_cache(maxsize=1024)
def notify_hook_subscription_id(url: str) -> str:
    """Return the id of the subscription that a task's own ``notify_hook`` stands for: ``hook_`` and 32 hex digits.

    Each URL has its own, and with it its own secret: one receiver cannot forge what another gets.
    """
    return f"{NOTIFY_HOOK_PREFIX}{_HASH(url.encode()).hexdigest()[:32]}"


def hkdf_sha256(key_material: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    """Derive a key of at most 8,160 bytes with HKDF-SHA256 (RFC 5869, sections 2.2 and 2.3)."""
    # No salt is one of zeros (section 2.2), with which HMAC pads its keys anyway.
    pseudorandom_key = hmac.digest(salt, key_material, "sha256")
    output = block = b""
    for counter in range(1, -(-length // _HASH().digest_size) + 1):
        block = hmac.digest(pseudorandom_key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


def _signature(secret: bytes | str, content: bytes) -> str:
    if isinstance(secret, str) and secret.startswith(_SECRET_KEY_PREFIX):
        key = _decoded(secret, _SECRET_KEY_PREFIX)
        if len(key) != ed25519.SECRET_KEY_BYTES:
            raise InvalidInput("secret", f"not {_SECRET_KEY_PREFIX} and {ed25519.SECRET_KEY_BYTES} bytes")
        return f"v1a,{base64.b64encode(ed25519.sign(key, content)).decode()}"
    key = secret if isinstance(secret, bytes) else _decoded(secret, _PREFIX)
    return f"v1,{base64.b64encode(hmac.digest(key, content, 'sha256')).decode()}"


@functools.lru_cache(maxsize=256)
def _decoded(secret: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(prefix), validate=True)
    except binascii.Error:
        raise InvalidInput("secret", f"not {prefix} and base64") from None
