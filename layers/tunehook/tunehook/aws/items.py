"""Plain Python values to DynamoDB attribute values and back, with the low-level client (which is thread-safe)."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Final

from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer

_DIGITS_MAX: Final = 38
"""DynamoDB's own limit for a number, without zeros at its end."""

_WIDE: Final = Context(prec=200)

_WHOLE_MAX: Final = 10**_DIGITS_MAX
_WHOLE: Final = re.compile(r"-?[0-9]{1,38}", re.ASCII)


class _Deserializer(TypeDeserializer):
    """boto3's, which raises for large numbers: it counts the zeros of those that DynamoDB writes out in 126 digits."""

    def _deserialize_n(self, value: str) -> Decimal:
        return _without_zeros(Decimal(value))


_serializer = TypeSerializer()
_deserializer = _Deserializer()


def to_attributes(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return `item` as DynamoDB attribute values. Floats become decimals, which is what DynamoDB stores."""
    return {name: _attribute(value) for name, value in item.items()}


def from_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return DynamoDB attribute values as plain Python: numbers as int where whole, otherwise as float."""
    return {name: _value(attribute) for name, attribute in attributes.items()}


def from_stream(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item image of a stream event as Python values that serialise to the very same attribute values.

    Numbers stay decimals, so that a condition on equality holds; bytes, which Lambda gives as base64, are bytes again.
    """
    return exactly_from_attributes({name: _with_bytes(value) for name, value in image.items()})


def exactly_from_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attribute values, as a client gives them, as the Python values that `from_stream` gives."""
    return {name: _plain(_deserializer.deserialize(value), exact=True) for name, value in attributes.items()}


def plainly_from_stream(image: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item image of a stream event as `from_attributes` gives an item."""
    return {name: _plain(value) for name, value in from_stream(image).items()}


def _attribute(value: Any) -> dict[str, Any]:
    """Return a value as an attribute value; what is common in a tenth of the time that boto3 takes."""
    kind = type(value)
    if kind is str:
        return {"S": value}
    if kind is int and -_WHOLE_MAX < value < _WHOLE_MAX:
        return {"N": str(value)}
    if kind is bool:
        return {"BOOL": value}
    if kind is dict:
        return {"M": {name: _attribute(each) for name, each in value.items()}}
    if kind is list:
        return {"L": [_attribute(each) for each in value]}
    attribute: Any = _serializer.serialize(_storable(value))
    return dict(attribute)


def _value(attribute: Any) -> Any:
    """Return an attribute value as plain Python; what is common without boto3's decimals."""
    if len(attribute) == 1:
        ((kind, value),) = attribute.items()
        match kind:
            case "S" | "BOOL":
                return value
            case "N" if _WHOLE.fullmatch(value):
                return int(value)
            case "M":
                return {name: _value(each) for name, each in value.items()}
            case "L":
                return [_value(each) for each in value]
    return _plain(_deserializer.deserialize(attribute))


def _with_bytes(attribute: Mapping[str, Any]) -> Any:
    ((kind, value),) = attribute.items()
    match kind:
        case "B":
            return {kind: base64.b64decode(value)}
        case "BS":
            return {kind: [base64.b64decode(each) for each in value]}
        case "M":
            return {kind: {name: _with_bytes(each) for name, each in value.items()}}
        case "L":
            return {kind: [_with_bytes(each) for each in value]}
        case _:
            return {kind: value}


def _without_zeros(number: Decimal) -> Decimal:
    """Return the same number with no more digits than boto3 takes, where zeros at its end make them too many."""
    return number if len(number.as_tuple().digits) <= _DIGITS_MAX else number.normalize(_WIDE)


def _storable(value: Any) -> Any:
    match value:
        case float():
            return Decimal(repr(value))
        case int() if not isinstance(value, bool):
            return _without_zeros(Decimal(value))
        case Mapping():
            return {key: _storable(each) for key, each in value.items()}
        case list() | tuple():
            return [_storable(each) for each in value]
        case _:
            return value


def _plain(value: Any, *, exact: bool = False) -> Any:
    """Return a value with bytes in place of boto3's class for them, and with `exact`, decimals as they are."""
    match value:
        case Decimal() if not exact:
            return int(value) if value == value.to_integral_value() else float(value)
        case Binary():
            return value.value  # type: ignore[attr-defined]
        case dict():
            return {key: _plain(each, exact=exact) for key, each in value.items()}
        case list():
            return [_plain(each, exact=exact) for each in value]
        case set():
            return {_plain(each, exact=exact) for each in value}
        case _:
            return value
