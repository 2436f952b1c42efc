import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from tests.support.aws import BUCKET, Faulty, client, fault
from tests.support.media import HTML, JPEG, MP3

from fulfillment import transfer
from fulfillment.assets import MediaType
from fulfillment.transfer import MAX_ASSET_BYTES, PART_BYTES, NotCopied, Transfer
from tunehook.errors import InvalidInput
from tunehook.http.guard import ForbiddenAddress

URL = "https://cdn.example.com/歌.mp3?token=a b"
Http = Callable[[Callable[[httpx.Request], Any]], httpx.AsyncClient]


def key_of(media: MediaType) -> str:
    return f"results/file.{media.extension}"


class Stream(httpx.AsyncByteStream):
    """A body in chunks, which may break."""

    def __init__(self, *chunks: bytes, then: Exception | None = None) -> None:
        self._chunks = chunks
        self._then = then

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            await asyncio.sleep(0)
            yield chunk
        if self._then:
            raise self._then


async def copy(client_: httpx.AsyncClient, url: str = URL, s3: Any = None) -> transfer.Copied:
    return await Transfer(s3 or client("s3"), BUCKET, client_).copy(url, "audio", key_of)


def keys() -> list[str]:
    return [each["Key"] for each in client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])]


def unfinished_uploads() -> list[Any]:
    return list(client("s3").list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


async def test_a_small_file_is_one_put(bucket: str, http: Http) -> None:
    s3 = Faulty(client("s3"))
    copied = await copy(http(lambda _: httpx.Response(200, stream=Stream(MP3[:7], MP3[7:]))), s3=s3)
    assert copied == transfer.Copied(
        "results/file.mp3", "audio/mpeg", len(MP3), hashlib.sha256(MP3).hexdigest()
    )
    assert [name for name, _ in s3.calls] == ["put_object"]
    stored = client("s3").get_object(Bucket=BUCKET, Key="results/file.mp3")
    assert (stored["Body"].read(), stored["ContentType"]) == (MP3, "audio/mpeg")
    assert stored["Metadata"]["sha256"] == copied.sha256


async def test_the_object_names_the_link_in_ascii(bucket: str, http: Http) -> None:
    await copy(http(lambda _: httpx.Response(200, stream=Stream(MP3))))
    metadata = client("s3").head_object(Bucket=BUCKET, Key="results/file.mp3")["Metadata"]
    assert metadata["source-url"] == "https://cdn.example.com/%E6%AD%8C.mp3?token=a%20b"


async def test_a_very_long_link_is_no_obstacle(bucket: str, http: Http) -> None:
    await copy(http(lambda _: httpx.Response(200, stream=Stream(MP3))), url=f"{URL}{'x' * 3000}")
    metadata = client("s3").head_object(Bucket=BUCKET, Key="results/file.mp3")["Metadata"]
    # moto does not hold what S3 does: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    assert sum(len(name) + len(value) for name, value in metadata.items()) <= 2048


@pytest.mark.parametrize("extra", [0, 1, PART_BYTES])
async def test_a_large_file_comes_in_parts_and_whole(bucket: str, http: Http, extra: int) -> None:
    data = MP3 + bytes(range(256)) * ((PART_BYTES - len(MP3)) // 256) + b"x" * 256
    data = data[:PART_BYTES] + b"y" * extra
    chunks = [data[start : start + 1_000_003] for start in range(0, len(data), 1_000_003)]
    copied = await copy(http(lambda _: httpx.Response(200, stream=Stream(*chunks))))
    stored = client("s3").get_object(Bucket=BUCKET, Key="results/file.mp3")
    assert (copied.bytes, copied.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert hashlib.sha256(stored["Body"].read()).hexdigest() == copied.sha256
    assert stored["ContentType"] == "audio/mpeg"


class Swallowing:
    """An S3 that reads what is uploaded and keeps nothing."""

    def __init__(self) -> None:
        self.count = 0

    def upload_fileobj(self, fileobj: Any, *_: Any, **__: Any) -> None:
        while part := fileobj.read(PART_BYTES):
            self.count += len(part)


async def test_memory_does_not_grow_with_the_file(http: Http) -> None:
    megabyte = bytes(1_000_000)

    async def body() -> AsyncIterator[bytes]:
        yield MP3
        for _ in range(100):
            yield megabyte

    s3 = Swallowing()
    tracemalloc.start()
    try:
        await copy(http(lambda _: httpx.Response(200, content=body())), s3=s3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert s3.count == len(MP3) + 100_000_000
    assert peak < 5 * PART_BYTES


@pytest.mark.parametrize("sent", [len(MP3), PART_BYTES + 1], ids=["small", "large"])
async def test_a_download_that_breaks_leaves_no_object(bucket: str, http: Http, sent: int) -> None:
    body = Stream(MP3.ljust(sent, b"\x00"), then=httpx.ReadError("connection lost"))
    with pytest.raises(NotCopied, match="ReadError") as caught:
        await copy(http(lambda _: httpx.Response(200, stream=body)))
    assert not caught.value.is_final
    assert (keys(), unfinished_uploads()) == ([], [])


async def test_a_download_that_is_given_up_leaves_no_object_and_no_thread(bucket: str, http: Http) -> None:
    class Hanging(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield MP3.ljust(PART_BYTES + 1, b"\x00")
            await asyncio.sleep(3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await copy(http(lambda _: httpx.Response(200, stream=Hanging())))
    # The thread that uploads ends with what it reads, and takes its parts back.
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), timeout=5)
    assert (keys(), unfinished_uploads()) == ([], [])


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        *((status, False) for status in (204, 304, 403, 404, 408, 425, 429, 500, 503)),
        *((status, True) for status in (400, 401, 410)),
    ],
)
async def test_a_refusal_tells_whether_to_ask_again(http: Http, status: int, is_final: bool) -> None:
    with pytest.raises(NotCopied, match=f"HTTP {status}") as caught:
        await copy(http(lambda _: httpx.Response(status)))
    assert caught.value.is_final == is_final


async def test_an_html_page_is_no_mp3(bucket: str, http: Http) -> None:
    page = httpx.Response(200, stream=Stream(HTML), headers={"content-type": "audio/mpeg"})
    with pytest.raises(NotCopied, match="of no known type"):
        await copy(http(lambda _: page))
    assert keys() == []


async def test_the_content_type_is_told_by_the_bytes(bucket: str, http: Http) -> None:
    picture = httpx.Response(200, stream=Stream(JPEG), headers={"content-type": "text/html"})
    moved = http(lambda _: picture)
    copied = await Transfer(client("s3"), BUCKET, moved).copy(URL, "cover", key_of)
    assert copied.content_type == "image/jpeg"


async def test_an_empty_file_is_none(http: Http) -> None:
    with pytest.raises(NotCopied, match="empty"):
        await copy(http(lambda _: httpx.Response(200, stream=Stream())))


async def test_a_file_without_end_is_cut_off(
    bucket: str, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_ASSET_BYTES >= 512 * 1024 * 1024
    monkeypatch.setattr(transfer, "MAX_ASSET_BYTES", PART_BYTES + 10)
    body = Stream(MP3.ljust(PART_BYTES, b"\x00"), b"\x00" * 11)
    with pytest.raises(NotCopied, match="larger") as caught:
        await copy(http(lambda _: httpx.Response(200, stream=body)))
    assert caught.value.is_final
    assert (keys(), unfinished_uploads()) == ([], [])


async def test_redirects_are_followed(bucket: str, http: Http) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "cdn.example.com":
            return httpx.Response(302, headers={"location": "https://far.example.com/x"})
        return httpx.Response(200, stream=Stream(MP3))

    assert (await copy(http(answer))).bytes == len(MP3)


async def test_redirects_without_end_are_given_up(http: Http) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": f"{request.url}x"})

    with pytest.raises(NotCopied, match="TooManyRedirects"):
        await copy(http(answer))


async def test_a_redirect_to_a_forbidden_address_is_final(http: Http) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "10.0.0.1":
            raise ForbiddenAddress("url", "leads to 10.0.0.1, which is not a public address (private)")
        return httpx.Response(302, headers={"location": "https://10.0.0.1/"})

    with pytest.raises(NotCopied, match="not acceptable") as caught:
        await copy(http(answer))
    assert caught.value.is_final


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.PoolTimeout("x")])
async def test_trouble_with_the_network_may_pass(http: Http, error: Exception) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(NotCopied, match=type(error).__name__) as caught:
        await copy(http(answer))
    assert not caught.value.is_final


@pytest.mark.parametrize("url", ["https://[bad", "https://x:99999999/", "https://a\x00b/", "ftp://x/"])
async def test_a_link_that_no_client_can_use_is_not_copied(http: Http, url: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise InvalidInput("url", "not a valid URL")

    with pytest.raises(NotCopied):
        await copy(http(answer), url=url)


async def test_no_message_holds_the_link(http: Http) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("cannot connect to https://cdn.example.com/?token=secret")

    with pytest.raises(NotCopied) as caught:
        await copy(http(answer))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("size", "operation"), [(500, "put_object"), (PART_BYTES, "upload_fileobj")])
async def test_trouble_with_s3_is_not_the_links_fault(
    bucket: str, http: Http, size: int, operation: str
) -> None:
    s3 = Faulty(client("s3"), **{operation: [fault("SlowDown", "PutObject")]})
    with pytest.raises(type(fault()), match="SlowDown"):
        await copy(http(lambda _: httpx.Response(200, stream=Stream(MP3.ljust(size, b"\x00")))), s3=s3)
