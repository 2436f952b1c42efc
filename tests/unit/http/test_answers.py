"""Answers that are read by hand, and which are not."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.http.answers import ShortAnswer, short_answer
from tunehook.http.response_head import Repaired, repaired

START = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 2\r\n"


def answer_to(head: bytes, max_bytes: int = 99) -> ShortAnswer:
    answer = short_answer(head, max_bytes)
    assert answer is not None
    return answer


def test_the_head_says_status_and_headers_of_which_the_first_counts() -> None:
    answer = answer_to(
        b"HTTP/1.1 429 Slow \xc3\xbc\r\n" + LENGTH + b"X-A: \t1 \r\nx-a:2\r\nX-B:\r\nX-C: \xff\r\n\r\n"
    )
    assert (answer.status, answer.is_read) == (429, False)
    assert answer.headers == {"content-length": "2", "x-a": "1", "x-b": "", "x-c": "\udcff"}


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"304"])
@pytest.mark.parametrize("length", [b"", LENGTH, b"content-length: many\r\n"])
def test_some_statuses_have_no_body_whatever_is_said(status: bytes, length: bytes) -> None:
    answer = answer_to(b"HTTP/1.1 " + status + b"\r\n" + length + b"\r\n")
    assert answer.is_read
    assert answer.is_in_order


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n", b"connection: Keep-Alive\r\n"])
def test_a_connection_may_be_said_to_be_kept(connection: bytes) -> None:
    assert not answer_to(START + connection + LENGTH + b"\r\n").is_read


@pytest.mark.parametrize(
    "head",
    [
        START + b"\r\n",
        START + b"transfer-encoding: chunked\r\n\r\n",
        START + LENGTH + b"transfer-encoding: chunked\r\n\r\n",
        START + LENGTH + LENGTH + b"\r\n",
        START + b"content-length: two\r\n\r\n",
        START + b"content-length: -2\r\n\r\n",
        START + b"content-length: 1000000000000000000\r\n\r\n",
        START + b"content-length: \xd9\xa2\r\n\r\n",
        START + b"content-length : 2\r\n\r\n",
        START + LENGTH + b"connection: close\r\n\r\n",
        START + LENGTH + b"connection: keep-alive, upgrade\r\n\r\n",
        START + LENGTH + b"connection: keep-alive\r\nconnection: close\r\n\r\n",
        START + LENGTH + b"upgrade: h2c\r\n\r\n",
        START + LENGTH + b"x-a: \x01\r\n\r\n",
        START + LENGTH + b"x-a: 1\n\r\n",
        START + LENGTH + b"x-a: 1\r\n folded\r\n\r\n",
        START + LENGTH + b"no header\r\n\r\n",
        START + LENGTH + b"x: ".ljust(70_000, b"x") + b"\r\n\r\n",
        START + LENGTH + b"x: 1\r\n" * 501 + b"\r\n",
        b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 101 Switching\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n" + LENGTH + b"\r\n",
        b"ICY 200 OK\r\n" + LENGTH + b"\r\n",
        b"SSH-2.0\r\n\r\n",
    ],
)
def test_what_is_not_simple_is_left_to_the_parser(head: bytes) -> None:
    assert short_answer(head, 99) is None


@given(st.lists(st.sampled_from([b"a", b":", b" ", b"\t", b"\r\n", b"\n", b"\0", b"content-length: 2"])))
def test_what_is_read_by_hand_needs_no_repair(pieces: list[bytes]) -> None:
    head = START + b"".join(pieces) + b"\r\n\r\n"
    if short_answer(head, 99) is not None:
        assert repaired(head) == Repaired(head)


@pytest.mark.parametrize(
    ("pieces", "body", "is_read", "is_in_order"),
    [
        ([b"o"], b"o", False, False),
        ([b"o", b"k"], b"ok", True, True),
        ([b"ok"], b"ok", True, True),
        ([b"okHTTP/1.1"], b"ok", True, False),
    ],
)
def test_a_body_is_read_to_its_length(
    pieces: list[bytes], body: bytes, is_read: bool, is_in_order: bool
) -> None:
    answer = answer_to(START + LENGTH + b"\r\n")
    for piece in pieces:
        answer.feed(piece)
    assert (answer.body, answer.is_read, answer.is_in_order) == (body, is_read, is_in_order)


def test_of_a_long_body_a_byte_more_than_wanted_is_kept() -> None:
    answer = answer_to(START + b"content-length: 1000\r\n\r\n", max_bytes=3)
    answer.feed(b"xxx")
    assert not answer.is_read
    answer.feed(b"x" * 900)
    assert (answer.body, answer.is_read, answer.is_in_order) == (b"xxxx", True, False)


async def test_a_reader_waits_for_the_end_of_the_body() -> None:
    answer = answer_to(START + LENGTH + b"\r\n")
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    answer.feed(b"o")
    await asyncio.sleep(0)
    assert not reading.done()
    answer.feed(b"k")
    await reading


async def test_what_comes_for_a_reader_that_has_gone_does_no_harm() -> None:
    read, broken = (answer_to(START + LENGTH + b"\r\n") for _ in range(2))
    for answer in (read, broken):
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    read.feed(b"ok")
    broken.fail(ValueError("broke"))
    assert read.is_read
    assert broken.is_read


async def test_a_body_that_breaks_fails_its_reader_and_one_that_was_read_does_not() -> None:
    broken, whole = (answer_to(START + LENGTH + b"\r\n") for _ in range(2))
    reading = asyncio.create_task(broken.read())
    await asyncio.sleep(0)
    whole.feed(b"ok")
    for answer in (broken, whole):
        answer.fail(ValueError("broke"))
    with pytest.raises(ValueError, match="broke"):
        await reading
    await whole.read()
