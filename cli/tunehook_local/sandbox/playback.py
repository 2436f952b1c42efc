"""A sequence of answers as one subject lives through it."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from tunehook_local.sandbox.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

A = TypeVar("A", bound=Answer)


def spread_of(*names: str) -> float:
    """Return where between 0 and 1 a subject stands in a range of seconds; the same for the same names."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class Playback(Generic[A]):
    """The answers of a rule, played to one subject: one task, one URL, one receiver.

    Parameters
    ----------
    answers : sequence of Answer
        In the order of the scenario.
    started_at : datetime
        From when the seconds of ``until_s`` count.
    spread : float
        Where between 0 and 1 the subject stands in a range of seconds.
    """

    def __init__(self, answers: Sequence[A], started_at: datetime, spread: float) -> None:
        self._answers = tuple(answers)
        self._started_at = started_at
        self._spread = spread
        self._given = [0] * len(self._answers)

    def current(self, now: datetime) -> A | None:
        """Return the answer that holds at `now`, or None when all of them have had their time."""
        index = self._index(now)
        return None if index is None else self._answers[index]

    def play(self, now: datetime) -> A | None:
        """Return the answer that holds at `now`, and count it as given."""
        index = self._index(now)
        if index is None:
            return None
        self._given[index] += 1
        return self._answers[index]

    def begins_at(self, wanted: Callable[[A], bool]) -> datetime | None:
        """Return when the first `wanted` answer begins to hold.

        Returns
        -------
        datetime or None
            None if there is none, or if its beginning hangs on how often the subject is asked.
        """
        begins_at = self._started_at
        for answer in self._answers:
            if wanted(answer):
                return begins_at
            ends_at = self._ends_at(answer)
            if ends_at is None or answer.times is not None:
                return None
            begins_at = ends_at
        return None

    def _index(self, now: datetime) -> int | None:
        for index, answer in enumerate(self._answers):
            ends_at = self._ends_at(answer)
            used_up = answer.times is not None and self._given[index] >= answer.times
            if not used_up and (ends_at is None or now < ends_at):
                return index
        return None

    def _ends_at(self, answer: A) -> datetime | None:
        if answer.until_s is None:
            return None
        low, high = answer.until_s
        return self._started_at + timedelta(seconds=low + self._spread * (high - low))
