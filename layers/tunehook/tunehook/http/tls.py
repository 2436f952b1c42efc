"""Why TLS failed, as a kind and as a text. No HTTP library is imported here."""

from __future__ import annotations

import re
import ssl
from enum import Enum
from typing import Final


class TlsProblem(Enum):
    """What is wrong with the TLS of a server."""

    EXPIRED = "expired"
    ANOTHER_NAME = "another name"
    UNKNOWN_ISSUER = "unknown issuer"
    OTHER = "other"


_ANOTHER_NAME: Final = (TlsProblem.ANOTHER_NAME, "the certificate is not valid for the name")
_UNKNOWN_ISSUER: Final = (TlsProblem.UNKNOWN_ISSUER, "the certificate is of an unknown issuer")

# By OpenSSL's X509_V_ERR numbers.
_OF_CERTIFICATES: Final = {
    9: (TlsProblem.OTHER, "the certificate is not valid yet"),
    10: (TlsProblem.EXPIRED, "the certificate has expired"),
    18: (TlsProblem.UNKNOWN_ISSUER, "the certificate is signed by itself, by no known issuer"),
    19: _UNKNOWN_ISSUER,
    20: _UNKNOWN_ISSUER,
    21: (TlsProblem.UNKNOWN_ISSUER, f"{_UNKNOWN_ISSUER[1]} (its chain is not complete)"),
    23: (TlsProblem.OTHER, "the certificate was revoked"),
    62: _ANOTHER_NAME,
    64: _ANOTHER_NAME,
}
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons; the last is that of the one which Python 3.14 is built with."""

_WORDS: Final = re.compile(r"\[SSL\] ([a-z][a-z0-9 ]{1,80}) \(_ssl\.c:")


def tls_cause(error: ssl.SSLError) -> tuple[TlsProblem, str]:
    """Return what an error of the ``ssl`` module means; nothing of the peer is quoted but OpenSSL's own words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = getattr(error, "verify_message", None) or "the certificate is not valid"
        return _OF_CERTIFICATES.get(getattr(error, "verify_code", 0), (TlsProblem.OTHER, words))
    # A Python older than its OpenSSL has no name for a newer reason, but its words.
    said = _WORDS.search(str(error))
    unnamed = said[1].upper().replace(" ", "_") if said else "the handshake failed"
    reason = getattr(error, "reason", None) or unnamed
    if reason in _NO_TLS:
        return TlsProblem.OTHER, "the host speaks no TLS on this port (plain http?)"
    return TlsProblem.OTHER, str(reason).replace("_", " ").lower()
