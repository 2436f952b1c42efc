"""Keys of the HTTP API: ``thk_<key_id>_<secret>``, of which only a digest of the secret is kept.

The secret is 200 random bits, so that a plain SHA-256 is as good as a slow hash: there is nothing to guess.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "thk_"

_SECRET_BYTES: Final = 25
_ID_BYTES: Final = 5
_KEY: Final = re.compile(r"thk_([a-z2-7]{8})_([a-z2-7]{40})")
_NO_DIGEST: Final = "-" * 64
"""As long as a digest, and none."""


class Scope(StrEnum):
    """What a key may do: ``READ`` all that changes nothing; ``WRITE`` tasks and deliveries too; ``ADMIN`` all."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, needed: Scope) -> bool:
        """Return whether a key of this scope may do what needs another.

        >>> Scope.WRITE.allows(Scope.READ), Scope.WRITE.allows(Scope.ADMIN)
        (True, False)
        """
        order = tuple(Scope)
        return order.index(self) >= order.index(needed)


class KeyState(StrEnum):
    """Whether a key opens anything, and if not, why."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key; times in milliseconds since 1970, None for never. `digest` is that of its secret."""

    key_id: str
    name: str
    scope: Scope
    digest: str
    created_at_ms: int
    expires_at_ms: int | None = None
    last_used_at_ms: int | None = None
    revoked_at_ms: int | None = None

    def state(self, now_ms: int) -> KeyState:
        """Return what the key is worth at a moment."""
        if self.revoked_at_ms is not None:
            return KeyState.REVOKED
        if self.expires_at_ms is not None and self.expires_at_ms <= now_ms:
            return KeyState.EXPIRED
        return KeyState.ACTIVE


def make_key() -> tuple[str, str]:
    """Return a new key's id and its secret.

    >>> key_id, secret = make_key()
    >>> parse_key(key_text(key_id, secret)) == (key_id, secret)
    True
    """
    return _random_text(_ID_BYTES), _random_text(_SECRET_BYTES)


def key_text(key_id: str, secret: str) -> str:
    """Return a key as its holder sends it."""
    return f"{PREFIX}{key_id}_{secret}"


def parse_key(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key, or None if a text cannot be one.

    >>> parse_key("thk_none") is None
    True
    """
    match = _KEY.fullmatch(text)
    return (match[1], match[2]) if match else None


def digest_of(secret: str) -> str:
    """Return what is kept of a secret: its SHA-256 in 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret_of(key: ApiKey | None, secret: str) -> bool:
    """Return whether a secret is a key's, in a time that tells nothing about it; None is a key that nobody has."""
    kept = _NO_DIGEST if key is None else key.digest
    return hmac.compare_digest(digest_of(secret).encode(), kept.encode())


def _random_text(size: int) -> str:
    """Return so many random bytes, a multiple of five, as letters and digits that nobody confuses."""
    return base64.b32encode(secrets.token_bytes(size)).decode().lower()
