"""DynamoDB in memory, with books on what each partition takes a second, and throttles where that is too much.

A partition is a hash key of a table or of an index: what lies in one cannot be divided, so it never takes more than the
thousand write units and three thousand read units a second that DynamoDB allows one (Developer Guide, "Best practices
for designing and using partition keys effectively"). A write is refused where the table's partition or one of its
indexes' is full, and then comes again as botocore has it in ``standard`` mode: after a random part of 1, 2 and 4
seconds. After the fourth time the caller has the error.
"""

from __future__ import annotations

import bisect
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from botocore.exceptions import ClientError

from benchmarks.aws_units import Attributes, Index, index_write_units, indexes_of, read_units, write_units
from benchmarks.million.expressions import condition, sort_key, updated

WRITE_UNITS_MAX: Final = 1_000
READ_UNITS_MAX: Final = 3_000
"""What a partition takes a second."""

ATTEMPTS: Final = 4
"""How often a call is made: `total_max_attempts` of `tunehook.aws.clients`."""

Key: TypeAlias = tuple[str, ...]
Partition: TypeAlias = tuple[str, str]
"""The table or index (``TasksTable``, ``TasksTable/work``), and the hash key."""


@dataclass(slots=True)
class Books:
    """What partitions have taken, second by second.

    Attributes
    ----------
    busiest : dict
        By table or index: the most units that one of its partitions took in a second, and which one that was.
    tables : dict
        By table: the most write units that all of it, indexes apart, took in a second.
    throttled, given_up : Counter
        By table or index: attempts that were refused, and calls that failed in the end.
    """

    limit: float
    seed: int = 0
    units: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    busiest: dict[str, tuple[float, str]] = field(default_factory=dict)
    tables: dict[str, float] = field(default_factory=dict)
    throttled: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    _seconds: dict[int, dict[Partition, float]] = field(default_factory=lambda: defaultdict(dict))
    _by_table: dict[int, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def take(self, charges: Sequence[tuple[Partition, float]], now_s: float) -> float:
        """Take units of partitions as soon as they have room; return how many seconds the retries took.

        Raises
        ------
        ClientError
            If there was no room at any attempt; `throttle_delay_s` says how long that took.
        """
        waited_s = 0.0
        for attempt in range(ATTEMPTS):
            taken = self._seconds[int(now_s + waited_s)]
            full = [place for place, _ in charges if taken.get(place, 0.0) >= self.limit]
            if not full:
                self._book(charges, int(now_s + waited_s))
                return waited_s
            self.throttled[full[0][0]] += 1
            if attempt + 1 < ATTEMPTS:
                waited_s += self._random.random() * 2**attempt
        self.given_up[full[0][0]] += 1
        raise Throttled(waited_s)

    def _book(self, charges: Iterable[tuple[Partition, float]], second: int) -> None:
        taken, by_table = self._seconds[second], self._by_table[second]
        for place, units in charges:
            name, key = place
            self.units[name] += units
            taken[place] = taken.get(place, 0.0) + units
            if taken[place] > self.busiest.get(name, (0.0, ""))[0]:
                self.busiest[name] = taken[place], key
            by_table[name] = by_table.get(name, 0.0) + units
            self.tables[name] = max(self.tables.get(name, 0.0), by_table[name])

    def forget_before(self, second: int) -> None:
        """Forget the seconds that are over; no call asks for room in them any more."""
        for past in [each for each in self._seconds if each < second]:
            del self._seconds[past]
            self._by_table.pop(past, None)

    def begin_anew(self) -> None:
        """Forget what was counted, not what the present seconds have taken."""
        for counted in (self.units, self.busiest, self.tables, self.throttled, self.given_up):
            counted.clear()


class Throttled(ClientError):
    """What DynamoDB says where a partition is full, after the retries, which took `waited_s`."""

    def __init__(self, waited_s: float) -> None:
        super().__init__(
            {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "a partition is full"}},
            "UpdateItem",
        )
        self.waited_s = waited_s


@dataclass(slots=True)
class _IndexState:
    name: str
    index: Index
    partitions: dict[str, list[tuple[Any, Key]]] = field(default_factory=lambda: defaultdict(list))


class _TableState:
    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.keys = tuple(key["AttributeName"] for key in definition["KeySchema"])
        self.items: dict[Key, dict[str, Any]] = {}
        names = [index["IndexName"] for index in definition.get("GlobalSecondaryIndexes", ())]
        self.indexes = [
            _IndexState(name, index) for name, index in zip(names, indexes_of(definition), strict=True)
        ]

    def key_of(self, item: Mapping[str, Any]) -> Key:
        return tuple(_text(item[name]) for name in self.keys)


class DynamoDB:
    """Stands where a boto3 client does.

    Parameters
    ----------
    definitions : mapping
        What CreateTable takes, by the table's name.
    call : callable
        Is told of each call, by its operation, and that it takes so many seconds more than usual.
    now_s : callable
        The present second: of the calls that are under way, when this one is made.
    """

    def __init__(
        self,
        definitions: Mapping[str, Mapping[str, Any]],
        call: Callable[[str, float], None],
        now_s: Callable[[], float],
    ) -> None:
        self._tables = {name: _TableState(definition) for name, definition in definitions.items()}
        self._call = call
        self._now_s = now_s
        self.writes = Books(WRITE_UNITS_MAX)
        self.reads = Books(READ_UNITS_MAX, seed=1)

    def items(self, table: str) -> Iterable[dict[str, Any]]:
        """Return the items of a table as they are; nothing is counted."""
        return self._tables[table].items.values()

    def entries(self, table: str, index: str, partition: str) -> int:
        """Return how many entries a partition of an index has; nothing is counted."""
        (state,) = (each for each in self._tables[table].indexes if each.name == index)
        return len(state.partitions[partition])

    def get_item(self, *, TableName: str, Key: Attributes, **_: Any) -> dict[str, Any]:  # noqa: N803
        table = self._tables[TableName]
        key = table.key_of(Key)
        item = table.items.get(key)
        self._read("GetItem", (TableName, key[0]), [] if item is None else [item], consistent=True)
        return {} if item is None else {"Item": item}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        responses: dict[str, list[dict[str, Any]]] = {}
        charges = []
        for name, request in RequestItems.items():
            table = self._tables[name]
            found = responses.setdefault(name, [])
            for wanted in request["Keys"]:
                key = table.key_of(wanted)
                item = table.items.get(key)
                units = read_units(
                    [] if item is None else [item], consistent=request.get("ConsistentRead", False)
                )
                charges.append(((name, key[0]), units))
                if item is not None:
                    found.append(item)
        self._charge("BatchGetItem", self.reads, charges)
        return {"Responses": responses, "UnprocessedKeys": {}}

    def put_item(
        self,
        *,
        TableName: str,  # noqa: N803
        Item: dict[str, Any],  # noqa: N803
        ConditionExpression: str | None = None,  # noqa: N803
        ReturnValues: str = "NONE",  # noqa: N803
        **request: Any,
    ) -> dict[str, Any]:
        table = self._tables[TableName]
        key = table.key_of(Item)
        before = table.items.get(key)
        self._check("PutItem", TableName, key, before, ConditionExpression, request)
        self._write("PutItem", TableName, key, before, Item)
        return {"Attributes": before} if ReturnValues == "ALL_OLD" and before is not None else {}

    def update_item(
        self,
        *,
        TableName: str,  # noqa: N803
        Key: Attributes,  # noqa: N803
        UpdateExpression: str,  # noqa: N803
        ConditionExpression: str | None = None,  # noqa: N803
        ReturnValues: str = "NONE",  # noqa: N803
        **request: Any,
    ) -> dict[str, Any]:
        table = self._tables[TableName]
        key = table.key_of(Key)
        before = table.items.get(key)
        self._check("UpdateItem", TableName, key, before, ConditionExpression, request)
        names, values = _placeholders(request)
        after = updated(UpdateExpression, before or Key, names, values)
        self._write("UpdateItem", TableName, key, before, after)
        return {"Attributes": after} if ReturnValues == "ALL_NEW" else {}

    def delete_item(
        self,
        *,
        TableName: str,  # noqa: N803
        Key: Attributes,  # noqa: N803
        ConditionExpression: str | None = None,  # noqa: N803
        **request: Any,
    ) -> dict[str, Any]:
        table = self._tables[TableName]
        key = table.key_of(Key)
        before = table.items.get(key)
        self._check("DeleteItem", TableName, key, before, ConditionExpression, request)
        self._write("DeleteItem", TableName, key, before, None)
        return {}

    def get_paginator(self, operation: str) -> _Paginator:
        return _Paginator(self, operation)

    def pages(
        self,
        operation: str,
        *,
        TableName: str,  # noqa: N803
        IndexName: str | None = None,  # noqa: N803
        KeyConditionExpression: str | None = None,  # noqa: N803
        FilterExpression: str | None = None,  # noqa: N803
        ConsistentRead: bool = False,  # noqa: N803
        **request: Any,
    ) -> Iterator[dict[str, Any]]:
        """Yield the one page of a Query or a Scan, by all its items: nobody here asks for pages of a size."""
        table = self._tables[TableName]
        names, values = _placeholders(request)
        partition: Partition
        if operation == "scan":
            partition = TableName, "scan"
            found: list[dict[str, Any]] = list(table.items.values())
        else:
            # A query looks at one partition: the key condition begins with its hash key.
            index = next((each for each in table.indexes if each.name == IndexName), None)
            (hashed,) = values_of_hash(KeyConditionExpression or "", values)
            if index is None:
                partition = TableName, hashed
                found = [item for key, item in table.items.items() if key[0] == hashed]
            else:
                partition = f"{TableName}/{IndexName}", hashed
                entries = index.partitions.get(hashed, [])
                found = []
                for _, key in entries[_first(KeyConditionExpression or "", entries, values) :]:
                    entry = index.index.entry(table.items[key])
                    assert entry is not None
                    found.append(entry)
            is_found = condition(KeyConditionExpression or "")
            found = [item for item in found if is_found(item, names, values)]
        self._read("Scan" if operation == "scan" else "Query", partition, found, consistent=ConsistentRead)
        if FilterExpression is not None:
            is_wanted = condition(FilterExpression)
            found = [item for item in found if is_wanted(item, names, values)]
        yield {"Items": found}

    def _read(
        self, operation: str, partition: Partition, found: Sequence[Attributes], *, consistent: bool
    ) -> None:
        self._charge(operation, self.reads, [(partition, read_units(found, consistent=consistent))])

    def _check(
        self,
        operation: str,
        name: str,
        key: Key,
        before: Mapping[str, Any] | None,
        expression: str | None,
        request: Mapping[str, Any],
    ) -> None:
        if expression is None or condition(expression)(before or {}, *_placeholders(request)):
            return
        # What is refused costs as much as if it were not.
        self._charge(operation, self.writes, [((name, key[0]), write_units(before))])
        response: dict[str, Any] = {
            "Error": {"Code": "ConditionalCheckFailedException", "Message": "refused"}
        }
        if before is not None and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            response["Item"] = before
        raise ClientError(response, operation)  # type: ignore[arg-type]

    def _write(
        self,
        operation: str,
        name: str,
        key: Key,
        before: Mapping[str, Any] | None,
        after: dict[str, Any] | None,
    ) -> None:
        table = self._tables[name]
        charges = [((name, key[0]), float(write_units(before, after)))]
        moves = []
        for index in table.indexes:
            old, new = index.index.entry(before), index.index.entry(after)
            if old == new:
                continue
            hashed, ranged = index.index.keys
            place = f"{name}/{index.name}"
            if old is not None and new is not None and old[hashed] != new[hashed]:
                charges.append(((place, _text(old[hashed])), float(write_units(old))))
                charges.append(((place, _text(new[hashed])), float(write_units(new))))
            else:
                units = index_write_units(index.index, before, after)
                charges.append(((place, _text((new or old or {})[hashed])), float(units)))
            if old is None or new is None or old[hashed] != new[hashed] or old[ranged] != new[ranged]:
                moves.append((index, old, new))
        self._charge(operation, self.writes, charges)
        if after is None:
            table.items.pop(key, None)
        else:
            table.items[key] = after
        for index, old, new in moves:
            hashed, ranged = index.index.keys
            if old is not None:
                entries = index.partitions[_text(old[hashed])]
                del entries[bisect.bisect_left(entries, (sort_key(old[ranged]), key))]
            if new is not None:
                bisect.insort(index.partitions[_text(new[hashed])], (sort_key(new[ranged]), key))

    def _charge(self, operation: str, books: Books, charges: Sequence[tuple[Partition, float]]) -> None:
        try:
            waited_s = books.take(charges, self._now_s())
        except Throttled as error:
            self._call(operation, error.waited_s)
            raise
        self._call(operation, waited_s)


@dataclass(frozen=True, slots=True)
class _Paginator:
    dynamodb: DynamoDB
    operation: str

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        request.pop("PaginationConfig", None)
        return self.dynamodb.pages(self.operation, **request)


def _first(expression: str, entries: list[tuple[Any, Key]], values: Mapping[str, Any]) -> int:
    """Return where in a partition to begin: a condition ``>=`` on the range key leaves out what is before it."""
    since = re.search(r">= (:\w+)", expression)
    return 0 if since is None else bisect.bisect_left(entries, (sort_key(values[since[1]]),))


def values_of_hash(expression: str, values: Mapping[str, Any]) -> list[str]:
    """Return the hash key that a key condition looks for, of the values that it names."""
    first = expression.replace("(", " ").replace(")", " ").split("AND")[0]
    _, sign, value = first.split()
    if sign != "=":
        raise NotImplementedError(f"the key condition {expression} is not known here")
    return [_text(values[value])]


def _placeholders(request: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    return request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})


def _text(attribute: Mapping[str, Any]) -> str:
    (value,) = attribute.values()
    return str(value)
