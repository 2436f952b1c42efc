"""Values that are read from elsewhere and kept for a while, by the wall clock.

Of our own, and not `cachetools`, since most of it is what that has not: one read at a time of each key without a lock
over it, an old value where a read fails, and ages that survive a clock which jumps back.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

RETRY_S: Final = 5.0
"""How soon a value is read again that could not be read anew."""


@dataclass(slots=True)
class _Entry(Generic[Value]):
    value: Value | None = None
    is_known: bool = False
    fresh_from_s: float = 0.0
    fresh_until_s: float = 0.0
    reading: Future[Value] | None = None


class Cache(Generic[Key, Value]):
    """A cache for threads, with an age and a size that are limited.

    Parameters
    ----------
    read : callable
        Reads the value of a key; may block. Whoever asks for the key meanwhile waits for the same read, whatever comes
        of it; nobody else does.
    max_age_s : float
        After how many seconds a value is read again. If that fails, the old value is good for 5 s more, and so on.
    on_fault : callable
        Is told why a value could not be read anew. What could never be read is raised.
    max_size : int
        How many values are remembered: those that were asked for last.
    clock : callable, optional
        Seconds of the wall clock, which goes on while Lambda halts the process.
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
        """Return the value of a key, read now if it is not fresh.

        Raises
        ------
        Exception
            What `read` raises, if there is no older value.
        """
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
            if len(self._entries) > self._max_size:
                self._entries.popitem(last=False)
            if self._is_fresh(entry):
                return cast("Value", entry.value)
            reading = entry.reading
            if reading is not None:
                is_first = False
            else:
                is_first, reading = True, Future()
                entry.reading = reading
        if is_first:
            self._read_into(entry, key, reading)
        return reading.result()

    def peek(self, key: Key) -> tuple[bool, Value | None]:
        """Return whether the value of a key is fresh, and if so, the value; never blocks."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or not self._is_fresh(entry):
                return False, None
            return True, entry.value

    def forget(self, key: Key) -> None:
        """Forget a value that was changed; one that is being read is not remembered."""
        with self._lock:
            self._entries.pop(key, None)

    def _is_fresh(self, entry: _Entry[Value]) -> bool:
        return entry.is_known and entry.fresh_from_s <= self._clock() < entry.fresh_until_s

    def _read_into(self, entry: _Entry[Value], key: Key, reading: Future[Value]) -> None:
        began_s = self._clock()
        fault: BaseException | None = None
        try:
            value, kept_s = self._read(key), self._max_age_s
        except Exception as error:  # noqa: BLE001 - told, or raised to whoever asked
            fault, value, kept_s = error, cast("Value", entry.value), RETRY_S
            began_s = self._clock()
        except BaseException as error:
            with self._lock:
                entry.reading = None
            reading.set_exception(error)
            raise
        with self._lock:
            entry.reading = None
            if fault is None or entry.is_known:
                entry.value, entry.is_known = value, True
                entry.fresh_from_s, entry.fresh_until_s = began_s, began_s + kept_s
        if fault is not None and not entry.is_known:
            reading.set_exception(fault)
            return
        reading.set_result(value)
        if isinstance(fault, Exception):
            self._on_fault(fault)
