"""A fleet of workers of the deliveries queue in virtual time: the function's real code over moto and a queue in memory.

Each worker has its own caches. It takes up to ten messages that have come, handles them at the same time, and may be
killed at it: they come again then, and another worker, which knows nothing, takes its place.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.template import table_definition
from tests.support.virtual import Clock

from tunehook.aws.circuits import CircuitsTable
from tunehook.aws.deliveries import DeliveriesQueue, DeliveriesTable
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.send_slots import SendSlots
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.visibility import backoff_s
from tunehook.deliveries import Attempt, Delivery, message_for, message_of, new_delivery
from tunehook.http.guard import NetworkPolicy
from tunehook.rate_limits import RateLimit
from tunehook.tasks import Format
from tunehook.times import LATEST_MS
from webhooks.attempt import Result
from webhooks.circuit_breaker import CircuitBreaker
from webhooks.delivery import Deliverer, Step
from webhooks.message_batcher import MessageBatcher
from webhooks.policy import ResponseClass
from webhooks.rate_limiter import RateLimiter
from webhooks.subscription_cache import SubscriptionCache
from webhooks.subscription_health import SubscriptionHealth

BATCH: Final = 10
VISIBILITY_MS: Final = 180_000
REMAINING_MS: Final = 30_000
TABLES: Final = ("DeliveriesTable", "SubscriptionsTable", "SecretVersionsTable", "ReceiverGatesTable")

_FLEETS: Final = itertools.count()

Answers = Callable[[Delivery], ResponseClass]


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt that began, at a moment of the worker's own clock."""

    at_ms: int
    subscription_id: str
    delivery_id: str
    run: int
    attempt: int


def excess(at_ms: Sequence[int], per_second: float) -> float:
    """Return by how many the attempts of some window exceed ``per_second * (T + 1) + 1``; never above is 0 or less.

    >>> excess([0, 0, 0, 1_000], per_second=1)
    1.0
    """
    most, lowest = -per_second - 1.0, float("inf")
    for number, each in enumerate(sorted(at_ms)):
        lowest = min(lowest, number - per_second * each / 1000)
        most = max(most, number + 1 - per_second * each / 1000 - lowest - per_second - 1)
    return most


@dataclass
class Fleet:
    """Workers over one stack; `client` is moto's. `latest_ms` is how long Lambda takes at most to start a batch."""

    client: Any
    clock: Clock
    workers: int = 4
    seed: int = 0
    mortality: float = 0.0
    latest_ms: int = 50
    skew_ms: int = 0
    attempt_s: float = 0.05
    answers: Answers = lambda _: ResponseClass.DELIVERED
    begun: list[Begun] = field(default_factory=list)
    steps: Counter[Step] = field(default_factory=Counter)
    messages: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    faults: list[Exception] = field(default_factory=list)
    made: defaultdict[str, list[Delivery]] = field(default_factory=lambda: defaultdict(list))
    kills: int = 0

    def __post_init__(self) -> None:
        # One account may hold those of many examples.
        number = next(_FLEETS)
        self.names = {each: f"{each}{number}" for each in TABLES}
        for logical_id, name in self.names.items():
            self.client.create_table(**table_definition(logical_id) | {"TableName": name})
        self.table = DeliveriesTable(self.client, self.names["DeliveriesTable"])
        queue: Any = self
        self.queue = DeliveriesQueue(queue, "queue")
        self._random = random.Random(self.seed)
        self._order = itertools.count()
        self._heap: list[tuple[int, int, str, int]] = []
        self._in_flight = 0
        self._sent: asyncio.Event | None = None
        self._is_stopped = False

    # What `DeliveriesQueue` asks of SQS.

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        for entry in Entries:
            self.send_message(QueueUrl=QueueUrl, **entry)
        return {}

    def send_message(self, *, MessageBody: str, DelaySeconds: int, **_: Any) -> None:  # noqa: N803
        self.messages[json.loads(MessageBody)["delivery_id"]].append(self.clock())
        self._arrive(MessageBody, self.clock() + DelaySeconds * 1000)

    def _arrive(self, body: str, at_ms: int, receive_count: int = 0) -> None:
        heapq.heappush(self._heap, (at_ms, next(self._order), body, receive_count))
        if self._sent is not None:
            self._sent.set()

    # What a test does.

    def subscribe(self, subscription_id: str = "sub", **item: Any) -> None:
        """Put a subscription in place of what was there."""
        item = {"subscription_id": subscription_id, "url": f"https://{subscription_id}.example/"} | item
        self.client.put_item(TableName=self.names["SubscriptionsTable"], Item=to_attributes(item))

    def add(self, number: int, subscription_id: str = "sub") -> Delivery:
        """Make a delivery, and send its first message."""
        made = self.make(number, subscription_id)
        self.send(made)
        return made

    def send(self, made: Delivery) -> None:
        """Send the message of a delivery's next attempt."""
        self.queue.send(message_for(made), self.clock())

    def arrive(self, body: str) -> None:
        """Put a message on the queue as it stands."""
        self._arrive(body, self.clock())

    def make(self, number: int, subscription_id: str = "sub") -> Delivery:
        """Make a delivery without a message."""
        made = new_delivery(
            event_id=f"evt_{number}",
            subscription_id=subscription_id,
            task_id="task",
            provider="musicmint",
            type="task.completed",
            event_at_ms=self.clock(),
            format=Format.STANDARD,
            payload="{}",
            now_ms=self.clock(),
        )
        assert self.table.create(made)
        self.made[subscription_id].append(made)
        return made

    def take_slots(self, number: int, limit: RateLimit, subscription_id: str = "sub") -> None:
        """Reserve slots that nobody will use, as if so many messages were waiting already."""
        if number == 0:
            return
        slots, now_ms = SendSlots(self.client, self.names["ReceiverGatesTable"]), self.clock()
        assert None not in slots.reserve(subscription_id, limit, [LATEST_MS] * number, now_ms).at_us

    def unsubscribe(self, subscription_id: str = "sub") -> None:
        """Delete a subscription."""
        key = to_attributes({"subscription_id": subscription_id})
        self.client.delete_item(TableName=self.names["SubscriptionsTable"], Key=key)

    def item(self, made: Delivery) -> dict[str, Any]:
        """Return the record of a delivery as it is."""
        key = to_attributes({"delivery_id": made.delivery_id})
        return from_attributes(self.client.get_item(TableName=self.names["DeliveriesTable"], Key=key)["Item"])

    def begun_at_ms(self, subscription_id: str = "sub") -> list[int]:
        """Return when the attempts of a subscription began."""
        return sorted(each.at_ms for each in self.begun if each.subscription_id == subscription_id)

    async def work(self, until_ms: int | None = None) -> None:
        """Work until nothing is left on the queue; or begin nothing more after a moment of the clock."""
        self._sent, self._is_stopped = asyncio.Event(), False
        if until_ms is not None:
            asyncio.get_running_loop().call_later((until_ms - self.clock()) / 1000, self._stop)
        await asyncio.gather(*(self._worker(number) for number in range(self.workers)))
        self._sent = None

    def _stop(self) -> None:
        self._is_stopped = True
        self._changed()

    # The workers.

    async def _worker(self, number: int) -> None:
        deliverer = self._deliverer(number)
        while not self._is_stopped:
            batch = self._take()
            if not batch:
                if not self._heap and not self._in_flight:
                    self._changed()
                    return
                await self._next_arrival()
                continue
            self._in_flight += len(batch)
            dies = self._random.random() < self.mortality
            work = asyncio.create_task(self._handle(deliverer, batch))
            dead_after_s = self._random.uniform(0, 1.0) if dies else None
            await asyncio.wait({work}, timeout=dead_after_s)
            if not work.done():
                self.kills += 1
                work.cancel()
                await asyncio.wait({work})
                for body, receive_count in batch:
                    self._arrive(body, self.clock() + VISIBILITY_MS, receive_count)
                deliverer = self._deliverer(number)
            self._in_flight -= len(batch)
            self._changed()

    def _take(self) -> list[tuple[str, int]]:
        batch: list[tuple[str, int]] = []
        while self._heap and self._heap[0][0] <= self.clock() and len(batch) < BATCH:
            _, _, body, receive_count = heapq.heappop(self._heap)
            batch.append((body, receive_count + 1))
        return batch

    def _changed(self) -> None:
        if self._sent is not None:
            self._sent.set()

    async def _next_arrival(self) -> None:
        assert self._sent is not None
        self._sent.clear()
        wait_s = (self._heap[0][0] - self.clock()) / 1000 if self._heap else None
        try:
            async with asyncio.timeout(wait_s):
                await self._sent.wait()
        except TimeoutError:
            pass

    async def _handle(self, deliverer: Callable[[], Deliverer], batch: Sequence[tuple[str, int]]) -> None:
        await asyncio.sleep(self._random.uniform(0, self.latest_ms / 1000))
        one = deliverer()
        await asyncio.gather(*(self._handle_one(one, *each) for each in batch))

    async def _handle_one(self, deliverer: Deliverer, body: str, receive_count: int) -> None:
        try:
            outcome = await deliverer.handle(message_of(body), receive_count)
            self.steps[outcome.step] += 1
        except Exception as fault:  # noqa: BLE001 - whatever it is, the message comes again
            self.faults.append(fault)
            self._arrive(body, self.clock() + backoff_s(receive_count) * 1000, receive_count)

    def _deliverer(self, number: int) -> Callable[[], Deliverer]:
        skew_ms = self._random.randint(-self.skew_ms, self.skew_ms)

        def now_ms() -> int:
            return self.clock() + skew_ms

        table = DeliveriesTable(self.client, self.names["DeliveriesTable"])
        subscriptions = SubscriptionCache(
            SubscriptionsTable(self.client, self.names["SubscriptionsTable"]),
            SecretVersionsTable(self.client, self.names["SecretVersionsTable"]),
            NetworkPolicy.ANY,
            clock=lambda: now_ms() / 1000,
        )
        nobody: Any = _Nobody(self)
        health = SubscriptionHealth(subscriptions, table, nobody)
        breaker = CircuitBreaker(CircuitsTable(self.client, self.names["ReceiverGatesTable"]), now_ms)
        limiter = RateLimiter(SendSlots(self.client, self.names["ReceiverGatesTable"]), subscriptions, now_ms)
        return lambda: Deliverer(
            deliveries=table,
            tasks=nobody,
            batcher=MessageBatcher(self.queue, now_ms),
            subscriptions=subscriptions,
            breaker=breaker,
            limiter=limiter,
            health=health,
            sender=nobody,
            master_secret=nobody,
            now_ms=now_ms,
            jitter=self._random.random,
            remaining_ms=lambda: REMAINING_MS,
        )


@dataclass(frozen=True, slots=True)
class _Nobody:
    """Stands where the bus, the master secret and `webhooks.attempt.Sender` do."""

    fleet: Fleet

    def put(self, events: Sequence[Any]) -> list[bool]:
        return [True] * len(events)

    async def get(self) -> str:
        return "m" * 32

    async def attempt(self, delivery: Delivery, subscription: Any, master_secret: str, now_ms: int) -> Result:
        fleet = self.fleet
        begun = Begun(
            now_ms, delivery.subscription_id, delivery.delivery_id, delivery.run, delivery.next_attempt
        )
        fleet.begun.append(begun)
        await asyncio.sleep(fleet.attempt_s)
        response_class = fleet.answers(delivery)
        attempt = Attempt(
            run=begun.run,
            attempt=begun.attempt,
            at_ms=now_ms,
            duration_ms=round(fleet.attempt_s * 1000),
            status_code=200 if response_class is ResponseClass.DELIVERED else 503,
        )
        return Result(attempt, response_class, True)
