"""Chance that is the same for the same seed, whatever Python draws it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Draws from a seed. Of the standard library's generator only `random()` promises the same numbers for ever."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def number(self, low: float, high: float) -> float:
        """Return a number from `low` to `high`, to the millisecond where it is a time."""
        return round(low + (high - low) * self._random(), 3)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, share: float) -> bool:
        """Return True in this share of the cases."""
        return self._random() < share

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of several."""
        return choices[self.whole(0, len(choices) - 1)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return all of them in another order."""
        rest = list(items)
        return [rest.pop(self.whole(0, len(rest) - 1)) for _ in items]

    def deck(self, words: Sequence[T]) -> Iterator[T]:
        """Yield words for ever; none comes again before every other one has come."""
        while True:
            yield from self.shuffled(words)
