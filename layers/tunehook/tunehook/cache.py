"""A cache of values that expire by the wall clock; an old value is used while a refresh fails.

Not `cachetools`, which lacks most of it: one read of a key at a time without a lock around it, stale values on failure,
and ages that survive a clock which jumps back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

RETRY_S: Final = 5.0
"""How long an old value is used after a refresh has failed."""


class _Known(NamedTuple, Generic[Value]):
    value: Value
    fresh_from_s: float
    fresh_until_s: float


@dataclass(slots=True)
class _Entry(Generic[Value]):
    known: _Known[Value] | None = None
    reading: Future[Value] | None = None


class Cache(Generic[Key, Value]):
    """A thread-safe cache of limited age; beyond `max_size` it forgets what was used least recently.

    `read` may block: callers that want the key meanwhile share the read and its result. A value is read again after
    `max_age_s`. If that fails, the old value is used for `RETRY_S` more and `on_fault` takes the error, which is raised
    where there is no old value. `clock` gives seconds of the wall clock, which goes on while Lambda halts the process.
    """

    def __init__(
        self,
        read: Callable[[Key], Value],
        *,
        max_age_s: float,
        on_fault: Callable[[Exception], None],
        max_size: int = 1,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._read = read
        self._max_age_s = max_age_s
        self._on_fault = on_fault
        self._max_size = max_size
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()

    def get(self, key: Key) -> Value:
        """Return the value of a key, read now if it is not fresh; raise what `read` raises if there is no old one."""
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_size:
                self._entries.popitem(last=False)
            if entry.known is not None and self._is_fresh(entry.known):
                return entry.known.value
            is_first = entry.reading is None
            reading = entry.reading = entry.reading or Future()
        if is_first:
            self._read_into(entry, key, reading)
        return reading.result()

    def peek(self, key: Key) -> tuple[bool, Value | None]:
        """Return whether the value of a key is fresh, and if so, the value; never blocks."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.known is None or not self._is_fresh(entry.known):
                return False, None
            return True, entry.known.value

    def forget(self, key: Key) -> None:
        """Forget a value that was changed; one that is being read is not kept."""
        with self._lock:
            self._entries.pop(key, None)

    def _is_fresh(self, known: _Known[Value]) -> bool:
        return known.fresh_from_s <= self._clock() < known.fresh_until_s

    def _read_into(self, entry: _Entry[Value], key: Key, reading: Future[Value]) -> None:
        known: _Known[Value] | None = None
        fault: BaseException | None = None
        began_s = self._clock()
        try:
            known = _Known(self._read(key), began_s, began_s + self._max_age_s)
        except BaseException as error:  # noqa: BLE001 - reported, or raised by the result
            fault = error
            if isinstance(error, Exception) and entry.known is not None:
                failed_s = self._clock()
                known = _Known(entry.known.value, failed_s, failed_s + RETRY_S)
        with self._lock:
            entry.reading = None
            if known is not None:
                entry.known = known
        if known is None:
            reading.set_exception(fault)
            return
        reading.set_result(known.value)
        if isinstance(fault, Exception):
            self._on_fault(fault)
