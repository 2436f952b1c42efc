"""SQS messages as Lambda hands them over, and their visibility timeout.

A queue hides a message for six times its function's timeout, as Lambda demands. That is far too long if the process
dies: so a worker hides its messages for a short time, and renews that while it works on them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from tunehook.aws.clients import client
from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import InvalidInput, Unavailable
from tunehook.executors import UnawaitedThreads

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

VISIBILITY_S: Final = 30
"""The visibility timeout of a message that a worker has: so soon it is received again if the worker dies."""

INTERVAL_S: Final = 10.0
"""How often that is renewed: two calls may fail."""

_BACKOFF_MIN_S: Final = 10
_BACKOFF_MAX_S: Final = 720


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it was received, with its receipt handle and how often it has been received, this time included."""

    body: str
    receipt: str
    receive_count: int = 1
    first_received_ms: int | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Message:
        """Return the message of a record of Lambda's event."""
        attributes = record.get("attributes", {})
        first_ms = attributes.get("ApproximateFirstReceiveTimestamp")
        return cls(
            body=record["body"],
            receipt=record["receiptHandle"],
            receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
            first_received_ms=None if first_ms is None else int(first_ms),
        )


def backoff_s(receive_count: int) -> int:
    """Return after how many seconds a message is received again whose n-th handling failed by a fault of ours."""
    return int(min(_BACKOFF_MIN_S * 2 ** (receive_count - 1), _BACKOFF_MAX_S))


def visibility_client() -> SQSClient:
    """Return an SQS client for `VisibilityHeartbeat` that gives a call up after two seconds and never repeats it.

    A late call would undo a later one: a message that is to be received in 30 s would be received in 12 minutes.
    """
    made: SQSClient = client(
        "sqs", connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1}
    )
    return made


def dead_letter_client() -> SQSClient:
    """Return an SQS client for `dead_letter` that waits 20 s for an answer and never repeats a call.

    A call that was given up may have been carried out: made again, it would put the message there twice.
    """
    made: SQSClient = client("sqs", read_timeout=20, retries={"mode": "standard", "total_max_attempts": 1})
    return made


class VisibilityHeartbeat:
    """Extends the visibility timeout of a batch of at most ten messages every `INTERVAL_S` while the context lasts.

    The client is one of `visibility_client`. `on_fault` takes the reason why a timeout could not be changed: the
    message is then received when the queue's own ends. A batch that is done within `grace_s` costs no call.
    """

    def __init__(
        self,
        client: SQSClient,
        queue_url: str,
        messages: Iterable[Message],
        *,
        on_fault: Callable[[Exception], None],
        grace_s: float = 0.0,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._receipts = {message.receipt for message in messages}
        self._on_fault = on_fault
        self._grace_s = grace_s
        self._thread: UnawaitedThreads | None = None
        self._over = asyncio.Event()
        self._one_call = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        try:
            await self._renewing
        finally:
            if self._thread is not None:
                self._thread.shutdown()

    async def retry_after(self, message: Message, after_s: int) -> None:
        """Have a message received again after `after_s` seconds, unless it is deleted; it is not renewed any more."""
        self._receipts.discard(message.receipt)
        async with self._one_call:
            await self._set_timeout([message.receipt], after_s)

    async def _renew(self) -> None:
        wait_s = self._grace_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._over.wait()
            if self._over.is_set():
                return
            async with self._one_call:
                await self._set_timeout(sorted(self._receipts), VISIBILITY_S)
            wait_s = INTERVAL_S

    async def _set_timeout(self, receipts: list[str], for_s: int) -> None:
        if not receipts:
            return
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": for_s}
            for number, receipt in enumerate(receipts)
        ]
        if self._thread is None:
            # A thread of its own, as those of the loop may all be busy, with parts of large files for example. And only
            # one: a call is made after the one before it, even if the task that awaited that was cancelled.
            self._thread = UnawaitedThreads(1, thread_name_prefix="visibility")
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                self._thread,
                lambda: self._client.change_message_visibility_batch(
                    QueueUrl=self._queue_url, Entries=entries
                ),
            )
        except AWS_FAULTS as fault:
            self._on_fault(fault)
            return
        if refused := answer.get("Failed"):
            self._on_fault(Unavailable(f"{len(refused)} messages could not be hidden: {refused[0]['Code']}"))


def dead_letter(sqs: SQSClient, dead_letters: str, message: Message, error: InvalidInput) -> None:
    """Send a message that can never be handled to the dead-letter queue, with the reason in EventBridge's form.

    The client is one of `dead_letter_client`. A fault is raised, and the message comes again.
    """
    reasons: Any = {
        "ERROR_CODE": {"DataType": "String", "StringValue": type(error).__name__},
        "ERROR_MESSAGE": {"DataType": "String", "StringValue": str(error)},
    }
    sqs.send_message(QueueUrl=dead_letters, MessageBody=message.body, MessageAttributes=reasons)
