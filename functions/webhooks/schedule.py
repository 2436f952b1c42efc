"""When the next attempt is due: docs/webhook-contract.md, "What counts"."""

from __future__ import annotations

from typing import Final

from tunehook.http.retry_after import retry_after_s
from tunehook.times import from_ms

WAITS_MS: Final = tuple(
    seconds * 1000
    for seconds in (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""The waits after the attempts 1 to 9. Nothing follows the tenth."""

MAX_JITTER: Final = 0.2
MAX_RETRY_AFTER_MS: Final = 24 * 3600 * 1000


def next_attempt_at_ms(attempt: int, now_ms: int, *, jitter: float, retry_after: str | None) -> int | None:
    """Return when the attempt after a failed one is due.

    Parameters
    ----------
    attempt : int
        The failed attempt, from 1.
    now_ms : int
        The present moment.
    jitter : float
        From 0 to 1: the share of the largest jitter (20 % of the wait) that is added to the wait.
    retry_after : str or None
        The answer's ``Retry-After``, in seconds or as a date. Obeyed where it asks for longer than the wait, up to
        24 h; ignored where it is neither.

    Returns
    -------
    int or None
        Milliseconds since 1970; None if that was the last attempt.
    """
    if attempt > len(WAITS_MS):
        return None
    wait_ms = round(WAITS_MS[attempt - 1] * (1 + MAX_JITTER * jitter))
    asked_ms = round((retry_after_s(retry_after, from_ms(now_ms)) or 0.0) * 1000)
    return now_ms + max(wait_ms, min(asked_ms, MAX_RETRY_AFTER_MS))
