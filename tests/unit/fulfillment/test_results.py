import asyncio
import hashlib
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import BUCKET, Faulty, client, fault
from tests.support.patience import HANG_S

from fulfillment.results import (
    OBJECT_MAX_BYTES,
    ObjectMetadata,
    PreconditionFailed,
    Results,
    StoredObject,
    Upload,
)
from tunehook.times import from_ms

# As documented, and not imported: a bound that moves is to be noticed.
PARTS_AT_ONCE = 3

WHERE = {"Bucket": BUCKET, "Key": "results/x"}
ABOUT = ObjectMetadata(content_type="audio/mpeg", disposition="inline", metadata={})


async def test_an_object_that_is_not_there_is_none(bucket: str) -> None:
    assert await Results(client("s3"), BUCKET).head("results/x") is None


async def test_trouble_with_a_look_is_raised(bucket: str) -> None:
    with pytest.raises(ClientError):
        await Results(Faulty(client("s3"), head_object=[fault("SlowDown", "HeadObject")]), BUCKET).head(
            "results/x"
        )  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"])
async def test_a_write_that_another_has_come_before_is_a_clash(bucket: str, code: str) -> None:
    s3: Any = Faulty(client("s3"), put_object=[fault(code, "PutObject")])
    with pytest.raises(PreconditionFailed):
        await Results(s3, BUCKET).put("results/x", b"", None)


async def test_any_other_trouble_with_a_write_is_none(bucket: str) -> None:
    s3: Any = Faulty(client("s3"), put_object=[fault("SlowDown", "PutObject")])
    with pytest.raises(ClientError):
        await Results(s3, BUCKET).put("results/x", b"", None)


async def test_no_more_than_two_parts_of_a_file_are_on_their_way_at_a_time() -> None:
    released = threading.Event()

    class Slow:
        begun = 0

        def create_multipart_upload(self, **_: Any) -> dict[str, str]:
            return {"UploadId": "1"}

        def upload_part(self, **_: Any) -> dict[str, str]:
            self.begun += 1
            assert released.wait(HANG_S)
            return {"ETag": "e"}

        def abort_multipart_upload(self, **_: Any) -> None:
            pass

    s3: Any = Slow()
    async with asyncio.timeout(HANG_S), Upload(s3, WHERE, ABOUT, None) as upload:
        for _ in range(PARTS_AT_ONCE):
            await upload.add(bytearray(b"x"))
        another = asyncio.create_task(upload.add(bytearray(b"x")))
        while s3.begun < PARTS_AT_ONCE:
            await asyncio.sleep(0.01)
        assert (s3.begun, another.done()) == (PARTS_AT_ONCE, False)
        released.set()
        await another


async def test_an_upload_that_is_given_up_while_it_is_begun_is_aborted() -> None:
    asked, released = threading.Event(), threading.Event()
    aborted: list[str] = []

    class Slow:
        def create_multipart_upload(self, **_: Any) -> dict[str, str]:
            asked.set()
            assert released.wait(HANG_S)
            return {"UploadId": "1"}

        def abort_multipart_upload(self, **upload: Any) -> None:
            aborted.append(upload["UploadId"])

    s3: Any = Slow()

    async def begin() -> None:
        async with Upload(s3, WHERE, ABOUT, None):
            raise AssertionError("it was given up before")

    beginning = asyncio.create_task(begin())
    await asyncio.to_thread(asked.wait, HANG_S)
    beginning.cancel()
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await beginning
    assert aborted == ["1"]


@pytest.mark.parametrize(("code", "lines"), [("NoSuchUpload", 0), ("SlowDown", 1)])
async def test_an_upload_that_is_there_still_when_it_was_given_up_is_logged(
    bucket: str, caplog: pytest.LogCaptureFixture, code: str, lines: int
) -> None:
    s3: Any = Faulty(client("s3"), abort_multipart_upload=[fault(code, "AbortMultipartUpload")])
    async with Upload(s3, WHERE, ABOUT, None):
        pass
    assert [record.message for record in caplog.records] == ["upload_not_aborted"] * lines


@pytest.mark.parametrize("code", ["404", "NoSuchKey", "NotFound"])
async def test_an_object_that_is_not_there_is_said_by_many_codes(bucket: str, code: str) -> None:
    s3: Any = Faulty(client("s3"), head_object=[fault(code, "HeadObject")])
    assert await Results(s3, BUCKET).head("results/x") is None


@pytest.mark.parametrize(
    "code", ["NoSuchUpload", "NoSuchKey", "PreconditionFailed", "ConditionalRequestConflict"]
)
async def test_a_write_that_finds_another_object_is_a_clash_by_many_codes(bucket: str, code: str) -> None:
    s3: Any = Faulty(client("s3"), put_object=[fault(code, "PutObject")])
    with pytest.raises(PreconditionFailed):
        await Results(s3, BUCKET).put("results/x", b"", None)


@pytest.mark.parametrize(
    ("said", "number"), [("7", 7), ("0", 0), (None, None), ("-1", None), ("x", None), ("²", None), ("", None)]
)
async def test_what_metadata_says_of_a_length_counts_where_it_is_a_number(
    bucket: str, said: str | None, number: int | None
) -> None:
    metadata = {} if said is None else {"bytes": said, "run": said}

    class Head:
        def head_object(self, **_: Any) -> dict[str, Any]:
            return {
                "ETag": "e",
                "ContentLength": 7,
                "ContentType": "a/b",
                "Metadata": metadata,
                "LastModified": from_ms(1_500),
            }

    s3: Any = Head()
    stored = await Results(s3, BUCKET).head("results/x")
    assert stored is not None
    assert (stored.bytes, stored.run_ms) == (number, number)
    assert stored.modified_ms == 1_500


@pytest.mark.parametrize(
    ("sha256", "length", "is_whole"),
    [("00", 7, True), (None, 7, False), ("00", 6, False), ("00", None, False)],
)
def test_an_object_is_whole_with_its_digest_and_its_length(
    sha256: str | None, length: int | None, is_whole: bool
) -> None:
    stored = StoredObject("k", "e", 7, "a/b", None, sha256, length, 5, "odd")
    assert stored.is_whole is is_whole
    assert [stored.is_later_than(run_ms) for run_ms in (4, 5, 6)] == [True, False, False]
    assert not StoredObject("k", "e", 7, "a/b", None, sha256, length, None).is_later_than(0)


@pytest.mark.parametrize(
    ("etag", "source", "sha256", "length", "is_whole"),
    [
        ('"5d41-2"', "https://h/1", None, None, True),
        ('"5d41"', "https://h/1", None, None, False),
        ('"5d41-2"', None, None, None, False),
        ('"5d41-2"', "https://h/1", "00", 6, False),
        ('"5d41-2"', "https://h/1", None, 7, False),
    ],
)
def test_an_object_of_several_parts_is_whole_when_it_is_there(
    etag: str, source: str | None, sha256: str | None, length: int | None, is_whole: bool
) -> None:
    assert StoredObject("k", etag, 7, "a/b", source, sha256, length, 5).is_whole is is_whole


async def test_a_digest_is_of_the_very_object_that_was_listed(bucket: str) -> None:
    client("s3").put_object(Bucket=BUCKET, Key="results/x", Body=b"one")
    results = Results(client("s3"), BUCKET)
    stored = await results.head("results/x")
    assert stored is not None
    assert await results.digest(stored) == hashlib.sha256(b"one").hexdigest()
    client("s3").put_object(Bucket=BUCKET, Key="results/x", Body=b"two")
    with pytest.raises(PreconditionFailed):
        await results.digest(stored)
    client("s3").delete_object(Bucket=BUCKET, Key="results/x")
    with pytest.raises(PreconditionFailed):
        await results.digest(stored)


def test_an_object_may_be_what_ten_thousand_parts_hold() -> None:
    assert OBJECT_MAX_BYTES == 8 * 1024**2 + 9_999 * 5 * 1024**2
