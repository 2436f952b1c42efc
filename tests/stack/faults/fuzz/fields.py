"""What the fields of a subscription may hold, and what none of them may, as attribute values of the low-level API."""

from __future__ import annotations

import json
from decimal import Decimal
from random import Random
from typing import Any, Final

from tests.stack.faults.fuzz.values import NUMBERS, TEXTS, Attribute, attribute, nested

DAY_S: Final = 86_400


def _pattern(pattern: dict[str, Any]) -> Attribute:
    """Return a filter as a map, as the command and the API write it."""

    def of(value: Any) -> Attribute:
        match value:
            case bool():
                return {"BOOL": value}
            case None:
                return {"NULL": True}
            case int() | float():
                return {"N": str(value)}
            case str():
                return {"S": value}
            case list():
                return {"L": [of(each) for each in value]}
        return {"M": {name: of(each) for name, each in value.items()}}

    return of(pattern)


def _waits(*waits_s: int | str) -> Attribute:
    return {"L": [{"N": str(each)} for each in waits_s]}


_OPEN_ESCAPE: Final = "ends with \\"

_BAD_PATTERNS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"": []},
    {"task_id": {"": [""]}},
    {"task_id": []},
    {"task_id": "x"},
    {"task_id": 1},
    {"task_id": None},
    {"task_id": {}},
    {"task_id": [[]]},
    {"task_id": [{}]},
    {"task_id": [{"matches": "x"}]},
    {"task_id": [{"prefix": "x", "suffix": "x"}]},
    {"task_id": [{"prefix": 1}]},
    {"task_id": [{"prefix": {"equals-ignore-case": 1}}]},
    {"task_id": [{"prefix": {"wildcard": "*"}}]},
    {"task_id": [{"equals-ignore-case": ["x"]}]},
    {"task_id": [{"exactly": 1}]},
    {"task_id": [{"exists": "true"}]},
    {"task_id": [{"exists": 1}]},
    {"task_id": [{"wildcard": "**"}]},
    {"task_id": [{"wildcard": _OPEN_ESCAPE}]},
    {"task_id": [{"wildcard": "*a" * 17}]},
    {"task_id": [{"numeric": []}]},
    {"task_id": [{"numeric": [">"]}]},
    {"task_id": [{"numeric": ["!=", 1]}]},
    {"task_id": [{"numeric": [">", "1"]}]},
    {"task_id": [{"numeric": [">", 2, "<", 1]}]},
    {"task_id": [{"numeric": ["<", 1, ">", 0]}]},
    {"task_id": [{"cidr": "10.0.0.0/33"}]},
    {"task_id": [{"cidr": "localhost"}]},
    {"task_id": [{"cidr": "10.0.0.1"}]},
    {"task_id": [{"cidr": "10.0.0.0/255.0.0.0"}]},
    {"task_id": [{"anything-but": []}]},
    {"task_id": [{"anything-but": ["x", 1]}]},
    {"task_id": [{"anything-but": {"prefix": ""}}]},
    {"task_id": [{"anything-but": {"numeric": ["=", 1]}}]},
    {"task_id": [{"anything-but": None}]},
    {"$or": []},
    {"$or": [{"task_id": [1]}]},
    {"$or": {"task_id": [1]}},
    {"$or": [{"task_id": [1]}, {}]},
    {"$or": [{"task_id": [1]}, "x"]},
    {"$or": [{"prefix": [1]}, {"task_id": [1]}]},
    {"task_id": ["x"], "$or": [{"task_id": ["x"]}, {"provider": ["x"]}]},
    {"a.b": [1], "a": {"b": [1]}},
    {"a": [1], "a.b": [1]},
    {".".join("x" * 17): [1]},
    {"task_id": ["x" * 4_096]},
    {"task_id": [1e38]},
    {"task_id": [-1e38]},
)

_GOOD_PATTERNS: Final[tuple[dict[str, Any], ...]] = (
    {"task_id": ["", None, True, 0, 1.5, -1]},
    {"a..b": {".": [""]}},
    {"task_id": [{"prefix": ""}, {"suffix": "\u202e"}, {"prefix": {"equals-ignore-case": "ß"}}]},
    {"task_id": [{"wildcard": "*"}, {"wildcard": "a\\*b\\\\"}, {"exactly": "*"}]},
    {
        "task_id": [
            {"anything-but": {"wildcard": ["*a", "b*"]}},
            {"anything-but": 0},
            {"anything-but": ["x", "y"]},
        ]
    },
    {"clips": {"duration_s": [{"numeric": [">=", 0, "<", 1e37]}], "tags": [{"exists": False}]}},
    {
        "metadata.order": [{"numeric": ["=", 1017]}],
        "$or": [{"status": ["failed"]}, {"archive": ["complete"]}],
    },
    {"metadata": {"address": [{"cidr": "10.0.0.1/8"}, {"cidr": "::/0"}]}},
    {".".join("x" * 16): [{"exists": True}]},
)

BAD: Final[dict[str, tuple[Attribute, ...]]] = {
    "signature": tuple({"S": each} for each in (*TEXTS, "V1", "v1a ", "ed25519", "v1,v1a")),
    "timeout_s": (
        *({"N": each} for each in NUMBERS if each != "1"),
        *({"N": each} for each in ("16", "1.5", "15.0001", "-15")),
    ),
    "max_per_second": (
        *({"N": each} for each in NUMBERS if not Decimal("0.1") <= Decimal(each) <= 1000),
        *({"N": each} for each in ("0.0999", "1000.001", "-0.1")),
    ),
    "retry_schedule": (
        {"L": []},
        {"L": [{"S": "5"}]},
        {"L": [{"L": [{"N": "5"}]}]},
        {"L": [{"N": "5"}, {"NULL": True}]},
        {"L": [{"BOOL": True}]},
        *(_waits(each) for each in NUMBERS if each != "1"),
        _waits(5, 0),
        _waits("1.5"),
        _waits(DAY_S + 1),
        _waits(*[1] * 21),
        _waits(*[DAY_S] * 7, 1),
    ),
    "filter": (
        *map(_pattern, _BAD_PATTERNS),
        *({"S": json.dumps(each)} for each in _BAD_PATTERNS),
        *({"S": each} for each in TEXTS),
        {"S": '{"task_id": ["x"], "task_id": ["y"]}'},
        {"S": '{"task_id": [NaN]}'},
        {"S": '{"task_id": [' * 5_000},
        {"S": '{"task_id": ["x"]}' + " " * 70_000},
        {"M": {"task_id": {"L": [{"B": b"x"}]}}},
        {"M": {"task_id": {"SS": ["x"]}}},
        {"M": {"task_id": {"L": [{"M": {"numeric": {"SS": [">"]}}}]}}},
    ),
}
"""By field: values of its own type that are not acceptable."""

FINE: Final[dict[str, tuple[Attribute, ...]]] = {
    "signature": ({"NULL": True}, {"S": "v1"}, {"S": "v1a"}, {"S": "both"}),
    "signature_both_until_ms": ({"NULL": True}, {"N": "0"}, {"N": "1800000000000"}),
    "timeout_s": ({"NULL": True}, {"N": "1"}, {"N": "15"}, {"N": "1.5E+1"}),
    "max_per_second": (
        {"NULL": True},
        {"N": "0.1"},
        {"N": "1E+3"},
        {"N": "1000.0"},
        {"N": "0.33333333333333333"},
    ),
    "max_per_second_since_ms": ({"NULL": True}, {"N": "0"}, {"N": "1800000000000"}),
    "retry_schedule": (
        {"NULL": True},
        _waits(1),
        _waits(*[1] * 20),
        _waits(*[DAY_S] * 7),
        _waits("8.64E+4", "5.0"),
    ),
    "filter": (
        {"NULL": True},
        *map(_pattern, _GOOD_PATTERNS),
        *({"S": json.dumps(each)} for each in _GOOD_PATTERNS),
        {"S": '{"task_id" : [ 1E+2 , "\\u6b4c" ]}'},
    ),
}
"""By field: values that are acceptable, however odd."""

_TYPES: Final = {
    "signature": "S",
    "timeout_s": "N",
    "max_per_second": "N",
    "retry_schedule": "L",
    "filter": "M",
}


def bad_value(random: Random, field: str) -> Attribute:
    """Return a value that the field may not have: of its own type, or of another one."""
    if random.random() < 0.7:
        return random.choice(BAD[field])
    if field == "filter":
        return nested(random, {"B": b"deep"}, random.choice((1, 2, 16, 30)))
    return attribute(random, but=(_TYPES[field], "NULL"))


OPERATIONAL: Final = (
    "subscription.failing",
    "subscription.disabled",
    "provider.unauthorised",
    "dead_letters.found",
)

NO_EVENT: Final = _pattern({"task_id": [{"exists": True}]})
"""A filter that no operational event matches: whoever has it is told of none."""
