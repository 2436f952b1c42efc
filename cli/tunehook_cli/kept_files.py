"""The kept files of a task, as a user gets at them: what the manifest says, fresh links, and downloads."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from tunehook.errors import TunehookError, Unavailable
from tunehook.events import ArchivedAsset
from tunehook.ids import digest
from tunehook.result_keys import manifest_key, task_prefix
from tunehook_cli import output

TRIES: Final = 5
"""How often in a row a download may break off without bringing a byte."""

_CHUNK_BYTES: Final = 256 * 1024

_RESERVED: Final = frozenset(
    {
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)),
    }
)
"""What Windows takes for a device, whatever follows a dot; folders of WSL may lie there."""


class NotWritable(TunehookError):
    """A file of this machine cannot be written, or read back."""


class KeptFiles:
    """The results bucket.

    Parameters
    ----------
    s3 : S3Client
        What `tunehook.aws.links.s3_client` returns.
    bucket : str
        The bucket's name.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self.bucket = bucket

    def of(self, provider: str, task_id: str) -> list[ArchivedAsset] | None:
        """Return what the manifest of a task names; None if there is no manifest."""
        from botocore.exceptions import ClientError

        from tunehook.aws.errors import code_of

        try:
            answer = self._s3.get_object(Bucket=self.bucket, Key=manifest_key(provider, task_id))
        except ClientError as error:
            if code_of(error) == "NoSuchKey":
                return None
            raise
        try:
            manifest = json.loads(answer["Body"].read())
            return [ArchivedAsset.model_validate(asset) for asset in manifest["assets"]]
        except (ValueError, TypeError, KeyError) as error:
            raise Unavailable(
                f"the manifest of {task_id} is none ({type(error).__name__}): "
                f"`tunehook archive {task_id}` makes it anew"
            ) from None

    def link(self, key: str) -> str:
        """Return a download link, as `tunehook.aws.links.link` makes it."""
        from tunehook.aws.links import link

        return link(self._s3, self.bucket, key)

    def download(
        self,
        asset: ArchivedAsset,
        path: Path,
        progress: Callable[[int], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> bool:
        """Download a file and check its SHA-256.

        What breaks off is asked for again from where it broke off; beyond `TRIES` in a row that bring nothing, what has
        come lies in ``<path>.part``, and the next call goes on from there.

        Parameters
        ----------
        asset : ArchivedAsset
            An archived one.
        path : Path
            Where it goes. Nothing is there before all of it is, and is right.
        progress : callable
            Is told how many further bytes have come; less than none where some are asked for anew.
        sleep : callable, optional
            Waits for a number of seconds.

        Returns
        -------
        bool
            False if it was there already.

        Raises
        ------
        NotWritable
            If this machine does not take it.
        Unavailable
            If it breaks off again and again, or what came is not what was kept.
        """
        with _on_disk(path):
            if path.is_file() and _digest(path) == asset.sha256:
                progress(asset.bytes or 0)
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
        place = path.with_name(f"{path.name}.part")
        with _Part(place, progress) as part:
            goes_on = part.length > 0
            self._complete(asset, part, sleep)
            if goes_on and part.digest != asset.sha256:
                part.restart()
                self._complete(asset, part, sleep)
            came = part.digest
        with _on_disk(path):
            if came == asset.sha256:
                place.replace(path)
                return True
            place.unlink()
        raise Unavailable(f"{asset.key} is not what was kept: its SHA-256 is {came}, not {asset.sha256}")

    def _complete(self, asset: ArchivedAsset, part: _Part, sleep: Callable[[float], None]) -> None:
        from botocore.exceptions import ConnectionError as AwsConnectionError
        from botocore.exceptions import HTTPClientError, IncompleteReadError
        from urllib3.exceptions import HTTPError

        failures = 0
        while asset.bytes is None or part.length < asset.bytes:
            before = part.length
            try:
                self._read_on(str(asset.key), part)
            except (AwsConnectionError, HTTPClientError, IncompleteReadError, HTTPError, OSError) as error:
                failures = 1 if part.length > before else failures + 1
                if failures >= TRIES:
                    raise Unavailable(
                        f"{asset.key} breaks off after {output.size(part.length)}, {failures} times in a row: {error}; "
                        "the same command goes on from there"
                    ) from None
                sleep(0.5 * 2**failures)
            else:
                return

    def _read_on(self, key: str, part: _Part) -> None:
        from botocore.exceptions import ClientError

        from tunehook.aws.errors import code_of

        rest = {"Range": f"bytes={part.length}-"} if part.length else {}
        try:
            body = self._s3.get_object(Bucket=self.bucket, Key=key, **rest)["Body"]
        except ClientError as error:
            if rest and code_of(error) == "InvalidRange":
                return  # There is no more: the digest says whether it is right.
            raise
        for chunk in body.iter_chunks(_CHUNK_BYTES):
            part.write(chunk)


class _Part:
    """A file that grows, for as long as the context lasts; what an earlier one left is gone on with."""

    def __init__(self, path: Path, progress: Callable[[int], None]) -> None:
        self._path = path
        self._progress = progress

    def __enter__(self) -> _Part:
        with _on_disk(self._path):
            self._file: IO[bytes] = self._path.open("a+b")
            self._file.seek(0)
            self._hasher = hashlib.sha256()
            self.length = 0
            while chunk := self._file.read(_CHUNK_BYTES):
                self._count(chunk)
        return self

    def __exit__(self, *_: object) -> None:
        with _on_disk(self._path):
            self._file.close()

    @property
    def digest(self) -> str:
        """The SHA-256 of all of it."""
        return self._hasher.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Add to it."""
        with _on_disk(self._path):
            _append(self._file, chunk)
        self._count(chunk)

    def restart(self) -> None:
        """Let it be empty again."""
        with _on_disk(self._path):
            self._file.truncate(0)
        self._progress(-self.length)
        self._hasher = hashlib.sha256()
        self.length = 0

    def _count(self, chunk: bytes) -> None:
        self._hasher.update(chunk)
        self.length += len(chunk)
        self._progress(len(chunk))


def _append(file: IO[bytes], chunk: bytes) -> None:
    file.write(chunk)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    """Tell this machine's own errors from those of the way to AWS, which are of the same classes."""
    try:
        yield
    except OSError as error:
        raise NotWritable(f"cannot write {path}: {error.strerror or error}") from None


def places_of(assets: Sequence[ArchivedAsset], provider: str, task_id: str, folder: Path) -> dict[str, Path]:
    """Return where in `folder` the archived ones are put, by their keys: ``<clip>/<name>``, as in S3.

    Where two parts of them differ by case alone, which is no difference to many a file system, the later one gets a
    digest; what is a device to Windows gets an underscore.
    """
    taken: dict[str, str] = {}
    keys = [asset.key for asset in assets if asset.key is not None]
    return {
        key: folder.joinpath(*_parts(key.removeprefix(task_prefix(provider, task_id)), taken)) for key in keys
    }


def _parts(relative: str, taken: dict[str, str]) -> list[str]:
    parts: list[str] = []
    so_far = ""
    for part in filter(None, relative.split("/")):
        so_far += f"/{part}"
        name = _harmless(part)
        place = "/".join([*parts, name]).casefold()
        if taken.setdefault(place, so_far) != so_far:
            stem, dot, extension = name.rpartition(".") if "." in name else (name, "", "")
            name = f"{stem}~{digest(so_far)[:8]}{dot}{extension}"
        parts.append(name)
    return parts


def _harmless(part: str) -> str:
    if part.split(".")[0].casefold() in _RESERVED:
        return f"_{part}"
    # Windows strips dots off the end, and with nothing but dots a part leads elsewhere.
    return f"{part}_" if part.endswith(".") else part


def _digest(path: Path) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()
