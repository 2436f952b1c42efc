"""Which stream of the Tasks table intake has made sure of: that no item was put before it and is known to nobody.

A stream begins empty. Where an upgrade replaces it, what was put while there was none is in the table alone. The mark
is one item beside the states of the providers; its loss costs a look through the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tunehook.aws.table import Table
from tunehook.tasks import TaskKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MARK: Final = "#tasks-stream"
"""The key of the item. No provider has such a name."""


@dataclass(frozen=True, slots=True)
class StreamMark:
    """How far the table was looked through since a stream began.

    Attributes
    ----------
    stream : str
        The stream's ARN.
    stopped_at : TaskKey or None
        Where to go on; None if all was looked through.
    """

    stream: str
    stopped_at: TaskKey | None = None


class StreamMarks:
    """The mark's place.

    Parameters
    ----------
    client : DynamoDBClient
        A low-level boto3 client.
    name : str
        The ProviderStates table.
    """

    def __init__(self, client: DynamoDBClient, name: str) -> None:
        self._table = Table(client, name)

    def get(self) -> StreamMark | None:
        """Return the mark, or None where nothing was looked through yet."""
        item = self._table.get({"provider": MARK}) or {}
        if not isinstance(item.get("stream"), str):
            return None
        stopped_at = item.get("stopped_at")
        return StreamMark(item["stream"], TaskKey(*stopped_at) if isinstance(stopped_at, list) else None)

    def set(self, mark: StreamMark) -> None:
        """Write the mark."""
        at = mark.stopped_at
        item = {
            "provider": MARK,
            "stream": mark.stream,
            **({} if at is None else {"stopped_at": [at.task_id, at.provider]}),
        }
        self._table.put(item)
