"""Ed25519 (RFC 8032) by libsodium, which is loaded at the first signature: most subscriptions ask for none
(docs/decisions/046-ed25519-and-own-schedules.md).
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any, Final

SECRET_KEY_BYTES: Final = 64
_SIGNATURE_BYTES: Final = 64


def key_pair(seed: bytes) -> tuple[bytes, bytes]:
    """Return the public key (32 bytes) and the secret key (64 bytes: seed and public key) of a seed of 32 bytes.

    Raises `ValueError` for a seed of another length.
    """
    public, secret = _libsodium().crypto_sign_seed_keypair(seed)
    return bytes(public), bytes(secret)


def sign(secret_key: bytes, content: bytes) -> bytes:
    """Return the signature (64 bytes) of a content; raise `ValueError` for a key that is not 64 bytes long."""
    return bytes(_libsodium().crypto_sign(content, secret_key)[:_SIGNATURE_BYTES])


@functools.cache
def _libsodium() -> Any:
    # Its compiled part has the same name for every processor: the layer has a folder for each
    # (layers/dependencies/wheels.py). Elsewhere there is no such folder, and it is a package like the others.
    here = f"only-{os.uname().machine}"
    sys.path += [str(folder) for path in sys.path if (folder := Path(path, here)).is_dir()]
    from nacl import bindings

    return bindings
