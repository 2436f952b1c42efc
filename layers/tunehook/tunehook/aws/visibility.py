"""The messages of a queue as a function gets them, and how long the queue hides them from other workers.

A queue hides a message for six times its function's time, as Lambda wants it. If the process dies, that is far too
long: so a worker hides its messages for a short time, again and again while it is at them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from tunehook.aws.clients import client
from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import InvalidInput, Unavailable
from tunehook.executors import UnawaitedThreads

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

VISIBILITY_S: Final = 30
"""How long messages are hidden at a time: so soon they come again if their worker dies."""

INTERVAL_S: Final = 10.0
"""How often that is renewed: two calls may fail."""

_FAULT_SHORTEST_S: Final = 10.0
_FAULT_LONGEST_S: Final = 720.0


@dataclass(frozen=True, slots=True)
class Message:
    """A message as SQS hands it over.

    Attributes
    ----------
    body : str
        What it says.
    receipt : str
        What this receipt of it is known by.
    receive_count : int
        How often it has been received, this time included.
    first_received_ms : int or None
        When it was received first, in milliseconds since 1970.
    """

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


def after_fault_s(receive_count: int) -> int:
    """Return when a message comes again that something of ours failed, for the n-th time, in seconds from now."""
    return int(min(_FAULT_SHORTEST_S * 2 ** min(receive_count - 1, 10), _FAULT_LONGEST_S))


def visibility_client() -> SQSClient:
    """Return an SQS client for `VisibilityHeartbeat` that gives a call up after two seconds and never repeats it.

    One that came late would undo a later one: a message that is to come in 30 s would come in 12 minutes.
    """
    made: SQSClient = client(
        "sqs", connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1}
    )
    return made


class VisibilityHeartbeat:
    """Keeps the messages of a batch hidden for as long as the context lasts, and not much longer.

    Parameters
    ----------
    client : SQSClient
        Of `visibility_client`.
    queue_url : str
        The queue that the messages are of.
    messages : iterable of Message
        At most ten.
    on_fault : callable
        Is told why their time could not be changed. They come when the queue lets them then.
    grace_s : float
        How long it waits before the first call, which a batch that is done by then is spared.
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
        # Of its own: those of the loop may all be busy, with the parts of large files for example. And one: a call
        # is made when the one before it is over, whatever became of whoever waited for that.
        self._thread = UnawaitedThreads(1, thread_name_prefix="hold")
        self._over = asyncio.Event()
        self._one_call = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        try:
            await self._beating
        finally:
            self._thread.shutdown()

    async def retry_after(self, message: Message, after_s: int) -> None:
        """Have a message come again after that time, unless it is acknowledged.

        Parameters
        ----------
        message : Message
            One of those that are held; from now on it is not.
        after_s : int
            In seconds from now.
        """
        self._receipts.discard(message.receipt)
        async with self._one_call:
            await self._hide([message.receipt], after_s)

    async def _beat(self) -> None:
        wait_s = self._grace_s
        while not await self._is_over_within(wait_s):
            async with self._one_call:
                await self._hide(sorted(self._receipts), VISIBILITY_S)
            wait_s = INTERVAL_S

    async def _is_over_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()

    async def _hide(self, receipts: list[str], for_s: int) -> None:
        if not receipts:
            return
        entries: Any = [
            {"Id": str(number), "ReceiptHandle": receipt, "VisibilityTimeout": for_s}
            for number, receipt in enumerate(receipts)
        ]
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


def put_aside(sqs: SQSClient, dead_letters: str, message: Message, error: InvalidInput) -> None:
    """Put a message that nothing can come of into the dead letters, with the reason as EventBridge writes one."""
    reasons: Any = {
        "ERROR_CODE": {"DataType": "String", "StringValue": type(error).__name__},
        "ERROR_MESSAGE": {"DataType": "String", "StringValue": str(error)},
    }
    sqs.send_message(QueueUrl=dead_letters, MessageBody=message.body, MessageAttributes=reasons)
