"""What was told of dead letters: since when each dead-letter queue is not empty, and when somebody was told last.

One item in the ProviderStates table for all queues. Its loss costs an event that was told before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from boto3.dynamodb.conditions import Attr

from tunehook.aws.table import TableGateway
from tunehook.times import LATEST_MS
from tunehook.validation import is_whole

if TYPE_CHECKING:
    from boto3.dynamodb.conditions import ConditionBase

DEAD_LETTERS: Final = "#dead-letters"
"""The key of the item. No provider has such a name."""

_COUNT_MAX: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class DeadLetterMark:
    """A queue with dead letters: not empty since `since_ms`, told of `told` times, the last time at `told_at_ms`.

    `messages` is how many were told of then; None where that was not noted. `is_empty` says that it was seen empty
    after that: what comes then is new.
    """

    since_ms: int
    told: int
    told_at_ms: int
    is_empty: bool
    messages: int | None


class DeadLetterMarks(TableGateway):
    """The item of the marks in the ProviderStates table."""

    def get(self) -> dict[str, DeadLetterMark]:
        """Return the marks by queue (strongly consistent), without what is malformed."""
        return _marks(self._table.get({"provider": DEAD_LETTERS}))

    def begin(self, queue: str, before: DeadLetterMark | None, now_ms: int) -> DeadLetterMark | None:
        """Mark a queue as not empty from now on, where its mark is still the one `before`: None where it has none.

        Returns the mark that it has then, be it another caller's; None if it makes no sense.
        """
        write = self._table.update(
            {"provider": DEAD_LETTERS},
            set={
                f"{queue}_since_ms": now_ms,
                f"{queue}_told": 0,
                f"{queue}_told_at_ms": 0,
                f"{queue}_is_empty": False,
            },
            condition=Attr(f"{queue}_since_ms").not_exists() if before is None else _is(queue, before),
            read=True,
        )
        return _marks(write.item).get(queue)

    def record_told(self, queue: str, mark: DeadLetterMark, now_ms: int, messages: int) -> bool:
        """Note that a queue was told of once more than its `mark` says, with so many messages.

        Returns False if somebody else has.
        """
        values = {
            f"{queue}_told": mark.told + 1,
            f"{queue}_told_at_ms": now_ms,
            f"{queue}_messages": messages,
        }
        return self._table.update(
            {"provider": DEAD_LETTERS},
            set=values,
            condition=_is(queue, mark),
            mine=lambda item: values.items() <= item.items(),
        ).done

    def record_empty(self, queue: str, mark: DeadLetterMark) -> bool:
        """Note that a queue was seen empty; return False if its mark is another one by now."""
        return self._table.update(
            {"provider": DEAD_LETTERS}, set={f"{queue}_is_empty": True}, condition=_is(queue, mark)
        ).done


def _is(queue: str, mark: DeadLetterMark) -> ConditionBase:
    return Attr(f"{queue}_since_ms").eq(mark.since_ms) & Attr(f"{queue}_told").eq(mark.told)


def _marks(item: Mapping[str, Any] | None) -> dict[str, DeadLetterMark]:
    item, found = item or {}, {}
    for name, since_ms in item.items():
        queue = name.removesuffix("_since_ms")
        told, told_at_ms = item.get(f"{queue}_told"), item.get(f"{queue}_told_at_ms")
        is_empty = item.get(f"{queue}_is_empty")
        if (
            queue != name
            and is_whole(since_ms, 0, LATEST_MS)
            and is_whole(told, 0, _COUNT_MAX)
            and is_whole(told_at_ms, 0, LATEST_MS)
            and isinstance(is_empty, bool)
        ):
            messages = item.get(f"{queue}_messages")
            # One that was not told of yet may have those of the time before it.
            is_known = bool(told) and is_whole(messages, 1, _COUNT_MAX)
            found[queue] = DeadLetterMark(
                since_ms, told, told_at_ms, is_empty, messages if is_known else None
            )
    return found
