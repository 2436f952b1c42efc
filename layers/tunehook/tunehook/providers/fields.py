"""Readers of single values, each of which takes anything at all and returns its type or None."""

from __future__ import annotations

import binascii
import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MAX_URL = 8192
_MAX_TAGS = 50
_MAX_TAG = 200
_MAX_DURATION_S = 1_000_000.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAUSIBLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_FIRST_MS = 100_000_000_000  # as seconds this is the year 5138, as milliseconds 1973
_COMMAS = re.compile(r"[,，、;；\n]")
_LINE_BREAKS = re.compile(r"[\t\r\n]")
_NOT_IN_A_URL = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{}]")
_NOT_IN_A_HOST = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{}|%]")
_ABSOLUTE = re.compile(r"(https?):/{2,}", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HOST_AND_PATH = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?::\d+)?/", re.IGNORECASE)
_LIKE_A_PATH = re.compile(r"/|[^/\s]+/.+|[^/\s]+\.[a-z0-9]{2,4}$", re.IGNORECASE)
_DATA_URI = re.compile(
    r"data:(?P<type>[^,;]*)(?P<parameters>(?:;[^,;]*)*),(?P<data>.*)", re.IGNORECASE | re.DOTALL
)
_URL_SAFE_BASE64 = bytes.maketrans(b"-_", b"+/")
_MEDIA = ("audio/", "image/", "video/", "application/octet-stream", "application/ogg")
_NO_FILE = frozenset({"none.mp3", "null.mp3", "undefined.mp3", "forbidden", "none", "null", "undefined"})
_CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:\.\d+)?)", re.ASCII)
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)\s*(?:s|sec|secs|second|seconds)", re.ASCII | re.IGNORECASE)
_ISO_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?", re.ASCII | re.IGNORECASE)


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
    """Return a length in seconds; zero and less mean that it is not known.

    A number, or a text: digits, ``125.4s``, ``2:05``, ``1:02:05``, or ISO 8601 (``PT2M5S``).
    """
    seconds = number(value)
    if seconds is None and isinstance(value, str):
        seconds = _seconds_in(value.strip())
    return seconds if seconds is not None and 0 < seconds <= _MAX_DURATION_S else None


def _seconds_in(written: str) -> float | None:
    if match := _SECONDS.fullmatch(written):
        return float(match[1])
    match = _CLOCK.fullmatch(written) or _ISO_DURATION.fullmatch(written)
    if match is None:
        return None
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def moment(value: Any, *, zoneless_after: datetime | None = None) -> datetime | None:
    """Return a time in UTC.

    Seconds or milliseconds since 1970, as a number or a text, told apart by their size; or ISO-8601, taken
    for UTC when it names no zone. Zero means "not set", and so does a time before 2000 or after 2199.

    Parameters
    ----------
    value : Any
    zoneless_after : datetime, optional
        A time without a zone that would be before this one is not known: it was written in another zone.
    """
    count = number(value)
    try:
        if count is not None:
            result = _EPOCH + timedelta(milliseconds=round(count if count >= _FIRST_MS else count * 1000))
        elif isinstance(value, str):
            result = datetime.fromisoformat(value.strip())
            if result.tzinfo is not None:
                result = result.astimezone(UTC)
            else:
                result = result.replace(tzinfo=UTC)
                if zoneless_after is not None and result < zoneless_after:
                    return None
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


def link(value: Any, base_url: str = "") -> str | None:
    """Return what a provider calls a link as an absolute http(s) URL of at most 8192 characters, or None.

    What is a URL stays as it is, byte for byte. Only what no URL may hold is encoded (spaces, letters beyond ASCII,
    control characters, ``"<>\\^`{}``), line breaks go as browsers have it, and so does a fragment, which is never
    sent.

    Parameters
    ----------
    value : Any
        Absolute, without a scheme (``//host/a.mp3``, ``host.example/a.mp3``), or relative to `base_url`.
    base_url : str
        Of the provider; without one, no relative link is usable.
    """
    if not isinstance(value, str):
        return None
    url = _LINE_BREAKS.sub("", value.strip().strip("\"'<>`")).strip().replace("\\/", "/")
    if not url or len(url) > _MAX_URL or (absolute := _absolute(url, base_url)) is None:
        return None
    url = _encoded(absolute.partition("#")[0])
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and _NOT_IN_A_HOST.search(parts.netloc) is None and parts.port != 0
    except ValueError:
        return None
    return url if usable and len(url) <= _MAX_URL else None


def _absolute(url: str, base_url: str) -> str | None:
    if match := _ABSOLUTE.match(url):
        return f"{match[1].lower()}://{url[match.end() :]}"
    if url.startswith("//"):
        return f"{'http' if base_url.startswith('http://') else 'https'}:{url}"
    if _HOST_AND_PATH.match(url):
        return f"https://{url}"
    if not base_url or _SCHEME.match(url) or not _LIKE_A_PATH.match(url):
        return None
    # Encoded first: joined, an odd character could make another URL of it.
    try:
        return urljoin(f"{base_url}/", _NOT_IN_A_URL.sub(_percent, url))
    except ValueError:
        return None


def _encoded(url: str) -> str:
    scheme, _, rest = url.partition("://")
    end = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    host, path = rest[:end], rest[end:]
    if not host.isascii():
        host = _ascii_host(host)
    return f"{scheme}://{host}{_NOT_IN_A_URL.sub(_percent, path)}"


def _ascii_host(host: str) -> str:
    import idna  # its tables are large, and such hosts rare

    name, colon, port = host.partition(":")
    try:
        return f"{idna.encode(name, uts46=True).decode()}{colon}{port}"
    except (idna.IDNAError, UnicodeError):
        return host


def _percent(match: re.Match[str]) -> str:
    return quote(match[0], safe="", errors="replace")


def is_stream(url: str) -> bool:
    """Return whether a link is a live stream and not a file (row 8)."""
    return (urlsplit(url).hostname or "").startswith("audiopipe")


def file_link(value: Any, base_url: str = "") -> str | None:
    """Return a link to an audio file, which a live stream is not."""
    url = link(value, base_url)
    return None if url is None or is_stream(url) else url


def is_placeholder(url: str) -> bool:
    """Return whether a link has a known form of those that stand where there is no file (row 13).

    Its whole last part says so: a song may be called ``Forbidden Love.mp3``, or even ``forbidden.mp3``.
    """
    return urlsplit(url).path.rpartition("/")[2].lower() in _NO_FILE


def data_file(value: Any) -> bytes | None:
    """Return the bytes of a media file that stands in the answer itself, as a ``data:`` URI (RFC 2397)."""
    match = (
        _DATA_URI.fullmatch(value.strip())
        if isinstance(value, str) and value[:64].lstrip()[:5].lower() == "data:"
        else None
    )
    if match is None or (match["type"] and not match["type"].lower().startswith(_MEDIA)):
        return None
    raw = unquote_to_bytes(match["data"])
    if not match["parameters"].lower().endswith(";base64"):
        return raw or None
    try:
        standard = b"".join(raw.split()).translate(_URL_SAFE_BASE64)
        return binascii.a2b_base64(standard + b"==") or None
    except binascii.Error:
        return None


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in a list, skipping whatever else is in it."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def first(source: Mapping[str, Any], *names: str) -> Any:
    """Return the first value among these fields that is neither absent, null nor an empty text."""
    return next((source[name] for name in names if source.get(name) not in (None, "")), None)
