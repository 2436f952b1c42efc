"""What a response means and when the next attempt is due: docs/webhook-contract.md, "What counts"."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tunehook.http.retry_after import retry_after_s
from tunehook.schedules import WAITS_S
from tunehook.times import from_ms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTROL_HEADER: Final = "webhook-delivery"

WAITS_MS: Final = tuple(seconds * 1000 for seconds in WAITS_S)
"""The waits after the attempts 1 to 9, where a subscription has none of its own. Nothing follows the tenth."""

MAX_JITTER: Final = 0.2
MAX_RETRY_AFTER_MS: Final = 24 * 3600 * 1000


class ResponseClass(StrEnum):
    """What an attempt means for its delivery."""

    DELIVERED = "delivered"  # the receiver has it
    FAILED = "failed"  # to be tried again
    ABORTED = "aborted"  # the receiver does not want this delivery
    GONE = "gone"  # the receiver wants no delivery any more


def classify_response(status_code: int, headers: Mapping[str, str]) -> ResponseClass:
    """Classify a response by its status and its ``webhook-delivery``, which counts whatever the status.

    Redirects are not followed, so 3xx is a failure like any other. The headers' names are in lower case.
    """
    control = headers.get(CONTROL_HEADER, "").strip().lower()
    if status_code == 410 or control == "disable":
        return ResponseClass.GONE
    if control == "abort-message":
        return ResponseClass.ABORTED
    return ResponseClass.DELIVERED if 200 <= status_code <= 299 else ResponseClass.FAILED


def next_attempt_at_ms(
    attempt: int, now_ms: int, *, jitter: float, retry_after: str | None, waits_s: Sequence[int] = WAITS_S
) -> int | None:
    """Return when the attempt after a failed one is due, or None if that was the last.

    Parameters
    ----------
    attempt : int
        The failed attempt, from 1.
    jitter : float
        From 0 to 1: the share of the largest jitter (20 % of the wait) that is added to the wait.
    retry_after : str or None
        The response's ``Retry-After``. Obeyed where it asks for longer than the wait, up to 24 h; ignored where it is
        not valid.
    waits_s : sequence of int
        The waits between the attempts, in seconds.
    """
    if attempt > len(waits_s):
        return None
    wait_ms = round(waits_s[attempt - 1] * 1000 * (1 + MAX_JITTER * jitter))
    asked_ms = round((retry_after_s(retry_after, from_ms(now_ms)) or 0.0) * 1000)
    return now_ms + max(wait_ms, min(asked_ms, MAX_RETRY_AFTER_MS))
