"""What lists are narrowed by, as the address of a page says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tunehook.errors import InvalidInput
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import has_metadata
from tunehook.tasks import Status
from tunehook.times import now_ms
from tunehook_cli.durations import parse_duration

OVERDUE: Final = "overdue"
"""What the list of tasks calls the pending ones that are past their deadline."""


def wanted_of(query: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """Return the filters of an address as they were typed; what is not there is empty."""
    return {name: query.get(name, "").strip() for name in names}


def since_ms_of(wanted: Mapping[str, str]) -> int:
    """Return since when a list is wanted; raise `InvalidInput` if that is no length of time."""
    return now_ms() - parse_duration(wanted["since"], "since") if wanted["since"] else 0


@dataclass(frozen=True, slots=True)
class TaskFilters:
    """The filters of the list of tasks."""

    NAMES = ("status", "provider", "id", "metadata", "since")

    status: str | None
    provider: str | None
    id_prefix: str
    metadata: Mapping[str, str]
    since_ms: int
    is_overdue: bool

    @classmethod
    def of(cls, wanted: Mapping[str, str]) -> TaskFilters:
        """Read filters as they were typed; raise `InvalidInput` for the first that is none."""
        key, equals, value = wanted["metadata"].partition("=")
        if wanted["metadata"] and not (key and equals):
            raise InvalidInput("metadata", "write KEY=VALUE")
        is_overdue = wanted["status"] == OVERDUE
        status = Status.PENDING.value if is_overdue else wanted["status"] or None
        if status not in (None, *Status):
            raise InvalidInput("status", f"must be one of {', '.join((*Status, OVERDUE))}")
        return cls(
            status=status,
            provider=wanted["provider"] or None,
            id_prefix=wanted["id"],
            metadata={key: value} if equals else {},
            since_ms=since_ms_of(wanted),
            is_overdue=is_overdue,
        )

    def match(self, task: TaskView) -> bool:
        """Return whether a task is one of those that are wanted, whenever it was accepted."""
        return (
            self.status in (None, task.status)
            and self.provider in (None, task.provider)
            and task.task_id.startswith(self.id_prefix)
            and has_metadata(task.item, self.metadata)
            and (not self.is_overdue or (task.deadline_ms or 0) <= now_ms())
        )


NONE: Final = TaskFilters(None, None, "", {}, 0, is_overdue=False)
