"""Counts what a process asks of AWS: every request of its boto3 clients, by who makes it, and what DynamoDB bills."""

from __future__ import annotations

import json
import math
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from benchmarks.aws_units import Attributes, index_write_units, indexes_of, read_units, write_units

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient

NOBODY = "nobody"
CHUNK_BYTES = 65_536
"""Of an event or a message: each begun one of these is billed as one."""


class Ledger:
    """What was asked of AWS, by whoever was at work at that moment.

    All that is counted is in counters by the name that `by` was given, or by that and the operation
    (``dynamodb UpdateItem``).

    Parameters
    ----------
    definitions : mapping
        What CreateTable was given, by the table's name: the indexes are in it.
    dynamodb : DynamoDBClient
        A client that is not counted, to look at items after they were written.
    """

    def __init__(self, definitions: Mapping[str, Mapping[str, Any]], dynamodb: DynamoDBClient) -> None:
        self._indexes = {name: indexes_of(definition) for name, definition in definitions.items()}
        self._keys = {
            name: tuple(key["AttributeName"] for key in definition["KeySchema"])
            for name, definition in definitions.items()
        }
        self._dynamodb = dynamodb
        self._images: dict[tuple[str, str], Attributes | None] = {}
        self._lock = threading.Lock()
        self._who = ContextVar("who", default=NOBODY)
        self.forget()

    def forget(self) -> None:
        """Begin to count anew; how the items are is not forgotten."""
        self.calls: Counter[tuple[str, str]] = Counter()
        self.writes: Counter[tuple[str, str]] = Counter()
        self.item_writes: Counter[tuple[str, str]] = Counter()
        self.index_departures: Counter[tuple[str, str]] = Counter()
        self.table_write_units: Counter[tuple[str, str]] = Counter()
        self.largest_write_units: Counter[tuple[str, str]] = Counter()
        self.index_write_units: Counter[tuple[str, str]] = Counter()
        self.read_units: dict[str, float] = defaultdict(float)
        self.event_entries: dict[str, int] = defaultdict(int)
        self.event_chunks: dict[str, int] = defaultdict(int)
        self.log_bytes: dict[str, int] = defaultdict(int)
        self.metrics: dict[str, set[tuple[str, ...]]] = defaultdict(set)

    @contextmanager
    def by(self, who: str) -> Iterator[None]:
        """Put down what is asked meanwhile to `who`."""
        token = self._who.set(who)
        try:
            yield
        finally:
            self._who.reset(token)

    def hand_over(self, who: str, to: str) -> None:
        """Put down to `to` what was put down to `who`."""
        with self._lock:
            for counter in (
                self.calls,
                self.writes,
                self.item_writes,
                self.index_departures,
                self.table_write_units,
                self.index_write_units,
            ):
                for key in [key for key in counter if key[0] == who]:
                    counter[to, key[1]] += counter.pop(key)
            for key in [key for key in self.largest_write_units if key[0] == who]:
                units = self.largest_write_units.pop(key)
                self.largest_write_units[to, key[1]] = max(self.largest_write_units[to, key[1]], units)
            self.read_units[to] += self.read_units.pop(who, 0)
            for counts in (self.event_entries, self.event_chunks, self.log_bytes):
                counts[to] += counts.pop(who, 0)
            self.metrics[to] |= self.metrics.pop(who, set())

    def watch(self, session: Session) -> None:
        """Count the requests of all clients that the session makes from now on."""
        session.events.register("before-parameter-build", self._remember)
        session.events.register("before-call", self._count)
        session.events.register("after-call", self._weigh)

    def log(self, text: str) -> None:
        """Count a piece of the log, and note the metrics that it holds (embedded metric format)."""
        with self._lock:
            self.log_bytes[self._who.get()] += len(text.encode())
            if '"_aws"' in text:
                self.metrics[self._who.get()] |= metrics_of(json.loads(text))

    def _remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["tunehook_params"] = params

    def _count(self, model: Any, **_: Any) -> None:
        with self._lock:
            self.calls[self._who.get(), f"{model.service_model.service_name} {model.name}"] += 1

    def _weigh(self, model: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        params = context["tunehook_params"]
        with self._lock:
            match model.service_model.service_name:
                case "dynamodb":
                    self._weigh_items(model.name, params, parsed)
                case "events":
                    for entry in params["Entries"]:
                        self.event_entries[self._who.get()] += 1
                        self.event_chunks[self._who.get()] += chunks(entry["Detail"])

    def _weigh_items(self, operation: str, params: dict[str, Any], parsed: dict[str, Any]) -> None:
        if operation == "TransactWriteItems":
            self._weigh_transaction(params, parsed)
            return
        consistent = params.get("ConsistentRead", False)
        if operation == "Query":
            parsed = self._evaluated(params, parsed)
        elif "ProjectionExpression" in params or "FilterExpression" in params:
            raise NotImplementedError(f"{operation}: the answer does not tell the size of what was read")
        match operation:
            case "PutItem" | "UpdateItem" | "DeleteItem":
                self._weigh_write(params, parsed)
            case "GetItem":
                found = [parsed["Item"]] if "Item" in parsed else []
                self.read_units[self._who.get()] += read_units(found, consistent=consistent)
            case "BatchGetItem":
                # Each item is rounded up by itself; one that is not there costs as the smallest.
                for table, keys in params["RequestItems"].items():
                    # A projection makes the answer smaller, not what is billed.
                    whole = "ProjectionExpression" in keys
                    items = self._items(table, keys["Keys"]) if whole else parsed["Responses"].get(table, [])
                    found = [[item] for item in items]
                    missing: list[list[Attributes]] = [[]] * (len(keys["Keys"]) - len(found))
                    self.read_units[self._who.get()] += sum(
                        read_units(item, consistent=keys.get("ConsistentRead", False))
                        for item in (*found, *missing)
                    )
            case "Query" | "Scan":
                self.read_units[self._who.get()] += read_units(parsed["Items"], consistent=consistent)
            case _:
                raise NotImplementedError(f"what {operation} costs is not known here")

    def _evaluated(self, params: dict[str, Any], parsed: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a Query as it is without projection and filter: they make it smaller, not the bill."""
        left_out = {"ProjectionExpression", "FilterExpression"}
        if not left_out & params.keys():
            return parsed
        request = {name: value for name, value in params.items() if name not in left_out}
        for placeholders in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
            given = request.pop(placeholders, {})
            used = {
                name: value
                for name, value in given.items()
                if re.search(rf"{name}\b", params["KeyConditionExpression"])
            }
            request |= {placeholders: used} if used else {}
        return dict(self._dynamodb.query(**request))

    def _items(self, table: str, keys: list[Attributes]) -> list[Attributes]:
        """Return the whole items that are there."""
        read = (self._dynamodb.get_item(TableName=table, Key=dict(key), ConsistentRead=True) for key in keys)
        return [answer["Item"] for answer in read if "Item" in answer]

    def _weigh_transaction(self, params: dict[str, Any], parsed: dict[str, Any]) -> None:
        """A write costs twice in a transaction: it is prepared and committed. The indexes are written once."""
        for each in params["TransactItems"]:
            ((_, write),) = each.items()
            self._weigh_write(write, parsed, times=2)

    def _weigh_write(self, params: dict[str, Any], parsed: dict[str, Any], *, times: int = 1) -> None:
        table = params["TableName"]
        key = {name: (params.get("Key") or params["Item"])[name] for name in self._keys[table]}
        place = table, json.dumps(key, sort_keys=True)
        before = self._images.get(place)
        after = before if "Error" in parsed else self._written(table, key, params, parsed)
        self._images[place] = after
        who, units = self._who.get(), times * write_units(before, after)
        self.writes[who, table] += 1
        self.item_writes[who, f"{table} {place[1]}"] += 1
        self.index_departures[who, table] += any(
            index.entry(before) is not None and index.entry(after) is None for index in self._indexes[table]
        )
        self.table_write_units[who, table] += units
        self.largest_write_units[who, table] = max(self.largest_write_units[who, table], units)
        self.index_write_units[who, table] += sum(
            index_write_units(index, before, after) for index in self._indexes[table]
        )

    def _written(
        self, table: str, key: Attributes, params: dict[str, Any], parsed: dict[str, Any]
    ) -> Attributes | None:
        """Return the item as it is after a write."""
        if "Item" in params:
            return dict(params["Item"])
        if params.get("ReturnValues") == "ALL_NEW":
            return dict(parsed["Attributes"])
        return self._dynamodb.get_item(TableName=table, Key=dict(key), ConsistentRead=True).get("Item")


class LogMeter:
    """A text stream whose text is counted as log."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def write(self, text: str) -> int:
        """Count a line, or a part of one."""
        self._ledger.log(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""


def metrics_of(record: Mapping[str, Any]) -> set[tuple[str, ...]]:
    """Return the metrics of a record in embedded metric format, each as it is billed: by name and dimensions."""
    return {
        (metric["Name"], *(f"{name}={record[name]}" for name in dimensions))
        for directive in record["_aws"]["CloudWatchMetrics"]
        for dimensions in directive["Dimensions"]
        for metric in directive["Metrics"]
    }


def chunks(text: str) -> int:
    """Return how many times an event or a message of this text is billed."""
    return max(1, math.ceil(len(text.encode()) / CHUNK_BYTES))
