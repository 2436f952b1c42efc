"""Connections that were kept while the process was halted, as Lambda halts one between two batches.

What the receivers see is asserted, never how long something took: a request that is lost, sent twice or failed by a
connection that is over would be there.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.patience import until
from tests.unit.http.certificates import server_and_client_contexts

from tunehook.http.transport import HttpTransport

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
GIVEN_UP = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
HANGS_S = 60.0


class Receiver:
    """Answers, in a thread of its own, what comes over connections; ends one that is idle for `idle_s`, or all if told.

    Attributes
    ----------
    requests : list of bytes
        The bodies that came.
    connections : int
        How many were made.
    ended : int
        How many it has ended.
    may_end : threading.Event
        What tells it.
    """

    def __init__(
        self,
        idle_s: float,
        tls: ssl.SSLContext | None = None,
        *,
        last_words: bytes = b"",
        resets: bool = False,
        closes: bool = True,
    ) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = 0
        self.is_ended = threading.Event()
        self.may_end = threading.Event()
        self._idle_s = idle_s
        self._tls = tls
        self._last_words = last_words
        self._resets = resets
        self._closes = closes
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self._listening.getsockname()[1]}/"

    def close(self) -> None:
        self._over.set()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True)
            with peer:
                self._answer(peer)

    def _answer(self, peer: socket.socket) -> None:
        taken = b""
        heard_at_s = time.monotonic()
        peer.settimeout(0.01)
        while True:
            try:
                data = peer.recv(65_536)
            except TimeoutError:
                if self.may_end.is_set() or time.monotonic() - heard_at_s > self._idle_s:
                    break
                continue
            if not data:
                return
            heard_at_s = time.monotonic()
            taken += data
            _, is_whole, body = taken.partition(b"\r\n\r\n")
            if is_whole and body.endswith(b"}"):
                self.requests.append(body)
                taken = b""
                peer.sendall(OK)
        if self._last_words:
            peer.sendall(self._last_words)
        if self._resets:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if self._closes:
            peer.close()
        self.ended += 1
        self.is_ended.set()
        if not self._closes:
            self._over.wait(HANGS_S)


@contextlib.contextmanager
def receiver(*args: Any, **options: Any) -> Iterator[Receiver]:
    made = Receiver(*args, **options)
    try:
        yield made
    finally:
        made.close()


def both_contexts(folder: Path, is_tls: bool) -> tuple[ssl.SSLContext | None, ssl.SSLContext | None]:
    return server_and_client_contexts(folder, "localhost") if is_tls else (None, None)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resets": True},
        {"last_words": GIVEN_UP},
        {"last_words": OK, "closes": False},
        {"last_words": b"garbage", "closes": False},
    ],
    ids=["closes", "resets", "says 408 and closes", "answers unasked", "says something"],
)
def test_what_became_of_a_connection_while_nothing_ran_is_seen_before_it_carries_a_request(
    tmp_path: Path, is_tls: bool, options: dict[str, Any]
) -> None:
    server, trust = both_contexts(tmp_path, is_tls)
    with receiver(HANGS_S, server, **options) as peer, asyncio.Runner() as runner:
        client = HttpTransport(ssl_context=trust)
        for number in range(3):
            body = b"{%d}" % number
            reply = runner.run(client.send("POST", peer.url, {}, body, max_bytes=99))
            assert (reply.status, reply.body) == (200, b"ok")
            # The loop does not run here.
            peer.may_end.set()
            assert peer.is_ended.wait(HANGS_S)
            peer.may_end.clear()
            peer.is_ended.clear()
        runner.run(client.close())
    assert peer.requests == [b"{0}", b"{1}", b"{2}"]
    assert peer.connections == 3


async def test_how_long_a_connection_is_kept_goes_by_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [1_000.0]
    monkeypatch.setattr("tunehook.http.connections.time.time", lambda: clock_s[0])
    with receiver(HANGS_S) as peer:
        async with HttpTransport(keepalive_s=15.0) as client:
            for pause_s, made in [(0, 1), (14.9, 1), (15.1, 2), (3_600, 3), (-1, 4), (10, 4)]:
                clock_s[0] += pause_s
                await client.send("POST", peer.url, {}, b"{}", max_bytes=99)
                assert peer.connections == made, pause_s


CHILD = """
    import asyncio, ssl, sys
    from tunehook.http.transport import HttpTransport

    async def post(client, url):
        return (await client.send("POST", url, {}, b"{}", max_bytes=99)).status

    async def main(authorities, *urls):
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async with HttpTransport(ssl_context=ssl.create_default_context(cafile=authorities)) as client:
            while await reader.readline():
                answers = await asyncio.gather(*(post(client, url) for url in urls), return_exceptions=True)
                print(*map(repr, answers), flush=True)

    asyncio.run(main(*sys.argv[1:]))
"""


def have_ended(waiting: list[tuple[Receiver, int]]) -> bool:
    """Whether each of these has ended more connections than it had."""
    return all(peer.ended > before for peer, before in waiting)


def test_a_process_that_is_stopped_between_two_batches_loses_no_request_to_receivers_that_close(
    tmp_path: Path,
) -> None:
    server, _ = server_and_client_contexts(tmp_path, "localhost")
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(receiver(idle_s, tls)) for idle_s in (1.0, 2.0, 5.0) for tls in (None, server)
        ]
        command = [sys.executable, "-c", textwrap.dedent(CHILD), str(tmp_path / "certificate.pem")]
        child = stack.enter_context(
            subprocess.Popen(
                [*command, *(peer.url for peer in peers)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(child.kill)
        assert child.stdin is not None
        assert child.stdout is not None
        for waits_for in (peers[:2], peers[2:4], peers[4:], []):
            ended = [peer.ended for peer in peers]
            child.stdin.write("go\n")
            child.stdin.flush()
            os.kill(child.pid, signal.SIGCONT)
            assert child.stdout.readline().split() == ["200"] * len(peers)
            os.kill(child.pid, signal.SIGSTOP)
            waiting = list(zip(waits_for, (ended[peers.index(peer)] for peer in waits_for), strict=True))
            until(functools.partial(have_ended, waiting), "the end of the kept connections")
        os.kill(child.pid, signal.SIGCONT)
        child.stdin.close()
        child.wait(HANGS_S)
    assert [peer.requests for peer in peers] == [[b"{}"] * 4] * len(peers)


async def test_without_a_word_about_it_a_connection_is_kept_for_15_s(monkeypatch: pytest.MonkeyPatch) -> None:
    clock_s = [1_000.0]
    monkeypatch.setattr("tunehook.http.connections.time.time", lambda: clock_s[0])
    with receiver(HANGS_S) as peer:
        async with HttpTransport() as client:
            for pause_s, made in [(0, 1), (15, 1), (15.5, 2)]:
                clock_s[0] += pause_s
                await client.send("POST", peer.url, {}, b"{}", max_bytes=99)
                assert peer.connections == made, pause_s
