"""``Retry-After``, read in one way for providers, hosts and receivers alike. Nothing that anybody sends raises."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_S: Final = 10 * 365 * 24 * 3600.0

_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return how long a ``Retry-After`` asks to wait (RFC 9110, section 10.2.3): 0 to `LONGEST_S` seconds.

    It may be seconds, with a fraction or without, or a date in one of HTTP's three forms (section 5.6.7); a date
    without a zone is in UTC. None if it is neither.
    """
    text = (value or "").strip()
    if not text.isascii():
        return None
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_S)
    try:
        moment = parsedate_to_datetime(text)
        wait_s = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(wait_s, 0.0), LONGEST_S)
