import asyncio
import contextlib
import functools
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli
import httpx
import pytest
from tests.support.tasks import NOW_MS
from tests.support.virtual import Clock

from fulfillment.download import Body, Download, NotCopied, StartOver
from tunehook.errors import InvalidInput
from tunehook.http.client import open_client
from tunehook.http.guard import ForbiddenAddress

# As documented, and not imported: a bound that moves is to be noticed.
WAITS_S = (0.0, 1.0, 2.0, 4.0)

gzipped = functools.partial(gzip.compress, mtime=0)
"""The same bytes each time: they name tests, and workers must agree on these."""

URL = "https://cdn.example.com/1.mp3"
DATA = bytes(range(200))
ETAG = '"v1"'
Answer = Callable[[httpx.Request], Any]


class Broken(httpx.AsyncByteStream):
    """A body that breaks off after its chunks."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self._chunks = chunks
        self._error = error or httpx.ReadError("connection lost")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        raise self._error


def whole(etag: str | None = ETAG, **headers: str) -> httpx.Response:
    given = {"etag": etag} if etag else {}
    return httpx.Response(200, stream=httpx.ByteStream(DATA), headers=given | headers)


def broken(count: int, etag: str | None = ETAG, length: int | None = len(DATA)) -> httpx.Response:
    headers = {"etag": etag} if etag else {}
    if length is not None:
        headers["content-length"] = str(length)
    return httpx.Response(200, stream=Broken(DATA[:count]), headers=headers)


def rest(count: int, etag: str = ETAG, start: int | None = None) -> httpx.Response:
    start = count if start is None else start
    headers = {"etag": etag, "content-range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
    return httpx.Response(206, stream=httpx.ByteStream(DATA[start:]), headers=headers)


class Host:
    """Answers in turn, the last answer from then on; what raises is raised."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer() if callable(answer) else answer

    @property
    def ranges(self) -> list[str | None]:
        return [request.headers.get("range") for request in self.requests]


def fetch(host: Host, until_s: float = 1e9, max_bytes: int = 10_000) -> tuple[bytes, float, int]:
    """Download in virtual time; return the bytes, the seconds it took, and how often it started over."""
    clock = Clock(NOW_MS)

    async def work() -> tuple[bytes, int]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(host), max_redirects=3) as http:
            download = Download(http, URL, max_bytes=max_bytes, until_s=until_s, clock=clock)
            starts = 0
            while True:
                try:
                    return b"".join([chunk async for chunk in download.chunks()]), starts
                except StartOver:
                    starts += 1

    data, starts = clock.run(work())
    return data, (clock() - NOW_MS) / 1000, starts


def refusal(*answers: Any, **options: Any) -> tuple[NotCopied, Host]:
    host = Host(*answers)
    with pytest.raises(NotCopied) as caught:
        fetch(host, **options)
    return caught.value, host


def test_the_bytes_are_what_the_host_sends() -> None:
    host = Host(whole())
    assert fetch(host) == (DATA, 0, 0)
    assert host.ranges == [None]


@pytest.mark.parametrize("status", [403, 404, 408, 425, 429, 500, 502, 503])
def test_a_refusal_that_may_pass_is_tried_four_times(status: int) -> None:
    error, host = refusal(httpx.Response(status))
    assert (str(error), error.is_final) == (f"HTTP {status}", False)
    assert len(host.requests) == 4


@pytest.mark.parametrize("status", [400, 401, 405, 410])
def test_a_refusal_for_good_is_tried_once(status: int) -> None:
    error, host = refusal(httpx.Response(status))
    assert (str(error), error.is_final) == (f"HTTP {status}", True)
    assert len(host.requests) == 1


def test_a_refusal_that_passes_costs_the_waits() -> None:
    assert fetch(Host(httpx.Response(403), httpx.Response(503), whole())) == (
        DATA,
        WAITS_S[1] + WAITS_S[2],
        0,
    )


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [("7", 7), ("0", 1), ("Fri, 15 Jan 2027 08:00:30 GMT", 30), ("soon", 1), ("-3", 1), ("", 1)],
)
def test_retry_after_is_honoured_where_it_asks_for_longer(value: str, wait_s: float) -> None:
    busy = httpx.Response(429, headers={"retry-after": value})
    assert fetch(Host(busy, whole())) == (DATA, wait_s, 0)


def test_a_retry_after_beyond_the_time_that_is_left_is_told_to_who_asks_later() -> None:
    error, host = refusal(httpx.Response(503, headers={"retry-after": "120"}), until_s=100)
    assert (error.retry_after_s, len(host.requests)) == (120, 1)


@pytest.mark.parametrize("count", [1, 120])
def test_a_broken_connection_is_resumed_where_it_broke(count: int) -> None:
    host = Host(broken(count), rest(count))
    assert fetch(host) == (DATA, WAITS_S[1], 0)
    assert host.ranges == [None, f"bytes={count}-"]
    assert host.requests[1].headers["if-range"] == ETAG


def test_a_connection_that_breaks_again_is_resumed_again() -> None:
    second = httpx.Response(
        206,
        stream=Broken(DATA[50:80]),
        headers={"etag": ETAG, "content-range": f"bytes 50-{len(DATA) - 1}/{len(DATA)}"},
    )
    host = Host(broken(50), second, rest(80))
    assert fetch(host)[0] == DATA
    assert host.ranges == [None, "bytes=50-", "bytes=80-"]


def test_a_refusal_between_does_not_cost_what_has_come() -> None:
    host = Host(broken(50), httpx.Response(503), rest(50))
    assert (fetch(host)[0], host.ranges[-1]) == (DATA, "bytes=50-")


def test_a_connection_that_breaks_before_the_first_byte_is_tried_anew() -> None:
    host = Host(broken(0), whole(etag='"v2"'))
    assert (fetch(host)[0], host.ranges) == (DATA, [None, None])


@pytest.mark.parametrize(
    "answer",
    [
        rest(50, etag='"v2"'),
        rest(50, start=49),
        httpx.Response(206, stream=httpx.ByteStream(DATA[50:]), headers={"etag": ETAG}),
        httpx.Response(
            206,
            stream=httpx.ByteStream(DATA[50:]),
            headers={"etag": ETAG, "content-range": "bytes 50-99/100"},
        ),
        httpx.Response(
            206,
            stream=httpx.ByteStream(DATA[50:]),
            headers={
                "etag": ETAG,
                "content-range": f"bytes 50-{len(DATA) - 1}/{len(DATA)}",
                "content-encoding": "gzip",
            },
        ),
        whole(etag='"v2"'),
        whole(),
        httpx.Response(416),
    ],
    ids=[
        "other etag",
        "other place",
        "no place",
        "other length",
        "compressed",
        "changed",
        "range ignored",
        "no such range",
    ],
)
def test_what_is_not_the_rest_of_the_same_file_is_started_over(answer: httpx.Response) -> None:
    host = Host(broken(50), answer, whole)
    data, _, starts = fetch(host)
    assert (data, starts) == (DATA, 1)
    assert host.ranges == [None, "bytes=50-", None]


@pytest.mark.parametrize("etag", [None, 'W/"v1"'])
def test_without_a_strong_etag_a_broken_file_is_started_over(etag: str | None) -> None:
    host = Host(broken(50, etag=etag), whole(etag=etag))
    assert fetch(host) == (DATA, WAITS_S[1], 1)
    assert host.ranges == [None, None]


def test_all_starts_together_are_four_tries() -> None:
    error, host = refusal(lambda: broken(50, etag=None))
    assert (str(error), len(host.requests)) == ("ReadError", 4)


@pytest.mark.parametrize("length", [len(DATA) - 1, len(DATA) + 1])
def test_a_content_length_that_lies_is_no_whole_file(length: int) -> None:
    def lying() -> httpx.Response:
        return httpx.Response(200, stream=httpx.ByteStream(DATA), headers={"content-length": str(length)})

    error, host = refusal(lying)
    assert str(error) == f"incomplete: {len(DATA)} of {length} bytes"
    assert len(host.requests) == 4


def test_the_length_of_what_is_compressed_is_not_that_of_the_file() -> None:
    packed = gzipped(DATA)
    assert len(packed) != len(DATA)
    assert (
        fetch(
            Host(httpx.Response(200, stream=httpx.ByteStream(packed), headers={"content-encoding": "gzip"}))
        )[0]
        == DATA
    )


def test_what_is_compressed_is_not_resumed() -> None:
    packed = gzipped(DATA)
    headers = {"content-encoding": "gzip", "etag": ETAG}
    first = httpx.Response(200, stream=Broken(packed[:-9], packed[-9:-8]), headers=headers)
    host = Host(first, httpx.Response(200, stream=httpx.ByteStream(packed), headers=headers))
    assert (fetch(host)[0], host.ranges) == (DATA, [None, None])


def test_what_is_badly_compressed_may_come_well() -> None:
    cut = gzipped(DATA)[:-1]
    bad = httpx.Response(200, stream=httpx.ByteStream(cut), headers={"content-encoding": "gzip"})
    assert fetch(Host(bad, whole()))[0] == DATA


def coded(body: bytes, coding: str, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, stream=httpx.ByteStream(body), headers={"content-encoding": coding, **headers}
    )


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzipped(DATA[:100]) + gzipped(DATA[100:])),
        ("gzip", gzipped(DATA) + b"garbage"),
        ("deflate", zlib.compress(DATA)),
        ("br", brotli.compress(DATA)),
        ("gzip, br", brotli.compress(gzipped(DATA))),
        ("utf-8", DATA),
        ("aws-chunked", DATA),
        ("none, identity", DATA),
        ("gzip", b"ID3" + DATA),
        ("br", b"ID3" + DATA),
    ],
)
def test_what_is_archived_is_the_file_whatever_its_coding_is_called(coding: str, body: bytes) -> None:
    expected = body if body.startswith(b"ID3") else DATA
    assert fetch(Host(coded(body, coding)))[0] == expected


@pytest.mark.parametrize(
    ("coding", "body", "reason"),
    [
        ("gzip", gzipped(DATA)[:-40], "the compressed body is truncated"),
        (
            "gzip",
            gzipped(DATA[:100]) + gzipped(DATA[100:])[:-1],
            "the compressed body is truncated",
        ),
        ("br", brotli.compress(DATA)[:-1], "the compressed body is truncated"),
        ("gzip", gzipped(DATA)[:-8] + bytes(8), "the compressed body is broken"),
        ("zstd", b"\x28\xb5\x2f\xfd" + DATA, "the body is compressed by zstd, which was not asked for"),
    ],
)
def test_a_coded_file_that_is_not_whole_is_refused(coding: str, body: bytes, reason: str) -> None:
    error, host = refusal(lambda: coded(body, coding))
    assert (str(error), error.status, len(host.requests)) == (reason, 200, 4)


def test_a_name_that_means_no_coding_leaves_a_file_that_can_be_resumed() -> None:
    first = broken(50)
    first.headers["content-encoding"] = "utf-8"
    host = Host(first, rest(50))
    assert (fetch(host)[0], host.ranges) == (DATA, [None, "bytes=50-"])


def test_a_bomb_is_cut_off_at_the_largest_size_and_never_in_memory() -> None:
    bomb = gzipped(bytes(50_000_000))
    tracemalloc.start()
    try:
        error, _ = refusal(coded(bomb, "gzip"), max_bytes=2_000_000)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert (str(error), error.is_final) == ("the file is larger than 2000000 bytes", True)


def partial(content_range: str | None) -> httpx.Response:
    headers = {} if content_range is None else {"content-range": content_range}
    return httpx.Response(206, stream=httpx.ByteStream(DATA), headers=headers)


@pytest.mark.parametrize("content_range", ["bytes 0-199/200", "Bytes 0-199/200", "bytes=0-199/200"])
def test_a_206_with_all_of_a_file_is_the_file(content_range: str) -> None:
    assert fetch(Host(partial(content_range)))[0] == DATA


@pytest.mark.parametrize(
    "content_range",
    [
        None,
        "bytes 0-198/200",
        "bytes 1-199/200",
        "bytes 0-199/*",
        "bytes */200",
        "items 0-199/200",
        "bytes 0-" + "9" * 5000 + "/1" + "0" * 5000,
        "bytes \u0660-199/200",
    ],
)
def test_a_206_with_a_part_to_a_question_about_all_is_not_the_file(content_range: str | None) -> None:
    if content_range is not None and not content_range.isascii():
        headers = httpx.Headers([(b"content-range", content_range.encode())])
        answer = httpx.Response(206, stream=httpx.ByteStream(DATA), headers=headers)
    else:
        answer = partial(content_range)
    error, _ = refusal(answer)
    assert (str(error), error.is_final, error.status) == ("HTTP 206", False, 206)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (httpx.Response(404), 404),
        (httpx.Response(410), 410),
        (httpx.ConnectError("x"), None),
        (InvalidInput("url", "no"), None),
    ],
)
def test_a_refusal_says_its_status(answer: Any, status: int | None) -> None:
    assert refusal(answer)[0].status == status


@pytest.mark.parametrize(
    "headers",
    [
        {"retry-after": "Mon, 20 Nov 9999999999 00:00:00 GMT"},
        {"retry-after": "9" * 5000},
        {"content-length": "9" * 5000},
        {"content-range": "bytes " + "9" * 5000},
        {"content-encoding": ";;,,;gzip;,"},
        {"location": "http://[::1"},
        {"etag": '"' + "x" * 5000 + '"'},
        {"content-type": "audio/mpeg; charset=\xff"},
    ],
    ids=lambda headers: next(iter(headers)),
)
@pytest.mark.parametrize("status", [200, 206, 302, 416, 429, 503])
def test_no_header_of_a_host_raises(status: int, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    host = Host(lambda: httpx.Response(status, stream=httpx.ByteStream(DATA), headers=raw))
    with contextlib.suppress(NotCopied):
        assert fetch(host, until_s=600)[0] == DATA
    assert host.requests


@pytest.mark.parametrize("etag", [b'"\xe9"', b"\xff", b"x" * 5000, b'"a\tb"'])
def test_an_etag_that_no_question_can_carry_is_none(etag: bytes) -> None:
    def first() -> httpx.Response:
        headers = [(b"etag", etag), (b"content-length", b"200")]
        return httpx.Response(200, stream=Broken(DATA[:50]), headers=headers)

    host = Host(first, whole(etag=None))
    assert (fetch(host)[0], host.ranges) == (DATA, [None, None])


def test_a_file_that_says_it_is_too_large_is_not_read() -> None:
    error, host = refusal(whole(), max_bytes=len(DATA) - 1)
    assert (str(error), error.is_final) == (f"the file is larger than {len(DATA) - 1} bytes", True)
    assert len(host.requests) == 1


def test_a_file_that_does_not_say_how_large_it_is_is_cut_off() -> None:
    endless = httpx.Response(200, stream=Broken(DATA, DATA))
    error, _ = refusal(endless, max_bytes=len(DATA))
    assert error.is_final


def test_a_file_of_exactly_the_largest_size_is_taken() -> None:
    assert fetch(Host(whole()), max_bytes=len(DATA))[0] == DATA


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.PoolTimeout("x")])
def test_trouble_with_the_network_may_pass(error: Exception) -> None:
    problem, host = refusal(error)
    assert (str(problem), problem.is_final, len(host.requests)) == (type(error).__name__, False, 4)


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("url", "not a valid URL"),
        ForbiddenAddress("url", "leads to 10.0.0.1"),
        httpx.InvalidURL("Invalid IPv4 address: '0177.0.0.1'"),
        httpx.UnsupportedProtocol("Request URL has an unsupported protocol 'ftp://'."),
    ],
)
def test_a_link_that_must_not_be_asked_is_final(error: Exception) -> None:
    problem, host = refusal(error)
    assert (problem.is_final, len(host.requests)) == (True, 1)
    assert "not acceptable" in str(problem)


def test_redirects_are_followed_and_each_is_guarded() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "10.0.0.1":
            raise ForbiddenAddress("url", "leads to 10.0.0.1, which is not a public address (private)")
        return httpx.Response(302, headers={"location": "https://10.0.0.1/"})

    async def work() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), max_redirects=3) as http:
            async for _ in Download(http, URL, max_bytes=1).chunks():
                pass

    with pytest.raises(NotCopied, match="not acceptable") as caught:
        Clock(NOW_MS).run(work())
    assert caught.value.is_final


def test_no_more_than_twenty_redirects_are_followed() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        hops = request.url.path.count("x")
        return whole() if hops == 20 else httpx.Response(302, headers={"location": f"{request.url}x"})

    async def work(url: str) -> bytes:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer), max_redirects=3) as http:
            return b"".join([chunk async for chunk in Download(http, url, max_bytes=999).chunks()])

    assert Clock(NOW_MS).run(work("https://a/")) == DATA
    with pytest.raises(NotCopied, match="more than 20 redirects"):
        Clock(NOW_MS).run(work("https://a/" + "x" * 21))


def test_no_message_holds_the_link() -> None:
    problem, _ = refusal(httpx.ConnectError("cannot connect to https://cdn.example.com/?token=secret"))
    assert "secret" not in str(problem)
    assert "secret" not in repr(problem)


async def test_a_host_that_falls_silent_is_given_up() -> None:
    served: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + DATA)
        await writer.drain()
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async def no_wait(_: float) -> None:
        return

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_client(timeout=None) as http:
        download = Download(http, f"http://127.0.0.1:{port}/", max_bytes=9999, silence_s=0.1, sleep=no_wait)
        problems: list[Exception] = []
        while not problems or isinstance(problems[-1], StartOver):
            try:
                async for _ in download.chunks():
                    pass
            except (StartOver, NotCopied) as error:
                problems.append(error)
    await asyncio.gather(*served)
    assert [str(problem) for problem in problems] == ["ReadTimeout: the host sent nothing in time"] * 4


def test_a_host_may_send_nothing_for_20_s() -> None:
    host = Host(whole())
    assert fetch(host)[0] == DATA
    assert host.requests[0].extensions["timeout"]["read"] == 20.0


@pytest.mark.parametrize("total", ["*", str(len(DATA))])
def test_the_rest_of_a_file_may_leave_its_length_open(total: str) -> None:
    answer = httpx.Response(
        206,
        stream=httpx.ByteStream(DATA[50:]),
        headers={"etag": ETAG, "content-range": f"bytes 50-{len(DATA) - 1}/{total}"},
    )
    first = broken(50)
    first.headers["content-length"] = str(len(DATA))
    assert fetch(Host(first, answer)) == (DATA, WAITS_S[1], 0)


class TestBody:
    async def test_a_part_that_is_being_sent_keeps_its_buffer_until_it_is_sent(self) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"abcdefgh"

        async def send() -> str:
            await may_end.wait()
            return "etag"

        may_end, buffers = asyncio.Event(), asyncio.Semaphore(1)
        async with Body(chunks(), buffers) as body:
            await body.read(4)
            assert body.hand_over() == b"abcd"
            sending = asyncio.create_task(send())
            body.release_after(sending)
            reading = asyncio.create_task(body.read(4))
            for _ in range(10):
                await asyncio.sleep(0)
            assert not reading.done()
            may_end.set()
            await reading
            assert (body.hand_over(), body.count) == (b"efgh", 8)
        # One is free again, and no more than there were.
        await buffers.acquire()
        assert buffers.locked()
