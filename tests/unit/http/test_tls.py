"""What an error of TLS means, by OpenSSL's numbers and words."""

import ssl

import pytest

from tunehook.http.tls import TlsProblem, tls_cause


def not_verified(code: int, words: str = "") -> ssl.SSLError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, words
    return error


def failed(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "failed")
    error.reason = reason  # type: ignore[assignment]
    return error


@pytest.mark.parametrize(
    ("code", "problem", "words"),
    [
        (9, TlsProblem.OTHER, "the certificate is not valid yet"),
        (10, TlsProblem.EXPIRED, "the certificate has expired"),
        (18, TlsProblem.UNKNOWN_ISSUER, "the certificate is signed by itself, by no known issuer"),
        (19, TlsProblem.UNKNOWN_ISSUER, "the certificate is of an unknown issuer"),
        (20, TlsProblem.UNKNOWN_ISSUER, "the certificate is of an unknown issuer"),
        (
            21,
            TlsProblem.UNKNOWN_ISSUER,
            "the certificate is of an unknown issuer (its chain is not complete)",
        ),
        (23, TlsProblem.OTHER, "the certificate was revoked"),
        (62, TlsProblem.ANOTHER_NAME, "the certificate is not valid for the name"),
        (64, TlsProblem.ANOTHER_NAME, "the certificate is not valid for the name"),
        (68, TlsProblem.OTHER, "too weak"),
        (0, TlsProblem.OTHER, "too weak"),
    ],
)
def test_a_certificate_is_judged_by_its_number(code: int, problem: TlsProblem, words: str) -> None:
    assert tls_cause(not_verified(code, "too weak")) == (problem, words)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (not_verified(99), "the certificate is not valid"),
        *[
            (failed(reason), "the host speaks no TLS on this port (plain http?)")
            for reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
        ],
        (failed("TLSV1_ALERT_INTERNAL_ERROR"), "tlsv1 alert internal error"),
        (failed(None), "the handshake failed"),
        (ssl.SSLError(1, "no reason"), "the handshake failed"),
    ],
)
def test_anything_else_is_told_in_words(error: ssl.SSLError, words: str) -> None:
    assert tls_cause(error) == (TlsProblem.OTHER, words)


def test_a_reason_that_python_has_no_name_for_is_known_by_its_words() -> None:
    error = ssl.SSLError(1, "[SSL] record layer failure (_ssl.c:1028)")
    assert tls_cause(error) == (TlsProblem.OTHER, "the host speaks no TLS on this port (plain http?)")
