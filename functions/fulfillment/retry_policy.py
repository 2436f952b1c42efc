"""How long a task's files are waited for, and when its message comes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tunehook.errors import TunehookError
from tunehook.events import TaskEnded
from tunehook.times import to_ms

PATIENCE_S: Final = 600.0
"""How long files that may come are asked for, from the first pass over the task on, the telling of it included."""

TELLING_S: Final = 5.0
"""How much of that is for telling."""

LAST_PASS_S: Final = 30.0
"""How long before the end of that the last pass begins."""

_FIRST_PASS_MS: Final = 5_000
"""What the first pass has to settle all files, where it comes when the recipients were to be told already."""

_SHORTEST_S: Final = 10.0
_LONGEST_S: Final = 60.0


class RetryLater(TunehookError):
    """The message is to come again in `after_s` seconds: files are missing that may come."""

    def __init__(self, missing: int, after_s: int) -> None:
        super().__init__(f"{missing} files may come; the next look is in {after_s} s")
        self.after_s = after_s


def due_at_ms(event: TaskEnded, since_ms: int, patience_ms: int) -> int:
    """Return when the recipients of a task are told whatever is missing, in milliseconds since 1970.

    That is `patience_ms` after the end was detected. After a backlog most files are there within seconds of `since_ms`,
    when they were asked for first: so much is left for it.
    """
    return max(to_ms(event.detected_at) + patience_ms, since_ms + min(patience_ms, _FIRST_PASS_MS))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a task's files may take.

    Parameters
    ----------
    since_ms : int
        When they were asked for first.
    due_ms : int
        When the recipients are told whatever is missing.
    within_s : float
        How long this pass may take.
    clock : callable
        The present moment in milliseconds since 1970.
    """

    since_ms: int
    due_ms: int
    within_s: float
    clock: Callable[[], int]

    def pass_s(self) -> float:
        """Return how long this pass may wait for files, in seconds.

        One that comes late (the function was throttled, S3 out of order) has all the time that the function has: it is
        the only one that is left.
        """
        left_s = PATIENCE_S - TELLING_S - self._elapsed_s()
        return min(self.within_s, left_s if left_s >= LAST_PASS_S / 2 else PATIENCE_S)

    def again_after_s(self, retry_after_s: float = 0.0) -> int | None:
        """Return in how many seconds the next pass begins: sooner for what is fresh; None if no patience is left.

        Hosts are left alone for `retry_after_s`, but not longer than until the recipients are due.
        """
        elapsed_s, due_s = self._elapsed_s(), self.due_s()
        last_s = PATIENCE_S - LAST_PASS_S - elapsed_s
        if last_s < 1:
            return None
        usual_s = min(max(elapsed_s / 2, _SHORTEST_S), _LONGEST_S)
        after_s = int(min(max(usual_s, retry_after_s), last_s))
        return min(after_s, max(int(due_s), 1)) if due_s else after_s

    def due_s(self) -> float:
        """Return in how many seconds the recipients are told, whatever is missing then; 0 if that is over."""
        return max(self.due_ms - self.clock(), 0) / 1000

    def _elapsed_s(self) -> float:
        return max(self.clock() - self.since_ms, 0) / 1000
