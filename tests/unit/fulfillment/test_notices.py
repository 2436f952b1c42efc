"""Who was told while files were waited for, though others write the same note."""

from typing import Any

import pytest

from fulfillment.notices import Notice, Notices
from fulfillment.results import PreconditionFailed
from tunehook.errors import Unavailable


class Bucket:
    """Holds one object; others come before so many writes."""

    def __init__(self, body: bytes | None = None, clashes: int = 0) -> None:
        self.body, self.clashes = body, clashes
        self.written: list[tuple[str, str | None, Any]] = []

    async def read(self, key: str) -> tuple[bytes, str] | None:
        return None if self.body is None else (self.body, f"etag {len(self.written)}")

    async def put(self, key: str, body: bytes, etag: str | None, **headers: Any) -> None:
        self.written.append((key, etag, headers))
        if len(self.written) <= self.clashes:
            self.body = b'{"receivers": ["other"]}'
            raise PreconditionFailed("others")
        self.body = body


def notices(bucket: Any) -> Notices:
    return Notices(bucket)


@pytest.mark.parametrize(
    ("receivers", "sent", "is_done"),
    [("", "", False), ("a", "", False), ("a", "a", True), ("ab", "a", False), ("a", "ab", True)],
)
def test_all_are_told_once_all_messages_are_on_the_queue(receivers: str, sent: str, is_done: bool) -> None:
    assert Notice(receivers=frozenset(receivers), sent=frozenset(sent)).is_done is is_done


async def test_what_is_added_is_kept_beside_what_others_have_added() -> None:
    bucket = Bucket(clashes=4)
    notice = await notices(bucket).add("evt_1", receivers=["a"], sent=["a"])
    assert notice == Notice(receivers=frozenset({"a", "other"}), sent=frozenset({"a"}))
    assert await notices(bucket).read("evt_1") == notice
    assert [etag for _, etag, _ in bucket.written] == [None, "etag 1", "etag 2", "etag 3", "etag 4"]
    assert bucket.written[0][0] == "notices/evt_1.json"
    assert bucket.written[0][2] == {"ContentType": "application/json"}


async def test_after_five_writes_that_others_came_before_it_is_given_up() -> None:
    bucket = Bucket(clashes=5)
    with pytest.raises(Unavailable, match="by others each time"):
        await notices(bucket).add("evt_1", receivers=["a"])
    assert len(bucket.written) == 5


async def test_what_is_noted_already_is_not_written_and_what_is_none_is_replaced() -> None:
    known = Bucket(b'{"receivers": ["a"], "sent": []}')
    assert await notices(known).add("evt_1", receivers=["a"]) == Notice(receivers=frozenset("a"))
    assert known.written == []
    spoilt = Bucket(b"<html>")
    assert await notices(spoilt).read("evt_1") == Notice()
    assert await notices(spoilt).add("evt_1", sent=["b"]) == Notice(sent=frozenset("b"))
    assert [etag for _, etag, _ in spoilt.written] == ["etag 0"]
