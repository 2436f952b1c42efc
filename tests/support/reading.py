"""The tables of tasks and deliveries as commands and functions read them: what is large is on items of its own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tunehook.aws.task_items import DETAILS, details_of, with_details
from tunehook.tasks import TaskKey

Items = list[dict[str, Any]]


def tasks_as_read(found: Iterable[dict[str, Any]]) -> Items:
    """Return the items of tasks with their details, as earlier versions have them, and without the items of details."""
    by_key = {TaskKey(item["task_id"], item["provider"]): item for item in found}
    tasks = []
    for key, item in by_key.items():
        if is_beside(key.provider):
            continue
        if (place := details_of(item)) is not None:
            item = with_details(item, by_key.get(place))
            del item[DETAILS]
        tasks.append(item)
    return tasks


def deliveries_as_read(found: Iterable[dict[str, Any]]) -> Items:
    """Return records with their payloads, as earlier versions have them, and without the items of payloads."""
    by_key = {item["delivery_id"]: item for item in found}
    records = []
    for key, item in by_key.items():
        if not is_beside(key):
            payload = by_key.get(item.get("payload_id", ""))
            read = {} if payload is None else {"payload": zlib.decompress(payload["content"]).decode()}
            records.append({name: value for name, value in item.items() if name != "payload_id"} | read)
    return records


def is_beside(key: str) -> bool:
    """Return whether a key is that of an item of details, or of a payload."""
    return "#end#" in key or key.startswith("payload_")


KEYS: Final[Mapping[str, str]] = {"TasksTable": "provider", "DeliveriesTable": "delivery_id"}
"""The attributes by which items beside are known."""

READINGS: Final[Mapping[str, Callable[[Iterable[dict[str, Any]]], Items]]] = {
    "TasksTable": tasks_as_read,
    "DeliveriesTable": deliveries_as_read,
}
