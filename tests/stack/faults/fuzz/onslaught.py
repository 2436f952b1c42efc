"""Everything malformed at once, with valid tasks before, among and after, on a deployed stack; and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.stack.driving import DeployedStack, begin_ended, eventually
from tests.stack.faults.fuzz.items import End, FuzzedItem, subscription_items, task_items
from tests.stack.faults.fuzz.messages import FuzzedMessage, delivery_messages, fulfillment_messages
from tests.stack.faults.fuzz.seeds import generator
from tests.support.patience import NotCome

from tunehook.operations.queues import Depth, depth
from tunehook.tasks import TIMEOUT_DEFAULT_S
from tunehook_local.embedded import logs
from tunehook_local.embedded.logs import LogLine
from tunehook_local.embedded.state import Home
from tunehook_local.sandbox import Sandbox

RECEIVER = "among-the-malformed"
"""The valid subscription, and its receiver."""

TASKS, SUBSCRIPTIONS = 600, 1_700
FULFILLMENT, DELIVERIES = 1_000, 1_100
HUGE_ITEMS, HUGE_MESSAGES = 6, 4

BEFORE, AMONG, AFTER = 4, 16, 4
"""How many valid tasks there are; those among are spread evenly."""

_QUEUES = {"FulfillmentQueue": "FulfillmentDeadLetters", "DeliveriesQueue": "DeliveriesDeadLetters"}
_TRIES = 5
"""How often a message is tried here before it is put with the dead letters: the template's own numbers take hours.

What is malformed is put there at once. A worker that a busy machine has left too little time lets a message come again.
"""

_BATCH_ITEMS, _BATCH_MESSAGES = 25, 10
_BATCH_BYTES = 900_000


@dataclass
class Outcome:
    """What was put and sent, and what came of it.

    ``put_at_s`` and ``told_at_s`` are seconds since 1970 by valid task; ``dead`` are the bodies that ended among the
    dead letters, by queue.
    """

    put_at_s: dict[str, float] = field(default_factory=dict)
    told_at_s: dict[str, float] = field(default_factory=dict)
    tasks: list[FuzzedItem] = field(default_factory=list)
    subscriptions: list[FuzzedItem] = field(default_factory=list)
    messages: dict[str, list[FuzzedMessage]] = field(default_factory=dict)
    dead: dict[str, list[str]] = field(default_factory=dict)
    task_items: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    subscription_items: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: list[LogLine] = field(default_factory=list)
    printed: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def delays_s(self, *moments: str) -> list[float]:
        """Return how long the valid tasks of some moments took, from put to told."""
        return [
            self.told_at_s[task_id] - put_at_s
            for task_id, put_at_s in self.put_at_s.items()
            if task_id.startswith(moments)
        ]

    def detection_s(self) -> list[float]:
        """Return how long after their acceptance the valid tasks, which had ended long before, were found ended."""
        valid = [item for (task_id, _), item in self.task_items.items() if task_id in self.put_at_s]
        accepted_ms = [item["deadline_ms"] - TIMEOUT_DEFAULT_S * 1000 for item in valid]
        return [
            (item["detected_at_ms"] - at_ms) / 1000 for item, at_ms in zip(valid, accepted_ms, strict=True)
        ]


class Onslaught:
    """One run of it.

    Parameters
    ----------
    home : Home
        The embedded AWS, whose log is read.
    stack : DeployedStack
        The stack.
    sandbox : Sandbox
        Its providers and receivers.
    prefix : str
        What all ids hold, so that they are told from other tests'.
    """

    def __init__(self, home: Home, stack: DeployedStack, sandbox: Sandbox, prefix: str) -> None:
        self._home = home
        self._stack = stack
        self._sandbox = sandbox
        self._prefix = prefix
        self._dynamodb = stack.client("dynamodb")
        self._sqs = stack.client("sqs")
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Do it, and take everything away again."""
        earlier = set(logs.lines(self._home, self._stack.environment, None))
        printed = self._home.log.stat().st_size
        # Of what is rejected the session's own subscriptions hear, and that is enough.
        self._stack.put(
            "SubscriptionsTable",
            subscription_id=RECEIVER,
            url=self._sandbox.receiver_url(RECEIVER),
            events=["task.completed"],
        )
        try:
            with self._timed("emptied"):
                self._empty_the_queues()
            with self._tried_less_often():
                self._draw()
                self._onslaught()
                self._mark_all()
                self._settle()
        finally:
            with self._timed("cleared"):
                self._clear()
        now = logs.lines(self._home, self._stack.environment, None)
        self.outcome.lines = [line for line in now if line not in earlier]
        with self._home.log.open(errors="replace") as log:
            log.seek(printed)
            self.outcome.printed = log.read()
        return self.outcome

    def _empty_the_queues(self) -> None:
        """Take away what other tests have left, such as deliveries that wait for their next attempt.

        Otherwise nobody could tell from the depth of a queue whether our own messages are handled.
        """

        def are_empty() -> bool:
            for name in _QUEUES:
                self._sqs.purge_queue(QueueUrl=self._stack.outputs[name])
            return not any(map(self._in_queue, _QUEUES))

        # What a worker has taken is left to it: it may send it again.
        eventually(
            lambda: not any(self._depth(name).taken for name in _QUEUES) and are_empty(),
            moved=self._stack.moved,
        )

    def _draw(self) -> None:
        outcome, prefix = self.outcome, self._prefix
        outcome.tasks = list(task_items(generator("stack tasks"), prefix, TASKS, huge=HUGE_ITEMS))
        outcome.subscriptions = list(
            subscription_items(generator("stack subscriptions"), prefix, SUBSCRIPTIONS, huge=HUGE_ITEMS)
        )
        outcome.messages = {
            "FulfillmentQueue": list(
                fulfillment_messages(generator("stack events"), prefix, FULFILLMENT, huge=HUGE_MESSAGES)
            ),
            "DeliveriesQueue": list(
                delivery_messages(generator("stack deliveries"), prefix, DELIVERIES, huge=HUGE_MESSAGES)
            ),
        }

    def _onslaught(self) -> None:
        with self._timed("before"):
            self._write("SubscriptionsTable", self.outcome.subscriptions)
            self._put_valid("before", BEFORE)
            self._all_told()
        with self._timed("put"), ThreadPoolExecutor(2) as threads:
            among = threads.submit(self._put_tasks_and_valid_ones)
            for name, messages in self.outcome.messages.items():
                self._send(name, messages)
            among.result()
        with self._timed("after"):
            self._put_valid("after", AFTER)
            self._all_told()

    def _put_tasks_and_valid_ones(self) -> None:
        for number, part in enumerate(_parts(self.outcome.tasks, AMONG)):
            self._write("TasksTable", part)
            self._put_valid(f"among-{number}", 1)

    def _mark_all(self) -> None:
        """Put valid tasks until every bad subscription says so: with each task some of them are marked."""
        bad = {
            item.attributes["subscription_id"]["S"]
            for item in self.outcome.subscriptions
            if item.end is End.UNUSABLE
        }

        def marked() -> set[str]:
            items = self._stack.items("SubscriptionsTable")
            return bad & {each["subscription_id"] for each in items if "disabled_reason" in each}

        def look() -> bool:
            if bad == marked():
                return True
            self._put_valid(f"marking-{len(self.outcome.put_at_s)}", AMONG)
            self._all_told()
            return False

        with self._timed("marked"):
            eventually(look, moved=lambda: [len(marked())])

    def _settle(self) -> None:
        with self._timed("settled"):
            # Which have not, and how they should have, is for the tests to say.
            with suppress(NotCome):
                eventually(self._have_ended, moved=self._moved, every_s=0.5)
            eventually(lambda: not any(map(self._in_queue, _QUEUES)), moved=self._moved, every_s=0.5)
            for name in _QUEUES:
                self.outcome.dead[name] = self._dead_letters(name)
        self.outcome.task_items = {
            (item["task_id"], item["provider"]): item
            for item in self._stack.items("TasksTable")
            if self._prefix in item["task_id"]
        }
        self.outcome.subscription_items = {
            item["subscription_id"]: item
            for item in self._stack.items("SubscriptionsTable")
            if self._prefix in item["subscription_id"]
        }

    def _have_ended(self) -> bool:
        """Return whether every fuzzed task that has to has come to its end, with its files."""
        now = {(each["task_id"], each["provider"]): each for each in self._stack.items("TasksTable")}

        def has_ended(item: FuzzedItem) -> bool:
            task = now.get((item.attributes["task_id"]["S"], item.attributes["provider"]["S"]), {})
            is_archived = "archived_at_ms" in task and "queue" not in task
            return task.get("status") == "rejected" if item.end is End.REJECTED else is_archived

        return all(has_ended(each) for each in self.outcome.tasks if each.end in (End.REJECTED, End.ACCEPTED))

    # Valid tasks

    def _put_valid(self, moment: str, count: int) -> None:
        for number in range(count):
            task_id = f"{moment}-{number}-valid-{self._prefix}"
            begin_ended(self._sandbox, "musicmint", task_id)
            self.outcome.put_at_s[task_id] = time.time()
            self._stack.put("TasksTable", task_id=task_id, provider="musicmint")

    def _all_told(self) -> None:
        def look() -> bool:
            for request in self._sandbox.received(RECEIVER):
                task_id = json.loads(request.body)["data"]["task_id"]
                self.outcome.told_at_s.setdefault(task_id, request.received_at.timestamp())
            return self.outcome.put_at_s.keys() <= self.outcome.told_at_s.keys()

        eventually(look, moved=self._moved)

    def _moved(self) -> tuple[int, ...]:
        """Count what has been done: the valid tasks are behind all the others, and told of one by one."""
        return (len(self.outcome.told_at_s), *self._stack.moved())

    # Tables

    def _write(self, table: str, items: Sequence[FuzzedItem]) -> None:
        name = self._stack.outputs[table]
        for batch in _batches(items, _BATCH_ITEMS, lambda item: len(str(item.attributes))):
            requests = [{"PutRequest": {"Item": item.attributes}} for item in batch]
            while requests:
                answer = self._dynamodb.batch_write_item(RequestItems={name: requests})
                requests = answer["UnprocessedItems"].get(name, [])

    def _clear(self) -> None:
        """Leave nothing to the tests after this one, whatever has become of it."""
        for name in _QUEUES:
            self._sqs.purge_queue(QueueUrl=self._stack.outputs[name])
            self._dead_letters(name)
        self._stack.client("dynamodb").delete_item(
            TableName=self._stack.outputs["SubscriptionsTable"], Key={"subscription_id": {"S": RECEIVER}}
        )
        for table, items, key in (
            ("TasksTable", self.outcome.tasks, ("task_id", "provider")),
            ("SubscriptionsTable", self.outcome.subscriptions, ("subscription_id",)),
        ):
            name = self._stack.outputs[table]
            keys = [{part: item.attributes[part] for part in key} for item in items]
            for batch in _batches(keys, _BATCH_ITEMS, len):
                requests = [{"DeleteRequest": {"Key": each}} for each in batch]
                self._dynamodb.batch_write_item(RequestItems={name: requests})

    # Queues

    @contextmanager
    def _tried_less_often(self) -> Iterator[None]:
        kept = {url: self._redrive_policy(url) for url in map(self._stack.outputs.__getitem__, _QUEUES)}
        try:
            for url, policy in kept.items():
                self._redrive(url, json.dumps(json.loads(policy) | {"maxReceiveCount": _TRIES}))
            yield
        finally:
            for url, policy in kept.items():
                self._redrive(url, policy)

    def _redrive_policy(self, url: str) -> str:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        return str(answer["Attributes"]["RedrivePolicy"])

    def _redrive(self, url: str, policy: str) -> None:
        self._sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})

    def _send(self, name: str, messages: Sequence[FuzzedMessage]) -> None:
        url = self._stack.outputs[name]
        for batch in _batches(messages, _BATCH_MESSAGES, lambda message: len(message.body.encode())):
            entries = [{"Id": str(number), "MessageBody": each.body} for number, each in enumerate(batch)]
            answer = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            assert not answer.get("Failed"), answer["Failed"]

    def _depth(self, name: str) -> Depth:
        return depth(self._sqs, self._stack.outputs[name])

    def _in_queue(self, name: str) -> int:
        return self._depth(name).total

    def _dead_letters(self, name: str) -> list[str]:
        """Take ours from a dead-letter queue, and leave others' in sight."""
        url = self._stack.outputs[_QUEUES[name]]
        ours = {message.body for message in self.outcome.messages.get(name, ())}
        found, others = [], []
        while messages := self._sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=30
        ).get("Messages"):
            mine = [
                message for message in messages if message["Body"] in ours or self._prefix in message["Body"]
            ]
            found += [message["Body"] for message in mine]
            others += [message["ReceiptHandle"] for message in messages if message not in mine]
            if mine:
                entries = [
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                    for number, message in enumerate(mine)
                ]
                self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        for handle in others:
            self._sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
        return found

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.outcome.seconds[what] = time.monotonic() - began


def _parts(items: Sequence[Any], count: int) -> list[Sequence[Any]]:
    size = -(-len(items) // count)
    return [items[start : start + size] for start in range(0, len(items), size)]


def _batches(items: Iterable[Any], most: int, length: Any) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for item, its_size in ((item, length(item)) for item in items):
        if batch and (len(batch) == most or size + its_size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += its_size
    if batch:
        yield batch
