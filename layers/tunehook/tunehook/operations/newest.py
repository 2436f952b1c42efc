"""The newest entries of a list, kept from call to call: what cannot change any more is read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Any, Final, Generic, TypeVar

from tunehook.aws.deliveries import ListedDelivery, LoggedDelivery
from tunehook.aws.pages import CLOCK_AHEAD_MS, LIMIT_MAX, Position
from tunehook.deliveries import DeliveryStatus
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import has_settled
from tunehook.tasks import TaskKey
from tunehook.times import now_ms

NEW_AT_ONCE: Final = 10
"""How many entries of an index a look for new ones reads at once: mostly there are none."""

LAG_MS: Final = 5_000
"""How much later than its moment an entry may appear in an index, or be written by another clock."""

OPEN_AT_MOST: Final = 100
"""So many of the entries that can still change, the newest of them, are read again each time."""

K = TypeVar("K")
V = TypeVar("V")

Listed = Callable[[int, Position | None, int], Iterator[tuple[Position, K]]]
"""Takes since when, after which position, and how many are wanted; yields entries, the newest first."""


class Newest(Generic[K, V]):
    """The `most` newest entries of a list, each with what was read of it. It may be used by several threads.

    `listed` yields their keys, `read` what is there of some keys (strongly consistent, if the second argument says so),
    and `is_final` says of one that it does not change any more. The list ends at the position `ends_at`, if it has one.
    A refresh reads the keys that are newer than the newest one known, the entries that can still change, or as long as
    it is told to so many older ones.
    """

    def __init__(
        self,
        listed: Listed[K],
        read: Callable[[list[K], bool], Mapping[K, V]],
        is_final: Callable[[V], bool],
        *,
        most: int,
        ends_at: Position | None = None,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._listed = listed
        self._read = read
        self._is_final = is_final
        self._most = most
        self._ends_at = ends_at
        self._clock_ms = clock_ms
        self._places: dict[K, Position] = {}
        self._found: dict[K, V] = {}
        self._unread: dict[K, None] = {}
        self._oldest: Position | None = None
        self._walk: Iterator[tuple[Position, K]] | None = None
        self._looked_at = 0
        self._looked_ms: int | None = None
        self._lock = threading.Lock()
        self._has_all = False
        self.is_whole = False
        """Whether the `most` newest, or all that there are, are known."""
        self.is_cut = False
        """Whether there are more than the `most` newest, which are not known, or not any more."""

    def refresh(self, older: int) -> list[V]:
        """Read what is new, what can still change, and `older` more; return what is known, the newest first."""
        with self._lock:
            # What a refresh before could not read, for a fault of AWS, is read by this one.
            if self.is_whole or older == 0:
                self._unread |= self._new_keys()
            self._unread |= dict.fromkeys(self._older_keys(older))
            fresh = dict(self._unread)
            open_keys = (
                key
                for key in self._in_order()
                if key not in fresh and key in self._found and not self._is_final(self._found[key])
            )
            again = list(islice(open_keys, OPEN_AT_MOST))
            self._read_all(list(fresh), consistent=True)
            self._unread.clear()
            # What this misses, the next refresh sees.
            self._read_all(again, consistent=False)
            ordered = self._in_order()
            if len(ordered) > self._most:
                self._cut(ordered[self._most - 1], ordered[self._most :])
            return [self._found[key] for key in ordered[: self._most] if key in self._found]

    def _cut(self, last: K, older: list[K]) -> None:
        """Forget the entries after the last that is kept; they are not looked for again."""
        self.is_cut, self._has_all, self._oldest = True, False, self._places[last]
        for key in older:
            del self._places[key]
            self._found.pop(key, None)

    def _read_all(self, keys: list[K], *, consistent: bool) -> None:
        for start in range(0, len(keys), LIMIT_MAX):
            batch = keys[start : start + LIMIT_MAX]
            found = self._read(batch, consistent)
            for key in batch:
                self._found.pop(key, None)
            self._found |= found

    def _entries(self, since_ms: int, after: Position | None, wanted: int) -> Iterator[tuple[Position, K]]:
        found = self._listed(since_ms, after, wanted)
        ends_at = self._ends_at
        return found if ends_at is None else takewhile(lambda each: not each[0].follows(ends_at), found)

    def _new_keys(self) -> dict[K, None]:
        newest_ms = max((each.at_ms for each in self._places.values()), default=None)
        if newest_ms is None and not self.is_whole:
            return {}
        began_ms = self._clock_ms()
        # One that has come since the last look, by any clock: a list that has long been quiet is not walked through.
        since_ms = max((self._looked_ms or 0) - CLOCK_AHEAD_MS, newest_ms or 0, LAG_MS) - LAG_MS
        new: dict[K, None] = {}
        for position, key in islice(self._entries(since_ms, None, NEW_AT_ONCE), self._most):
            if self._is_older(position):
                continue
            if self._places.get(key) != position:
                self._places[key] = position
                new[key] = None
        self._looked_ms = began_ms
        return new

    def _is_older(self, position: Position) -> bool:
        """Return whether an entry is beyond the last one that was asked for, however near its moment is."""
        return not self._has_all and self._oldest is not None and position.follows(self._oldest)

    def _older_keys(self, count: int) -> list[K]:
        left = min(count, self._most - self._looked_at)
        if self.is_whole or left <= 0:
            return []
        if self._walk is None:
            self._looked_ms = self._looked_ms or self._clock_ms()
            self._walk = self._entries(0, self._oldest, self._most - self._looked_at)
        try:
            batch = list(islice(self._walk, left))
            is_last = self._looked_at + len(batch) >= self._most
            more = next(self._walk, None) if is_last else None
        except BaseException:
            # A generator that has raised yields nothing more; another goes on from the last position.
            self._walk = None
            raise
        self._looked_at += len(batch)
        self._has_all = len(batch) < left
        self.is_whole = self._has_all or is_last
        self.is_cut = self.is_cut or more is not None
        if self.is_whole:
            self._walk = None
        fresh = []
        for position, key in batch:
            self._oldest = position
            if key not in self._places:
                self._places[key] = position
                fresh.append(key)
        return fresh

    def _in_order(self) -> list[K]:
        return sorted(self._places, key=lambda key: (-self._places[key].at_ms, self._places[key].tie))


def newest_tasks(
    stack: Stack,
    attributes: tuple[str, ...],
    *,
    most: int,
    ends_at: Position | None = None,
    clock_ms: Callable[[], int] = now_ms,
) -> Newest[TaskKey, TaskView]:
    """Return the newest tasks of a stack, down to the position `ends_at`, with these attributes of each.

    >>> newest_tasks(stack, ("task_id", "provider", "status"), most=100).refresh(30)
    []
    """

    def listed(since_ms: int, after: Position | None, wanted: int) -> Iterator[tuple[Position, TaskKey]]:
        if stack.has_lists:
            return stack.tasks.listed(clock_ms(), since_ms=since_ms, after=after, at_once=wanted)
        return stack.tasks.listed_by_scan(since_ms, after)

    def read(keys: list[TaskKey], consistent: bool) -> dict[TaskKey, TaskView]:
        items = stack.tasks.get_many(keys, attributes, consistent=consistent)
        return {key: TaskView.of(item) for key, item in items.items()}

    return Newest(listed, read, has_settled, most=most, ends_at=ends_at, clock_ms=clock_ms)


def newest_deliveries(
    stack: Stack, *, most: int, clock_ms: Callable[[], int] = now_ms
) -> Newest[ListedDelivery, LoggedDelivery]:
    """Return the newest deliveries of a stack, of the last 30 days.

    >>> newest_deliveries(stack, most=100).refresh(30)
    []
    """

    def listed(since_ms: int, after: Position | None, wanted: int) -> Iterator[tuple[Position, Any]]:
        found = (
            stack.deliveries.listed(clock_ms(), since_ms=since_ms, after=after, at_once=wanted)
            if stack.has_lists
            else stack.deliveries.listed_by_scan(since_ms, after)
        )
        # The status of an index lags behind, and is no part of which one it is.
        return ((position, ListedDelivery(each.delivery_id, None)) for position, each in found)

    def read(keys: list[ListedDelivery], _: bool) -> dict[ListedDelivery, LoggedDelivery]:
        found = stack.deliveries.get_logged([key.delivery_id for key in keys])
        return {ListedDelivery(each.delivery_id, None): each for each in found}

    def is_final(delivery: LoggedDelivery) -> bool:
        return delivery.status is not DeliveryStatus.PENDING

    return Newest(listed, read, is_final, most=most, clock_ms=clock_ms)
