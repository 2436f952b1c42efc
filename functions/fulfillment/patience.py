"""How long a task's files are waited for, and when its message comes again."""

from __future__ import annotations

from typing import Final

from tunehook.errors import TunehookError

PATIENCE_S: Final = 600.0
"""How long files that may come are asked for, from the first look at the task on; its webhooks wait for them."""

LAST_PASS_S: Final = 30.0
"""How long before the end of that the last pass begins."""

_SHORTEST_S: Final = 10.0
_LONGEST_S: Final = 60.0


class ComesAgain(TunehookError):
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


def pass_s(elapsed_s: float) -> float:
    """Return how long a pass that begins `elapsed_s` after the first may wait for files, in seconds.

    One that comes late (the function was throttled, S3 out of order) has all the time that the function has: it is
    the only look that is left.
    """
    left_s = PATIENCE_S - elapsed_s
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
