"""Downloads of archived files to this machine, which go on where they broke off, and where the files are put."""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import IO, Any, Final

from botocore.exceptions import ConnectionError as AwsConnectionError
from botocore.exceptions import HTTPClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

from tunehook.errors import TunehookError, Unavailable
from tunehook.events import ArchivedAsset
from tunehook_cli.output import size

TRIES: Final = 5
"""How often in a row a download may break off without bringing a byte."""

_CHUNK_BYTES: Final = 256 * 1024

ReadFile = Callable[[str, int], Iterable[bytes]]
"""Yields the bytes of a file, by its key, from an offset on, as `tunehook.operations.results.read_file` does."""

_DEVICES: Final = (f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10))
_RESERVED: Final = frozenset({"con", "prn", "aux", "nul", *_DEVICES})
"""What Windows takes for a device, whatever follows a dot; folders of WSL may lie there."""

_UNUSABLE: Final = dict.fromkeys(map(ord, '/\\:*?"<>|'), "_")
"""What Windows refuses in a name."""

_STEM_BYTES: Final = 160
"""Of a name's 255 bytes on Linux: room is left for numbers, the extension and ``.part``."""

_EXTENSION: Final = re.compile(r"\.[A-Za-z0-9]{1,10}$")
_MARKED: Final = ("large_cover",)
"""Types of files that say so in their names; the others of a clip differ by their extensions."""


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
    raise Unavailable(f"{asset.key} has changed: its SHA-256 is {came}, not {asset.sha256}")


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
                    "run the same command again to resume"
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


Titles = Mapping[Any, str | None]
"""The titles of all clips of a task, by their ids."""


def names_of(assets: Sequence[ArchivedAsset], titles: Titles) -> dict[str, str]:
    """Return the names of the archived ones by their keys, as `places_of` gives them in an empty folder."""
    return _named(assets, titles, lambda *_: True)


def places_of(assets: Sequence[ArchivedAsset], titles: Titles, folder: Path) -> dict[str, Path]:
    """Return where in `folder` the archived ones are put, by their keys, each named by the title of its clip.

    Clips of the same title are numbered, ``City Lights (1).mp3``; one without a title is named by its id. Where another
    file lies under a name, the files of that clip get the next free number.

    Raises `NotWritable` if what lies there cannot be read.
    """
    names = _named(assets, titles, lambda name, asset: _is_free(folder / name, asset))
    return {key: folder / name for key, name in names.items()}


def _named(
    assets: Sequence[ArchivedAsset], titles: Titles, may_be: Callable[[str, ArchivedAsset], bool]
) -> dict[str, str]:
    kept: dict[str, list[ArchivedAsset]] = {}
    for asset in assets:
        if asset.key is not None:
            kept.setdefault(asset.clip_id, []).append(asset)
    # Those without files count too: what is missing now may be kept later.
    stems = {clip: _stem(titles.get(clip), str(clip)) for clip in dict.fromkeys([*titles, *kept])}
    alike = Counter(map(_folded, stems.values()))
    before: Counter[str] = Counter()
    names: dict[str, str] = {}
    taken: set[str] = set()
    for clip, stem in stems.items():
        before[_folded(stem)] += 1
        number, most = before[_folded(stem)], alike[_folded(stem)]
        files = kept.get(str(clip), [])
        for each in chain([number if most > 1 else None], count(most + 1)):
            found = _names(stem if each is None else f"{stem} ({each})", files)
            is_new = taken.isdisjoint(map(_folded, found.values()))
            if is_new and all(may_be(found[str(file.key)], file) for file in files):
                break
        taken |= set(map(_folded, found.values()))
        names |= found
    return names


def _names(stem: str, assets: Iterable[ArchivedAsset]) -> dict[str, str]:
    """Return the names of the files of one clip, by their keys: alike but for their extensions, as far as that does."""
    names: dict[str, str] = {}
    for asset in assets:
        found = _EXTENSION.search(str(asset.key))
        kind = f" {asset.type.replace('_', ' ')}"
        plain = kind if asset.type in _MARKED else ""
        for more in chain([plain, kind], (f"{kind} {number}" for number in count(2))):
            name = f"{stem}{more}{found[0] if found else ''}"
            if _folded(name) not in map(_folded, names.values()):
                break
        names[str(asset.key)] = name
    return names


def _is_free(path: Path, asset: ArchivedAsset) -> bool:
    """Return whether a file may be put there: nothing is there, or that very file."""
    with _on_disk(path):
        return not path.exists() or (path.is_file() and _digest(path) == asset.sha256)


def _stem(title: str | None, clip_id: str) -> str:
    """Return a title as the beginning of a file's name, on any file system."""
    for text in (title or "", clip_id):
        usable = "".join(char if char.isprintable() else " " for char in unicodedata.normalize("NFC", text))
        stem = " ".join(usable.translate(_UNUSABLE).split()).strip(". ")
        encoded = stem.encode("utf-8", "replace")[:_STEM_BYTES]
        stem = encoded.decode("utf-8", "ignore").strip(". ")
        if stem.strip("_"):
            return f"_{stem}" if stem.split(".")[0].strip().casefold() in _RESERVED else stem
    return "clip"


def _folded(name: str) -> str:
    """Return what is the same for names that are the same to some file systems."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
