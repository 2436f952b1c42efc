"""The seed of a run: settable, and to be printed by whoever draws from it."""

from __future__ import annotations

import os
from random import Random
from typing import Final

SEED_VARIABLE: Final = "TUNEHOOK_FUZZ_SEED"
"""Names another seed than the usual one: a whole number."""

USUAL_SEED: Final = 20261120


def seed() -> int:
    """Return the seed of this run."""
    return int(os.environ.get(SEED_VARIABLE, USUAL_SEED))


def words() -> str:
    """Return what to print, so that a run can be done again."""
    return f"{SEED_VARIABLE}={seed()}"


def generator(purpose: str) -> Random:
    """Return random numbers for a purpose: the same for the same seed, whatever is drawn for others."""
    return Random(f"{seed()}/{purpose}")
