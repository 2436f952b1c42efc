"""Requests as they go over the wire."""

import asyncio

import pytest

from tunehook import __version__
from tunehook.http.request_bytes import Peer, request_bytes

OURS = [f"user-agent: tunehook/{__version__}", "accept-encoding: identity", "accept: */*"]


def lines_of(request: bytes) -> list[str]:
    head, _, _ = request.decode().partition("\r\n\r\n")
    first, *headers = head.split("\r\n")
    return [first, *sorted(headers)]


async def made(
    method: str, headers: dict[str, str], body: bytes | None, origin: str = "https://h.example"
) -> bytes:
    return request_bytes(method, "/a?b", Peer(origin, asyncio.get_running_loop()), headers, body)


async def test_a_question_has_what_was_given_and_what_every_request_has() -> None:
    request = await made("GET", {"X-A": "1", "Accept": "a/b"}, None)
    assert lines_of(request) == [
        "GET /a?b HTTP/1.1",
        *sorted(["host: h.example", "X-A: 1", "Accept: a/b", *OURS[:2]]),
    ]
    assert request.endswith(b"\r\n\r\n")


async def test_a_body_follows_with_its_length() -> None:
    request = await made(
        "POST", {"content-type": "a/b", "Content-Length": "9", "transfer-encoding": "chunked"}, b"\xff"
    )
    expected = ["content-length: 1", "content-type: a/b", "host: h.example", *OURS]
    assert lines_of(request.removesuffix(b"\xff")) == ["POST /a?b HTTP/1.1", *sorted(expected)]


@pytest.mark.parametrize("body", [None, b""])
async def test_a_post_without_body_says_so(body: bytes | None) -> None:
    expected = ["content-length: 0", "content-type: application/octet-stream", "host: h.example", *OURS]
    assert lines_of(await made("POST", {}, body)) == ["POST /a?b HTTP/1.1", *sorted(expected)]


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://h.example:443", "h.example"),
        ("http://h.example:8080", "h.example:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
async def test_the_host_is_named_as_the_url_has_it(origin: str, host: str) -> None:
    assert f"host: {host}" in lines_of(await made("GET", {}, None, origin))


async def test_name_and_password_of_an_origin_become_a_header() -> None:
    request = await made("GET", {}, None, "http://me:secret@h.example")
    assert "authorization: Basic bWU6c2VjcmV0" in lines_of(request)


@pytest.mark.parametrize(
    ("method", "target"),
    [("GET", "/a\r\nx: y"), ("GET", "/\n"), ("GET", "/\r"), ("GET", "/\0"), ("G\nET", "/")],
)
async def test_a_line_that_would_be_more_than_one_is_refused(method: str, target: str) -> None:
    peer = Peer("https://h.example", asyncio.get_running_loop())
    with pytest.raises(ValueError, match="request line holds a line break"):
        request_bytes(method, target, peer, {}, None)


@pytest.mark.parametrize("header", [{"x-a": "1\r\nx-b: 2"}, {"x-a": "1\n"}, {"x-a\r": "1"}, {"x-a": "\0"}])
async def test_a_header_that_would_be_more_than_one_is_refused(header: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="line break"):
        await made("GET", header, None)
