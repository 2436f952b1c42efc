"""From the bytes of an answer to plain values.

JSON allows what DynamoDB, UTF-8 and JSON writers do not: lone surrogates, integers of any length, and Python's reader
adds NaN. None of them leaves this module.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from tunehook.http.decompress import UnreadableCoding, content_encoding, decompressed
from tunehook.http.reply import Reply
from tunehook.providers.charsets import decodings
from tunehook.providers.echoes import REDACTED, strike_out, without_secrets

MAX_BODY_BYTES = 2 * 1024 * 1024

Secret: TypeAlias = str | tuple[str, ...]
"""The API key, or all texts that are to be redacted where a provider quotes them."""

MAX_DEPTH = 32  # DynamoDB's limit of nesting
MAX_DIGITS = 38  # DynamoDB's limit of precision
_SHORTEST_SECRET = 8  # anything shorter would also match ordinary words
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAY_HOLD_A_SECRET = re.compile("hook|callback", re.IGNORECASE)
_CUT = "…"
# Steps by which a long object is shortened: characters of a text, entries of a list or an object.
_CUTS = ((20_000, None), (5_000, None), (1_000, None), (200, None), (200, 100), (100, 10), (50, 3))
_PADDING = " \t\r\n\v\f\0\ufeff"
_MAX_SEARCHED = 20_000
_MAX_QUOTED = 80
_HTML = re.compile(r"<(!doctype\s+html|html|head|title|body|div|center|h1|p|br|b|script)\b", re.IGNORECASE)


class UnreadablePayloadError(ValueError):
    """The body is too large, broken or no JSON; the message says what it is instead, never with the key in it."""

    def __init__(self, reason: str, *, is_too_large: bool = False) -> None:
        super().__init__(reason)
        self.is_too_large = is_too_large


def plain_body(reply: Reply) -> bytes:
    """Return the body of a reply, decompressed.

    Raise `UnreadablePayloadError` if it exceeds 2 MiB raw or decompressed, is broken, or cannot be decompressed here.
    """
    body: bytes | None = reply.body
    if "content-encoding" in reply.headers and not reply.truncated:
        try:
            body = decompressed(reply.body, content_encoding(reply.headers), MAX_BODY_BYTES)
        except UnreadableCoding as error:
            raise UnreadablePayloadError(str(error)) from error
    if reply.truncated or body is None or len(body) > MAX_BODY_BYTES:
        raise UnreadablePayloadError("the body exceeds 2 MiB", is_too_large=True)
    return body


def redact(text: str, secret: Secret) -> str:
    """Return `text` with `secret` blotted out, and with callback URLs and webhooks' secrets, whoever's they are.

    A secret below 8 characters is left alone.
    """
    for each in _redactable(secret):
        text = text.replace(each, REDACTED)
    return strike_out(text)


@functools.lru_cache(maxsize=64)
def _redactable(secret: Secret) -> tuple[str, ...]:
    secrets = (secret,) if isinstance(secret, str) else secret
    return tuple(each for each in secrets if len(each) >= _SHORTEST_SECRET)


def parse(body: bytes, secret: Secret = "", content_type: str = "") -> Any:
    """Decode and read the JSON of an answer, as tolerantly as curl, requests or a browser pass it on.

    Accepted are any charset (see `tunehook.providers.charsets`), a byte order mark, white space and zero bytes around
    the JSON, and control characters in its texts (raw line breaks in lyrics). Not accepted is what none of them reads:
    anything else before or after the JSON, comments, trailing commas, single quotes.

    What cannot be decoded becomes U+FFFD: a bad byte in a title must not hide that a task ended. NaN and infinities
    become None, numbers beyond 38 digits their text, lone surrogates U+FFFD, what nests deeper than 32 levels None, and
    `secret` is redacted, as are callback URLs and webhooks' secrets. Raise `UnreadablePayloadError` if it is empty, no
    JSON, or nests too deeply to be read.
    """
    problem: UnreadablePayloadError | None = None
    for text in decodings(body, content_type, [each.encode() for each in _redactable(secret)]):
        try:
            return parse_text(text, secret)
        except UnreadablePayloadError as error:
            problem = problem or error
    raise problem or UnreadablePayloadError("the body is no JSON")


def parse_text(text: str, secret: Secret = "") -> Any:
    """Read JSON that is a text already, as `parse` does."""
    text = text.strip(_PADDING)
    value = _plain(_decoded(text, secret), text, secret)
    # Only an escape can hide the word.
    return without_secrets(value) if "\\" in text or _MAY_HOLD_A_SECRET.search(text) else value


def bounded(value: dict[str, Any], limit: int) -> tuple[dict[str, Any], bool]:
    """Shorten a JSON object until it takes at most `limit` bytes; return it, and whether anything was cut.

    Texts are cut to fewer and fewer characters, the longest (prompts, lyrics) first, with "…" at the cut; where that is
    not enough, lists and objects keep only their first entries.
    """
    if json_size(value) <= limit:
        return value, False
    for longest, entries in _CUTS:
        shorter: dict[str, Any] = _changed(value, partial(_cut, longest=longest), entries=entries)
        if json_size(shorter) <= limit:
            return shorter, True
    return {}, True


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest] + _CUT


def json_size(value: Any) -> int:
    """Return the bytes that `value` takes as JSON in UTF-8, with the spaces that `json.dumps` puts in."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _decoded(text: str, secret: Secret) -> Any:
    if not text:
        raise UnreadablePayloadError("the body is empty")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise UnreadablePayloadError("the body nests too deeply") from None
    except json.JSONDecodeError as error:
        problem = error
    raise UnreadablePayloadError(_what_it_is(text, problem, secret))


def _plain(value: Any, text: str, secret: Secret) -> Any:
    # Only an escape can hide a surrogate, or the secret. Most answers have neither, and nest little.
    if "\\" in text or redact(text, secret) != text:
        return _changed(value, lambda text: _SURROGATE.sub("\ufffd", redact(text, secret)), depth=MAX_DEPTH)
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        return _changed(value, str, depth=MAX_DEPTH)
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """Return whether a value nests deeper than `depth` levels: reading is much cheaper than copying."""
    if type(value) is not dict and type(value) is not list:
        return False
    children = value.values() if type(value) is dict else value
    return depth == 0 or any(
        _is_deeper(child, depth - 1) for child in children if type(child) is dict or type(child) is list
    )


def _what_it_is(text: str, problem: json.JSONDecodeError, secret: Secret) -> str:
    if text.startswith("<"):
        return f"the body is {'HTML' if _HTML.search(text[:_MAX_SEARCHED]) else 'XML'}, not JSON"
    if text[0] in '{["':
        if problem.msg == "Extra data":
            return "something follows the JSON of the body"
        rest = text[problem.pos :]
        is_cut_off = (
            problem.msg.startswith("Unterminated string")
            or any(word.startswith(rest) for word in ("true", "false", "null", "-"))
            or ("escape" in problem.msg and len(rest) < len(r"\u0000"))
        )
        return "the body is cut off" if is_cut_off else "the body is no JSON"
    # Redacted first: of a key that was cut, the beginning would be left.
    words = " ".join(redact(text, secret)[: 2 * _MAX_QUOTED].split())
    is_text = words[:1].isalpha() and words.isprintable()
    return f'the body is no JSON but says "{_cut(words, _MAX_QUOTED)}"' if is_text else "the body is no JSON"


_DECODER = json.JSONDecoder(
    parse_int=lambda digits: int(digits) if len(digits) <= MAX_DIGITS else digits,
    parse_float=lambda digits: number if math.isfinite(number := float(digits)) else digits,
    parse_constant=lambda _name: None,
    strict=False,
)


def _changed(
    value: Any, change: Callable[[str], str], *, depth: int | None = None, entries: int | None = None
) -> Any:
    """Return a JSON value with all its texts changed, None below `depth` levels, and the first `entries` of each."""
    if isinstance(value, str):
        return change(value)
    if not isinstance(value, dict | list):
        return value
    if depth == 0:
        return None
    inner = partial(_changed, change=change, depth=depth and depth - 1, entries=entries)
    if isinstance(value, dict):
        return {change(key): inner(item) for key, item in islice(value.items(), entries)}
    return [inner(item) for item in value[:entries]]
