"""Readers of single values, each of which takes anything at all and returns its type or None."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_URL = 4096
_MAX_TAGS = 50
_MAX_TAG = 200
_MAX_DURATION_S = 1_000_000.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAUSIBLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_FIRST_MS = 100_000_000_000  # as seconds this is the year 5138, as milliseconds 1973
_COMMAS = re.compile(r"[,，、;；\n]")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
_NO_FILE = frozenset({"none.mp3", "null.mp3", "undefined.mp3"})
_FORBIDDEN = re.compile(r"(?<![\w-])forbidden(?![\w-])", re.IGNORECASE)
"""The word on its own: a song may be called ``forbidden-love.mp3``."""


def text(value: Any, longest: int) -> str | None:
    """Return a text that is not blank, stripped and cut to `longest` characters; a number as digits."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return value.strip()[:longest] or None


def number(value: Any) -> float | None:
    """Return a finite number, which may be written as a text (row 12)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        result = float(value)
    except (ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def duration_s(value: Any) -> float | None:
    """Return a length in seconds; zero and less mean that it is not known."""
    seconds = number(value)
    return seconds if seconds is not None and 0 < seconds <= _MAX_DURATION_S else None


def moment(value: Any) -> datetime | None:
    """Return a time in UTC.

    Seconds or milliseconds since 1970, as a number or a text, told apart by their size; or ISO-8601, taken
    for UTC when it names no zone. Zero means "not set", and so does a time before 2000 or after 2199.
    """
    count = number(value)
    try:
        if count is not None:
            result = _EPOCH + timedelta(milliseconds=round(count if count >= _FIRST_MS else count * 1000))
        elif isinstance(value, str):
            result = datetime.fromisoformat(value.strip())
            result = result.replace(tzinfo=UTC) if result.tzinfo is None else result.astimezone(UTC)
        else:
            return None
    except (ValueError, OverflowError):
        return None
    return result if _PLAUSIBLE[0] <= result < _PLAUSIBLE[1] else None


def tags(value: Any, *, split_at_spaces: bool = False) -> tuple[str, ...]:
    """Return tags that come as a list, or as a text parted by commas (row 12).

    Parameters
    ----------
    value : Any
    split_at_spaces : bool
        Whether a text without any comma is parted by spaces.
    """
    if isinstance(value, str):
        parts: list[Any] = _COMMAS.split(value)
        if split_at_spaces and len(parts) == 1:
            parts = value.split()
    elif isinstance(value, list):
        parts = value
    else:
        return ()
    found = (text(part, _MAX_TAG) for part in parts)
    return tuple(tag for tag in found if tag is not None)[:_MAX_TAGS]


def link(value: Any) -> str | None:
    """Return an absolute http(s) URL of at most 4096 characters."""
    if not isinstance(value, str):
        return None
    url = value.strip()
    if len(url) > _MAX_URL or _UNPRINTABLE.search(url):
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return url if usable else None


def is_stream(url: str) -> bool:
    """Return whether a link is a live stream and not a file (row 8)."""
    return (urlsplit(url).hostname or "").startswith("audiopipe")


def file_link(value: Any) -> str | None:
    """Return a link to an audio file: no stream, and none of the links that only look like one (row 13)."""
    url = link(value)
    if url is None or is_stream(url) or _FORBIDDEN.search(url):
        return None
    return None if urlsplit(url).path.rpartition("/")[2].lower() in _NO_FILE else url


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in a list, skipping whatever else is in it."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def first(source: Mapping[str, Any], *names: str) -> Any:
    """Return the first value among these fields that is neither absent, null nor an empty text."""
    return next((source[name] for name in names if source.get(name) not in (None, "")), None)
