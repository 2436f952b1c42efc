"""What DynamoDB bills for a request: capacity units from the sizes of items.

The rules are those of the Amazon DynamoDB Developer Guide: "DynamoDB item sizes and formats", "DynamoDB read and
write operations" (capacity unit consumption), and "Provisioned throughput considerations for global secondary
indexes", which hold for on-demand request units too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

WRITE_BYTES = 1024
READ_BYTES = 4096

_CONTAINER_BYTES = 3
_ELEMENT_BYTES = 1

Attributes = Mapping[str, Mapping[str, Any]]
"""An item in DynamoDB's attribute values: ``{"task_id": {"S": "task-1"}}``."""


@dataclass(frozen=True, slots=True)
class Index:
    """A global secondary index.

    Parameters
    ----------
    keys : tuple of str
        Its key attributes; an item that lacks one of them is not in the index.
    projected : frozenset of str or None
        All attributes of its entries, the keys of index and table among them; None for all there are.
    """

    keys: tuple[str, ...]
    projected: frozenset[str] | None

    def entry(self, item: Attributes | None) -> dict[str, Any] | None:
        """Return what the index holds of `item`, or None where it holds nothing."""
        if item is None or any(key not in item for key in self.keys):
            return None
        return {
            name: value for name, value in item.items() if self.projected is None or name in self.projected
        }


def indexes_of(definition: Mapping[str, Any]) -> tuple[Index, ...]:
    """Return the indexes of a table, from what CreateTable takes."""
    table_keys = {key["AttributeName"] for key in definition["KeySchema"]}
    indexes = []
    for index in definition.get("GlobalSecondaryIndexes", ()):
        keys = tuple(key["AttributeName"] for key in index["KeySchema"])
        others = index["Projection"].get("NonKeyAttributes", ())
        every = index["Projection"]["ProjectionType"] == "ALL"
        indexes.append(Index(keys, None if every else frozenset({*table_keys, *keys, *others})))
    return tuple(indexes)


def item_bytes(item: Attributes) -> int:
    """Return the size of an item: its attributes' names and values, in bytes."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(attribute: Mapping[str, Any]) -> int:
    ((kind, value),) = attribute.items()
    match kind:
        case "S":
            return len(value.encode())
        case "N":
            return _number_bytes(value)
        case "B":
            return len(value)
        case "BOOL" | "NULL":
            return 1
        case "SS":
            return sum(len(each.encode()) for each in value)
        case "NS":
            return sum(_number_bytes(each) for each in value)
        case "BS":
            return sum(len(each) for each in value)
        case "L":
            return _CONTAINER_BYTES + sum(_ELEMENT_BYTES + _value_bytes(each) for each in value)
        case "M":
            return _CONTAINER_BYTES + len(value) * _ELEMENT_BYTES + item_bytes(value)
    raise ValueError(f"DynamoDB has no attribute values of the kind {kind}")


def _number_bytes(number: str) -> int:
    """One byte for two significant digits, and one more; a negative number needs another."""
    digits = number.lower().partition("e")[0].lstrip("-+").replace(".", "").strip("0")
    return math.ceil(len(digits) / 2) + 1 + number.startswith("-")


def write_units(*images: Attributes | None) -> int:
    """Return what a write to the table costs; of the item before and after it, the larger counts."""
    largest = max((item_bytes(image) for image in images if image is not None), default=0)
    return max(1, math.ceil(largest / WRITE_BYTES))


def index_write_units(index: Index, before: Attributes | None, after: Attributes | None) -> int:
    """Return what a write to the table costs in one of its indexes.

    Nothing where the index's entry stays as it is; one write where it comes, goes, or changes otherwise than in its
    keys; two where its keys change, for then the old entry is deleted and a new one put.
    """
    old, new = index.entry(before), index.entry(after)
    if old == new:
        return 0
    if old is None or new is None:
        return write_units(old, new)
    if any(old[key] != new[key] for key in index.keys):
        return write_units(old) + write_units(new)
    return write_units(old, new)


def read_units(items: Iterable[Attributes], *, consistent: bool) -> float:
    """Return what a read of `items` costs in one request; one that finds nothing costs the least there is."""
    units = max(1, math.ceil(sum(map(item_bytes, items)) / READ_BYTES))
    return units if consistent else units / 2
