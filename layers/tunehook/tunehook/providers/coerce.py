"""Readers of single values, each of which takes anything at all and returns its type or None."""

from __future__ import annotations

import binascii
import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

_MAX_URL = 16_384
_MAX_DATA_HEAD = 300
_MAX_TAGS = 50
_MAX_TAG = 200
_MAX_DURATION_S = 1_000_000.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAUSIBLE = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
_FIRST_MS = 100_000_000_000  # as seconds this is the year 5138, as milliseconds 1973
_FIRST_US = 100_000_000_000_000  # as milliseconds this is the year 5138, as microseconds 1973
_SLASHED = r"(?a)(\d{4})/(\d{1,2})/(\d{1,2})"
_ZONE_NAME = r"(?a)\s*(?:UTC|GMT|Z)$|(?<=[+-]\d{4})\s+[A-Z]{3,4}$"
_COMMAS = re.compile(r"[,，、;；\n]")
_LINE_BREAKS = re.compile(r"[\t\r\n]")
_AROUND = " \t\r\n\x00\ufeff\u200b\u200c\u200d\u2060\u00a0\"'`"
_BRACKETS = {"<": ">", "(": ")", "[": "]", "{": "}"}
_URL_INSIDE = r"(?i)[\s(\[<\"'=](https?:/{2}[^\s<>\"'()\[\]]+)"
_NEXT_URL = r"(?i)\s+(?=https?://)"
_FRAGMENT_OF_A_NAME = r"(?i)#[^/?#]*\.(?:mp3|m4a|wav|flac|ogg|opus|aac|mp4|webm|mov|jpe?g|png|webp)$"
_NOT_IN_A_URL = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{}]")
_NOT_IN_A_HOST = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{}|%]")
_ABSOLUTE = re.compile(r"(https?)[:：][/\\／]+", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_HOST_AND_PATH = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?::\d+)?/", re.IGNORECASE)
_LIKE_A_PATH = re.compile(r"(?is)/|[^\s?]*\?[^\s=]+=|[^/\s]+/.+|.*[^\s.]\.[a-z0-9]{2,4}(?:\?\S*)?$")
_NO_LINK = frozenset({"n/a", "none", "null", "undefined", "nil", "nan", "false", "-"})
_DATA_URI = re.compile(r"(?is)data:(?P<type>[^,;]*)(?P<parameters>(?:;[^,;]*)*),(?P<data>.*)")
_APPLICATIONS = ("application/octet-stream", "application/ogg", "application/mp4")
_URL_SAFE_BASE64 = bytes.maketrans(b"-_", b"+/")
_MEDIA = ("audio/", "image/", "video/", "binary/octet-stream", *_APPLICATIONS)
_NO_FILE = frozenset({"none.mp3", "null.mp3", "undefined.mp3", "forbidden", "none", "null", "undefined"})
_CLOCK = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{2}(?:[.,]\d+)?)", re.ASCII)
_MILLISECONDS = r"(?ai)(\d+(?:\.\d+)?)\s*(?:ms|msec|milliseconds?|毫秒)"
_LENGTH = (
    r"(?ai)(?:P(?:0D)?T)?(?:(\d+)\s*(?:h|hrs?|hours?|小时|时)[\s,]*)?"
    r"(?:(\d+(?:\.\d+)?)\s*(?:m|mins?|minutes?|分钟|分)[\s,]*)?"
    r"(?:(\d+(?:[.,]\d+)?)\s*(?:s|secs?|seconds?|秒钟?))?"
)
_PARAMETERS = r"(?:;[^,;]{0,100}){0,10}"
_DATA_INSIDE = (
    rf"(?ai)data:(?:(?:[\w.+-]{{1,60}}/[\w.+-]{{1,100}})?{_PARAMETERS};\s*base64,[\w+/=%\r\n-]*"
    rf"|(?:audio|image|video)/[\w.+-]{{1,100}}{_PARAMETERS},[^\s\"'\\<>]*)"
)
_BASE64_INSIDE = r"(?ai);\s*base64,[\w+/=%\r\n-]*"


def names(written: str) -> tuple[str, ...]:
    return tuple(written.split())


def text(value: Any, longest: int) -> str | None:
    """Return a text that is not blank, or a number's digits, stripped, without data, cut to `longest` characters."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return without_data(value.strip())[:longest] or None


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

    A number, or a text: digits, ``125.4s``, ``125400ms``, ``2:05``, ``1:02:05``, ``2m 5s``, or ISO 8601 (``PT2M5S``).
    """
    seconds = number(value)
    if seconds is None and isinstance(value, str):
        seconds = _seconds_in(value.strip())
    return seconds if seconds is not None and 0 < seconds <= _MAX_DURATION_S else None


def _seconds_in(written: str) -> float | None:
    written = written.replace("：", ":").strip("~≈ ")
    if match := re.fullmatch(_MILLISECONDS, written):
        return float(match[1]) / 1000
    match = _CLOCK.fullmatch(written) or re.fullmatch(_LENGTH, written)
    if match is None or (match[3] is None and written[:1] not in ("P", "p")):  # "3 min" is rounded
        return None
    hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def moment(value: Any, *, zoneless_after: datetime | None = None) -> datetime | None:
    """Return a time in UTC; one before 2000 (zero means "not set") or after 2199 is not known.

    Seconds, milliseconds or microseconds since 1970, as a number or a text, distinguished by their size; or ISO-8601,
    the same with slashes, or the form of HTTP's dates; in UTC when it names no zone. A time without a zone that would
    be before `zoneless_after` was written in another zone, and is not known.
    """
    if value is None:
        return None
    count = number(value)
    earliest, latest = _PLAUSIBLE
    try:
        if count is not None:
            scale = 1000 if count < _FIRST_MS else 1 if count < _FIRST_US else 0.001
            result = _EPOCH + timedelta(milliseconds=round(count * scale))
        elif isinstance(value, str):
            result = _written_moment(value.strip())
            if result.tzinfo is None:
                earliest = max(earliest, zoneless_after or earliest)
                result = result.replace(tzinfo=UTC)
            result = result.astimezone(UTC)
        else:
            return None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return result if earliest <= result < latest else None


def _written_moment(written: str) -> datetime:
    if written[:1].isalpha():
        return parsedate_to_datetime(written)
    iso = re.sub(_SLASHED, lambda match: f"{match[1]}-{int(match[2]):02}-{int(match[3]):02}", written)
    named = re.search(_ZONE_NAME, iso)
    if named is None:
        return datetime.fromisoformat(iso)
    moment = datetime.fromisoformat(iso[: named.start()])
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def tags(value: Any, *, split_at_spaces: bool = False) -> tuple[str, ...]:
    """Return tags from a list, or from a text with commas, or spaces where it has none, between them (row 12)."""
    parts: list[Any] = value if isinstance(value, list) else []
    if isinstance(value, str):
        parts = _COMMAS.split(value)
        if split_at_spaces and len(parts) == 1:
            parts = value.split()
    found = (text(part, _MAX_TAG) for part in parts)
    return tuple(tag for tag in found if tag is not None)[:_MAX_TAGS]


def link(value: Any, base_url: str = "") -> str | None:
    """Return what a provider calls a link as an absolute http(s) URL of at most 16,384 characters, or None.

    It may be absolute, without a scheme (``//host/a.mp3``, ``host.example/a.mp3``), or relative to the provider's
    `base_url`. What is a URL stays as it is, byte for byte. Only what no URL may hold is encoded (spaces, letters
    beyond ASCII, control characters, ``"<>\\^`{}``). Line breaks go as browsers have it, and so do a fragment, which is
    never sent, quotes and brackets around it, and text before it (``[listen](https://h.example/a.mp3)``).
    """
    value = address(value)
    if not isinstance(value, str) or len(value) > _MAX_URL:
        return None
    url = _unwrapped(value)
    if not url or url.lower() in _NO_LINK or (absolute := _absolute(url, base_url)) is None:
        return None
    if re.search(_FRAGMENT_OF_A_NAME, absolute):  # "Song #1.mp3": a fragment is no file's ending
        absolute = absolute.replace("#", "%23")
    url = _encoded(absolute.partition("#")[0])
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and _NOT_IN_A_HOST.search(parts.netloc) is None and parts.port != 0
    except ValueError:
        return None
    return url if usable and len(url) <= _MAX_URL else None


def address(value: Any) -> Any:
    """Return the link in an object or a list in a link's place; anything else as it is."""
    if isinstance(value, list):
        value = next((each for each in value if each not in (None, "")), None)
    if isinstance(value, dict):
        value = first(value, "url", "src", "href", "uri", "link", "path", "audio_url", "audioUrl")
    return value


def _unwrapped(written: str) -> str:
    url = _LINE_BREAKS.sub("", written.strip(_AROUND)).replace("\\/", "/")
    for _ in range(3):
        if len(url) > 1 and _BRACKETS.get(url[0]) == url[-1]:
            url = url[1:-1].strip(_AROUND)
    if not _ABSOLUTE.match(url) and url[:1] not in ("/", ".", "?"):
        inside = re.search(_URL_INSIDE, url)
        if inside is not None and "?" not in url[: inside.start()]:
            url = inside[1]
    return re.split(_NEXT_URL, url.rstrip(">"), maxsplit=1)[0] if _ABSOLUTE.match(url) else url


def _absolute(url: str, base_url: str) -> str | None:
    if match := _ABSOLUTE.match(url):
        rest = url[match.end() :]
        if "\\" in match[0]:
            rest = rest.replace("\\", "/")
        return f"{match[1].lower()}://{rest}"
    if url.startswith("//"):
        return f"{'http' if base_url.startswith('http://') else 'https'}:{url}"
    if _HOST_AND_PATH.match(url):
        return f"https://{url}"
    if not base_url or _SCHEME.match(url) or not _LIKE_A_PATH.match(url):
        return None
    # Encoded first: joined, an odd character could make another URL of it.
    try:
        return urljoin(f"{base_url.rstrip('/')}/", _NOT_IN_A_URL.sub(_percent, url))
    except ValueError:
        return None


def _encoded(url: str) -> str:
    scheme, _, rest = url.partition("://")
    end = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    host, path = rest[:end], rest[end:]
    if not host.isascii():
        import idna  # its tables are large, and such hosts rare

        name, colon, port = host.partition(":")
        with contextlib.suppress(idna.IDNAError, UnicodeError):
            host = f"{idna.encode(name, uts46=True).decode()}{colon}{port}"
    return f"{scheme}://{host}{_NOT_IN_A_URL.sub(_percent, path)}"


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
    """Return whether the whole last part of a link is known to stand where there is no file (row 13).

    A song may be called ``Forbidden Love.mp3``, or even ``forbidden.mp3``.
    """
    return urlsplit(url).path.rpartition("/")[2].lower() in _NO_FILE


def is_data(value: Any) -> bool:
    """Return whether a text is a ``data:`` URI (RFC 2397), of whatever type and however broken."""
    return isinstance(value, str) and bool(re.match(_DATA_INSIDE, value[:_MAX_DATA_HEAD].strip(_AROUND)))


def data_type(value: Any) -> str:
    """Return the media type that a ``data:`` URI names, in lower case; empty where it names none."""
    value = address(value)
    match = _DATA_URI.match(value[:_MAX_DATA_HEAD].strip(_AROUND)) if isinstance(value, str) else None
    return match["type"].strip().lower() if match else ""


def data_file(value: Any, *, of_any_type: bool = False) -> bytes | None:
    """Return the bytes of a file that is in the answer itself, as a ``data:`` URI (RFC 2397).

    Only media count, which an URI without a type may be, unless it may be `of_any_type`.
    """
    value = address(value)
    if not (is_data(value) or (of_any_type and isinstance(value, str))):
        return None
    match = _DATA_URI.fullmatch(value.strip(_AROUND))
    kind = match["type"].strip().lower() if match else ""
    if match is None or (kind and not of_any_type and not kind.startswith(_MEDIA)):
        return None
    raw = unquote_to_bytes(match["data"])
    if not match["parameters"].replace(" ", "").lower().endswith(";base64"):
        return raw or None
    raw = b"".join(raw.partition(b"#")[0].split())
    try:
        return binascii.a2b_base64(raw.translate(_URL_SAFE_BASE64) + b"==") or None
    except binascii.Error:
        return None


def without_data(value: str) -> str:
    """Return a text with each ``data:`` URI in it replaced by ``data:``, and without what follows ``;base64,``.

    No file is in it then, though the beginning of an URI be broken.
    """
    folded = value.lower()
    if "data:" in folded:
        value = re.sub(_DATA_INSIDE, "data:", value)
    return re.sub(_BASE64_INSIDE, ";base64", value) if "base64," in folded else value


def objects(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def first(source: Mapping[str, Any], *names: str) -> Any:
    """Return the first value among these fields that is neither absent, null nor an empty text."""
    for name in names:  # a hot path: for each task of every answer
        value = source.get(name)
        if value is not None and value != "":
            return value
    return None
