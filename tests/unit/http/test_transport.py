"""The one way to the wire, on a raw socket: what goes over it, and what comes of any answer."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.patience import HANG_S
from tests.support.virtual_tests import in_virtual_time
from tests.unit.http.certificates import server_and_client_contexts
from tests.unit.http.wire import OK, Script, Wire, answering, dripping, serving, silent

from tunehook.errors import InvalidInput
from tunehook.http.errors import (
    CertificateExpired,
    CertificateForAnotherName,
    CertificateOfUnknownIssuer,
    NameNotResolved,
    TlsFailure,
)
from tunehook.http.guard import ForbiddenAddress, NetworkPolicy
from tunehook.http.reply import Reply
from tunehook.http.transport import Exchange, HttpTransport

HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS = dripping(HEAD + b"content-length: 1000000000\r\n\r\n", b"x" * 65_536, pause_s=0)
PUBLIC = NetworkPolicy.PUBLIC


def at_loopback(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def no_name(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


async def get(client: HttpTransport, url: str, max_bytes: int = 16_384) -> Reply:
    return await client.send("GET", url, {}, None, max_bytes=max_bytes)


async def reply_to(script: Script, max_bytes: int = 16_384) -> Reply:
    async with asyncio.timeout(HANG_S), serving(script) as wire, HttpTransport() as client:
        return await get(client, wire.url, max_bytes)


async def target_on_the_wire(path: str) -> str:
    lines: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server, HttpTransport() as client:
        await get(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}")
    return lines[0].split(b" ")[1].decode()


@pytest.mark.parametrize(
    "path",
    [
        "/a;b",
        "/a%3Bb",
        "/a%2Fb",
        "/a%2fb",
        "/a%25b",
        "/%7Eb",
        "/~b",
        "/a%20b",
        "/a+b",
        "/a%2Bb",
        "/%E6%AD%8C",
        "/a/../b",
    ],
)
async def test_a_url_goes_over_the_wire_as_it_is(path: str) -> None:
    assert await target_on_the_wire(path) == path


async def test_headers_and_body_arrive_as_given() -> None:
    async with serving(OK) as wire, HttpTransport() as client:
        await client.send("POST", wire.url, {"content-type": "a/b", "x-a": "1"}, "ü".encode(), max_bytes=9)
    headers, body = wire.requests[0]
    assert body == "ü".encode()
    assert (headers["content-type"], headers["x-a"]) == ("a/b", "1")
    assert headers["host"] == f"127.0.0.1:{wire.port}"


async def test_requests_carry_our_name_and_ask_for_no_compression() -> None:
    async with serving(OK) as wire, HttpTransport() as client:
        await get(client, wire.url)
    headers, _ = wire.requests[0]
    assert headers["user-agent"].startswith("tunehook/")
    assert headers["accept-encoding"] == "identity"


async def test_a_reply_has_status_headers_and_body() -> None:
    reply = await reply_to(answering(b"HTTP/1.1 429 Slow\r\nReTRY-After: 7\r\ncontent-length: 2\r\n\r\nno"))
    assert (reply.status, reply.headers["retry-after"], reply.body) == (429, "7", b"no")
    assert not reply.truncated
    assert reply.fault is None


async def test_a_connection_serves_one_question_after_the_other() -> None:
    async def keep_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(HEAD + b"content-length: 2\r\n\r\nok")
            await reader.readuntil(b"\r\n\r\n")

    async with serving(keep_answering) as wire, HttpTransport() as client:
        for _ in range(3):
            assert (await get(client, wire.url)).body == b"ok"
    assert wire.connections == 1


async def test_no_more_connections_are_open_than_allowed() -> None:
    released = asyncio.Event()

    async def answer_then(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.write(HEAD + b"connection: close\r\n\r\nok")

    async with (
        asyncio.timeout(HANG_S),
        serving(answer_then) as wire,
        HttpTransport(max_connections=2) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(4):
            group.create_task(get(client, wire.url))
        while wire.connections < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # a third would have come by now, if not on every machine
        early = wire.connections
        released.set()
    assert (early, wire.connections) == (2, 4)


async def test_cookies_are_not_kept() -> None:
    script = answering(HEAD + b"set-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n")
    async with serving(script) as wire, HttpTransport(lookup=at_loopback) as client:
        for _ in range(2):
            await get(client, f"http://gateway.example:{wire.port}/")
    assert [headers.get("cookie") for headers, _ in wire.requests] == [None, None]


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(silent) as proxy, serving(OK) as wire, HttpTransport() as client:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await get(client, wire.url)).status == 200
    assert proxy.connections == 0


async def test_no_netrc_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(OK) as wire, HttpTransport() as client:
        await get(client, wire.url)
    assert "authorization" not in wire.requests[0][0]


async def test_redirects_are_not_followed() -> None:
    script = answering(b"HTTP/1.1 302 Found\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")
    async with serving(script) as wire, HttpTransport() as client:
        assert (await get(client, wire.url)).status == 302
    assert wire.connections == 1


@pytest.mark.parametrize(
    "script",
    [
        ENDLESS,
        dripping(
            HEAD + b"transfer-encoding: chunked\r\n\r\n", b"ffff\r\n" + b"x" * 65_535 + b"\r\n", pause_s=0
        ),
        dripping(HEAD + b"\r\n", b"x" * 65_536, pause_s=0),
        dripping(HEAD + b"content-length: 1000000000\r\n\r\n", b"x" * 100, pause_s=0),
    ],
    ids=["content-length", "chunked", "until close", "small pieces"],
)
async def test_an_endless_answer_is_read_up_to_the_limit(script: Script) -> None:
    reply = await reply_to(script)
    assert (reply.body, reply.truncated) == (b"x" * 16_384, True)


@pytest.mark.parametrize(("length", "truncated"), [(4, False), (5, False), (6, True)])
async def test_only_an_answer_beyond_the_limit_is_truncated(length: int, truncated: bool) -> None:
    body = b"x" * length
    reply = await reply_to(answering(HEAD + b"content-length: %d\r\n\r\n%s" % (length, body)), max_bytes=5)
    assert (reply.body, reply.truncated) == (body[:5], truncated)


async def test_an_answer_in_pieces_is_read_whole() -> None:
    parts = [HEAD + b"transfer-encoding: chunked\r\n\r\n", b"2\r\nhe\r\n", b"3\r\nllo\r\n", b"0\r\n\r\n"]
    reply = await reply_to(answering(*parts, pause_s=0.02))
    assert (reply.body, reply.truncated) == (b"hello", False)


async def test_the_connection_of_a_truncated_answer_is_dropped() -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await ENDLESS(reader, writer)
        finally:
            gone.set()

    async with asyncio.timeout(HANG_S), serving(endless) as wire, HttpTransport() as client:
        assert (await get(client, wire.url, max_bytes=100)).truncated
        await gone.wait()
        assert (await get(client, wire.url, max_bytes=100)).truncated
    assert wire.connections == 2


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"content-length: 100000\r\n\r\n"])
async def test_cancelling_stops_a_request_and_drops_its_connection(start: bytes) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        begun.set()
        await reader.read()
        gone.set()

    async with asyncio.timeout(HANG_S), serving(drip) as wire, HttpTransport() as client:
        asking = asyncio.create_task(get(client, wire.url))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await gone.wait()


@pytest.mark.parametrize(
    "script",
    [
        silent,
        dripping(b"", b"H"),
        dripping(HEAD, b"x-a: b\r\n"),
        dripping(HEAD + b"content-length: 100000\r\n\r\n", b"x"),
        dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silence", "first byte", "headers", "body", "chunks", "100 without end"],
)
async def test_a_time_limit_of_the_caller_holds_whatever_drips(script: Script) -> None:
    async with serving(script) as wire, HttpTransport() as client:
        with pytest.raises((TimeoutError, httpx.RemoteProtocolError)):
            async with asyncio.timeout(0.4):
                await get(client, wire.url)


async def test_a_compressed_answer_is_not_decompressed() -> None:
    body = gzip.compress(b"{}")
    script = answering(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    assert (await reply_to(script)).body == body


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\nhello", 204, b""),
        (HEAD + b"content-length: 2\r\n\r\nhello", 200, b"he"),
        (b"HTTP/1.1 200 \xff\xfe\r\ncontent-length: 2\r\n\r\nok", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
        (
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\nok",
            200,
            b"ok",
        ),
    ],
    ids=["204 with a body", "longer than it says", "odd reason phrase", "HTTP/1.0", "early hints"],
)
async def test_an_odd_answer_counts_as_what_it_is(answer: bytes, status: int, body: bytes) -> None:
    reply = await reply_to(answering(answer))
    assert (reply.status, reply.body) == (status, body)


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [HEAD + b"content-"],
        [HEAD + b"content-length: 50\r\n\r\nhello"],
        [HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhel"],
        [HEAD + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\nhello"],
        [b"SSH-2.0-OpenSSH_9.0\r\n"],
        [HEAD + b"x: " + b"a" * 100_000 + b"\r\n\r\n"],
    ],
)
async def test_a_broken_answer_is_a_protocol_error(parts: list[bytes]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await reply_to(answering(*parts, pause_s=0.05))


async def test_a_refused_connection_is_a_connect_error_that_does_not_tell_the_path() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with HttpTransport() as client:
            with pytest.raises(httpx.ConnectError) as caught:
                await get(client, f"http://127.0.0.1:{unused.getsockname()[1]}/secret-path")
    assert type(caught.value) is httpx.ConnectError
    assert "secret-path" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://h:99999/secret-path", httpx.LocalProtocolError),
        ("http://a\\b/secret-path", httpx.LocalProtocolError),
        ("http:///secret-path", httpx.LocalProtocolError),
        ("foo://h/secret-path", httpx.UnsupportedProtocol),
    ],
)
async def test_a_url_that_no_client_can_use_is_an_error_that_does_not_tell_the_path(
    url: str, error: type[Exception]
) -> None:
    async with HttpTransport() as client:
        with pytest.raises(error) as caught:
            await get(client, url)
    assert "secret-path" not in str(caught.value)


async def test_a_header_that_no_request_can_carry_is_an_error() -> None:
    async with serving(OK) as wire, HttpTransport() as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.send("GET", wire.url, {"x-a": "1\r\nx-b: 2"}, None, max_bytes=9)
    assert wire.requests == []


async def test_a_name_that_does_not_resolve_has_its_own_error() -> None:
    async with HttpTransport(lookup=no_name) as client:
        with pytest.raises(NameNotResolved):
            await get(client, "http://nowhere.example/")


async def test_a_name_that_takes_long_to_resolve_can_be_given_up() -> None:
    released, over = threading.Event(), threading.Event()

    def hang(host: str, port: int, family: socket.AddressFamily) -> list[tuple[Any, ...]]:
        released.wait(HANG_S)
        over.set()
        return no_name(host, port, family)

    async with HttpTransport(lookup=hang) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await get(client, "http://nowhere.example/")
    assert not over.is_set()
    released.set()


@pytest.mark.parametrize(
    ("name", "days_left", "is_trusted", "kind", "words"),
    [
        ("gateway.example", -1, True, CertificateExpired, "the certificate has expired"),
        ("other.example", 1, True, CertificateForAnotherName, "the certificate is not valid for the name"),
        (
            "gateway.example",
            1,
            False,
            CertificateOfUnknownIssuer,
            "the certificate is signed by itself, by no known issuer",
        ),
    ],
    ids=["expired", "another name", "unknown issuer"],
)
async def test_what_is_wrong_with_a_certificate_can_be_told_apart(
    tmp_path: Path, name: str, days_left: int, is_trusted: bool, kind: type[TlsFailure], words: str
) -> None:
    server, trust = server_and_client_contexts(tmp_path, name, days_left=days_left)
    async with serving(OK, server) as wire:
        failure = await failure_at(wire.port, trust if is_trusted else None)
    assert (type(failure), str(failure)) == (kind, words)


@contextlib.contextmanager
def blocking(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server in a thread, for one connection: asyncio's own ends a handshake that fails without its alert."""

    def run() -> None:
        with contextlib.suppress(OSError):
            peer, _ = listening.accept()
            with peer, contextlib.suppress(OSError):
                serve(peer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        yield listening.getsockname()[1]
    thread.join()


async def failure_at(port: int, trust: ssl.SSLContext | None = None) -> httpx.TransportError:
    async with HttpTransport(ssl_context=trust, lookup=at_loopback) as client:
        with pytest.raises(httpx.TransportError) as caught:
            await get(client, f"https://gateway.example:{port}/secret-path")
    assert "secret-path" not in str(caught.value)
    return caught.value


async def test_a_server_without_tls_is_told_apart() -> None:
    def serve(peer: socket.socket) -> None:
        peer.recv(9_999)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        peer.recv(9_999)

    with blocking(serve) as port:
        failure = await failure_at(port)
    assert (type(failure), str(failure)) == (
        TlsFailure,
        "the host speaks no TLS on this port (plain http?)",
    )


async def test_an_alert_in_the_handshake_is_a_tls_failure(tmp_path: Path) -> None:
    server, trust = server_and_client_contexts(tmp_path, "gateway.example")
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    trust.minimum_version = ssl.TLSVersion.TLSv1_3
    with blocking(lambda peer: server.wrap_socket(peer, server_side=True)) as port:
        failure = await failure_at(port, trust)
    assert (type(failure), str(failure)) == (TlsFailure, "tlsv1 alert protocol version")


async def test_an_alert_after_the_handshake_is_a_tls_failure(tmp_path: Path) -> None:
    server, trust = server_and_client_contexts(tmp_path, "gateway.example")
    server.verify_mode = ssl.CERT_REQUIRED  # with TLS 1.3 the client is connected when it hears of it
    server.load_verify_locations(tmp_path / "certificate.pem")

    def serve(peer: socket.socket) -> None:
        with server.wrap_socket(peer, server_side=True, do_handshake_on_connect=False) as tls:
            with contextlib.suppress(ssl.SSLError):
                tls.do_handshake()
            while os.read(tls.fileno(), 9_999):  # with something unread, its end would overtake the alert
                pass

    with blocking(serve) as port:
        failure = await failure_at(port, trust)
    assert (type(failure), str(failure)) == (TlsFailure, "tlsv13 alert certificate required")


@pytest.mark.parametrize("name", ["gateway.example", "Gateway.EXAMPLE"])
async def test_a_certificate_for_the_name_is_accepted_however_it_is_spelled(
    tmp_path: Path, name: str
) -> None:
    server, trust = server_and_client_contexts(tmp_path, "gateway.example")
    async with serving(OK, server) as wire, HttpTransport(ssl_context=trust, lookup=at_loopback) as client:
        assert (await get(client, f"https://{name}:{wire.port}/")).body == b"ok"


async def refused(make_url: Callable[[Wire], str], error: type[Exception], **options: Any) -> None:
    async with serving(OK) as wire, HttpTransport(guard=PUBLIC, **options) as client:
        with pytest.raises(error):
            await get(client, make_url(wire))
    assert wire.connections == 0


async def test_a_guarded_client_refuses_what_the_rules_for_urls_refuse() -> None:
    await refused(lambda wire: f"http://gateway.example:{wire.port}/", InvalidInput, lookup=no_name)


async def test_a_guarded_client_does_not_connect_to_a_name_with_a_forbidden_address() -> None:
    await refused(lambda wire: f"https://gateway.example:{wire.port}/", ForbiddenAddress, lookup=at_loopback)


async def test_the_last_gate_holds_even_where_the_url_was_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tunehook.http.transport.check_url", lambda url, policy, **_: None)
    await refused(lambda wire: wire.url, ForbiddenAddress)


class Peer:
    """Answers the first request of a connection well, and breaks the second; counts what came whole."""

    def __init__(self, *, answers_first: bool = True, begin: bytes = b"", is_reset: bool = False) -> None:
        self.connections = 0
        self.bodies: list[bytes] = []
        self._answers_first = answers_first
        self._begin = begin
        self._is_reset = is_reset

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if self._answers_first:
                await self._request(reader)
                writer.write(HEAD + b"content-length: 2\r\n\r\nok")
            await reader.read(1)
            writer.write(self._begin)
            if self._is_reset:
                linger = b"\1\0\0\0\0\0\0\0"
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        self.bodies.append(await reader.readexactly(length))


async def sent_to(
    peer: Peer, *methods: str, client: HttpTransport | None = None, tls: ssl.SSLContext | None = None
) -> list[Reply | Exception]:
    """What came of requests one after the other."""
    server = await asyncio.start_server(peer, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    url = f"{scheme}://gateway.example:{server.sockets[0].getsockname()[1]}/"
    outcomes: list[Reply | Exception] = []
    async with server, client or HttpTransport(lookup=at_loopback) as http:
        for method in methods:
            try:
                body = b"{}" if method == "POST" else None
                outcomes.append(await http.send(method, url, {}, body, max_bytes=99))
            except httpx.TransportError as error:
                outcomes.append(error)
    return outcomes


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_request_over_a_kept_connection_that_breaks_is_sent_again_over_a_fresh_one(
    method: str, is_reset: bool
) -> None:
    peer = Peer(is_reset=is_reset)
    outcomes = await sent_to(peer, method, method, method)
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Reply)] == [200] * 3
    assert peer.connections == 3
    assert peer.bodies == [b"{}" if method == "POST" else b""] * 3


async def test_the_same_holds_for_tls(tmp_path: Path) -> None:
    tls, trust = server_and_client_contexts(tmp_path, "gateway.example")
    peer = Peer()
    client = HttpTransport(ssl_context=trust, lookup=at_loopback)
    outcomes = await sent_to(peer, "POST", "POST", client=client, tls=tls)
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Reply)] == [200] * 2
    assert peer.bodies == [b"{}"] * 2


async def test_a_connection_that_closed_while_the_loop_stood_still_is_not_missed() -> None:
    def run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(serve())

    peers: list[int] = []
    ready, closed, done = threading.Event(), threading.Event(), threading.Event()

    async def serve() -> None:
        async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD + b"content-length: 2\r\n\r\nok")
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            closed.set()

        server = await asyncio.start_server(closing, "127.0.0.1", 0)
        peers.append(server.sockets[0].getsockname()[1])
        ready.set()
        async with server:
            await asyncio.to_thread(done.wait)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=run, args=(loop,))
    thread.start()
    try:
        ready.wait()
        url = f"http://127.0.0.1:{peers[0]}/"
        async with HttpTransport() as client:
            for _ in range(3):
                assert (await client.send("POST", url, {}, b"", max_bytes=9)).status == 200
                assert closed.wait(HANG_S)  # while this loop does not run, as Lambda halts the process
                closed.clear()
    finally:
        done.set()
        thread.join()
        loop.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_over_a_fresh_connection_that_breaks_is_not_sent_again(method: str) -> None:
    peer = Peer(answers_first=False)
    (outcome,) = await sent_to(peer, method)
    assert isinstance(outcome, httpx.RemoteProtocolError)
    assert peer.connections == 1


@pytest.mark.parametrize("begin", [b"H", HEAD, HEAD + b"content-length: 9\r\n\r\nx"])
async def test_a_request_whose_answer_has_begun_is_not_sent_again(begin: bytes) -> None:
    peer = Peer(begin=begin)
    outcomes = await sent_to(peer, "GET", "GET")
    assert isinstance(outcomes[1], httpx.RemoteProtocolError)
    assert peer.connections == 1


@pytest.mark.parametrize(("lost", "connections"), [(1, 2), (2, 2)])
async def test_a_connection_that_is_lost_before_anything_was_sent_is_replaced_once(
    lost: int, connections: int
) -> None:
    left = [True] * lost

    def lose() -> None:
        assert client._connector is not None
        for protocol in client._connector._acquired if left and left.pop() else ():
            assert protocol.transport is not None
            protocol.transport.abort()

    async with asyncio.timeout(HANG_S), serving(OK) as wire, HttpTransport() as client:
        asking = client._exchange("POST", wire.url, {}, b"x", 9, lose)
        if lost == 2:
            with pytest.raises(httpx.ReadError):
                await asking
        else:
            exchange = await asking
            assert exchange.answer.status == 200
            exchange.end()
    assert wire.connections == connections


async def test_a_request_is_sent_again_once_and_never_over_another_kept_connection() -> None:
    whole = 0
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal whole, connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if whole < 3:
                whole += 1
                while whole < 3:
                    await asyncio.sleep(0.01)
                writer.write(HEAD + b"content-length: 2\r\n\r\nok")
                await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with server, HttpTransport() as client:
        await asyncio.gather(*(get(client, url) for _ in range(3)))
        assert connections == 3
        with pytest.raises(httpx.RemoteProtocolError, match="closed before the answer"):
            await get(client, url)
    assert connections == 4


GIVEN_UP = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


async def test_a_get_over_a_kept_connection_that_is_given_up_with_408_is_sent_again() -> None:
    peer = Peer(begin=GIVEN_UP)
    outcomes = await sent_to(peer, "GET", "GET")
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Reply)] == [200, 200]
    assert peer.connections == 2


async def test_a_post_whose_answer_has_come_is_never_sent_again_be_it_408() -> None:
    peer = Peer(begin=GIVEN_UP)
    outcomes = await sent_to(peer, "POST", "POST")
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Reply)] == [200, 408]
    assert peer.connections == 1


async def test_408_over_a_fresh_connection_is_the_answer() -> None:
    peer = Peer(answers_first=False, begin=GIVEN_UP)
    (outcome,) = await sent_to(peer, "POST")
    assert isinstance(outcome, Reply)
    assert (outcome.status, peer.connections) == (408, 1)


async def test_an_answer_that_nobody_asked_for_is_not_that_to_the_next_request() -> None:
    unasked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"content-length: 2\r\n\r\nok")
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(HEAD + b"content-length: 7\r\n\r\nunasked")
        await writer.drain()
        await asyncio.sleep(0.02)
        unasked.set()
        await reader.read()

    async with asyncio.timeout(HANG_S), serving(serve) as wire, HttpTransport() as client:
        for _ in range(2):
            assert (await get(client, wire.url)).body == b"ok"
            await unasked.wait()
            unasked.clear()
    assert wire.connections == 2


async def test_headers_do_not_come_twice_however_they_are_spelled() -> None:
    async with serving(OK) as wire, HttpTransport() as client:
        await client.send("GET", wire.url, {"User-Agent": "me", "ACCEPT-encoding": "br"}, None, max_bytes=9)
    headers, _ = wire.requests[0]
    assert (headers["user-agent"], headers["accept-encoding"]) == ("me", "br")
    assert len(wire.lines[0]) == len(headers) + 1


@pytest.mark.parametrize("body", [None, b""])
async def test_a_get_without_a_body_has_no_header_of_one(body: bytes | None) -> None:
    given = {"content-type": "a/b", "Content-Length": "0", "transfer-encoding": "chunked", "x-a": "1"}
    async with serving(OK) as wire, HttpTransport() as client:
        await client.send("GET", wire.url, given, body, max_bytes=9)
    headers, _ = wire.requests[0]
    assert headers.keys() == {"host", "user-agent", "accept-encoding", "accept", "x-a"}


async def test_a_post_with_an_empty_body_keeps_the_headers_of_one() -> None:
    async with serving(OK) as wire, HttpTransport() as client:
        await client.send("POST", wire.url, {"content-type": "a/b"}, b"", max_bytes=9)
        (await client.open("POST", wire.url, {"content-type": "a/b"}, b"")).release()
    assert [headers["content-type"] for headers, _ in wire.requests] == ["a/b", "a/b"]


CHUNKED_OK = b"2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"content-length: 2\r\nContent-Length: 2\r\n\r\nok",
        HEAD + b"content-length: 2, 2\r\n\r\nok",
        HEAD + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKED_OK,
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n" + CHUNKED_OK,
        HEAD + b"X-Foo : bar\r\ncontent-length : 2\r\n\r\nok",
        HEAD + b"garbage\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x y: z\r\n: v\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-a: b\r\n folded\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"x-a: b\0c\r\ncontent-length: 2\r\n\r\nok",
        HEAD + b"content-length: " + b"9" * 5000 + b"\r\nconnection: close\r\n\r\nok",
        HEAD + b"content-length: two\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        b"HTTP/1.2 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\ncontent-length: 2\n\nok",
    ],
    ids=[
        "the same length twice",
        "the same length as a list",
        "a length beside chunked",
        "chunked beside a length",
        "a space before the colon",
        "a line without colon",
        "names that are none",
        "a folded line",
        "a NUL byte",
        "an absurd length",
        "a length that is no number",
        "bare line feeds",
        "HTTP/1.2",
        "a blank line first",
        "an interim answer with bare line feeds",
    ],
)
@pytest.mark.parametrize("step", [1, 1_000_000])
async def test_a_sloppy_answer_is_read_as_curl_reads_it(answer: bytes, step: int) -> None:
    parts = [answer[at : at + step] for at in range(0, len(answer), step)]
    reply = await reply_to(answering(*parts))
    assert (reply.status, reply.body) == (200, b"ok")


@pytest.mark.parametrize(
    "head",
    [
        b"content-length: 2\r\ncontent-length: 2\r\n",
        b"content-length: 2\r\ngarbage\r\n",
        b"content-length : 2\r\n",
    ],
)
async def test_a_connection_whose_head_was_repaired_is_not_used_again(head: bytes) -> None:
    async def keep_answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(HEAD + head + b"\r\nok")
            await reader.readuntil(b"\r\n\r\n")

    async with serving(keep_answering) as wire, HttpTransport() as client:
        for _ in range(2):
            assert (await get(client, wire.url)).body == b"ok"
    assert wire.connections == 2


@pytest.mark.parametrize(
    ("answer", "status"),
    [(b"HTTP/1.1 302 Found\r\nlocation: /x\r\n", 302), (HEAD + b"x-a: b\r\nx-half", 200)],
)
async def test_a_head_that_ends_with_the_connection_counts(answer: bytes, status: int) -> None:
    reply = await reply_to(answering(answer))
    assert (reply.status, reply.body) == (status, b"")


@pytest.mark.parametrize(
    "head",
    [
        b"content-security-policy: ".ljust(60_000, b"x") + b"\r\n",
        b"".join(b"x-%d: 1\r\n" % number for number in range(499)),
        b"".join(b"x-%d: ".ljust(60_000, b"x") % number + b"\r\n" for number in range(4)),
    ],
    ids=["a long line", "many lines", "much in all"],
)
async def test_headers_within_their_bounds_are_read(head: bytes) -> None:
    reply = await reply_to(answering(HEAD + head + b"content-length: 2\r\n\r\nok"))
    assert (reply.status, reply.body) == (200, b"ok")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"x: ".ljust(70_000, b"x") + b"\r\n", "a header line of the answer is longer than 64 kB"),
        (b"x: 1\r\n" * 501, "the answer has more than 500 header lines"),
        ((b"x: ".ljust(60_000, b"x") + b"\r\n") * 5, "the headers of the answer are larger than 256 kB"),
        (b"content-length: 1\r\ncontent-length: 2\r\n", "contradict each other"),
    ],
)
async def test_headers_beyond_their_bounds_are_an_error_that_says_so(head: bytes, reason: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=reason):
        await reply_to(answering(HEAD + head + b"\r\nok"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "the connection was closed before the answer"),
        (HEAD + b"conte", "the connection was closed in the middle of the headers"),
        (HEAD + b"x: secret\r\n" * 501, "the answer has more than 500 header lines"),
        (HEAD + b"content-length: 50\r\n\r\nhello", "the body ended before it was whole"),
        (b"SSH-2.0-secret\r\n\r\n", "the answer is no valid HTTP"),
        (b"<html>secret</html>\r\n\r\n", "the answer is no valid HTTP"),
    ],
)
async def test_an_answer_that_cannot_be_read_says_why_and_quotes_nothing(answer: bytes, reason: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match=reason) as caught:
        await reply_to(answering(answer))
    assert "secret" not in str(caught.value)


async def test_a_body_until_the_end_of_a_connection_that_is_reset_is_not_whole() -> None:
    async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"\r\nhel")
        await writer.drain()
        await asyncio.sleep(0.05)
        peer: Any = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with pytest.raises(httpx.RemoteProtocolError, match="broke in the middle of the body"):
        await reply_to(reset)


async def test_heads_of_interim_answers_count_together() -> None:
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: ".ljust(60_000, b"x") + b"\r\n\r\n"
    ok = HEAD + b"content-length: 2\r\n\r\nok"
    assert (await reply_to(answering(hint * 4 + ok))).status == 200
    with pytest.raises(httpx.RemoteProtocolError, match="larger than 256 kB"):
        await reply_to(answering(hint * 5 + ok))


async def test_each_answer_of_a_connection_may_have_a_large_head() -> None:
    async def answer_five(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(5):
            writer.write(HEAD + b"x: ".ljust(60_000, b"x") + b"\r\ncontent-length: 0\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")

    async with serving(answer_five) as wire, HttpTransport() as client:
        for _ in range(5):
            assert (await get(client, wire.url)).status == 200
    assert wire.connections == 1


async def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    async with asyncio.timeout(HANG_S), serving(OK) as wire, HttpTransport() as client:
        reply = await client.send("HEAD", wire.url, {"content-encoding": "gzip"}, None, max_bytes=9)
    assert (reply.status, reply.body) == (200, b"")
    assert "content-encoding" not in wire.requests[0][0]


@pytest.mark.parametrize("name", ["content-type", "content-length", "content-encoding", "transfer-encoding"])
async def test_each_header_of_a_body_is_left_out_where_there_is_none(name: str) -> None:
    async with asyncio.timeout(HANG_S), serving(OK) as wire, HttpTransport() as client:
        await client.send(
            "GET", wire.url, {name.title(): "chunked" if "transfer" in name else "0"}, None, max_bytes=9
        )
    assert name not in wire.requests[0][0]


async def test_without_a_word_about_it_100_connections_are_open_at_once() -> None:
    released = asyncio.Event()

    async def answer_then(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.write(HEAD + b"connection: close\r\n\r\nok")

    async with asyncio.timeout(HANG_S), serving(answer_then) as wire, HttpTransport() as client:
        asking = [asyncio.create_task(get(client, wire.url)) for _ in range(110)]
        while wire.connections < 100:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert wire.connections == 100
        released.set()
        await asyncio.gather(*asking)


@in_virtual_time
async def test_a_body_is_read_for_a_second_and_no_longer_than_the_whole_may_take() -> None:
    class Endless:
        status, headers, is_read = 200, httpx.Headers(), False

        def __init__(self) -> None:
            self.body = bytearray()
            self.is_closed = False

        async def read(self) -> None:
            while True:
                await asyncio.sleep(0.2)
                self.body += b"."

        def close(self) -> None:
            self.is_closed = True

    class Answered(HttpTransport):
        async def _exchange(self, *_: Any, **__: Any) -> Any:
            return Exchange(self.endless, self.endless)  # type: ignore[arg-type]

        endless = Endless()

    for deadline_s, pieces in ((30, 4), (0.5, 2)):
        Answered.endless = Endless()
        reply = await Answered().send_for_status(
            "POST", "https://h/", {}, b"", max_bytes=99, deadline_s=deadline_s
        )
        assert (reply.status, len(reply.body)) == (200, pieces)
        assert Answered.endless.is_closed


@pytest.mark.parametrize(
    ("length", "reason"), [(64 * 1024, "the port"), (64 * 1024 + 1, "longer than 65536")]
)
async def test_a_url_has_64_kb_at_most_as_it_goes_over_the_wire(length: int, reason: str) -> None:
    async with HttpTransport(guard=PUBLIC) as client:
        with pytest.raises(InvalidInput, match=reason):
            await get(client, "https://h.example:1/".ljust(length, "a"))
