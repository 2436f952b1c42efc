"""The body of an answer, bounded before and after decompression."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunehook.http.transport import Reply

MAX_BODY_BYTES = 2 * 1024 * 1024

_IDENTITY = frozenset({"", "identity"})
_ZLIB = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS  # zlib tells the two apart by their header
_RAW_DEFLATE = -zlib.MAX_WBITS
_TOO_LARGE = "the body exceeds 2 MiB"


class UnusableBodyError(ValueError):
    """The body is too large or cannot be decompressed; the message quotes nothing of it.

    Parameters
    ----------
    reason : str
    is_too_large : bool
    """

    def __init__(self, reason: str, *, is_too_large: bool = False) -> None:
        super().__init__(reason)
        self.is_too_large = is_too_large


def plain_body(reply: Reply) -> bytes:
    """Return an answer's body, decompressed.

    Raises
    ------
    UnusableBodyError
        If it exceeds 2 MiB raw or decompressed, or is compressed otherwise than by gzip or deflate, or is
        broken.
    """
    if reply.truncated:
        raise UnusableBodyError(_TOO_LARGE, is_too_large=True)
    encoding = reply.headers.get("content-encoding", "").strip().lower()
    if encoding in _IDENTITY:
        return reply.body
    if encoding not in _ZLIB:
        raise UnusableBodyError("the body is compressed in a way that was not asked for")
    return _decompressed(reply.body)


def _decompressed(raw: bytes) -> bytes:
    for window in (_GZIP_OR_ZLIB, _RAW_DEFLATE):  # servers send both and call them deflate
        inflater = zlib.decompressobj(window)
        try:
            body = inflater.decompress(raw, MAX_BODY_BYTES + 1)
        except zlib.error:
            continue
        if len(body) > MAX_BODY_BYTES:
            raise UnusableBodyError(_TOO_LARGE, is_too_large=True)
        if not inflater.eof:
            raise UnusableBodyError("the compressed body is truncated")
        return body
    raise UnusableBodyError("the compressed body is broken")
