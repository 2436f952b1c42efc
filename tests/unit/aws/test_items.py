import base64
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from tunehook.aws.items import from_attributes, from_stream, to_attributes

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(-1e15, 1e15).filter(lambda value: value == 0 or abs(value) > 1e-30)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_values_come_back_as_they_were_stored(value: Any) -> None:
    assert from_attributes(to_attributes({"value": value})) == {"value": value}


@given(PLAIN)
def test_attributes_are_those_that_boto3_makes(value: Any) -> None:
    def decimals(each: Any) -> Any:
        match each:
            case float():
                return Decimal(repr(each))
            case list():
                return list(map(decimals, each))
            case dict():
                return {name: decimals(inner) for name, inner in each.items()}
        return each

    assert to_attributes({"value": value}) == {"value": TypeSerializer().serialize(decimals(value))}


@pytest.mark.parametrize("value", [10**38 - 1, 1 - 10**38, 10**38, -(10**40), 0])
def test_whole_numbers_of_any_length_are_those_that_boto3_takes(value: int) -> None:
    stored = to_attributes({"value": value})
    assert Decimal(stored["value"]["N"]) == value
    assert from_attributes(stored) == {"value": value}


@pytest.mark.parametrize(
    ("text", "value"), [("-0", 0), ("1E+3", 1000), ("0.50", 0.5), ("-7", -7), ("1" + "0" * 125, 10**125)]
)
def test_a_number_is_read_as_dynamodb_may_write_it(text: str, value: float) -> None:
    found = from_attributes({"value": {"N": text}})["value"]
    assert (found, type(found)) == (value, type(value))


def test_a_float_is_stored_as_the_decimal_that_people_read() -> None:
    assert to_attributes({"duration_s": 87.4}) == {"duration_s": {"N": "87.4"}}


def test_whole_numbers_come_back_as_int_and_others_as_float() -> None:
    item = from_attributes({"a": {"N": "60"}, "b": {"N": "60.0"}, "c": {"N": "87.4"}})
    assert [(value, type(value)) for value in item.values()] == [(60, int), (60, int), (87.4, float)]


def test_tuples_are_stored_as_lists() -> None:
    assert to_attributes({"tags": ("a",)}) == {"tags": {"L": [{"S": "a"}]}}


def test_bytes_come_back_as_bytes() -> None:
    assert from_attributes(to_attributes({"x": b"\x00\xff"})) == {"x": b"\x00\xff"}


DIGITS = "1.2345678901234567890123456789012345678"
IMAGE: dict[str, Any] = {
    "text": {"S": "歌"},
    "number": {"N": DIGITS},
    "large": {"N": "9.99E+125"},
    "null": {"NULL": True},
    "yes": {"BOOL": True},
    "bytes": {"B": base64.b64encode(b"\x00\xff").decode()},
    "texts": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2.5"]},
    "byte_strings": {"BS": [base64.b64encode(each).decode() for each in (b"\x00", b"\xff")]},
    "map": {"M": {"inner": {"L": [{"B": base64.b64encode(b"deep").decode()}, {"N": "1"}]}}},
}
STORED = {
    **IMAGE,
    "bytes": {"B": b"\x00\xff"},
    "byte_strings": {"BS": [b"\x00", b"\xff"]},
    "map": {"M": {"inner": {"L": [{"B": b"deep"}, {"N": "1"}]}}},
}


@pytest.mark.parametrize("name", IMAGE)
def test_a_value_of_a_stream_image_makes_the_attribute_that_is_stored(name: str) -> None:
    (attribute,) = to_attributes(from_stream({name: IMAGE[name]})).values()
    ((kind, value),) = attribute.items()
    if kind in ("SS", "NS", "BS"):
        value = sorted(value)
    if kind == "N":
        value, expected = Decimal(value), {"N": Decimal(STORED[name]["N"])}
    else:
        expected = STORED[name]
    assert {kind: value} == expected


def test_numbers_of_a_stream_image_stay_exact() -> None:
    assert from_stream({"number": {"N": DIGITS}}) == {"number": Decimal(DIGITS)}


def test_so_they_do_however_deep_they_lie() -> None:
    number, exact = {"N": DIGITS}, Decimal(DIGITS)
    image = {"map": {"M": {"in": number, "list": {"L": [number]}, "set": {"NS": [DIGITS]}}}}
    assert from_stream(image) == {"map": {"in": exact, "list": [exact], "set": {exact}}}


LARGEST = "9" * 38 + "0" * 88
"""DynamoDB's largest number, written out as it comes back: 126 digits, of which boto3 takes 38."""


@pytest.mark.parametrize("text", [LARGEST, f"-{LARGEST}", "1" + "0" * 125, "0." + "0" * 129 + "1"])
def test_every_number_that_dynamodb_holds_can_be_read_and_written_back(text: str) -> None:
    for read in (from_stream({"number": {"N": text}}), from_attributes({"number": {"N": text}})):
        assert read["number"] == Decimal(text) or read["number"] == float(text)
        assert Decimal(to_attributes(read)["number"]["N"]) == Decimal(text)


def test_every_number_of_a_set_can_be_read() -> None:
    assert from_attributes({"numbers": {"NS": [LARGEST, "1"]}}) == {"numbers": {Decimal(LARGEST), Decimal(1)}}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [({"NS": ["1", "2.5"]}, {1, 2.5}), ({"BS": [b"x"]}, {b"x"}), ({"SS": ["a"]}, {"a"})],
)
def test_sets_come_back_as_sets_of_plain_values(attribute: dict[str, Any], value: set[Any]) -> None:
    (found,) = from_attributes({"x": {"L": [attribute]}})["x"]
    assert found == value
    assert {type(each) for each in found} == {type(each) for each in value}


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ({"B": "AP8="}, b"\x00\xff"),
        ({"BS": ["AP8="]}, {b"\x00\xff"}),
        ({"M": {"k": {"L": [{"B": "AP8="}]}}}, {"k": [b"\x00\xff"]}),
    ],
)
def test_bytes_of_a_stream_image_are_plain_bytes(attribute: dict[str, Any], value: Any) -> None:
    assert repr(from_stream({"x": attribute})) == repr({"x": value})


def test_a_number_with_more_digits_than_dynamodb_takes_is_stored_without_the_zeros_at_its_end() -> None:
    assert to_attributes({"n": 10**38, "float": 1e40}) == {"n": {"N": "1E+38"}, "float": {"N": "1E+40"}}
    assert from_attributes({"n": {"N": "1" + 38 * "0"}}) == {"n": 10**38}
