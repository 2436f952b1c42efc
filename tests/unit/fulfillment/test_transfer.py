import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from tests.support.aws import BUCKET, Faulty, Losing, client, fault
from tests.support.media import HTML, JPEG, MP3
from tests.support.patience import HANG_S
from tests.support.tasks import KEY
from tests.unit.fulfillment.world import keys, unfinished_uploads

from fulfillment.archiver import Archiver, TaskFiles, TaskRun, settles, source_in_metadata
from fulfillment.assets import Asset
from fulfillment.download import Download, NotCopied
from fulfillment.results import Results, StoredObject
from tunehook.events import ArchivedAsset

# As documented, and not imported: a bound that moves is to be noticed.
PUT_BYTES = 8 * 1024 * 1024

URL = "https://cdn.example.com/歌.mp3?token=a b"
AUDIO = Asset("clip-1", "audio", (URL,), "我的曲目")
OBJECT = "results/suno/task-1/clip-1/audio.mp3"
RUN = TaskRun(KEY, 1_000)
Http = Callable[[Callable[[httpx.Request], Any]], httpx.AsyncClient]


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


def serves(*chunks: bytes, **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(200, stream=Stream(*chunks), headers=headers)


async def no_wait(_: float) -> None:
    return


async def copy(
    http: httpx.AsyncClient,
    url: str = URL,
    s3: Any = None,
    asset: Asset = AUDIO,
    objects: dict[str, StoredObject] | None = None,
    run: TaskRun = RUN,
) -> ArchivedAsset:
    download = Download(http, url, max_bytes=10 * PUT_BYTES, sleep=no_wait)
    return await archiver(s3).transfer(files(asset, objects, run), asset, url, download)


def archiver(s3: Any = None, *, memory_mb: int = 512) -> Archiver:
    unused: Any = None
    results = Results(s3 or client("s3"), BUCKET)
    return Archiver(results, unused, max_asset_bytes=10 * PUT_BYTES, memory_mb=memory_mb)


def files(
    asset: Asset = AUDIO, objects: dict[str, StoredObject] | None = None, run: TaskRun = RUN
) -> TaskFiles:
    return TaskFiles(run, [asset], objects or {}, {})


def audio(data: bytes) -> ArchivedAsset:
    """What is told of the file once it lies in the bucket."""
    return ArchivedAsset(
        clip_id="clip-1",
        type="audio",
        source_url=URL,
        status="archived",
        key=OBJECT,
        content_type="audio/mpeg",
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def head(key: str = OBJECT) -> dict[str, Any]:
    return dict(client("s3").head_object(Bucket=BUCKET, Key=key))


async def stored_digest() -> str:
    return hashlib.sha256(client("s3").get_object(Bucket=BUCKET, Key=OBJECT)["Body"].read()).hexdigest()


def sized(size: int) -> bytes:
    return MP3 + bytes(range(256)) * ((size - len(MP3)) // 256) + bytes((size - len(MP3)) % 256)


async def test_a_small_file_is_one_conditional_put(bucket: str, http: Http) -> None:
    s3 = Faulty(client("s3"))
    copied = await copy(http(serves(MP3[:7], MP3[7:])), s3=s3)
    assert copied == audio(MP3)
    ((name, options),) = s3.calls
    assert (name, options["IfNoneMatch"]) == ("put_object", "*")


@pytest.mark.parametrize(
    ("size", "write"),
    [
        (len(MP3), "put_object"),
        (PUT_BYTES + 77, "complete_multipart_upload"),
    ],
)
async def test_an_object_whose_answer_was_lost_is_ones_own_and_the_file_is_not_had_again(
    bucket: str, http: Http, size: int, write: str
) -> None:
    data, asked = sized(size), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return serves(data)(request)

    s3 = Losing(client("s3"))
    copied = await copy(http(answer), s3=s3)
    assert copied == audio(data)
    assert (keys(), unfinished_uploads(), len(asked)) == ([OBJECT], [], 1)
    assert s3.writes[0] == write
    assert client("s3").get_object(Bucket=BUCKET, Key=OBJECT)["Body"].read() == data


@pytest.mark.parametrize("size", [len(MP3), PUT_BYTES - 1, PUT_BYTES, 2 * PUT_BYTES + 77])
async def test_an_object_says_all_of_itself_whatever_its_size(bucket: str, http: Http, size: int) -> None:
    data = sized(size)
    chunks = [data[start : start + 1_000_003] for start in range(0, len(data), 1_000_003)]
    copied = await copy(http(serves(*chunks)))
    stored = client("s3").get_object(Bucket=BUCKET, Key=OBJECT)
    assert stored["Body"].read() == data
    assert stored["ContentType"] == "audio/mpeg"
    assert stored["ContentDisposition"].startswith('attachment; filename="____.mp3"; filename*=UTF-8')
    digest = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": str(size)}
    # Those of a large one are known only when its metadata has been written.
    assert stored["Metadata"] == {
        "source-url": "https://cdn.example.com/%E6%AD%8C.mp3?token=a%20b",
        "run": "1000",
    } | (digest if size < PUT_BYTES else {})
    assert copied == audio(data)
    assert unfinished_uploads() == []


async def test_a_very_long_link_is_no_obstacle(bucket: str, http: Http) -> None:
    await copy(http(serves(MP3)), url=f"{URL}{'x' * 3000}")
    # moto does not hold what S3 does: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    assert sum(len(name) + len(value) for name, value in head()["Metadata"].items()) <= 2048


async def test_two_long_links_that_differ_at_their_end_are_two(bucket: str, http: Http) -> None:
    one, other = (f"{URL}{'x' * 3000}{end}" for end in "ab")
    await copy(http(serves(MP3)), url=one)
    (stored,) = (await Results(client("s3"), BUCKET).list_objects("results/")).values()
    assert settles(stored, RUN, Asset("clip-1", "audio", (one,)))
    assert not settles(stored, RUN, Asset("clip-1", "audio", (other,)))


class Swallowing:
    """An S3 that takes what is uploaded and keeps nothing."""

    def __init__(self) -> None:
        self.count = 0

    def create_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"UploadId": "1"}

    def upload_part(self, Body: bytearray, **_: Any) -> dict[str, str]:  # noqa: N803 - boto3's name
        self.count += len(Body)
        return {"ETag": "e"}

    def complete_multipart_upload(self, **_: Any) -> dict[str, str]:
        return {"ETag": "e"}


async def test_memory_does_not_grow_with_the_file(http: Http) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield MP3
        for _ in range(76):
            yield bytes(1_000_000)

    s3 = Swallowing()
    tracemalloc.start()
    try:
        await copy(http(lambda _: httpx.Response(200, content=body())), s3=s3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert s3.count == len(MP3) + 76_000_000
    assert peak < 40_000_000


async def test_what_was_sent_is_not_held_while_the_next_part_comes(http: Http) -> None:
    archive = archiver(Swallowing(), memory_mb=80)  # of two parts
    halted, waiting = asyncio.Event(), asyncio.Semaphore(0)

    async def body() -> AsyncIterator[bytes]:
        yield MP3.ljust(PUT_BYTES // 2, b"\x00")
        yield bytes(PUT_BYTES // 2)
        waiting.release()
        await halted.wait()

    def copying_of(number: int) -> Any:
        download = Download(
            http(lambda _: httpx.Response(200, content=body())), URL, max_bytes=9 * PUT_BYTES, sleep=no_wait
        )
        asset = Asset(f"clip-{number}", "audio", (URL,))
        return archive.transfer(files(asset), asset, URL, download)

    tracemalloc.start()
    try:
        copying = asyncio.gather(*map(copying_of, range(8)))
        for _ in range(2):  # who holds the room for the next part of its file
            await waiting.acquire()
        async with asyncio.timeout(HANG_S):
            # The threads that have sent the first parts may still be about to end.
            while tracemalloc.get_traced_memory()[0] >= 6 * PUT_BYTES:
                await asyncio.sleep(0.01)
        halted.set()
        await copying
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sent", [len(MP3), PUT_BYTES + 1], ids=["small", "large"])
async def test_a_download_that_breaks_leaves_no_object(bucket: str, http: Http, sent: int) -> None:
    body = Stream(MP3.ljust(sent, b"\x00"), then=httpx.ReadError("connection lost"))
    with pytest.raises(NotCopied, match="ReadError") as caught:
        await copy(http(lambda _: httpx.Response(200, stream=body)))
    assert not caught.value.is_final
    assert (keys(), unfinished_uploads()) == ([], [])


async def test_a_large_download_that_breaks_goes_on_in_the_same_upload(bucket: str, http: Http) -> None:
    data, cut = sized(2 * PUT_BYTES), PUT_BYTES + 5

    def answer(request: httpx.Request) -> httpx.Response:
        if "range" not in request.headers:
            lost = httpx.ReadError("connection lost")
            return httpx.Response(200, stream=Stream(data[:cut], then=lost), headers={"etag": '"v1"'})
        place = f"bytes {cut}-{len(data) - 1}/{len(data)}"
        return httpx.Response(
            206, stream=Stream(data[cut:]), headers={"etag": '"v1"', "content-range": place}
        )

    s3 = Faulty(client("s3"))
    copied = await copy(http(answer), s3=s3)
    assert copied.sha256 == hashlib.sha256(data).hexdigest()
    assert (await stored_digest()) == copied.sha256
    assert [name for name, _ in s3.calls].count("create_multipart_upload") == 1


async def test_a_large_download_that_starts_over_keeps_nothing_of_the_first_start(
    bucket: str, http: Http
) -> None:
    old, new = sized(2 * PUT_BYTES), sized(PUT_BYTES + 9)
    answers = [Stream(old, then=httpx.ReadError("connection lost")), Stream(new)]
    copied = await copy(http(lambda _: httpx.Response(200, stream=answers.pop(0))))
    assert copied.sha256 == hashlib.sha256(new).hexdigest()
    assert (head()["ContentLength"], unfinished_uploads()) == (len(new), [])


async def test_a_download_that_is_given_up_leaves_no_object(bucket: str, http: Http) -> None:
    class Hanging(Stream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield MP3.ljust(PUT_BYTES + 1, b"\x00")
            await asyncio.Event().wait()

    s3 = Faulty(client("s3"))
    copying = asyncio.create_task(copy(http(lambda _: httpx.Response(200, stream=Hanging())), s3=s3))
    async with asyncio.timeout(HANG_S):
        while "upload_part" not in [name for name, _ in s3.calls]:
            await asyncio.sleep(0.01)
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert (keys(), unfinished_uploads()) == ([], [])


async def test_an_html_page_with_status_200_is_no_mp3(bucket: str, http: Http) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, stream=Stream(HTML), headers={"content-type": "audio/mpeg"})

    with pytest.raises(NotCopied, match="of no known type") as caught:
        await copy(http(answer))
    assert (keys(), len(asked), caught.value.is_final) == ([], 4, False)


async def test_a_page_may_give_way_to_the_file(bucket: str, http: Http) -> None:
    answers = [Stream(HTML), Stream(MP3)]
    assert (await copy(http(lambda _: httpx.Response(200, stream=answers.pop(0))))).bytes == len(MP3)


async def test_the_content_type_is_told_by_the_bytes(bucket: str, http: Http) -> None:
    picture = http(serves(JPEG, **{"content-type": "text/html"}))
    copied = await copy(picture, asset=Asset("clip-1", "cover", (URL,)))
    assert (copied.content_type, copied.key) == ("image/jpeg", "results/suno/task-1/clip-1/cover.jpg")


async def test_an_empty_file_is_none(http: Http) -> None:
    with pytest.raises(NotCopied, match="empty"):
        await copy(http(serves()))


async def test_a_file_without_end_leaves_no_object(bucket: str, http: Http) -> None:
    with pytest.raises(NotCopied, match="larger") as caught:
        await copy(http(serves(MP3.ljust(PUT_BYTES, b"\x00"), *[bytes(PUT_BYTES)] * 10)))
    assert caught.value.is_final
    assert (keys(), unfinished_uploads()) == ([], [])


@pytest.mark.parametrize(
    ("size", "operation"),
    [
        (500, "put_object"),
        (PUT_BYTES, "create_multipart_upload"),
        (PUT_BYTES, "upload_part"),
        (PUT_BYTES, "complete_multipart_upload"),
    ],
)
async def test_trouble_with_s3_is_not_the_links_fault(
    bucket: str, http: Http, size: int, operation: str
) -> None:
    s3 = Faulty(client("s3"), **{operation: [fault("SlowDown", operation)]})
    with pytest.raises(type(fault()), match="SlowDown"):
        await copy(http(serves(MP3.ljust(size, b"\x00"))), s3=s3)
    assert (keys(), unfinished_uploads()) == ([], [])


async def test_what_cannot_be_aborted_hides_no_other_trouble(bucket: str, http: Http) -> None:
    s3 = Faulty(
        client("s3"),
        upload_part=[fault("SlowDown", "UploadPart")],
        abort_multipart_upload=[fault("InternalError", "Abort")],
    )
    with pytest.raises(type(fault()), match="SlowDown"):
        await copy(http(serves(MP3.ljust(PUT_BYTES, b"\x00"))), s3=s3)


async def test_what_could_not_be_copied_leaves_its_memory_to_the_next(bucket: str, http: Http) -> None:
    archive = archiver(memory_mb=40)  # of one part
    async with asyncio.timeout(HANG_S):
        for content in (HTML, MP3):
            download = Download(http(serves(content)), URL, max_bytes=PUT_BYTES, sleep=no_wait)
            if content == MP3:
                await archive.transfer(files(), AUDIO, URL, download)
                continue
            with pytest.raises(NotCopied):
                await archive.transfer(files(), AUDIO, URL, download)
    assert keys() == [OBJECT]


@pytest.mark.parametrize(("memory_mb", "parts"), [(128, 3), (512, 12), (10_240, 256)])
async def test_as_many_parts_are_in_memory_as_fit_into_the_functions(
    http: Http, memory_mb: int, parts: int
) -> None:
    begun = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal begun
        begun += 1
        yield MP3
        await asyncio.Event().wait()

    archive = archiver(Swallowing(), memory_mb=memory_mb)
    endless_files = http(lambda _: httpx.Response(200, content=endless()))
    copies = [
        asyncio.create_task(
            archive.transfer(files(), AUDIO, URL, Download(endless_files, URL, max_bytes=PUT_BYTES))
        )
        for _ in range(parts + 3)
    ]
    for _ in range(100):
        await asyncio.sleep(0)
    assert begun == parts
    for each in copies:
        each.cancel()
    await asyncio.gather(*copies, return_exceptions=True)


async def test_what_others_write_each_time_is_given_up(bucket: str, http: Http) -> None:
    client("s3").put_object(Bucket=BUCKET, Key=OBJECT, Body=b"half")
    late = Faulty(client("s3"), put_object=[fault("PreconditionFailed", "PutObject")] * 100)
    with pytest.raises(NotCopied, match="written by somebody else"):
        await copy(http(serves(MP3)), s3=late)


class TestTwoAtOnce:
    @pytest.mark.parametrize("size", [500, PUT_BYTES], ids=["small", "large"])
    async def test_what_another_has_written_meanwhile_is_taken_if_it_is_the_same(
        self, bucket: str, http: Http, size: int
    ) -> None:
        data = sized(size)
        first = await copy(http(serves(data)))
        before = head()["ETag"]
        operation = "put_object" if size < PUT_BYTES else "complete_multipart_upload"
        late = Faulty(client("s3"), **{operation: [fault("PreconditionFailed", operation)]})
        assert await copy(http(serves(data)), s3=late) == first
        assert (head()["ETag"], unfinished_uploads()) == (before, [])

    @pytest.mark.parametrize("size", [900, PUT_BYTES + 9])
    async def test_what_another_has_written_of_the_same_run_stays_though_its_host_marks_each_download(
        self, bucket: str, http: Http, size: int
    ) -> None:
        first = await copy(http(serves(sized(size))))
        assert await copy(http(serves(sized(size + 1)))) == first
        assert (head()["ContentLength"], unfinished_uploads()) == (size, [])

    async def test_what_another_has_written_of_a_later_run_stays(self, bucket: str, http: Http) -> None:
        later = await copy(http(serves(sized(700))), run=TaskRun(KEY, 2_000))
        assert await copy(http(serves(sized(900)))) == later
        assert head()["ContentLength"] == 700

    async def test_what_another_has_written_of_an_earlier_run_is_replaced(
        self, bucket: str, http: Http
    ) -> None:
        await copy(http(serves(sized(700))))
        copied = await copy(http(serves(sized(900))), run=TaskRun(KEY, 2_000))
        assert (copied.bytes, head()["ContentLength"]) == (900, 900)

    async def test_what_lies_there_unfinished_is_replaced(self, bucket: str, http: Http) -> None:
        client("s3").put_object(Bucket=BUCKET, Key=OBJECT, Body=b"half")
        copied = await copy(http(serves(MP3)))
        assert head()["Metadata"]["sha256"] == copied.sha256

    async def test_what_was_seen_is_replaced_only_while_it_is_that(self, bucket: str, http: Http) -> None:
        client("s3").put_object(Bucket=BUCKET, Key=OBJECT, Body=b"half")
        objects = await Results(client("s3"), BUCKET).list_objects("results/")
        s3 = Faulty(client("s3"))
        await copy(http(serves(MP3)), s3=s3, objects=objects)
        assert [options.get("IfMatch") for name, options in s3.calls if name == "put_object"] == [
            objects[OBJECT].etag
        ]


@pytest.mark.parametrize(("clashes", "is_kept"), [(2, True), (3, False)])
async def test_what_is_here_already_is_written_three_times_at_most(
    bucket: str, clashes: int, is_kept: bool
) -> None:
    s3 = Faulty(client("s3"), put_object=[fault("PreconditionFailed", "PutObject")] * clashes)
    archive = archiver(s3)
    wanted = await archive.inspect(RUN, [Asset("clip-1", "audio", (), content=MP3)])
    await archive.archive(wanted)
    (told,) = wanted.settled()
    assert (wanted.pending_count, told.bytes, told.reason) == (
        (0, len(MP3), None) if is_kept else (1, None, "written by others each time")
    )
    assert [name for name, _ in s3.calls].count("put_object") == 3


@pytest.mark.parametrize("more", [0, 1])
def test_a_link_is_noted_in_1024_characters(more: int) -> None:
    url = "https://h/" + "x" * (1024 - len("https://h/") + more)
    noted = source_in_metadata(url)
    assert len(noted) == 1024
    assert (noted == url) is (more == 0)
    assert noted.rpartition("~")[0] == ("" if not more else url[: 1024 - 33])


def test_a_link_is_noted_in_ascii_with_what_a_url_may_hold() -> None:
    url = "https://h/a:/?&=%+,;@~!$'()*"
    assert source_in_metadata(url) == url
    assert source_in_metadata("https://h/歌 \ud800") == "https://h/%E6%AD%8C%20?"


async def test_a_write_that_clashes_with_what_is_gone_again_is_made_anew(bucket: str, http: Http) -> None:
    s3 = Faulty(client("s3"), put_object=[fault("PreconditionFailed", "PutObject")])
    assert (await copy(http(serves(MP3)), s3=s3)).bytes == len(MP3)
    assert keys() == [OBJECT]


async def test_what_another_link_of_the_same_run_has_left_is_replaced(bucket: str, http: Http) -> None:
    other = "https://elsewhere.example.com/1.mp3"
    await copy(http(serves(sized(900))), url=other, asset=Asset("clip-1", "audio", (other,)))
    assert (await copy(http(serves(sized(700))))).bytes == 700
    assert head()["ContentLength"] == 700
