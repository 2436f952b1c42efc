from __future__ import annotations

import json
from typing import Any

import pytest

from tunehook.providers.payload import UnreadablePayloadError, bounded, json_size, parse


def depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, items), default=0) if isinstance(value, dict | list) else 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NaN", None),
        ("-Infinity", None),
        ("1e999", "1e999"),
        ("9" * 38, int("9" * 38)),
        ("9" * 39, "9" * 39),
        ("9" * 10_000, "9" * 10_000),
        (r'"\ud800"', "\ufffd"),
        (r'"\ud83d\ude00"', "😀"),
        (r'{"\udfff": 1}', {"\ufffd": 1}),
        ("\ufeff[1]", [1]),
    ],
    ids=lambda value: str(value)[:12].encode("ascii", "replace").decode(),
)
def test_values_that_nothing_else_can_carry_are_replaced(text: str, value: Any) -> None:
    assert parse(text.encode()) == value


def test_a_byte_that_is_no_utf_8_is_replaced() -> None:
    assert parse(b'{"title": "a\xffb"}') == {"title": "a\ufffdb"}


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"<html>", b"{", b'{"a": 1}x', b"[" * 100_000, b"{'a': 1}", b"\x00"]
)
def test_what_is_no_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(UnreadablePayloadError):
        parse(body)


@pytest.mark.parametrize("body", [b"[" * 100 + b"]" * 100, b'{"a":' * 100 + b"1" + b"}" * 100])
def test_nesting_ends_at_32_levels(body: bytes) -> None:
    assert depth(parse(body)) == 32


def test_a_secret_is_blotted_out_of_texts_and_names_however_it_is_escaped() -> None:
    body = rb'{"a": "key sk-secret/1 is bad", "b": ["sk-secret\/1"], "sk-secret/1": "\u0073k-secret/1"}'
    assert parse(body, "sk-secret/1") == {"a": "key *** is bad", "b": ["***"], "***": "***"}


def test_a_secret_that_could_be_an_ordinary_word_is_left_alone() -> None:
    assert parse(b'"SUCCESS"', "SUCCESS") == "SUCCESS"


def test_an_object_within_the_limit_is_left_as_it_is() -> None:
    value = {"prompt": "x" * 1000}
    assert bounded(value, json_size(value)) == (value, False)


def test_the_longest_texts_are_cut_first() -> None:
    value = {"id": "t", "data": [{"prompt": "詞" * 100_000, "title": "T" * 300}]}
    shorter, cut = bounded(value, 200_000)
    assert cut
    assert shorter["data"][0]["prompt"] == "詞" * 20_000 + "…"
    assert shorter["data"][0]["title"] == "T" * 300


@pytest.mark.parametrize(
    "value",
    [
        {"data": ["x" * 1000] * 5000},
        {"data": [[[{"a": [1, 2, 3]}]] * 100] * 100},
        {str(number): number for number in range(200_000)},
        {"x" * 3_000_000: 1},
        {"data": [[[[["x" * 49] * 10] * 10] * 10] * 10] * 10},
    ],
    ids=["many texts", "many lists", "many fields", "long name", "wide tree"],
)
def test_every_object_can_be_brought_within_the_limit(value: dict[str, Any]) -> None:
    shorter, cut = bounded(value, 200_000)
    assert cut
    assert len(json.dumps(shorter, ensure_ascii=False).encode()) <= 200_000
