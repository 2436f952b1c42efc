"""How long a task's files are waited for, and when its message comes again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tunehook.errors import TunehookError
from tunehook.events import TaskEnded
from tunehook.times import to_ms

PATIENCE_S: Final = 600.0
"""How long pending files are asked for, from the first pass over the task on, the deliveries of it included."""

TELLING_S: Final = 5.0
"""How much of that is for the deliveries."""

LAST_PASS_S: Final = 30.0
"""How long before the end of that the last pass begins."""

_FIRST_PASS_MS: Final = 5_000
"""How long the first pass has to settle all files, if the recipients are overdue then."""

_SHORTEST_S: Final = 10.0
_LONGEST_S: Final = 60.0


class RetryLater(TunehookError):
    """The message is to come again in `after_s` seconds: files are missing that may come."""

    def __init__(self, missing: int, after_s: int) -> None:
        super().__init__(f"{missing} files may come; the next look is in {after_s} s")
        self.after_s = after_s


def due_at_ms(event: TaskEnded, since_ms: int, patience_ms: int) -> int:
    """Return when the recipients of a task are told even if files are pending.

    That is `patience_ms` after the end was detected, and after a backlog some seconds after the files were asked for
    first, at `since_ms`.
    """
    return max(to_ms(event.detected_at) + patience_ms, since_ms + min(patience_ms, _FIRST_PASS_MS))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a task's files may take that were asked for first at `since_ms`, and the present pass (`within_s`).

    At `due_ms` the recipients are told even if files are pending.
    """

    since_ms: int
    due_ms: int
    within_s: float
    clock: Callable[[], int]

    def pass_s(self) -> float:
        """Return how long this pass may wait for files: a late one, which is the last, as long as the function may."""
        left_s = PATIENCE_S - TELLING_S - self._elapsed_s()
        return min(self.within_s, left_s if left_s >= LAST_PASS_S / 2 else PATIENCE_S)

    def again_after_s(self, retry_after_s: float) -> int | None:
        """Return in how many seconds the next pass begins, sooner for fresh tasks; None if no patience is left.

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
        """Return in how many seconds the recipients are due; 0 if they are overdue."""
        return max(self.due_ms - self.clock(), 0) / 1000

    def _elapsed_s(self) -> float:
        return max(self.clock() - self.since_ms, 0) / 1000
