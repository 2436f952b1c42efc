"""A server on loopback that nobody may ever connect to, and that keeps who did."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tunehook_local.sandbox.ledger import utc_now

_LINE_BYTES: Final = 200
_PATIENCE_S: Final = 2.0
_SPELLINGS: Final = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
)
_SPELLINGS_V6: Final = ("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]")


@dataclass(frozen=True, slots=True)
class Tripped:
    """A connection that was made: when, and the first line that came over it."""

    at: datetime
    first_line: str


class Tripwire:
    """Listens on the loopback addresses, IPv6 too where there is any, for connections of whatever protocol."""

    def __init__(self) -> None:
        self._tripped: list[Tripped] = []
        self._servers: list[asyncio.Server] = []
        self._port = 0

    async def start(self) -> None:
        """Begin to listen."""
        self._servers.append(await asyncio.start_server(self._note, "127.0.0.1", 0))
        self._port = self._servers[0].sockets[0].getsockname()[1]
        try:
            self._servers.append(await asyncio.start_server(self._note, "::1", self._port))
        except OSError:
            return  # This machine has no IPv6: no connection can go there.

    async def stop(self) -> None:
        """Listen no more."""
        for server in self._servers:
            server.close()

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def spellings(self) -> list[str]:
        """Return URLs that all lead here, without a slash at the end; some are names."""
        hosts = _SPELLINGS + (_SPELLINGS_V6 if len(self._servers) > 1 else ())
        return [*(f"https://{host}:{self._port}" for host in hosts), self.url]

    def tripped(self) -> list[Tripped]:
        """Return the connections that were made."""
        return list(self._tripped)

    async def _note(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = len(self._tripped)
        self._tripped.append(Tripped(utc_now(), ""))
        try:
            async with asyncio.timeout(_PATIENCE_S):
                data = await reader.read(_LINE_BYTES)
            line = data.partition(b"\r\n")[0].decode("ascii", "backslashreplace")
            self._tripped[place] = Tripped(self._tripped[place].at, line)
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # It has been noted, which is what counts.
        finally:
            writer.close()
