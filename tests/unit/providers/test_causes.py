from __future__ import annotations

import errno
import socket
import ssl

import pytest

from tunehook.providers.causes import cause_of

HOST = "gw.example.com"


class LibraryError(Exception):
    """What an HTTP library raises, its cause behind it."""


def raised_from(cause: BaseException) -> BaseException:
    try:
        try:
            raise LibraryError("Cannot connect to host gw.example.com:443 ssl:default") from cause
        except LibraryError as error:
            raise LibraryError("ConnectError") from error
    except LibraryError as error:
        return error


def not_verified(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "the connection was refused"),
        (OSError(errno.EHOSTUNREACH, "no route"), "the host cannot be reached"),
        (OSError(errno.ENETUNREACH, "no network"), "the network cannot be reached"),
        (TimeoutError(errno.ETIMEDOUT, "timed out"), "the host does not take the connection"),
        (OSError(errno.EMFILE, "too many open files"), "too many connections are open here"),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), "the name does not resolve: gw.example.com"),
        (not_verified(10, "certificate has expired"), "TLS: the certificate has expired"),
        (
            not_verified(62, "Hostname mismatch"),
            "TLS: the certificate is not valid for the name gw.example.com",
        ),
        (
            not_verified(20, "unable to get local issuer certificate"),
            "TLS: the certificate is of an unknown issuer",
        ),
        (not_verified(68, "CA signature digest too weak"), "TLS: CA signature digest too weak"),
        (tls_error("WRONG_VERSION_NUMBER"), "TLS: the host speaks no TLS on this port (plain http?)"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "TLS: tlsv1 alert protocol version"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_error_of_the_system_is_told_in_words_however_deep_it_lies(
    cause: BaseException, words: str
) -> None:
    assert cause_of(cause, HOST) == words
    assert cause_of(raised_from(cause), HOST) == words


def test_a_text_in_words_is_told_as_it_is() -> None:
    assert cause_of(LibraryError("more than 256 kB of\n headers"), HOST) == "more than 256 kB of headers"


def test_a_connection_that_broke_is_called_so_where_nothing_else_is_said() -> None:
    assert cause_of(BrokenPipeError(errno.EPIPE, "Broken pipe"), HOST) == "the connection broke"
    assert (
        cause_of(raised_from(ConnectionResetError(errno.ECONNRESET, "reset")), HOST) == "the connection broke"
    )


@pytest.mark.parametrize(
    ("error", "words"), [(LibraryError("odd"), "LibraryError: odd"), (LibraryError(), "LibraryError")]
)
def test_what_says_nothing_in_words_is_told_by_its_name(error: BaseException, words: str) -> None:
    assert cause_of(error, HOST) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "no answer of https://h.example/secret/path?key=1#x at all",
            "no answer of https://h.example at all",
        ),
        ("bad url 'HTTP://user:word@h.example:8080/secret'", "bad url 'HTTP://h.example:8080'"),
    ],
)
def test_of_a_url_only_the_host_is_told(text: str, words: str) -> None:
    assert cause_of(LibraryError(text), HOST) == words


def test_a_cause_is_bounded() -> None:
    assert len(cause_of(LibraryError("so much " * 1000), HOST)) == 300


def test_errors_that_are_each_others_cause_end() -> None:
    first, second = LibraryError("first"), LibraryError("second")
    first.__cause__, second.__cause__ = second, first
    assert cause_of(first, HOST) == "LibraryError: first"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionAbortedError(errno.ECONNABORTED, "aborted"), "the connection broke"),
        (OSError(errno.EADDRNOTAVAIL, "no"), "the host's address cannot be connected to"),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"),
        (OSError("plain words"), "plain words"),
    ],
)
def test_an_error_of_the_system_is_a_broken_connection_only_where_it_is_one(
    error: OSError, words: str
) -> None:
    assert cause_of(error, HOST) == words


def test_an_error_that_came_while_another_was_handled_tells_that_one() -> None:
    error = LibraryError("Connect")
    error.__context__ = OSError(errno.EHOSTUNREACH, "no route")
    assert cause_of(error, HOST) == "the host cannot be reached"


def test_one_word_is_bounded_together_with_its_name() -> None:
    assert cause_of(LibraryError("x" * 400), HOST) == f"LibraryError: {'x' * 400}"[:300]
