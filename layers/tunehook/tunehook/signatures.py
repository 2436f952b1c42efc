"""Signatures of webhooks: Standard Webhooks 1.0.0, symmetric ``v1``, with secrets that are derived and never stored
(docs/webhook-contract.md, "The request").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

from tunehook.errors import InvalidInput, Misconfigured

MIN_MASTER_SECRET_LENGTH = 32

NOTIFY_HOOK_PREFIX = "hook_"
"""No subscription of a user may begin so: it would share the secret of a task's own hook."""

_PREFIX = "whsec_"
_SECRET_BYTES = 32
_HASH = hashlib.sha256
_SALT = b"tunehook/webhook-signing/v1"


def sign(message_id: str, timestamp_s: int, body: bytes, secrets: Sequence[bytes | str]) -> str:
    """Return the ``webhook-signature`` of one attempt: one ``v1,<base64>`` a secret, joined by one space.

    `message_id` is the ``webhook-id``, without a dot; `timestamp_s` the ``webhook-timestamp``; `secrets` are bytes, or
    texts as `derive_secret` makes them, newest first. Raise `InvalidInput` if a text is not ``whsec_`` and base64.
    """
    content = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    digests = (hmac.digest(_key(secret), content, "sha256") for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def derive_secret(master_secret: str, subscription_id: str, version: int) -> str:
    """Derive the signing secret of a subscription: ``whsec_`` and the standard base64 of 32 bytes.

    `subscription_id` is `notify_hook_subscription_id` for a task's own hook; `version` starts at 1, and a rotation
    raises it. Raise `Misconfigured` if the master secret has fewer than 32 characters.
    """
    if len(master_secret) < MIN_MASTER_SECRET_LENGTH:
        raise Misconfigured(f"the master secret has fewer than {MIN_MASTER_SECRET_LENGTH} characters")
    # The number comes first, so that no two pairs of version and id make the same text.
    info = f"{version}/{subscription_id}".encode()
    key = hkdf_sha256(master_secret.encode(), salt=_SALT, info=info, length=_SECRET_BYTES)
    return _PREFIX + base64.b64encode(key).decode()


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


def _key(secret: bytes | str) -> bytes:
    if isinstance(secret, bytes):
        return secret
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise InvalidInput("secret", f"not {_PREFIX} and base64") from None
