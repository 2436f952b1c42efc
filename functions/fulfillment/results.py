"""The results bucket: what lies in it, and conditional writes, in one call or as a multipart upload."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.errors import TunehookError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from fulfillment.download import Body

logger = Logger(child=True)

T = TypeVar("T")

PUT_BYTES: Final = 8 * 1024 * 1024
"""A smaller file is one put; of a larger one, this is the first part."""

PART_BYTES: Final = 5 * 1024 * 1024
"""The size of the other parts of a multipart upload: the smallest that S3 takes."""

OBJECT_MAX_BYTES: Final = PUT_BYTES + 9_999 * PART_BYTES
"""What the 10,000 parts hold that S3 allows an upload."""

PARTS_AT_ONCE: Final = 3
"""How many parts of one file are on their way to S3 at a time, while the next one is being read; with two, S3 waits for
the next one at times."""

_READ_BYTES: Final = 1024 * 1024
"""How much of an object is in memory while its digest is computed."""

S3_SETTINGS: Final[dict[str, Any]] = {"read_timeout": 60, "s3": {"payload_signing_enabled": False}}
"""Of the client: S3 checks a CRC of each part, which TLS guards."""

_CONFLICTS: Final = frozenset(
    {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "NoSuchUpload"}
)
"""What S3 says of a condition that does not hold, of two writes at once, and of an object or upload that is gone."""

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})

_LAST_PARTS_S: Final = 5.0


class PreconditionFailed(TunehookError):
    """Somebody else has written the object since it was last read."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, with what its metadata says from `source` to `remark`; `modified_ms` is S3's ``Last-Modified``."""

    key: str
    etag: str
    size: int
    content_type: str
    source: str | None
    sha256: str | None
    bytes: int | None
    run_ms: int | None
    remark: str | None = None
    modified_ms: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the object was written to its end.

        S3 shows a multipart object (its ETag has a ``-``) only when it is complete; it says neither digest nor length.
        """
        if self.sha256 is None and self.bytes is None:
            return self.source is not None and "-" in self.etag
        return self.sha256 is not None and self.bytes == self.size

    def is_later_than(self, run_ms: int) -> bool:
        """Return whether a later run than that of `run_ms` has written the object."""
        return self.run_ms is not None and self.run_ms > run_ms


@dataclass(frozen=True, slots=True)
class ObjectMetadata:
    """The headers of an object; `metadata` lacks what is known at the end of its bytes alone."""

    content_type: str
    disposition: str
    metadata: dict[str, str]

    def headers(self, **metadata: str) -> dict[str, Any]:
        """Return the parameters of a call that creates the object."""
        return {
            "ContentType": self.content_type,
            "ContentDisposition": self.disposition,
            "Metadata": self.metadata | metadata,
        }


class Results:
    """The results bucket."""

    def __init__(self, s3: S3Client, bucket: str) -> None:
        # Its stubs know no bytearray, which boto3 takes.
        self._s3: Any = s3
        self.bucket = bucket

    async def list_keys(self, prefix: str) -> list[str]:
        """Return the keys of objects that begin with `prefix`."""

        def keys() -> list[str]:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

        return await asyncio.to_thread(keys)

    async def list_objects(self, prefix: str) -> dict[str, StoredObject]:
        """Return the objects whose keys begin with `prefix`, by key."""
        return await self.objects(await self.list_keys(prefix))

    async def objects(self, keys: Iterable[str]) -> dict[str, StoredObject]:
        """Return the objects of these keys that are there, by key."""
        found = await asyncio.gather(*map(self.head, keys))
        return {stored.key: stored for stored in found if stored is not None}

    async def head(self, key: str) -> StoredObject | None:
        """Return an object without its bytes, if it is there."""
        head = await _unless_absent(self._s3.head_object, Bucket=self.bucket, Key=key)
        if head is None:
            return None
        metadata = head["Metadata"]
        return StoredObject(
            key=key,
            etag=head["ETag"],
            size=head["ContentLength"],
            content_type=head["ContentType"],
            source=metadata.get("source-url"),
            sha256=metadata.get("sha256"),
            bytes=_number(metadata.get("bytes")),
            run_ms=_number(metadata.get("run")),
            remark=metadata.get("remark"),
            modified_ms=int(head["LastModified"].timestamp() * 1000),
        )

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and ETag, if it is there."""

        def get(**where: str) -> tuple[bytes, str]:
            answer = self._s3.get_object(**where)
            return answer["Body"].read(), answer["ETag"]

        return await _unless_absent(get, Bucket=self.bucket, Key=key)

    async def digest(self, stored: StoredObject) -> str:
        """Return an object's SHA-256 in hexadecimal; raise `PreconditionFailed` if it was replaced or deleted."""
        hasher = hashlib.sha256()
        with _conflicts():
            answer = await asyncio.to_thread(
                self._s3.get_object, Bucket=self.bucket, Key=stored.key, IfMatch=stored.etag
            )
        with closing(answer["Body"]) as body:
            while chunk := await asyncio.to_thread(body.read, _READ_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest()

    async def put(self, key: str, body: bytes | bytearray, expected_etag: str | None, **headers: Any) -> None:
        """Write an object in one call, in place of the one that has the `expected_etag`; of none if that is None.

        Raises `PreconditionFailed` if another object lies there, or none. The very same one was written by an earlier
        try whose answer was lost.
        """
        where: Any = {"Bucket": self.bucket, "Key": key}
        try:
            with _conflicts():
                await asyncio.to_thread(
                    self._s3.put_object, **where, Body=body, **_condition(expected_etag), **headers
                )
        except PreconditionFailed:
            written = await asyncio.to_thread(_etag_of_put, body)
            if not await _is_there(self._s3, where, written, headers.get("Metadata", {})):
                raise

    async def store(self, key: str, metadata: ObjectMetadata, expected_etag: str | None, body: Body) -> None:
        """Write a file of which the first `PUT_BYTES` are read: in one call if that is all, else as a multipart upload.

        `expected_etag` and errors are those of `put`.
        """
        if len(body.part) < PUT_BYTES:
            headers = metadata.headers(sha256=body.sha256, bytes=str(body.count))
            await self.put(key, body.part, expected_etag, **headers)
            return
        where = {"Bucket": self.bucket, "Key": key}
        async with Upload(self._s3, where, metadata, expected_etag) as upload:
            while body.part:
                body.release_after(await upload.add(body.hand_over()))
                await body.read(PART_BYTES)
            await upload.complete()


@dataclass(slots=True)
class Upload:
    """A multipart upload, as a context manager: it is aborted unless it was completed."""

    s3: Any
    where: Any
    metadata: ObjectMetadata
    expected_etag: str | None
    _slots: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(PARTS_AT_ONCE))
    _parts: list[asyncio.Task[str]] = field(init=False, default_factory=list)
    _upload: Any = field(init=False, default=None)
    _is_complete: bool = field(init=False, default=False)

    async def __aenter__(self) -> Upload:
        create = asyncio.to_thread(self.s3.create_multipart_upload, **self.where, **self.metadata.headers())
        creating = asyncio.create_task(create)
        try:
            self._upload = {**self.where, "UploadId": (await asyncio.shield(creating))["UploadId"]}
        except asyncio.CancelledError:
            # The call goes on in its thread, and nobody else could abort what it creates.
            await asyncio.wait([creating], timeout=_LAST_PARTS_S)
            if creating.done() and creating.exception() is None:
                self._upload = {**self.where, "UploadId": creating.result()["UploadId"]}
                await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_complete:
            return
        # A part that arrives after the abort would stay until the bucket's lifecycle rule removes it.
        if self._parts:
            await asyncio.wait(self._parts, timeout=_LAST_PARTS_S)
        for part in self._parts:
            part.cancel()
        await asyncio.gather(*self._parts, return_exceptions=True)
        try:
            await asyncio.to_thread(self.s3.abort_multipart_upload, **self._upload)
        except AWS_FAULTS as error:
            # The bucket's lifecycle rule aborts it within a day.
            if code_of(error) != "NoSuchUpload":
                logger.warning("upload_not_aborted", error=code_of(error))

    async def add(self, part: bytearray) -> asyncio.Task[str]:
        """Begin to send a part, once fewer than `PARTS_AT_ONCE` are on their way; raise the error of an earlier one."""
        await self._slots.acquire()
        for earlier in self._parts:
            if earlier.done():
                earlier.result()
        task = asyncio.create_task(self._send(len(self._parts) + 1, part))
        self._parts.append(task)
        return task

    async def _send(self, number: int, part: bytearray) -> str:
        try:
            answer = await asyncio.to_thread(
                self.s3.upload_part, **self._upload, PartNumber=number, Body=part
            )
        finally:
            self._slots.release()
        return str(answer["ETag"])

    async def complete(self) -> None:
        """Make the object visible; raise `PreconditionFailed` if somebody else has written it meanwhile."""
        etags = await asyncio.gather(*self._parts)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        try:
            with _conflicts():
                await asyncio.to_thread(
                    self.s3.complete_multipart_upload,
                    **self._upload,
                    MultipartUpload={"Parts": parts},
                    **_condition(self.expected_etag),
                )
        except PreconditionFailed:
            # An earlier try may have completed it, or another worker an upload of the same bytes.
            if not await _is_there(self.s3, self.where, _etag_of_parts(etags), self.metadata.metadata):
                raise
        else:
            self._is_complete = True


def _etag_of_put(body: bytes | bytearray) -> str:
    """Return the ETag that S3 gives an object of one put (without a key of KMS, as here)."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _etag_of_parts(etags: Sequence[str]) -> str:
    """Return the ETag that S3 gives an object of several parts."""
    digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"'


async def _unless_absent(call: Callable[..., T], **where: str) -> T | None:
    """Return what a blocking call for an object returns, or None if there is no such object."""
    try:
        return await asyncio.to_thread(call, **where)
    except ClientError as error:
        if code_of(error) in _ABSENT:
            return None
        raise


async def _is_there(s3: Any, where: Any, etag: str, metadata: Mapping[str, str]) -> bool:
    """Return whether an object with these bytes and this metadata lies under a key."""
    head = await _unless_absent(s3.head_object, **where)
    return head is not None and (head["ETag"], head["Metadata"]) == (etag, metadata)


def _condition(expected_etag: str | None) -> Any:
    return {"IfNoneMatch": "*"} if expected_etag is None else {"IfMatch": expected_etag}


@contextmanager
def _conflicts() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if code_of(error) in _CONFLICTS:
            raise PreconditionFailed("written by somebody else meanwhile") from error
        raise


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
