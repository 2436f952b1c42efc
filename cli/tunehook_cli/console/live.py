"""The live list of tasks: reads keys of what is new, and items of what can still change."""

from __future__ import annotations

from typing import Final

from tunehook.operations.newest import newest_tasks
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import WITH_RESULTS
from tunehook_cli.console.filters import NONE, TaskFilters

KEPT: Final = 300
"""How many of the newest tasks a live list follows."""


class LiveTasks:
    """The tasks of the first page of a list and those that come after, as they are now.

    `looked_at` is how many tasks the page was made of. Of a stack on which nothing happens, a look reads nothing but
    the end of an index.
    """

    def __init__(self, stack: Stack, filters: TaskFilters, looked_at: int) -> None:
        self._newest = newest_tasks(stack, WITH_RESULTS, most=KEPT)
        self._filters = filters
        self._older = min(max(looked_at, 1), KEPT)
        self.is_filtered = filters != NONE

    def look(self) -> list[TaskView]:
        """Return the tasks that are to be shown, the newest first."""
        found = self._newest.refresh(self._older)
        # The first look has read what the page shows; the page has the button for what is older.
        self._older = 0
        return [each for each in found if self._filters.match(each)]
