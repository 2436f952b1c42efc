"""Decompress bodies in pieces of a bounded size: some servers compress although nobody asked for it.

A body comes out whole or is refused: a gzip of several members is read to its end, and a cut one is an error. Names
that mean no compression (`utf-8`, `none`, `aws-chunked`) are taken for none, as the big clients do, and so is a body
that is not compressed whatever its header says.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

PIECE_BYTES: Final = 512 * 1024
"""How much comes out at a time at most, however little went in."""

_ALIASES: Final = {"x-gzip": "gzip", "brotli": "br", "x-deflate": "deflate", "x-compress": "compress"}
_UNREADABLE: Final = {
    "zstd": b"\x28\xb5\x2f\xfd",
    "compress": b"\x1f\x9d",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ",
    "lzma": b"\x5d\x00\x00",
    "lz4": b"\x04\x22\x4d\x18",
    "dcb": b"\xff\x44\x43\x42",
    "dcz": b"\x5e\x2a\x4d\x18",
}
"""Compressions that nothing here undoes, and how what they made begins."""

_START_BYTES: Final = 64
"""How much of a body tells whether it is compressed as its header says."""

_BROKEN: Final = "the compressed body is broken"
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"
_GZIP: Final = 16 + zlib.MAX_WBITS

# Of the two codings without a mark of their own: what begins like this is a file or a text, and was never compressed.
_FILES: Final = re.compile(
    rb"ID3|\xff[\xe0-\xff]|fLaC|OggS|RIFF|FORM|.{4}ftyp|\x1a\x45\xdf\xa3|\xff\xd8\xff|\x89PNG\r\n|GIF8", re.S
)
_NO_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]")


class UnreadableCoding(ValueError):
    """A body is broken, cut, or compressed by what nothing here undoes; the message quotes nothing of it."""


def content_encoding(headers: Mapping[str, str]) -> str:
    """Return all lines of an answer's ``Content-Encoding``, joined by commas."""
    lines = getattr(headers, "getall", None)
    return ", ".join(lines("content-encoding", ())) if lines else headers.get("content-encoding", "")


def codings(header: str) -> tuple[str, ...]:
    """Return the compressions that a ``Content-Encoding`` names, in the order in which they were applied."""
    names = (part.partition(";")[0].strip(" \t\"'").lower() for part in header.split(","))
    known = (_ALIASES.get(name, name) for name in names)
    return tuple(name for name in known if name in _UNREADABLE or name in ("gzip", "deflate", "br"))


class Decompressor:
    """Undo the content codings of one body, of which `header` is the ``Content-Encoding``."""

    def __init__(self, header: str) -> None:
        self._stages = [_Stage(name) for name in reversed(codings(header))]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes come to, in pieces of `PIECE_BYTES` at most, or raise `UnreadableCoding`."""
        return self._through(0, data)

    def finish(self) -> Iterator[bytes]:
        """Yield the rest, once the whole body has been fed, or raise `UnreadableCoding` if it was cut."""
        for number, stage in enumerate(self._stages, 1):
            for piece in stage.finish():
                yield from self._through(number, piece)

    def _through(self, number: int, data: bytes) -> Iterator[bytes]:
        if number == len(self._stages):
            if data:
                yield data
            return
        for piece in self._stages[number].feed(data):
            yield from self._through(number + 1, piece)


def decompressed(body: bytes, header: str, max_bytes: int) -> bytes | None:
    """Return a whole body, decompressed; None if it exceeds `max_bytes`. Raise `UnreadableCoding` if it is broken."""
    if not codings(header):
        return body if len(body) <= max_bytes else None
    decompressor = Decompressor(header)
    whole = bytearray()
    for pieces in (decompressor.feed(body), decompressor.finish()):
        for piece in pieces:
            whole += piece
            if len(whole) > max_bytes:
                return None
    return bytes(whole)


class _Stage:
    """One coding, once the first bytes have told whether it was applied at all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._start = b""
        self._inflater: _Plain | _Zlib | _Gzip | _Brotli | None = None

    def feed(self, data: bytes, *, is_all: bool = False) -> Iterator[bytes]:
        if self._inflater is None:
            data = self._start = self._start + data
            if not data or (len(data) < _START_BYTES and not is_all):
                return
            self._inflater = _inflater_of(self._name, data)
        yield from self._inflater.pieces(data)

    def finish(self) -> Iterator[bytes]:
        if self._inflater is None:
            yield from self.feed(b"", is_all=True)
        if self._inflater is not None and not self._inflater.is_whole:
            raise UnreadableCoding("the compressed body is truncated")


def _inflater_of(name: str, start: bytes) -> _Plain | _Zlib | _Gzip | _Brotli:
    if name in _UNREADABLE:
        if start.startswith(_UNREADABLE[name]):
            raise UnreadableCoding(f"the body is compressed by {name}, which was not asked for")
        return _Plain()
    if name == "gzip":
        return _Gzip() if _begins_member(start) else _Plain()
    if name == "deflate" and start[0] & 0x0F == 8 and int.from_bytes(start[:2].ljust(2, b"\0")) % 31 == 0:
        return _Zlib(zlib.MAX_WBITS)
    if _was_never_compressed(start):
        return _Plain()
    return _Zlib(-zlib.MAX_WBITS) if name == "deflate" else _Brotli()


def _begins_member(start: bytes) -> bool:
    return start[:3] == _GZIP_MAGIC[: len(start)]


def _was_never_compressed(start: bytes) -> bool:
    if _FILES.match(start):
        return True
    # Incremental: the last character may be cut.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(start[:_START_BYTES])
    return len(text) > 1 and _NO_TEXT.search(text) is None


def _split(data: bytes) -> Iterator[bytes]:
    return (data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES))


class _Plain:
    is_whole = True

    def pieces(self, data: bytes) -> Iterator[bytes]:
        return _split(data)


class _Zlib:
    """One stream of zlib; what follows it is left alone."""

    def __init__(self, window: int) -> None:
        self.stream = zlib.decompressobj(window)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while not self.stream.eof:
            try:
                piece = self.stream.decompress(data, PIECE_BYTES)
            except zlib.error:
                raise UnreadableCoding(_BROKEN) from None
            if piece:
                yield piece
            elif not self.stream.unconsumed_tail:
                return
            data = self.stream.unconsumed_tail

    @property
    def is_whole(self) -> bool:
        return self.stream.eof


class _Gzip:
    """Members one after the other (RFC 1952, section 2.2); what follows and is none is left out, as browsers do."""

    def __init__(self) -> None:
        self._member: _Zlib | None = _Zlib(_GZIP)
        self._between = b""
        self._is_over = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while not self._is_over:
            if self._member is None:
                data, self._between = self._between + data, b""
                if len(data) < len(_GZIP_MAGIC):
                    self._between = data
                    return
                self._is_over = not _begins_member(data)
                self._member = None if self._is_over else _Zlib(_GZIP)
            else:
                yield from self._member.pieces(data)
                if not self._member.is_whole:
                    return
                data, self._member = self._member.stream.unused_data, None

    @property
    def is_whole(self) -> bool:
        if self._member is not None:
            return self._member.is_whole
        return not (self._between and _begins_member(self._between))


class _Brotli:
    def __init__(self) -> None:
        import brotli  # such answers are rare

        self._inflater = brotli.Decompressor()
        self._error = brotli.error

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while True:
            try:
                piece = self._inflater.process(data, output_buffer_limit=PIECE_BYTES)
            except self._error:
                raise UnreadableCoding(_BROKEN) from None
            yield from _split(piece)  # it gives a little more than it is asked for
            if self._inflater.is_finished() or not piece:
                return
            data = b""

    @property
    def is_whole(self) -> bool:
        return bool(self._inflater.is_finished())
