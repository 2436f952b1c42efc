import errno
import hashlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ResponseStreamingError

from tunehook.errors import Unavailable
from tunehook.events import ArchivedAsset
from tunehook.operations.results import read_file
from tunehook.operations.stack import Stack
from tunehook_cli import archived_files
from tunehook_cli.archived_files import TRIES, NotWritable, names_of, places_of

DATA = bytes(range(256)) * 8


def asset(key: str = "results/suno/t/c/audio.mp3", data: bytes = DATA, **fields: Any) -> ArchivedAsset:
    values = {
        "clip_id": "c",
        "type": "audio",
        "status": "archived",
        "key": key,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return ArchivedAsset.model_validate(values | fields)


class Body:
    def __init__(self, data: bytes, error: Exception | None) -> None:
        self._data, self._error = data, error

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        stream = BytesIO(self._data)
        while chunk := stream.read(size):
            yield chunk
        if self._error is not None:
            raise self._error


class S3:
    """An S3 whose answers break off, one after the other, after so many bytes and with such an error."""

    def __init__(self, *breaks: tuple[int, Exception], data: bytes = DATA) -> None:
        self.data = data
        self.ranges: list[str | None] = []
        self._breaks = list(breaks)

    def get_object(self, Bucket: str, Key: str, Range: str | None = None) -> dict[str, Any]:  # noqa: N803
        self.ranges.append(Range)
        start = 0 if Range is None else int(Range.removeprefix("bytes=").rstrip("-"))
        if Range is not None and start >= len(self.data):
            raise ClientError({"Error": {"Code": "InvalidRange"}}, "GetObject")
        if not self._breaks:
            return {"Body": Body(self.data[start:], None)}
        count, error = self._breaks.pop(0)
        if count == 0:
            raise error
        return {"Body": Body(self.data[start : start + count], error)}


class Downloading:
    def __init__(self, s3: S3, folder: Path) -> None:
        self.path = folder / "new" / "audio.mp3"
        self.part = self.path.with_name("audio.mp3.part")
        self.counted = 0
        self.slept: list[float] = []
        outputs = {"ResultsBucket": "results"}
        self._stack = Stack("s", "r", outputs, parameters={}, open_client=lambda *_, **__: s3)

    def __call__(self, wanted: ArchivedAsset | None = None) -> bool:
        def count(more: int) -> None:
            self.counted += more

        read = partial(read_file, self._stack)
        return archived_files.download(read, wanted or asset(), self.path, count, self.slept.append)


BROKEN = ResponseStreamingError(error="Connection broken")
ERRORS = [BROKEN, EndpointConnectionError(endpoint_url="https://s3"), ConnectionResetError(), TimeoutError()]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_breaks_off_goes_on_where_it_broke_off(tmp_path: Path, error: Exception) -> None:
    s3 = S3((700, error), (0, error), (300, error))
    download = Downloading(s3, tmp_path)
    assert download() is True
    assert download.path.read_bytes() == DATA
    assert s3.ranges == [None, "bytes=700-", "bytes=700-", "bytes=1000-"]
    assert download.counted == len(DATA)
    assert len(download.slept) == 3
    assert not download.part.exists()


def test_what_breaks_off_again_and_again_is_told_and_gone_on_with_by_the_next_call(tmp_path: Path) -> None:
    s3 = S3((700, BROKEN), *[(0, BROKEN)] * (TRIES - 1))
    download = Downloading(s3, tmp_path)
    with pytest.raises(Unavailable, match=r"breaks off after 700 B, 5 times in a row: .*again to resume"):
        download()
    assert not download.path.exists()
    assert download() is True
    assert s3.ranges[-1] == "bytes=700-"
    assert download.path.read_bytes() == DATA


@pytest.mark.parametrize("left", [b"something else", DATA + b"x", DATA[:-1] + b"x"])
@pytest.mark.parametrize("size", [len(DATA), None])
def test_what_an_earlier_call_left_of_another_file_is_not_gone_on_with(
    tmp_path: Path, left: bytes, size: int | None
) -> None:
    download = Downloading(S3(), tmp_path)
    download.part.parent.mkdir()
    download.part.write_bytes(left)
    assert download(asset(bytes=size)) is True
    assert download.path.read_bytes() == DATA
    assert download.counted == len(DATA)


def test_what_is_not_what_was_kept_is_an_error_and_nothing_is_left(tmp_path: Path) -> None:
    download = Downloading(S3(data=b"x" * len(DATA)), tmp_path)
    with pytest.raises(Unavailable, match="has changed"):
        download()
    assert list(download.path.parent.iterdir()) == []


def test_what_aws_refuses_is_not_asked_for_again(tmp_path: Path) -> None:
    s3 = S3((0, ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")))
    with pytest.raises(ClientError):
        Downloading(s3, tmp_path)()
    assert s3.ranges == [None]


def test_a_full_disk_is_told_as_such_and_nothing_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    s3 = S3()
    download = Downloading(s3, tmp_path)
    monkeypatch.setattr(archived_files, "_append", full)
    with pytest.raises(NotWritable, match=r"cannot write .*audio\.mp3\.part: No space left on device"):
        download()
    assert s3.ranges == [None]


def names(*files: tuple[str, str], **titles: str | None) -> list[str]:
    """Return the names of files, each given by its clip and its name in S3."""
    kinds = {"cover": "cover", "large": "large_cover", "video": "video", "lyrics": "lyrics"}
    assets = [
        asset(
            f"results/suno/t/{clip}/{name}",
            clip_id=clip,
            type=next((kind for part, kind in kinds.items() if name.startswith(part)), "audio"),
        )
        for clip, name in files
    ]
    found = names_of(assets, dict(titles))
    return [found[str(each.key)] for each in assets]


def test_files_are_named_by_the_title_of_their_clip() -> None:
    kept = [("a", "audio.mp3"), ("a", "cover.jpeg"), ("a", "large_cover.jpeg"), ("a", "video.mp4")]
    assert names(*kept, ("b", "lyrics.txt"), a="City Lights", b="雨：夏") == [
        "City Lights.mp3",
        "City Lights.jpeg",
        "City Lights large cover.jpeg",
        "City Lights.mp4",
        "雨：夏.txt",
    ]


def test_clips_of_one_title_are_numbered_as_the_task_has_them() -> None:
    kept = [("a", "audio.mp3"), ("b", "audio.mp3"), ("b", "cover.jpeg")]
    assert names(*kept, a="City Lights", b="City lights") == [
        "City Lights (1).mp3",
        "City lights (2).mp3",
        "City lights (2).jpeg",
    ]
    # The first one's file may still come.
    assert names(*kept[1:], a="City Lights", b="City Lights")[0] == "City Lights (2).mp3"
    # A title that looks like the number of another one.
    assert len(set(names(*kept, ("c", "audio.mp3"), a="x", b="x", c="x (1)"))) == 4


def test_a_clip_without_a_title_is_named_by_its_id() -> None:
    assert names(("c1", "audio.mp3"), ("c2", "audio.mp3"), c1=None) == ["c1.mp3", "c2.mp3"]


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "_.._etc_passwd.mp3"),
        ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j.mp3"),
        ("con", "_con.mp3"),
        ("NUL.x", "_NUL.x.mp3"),
        ("console", "console.mp3"),
        (" .hidden. ", "hidden.mp3"),
        ("a\nb\x1b[31m\u202ec", "a b [31m c.mp3"),
        ("夏" * 100, f"{'夏' * 53}.mp3"),
        ("...", "a.mp3"),
        ("???", "a.mp3"),
        ("\udcff", "a.mp3"),
    ],
)
def test_a_title_is_a_name_on_any_file_system(title: str, name: str) -> None:
    assert names(("a", "audio.mp3"), a=title) == [name]


def test_what_lies_there_already_is_never_written_over(tmp_path: Path) -> None:
    kept = [
        asset("results/suno/t/a/audio.mp3", clip_id="a"),
        asset("results/suno/t/a/cover.jpeg", clip_id="a", type="cover"),
    ]
    (tmp_path / "City Lights.jpeg").write_bytes(b"of another task")
    found = places_of(kept, {"a": "City Lights"}, tmp_path)
    assert [each.name for each in found.values()] == ["City Lights (2).mp3", "City Lights (2).jpeg"]
    # What it wrote itself it finds again.
    for place in found.values():
        place.write_bytes(DATA)
    assert places_of(kept, {"a": "City Lights"}, tmp_path) == found


def test_outputs_are_named_by_their_titles_or_ids_and_end_as_what_they_are() -> None:
    outputs = [
        asset("results/p/t/a/image.png", clip_id="a", type="image"),
        asset("results/p/t/b/file.zip", clip_id="b", type="file"),
        asset("results/p/t/c/image.zip", clip_id="c", type="image"),
    ]
    assert names_of(outputs, {"a": "Cat", "b": None, "c": "Cat"}) == {
        "results/p/t/a/image.png": "Cat (1).png",
        "results/p/t/b/file.zip": "b.zip",
        "results/p/t/c/image.zip": "Cat (2).zip",
    }
