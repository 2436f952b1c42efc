"""Heads of answers as they come from the wire, and what a strict parser gets to see of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.http.response_head import (
    CONTRADICTION,
    CUT,
    HEAD_TOO_LARGE,
    LINE_TOO_LONG,
    NO_HTTP,
    TOO_MANY_LINES,
    Repaired,
    UnreadableHead,
    check_growing,
    end_of_head,
    repaired,
    repaired_cut,
)

# As documented, and not imported: a bound that moves is to be noticed.
MAX_HEAD_BYTES = 256 * 1024
MAX_LINES = 500
MAX_LINE_BYTES = 64 * 1024

START = b"HTTP/1.1 200 OK\r\n"


def lines_of(*given: bytes) -> list[bytes]:
    """The header lines of a head that was repaired."""
    head, *_ = repaired(START + b"".join(line + b"\r\n" for line in given) + b"\r\n")
    return head.split(b"\r\n")[1:-2]


@pytest.mark.parametrize(
    "head",
    [
        START + b"\r\n",
        START + b"Server: nginx\r\nContent-Length: 2\r\nX-A:\r\n\r\n",
        START + b"Transfer-Encoding: chunked\r\nx-a: \xff\xfe\r\n\r\n",
        b"HTTP/1.0 404 Not Found\r\ncontent-type: a/b\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        START + b"Content-Length-X: 2\r\nContent-Length: 2\r\n\r\n",
    ],
)
def test_a_good_head_stays_as_it_is(head: bytes) -> None:
    assert repaired(head) == Repaired(head)


@pytest.mark.parametrize(
    ("given_lines", "seen"),
    [
        ([b"content-length: 2", b"Content-Length: 2"], [b"Content-Length: 2"]),
        ([b"content-length: 2, 2"], [b"Content-Length: 2"]),
        ([b"content-length: 2", b"content-length: 02"], [b"Content-Length: 2"]),
        ([b"content-length: 2", b"transfer-encoding: chunked"], [b"Transfer-Encoding: chunked"]),
        (
            [b"transfer-encoding: chunked", b"content-length: 3", b"content-length: 2"],
            [b"Transfer-Encoding: chunked"],
        ),
        ([b"transfer-encoding: Chunked", b"transfer-encoding: chunked"], [b"Transfer-Encoding: chunked"]),
        ([b"transfer-encoding: identity", b"content-length: 2"], [b"Content-Length: 2"]),
        ([b"transfer-encoding: gzip, chunked"], [b"Transfer-Encoding: gzip, chunked"]),
        ([b"content-length: abc"], []),
        ([b"content-length: -1"], []),
        ([b"content-length:"], []),
        ([b"content-length: " + b"9" * 5000], []),
        ([b"X-Foo : bar"], [b"X-Foo: bar"]),
        ([b"Content-Length\t: 2"], [b"Content-Length: 2"]),
        ([b"garbage", b"x-a: b"], [b"x-a: b"]),
        ([b": value", b"x y: z", b"x(a): b", b"\xff: b", b"x-a: b"], [b"x-a: b"]),
        ([b"x-a: b", b"  c", b"\td"], [b"x-a: b c d"]),
        ([b"garbage", b" more of it", b"x-a: b"], [b"x-a: b"]),
        ([b" x-b: folded into nothing", b"x-a: b"], [b"x-a: b"]),
        ([b"x-a: b\0c"], [b"x-a: b c"]),
        ([b"x-a: b\rc"], [b"x-a: b c"]),
    ],
)
def test_what_is_odd_is_repaired_or_left_out(given_lines: list[bytes], seen: list[bytes]) -> None:
    assert lines_of(*given_lines) == seen


@pytest.mark.parametrize(
    ("start", "seen"),
    [
        (b"HTTP/1.2 200 OK", b"HTTP/1.1 200 OK"),
        (b"HTTP/1.1  302  Found", b"HTTP/1.1 302  Found"),
        (b"ICY 200 OK", b"HTTP/1.0 200 OK"),
    ],
)
def test_an_odd_status_line_is_repaired(start: bytes, seen: bytes) -> None:
    assert repaired(start + b"\r\n\r\n") == Repaired(seen + b"\r\n\r\n", is_changed=True)


@pytest.mark.parametrize(
    "start", [b"SSH-2.0-OpenSSH_9.0", b"<html>", b"HTTP/2.0 200 OK", b"HTTP/1.1 2x0 OK", b""]
)
def test_what_is_no_answer_is_left_to_the_parser(start: bytes) -> None:
    assert repaired(start + b"\r\n\r\n") == Repaired(start + b"\r\n\r\n")


def test_lines_that_end_with_a_bare_line_feed_are_lines() -> None:
    seen = START + b"x-a: b\r\nContent-Length: 2\r\n\r\n"
    assert repaired(b"HTTP/1.1 200 OK\nx-a: b\ncontent-length: 2\n\n") == Repaired(seen, is_changed=True)


@pytest.mark.parametrize(
    "lengths",
    [[b"content-length: 2", b"content-length: 3"], [b"content-length: 2, 3"]],
    ids=["lines", "list"],
)
def test_of_lengths_that_contradict_each_other_none_counts_and_the_body_is_broken(
    lengths: list[bytes],
) -> None:
    given_lines = b"".join(line + b"\r\n" for line in [b"x-a: b", *lengths])
    assert repaired(START + given_lines + b"\r\n") == Repaired(START + b"x-a: b\r\n\r\n", True, CONTRADICTION)


def test_a_line_may_have_64_kb() -> None:
    line = b"x-a: ".ljust(MAX_LINE_BYTES, b"b")
    assert lines_of(line) == [line]


def test_a_longer_line_is_refused() -> None:
    with pytest.raises(UnreadableHead, match=LINE_TOO_LONG):
        lines_of(b"x-a: ".ljust(MAX_LINE_BYTES + 1, b"b"))


def test_a_head_may_have_500_lines() -> None:
    assert len(lines_of(*(b"x-%d: 1" % number for number in range(MAX_LINES)))) == MAX_LINES


def test_more_lines_are_refused() -> None:
    with pytest.raises(UnreadableHead, match=TOO_MANY_LINES):
        lines_of(*(b"x-%d: 1" % number for number in range(MAX_LINES + 1)))


def test_a_head_beyond_256_kb_is_refused() -> None:
    with pytest.raises(UnreadableHead, match=HEAD_TOO_LARGE):
        lines_of(*[b"x-a: ".ljust(60_000, b"b")] * 5)


def test_a_head_that_grows_beyond_its_bounds_is_refused_before_it_ends() -> None:
    with pytest.raises(UnreadableHead, match=LINE_TOO_LONG):
        check_growing(START + b"x-a: ".ljust(MAX_LINE_BYTES + 9, b"b"))
    with pytest.raises(UnreadableHead, match=HEAD_TOO_LARGE):
        check_growing(START + b"x-a: b\r\n" * (MAX_HEAD_BYTES // 8))


@pytest.mark.parametrize(
    ("data", "end"),
    [(b"a\r\n\r\nb", 5), (b"a\n\nb", 3), (b"a\r\n\nb", 4), (b"a\n\r\nb\r\n\r\n", 4), (b"a\r\nb\r\n", None)],
)
def test_a_head_ends_with_the_first_blank_line(data: bytes, end: int | None) -> None:
    assert end_of_head(data) == end


def test_a_head_that_the_connection_ended_has_its_whole_lines() -> None:
    whole = Repaired(START + b"location: /x\r\n\r\n")
    assert repaired_cut(START + b"location: /x\r\n") == whole
    assert repaired_cut(START + b"location: /x\r\nx-half: ") == whole
    assert repaired_cut(START + b"x-a : b\r\n") == Repaired(START + b"x-a: b\r\n\r\n", is_changed=True)


@pytest.mark.parametrize("cut", [START, START + b"location: /x", b"HTTP/1.1 200 OK\n"])
def test_of_a_head_without_one_whole_header_the_status_counts_and_the_body_is_broken(cut: bytes) -> None:
    seen = repaired_cut(cut)
    assert seen is not None
    assert (seen.head, seen.fault) == (START + b"\r\n", CUT)


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK", b"HTTP/1.1 2\r\n", b"SSH-2.0-x\r\na: b\r\n"]
)
def test_a_head_without_a_whole_status_line_is_none(cut: bytes) -> None:
    assert repaired_cut(cut) is None


@pytest.mark.parametrize(
    "begun", [b"S", b"HTTPS", b"<html>", b"HTTP/1.1 2x0 OK\r\n", b"ICE", b"\x15\x03\x03"]
)
def test_what_can_become_no_answer_is_refused_at_once(begun: bytes) -> None:
    with pytest.raises(UnreadableHead, match=NO_HTTP):
        check_growing(begun)


@pytest.mark.parametrize(
    "begun", [b"", b"H", b"HTTP", b"HTTP/", b"HTTP/1.1 2", START, START + b"x", b"IC", b"ICY 2"]
)
def test_what_can_become_an_answer_is_waited_for(begun: bytes) -> None:
    check_growing(begun)


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_whatever_comes_is_repaired_or_refused(lines: list[bytes]) -> None:
    head = START + b"\r\n".join(lines).replace(b"\n\n", b"\n").replace(b"\n\r\n", b"\n") + b"\r\n\r\n"
    try:
        seen, *_ = repaired(head)
    except UnreadableHead:
        return
    assert seen.count(b"\r\n\r\n") == 1
    assert seen.lower().count(b"\r\ncontent-length:") + seen.lower().count(b"\r\ntransfer-encoding:") <= 1


def test_a_blank_line_at_the_very_start_ends_a_head_and_one_before_the_start_does_not() -> None:
    assert end_of_head(b"\n\nb") == 2
    assert end_of_head(b"\n\nb\n\n", 1) == 5


def full_head(size: int) -> bytes:
    head = START + b"".join(b"x-%d: ".ljust(60_000, b"b") % number + b"\r\n" for number in range(4))
    return head + b"x-a: ".ljust(size - len(head) - 4, b"b") + b"\r\n\r\n"


def test_a_head_has_256_kb_at_most() -> None:
    assert repaired(full_head(256 * 1024)) == Repaired(full_head(256 * 1024))
    with pytest.raises(UnreadableHead, match=HEAD_TOO_LARGE):
        repaired(full_head(256 * 1024 + 1))


def test_a_head_that_grows_is_refused_just_beyond_its_bounds() -> None:
    line = START + b"x-a: ".ljust(64 * 1024, b"b")
    check_growing(line + b"\r")
    with pytest.raises(UnreadableHead, match=LINE_TOO_LONG):
        check_growing(line + b"\rx")
    whole = full_head(256 * 1024)[:-2]
    check_growing(whole + b"xx")
    with pytest.raises(UnreadableHead, match=HEAD_TOO_LARGE):
        check_growing(whole + b"xxx")
