"""A server that speaks whatever bytes a test wants, on a free port of the loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Wire:
    port: int
    connections: int = 0
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


def answering(*parts: bytes, pause_s: float = 0.0) -> Script:
    """A script that writes `parts`, one after the other, and closes."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return script


def dripping(start: bytes, drop: bytes, pause_s: float = 0.02) -> Script:
    """A script that writes `start` and then `drop` again and again until the peer has gone."""

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return script


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """A script that never answers."""
    await reader.read()


@dataclass(frozen=True)
class Asked:
    """A request as it came: its first line, its whole head, and where it stood among all that came."""

    line: str
    head: bytes
    connection: int
    place: int

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def names(self) -> set[str]:
        return {
            line.partition(":")[0].lower() for line in self.head.decode("latin-1").split("\r\n")[1:] if line
        }


@dataclass
class Host:
    """What a `conversing` server was asked, and all the bytes that came over each of its connections."""

    origin: str
    asked: list[Asked] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [asked.target for asked in self.asked]

    def assert_only_heads_came(self) -> None:
        """Nothing came beside the heads: no body, no chunk, no byte between two requests."""
        for number, received in enumerate(self.received):
            assert received == b"".join(asked.head for asked in self.asked if asked.connection == number)


@contextlib.asynccontextmanager
async def conversing(
    answer: Callable[[Asked], bytes | None], tls: ssl.SSLContext | None = None, name: str = "127.0.0.1"
) -> AsyncIterator[Host]:
    """Answer as many requests without a body as come over a connection; an answer of None closes it instead."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        connection = len(host.received)
        host.received.append(b"")
        waiting = b""
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while data := await reader.read(65_536):
                host.received[connection] += data
                waiting += data
                while b"\r\n\r\n" in waiting:
                    head, _, waiting = waiting.partition(b"\r\n\r\n")
                    line = head.split(b"\r\n")[0].decode("latin-1")
                    asked = Asked(line, head + b"\r\n\r\n", connection, len(host.asked))
                    host.asked.append(asked)
                    if (reply := answer(asked)) is None:
                        return writer.close()
                    writer.write(reply)
        writer.close()
        return None

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    host = Host(f"{'https' if tls else 'http'}://{name}:{port}")
    try:
        yield host
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def ok(body: bytes = b"ok") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def redirect(status: int, location: bytes) -> bytes:
    return b"HTTP/1.1 %d Moved\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % (status, location)


OK = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@contextlib.asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve one request a connection with `script`."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        wire.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            wire.lines.append([line for line in head if line])
            headers = {
                name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            wire.requests.append((headers, body))
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    wire = Wire(server.sockets[0].getsockname()[1])
    try:
        yield wire
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
