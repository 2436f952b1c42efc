"""Requests as the bytes that go over the wire: headers and body in one piece, each header as it was given."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from tunehook.http.headers import DEFAULT_HEADERS

if TYPE_CHECKING:
    import asyncio

    from aiohttp.client_reqrep import ConnectionKey

WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
BODY_HEADERS: Final = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding"})
"""Those that describe a body: a request without one has none of them."""

_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})
_DEFAULTS: Final = [
    (name, f"{name}: {value}") for name, value in ({"accept": "*/*"} | DEFAULT_HEADERS).items()
]


class Peer(aiohttp.ClientRequest):
    """Where the requests to one origin go: a connection is asked for by it, and they have its headers in common."""

    def __init__(self, origin: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__("GET", URL(origin, encoded=True), loop=loop)
        self.common = tuple(
            (name, f"{name}: {self.headers[name]}")
            for name in ("host", "authorization")
            if name in self.headers
        )

    @functools.cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


def request_bytes(
    method: str, target: str, peer: Peer, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    """Return a request; raise `ValueError` if a header cannot be carried.

    A request without a body has no header that describes one, but a POST the length zero.
    """
    has_body = bool(body) or method not in WITHOUT_BODY
    start = f"{method} {target} HTTP/1.1"
    if "\n" in start or "\r" in start or "\0" in start:
        raise ValueError("a request line holds a line break or a NUL")
    lines = _header_lines(tuple(headers.items()), peer.common, has_body=has_body)
    if has_body:
        lines = f"{lines}\r\ncontent-length: {len(body or b'')}"
    return f"{start}{lines}\r\n\r\n".encode() + (body or b"")


@functools.lru_cache(maxsize=64)
def _header_lines(
    headers: tuple[tuple[str, str], ...], common: tuple[tuple[str, str], ...], *, has_body: bool
) -> str:
    """Return the lines of all headers but the length, a line break before each: most questions have the same ones."""
    lines = [""]
    left_out = _FRAMING if has_body else BODY_HEADERS
    given = set()
    for name, value in headers:
        lower = name.lower()
        given.add(lower)
        if lower not in left_out:
            lines.append(f"{name}: {value}")
    lines += [line for name, line in common if name not in given]
    lines += [line for name, line in _DEFAULTS if name not in given]
    if has_body and "content-type" not in given:
        lines.append("content-type: application/octet-stream")
    text = "\r\n".join(lines)
    breaks = len(lines) - 1
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text:
        raise ValueError("a header holds a line break or a NUL")
    return text
