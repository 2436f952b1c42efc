"""Downloads of archived files to this machine, which go on where they broke off, and where the files are put."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

from tunehook.errors import TunehookError, Unavailable
from tunehook.events import ArchivedAsset
from tunehook.ids import digest
from tunehook.result_keys import task_prefix
from tunehook_cli.output import size

TRIES: Final = 5
"""How often in a row a download may break off without bringing a byte."""

_CHUNK_BYTES: Final = 256 * 1024

ReadFile = Callable[[str, int], Iterable[bytes]]
"""Yields the bytes of a file, by its key, from an offset on, as `tunehook.operations.results.read_file` does."""

_DEVICES: Final = (f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10))
_RESERVED: Final = frozenset({"con", "prn", "aux", "nul", *_DEVICES})
"""What Windows takes for a device, whatever follows a dot; folders of WSL may lie there."""


class NotWritable(TunehookError):
    """A file of this machine cannot be written, or read back."""


def download(
    read_file: ReadFile,
    asset: ArchivedAsset,
    path: Path,
    progress: Callable[[int], None],
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Download an archived file and check its SHA-256; return False if it was there already.

    What breaks off is read on from there. After `TRIES` in a row that bring nothing, what has come stays in
    ``<path>.part`` for the next call. `path` appears once all of it is there and right. `progress` gets the number of
    further bytes, negative where some are read anew.

    Raises `NotWritable`; `Unavailable` if it breaks off again and again, or is not what was archived.
    """
    with _on_disk(path):
        if path.is_file() and _digest(path) == asset.sha256:
            progress(asset.bytes or 0)
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f"{path.name}.part")
    with _Part(place, progress) as part:
        goes_on = part.length > 0
        _complete(read_file, asset, part, sleep)
        if goes_on and part.digest != asset.sha256:
            part.restart()
            _complete(read_file, asset, part, sleep)
        came = part.digest
    with _on_disk(path):
        if came == asset.sha256:
            place.replace(path)
            return True
        place.unlink()
    raise Unavailable(f"{asset.key} is not what was kept: its SHA-256 is {came}, not {asset.sha256}")


def _complete(read_file: ReadFile, asset: ArchivedAsset, part: _Part, sleep: Callable[[float], None]) -> None:
    failures = 0
    while asset.bytes is None or part.length < asset.bytes:
        before = part.length
        try:
            for chunk in read_file(str(asset.key), part.length):
                part.write(chunk)
        except (AwsConnectionError, HTTPClientError, IncompleteReadError, HTTPError, OSError) as error:
            failures = 1 if part.length > before else failures + 1
            if failures >= TRIES:
                raise Unavailable(
                    f"{asset.key} breaks off after {size(part.length)}, {failures} times in a row: {error}; "
                    "the same command goes on from there"
                ) from None
            sleep(0.5 * 2**failures)
        else:
            return


class _Part:
    """A file that grows, for as long as the context lasts, on from what an earlier one left."""

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
        return self._hasher.hexdigest()

    def write(self, chunk: bytes) -> None:
        with _on_disk(self._path):
            _append(self._file, chunk)
        self._count(chunk)

    def restart(self) -> None:
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

    Where two differ by case alone, the later one gets a digest; what is a device to Windows gets an underscore.
    """
    taken: dict[str, str] = {}
    keys = [asset.key for asset in assets if asset.key is not None]
    prefix = task_prefix(provider, task_id)
    return {key: folder.joinpath(*_parts(key.removeprefix(prefix), taken)) for key in keys}


def _parts(relative: str, taken: dict[str, str]) -> list[str]:
    parts: list[str] = []
    so_far = ""
    for part in filter(None, relative.split("/")):
        so_far += f"/{part}"
        name = _portable(part)
        place = "/".join([*parts, name]).casefold()
        if taken.setdefault(place, so_far) != so_far:
            stem, dot, extension = name.rpartition(".") if "." in name else (name, "", "")
            name = f"{stem}~{digest(so_far)[:8]}{dot}{extension}"
        parts.append(name)
    return parts


def _portable(part: str) -> str:
    if part.split(".")[0].casefold() in _RESERVED:
        return f"_{part}"
    # Windows strips dots off the end, and with nothing but dots a part leads elsewhere.
    return f"{part}_" if part.endswith(".") else part


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
