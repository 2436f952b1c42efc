"""Looks into the dead-letter queues, and tells by an event on the bus that one is not empty.

A mark of each queue says what was told of it. It is written before the event is emitted, and gives it its id: a look
that dies in between, or is made twice at once, leads to the same event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_lambda_powertools import Logger

from tunehook.aws.dead_letter_marks import DeadLetterMark, DeadLetterMarks
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.events import DeadLettersFound
from tunehook.ids import digest
from tunehook.times import from_ms

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from tunehook.aws.bus import EventBus

logger = Logger(child=True)

LOOK_WITHIN_S: Final = 5.0
"""How long a look may take: the invocation waits for it that has nothing else to do."""

AGAIN_AFTER_MS: Final = 24 * 3600 * 1000
"""How long after an event the next one of the same queue is emitted, while it is not empty."""

NEW_AFTER_MS: Final = 600_000
"""How soon after an event the next one may be emitted: of a queue that has grown, or was seen empty in between, as
counts of SQS are approximate."""

GROWN_TIMES: Final = 2
"""How many times as many messages as were told of make an event by themselves. An event whose own deliveries become
dead letters adds some of them, and not as many again each time."""

_COUNTS: Final = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


@dataclass(frozen=True, slots=True)
class DeadLetterWatch:
    """Looks into the dead-letter queues, whose URLs are here by whose failures are in them; makes its client itself."""

    queues: Mapping[str, str]
    sqs: Callable[[], SQSClient]
    marks: DeadLetterMarks
    bus: EventBus
    clock: Callable[[], int]

    async def look(self) -> None:
        """Look once, and tell what is new; a fault is logged, and made up for by the next look."""
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                await self._look()
        except (*AWS_FAULTS, TimeoutError) as error:
            logger.warning("dead_letters_not_looked_for", error=code_of(error))

    async def _look(self) -> None:
        sqs = await asyncio.to_thread(self.sqs)
        urls = self.queues.values()
        counts = await asyncio.gather(*(asyncio.to_thread(_messages, sqs, url) for url in urls))
        marks = await asyncio.to_thread(self.marks.get)
        for queue, messages in zip(self.queues, counts, strict=True):
            await asyncio.to_thread(self._compare, queue, messages, marks.get(queue))

    def _compare(self, queue: str, messages: int, mark: DeadLetterMark | None) -> None:
        if not messages:
            if mark is not None and not mark.is_empty:
                self.marks.record_empty(queue, mark)
            return
        now_ms = self.clock()
        if mark is None or (mark.is_empty and now_ms - mark.told_at_ms >= NEW_AFTER_MS):
            mark = self.marks.begin(queue, mark, now_ms)
        if mark is None or not _is_due(mark, messages, now_ms):
            return
        event = DeadLettersFound(
            event_id=f"evt_{digest('DeadLettersFound', queue, str(mark.since_ms), str(mark.told))}",
            queue=queue,
            messages=messages,
            since=from_ms(mark.since_ms),
            found_at=from_ms(now_ms),
        )
        if not all(self.bus.put([event])):
            logger.warning("dead_letters_not_told", queue=queue)
            return
        self.marks.record_told(queue, mark, now_ms, messages)
        logger.warning("dead_letters_found", queue=queue, messages=messages)


def _is_due(mark: DeadLetterMark, messages: int, now_ms: int) -> bool:
    """Return whether somebody is to be told of a queue with so many messages."""
    if not mark.told:
        return True
    has_grown = mark.messages is not None and messages >= GROWN_TIMES * mark.messages
    return not mark.is_empty and now_ms - mark.told_at_ms >= (NEW_AFTER_MS if has_grown else AGAIN_AFTER_MS)


def _messages(sqs: SQSClient, url: str) -> int:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
    return sum(int(answer["Attributes"][name]) for name in _COUNTS)
