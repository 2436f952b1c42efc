"""The Tasks table as commands and functions read it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tunehook.aws.task_items import DETAILS, details_of, with_details
from tunehook.tasks import TaskKey


def as_read(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items of tasks with their details, as earlier versions have them, and without the items of details."""
    by_key = {TaskKey(item["task_id"], item["provider"]): item for item in found}
    tasks = []
    for key, item in by_key.items():
        if not is_of_details(key.provider):
            place = details_of(item)
            whole = item if place is None else with_details(item, by_key.get(place))
            tasks.append({name: value for name, value in whole.items() if name != DETAILS})
    return tasks


def is_of_details(provider: str) -> bool:
    """Return whether a range key is that of an item of details."""
    return "#end#" in provider
