"""The body of an answer, bounded before and after decompression."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

MAX_BODY_BYTES = 2 * 1024 * 1024

_IDENTITY = frozenset({"", "identity"})
_ZLIB = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib tells the two apart by their header
_RAW_DEFLATE = -zlib.MAX_WBITS


class UnusableBodyError(ValueError):
    """The body is too large or cannot be decompressed; the message quotes nothing of it."""


async def read_body(response: httpx.Response) -> bytes:
    """Read a streamed answer's body, decompressed.

    Raises
    ------
    UnusableBodyError
        If it exceeds 2 MiB raw or decompressed, or is compressed otherwise than by gzip or deflate, or is
        broken.
    httpx.TransportError
        If the connection fails.
    """
    if response.is_stream_consumed:  # the transport gave the whole answer at once, and httpx has read it
        return _checked(response.content)
    chunks, size = [], 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise UnusableBodyError("the body exceeds 2 MiB")
        chunks.append(chunk)
    raw = b"".join(chunks)
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in _IDENTITY:
        return raw
    if encoding not in _ZLIB:
        raise UnusableBodyError("the body is compressed in a way that was not asked for")
    return _decompressed(raw)


def _decompressed(raw: bytes) -> bytes:
    for window in (_GZIP_OR_ZLIB, _RAW_DEFLATE):  # servers send both and call them deflate
        inflater = zlib.decompressobj(window)
        try:
            body = inflater.decompress(raw, MAX_BODY_BYTES + 1)
        except zlib.error:
            continue
        if len(body) <= MAX_BODY_BYTES and not inflater.eof:
            raise UnusableBodyError("the compressed body is truncated")
        return _checked(body)
    raise UnusableBodyError("the compressed body is broken")


def _checked(body: bytes) -> bytes:
    if len(body) > MAX_BODY_BYTES:
        raise UnusableBodyError("the body exceeds 2 MiB")
    return body
