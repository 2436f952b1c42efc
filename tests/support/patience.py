"""How long tests wait for what happens in real time: no machine is so slow, only what hangs takes so long."""

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

HANG_S: Final = 60.0

LOOKS: Final = 10
"""How often, in the time after which a wait is given up, it is looked whether anything has moved."""

Found = TypeVar("Found")


class NotCome(AssertionError):
    """What was waited for has not come."""


class Moves:
    """What has been done so far, as counts: one of them that is greater than ever is a move.

    Falling and rising again is none, so that what goes round in circles is told from what goes on. What is still to be
    done is counted below zero.
    """

    def __init__(self) -> None:
        self.most: tuple[float, ...] = ()

    def take(self, counts: Sequence[float]) -> bool:
        """Take counts in, always the same ones; return whether anything has moved, as it has with the first."""
        if not self.most:
            self.most = tuple(counts)
            return True
        has_moved = any(count > ever for count, ever in zip(counts, self.most, strict=True))
        self.most = tuple(map(max, counts, self.most))
        return has_moved


def until(
    look: Callable[[], Found],
    what: str = "what is waited for",
    *,
    moved: Callable[[], Sequence[float]] | None = None,
    hang_s: float = HANG_S,
    every_s: float = 0.01,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Found:
    """Look again and again until there is something to be seen, and return it.

    What is one event comes or hangs. A whole (all messages handled, all deliveries made) takes as long as the machine
    needs: it is given up only when nothing has moved for `hang_s`.

    Parameters
    ----------
    look : callable
        Returns what is waited for, or something falsy.
    what : str
        What that is, for the error.
    moved : callable, optional
        Counts what has been done so far, for `Moves`.
    hang_s : float
        After how many seconds without a move the wait is given up; without `moved`, after how many in all.
    every_s : float
        Seconds between two looks.
    clock, pause : callable
        The time in seconds, and what lets it pass.

    Raises
    ------
    NotCome
        If nothing has moved for `hang_s`.
    """
    give_up_at = clock() + hang_s
    count_at = clock() + hang_s / LOOKS
    moves = Moves()
    while not (found := look()):
        if moved is not None and clock() >= count_at:
            if moves.take(moved()):
                give_up_at = clock() + hang_s
            count_at = clock() + hang_s / LOOKS
        if clock() >= give_up_at:
            most = f", at most {moves.most}" if moves.most else ""
            still = f"nothing has moved for {hang_s:g} s{most}" if moved else f"not within {hang_s:g} s"
            raise NotCome(f"{what}: {still}; the last look gave {found!r:.500}")
        pause(every_s)
    return found
