"""What goes over the wire when a link is asked for, directly and after redirects, over http and https: raw sockets."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.unit.http.certificates import server_and_client_contexts
from tests.unit.http.test_urls import UNTOUCHED
from tests.unit.http.wire import Asked, Host, conversing, ok, redirect

from tunehook.errors import InvalidInput
from tunehook.http.client import get, open_client
from tunehook.http.errors import describe
from tunehook.http.guard import ForbiddenAddress, NetworkPolicy

# As documented, and not imported: a bound that moves is to be noticed.
MAX_REDIRECTS = 20

NAME = "cdn.example"
LIMITS = httpx.Timeout(5)
OF_A_BODY = {"content-type", "content-length", "content-encoding", "transfer-encoding"}
OURS = {"host", "user-agent", "accept", "accept-encoding", "connection"}
Contexts = tuple[ssl.SSLContext, ssl.SSLContext] | tuple[None, None]


def at_loopback(host: str, port: int, family: int) -> list[tuple[Any, ...]]:
    return [(2, 1, 6, "", ("127.0.0.1", port))]


@pytest.fixture(params=["http", "https"])
def contexts(request: pytest.FixtureRequest, tmp_path: Path) -> Contexts:
    return server_and_client_contexts(tmp_path, NAME) if request.param == "https" else (None, None)


async def fetched(
    answer: Callable[[Asked], bytes | None], contexts: Contexts, path: str = "/start", **headers: str
) -> tuple[httpx.Response, Host]:
    """What came of a link, its body read, and what the host saw."""
    server, trust = contexts
    async with (
        conversing(answer, server, NAME) as host,
        open_client(ssl_context=trust, lookup=at_loopback) as client,
    ):
        response = await get(client, host.origin + path, headers, LIMITS)
        await response.aread()
        await response.aclose()
    return response, host


def then_ok(*replies: bytes | None) -> Callable[[Asked], bytes | None]:
    return lambda asked: replies[asked.place] if asked.place < len(replies) else ok()


@pytest.mark.parametrize("target", UNTOUCHED)
async def test_a_link_goes_as_it_was_given(contexts: Contexts, target: str) -> None:
    _, host = await fetched(then_ok(), contexts, target)
    assert host.targets == [target]


async def test_what_no_url_may_hold_is_encoded_once(contexts: Contexts) -> None:
    _, host = await fetched(then_ok(), contexts, "/Summer Rain/歌%20x.mp3")
    assert host.targets == ["/Summer%20Rain/%E6%AD%8C%20x.mp3"]


async def test_a_get_is_a_head_alone(contexts: Contexts) -> None:
    _, host = await fetched(then_ok(), contexts)
    assert host.asked[0].line == "GET /start HTTP/1.1"
    assert host.asked[0].names == OURS
    host.assert_only_heads_came()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_after_a_redirect_a_get_is_a_head_alone(contexts: Contexts, status: int) -> None:
    response, host = await fetched(then_ok(redirect(status, b"/a%2Fb?s=%2B[']")), contexts)
    assert response.content == b"ok"
    assert host.asked[1].line == "GET /a%2Fb?s=%2B['] HTTP/1.1"
    assert host.asked[1].names == OURS
    host.assert_only_heads_came()


async def test_a_redirect_on_the_same_host_goes_over_the_same_connection(contexts: Contexts) -> None:
    _, host = await fetched(then_ok(redirect(302, b"/next")), contexts)
    assert len(host.received) == 1


@pytest.mark.parametrize("target", UNTOUCHED)
async def test_a_location_goes_as_it_was_given(contexts: Contexts, target: str) -> None:
    _, host = await fetched(then_ok(redirect(302, target.encode())), contexts)
    assert host.targets == ["/start", target]


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"next.mp3", "/dir/next.mp3"),
        (b"../x%2Fy", "/x%2Fy"),
        (b"?a=%2F", "/dir/start?a=%2F"),
        ("/歌 a.mp3".encode(), "/%E6%AD%8C%20a.mp3"),
        ("/é".encode("latin-1"), "/%E9"),
        (b"/x#fragment", "/x"),
        (b"  /x  ", "/x"),
        (b"/a\x01\x7fb", "/a%01%7Fb"),
        (b"/" + b"x" * 60_000, "/" + "x" * 60_000),
    ],
)
async def test_a_location_of_any_form_is_followed(contexts: Contexts, location: bytes, target: str) -> None:
    _, host = await fetched(then_ok(redirect(302, location)), contexts, "/dir/start")
    assert host.targets == ["/dir/start", target]


async def test_a_location_without_a_scheme_keeps_that_of_the_link(contexts: Contexts) -> None:
    def answer(asked: Asked) -> bytes:
        authority = asked.head.lower().partition(b"host: ")[2].partition(b"\r\n")[0]
        return ok() if asked.place else redirect(302, b"//" + authority + b"/x")

    _, host = await fetched(answer, contexts)
    assert host.targets == ["/start", "/x"]


async def test_headers_of_the_question_go_on_every_hop(contexts: Contexts) -> None:
    _, host = await fetched(then_ok(redirect(302, b"/x")), contexts, range="bytes=5-")
    assert [b"range: bytes=5-" in asked.head.lower() for asked in host.asked] == [True, True]


async def test_a_host_that_closes_after_its_redirect_without_saying_so_is_asked_again(
    contexts: Contexts,
) -> None:
    def answer(asked: Asked) -> bytes | None:
        if asked.target == "/start":
            return redirect(302, b"/next")
        return ok() if asked.connection else None

    response, host = await fetched(answer, contexts)
    assert response.content == b"ok"
    assert host.targets == ["/start", "/next", "/next"]
    assert len(host.received) == 2
    host.assert_only_heads_came()


async def test_a_redirect_whose_head_ends_with_the_connection_is_followed(contexts: Contexts) -> None:
    server, trust = contexts
    asked: list[str] = []

    async def serve(reader: Any, writer: Any) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode())
        writer.write(ok() if len(asked) > 1 else b"HTTP/1.1 302 Found\r\nlocation: /next\r\n")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    scheme = "https" if server else "http"
    url = f"{scheme}://{NAME}:{listening.sockets[0].getsockname()[1]}/start"
    async with listening, open_client(ssl_context=trust, lookup=at_loopback) as client:
        response = await get(client, url, {}, LIMITS)
        await response.aclose()
    assert (response.status_code, asked) == (200, ["/start", "/next"])


def hops(count: int) -> Callable[[Asked], bytes]:
    return lambda asked: redirect(302, b"/%d" % (asked.place + 1)) if asked.place < count else ok()


async def test_twenty_redirects_are_followed() -> None:
    response, host = await fetched(hops(MAX_REDIRECTS), (None, None))
    assert (response.status_code, len(host.asked)) == (200, MAX_REDIRECTS + 1)
    assert MAX_REDIRECTS == 20


async def test_a_redirect_more_is_an_error() -> None:
    with pytest.raises(httpx.TooManyRedirects):
        await fetched(hops(MAX_REDIRECTS + 1), (None, None))


async def test_a_redirect_that_names_no_place_is_the_answer() -> None:
    response, _ = await fetched(then_ok(b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n"), (None, None))
    assert response.status_code == 302


@pytest.mark.parametrize("location", [b"ftp://h/x", b"javascript:x", b"http://", b"https:x"])
async def test_a_redirect_to_what_is_no_link_is_refused(location: bytes) -> None:
    with pytest.raises(InvalidInput):
        await fetched(then_ok(redirect(302, location)), (None, None))


async def guarded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Callable[[Asked], bytes | None]
) -> tuple[httpx.Response, Host]:
    """What comes of a link under the policy for the public; the loopback alone counts as public."""

    def check(address: str, policy: NetworkPolicy) -> None:
        if address != "127.0.0.1":
            raise ForbiddenAddress("url", f"leads to {address}")

    for module in ("connections", "resolver"):
        monkeypatch.setattr(f"tunehook.http.{module}.check_address", check)
    server, trust = server_and_client_contexts(tmp_path, NAME)
    async with (
        conversing(answer, server, NAME) as host,
        open_client(guard=NetworkPolicy.PUBLIC, ssl_context=trust, lookup=at_loopback) as client,
    ):
        response = await get(client, f"{host.origin}/start", {}, LIMITS)
        await response.aclose()
    return response, host


async def test_a_redirect_to_http_is_asked_for_as_https_where_http_is_not_allowed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> bytes:
        authority = asked.head.lower().partition(b"host: ")[2].partition(b"\r\n")[0]
        return ok() if asked.place else redirect(302, b"http://" + authority + b"/x%2Fy")

    response, host = await guarded(monkeypatch, tmp_path, answer)
    assert (response.status_code, host.targets) == (200, ["/start", "/x%2Fy"])


async def test_where_that_fails_the_reason_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def answer(asked: Asked) -> bytes | None:
        authority = asked.head.lower().partition(b"host: ")[2].partition(b"\r\n")[0]
        return None if asked.place else redirect(302, b"http://" + authority + b"/x")

    with pytest.raises(httpx.RemoteProtocolError) as caught:
        await guarded(monkeypatch, tmp_path, answer)
    assert describe(caught.value) == (
        "RemoteProtocolError: a redirect to plain http, which is not allowed; asked for over https: "
        "the connection was closed before the answer"
    )


@pytest.mark.parametrize("location", [b"https://169.254.169.254/", b"http://10.0.0.1/", b"//[::1]/"])
async def test_every_hop_is_guarded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, location: bytes) -> None:
    with pytest.raises(ForbiddenAddress):
        await guarded(monkeypatch, tmp_path, then_ok(redirect(302, location)))


async def test_a_long_link_is_asked_for_where_the_policy_is_public(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = b"/" + b"x" * 8000
    _, host = await guarded(monkeypatch, tmp_path, then_ok(redirect(302, long)))
    assert host.targets[1] == long.decode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_client_that_follows_by_itself_sends_no_body_either(contexts: Contexts, status: int) -> None:
    server, trust = contexts
    async with (
        conversing(then_ok(redirect(status, b"/next")), server, NAME) as host,
        open_client(ssl_context=trust, lookup=at_loopback) as client,
    ):
        response = await client.get(f"{host.origin}/start", follow_redirects=True)
    assert response.text == "ok"
    assert not OF_A_BODY & (host.asked[0].names | host.asked[1].names)
    host.assert_only_heads_came()
