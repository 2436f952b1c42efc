"""The results bucket: what lies there of a task, and writes that never overwrite what somebody else wrote meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger
from botocore.exceptions import ClientError

from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.errors import TunehookError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = Logger(child=True)

PUT_BYTES: Final = 8 * 1024 * 1024
"""A smaller file is one put; of a larger one, this is the first part."""

PART_BYTES: Final = 5 * 1024 * 1024
"""The size of the other parts of a multipart upload: the smallest that S3 takes."""

PARTS_AT_ONCE: Final = 2
"""How many parts of one file are on their way to S3 at a time, while the next one is being read."""

S3_SETTINGS: Final[dict[str, Any]] = {"read_timeout": 60, "s3": {"payload_signing_enabled": False}}
"""Of the client: copying an object takes time; and S3 checks a CRC of each part, which TLS guards."""

LARGE_BYTES: Final = 1024**3
"""S3 may take minutes to copy a larger object onto itself."""

LARGE_S3_SETTINGS: Final[dict[str, Any]] = S3_SETTINGS | {
    "read_timeout": 180,
    "retries": {"mode": "standard", "total_max_attempts": 1},
}
"""Of a client for those copies alone: one that takes long is not begun anew while it is under way."""

_CLASHES: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "NoSuchUpload"})
"""What S3 says of a condition that does not hold, of two writes at once, and of an object or upload that is gone."""

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})

_LAST_PARTS_S: Final = 5.0


class PreconditionFailed(TunehookError):
    """Somebody else has written the object since it was last looked at."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that lies in S3; `sha256` is in hexadecimal, and `remark` what is odd about it, if anything."""

    key: str
    content_type: str
    bytes: int
    sha256: str
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """An object; from `source` on, what its metadata says, None where it says nothing."""

    key: str
    etag: str
    size: int
    content_type: str
    source: str | None
    sha256: str | None
    bytes: int | None
    run_ms: int | None
    remark: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the object was written to its end, and is as long as it was then."""
        return self.sha256 is not None and self.bytes == self.size

    def is_later_than(self, run_ms: int) -> bool:
        """Return whether a later run of the task than that of `run_ms` has written the object."""
        return self.run_ms is not None and self.run_ms > run_ms

    def copied(self) -> Copied:
        """Return a whole object as the file that it is."""
        return Copied(self.key, self.content_type, self.size, self.sha256 or "", self.remark)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectMetadata:
    """What is said of an object beside its bytes; `metadata` lacks what is known at their end alone."""

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
    """The results bucket.

    Parameters
    ----------
    s3 : S3Client
        A low-level boto3 client.
    bucket : str
        The bucket's name.
    for_large : callable, optional
        Returns a client for copies of objects of `LARGE_BYTES` and more, made with `LARGE_S3_SETTINGS`.
    """

    def __init__(self, s3: S3Client, bucket: str, for_large: Callable[[], S3Client] | None = None) -> None:
        # Its stubs know no bytearray, which boto3 takes.
        self._s3: Any = s3
        self._for_large: Callable[[], Any] = for_large or (lambda: s3)
        self.bucket = bucket

    async def below(self, prefix: str) -> dict[str, Stored]:
        """Return the objects whose keys begin with `prefix`, by key."""

        def keys() -> list[str]:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

        found = await asyncio.gather(*(self.look(key) for key in await asyncio.to_thread(keys)))
        return {stored.key: stored for stored in found if stored is not None}

    async def look(self, key: str) -> Stored | None:
        """Return an object without its bytes, or None."""
        try:
            head = await asyncio.to_thread(self._s3.head_object, Bucket=self.bucket, Key=key)
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return None
            raise
        metadata = head["Metadata"]
        return Stored(
            key=key,
            etag=head["ETag"],
            size=head["ContentLength"],
            content_type=head["ContentType"],
            source=metadata.get("source-url"),
            sha256=metadata.get("sha256"),
            bytes=_number(metadata.get("bytes")),
            run_ms=_number(metadata.get("run")),
            remark=metadata.get("remark"),
        )

    async def read(self, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and ETag, or None."""

        def get() -> tuple[bytes, str]:
            answer = self._s3.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]

        try:
            return await asyncio.to_thread(get)
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise

    async def put(self, key: str, body: bytes | bytearray, seen: str | None, **headers: Any) -> None:
        """Write an object in one call.

        Parameters
        ----------
        key : str
            Its key.
        body : bytes or bytearray
            All of it.
        seen : str or None
            The ETag of the object that it replaces; None if there must be none.
        **headers
            Further parameters of the call.

        Raises
        ------
        Clash
            If another object lies there, or none. The very same one is what a try before this one has written, whose
            answer was lost.
        """
        where: Any = {"Bucket": self.bucket, "Key": key}
        try:
            with _clashes():
                await asyncio.to_thread(
                    self._s3.put_object, **where, Body=body, **_condition(seen), **headers
                )
        except PreconditionFailed:
            written = await asyncio.to_thread(_etag_of_put, body)
            if not await _lies_there(self._s3, where, written, headers.get("Metadata", {})):
                raise

    def upload(self, key: str, about: ObjectMetadata, seen: str | None) -> Upload:
        """Begin a multipart upload; `seen` as in `put`."""
        return Upload(self._s3, self._for_large, self.bucket, key, about, seen)


class Upload:
    """A multipart upload, as a context: left before `complete`, it is aborted.

    Nothing is visible under the key before all of it is there.
    """

    def __init__(
        self,
        s3: S3Client,
        for_large: Callable[[], Any],
        bucket: str,
        key: str,
        about: ObjectMetadata,
        seen: str | None,
    ) -> None:
        self._s3: Any = s3
        self._for_large = for_large
        self._size = 0
        self._where: Any = {"Bucket": bucket, "Key": key}
        self._about = about
        self._seen = seen
        self._slots = asyncio.Semaphore(PARTS_AT_ONCE)
        self._parts: list[asyncio.Task[str]] = []
        self._is_complete = False

    async def __aenter__(self) -> Upload:
        create = asyncio.to_thread(self._s3.create_multipart_upload, **self._where, **self._about.headers())
        creating = asyncio.create_task(create)
        try:
            self._begun(await asyncio.shield(creating))
        except asyncio.CancelledError:
            # The call goes on in its thread all the same, and nobody else knows of what it makes.
            await asyncio.wait([creating], timeout=_LAST_PARTS_S)
            if creating.done() and creating.exception() is None:
                self._begun(creating.result())
                await self.__aexit__()
            raise
        return self

    def _begun(self, created: Mapping[str, Any]) -> None:
        self._upload: Any = {**self._where, "UploadId": created["UploadId"]}

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
            await asyncio.to_thread(self._s3.abort_multipart_upload, **self._upload)
        except AWS_FAULTS as error:
            # What led here is what counts; the bucket's lifecycle rule aborts the upload within a day.
            logger.warning("upload_not_aborted", error=code_of(error))

    async def add(self, part: bytearray) -> asyncio.Task[str]:
        """Begin to send a part; wait first while `PARTS_AT_ONCE` are on their way.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            If S3 did not take an earlier one.
        """
        await self._slots.acquire()
        for earlier in self._parts:
            if earlier.done():
                earlier.result()
        self._size += len(part)
        task = asyncio.create_task(self._send(len(self._parts) + 1, part))
        self._parts.append(task)
        return task

    async def _send(self, number: int, part: bytearray) -> str:
        try:
            answer = await asyncio.to_thread(
                self._s3.upload_part, **self._upload, PartNumber=number, Body=part
            )
        finally:
            self._slots.release()
        return str(answer["ETag"])

    async def complete(self, **metadata: str) -> None:
        """Make the object visible, then add to its metadata what is known only now.

        S3 takes metadata before the first byte alone, and replaces it by a copy of the object onto itself
        (`docs/decisions/010-metadata-of-large-files.md`). Until then the object does not count as whole.

        Raises
        ------
        Clash
            If somebody else has written it meanwhile.
        """
        etags = await asyncio.gather(*self._parts)
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
        try:
            with _clashes():
                completed = await asyncio.to_thread(
                    self._s3.complete_multipart_upload,
                    **self._upload,
                    MultipartUpload={"Parts": parts},
                    **_condition(self._seen),
                )
                etag = completed["ETag"]
        except PreconditionFailed:
            # A try before this one may have completed it.
            etag = _etag_of_parts(etags)
            if not await _lies_there(self._s3, self._where, etag, self._about.metadata):
                raise
        self._is_complete = True
        copying = self._s3 if self._size < LARGE_BYTES else await asyncio.to_thread(self._for_large)
        with _clashes():
            await asyncio.to_thread(
                copying.copy_object,
                **self._where,
                CopySource=self._where,
                CopySourceIfMatch=etag,
                MetadataDirective="REPLACE",
                **self._about.headers(**metadata),
            )


def _etag_of_put(body: bytes | bytearray) -> str:
    """Return the ETag that S3 gives an object of one put (without a key of KMS, as here)."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _etag_of_parts(etags: Sequence[str]) -> str:
    """Return the ETag that S3 gives an object of several parts."""
    digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in etags)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(etags)}"'


async def _lies_there(s3: Any, where: Any, etag: str, metadata: Mapping[str, str]) -> bool:
    """Return whether an object with these bytes and this metadata lies under a key."""
    try:
        head = await asyncio.to_thread(s3.head_object, **where)
    except ClientError as error:
        if code_of(error) in _ABSENT:
            return False
        raise
    return bool(head["ETag"] == etag and head["Metadata"] == metadata)


def _condition(seen: str | None) -> Any:
    return {"IfNoneMatch": "*"} if seen is None else {"IfMatch": seen}


@contextmanager
def _clashes() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if code_of(error) in _CLASHES:
            raise PreconditionFailed("written by somebody else meanwhile") from error
        raise


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
