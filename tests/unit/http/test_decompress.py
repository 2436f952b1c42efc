"""Content codings, undone whole and in bounded pieces, or refused."""

import functools
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from tunehook.http.decompress import Decompressor, UnreadableCoding, codings, content_encoding, decompressed

# As documented, and not imported: a bound that moves is to be noticed.
PIECE_BYTES = 512 * 1024

gzipped = functools.partial(gzip.compress, mtime=0)
"""The same bytes each time: they name tests, and workers must agree on these."""

DATA = random.Random(1).randbytes(3_000) + b"a" * 3_000
MANY = 10_000_000


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


def two_members(data: bytes) -> bytes:
    return gzipped(data[:1000]) + gzipped(data[1000:])


CODED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzipped),
    ("x-gzip", gzipped),
    ("GZIP", gzipped),
    ("gzip", two_members),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("gzip, br", lambda data: brotli.compress(gzipped(data))),
    ("br, gzip", lambda data: gzipped(brotli.compress(data))),
    ("utf-8, gzip", gzipped),
    ("gzip, gzip", gzipped),
    ("gzip, gzip", lambda data: gzipped(gzipped(data))),
]
each_coding = pytest.mark.parametrize(("header", "compress"), CODED)


def in_steps(header: str, body: bytes, step: int) -> bytes:
    decompressor = Decompressor(header)
    pieces = [piece for at in range(0, len(body), step) for piece in decompressor.feed(body[at : at + step])]
    pieces += decompressor.finish()
    assert all(0 < len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@each_coding
@pytest.mark.parametrize("step", [1, 7, 1000, 1_000_000])
def test_a_coded_body_comes_out_whole_however_it_comes_in(
    header: str, compress: Callable[[bytes], bytes], step: int
) -> None:
    assert in_steps(header, compress(DATA), step) == DATA


@each_coding
def test_a_short_body_comes_out_as_well(header: str, compress: Callable[[bytes], bytes]) -> None:
    assert decompressed(compress(b'{"a": 1}'), header, 100) == b'{"a": 1}'


@each_coding
def test_an_empty_body_comes_out_empty(header: str, compress: Callable[[bytes], bytes]) -> None:
    assert decompressed(compress(b""), header, 100) == b""
    assert decompressed(b"", header, 100) == b""


@each_coding
@pytest.mark.parametrize("cut", [1, 8, 40])
def test_a_body_that_is_cut_is_refused(header: str, compress: Callable[[bytes], bytes], cut: int) -> None:
    with pytest.raises(UnreadableCoding):
        in_steps(header, compress(DATA)[:-cut], 1000)


@each_coding
def test_a_body_is_refused_or_whole_wherever_it_is_cut(
    header: str, compress: Callable[[bytes], bytes]
) -> None:
    body = compress(b"The quick brown fox, and what became of it. " * 20)
    # What ends where a member does is whole, as far as anybody can tell.
    first_member = len(gzipped(b""))
    for end in range(20, len(body) - (first_member if compress is two_members else 0)):
        with pytest.raises(UnreadableCoding):
            decompressed(body[:end], header, 10_000)


def test_a_second_member_that_is_cut_in_its_first_bytes_is_refused() -> None:
    for rest in (b"\x1f", b"\x1f\x8b", b"\x1f\x8b\x08", b"\x1f\x8b\x08\x00"):
        with pytest.raises(UnreadableCoding, match="truncated"):
            decompressed(gzipped(DATA) + rest, "gzip", 10_000)


@pytest.mark.parametrize("rest", [b"\0", b"\0" * 512, b"garbage", b"\x1fgarbage", b"\r\n"])
@pytest.mark.parametrize("step", [1, 1_000_000])
def test_what_follows_the_last_member_of_a_gzip_is_left_out(rest: bytes, step: int) -> None:
    assert in_steps("gzip", gzipped(DATA) + rest, step) == DATA


def test_a_gzip_whose_checksum_is_wrong_is_refused() -> None:
    body = bytearray(gzipped(DATA))
    body[-6] ^= 1
    with pytest.raises(UnreadableCoding, match="broken"):
        decompressed(bytes(body), "gzip", 10_000)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "identity",
        "identity, identity",
        "utf-8",
        "UTF-8",
        "none",
        "binary",
        "aws-chunked",
        "application/json",
        "8bit",
        "null",
        ",,",
        "\xff",
    ],
)
def test_names_that_mean_no_compression_are_none(header: str) -> None:
    assert codings(header) == ()
    assert decompressed(DATA, header, 10_000) == DATA


PLAIN = [
    b'{"code": "success", "data": {"task_id": "t", "status": "SUCCESS"}}' * 3,
    b'{"a": 1}',
    "運命".encode() * 40,
    b"<!doctype html><title>x</title>",
    b"ID3\x04\x00\x00\x00\x00\x0f\x76" + DATA,
    b"\xff\xfb\x90\x64" + DATA,
    b"\xff\xf1\x50\x80" + DATA,
    b"\x00\x00\x00\x20ftypM4A " + DATA,
    b"OggS\x00\x02" + DATA,
    b"\xff\xd8\xff\xe0" + DATA,
    b"\x89PNG\r\n\x1a\n" + DATA,
    b"RIFF\x00\x00\x00\x00WEBP" + DATA,
    b"\x1a\x45\xdf\xa3" + DATA,
]


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd", "compress", "gzip, gzip"])
@pytest.mark.parametrize("body", PLAIN)
def test_a_body_that_is_not_compressed_is_taken_as_it_is(header: str, body: bytes) -> None:
    assert in_steps(header, body, 1000) == body


@pytest.mark.parametrize(
    ("header", "start"),
    [("zstd", b"\x28\xb5\x2f\xfd"), ("compress", b"\x1f\x9d"), ("x-compress", b"\x1f\x9d")],
)
def test_a_compression_that_nothing_here_undoes_is_refused_by_name(header: str, start: bytes) -> None:
    with pytest.raises(UnreadableCoding, match=header.removeprefix("x-")):
        decompressed(start + DATA, header, 10_000)


@pytest.mark.parametrize(
    ("header", "bomb"),
    [
        ("gzip", gzipped(bytes(MANY))),
        ("deflate", raw_deflate(bytes(MANY))),
        ("br", brotli.compress(bytes(MANY))),
        ("gzip, gzip", gzipped(gzipped(bytes(MANY)))),
        ("br, br", brotli.compress(brotli.compress(bytes(MANY)))),
    ],
    ids=["gzip", "deflate", "br", "gzip twice", "br twice"],
)
def test_a_bomb_never_holds_more_than_a_few_pieces(header: str, bomb: bytes) -> None:
    tracemalloc.start()
    try:
        decompressor = Decompressor(header)
        count = sum(map(len, decompressor.feed(bomb))) + sum(map(len, decompressor.finish()))
        assert count == MANY
        assert tracemalloc.get_traced_memory()[1] < 6 * PIECE_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("header", "body"),
    [("", b"x" * 101), ("gzip", gzipped(b"x" * 101)), ("br", brotli.compress(b"x" * 101))],
    ids=["plain", "gzip", "br"],
)
def test_a_body_beyond_its_bound_is_none(header: str, body: bytes) -> None:
    assert decompressed(body, header, 100) is None
    assert decompressed(body, header, 101) == b"x" * 101


def test_a_content_encoding_in_several_lines_is_one_list() -> None:
    assert (
        content_encoding(CIMultiDict([("Content-Encoding", "gzip"), ("content-encoding", "br")]))
        == "gzip, br"
    )
    assert content_encoding({"content-encoding": "gzip"}) == "gzip"
    assert content_encoding({}) == ""


@given(st.sampled_from(["gzip", "deflate", "br", "gzip, br", "br, deflate"]), st.binary(max_size=300))
def test_nothing_else_is_raised(header: str, body: bytes) -> None:
    for each in (body, gzipped(body)[:10] + body, b"\x78\x9c" + body, brotli.compress(body) + body):
        try:
            result = decompressed(each, header, 100_000)
        except UnreadableCoding:
            continue
        assert result is None or isinstance(result, bytes)


MARKS = {
    "zstd": b"\x28\xb5\x2f\xfd",
    "compress": b"\x1f\x9d",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ",
    "lzma": b"\x5d\x00\x00",
    "lz4": b"\x04\x22\x4d\x18",
    "dcb": b"\xff\x44\x43\x42",
    "dcz": b"\x5e\x2a\x4d\x18",
}


@pytest.mark.parametrize("name", MARKS)
def test_every_compression_that_nothing_here_undoes_is_known_by_its_mark(name: str) -> None:
    with pytest.raises(UnreadableCoding, match=f"compressed by {name},"):
        decompressed(MARKS[name] + DATA, name, 10_000)
    assert decompressed(b"ab" + DATA, name, 10_000) == b"ab" + DATA
    assert codings(name) == (name,)


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("x-gzip", ("gzip",)),
        ("brotli", ("br",)),
        ("x-deflate", ("deflate",)),
        ("x-compress", ("compress",)),
        (" 'GZip' ;q=1,\"br\"\t", ("gzip", "br")),
    ],
)
def test_a_coding_goes_by_its_own_name(header: str, names: tuple[str, ...]) -> None:
    assert codings(header) == names


FILES = (
    *(
        b"ID3\x04",
        b"\xff\xe0\x00",
        b"\xff\xff\x00",
        b"fLaC",
        b"OggS",
        b"RIFF",
        b"FORM",
        b"\x00\x01\x02\x0aftyp",
    ),
    *(b"\x1a\x45\xdf\xa3", b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8"),
)


@pytest.mark.parametrize("start", FILES)
@pytest.mark.parametrize("header", ["br", "deflate"])
def test_a_file_that_is_called_compressed_and_is_not_is_taken_as_it_is(header: str, start: bytes) -> None:
    assert decompressed(start + b"\x00\x9f" * 40, header, 10_000) == start + b"\x00\x9f" * 40


@pytest.mark.parametrize(
    ("text", "is_text"), [(b"ab", True), ("歌a".encode()[:4], True), (b"a", False), (b"a\x00", False)]
)
def test_a_text_of_two_letters_was_never_compressed(text: bytes, is_text: bool) -> None:
    if is_text:
        assert decompressed(text, "br", 10) == text
        return
    with pytest.raises(UnreadableCoding):
        decompressed(text, "br", 10)


def test_a_text_is_known_by_its_first_64_bytes() -> None:
    assert decompressed(b"a" * 64 + b"\x00", "br", 99) == b"a" * 64 + b"\x00"
    with pytest.raises(UnreadableCoding):
        decompressed(b"a" * 63 + b"\x00", "br", 99)


def test_a_body_is_told_as_soon_as_64_bytes_are_there() -> None:
    decompressor = Decompressor("gzip")
    assert list(decompressor.feed(b"a" * 63)) == []
    assert list(decompressor.feed(b"a")) == [b"a" * 64]


@pytest.mark.parametrize("compress", [None, gzipped, zlib.compress, brotli.compress])
def test_no_piece_is_longer_than_512_kib(compress: Callable[[bytes], bytes] | None) -> None:
    header = {gzipped: "gzip", zlib.compress: "deflate", brotli.compress: "br"}.get(compress, "gzip")  # type: ignore[call-overload]
    body = b"ab" * 600_000
    decompressor = Decompressor(header)
    pieces = [*decompressor.feed(body if compress is None else compress(body)), *decompressor.finish()]
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) == 512 * 1024


def test_a_zlib_stream_is_told_from_raw_deflate_by_its_first_two_bytes() -> None:
    raw = next(
        coded
        for number in range(2000)
        if (coded := raw_deflate(b"%d" % number * 30))[0] & 0x0F != 8 and not coded.isascii()
    )
    assert decompressed(raw, "deflate", 10_000) == zlib.decompress(raw, wbits=-15)
