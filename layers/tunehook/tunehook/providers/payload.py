"""From the bytes of an answer to plain values that every later step can carry.

What browsers and the usual clients read is read: any charset that the header or the bytes tell, and line breaks inside
of texts, which JSON forbids. And JSON allows what DynamoDB, UTF-8 and JSON writers do not: lone surrogates, integers of
any length, and Python's reader adds NaN. None of them leaves this module.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

REDACTED = "***"

_MAX_DEPTH = 32  # DynamoDB's limit of nesting
_MAX_DIGITS = 38  # DynamoDB's limit of precision
_SHORTEST_SECRET = 8  # anything shorter would also match ordinary words
_SURROGATE = re.compile("[\ud800-\udfff]")
_CUT = "…"
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE | re.ASCII)
_TEXT_CHARSET = re.compile(
    r"(?:utf|gb|big5|euc|shift|sjis|s_jis|iso|latin|l1|windows|cp|ks|koi8|ascii|us-ascii|hz)[\w.:+-]*",
    re.IGNORECASE,
)
_SIMPLIFIED_CHINESE = frozenset({"gbk", "gb2312", "gb18030", "hz"})
_HIGH_BYTES = re.compile(rb"[\x80-\xff]{2}")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_PADDING = "\ufeff\x00 \t\r\n"


class UnreadablePayloadError(ValueError):
    """The body is no JSON that can be read; the message quotes nothing of it."""


def redact(text: str, secret: str) -> str:
    """Return `text` with `secret` blotted out; a secret below 8 characters is left alone."""
    return text.replace(secret, REDACTED) if len(secret) >= _SHORTEST_SECRET else text


def parse(body: bytes, secret: str = "", content_type: str = "") -> Any:
    """Read the JSON of an answer.

    Broken UTF-8 becomes U+FFFD: a bad byte in a title must not hide that a task ended. So do lone surrogates; NaN and
    infinities become None, numbers beyond 38 digits their text, and what nests deeper than 32 levels None.

    Parameters
    ----------
    body : bytes
        The body, decompressed.
    secret : str
        The API key, which is blotted out wherever the provider quotes it.
    content_type : str
        The header's value, for the charset. A byte order mark counts for more, and so does valid UTF-8.

    Raises
    ------
    UnreadablePayloadError
        If it is empty or no JSON, is cut off, or nests too deeply to be read.
    """
    text = _text_of(body, content_type).strip(_PADDING)
    if not text:
        raise UnreadablePayloadError("the body is empty")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise UnreadablePayloadError("the body nests too deeply") from None
    except json.JSONDecodeError as error:
        is_cut = text[0] in "{[" and (error.pos >= len(text) or error.msg.startswith("Unterminated string"))
        raise UnreadablePayloadError("the body is cut off" if is_cut else "the body is no JSON") from None
    except ValueError:
        raise UnreadablePayloadError("the body is no JSON") from None
    # Only an escape can hide a surrogate, or the secret. Most answers have neither, and nest little.
    if "\\" in text or redact(text, secret) != text:
        return _clean(value, lambda text: _SURROGATE.sub("\ufffd", redact(text, secret)), _MAX_DEPTH)
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        return _clean(value, str, _MAX_DEPTH)
    return value


def _text_of(body: bytes, content_type: str) -> str:
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return body.decode(charset, "replace")
    try:
        if 0 not in body[:4]:
            return body.decode()
    except UnicodeDecodeError:
        pass
    else:
        guessed = json.detect_encoding(body)
        if guessed not in ("utf-8", "utf-8-sig"):
            return body.decode(guessed, "replace")
    declared = _charset(content_type)
    if declared is not None:
        return body.decode(declared, "replace")
    text = body.decode("utf-8", "replace")
    # Many gateways write in GBK and do not say so. A bad byte in UTF-8 leaves most of its letters readable.
    bad = text.count("\ufffd")
    good = sum(not char.isascii() for char in text) - bad
    if bad > good and _HIGH_BYTES.search(body):
        try:
            return body.decode("gb18030")
        except UnicodeDecodeError:
            pass
    return text


def _charset(content_type: str) -> str | None:
    """Return the charset that a ``Content-Type`` names, if it is one of texts and not UTF-8, which was tried."""
    match = _CHARSET.search(content_type)
    if match is None or not _TEXT_CHARSET.fullmatch(match[1]):
        return None
    try:
        name = codecs.lookup(match[1]).name
    except LookupError:
        return None
    if name in _SIMPLIFIED_CHINESE:
        return "gb18030"  # of which the others are parts, and which many mean
    return None if name in ("utf-8", "utf-8-sig", "utf-7") else name


def bounded(value: dict[str, Any], limit: int) -> tuple[dict[str, Any], bool]:
    """Shorten a JSON object until it takes at most `limit` bytes.

    The longest texts go first (prompts and lyrics are what is long): texts are cut to fewer and fewer
    characters, the cut marked with "…"; where even that is not enough, lists and objects are emptied of all
    but their first entries.

    Returns
    -------
    tuple of dict and bool
        The object, and whether anything was cut.
    """
    if json_size(value) <= limit:
        return value, False
    for longest, entries in (
        (20_000, None),
        (5_000, None),
        (1_000, None),
        (200, None),
        (200, 100),
        (100, 10),
        (50, 3),
    ):
        shorter: dict[str, Any] = _shortened(value, longest, entries)
        if json_size(shorter) <= limit:
            return shorter, True
    return {}, True


def json_size(value: Any) -> int:
    """Return the bytes that `value` takes as JSON in UTF-8, with the spaces that `json.dumps` puts in."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _number(digits: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else digits


_DECODER = json.JSONDecoder(
    strict=False, parse_int=_integer, parse_float=_number, parse_constant=lambda _name: None
)


def _clean(value: Any, clean_text: Callable[[str], str], depth: int) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict | list) and depth == 0:
        return None
    if isinstance(value, dict):
        return {clean_text(key): _clean(item, clean_text, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, clean_text, depth - 1) for item in value]
    return value


def _shortened(value: Any, longest: int, entries: int | None) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else value[:longest] + _CUT
    if isinstance(value, dict):
        kept = list(value.items())[:entries]
        return {_shortened(key, longest, entries): _shortened(item, longest, entries) for key, item in kept}
    if isinstance(value, list):
        return [_shortened(item, longest, entries) for item in value[:entries]]
    return value
