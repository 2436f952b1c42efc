"""The mark of the stream of the Tasks table for which intake has scanned the table for items that it missed.

A stream begins empty: when an upgrade replaces it, what was put in between is in the table alone. The mark is one item
in the ProviderStates table; its loss costs a scan of the Tasks table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tunehook.aws.table import TableGateway
from tunehook.tasks import TaskKey

MARK: Final = "#tasks-stream"
"""The key of the item. No provider has such a name."""


@dataclass(frozen=True, slots=True)
class StreamMark:
    """How far the table was scanned since the stream with this ARN began; `stopped_at` is None after the end."""

    stream: str
    stopped_at: TaskKey | None = None


class StreamMarks(TableGateway):
    """The item of the mark in the ProviderStates table."""

    def get(self) -> StreamMark | None:
        """Return the mark, or None if nothing was scanned yet."""
        item = self._table.get({"provider": MARK}) or {}
        if not isinstance(item.get("stream"), str):
            return None
        stopped_at = item.get("stopped_at")
        return StreamMark(item["stream"], TaskKey(*stopped_at) if isinstance(stopped_at, list) else None)

    def set(self, mark: StreamMark) -> None:
        """Write the mark."""
        at = mark.stopped_at
        stopped_at = {} if at is None else {"stopped_at": [at.task_id, at.provider]}
        self._table.put({"provider": MARK, "stream": mark.stream} | stopped_at)
