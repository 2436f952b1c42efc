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
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from boto3.dynamodb.conditions import Key

from tunehook.errors import InvalidInput
from tunehook.ids import digest
from tunehook.times import LATEST_MS, from_ms
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase

Entry = TypeVar("Entry")
Item = TypeVar("Item")

LIMIT_MAX: Final = 100
"""How many items a page has at most."""

LOOKED_AT: Final = 300
"""How many items of a list are looked at for one page: there may be few, or none, that are asked for."""

BATCH: Final = 100
"""How many items of a list are read at once where some may not be asked for."""

CLOCK_AHEAD_MS: Final = 600_000
"""How far the clock of who writes the items of a list may be ahead of that of who reads it."""

DAY_MS: Final = 24 * 3600 * 1000

_VERSION: Final = 1
_TIE_DIGITS: Final = 16
_CURSOR_MAX: Final = 200


def cursor_of(content: Sequence[Any]) -> str:
    """Return a text for a query that holds a JSON list."""
    written = json.dumps(content, separators=(",", ":"))
    return base64.urlsafe_b64encode(written.encode()).decode().rstrip("=")


def content_of_cursor(cursor: str, max_length: int) -> Any:
    """Return what a cursor holds, which whoever sends it may have made up; None if it is none or too long.

    >>> content_of_cursor(cursor_of([1, "tasks"]), 200)
    [1, 'tasks']
    """
    try:
        if len(cursor) > max_length:
            raise ValueError
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, RecursionError):
        return None


class Position(NamedTuple):
    """Where an item stands in a list: its moment, and a digest of its key."""

    at_ms: int
    tie: str

    def follows(self, other: Position) -> bool:
        """Return whether it comes after another in a list, which begins with the newest.

        >>> Position(5, "a").follows(Position(6, "b")), Position(5, "a").follows(Position(5, "b"))
        (True, False)
        """
        return (-self.at_ms, self.tie) > (-other.at_ms, other.tie)

    def cursor(self, kind: str) -> str:
        """Return the text by which the next page of a list of this kind is asked for.

        >>> Position.of_cursor("tasks", Position(5, "0" * 16).cursor("tasks")).at_ms
        5
        """
        return cursor_of([_VERSION, kind, self.at_ms, self.tie])

    @classmethod
    def of_cursor(cls, kind: str, cursor: str) -> Position:
        """Return the position that a cursor of this kind of list holds; raise `InvalidInput` if it is none."""
        match content_of_cursor(cursor, _CURSOR_MAX):
            case [int(version), str(of_kind), int(at_ms), str(tie)] if (
                (version, of_kind) == (_VERSION, kind)
                and is_whole(at_ms, 0, LATEST_MS)
                and len(tie) == _TIE_DIGITS
                and set(tie) <= set("0123456789abcdef")
            ):
                return cls(at_ms, tie)
        raise InvalidInput("cursor", "is none of this list: give `next_cursor` of the page before")


class Period(NamedTuple):
    """A stretch of time whose items lie in partitions of their own; it ends before `ends_ms`."""

    begins_ms: int
    ends_ms: int

    @classmethod
    def of(cls, moment_ms: int, length_ms: int) -> Period:
        """Return the one of this length that a moment is in; they are counted from 1970 on.

        >>> Period.of(10_500, 1_000)
        Period(begins_ms=10000, ends_ms=11000)
        """
        begins_ms = moment_ms // length_ms * length_ms
        return cls(begins_ms, begins_ms + length_ms)

    @property
    def day(self) -> str:
        """The day, in UTC, on which it begins: ``2026-11-29``."""
        return from_ms(self.begins_ms).date().isoformat()

    def up_to(self, after: Position | None, moment: str) -> ConditionBase | None:
        """Return the key condition for what stands at a position or after it; None where that is all.

        The embedded AWS evaluates a condition for each item of a partition: none is given where none is needed.
        """
        if after is None or after.at_ms >= self.ends_ms - 1:
            return None
        return Key(moment).lte(after.at_ms)


ALWAYS: Final = Period(0, LATEST_MS + 1)
"""The period of what does not lie apart by time."""


def periods(
    length_ms: int, now_ms: int, kept_ms: int, since_ms: int, after: Position | None
) -> Iterator[Period]:
    """Yield the periods, the newest first, that a list has items in: kept for `kept_ms`, and wanted since `since_ms`.

    It goes on after a position; without one, it begins with what clocks ahead of `now_ms` may have written.
    """
    latest_ms = now_ms + CLOCK_AHEAD_MS
    if after is not None:
        latest_ms = min(latest_ms, after.at_ms)
    earliest_ms = max(since_ms, now_ms - kept_ms, 0)
    period = Period.of(latest_ms, length_ms)
    while latest_ms >= earliest_ms and period.ends_ms > earliest_ms:
        yield period
        period = Period.of(period.begins_ms - 1, length_ms)


def in_order(
    parts: Sequence[Iterable[Mapping[str, Any]]],
    moment: str,
    key: Sequence[str],
    after: Position | None = None,
    within: Period = ALWAYS,
) -> Iterator[tuple[Position, Mapping[str, Any]]]:
    """Merge parts of a list, each sorted newest first, and yield what comes after a position, with where it stands.

    `moment` and `key` name the attributes of an item that it is sorted by and that no other has. Items whose moment is
    none, or lies in another period, as users may have put them, are left out.
    """
    begins_ms, ends_ms = within

    def at_ms(item: Mapping[str, Any]) -> int:
        return -int(item[moment])

    sound = [(each for each in part if is_whole(each[moment], begins_ms, ends_ms - 1)) for part in parts]
    for negative_ms, same in groupby(heapq.merge(*sound, key=at_ms), key=at_ms):
        positioned = [(Position(-negative_ms, _tie(item, key)), item) for item in same]
        positioned.sort(key=lambda each: each[0].tie)
        for position, item in positioned:
            if after is None or position.follows(after):
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
