"""From the bytes of an answer to plain values that every later step can carry.

JSON allows what DynamoDB, UTF-8 and JSON writers do not: lone surrogates, integers of any length, and
Python's reader adds NaN. None of them leaves this module.
"""

from __future__ import annotations

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


class UnreadablePayloadError(ValueError):
    """The body is no JSON that can be read; the message quotes nothing of it."""


def redact(text: str, secret: str) -> str:
    """Return `text` with `secret` blotted out; a secret below 8 characters is left alone."""
    return text.replace(secret, REDACTED) if len(secret) >= _SHORTEST_SECRET else text


def parse(body: bytes, secret: str = "") -> Any:
    """Read the JSON of an answer.

    Broken UTF-8 becomes U+FFFD: a bad byte in a title must not hide that a task ended. NaN and infinities
    become None, numbers beyond 38 digits their text, lone surrogates U+FFFD, and what nests deeper than 32
    levels None.

    Parameters
    ----------
    body : bytes
        The body, decompressed.
    secret : str
        The API key, which is blotted out wherever the provider quotes it.

    Raises
    ------
    UnreadablePayloadError
        If it is empty or no JSON, or nests too deeply to be read.
    """
    if not body.strip():
        raise UnreadablePayloadError("the body is empty")
    text = body.decode("utf-8-sig", "replace")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise UnreadablePayloadError("the body nests too deeply") from None
    except ValueError:
        raise UnreadablePayloadError("the body is no JSON") from None
    # Only an escape can hide a surrogate, or the secret. Most answers have neither, and nest little.
    if "\\" in text or redact(text, secret) != text:
        return _clean(value, lambda text: _SURROGATE.sub("\ufffd", redact(text, secret)), _MAX_DEPTH)
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        return _clean(value, str, _MAX_DEPTH)
    return value


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


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=lambda _name: None)


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
