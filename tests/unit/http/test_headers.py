import pytest

from tunehook.errors import InvalidInput
from tunehook.http.headers import check_headers


def test_ordinary_headers_are_accepted() -> None:
    check_headers({"Authorization": "Bearer abc", "X-Tenant": "a b\tc", "x-empty": ""})


def test_ten_headers_are_the_most() -> None:
    headers = {f"x-{number}": "v" for number in range(10)}
    check_headers(headers)
    with pytest.raises(InvalidInput, match="more than 10"):
        check_headers(headers | {"x-11": "v"})


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "\x00", "é", "\x7f", " a", "a ", "a" * 2049])
def test_a_value_that_could_break_the_request_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_headers({"x-token": value})
    assert caught.value.field == "headers.x-token"


def test_the_error_keeps_the_value_to_itself() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_headers({"x-token": "hunter2\n"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a\n", "é", "a\r\nb", "x" * 129])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="headers: a name"):
        check_headers({name: "v"})


@pytest.mark.parametrize(
    "name",
    [
        "webhook-id",
        "Webhook-Signature",
        "WEBHOOK-timestamp",
        "webhook-anything",
        "Content-Type",
        "content-length",
        "Host",
        "User-Agent",
        "Accept-Encoding",
        "connection",
        "Transfer-Encoding",
        "TE",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-authorization",
        "expect",
    ],
)
def test_headers_of_the_contract_and_of_the_connection_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="not yours to set"):
        check_headers({name: "v"})


def test_a_header_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInput, match="given twice"):
        check_headers({"X-A": "1", "x-a": "2"})


def test_2048_characters_are_the_longest_value() -> None:
    check_headers({"x-token": "a" * 2048})


def test_every_header_that_is_ours_or_the_connections_is_refused() -> None:
    for name in (
        *(
            "accept-encoding",
            "content-encoding",
            "content-length",
            "content-type",
            "expect",
            "host",
            "user-agent",
        ),
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade", "webhook-id", "webhook-x"),
    ):
        with pytest.raises(InvalidInput, match="not yours to set"):
            check_headers({name: "v"})
