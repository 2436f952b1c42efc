"""How long a task's files are waited for, and when its message comes again."""

from __future__ import annotations

from typing import Final

from tunehook.errors import TunehookError
from tunehook.events import TaskEnded
from tunehook.times import to_ms

PATIENCE_S: Final = 600.0
"""How long files that may come are asked for, from the first look at the task on, the telling of it included."""

TELLING_S: Final = 5.0
"""How much of that is for telling."""

LAST_PASS_S: Final = 30.0
"""How long before the end of that the last pass begins."""

_FIRST_LOOK_MS: Final = 5_000
"""What the first look has to settle all files, where it comes when the receivers were to be told already."""

_SHORTEST_S: Final = 10.0
_LONGEST_S: Final = 60.0


class RetryLater(TunehookError):
    """The message is to come again: files are missing that may come.

    Parameters
    ----------
    missing : int
        How many.
    after_s : int
        When, in seconds from now.
    """

    def __init__(self, missing: int, after_s: int) -> None:
        super().__init__(f"{missing} files may come; the next look is in {after_s} s")
        self.after_s = after_s


def due_at_ms(event: TaskEnded, since_ms: int, patience_ms: int) -> int:
    """Return when the receivers of a task are told whatever is missing, in milliseconds since 1970.

    Parameters
    ----------
    event : TaskEnded
        How the task ended.
    since_ms : int
        When its files were asked for first. After a backlog most are there within seconds: so much is left for it.
    patience_ms : int
        How long after the end was detected they are told at the latest.
    """
    return max(to_ms(event.detected_at) + patience_ms, since_ms + min(patience_ms, _FIRST_LOOK_MS))


def pass_s(elapsed_s: float) -> float:
    """Return how long a pass that begins `elapsed_s` after the first may wait for files, in seconds.

    One that comes late (the function was throttled, S3 out of order) has all the time that the function has: it is
    the only look that is left.
    """
    left_s = PATIENCE_S - TELLING_S - elapsed_s
    return left_s if left_s >= LAST_PASS_S / 2 else PATIENCE_S


def again_after_s(elapsed_s: float, retry_after_s: float = 0.0) -> int | None:
    """Return when to look again for files that did not come.

    Parameters
    ----------
    elapsed_s : float
        How long they have been asked for.
    retry_after_s : float
        How long their hosts want to be left alone.

    Returns
    -------
    int or None
        In seconds from now: sooner for what is fresh. None if there is no patience left.
    """
    last_s = PATIENCE_S - LAST_PASS_S - elapsed_s
    if last_s < 1:
        return None
    usual_s = min(max(elapsed_s / 2, _SHORTEST_S), _LONGEST_S)
    return int(min(max(usual_s, retry_after_s), last_s))
