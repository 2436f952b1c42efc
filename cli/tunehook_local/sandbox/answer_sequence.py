"""The answers of a rule, given in order to one subject: one task, one URL, one receiver."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from tunehook_local.sandbox.scripted_answers import ScriptedAnswer

A = TypeVar("A", bound=ScriptedAnswer)


def stable_fraction(*names: str) -> float:
    """Return a number between 0 and 1 that is the same for the same names: where a subject stands in a range."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@dataclass(slots=True)
class AnswerSequence(Generic[A]):
    """The answers of a rule, given in order to one subject.

    The seconds of ``until_s`` count from `started_at`; `fraction` (0 to 1) is where a subject stands in a range.
    """

    answers: Sequence[A]
    started_at: datetime
    fraction: float
    _given: Counter[int] = field(init=False, default_factory=Counter)

    def peek(self, now: datetime) -> A | None:
        """Return the answer that holds at `now`, or None when all of them have had their time."""
        index = self._index(now)
        return None if index is None else self.answers[index]

    def take(self, now: datetime) -> A | None:
        """Return the answer that holds at `now`, and count it as given."""
        index = self._index(now)
        if index is None:
            return None
        self._given[index] += 1
        return self.answers[index]

    def begins_at(self, wanted: Callable[[A], bool]) -> datetime | None:
        """Return when the first `wanted` answer begins to hold; None if none does, or that depends on the polls."""
        begins_at = self.started_at
        for answer in self.answers:
            if wanted(answer):
                return begins_at
            ends_at = self._ends_at(answer)
            if ends_at is None or answer.times is not None:
                return None
            begins_at = ends_at
        return None

    def _index(self, now: datetime) -> int | None:
        for index, answer in enumerate(self.answers):
            ends_at = self._ends_at(answer)
            used_up = answer.times is not None and self._given[index] >= answer.times
            if not used_up and (ends_at is None or now < ends_at):
                return index
        return None

    def _ends_at(self, answer: A) -> datetime | None:
        if answer.until_s is None:
            return None
        low, high = answer.until_s
        return self.started_at + timedelta(seconds=low + self.fraction * (high - low))
