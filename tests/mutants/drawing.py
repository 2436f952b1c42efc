"""Draws changes evenly over modules, and over the kinds of changes in each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tests.mutants.changes import Change


def draw(found: Mapping[str, Sequence[Change]], count: int, seed: int) -> list[tuple[str, Change]]:
    """Return `count` changes, or all if there are fewer, each with its module.

    Every module gives one in turn, of a kind that is drawn first, until it has no more; no place is changed in the same
    way twice. The same seed, count and sources draw the same changes.
    """
    dice = random.Random(seed)
    left: dict[str, dict[str, list[Change]]] = {}
    for module in sorted(found):
        for change in found[module]:
            left.setdefault(module, {}).setdefault(change.kind, []).append(change)
    drawn: list[tuple[str, Change]] = []
    while left and len(drawn) < count:
        for module in dice.sample(sorted(left), min(len(left), count - len(drawn))):
            kinds = left[module]
            kind = dice.choice(sorted(kinds))
            change = dice.choice(kinds[kind])
            drawn.append((module, change))
            kinds[kind] = [other for other in kinds[kind] if other.start != change.start]
            if not kinds[kind]:
                del kinds[kind]
            if not kinds:
                del left[module]
    return drawn
