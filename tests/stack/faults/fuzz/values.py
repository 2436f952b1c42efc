"""Values of every DynamoDB type, the odd ones first, as attribute values of the low-level API.

All of them are what DynamoDB takes; what it refuses by itself is in `REFUSED`.
"""

from __future__ import annotations

import unicodedata
from random import Random
from typing import Any, Final

Attribute = dict[str, Any]

TEXTS: Final = (
    "",
    " ",
    "\0",
    "a\0b",
    "\u200b",
    "\u202eesrever\u202c",
    "שלום עולם",
    "مرحبا",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 🎵🎶",
    "👩\u200d🎤",
    unicodedata.normalize("NFC", "Ångström é"),
    unicodedata.normalize("NFD", "Ångström é"),
    "\ufeffbom",
    "\uffff\ufffe\U0010ffff",
    "\u2028\u2029\x85\x0b",
    "\ue000\U000f0000",
    "a\u0300" * 60,
    "ﷺ" * 20,
    "'; DROP TABLE tasks; --",
    "${jndi:ldap://example.com/a}",
    "{{7*7}} %s %n {0} $(id) `id`",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "NaN",
    "Infinity",
    "2026-02-30T25:61:61Z",
    "pending",
    "completed",
    "x" * 2_000,
)

LARGEST: Final = "9" * 38 + "0" * 88
"""The largest number of all, as DynamoDB writes it out."""

NUMBERS: Final = (
    "0",
    "-0",
    "1",
    "-1",
    "1.5",
    "60.5",
    "0.1",
    "1E-130",
    "-1E-130",
    "9.9999999999999999999999999999999999999E+125",
    "-9.9999999999999999999999999999999999999E+125",
    LARGEST,
    "12345678901234567890123456789012345678",
    "-12345678901234567890123456789012345678",
    "0.12345678901234567890123456789012345678",
    "99999999999999999999999999999999999999",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "4294967296",
    "2147483648",
    "253402300800000",
    "1800000000000",
    "1E+30",
    "1.0000000000000000000000000000000000001",
)

_DIFFERENT: Final = [number for number in NUMBERS if number not in ("-0", LARGEST)]

BYTES: Final = (b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"text", bytes(range(256)))

REFUSED: Final[tuple[Attribute, ...]] = (
    {"N": "NaN"},
    {"N": "Infinity"},
    {"N": "-Infinity"},
    {"N": "1E+126"},
    {"N": "1E-131"},
    {"N": "123456789012345678901234567890123456789"},
    {"N": ""},
    {"N": "0x10"},
    {"N": "一"},
    {"SS": []},
    {"NS": []},
    {"BS": []},
    {"SS": ["a", "a"]},
    {"NS": ["1", "1.0"]},
    {"NULL": False},
)
"""What no item can hold."""

_DEEPEST: Final = 32
"""How deep DynamoDB lets an attribute nest."""


def text(random: Random) -> str:
    """Return an odd text, or a random one of any assigned plane."""
    if random.random() < 0.7:
        return random.choice(TEXTS)
    length = random.randrange(1, 40)
    return "".join(chr(_code_point(random)) for _ in range(length))


def _code_point(random: Random) -> int:
    point = random.choice(
        (random.randrange(0x80), random.randrange(0xD800), random.randrange(0xE000, 0x110000))
    )
    return point or 1


def attribute(random: Random, *, but: tuple[str, ...] = (), depth: int = 3) -> Attribute:
    """Return an attribute value of a random type other than those in `but`."""
    kinds = ["S", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "M", "L"]
    kind = random.choice([each for each in kinds if each not in but])
    match kind:
        case "S":
            return {kind: text(random)}
        case "N":
            return {kind: random.choice(NUMBERS)}
        case "B":
            return {kind: random.choice(BYTES)}
        case "BOOL":
            return {kind: random.random() < 0.5}
        case "NULL":
            return {kind: True}
        case "SS":
            return {kind: random.sample(TEXTS[1:], random.randrange(1, 4))}
        case "NS":
            return {kind: random.sample(_DIFFERENT, random.randrange(1, 4))}
        case "BS":
            return {kind: random.sample(BYTES[1:], random.randrange(1, 4))}
        case "M":
            names = {text(random)[:255] for _ in range(random.randrange(3) if depth else 0)}
            return {kind: {name: attribute(random, depth=depth - 1) for name in sorted(names)}}
    return {"L": [attribute(random, depth=depth - 1) for _ in range(random.randrange(3) if depth else 0)]}


def nested(random: Random, innermost: Attribute, levels: int = _DEEPEST - 1) -> Attribute:
    """Return a map that holds maps and lists, `levels` of them around `innermost`."""
    value = innermost
    for _ in range(levels - 1):
        value = {"M": {"k": value}} if random.random() < 0.5 else {"L": [value]}
    return {"M": {"k": value}}
