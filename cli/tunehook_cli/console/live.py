"""The live list of tasks: reads keys of what is new, and items of what can still change."""

from __future__ import annotations

from typing import Final

from tunehook.aws.pages import Position
from tunehook.operations.newest import newest_tasks
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import WITH_RESULTS, has_settled
from tunehook.tasks import TaskKey
from tunehook_cli.console.filters import NONE, TaskFilters

KEPT: Final = 300
"""How many of the newest tasks a live list follows."""


class LiveTasks:
    """The tasks of the first page of a list and those that come after, as they are now.

    `ends_at` is the position at which the page ends; None says that it has all that are wanted. Of a stack on which
    nothing happens, a look reads nothing but the end of an index.
    """

    def __init__(self, stack: Stack, filters: TaskFilters, ends_at: Position | None) -> None:
        if ends_at is None and filters.since_ms:
            ends_at = Position(filters.since_ms - 1, "")
        self._stack = stack
        self._newest = newest_tasks(stack, WITH_RESULTS, most=KEPT, ends_at=ends_at)
        self._filters = filters
        self._named: list[TaskView] | None = None
        self._older = KEPT
        self.is_filtered = filters != NONE

    @property
    def is_cut(self) -> bool:
        """Whether more tasks have come than are followed, so that some that the page had are left out."""
        return self._newest.is_cut

    def look(self) -> list[TaskView]:
        """Return the tasks that are to be shown, the newest first, before them those with the very id, if it is old."""
        found = self._newest.refresh(self._older)
        # The first look has read what the page shows; the page has the button for what is older.
        self._older = 0
        listed = {TaskKey(each.task_id, each.provider) for each in found}
        named = [each for each in self._of_that_id() if TaskKey(each.task_id, each.provider) not in listed]
        return [each for each in (*named, *found) if self._filters.match(each)]

    def _of_that_id(self) -> list[TaskView]:
        """Return the tasks with the very id of the filter, however old they are; read again while they may change."""
        if self._filters.id_prefix and (self._named is None or not all(map(has_settled, self._named))):
            self._named = [TaskView.of(item) for item in self._stack.tasks.of_id(self._filters.id_prefix)]
        return self._named or []
