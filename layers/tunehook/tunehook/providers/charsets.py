"""Decode the bytes of an answer: in the charset that they show, that the header declares, or that fits best.

RFC 8259 wants UTF-8; gateways behind old proxies and languages send others, declared or not.
"""

from __future__ import annotations

import codecs
import functools
import re
from collections.abc import Iterator, Sequence

_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([\w.:+-]{1,40})""", re.ASCII | re.IGNORECASE)
_BOMS = (  # the longer before those they begin with
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LABELS = {  # of the WHATWG's Encoding Standard and MySQL's, where Python's codecs know none
    "ansi": "cp1252",
    "cn-big5": "big5hkscs",
    "csgb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "unicode": "utf-16-le",
    "unicode-1-1-utf-8": "utf-8",
    "utf8mb3": "utf-8",
    "utf8mb4": "utf-8",
    "windows-31j": "cp932",
    "windows-874": "cp874",
}
_SUPERSETS = {  # what is meant where the smaller set is declared (Encoding Standard, section 4.2)
    "ascii": "cp1252",
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "tis-620": "cp874",
    "utf-16": "utf-16-le",
    "utf-32": "utf-32-le",
    "utf-8-sig": "utf-8",
}
_STATEFUL = frozenset({"hz", "iso2022_jp", "iso2022_jp_1", "iso2022_jp_2", "iso2022_jp_ext", "iso2022_kr"})
# No others: some of Python's codecs are no charsets (``idna``, ``unicode_escape``), or slow with hostile input.
_ACCEPTED = re.compile(
    r"utf-8|utf-(16|32)-[lb]e|gb18030|big5hkscs|cp932|cp949|euc_j\w+|shift_jis\w+|johab|iso8859-\d+|cp12\d\d"
    r"|cp(437|850|852|866|874)|koi8-[rtu]|mac-\w+|" + "|".join(sorted(_STATEFUL))
)
# What servers declare by default, whatever they send.
_WESTERN = frozenset({"cp1252", "iso8859-15"})
_GUESSES = ("gb18030", "big5hkscs", "cp932")
_ZEROS = {
    "utf-16-le": (b"\0\1\0\1", b"\0\1\0\0"),  # the latter: ASCII before something else, such as a title
    "utf-16-be": (b"\1\0\1\0", b"\1\0\0\0"),
    "utf-32-le": (b"\0\1\1\1",),
    "utf-32-be": (b"\1\1\1\0",),
}
_WIDE = re.compile(rb"[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_PAIR = re.compile(rb"[\x81-\xfe]([\x40-\x7e\x80-\xfe])")


def decodings(body: bytes, content_type: str, secrets: Sequence[bytes] = ()) -> Iterator[str]:
    """Decode a body in every way that makes sense, the likeliest first, without a byte order mark. Yields at least one.

    The order: a byte order mark; the zero bytes of UTF-16 and UTF-32; UTF-8, where nothing else is declared, or
    where the bytes can hardly be anything else; the charset that the header declares, if it is known; then UTF-8 with
    a few broken characters, and the charsets of Chinese and Japanese that the bytes are valid in. Secrets are redacted
    before a charset of several bytes a character can swallow their first letters.
    """
    declared = declared_codec(content_type)
    utf8 = _strictly(body, "utf-8")
    if utf8 is not None and "\0" not in utf8[:4] and (declared is None or _is_utf8(body, declared)):
        yield utf8.removeprefix("\ufeff")
        return
    for mark, codec in _BOMS:
        if body.startswith(mark):
            yield body[len(mark) :].decode(codec, "replace")
            return
    zeros = bytes(not byte for byte in body[:4])  # JSON begins with ASCII (RFC 4627, section 3)
    for codec, shown in _ZEROS.items():
        if zeros in shown:
            yield body.decode(codec, "replace")
    for secret in secrets:
        body = body.replace(secret, b"***")
    if declared not in (None, "utf-8"):
        if (text := _strictly(body, declared)) is not None:
            yield text
        if utf8 is None:
            yield body.decode(declared, "replace")
    if utf8 is not None:
        yield utf8
    else:
        yield from _guessed(body)


@functools.lru_cache(maxsize=256)
def declared_codec(content_type: str) -> str | None:
    """Return Python's name of the charset that a content type declares; None for none and for an unknown one."""
    found = _CHARSET.search(content_type)
    if found is None:
        return None
    label = found[1].lower()
    for name in (label, label.removeprefix("x-")):
        try:
            known = codecs.lookup(_LABELS.get(name, name)).name
        except (LookupError, ValueError):
            continue
        codec = _SUPERSETS.get(known, known)
        return codec if _ACCEPTED.fullmatch(codec) else None
    return None


def _is_utf8(body: bytes, declared: str) -> bool:
    """Return whether a body that is valid as UTF-8 is so, whatever is declared."""
    # Characters of two bytes alone can as well be Chinese in GBK. Longer ones by chance are next to impossible.
    return declared not in _STATEFUL and (declared in _WESTERN or _WIDE.search(body) is not None)


def _guessed(body: bytes) -> list[str]:
    """Decode what is no valid UTF-8 and declares nothing that it could be."""
    broken = body.decode("utf-8", "replace")
    guesses = [text for codec in _GUESSES if (text := _strictly(body, codec)) is not None]
    trails = _PAIR.findall(body)
    # Chinese text has few letters as second bytes; Western text in Latin-1 has hardly any others.
    is_chinese = 2 * sum(trail >= b"\x80" for trail in trails) >= max(1, len(trails))
    # A title that was cut in the middle of a character leaves one broken among many sound ones.
    is_utf8 = len(_WIDE.findall(body)) >= broken.count("\ufffd") or not is_chinese
    return [broken, *guesses] if is_utf8 else [*guesses, broken]


def _strictly(body: bytes, codec: str) -> str | None:
    try:
        return body.decode(codec)
    except UnicodeDecodeError:
        return None
