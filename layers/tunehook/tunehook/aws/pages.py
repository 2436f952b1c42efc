"""Lists by pages: where one ends, the next goes on, whatever was added or has gone meanwhile.

An index sorts by a moment, and leaves open how items of the same moment follow each other. So those are read together
and sorted by a digest of their keys. Thus the position of an item in a list is a moment and a digest, and counts on
when the item is gone.
"""

from __future__ import annotations

import base64
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from typing import Any, Final, NamedTuple, TypeVar

from tunehook.errors import InvalidInput
from tunehook.ids import digest
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

Entry = TypeVar("Entry")
Item = TypeVar("Item")

LIMIT_MAX: Final = 100
"""How many items a page has at most."""

LOOKED_AT: Final = 300
"""How many items of a list are looked at for one page: there may be few, or none, that are asked for."""

BATCH: Final = 100
"""How many items of a list are read at once where some may not be asked for."""

_VERSION: Final = 1
_TIE_DIGITS: Final = 16
_CURSOR_MAX: Final = 200


class Position(NamedTuple):
    """Where an item stands in a list: its moment, and a digest of its key."""

    at_ms: int
    tie: str

    def cursor(self, kind: str) -> str:
        """Return the text by which the next page of a list of this kind is asked for.

        >>> Position.of_cursor("tasks", Position(5, "0" * 16).cursor("tasks")).at_ms
        5
        """
        content = json.dumps([_VERSION, kind, self.at_ms, self.tie], separators=(",", ":"))
        return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")

    @classmethod
    def of_cursor(cls, kind: str, cursor: str) -> Position:
        """Return the position that a cursor of this kind of list holds; raise `InvalidInput` if it is none."""
        try:
            if len(cursor) > _CURSOR_MAX:
                raise ValueError
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            content: Any = json.loads(base64.b64decode(padded, b"-_", validate=True))
        except (ValueError, RecursionError):
            content = None
        match content:
            case [int(), str(), int(at_ms), str(tie)] if (
                content[:2] == [_VERSION, kind]
                and is_whole(at_ms, 0, LATEST_MS)
                and len(tie) == _TIE_DIGITS
                and set(tie) <= set("0123456789abcdef")
            ):
                return cls(at_ms, tie)
        raise InvalidInput("cursor", "is none of this list: give `next_cursor` of the page before")


def in_order(
    parts: Sequence[Iterable[Mapping[str, Any]]],
    moment: str,
    key: Sequence[str],
    after: Position | None = None,
) -> Iterator[tuple[Position, Mapping[str, Any]]]:
    """Merge parts of a list, each sorted newest first, and yield what comes after a position, with where it stands.

    `moment` and `key` name the attributes of an item that it is sorted by and that no other has. Items whose moment is
    none, as users may have put them, are left out.
    """

    def at_ms(item: Mapping[str, Any]) -> int:
        return -int(item[moment])

    sound = [(each for each in part if is_whole(each[moment], 0, LATEST_MS)) for part in parts]
    for negative_ms, same in groupby(heapq.merge(*sound, key=at_ms), key=at_ms):
        positioned = [(Position(-negative_ms, _tie(item, key)), item) for item in same]
        positioned.sort(key=lambda each: each[0].tie)
        for position, item in positioned:
            if after is None or (-position.at_ms, position.tie) > (-after.at_ms, after.tie):
                yield position, item


def page_of(
    entries: Iterator[tuple[Position, Entry]],
    read: Callable[[list[Entry]], Mapping[Entry, Item]],
    limit: int,
    *,
    filtered: bool,
    look_at: int = LOOKED_AT,
) -> tuple[list[Item], Position | None]:
    """Return the items of a page, at most `limit`, and the position that the next page follows; None after the last.

    `read` returns the items of entries, without those that are gone or not asked for; where it may leave out any, as
    `filtered` says, more are read at once. After `look_at` entries the page ends, however short it is. Raises
    `InvalidInput` if the limit is not 1 to `LIMIT_MAX`.
    """
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput("limit", f"must be 1 to {LIMIT_MAX}")
    found: list[Item] = []
    looked_at = 0
    last: Position | None = None
    while len(found) < limit and looked_at < look_at:
        batch = list(islice(entries, BATCH if filtered else limit - len(found)))
        if not batch:
            return found, None
        looked_at += len(batch)
        items = read([entry for _, entry in batch])
        for number, (position, entry) in enumerate(batch, 1):
            last = position
            if entry in items:
                found.append(items[entry])
            if len(found) == limit and number < len(batch):
                return found, last
    return found, last if next(entries, None) is not None else None


def _tie(item: Mapping[str, Any], key: Sequence[str]) -> str:
    return digest(*(str(item[name]) for name in key))[:_TIE_DIGITS]
