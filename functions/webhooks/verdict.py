"""What an answer means: docs/webhook-contract.md, "What counts"."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROL_HEADER: Final = "webhook-delivery"


class Verdict(StrEnum):
    """What an attempt came to.

    ``DELIVERED``: the receiver has it. ``FAILED``: to be tried again. ``ABORTED``: the receiver does not want this
    delivery. ``GONE``: the receiver wants none any more.
    """

    DELIVERED = "delivered"
    FAILED = "failed"
    ABORTED = "aborted"
    GONE = "gone"


def judge(status_code: int, headers: Mapping[str, str]) -> Verdict:
    """Judge an answer.

    Parameters
    ----------
    status_code : int
        The answer's status. Redirects are not followed, so 3xx is a failure like any other.
    headers : mapping
        The answer's headers, with lower-case names. ``webhook-delivery`` counts whatever the status.

    Returns
    -------
    Verdict
        What it means for the delivery.
    """
    control = headers.get(CONTROL_HEADER, "").strip().lower()
    if status_code == 410 or control == "disable":
        return Verdict.GONE
    if control == "abort-message":
        return Verdict.ABORTED
    return Verdict.DELIVERED if 200 <= status_code <= 299 else Verdict.FAILED
