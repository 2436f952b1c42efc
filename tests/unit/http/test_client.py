import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.patience import HANG_S
from tests.unit.http.certificates import server_and_client_contexts
from tests.unit.http.wire import OK, answering, serving, silent

from tunehook.errors import InvalidInput
from tunehook.http.client import open_client
from tunehook.http.errors import NameNotResolved, TlsFailure
from tunehook.http.guard import ForbiddenAddress, NetworkPolicy

PUBLIC = NetworkPolicy.PUBLIC


class Lookup:
    """A DNS that gives one answer after the other, and the last one from then on."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        address = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


def no_name(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def test_requests_carry_our_name_and_ask_for_no_compression() -> None:
    async with serving(OK) as wire, open_client() as client:
        await client.get(wire.url)
    headers, _ = wire.requests[0]
    assert headers["user-agent"].startswith("tunehook/")
    assert headers["accept-encoding"] == "identity"


async def test_headers_and_body_arrive_as_given() -> None:
    async with serving(OK) as wire, open_client() as client:
        await client.post(wire.url, content="ü".encode(), headers={"content-type": "a/b", "x-a": "1"})
    headers, body = wire.requests[0]
    assert body == "ü".encode()
    assert headers["content-type"] == "a/b"
    assert headers["x-a"] == "1"
    assert headers["host"] == f"127.0.0.1:{wire.port}"


async def test_cookies_are_not_kept() -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n")
    async with serving(script) as wire, open_client(lookup=Lookup("127.0.0.1")) as client:
        for _ in range(2):
            await client.get(f"http://receiver.example:{wire.port}/")
    assert [headers.get("cookie") for headers, _ in wire.requests] == [None, None]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(silent) as proxy, serving(OK) as wire, open_client() as client:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await client.get(wire.url)).status_code == 200
    assert proxy.connections == 0


async def test_redirects_are_not_followed() -> None:
    script = answering(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")
    async with serving(script) as wire, open_client() as client:
        assert (await client.get(wire.url)).status_code == 302
    assert wire.connections == 1


async def test_a_header_that_comes_twice_keeps_both_values() -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n")
    async with serving(script) as wire, open_client() as client:
        assert (await client.get(wire.url)).headers.get_list("x-a") == ["1", "2"]


async def test_a_reason_phrase_that_is_not_text_does_no_harm() -> None:
    async with (
        serving(answering(b"HTTP/1.1 200 \xff\xfe\r\ncontent-length: 2\r\n\r\nok")) as wire,
        open_client() as client,
    ):
        assert (await client.get(wire.url)).text == "ok"


@pytest.mark.parametrize(
    ("head", "body", "status_code", "seen"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"hello", 204, b""),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", b"hello", 204, b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", b"hello", 200, b"he"),
    ],
)
async def test_an_answer_longer_than_it_says_counts_as_what_it_says(
    head: bytes, body: bytes, status_code: int, seen: bytes
) -> None:
    async with serving(answering(head + body)) as wire, open_client() as client:
        answer = await client.post(wire.url)
    assert (answer.status_code, answer.content) == (status_code, seen)


async def test_the_connection_of_an_answer_longer_than_it_says_is_not_used_again() -> None:
    async with (
        serving(answering(b"HTTP/1.1 204 No Content\r\n\r\nhello", pause_s=0.1)) as wire,
        open_client() as client,
    ):
        assert (await client.post(wire.url)).status_code == 204
        assert (await client.post(wire.url)).status_code == 204
    assert wire.connections == 2


async def test_a_malformed_body_is_an_error_even_if_its_head_came_alone() -> None:
    script = answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"zz\r\nhello", pause_s=0.05)
    async with serving(script) as wire, open_client(timeout=HANG_S) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(wire.url)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", httpx.RemoteProtocolError),
        (b"SSH-2.0-OpenSSH_9.0\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000 + b"\r\n\r\n", httpx.RemoteProtocolError),
    ],
)
async def test_a_broken_answer_is_a_protocol_error_of_httpx(answer: bytes, error: type[Exception]) -> None:
    async with serving(answering(answer)) as wire, open_client() as client:
        with pytest.raises(error):
            await client.post(wire.url)


async def test_a_refused_connection_is_a_connect_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with open_client() as client:
            with pytest.raises(httpx.ConnectError) as caught:
                await client.get(f"http://127.0.0.1:{unused.getsockname()[1]}/secret-path")
    assert type(caught.value) is httpx.ConnectError
    assert "secret-path" not in str(caught.value)


async def test_an_answer_that_does_not_come_is_a_read_timeout() -> None:
    async with serving(silent) as wire, open_client(timeout=httpx.Timeout(HANG_S, read=0.1)) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(wire.url)


async def test_a_name_that_does_not_resolve_has_its_own_error() -> None:
    async with open_client(lookup=no_name) as client:
        with pytest.raises(NameNotResolved):
            await client.get("http://nowhere.example/")


async def test_a_certificate_for_another_name_has_its_own_error(tmp_path: Path) -> None:
    server, trust = server_and_client_contexts(tmp_path, "other.example")
    async with (
        serving(OK, server) as wire,
        open_client(ssl_context=trust, lookup=Lookup("127.0.0.1")) as client,
    ):
        with pytest.raises(TlsFailure):
            await client.get(f"https://receiver.example:{wire.port}/")


async def test_a_server_without_tls_is_a_tls_failure() -> None:
    def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server, open_client() as client:
        with pytest.raises(TlsFailure):
            await client.get(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


async def test_the_checked_address_is_dialled_with_the_name_kept_for_tls_and_host(tmp_path: Path) -> None:
    server, trust = server_and_client_contexts(tmp_path, "receiver.example")
    lookup = Lookup("127.0.0.1", "192.0.2.1")
    async with serving(OK, server) as wire, open_client(ssl_context=trust, lookup=lookup) as client:
        answer = await client.get(f"https://receiver.example:{wire.port}/")
    assert answer.status_code == 200
    assert wire.requests[0][0]["host"] == f"receiver.example:{wire.port}"
    assert lookup.asked == ["receiver.example"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f.1"]
)
async def test_a_guarded_client_does_not_connect_to_a_forbidden_literal(host: str) -> None:
    async with serving(OK) as wire, open_client(guard=PUBLIC) as client:
        with pytest.raises(ForbiddenAddress):
            await client.get(f"https://{host}:{wire.port}/")
    assert wire.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_the_last_gate_holds_even_where_the_url_was_not_checked(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.http.transport.check_url", lambda url, policy, **_: None)
    async with serving(OK) as wire, open_client(guard=PUBLIC) as client:
        with pytest.raises(ForbiddenAddress):
            await client.get(f"http://{host}:{wire.port}/")
    assert wire.connections == 0


async def test_a_name_with_a_forbidden_address_is_not_connected_to() -> None:
    async with serving(OK) as wire, open_client(guard=PUBLIC, lookup=Lookup("127.0.0.1")) as client:
        with pytest.raises(ForbiddenAddress):
            await client.get(f"https://rebinding.example:{wire.port}/")
    assert wire.connections == 0


async def test_an_answer_that_changes_after_the_check_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialled: list[str] = []

    def refuse(address: str, policy: NetworkPolicy) -> None:
        dialled.append(address)
        raise ForbiddenAddress("url", "no network in tests")

    lookup = Lookup("8.8.8.8", "127.0.0.1")
    async with open_client(guard=PUBLIC, lookup=lookup) as client:
        monkeypatch.setattr("tunehook.http.connections.check_address", refuse)
        with pytest.raises(ForbiddenAddress, match="no network in tests"):
            await client.get("https://rebinding.example/")
    assert dialled == ["8.8.8.8"]
    assert lookup.asked == ["rebinding.example"]


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://example.com:22/", "https://user@example.com/"]
)
async def test_a_guarded_client_refuses_what_the_rules_for_urls_refuse(url: str) -> None:
    async with open_client(guard=PUBLIC, lookup=no_name) as client:
        with pytest.raises(InvalidInput):
            await client.get(url)


async def test_every_hop_of_a_followed_redirect_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, trust = server_and_client_contexts(tmp_path, "cdn.example")
    monkeypatch.setattr("tunehook.http.connections.check_address", lambda address, policy: None)
    monkeypatch.setattr("tunehook.http.resolver.check_address", lambda address, policy: None)
    script = answering(
        b"HTTP/1.1 302 Found\r\nlocation: https://169.254.169.254/#x\r\ncontent-length: 0\r\n\r\n"
    )
    async with (
        serving(script, server) as wire,
        open_client(guard=PUBLIC, ssl_context=trust, lookup=Lookup("127.0.0.1")) as client,
    ):
        with pytest.raises(ForbiddenAddress):
            await client.get(f"https://cdn.example:{wire.port}/", follow_redirects=True)
    assert wire.connections == 1


async def test_a_fragment_in_a_redirect_is_no_offence() -> None:
    async with open_client(guard=PUBLIC, lookup=no_name) as client:
        with pytest.raises(NameNotResolved):
            await client.get("https://example.com/a#b")


@pytest.mark.parametrize("make", [lambda: "http://h:99999/", lambda: "foo://h/"])
async def test_a_url_that_no_client_can_use_is_an_error_of_httpx(make: Callable[[], str]) -> None:
    async with open_client() as client:
        with pytest.raises((httpx.TransportError, httpx.InvalidURL)):
            await client.get(make())
