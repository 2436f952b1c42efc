"""The stack in virtual time: what Lambda does around the functions, and how much processor and time each thing takes.

Every invocation has a processor of its own, as fast as its memory makes it (1,769 MB are a whole one), and everything
that the code does there waits for its turn on it: a question, an AWS call, a copied file, a delivery. How much of a
whole processor each takes was measured (`Figures`). The calls themselves are made in no time, and their answers come
when the processor and the service would have given them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import os
import random
import zlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import Any, Final, Generic, TypeVar
from unittest.mock import patch

import httpx
from tests.support.media import JPEG, MP3
from tests.support.template import resources, table_definition
from tests.support.virtual import VirtualLoop

import fulfillment.worker
import webhooks.worker
from benchmarks.aws_cost import read_figures
from benchmarks.aws_life import KIND, Gateway, Task, variables
from benchmarks.million.dynamodb import DynamoDB
from benchmarks.million.services import S3, Bus, Lambdas, Queue, QueuedMessage, Secrets, Sqs
from benchmarks.report import RESULTS
from fulfillment.recipients import Recipients
from fulfillment.settings import FulfillmentSettings
from intake.admission import Intake
from intake.settings import IntakeSettings
from poller.service import Poller, PollerStart
from poller.settings import PollerSettings
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.items import to_attributes
from tunehook.aws.leases import Leases
from tunehook.aws.stream_marks import MARK, StreamMarks
from tunehook.aws.tasks import TasksTable
from tunehook.aws.visibility import Message
from tunehook.errors import InvalidInput
from tunehook.http.reply import Reply
from tunehook.metrics import Observability
from tunehook.settings import load_settings
from tunehook.subscriptions import WebhookType
from tunehook.tasks import work_queue
from tunehook.times import to_ms
from webhooks.secret import MasterSecret
from webhooks.settings import WebhooksSettings
from webhooks.subscription_cache import SubscriptionCache

T = TypeVar("T")

START_MS: Final = 1_795_939_200_000
"""When the simulation begins: a minute of 29 November 2026."""

WHOLE_PROCESSOR_MB: Final = 1_769
"""With so much memory Lambda gives a whole processor."""

STREAM_SHARDS: Final = 4
"""Shards of the stream of a fresh on-demand table."""

STREAM_BATCH: Final = 100
QUEUE_BATCH: Final = 10
MINUTE_S: Final = 60
UNBOUNDED: Final = 1_000
"""How many invocations an account may run at once that never asked for more."""

LATENCIES_S: Final[Mapping[str, float]] = {
    "dynamodb": 0.005,
    "s3": 0.03,
    "sqs": 0.01,
    "events": 0.02,
    "lambda": 0.02,
    "secretsmanager": 0.02,
}
"""What an answer of each service takes, beside the processor's time of its call: assumed."""

LIGHT: Final = ("dynamodb", "events", "sqs")
"""The services that have a light client (`tunehook.aws.clients`); a call of theirs is taken as one of DynamoDB."""

PROVIDER_S: Final = 0.2
RECEIVER_S: Final = 0.1
FILE_HOST_S: Final = 0.3
"""What a provider, a receiver and a host of files take to answer: assumed."""

NETWORK_BYTES_S: Final = 75e6
"""What one invocation takes in a second, and sends on to S3 at the same time: assumed."""

BUS_LAG_S: Final = 0.2
STREAM_LAG_S: Final = 0.25
COLD_S: Final = 1.0
"""What an event takes to its queue, a change to intake, and a new environment to its first invocation: assumed."""

AUDIO_BYTES: Final = 4.5e6
COVER_BYTES: Final = 0.3e6
"""The files of a clip, as `benchmarks/prices.json` has them."""

SHORTEST_S: Final = 30.0
LONGEST_S: Final = 120.0
"""How long a task lasts at its provider (docs/provider-contracts.md, "Figures")."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on a whole processor, in seconds.

    A question, an AWS call by a light client, one by boto3, a delivery, a copied byte.
    """

    question_s: float
    light_s: float
    call_s: float
    delivery_s: float
    byte_s: float

    @classmethod
    def measured(cls) -> Figures:
        """Return the last results of the benchmarks of the poller, of webhooks and of fulfillment."""
        polls = read_figures(RESULTS / "poll_throughput.json")
        sends = read_figures(RESULTS / "webhooks.json")
        files = read_figures(RESULTS / "archive.json")

        def delivery_s(how: str) -> float:
            return sends[f"processor time of a delivery: {how}"] / 1000

        calls, alone_s = sends["DynamoDB calls of a delivery"], delivery_s("without DynamoDB")
        return cls(
            question_s=1 / polls["tunehook: one by one"],
            light_s=(delivery_s("tunehook") - alone_s) / calls,
            call_s=(delivery_s("with boto3's client") - alone_s) / calls,
            delivery_s=alone_s,
            byte_s=1 / (files["tunehook: 64 of 4 MiB"] * 1e6),
        )


@dataclass(frozen=True, slots=True)
class Size:
    """The parameters of a stack, under the template's names, and its providers' `max_concurrency`."""

    shard_count: int = 1
    poller_memory: int = 512
    fulfillment_concurrency: int = 2
    webhooks_concurrency: int = 4
    intake_concurrency: int = 1
    max_concurrency: int = 32


@dataclass(slots=True)
class Processor:
    """A share of a processor, which does one thing after the other."""

    share: float
    free_at_s: float = 0.0
    used_s: float = 0.0

    def use(self, seconds: float, now_s: float) -> float:
        """Take `seconds` of a whole processor; return in how many seconds that is done."""
        self.free_at_s = max(self.free_at_s, now_s) + seconds / self.share
        self.used_s += seconds
        return self.free_at_s - now_s


@dataclass(slots=True)
class Environment:
    """An execution environment of a function, with what it keeps from one invocation to the next."""

    function: str
    processor: Processor
    network: Processor
    worker: Any


_ENVIRONMENT: ContextVar[Environment | None] = ContextVar("environment", default=None)


class _Loop(VirtualLoop):  # type: ignore[misc]
    """A loop whose calls in threads take what the services say that they took."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # noqa: ARG002
        future = self.create_future()
        self._world.elapsed_s = 0.0
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 - the future is what carries it
            settle = partial(_settle, future.set_exception, future, error)
        else:
            settle = partial(_settle, future.set_result, future, result)
        elapsed_s, self._world.elapsed_s = self._world.elapsed_s, 0.0
        if elapsed_s:
            self.call_later(elapsed_s, settle)
        else:
            settle()
        return future


def _settle(set_: Callable[[Any], None], future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        set_(value)


@dataclass(slots=True)
class Function(Generic[T]):
    """A function: its environments, and what its invocations took.

    Attributes
    ----------
    at_once : int
        How many invocations may run at once.
    active, most_active : int
        Invocations at once, now and at the most.
    billed_s : float
        How long all of them took together, those that run up to now.
    """

    name: str
    memory_mb: float
    at_once: int
    make: Callable[[], T]
    now_s: Callable[[], float]
    environments: list[Environment] = field(default_factory=list)
    active: int = 0
    most_active: int = 0
    invocations: int = 0
    _idle: list[Environment] = field(default_factory=list)
    _billed_s: float = 0.0
    _counted_until_s: float = 0.0

    @property
    def share(self) -> float:
        """How much of a processor an invocation has."""
        return min(1.0, self.memory_mb / WHOLE_PROCESSOR_MB)

    def begin(self) -> None:
        """Count an invocation, which `run` is to make."""
        self._change(1)
        self.invocations += 1
        self.most_active = max(self.most_active, self.active)

    async def run(self, work: Callable[[T], Awaitable[Any]]) -> Any:
        """Make an invocation that was begun: `work` takes what the environment keeps."""
        try:
            if self._idle:
                environment = self._idle.pop()
            else:
                environment = Environment(self.name, Processor(self.share), Processor(1.0), self.make())
                self.environments.append(environment)
                await asyncio.sleep(COLD_S)
            _ENVIRONMENT.set(environment)
            try:
                return await work(environment.worker)
            finally:
                self._idle.append(environment)
        finally:
            self._change(-1)

    def _change(self, more: int) -> None:
        now_s = self.now_s()
        self._billed_s += self.active * (now_s - self._counted_until_s)
        self._counted_until_s = now_s
        self.active += more

    @property
    def billed_s(self) -> float:
        self._change(0)
        return self._billed_s

    @property
    def used_s(self) -> float:
        """The processor's time of all environments, in seconds of a whole one."""
        return sum(each.processor.used_s for each in self.environments)

    def begin_anew(self) -> None:
        """Forget what was counted."""
        self._change(0)
        self.most_active, self.invocations, self._billed_s = self.active, 0, 0.0
        for each in self.environments:
            each.processor.used_s = 0.0


class World:
    """A stack of a size, its provider, its receiver and its user.

    Parameters
    ----------
    size : Size
    figures : Figures
        What things take on a whole processor.
    subscription : mapping
        What the one subscription has beside its id and its URL.
    """

    def __init__(self, size: Size, figures: Figures, subscription: Mapping[str, Any] | None = None) -> None:
        self.size = size
        self.figures = figures
        self.elapsed_s = 0.0
        self.loop = _Loop(self)
        self.calls: Counter[tuple[str, str]] = Counter()
        self.detection_s: list[float] = []
        self.told_s: list[float] = []
        self.put = self.told = self.told_again = self.told_of_progress = self.waiting_before = 0
        self.untold: dict[str, tuple[float, Task]] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._owners = itertools.count()
        self.provider = _Provider(self)
        definitions = {name: table_definition(name) for name in resources("AWS::DynamoDB::Table")}
        self.dynamodb = DynamoDB(
            definitions,
            lambda operation, more_s: self.cost(f"dynamodb {operation}", more_s),
            lambda: self.loop.time() + self.elapsed_s,
        )
        self.queues = {name: Queue(self._later) for name in resources("AWS::SQS::Queue")}
        self.bus = Bus(self.queues["FulfillmentQueue"], self.cost, BUS_LAG_S)
        self.s3 = S3(self.cost)
        self.clients: Mapping[str, Any] = {
            "dynamodb": self.dynamodb,
            "sqs": Sqs(self.queues, self.cost),
            "events": self.bus,
            "s3": self.s3,
            "lambda": Lambdas(self.start_poller, self.cost),
            "secretsmanager": Secrets(_secrets(size), self.cost),
        }
        self._prepare(subscription or {})

    # ------------------------------------------------------------------------------------------------------------ time

    def now_ms(self) -> int:
        """Return the present moment in milliseconds since 1970."""
        passed_s: float = self.loop.time()
        return START_MS + round(passed_s * 1000)

    def _later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.loop.call_later(delay_s, call)

    def cost(self, operation: str, more_s: float = 0.0) -> None:
        """Count an AWS call and what it takes."""
        environment = _ENVIRONMENT.get()
        self.calls["user" if environment is None else environment.function, operation] += 1
        if environment is None:
            return
        at_s = self.loop.time() + self.elapsed_s
        service = operation.partition(" ")[0]
        call_s = self.figures.light_s if service in LIGHT else self.figures.call_s
        self.elapsed_s += environment.processor.use(call_s, at_s) + LATENCIES_S[service] + more_s

    async def work(self, seconds: float) -> None:
        """Take `seconds` of a whole processor where the caller runs."""
        environment = _ENVIRONMENT.get()
        assert environment is not None
        await asyncio.sleep(environment.processor.use(seconds, self.loop.time()))

    # ------------------------------------------------------------------------------------------------------- functions

    def _prepare(self, subscription: Mapping[str, Any]) -> None:
        figures = read_figures()
        environment = variables({"ResultsBucket": "resultsbucket"}, Observability.LEAN)
        environment["SHARD_COUNT"] = str(self.size.shard_count)
        with patch.dict(os.environ, environment):
            of_intake, of_poller = load_settings(IntakeSettings), load_settings(PollerSettings)
            of_fulfillment, of_webhooks = load_settings(FulfillmentSettings), load_settings(WebhooksSettings)
        memory_mb = {
            name: figures[f"template: {name}: memory"] for name in ("intake", "fulfillment", "webhooks")
        }
        self.intake: Function[Intake] = Function(
            "intake",
            memory_mb["intake"],
            STREAM_SHARDS * self.size.intake_concurrency,
            lambda: self._intake(of_intake),
            self.loop.time,
        )
        self.poller: Function[Poller] = Function(
            "poller",
            self.size.poller_memory,
            UNBOUNDED,
            lambda: Poller(
                of_poller,
                dynamodb=self.clients["dynamodb"],
                events=self.clients["events"],
                lambdas=self.clients["lambda"],
                secrets=self.clients["secretsmanager"],
                clock=self.now_ms,
            ),
            self.loop.time,
        )
        self.fulfillment: Function[fulfillment.worker.Worker] = Function(
            "fulfillment",
            memory_mb["fulfillment"],
            self.size.fulfillment_concurrency,
            lambda: fulfillment.worker.Worker(of_fulfillment),
            self.loop.time,
        )
        self.webhooks: Function[webhooks.worker.Worker] = Function(
            "webhooks",
            memory_mb["webhooks"],
            self.size.webhooks_concurrency,
            lambda: webhooks.worker.Worker(of_webhooks, self.clients["dynamodb"]),
            self.loop.time,
        )
        self._user = TasksTable(self.clients["dynamodb"], "TasksTable")
        self.dynamodb.put_item(
            TableName="ProviderStatesTable", Item=to_attributes({"provider": MARK, "stream": "TasksTable"})
        )
        receiver = {
            "subscription_id": "receiver",
            "url": "https://receiver.example.com/hooks",
            **subscription,
        }
        self.dynamodb.put_item(TableName="SubscriptionsTable", Item=to_attributes(receiver))
        self._stream: list[deque[dict[str, Any]]] = [
            deque() for _ in range(STREAM_SHARDS * self.size.intake_concurrency)
        ]
        self._changes = [asyncio.Event() for _ in self._stream]

    @property
    def functions(self) -> tuple[Function[Any], ...]:
        return self.intake, self.poller, self.fulfillment, self.webhooks

    def _intake(self, settings: IntakeSettings) -> Intake:
        return Intake(
            TasksTable(self.clients["dynamodb"], settings.tasks_table),
            Leases(self.clients["dynamodb"], settings.leases_table),
            lambda: EventBus(self.clients["events"], settings.event_bus),
            StreamMarks(self.clients["dynamodb"], settings.provider_states_table),
            self.clients["lambda"],
            fulfillment=lambda: FulfillmentQueue(self.clients["sqs"], settings.fulfillment_queue),
            stream=settings.tasks_stream,
            poller_function=settings.poller_function,
            shard_count=settings.shard_count,
            policy=settings.network_policy,
            clock=self.now_ms,
        )

    def begin_anew(self) -> None:
        """Forget what was counted."""
        self.calls.clear()
        self.bus.chunks.clear()
        self.detection_s.clear()
        self.told_s.clear()
        self.put = self.told = self.told_of_progress = self.provider.questions = 0
        self.provider.asked_s = 0.0
        self.dynamodb.writes.begin_anew()
        self.dynamodb.reads.begin_anew()
        for function in self.functions:
            function.begin_anew()
        for queue in self.queues.values():
            queue.sent = queue.received_again = 0

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Begin something beside the rest; what it raises ends the simulation."""
        task = self.loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        self._check(task)

    def _check(self, task: asyncio.Task[Any]) -> None:
        """End the simulation by what the code does not expect of AWS."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failure = error
            self.loop.stop()

    failure: BaseException | None = None

    def start_poller(self, event: Mapping[str, Any]) -> None:
        """Begin an asynchronous invocation of the poller."""
        # Whoever invokes it pays for the call, and nothing of what it does.
        token = _ENVIRONMENT.set(None)
        try:
            self.poller.begin()
            self.start(self.poller.run(lambda poller: self._pass(poller, event)))
        finally:
            _ENVIRONMENT.reset(token)

    async def _pass(self, poller: Poller, event: Mapping[str, Any]) -> Any:
        ends_ms = self.now_ms() + _timeout_ms("PollerFunction")
        taken: list[Coroutine[Any, Any, Any]] = []

        class Taken(Exception):
            pass

        def take(work: Coroutine[Any, Any, Any]) -> Any:
            taken.append(work)
            raise Taken

        owner = f"invocation-{next(self._owners)}"
        with patch("asyncio.run", take), contextlib.suppress(Taken):
            poller.run(PollerStart.model_validate(event), owner, "poller", lambda: ends_ms - self.now_ms())
        return await taken[0]

    def _map(
        self,
        queue: str,
        function: Function[Any],
        handle: Callable[[Any, Sequence[QueuedMessage]], Awaitable[Sequence[bool]]],
    ) -> None:
        """Have a function invoked with the messages of a queue, as its mapping does."""
        messages = self.queues[queue]
        hidden_s = float(resources("AWS::SQS::Queue")[queue]["VisibilityTimeout"])

        def pump() -> None:
            while messages.waiting and function.active < function.at_once:
                function.begin()
                self.start(run(messages.receive(QUEUE_BATCH, self.now_ms())))

        async def run(batch: Sequence[QueuedMessage]) -> None:
            come_again = await function.run(lambda worker: handle(worker, batch))
            for message, again in zip(batch, come_again, strict=True):
                del messages.held[message.receipt]
                if again:
                    messages.received_again += 1
                    messages.put(message, hidden_s if message.again_s is None else message.again_s)
            pump()

        messages.on_message = pump

    async def _fulfill(self, worker: fulfillment.worker.Worker, batch: Sequence[QueuedMessage]) -> list[bool]:
        ends_ms = self.now_ms() + _timeout_ms("FulfillmentFunction")
        results = await worker._handle(
            [Message.of(each.record()) for each in batch], lambda: ends_ms - self.now_ms()
        )
        return [fulfillment.worker.report(result) for result in results]

    async def _send(self, worker: webhooks.worker.Worker, batch: Sequence[QueuedMessage]) -> list[bool]:
        ends_ms = self.now_ms() + _timeout_ms("WebhooksFunction")
        results = await worker._handle(
            [Message.of(each.record()) for each in batch], lambda: ends_ms - self.now_ms()
        )
        return [isinstance(each, Exception) and not isinstance(each, InvalidInput) for each in results]

    async def _take_in(self, number: int) -> None:
        """Invoke intake with the changes of one shard of the stream, batch by batch."""
        changes = self._stream[number]
        while True:
            self._changes[number].clear()
            if not changes:
                await self._changes[number].wait()
                await asyncio.sleep(STREAM_LAG_S)
            batch = [changes.popleft() for _ in range(min(STREAM_BATCH, len(changes)))]
            self.intake.begin()
            again = await self.intake.run(partial(self._take_batch, batch=batch))
            changes.extendleft(reversed(again))
            if again:
                await asyncio.sleep(STREAM_LAG_S)

    async def _take_batch(self, intake: Intake, batch: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        shards: set[int] = set()
        failed = len(batch)
        for position, change in enumerate(batch):
            try:
                shard = await asyncio.to_thread(intake.take_change, change)
            except Exception:  # noqa: BLE001 - the batch processor reports it, and the record comes again
                failed = min(failed, position)
            else:
                shards |= set() if shard is None else {shard}
        for shard in sorted(shards):
            await asyncio.to_thread(intake.wake_poller, shard)
        return batch[failed:]

    def receive(self, payload: bytes) -> None:
        """Take note of a webhook at its receiver."""
        webhook = json.loads(payload)
        if webhook["type"] == WebhookType.TASK_PROGRESS:
            self.told_of_progress += 1
            return
        known = self.untold.pop(webhook["data"]["task_id"], None)
        if known is None:
            self.told_again += 1
            return
        put_s, task = known
        ended_ms = START_MS + (put_s + task.lasts_s) * 1000
        self.told += 1
        self.detection_s.append((to_ms(datetime.fromisoformat(webhook["timestamp"])) - ended_ms) / 1000)
        self.told_s.append((self.now_ms() - ended_ms) / 1000)

    # ------------------------------------------------------------------------------------------------------------- run

    def put_task(self, task: Task) -> None:
        """Put a task, as its user does."""
        self.put += 1
        self.untold[task.task_id] = self.loop.time(), task
        self.provider.submit(task)
        item = {"task_id": task.task_id, "provider": KIND.value}
        self._user.put(item)
        number = zlib.crc32(task.task_id.encode()) % len(self._stream)
        self._stream[number].append({"NewImage": to_attributes(item)})
        self._changes[number].set()

    async def live(self, tasks: AsyncIterator[Task]) -> None:
        """Run the stack while tasks come."""
        self._map("FulfillmentQueue", self.fulfillment, self._fulfill)
        self._map("DeliveriesQueue", self.webhooks, self._send)
        for number in range(len(self._stream)):
            self.start(self._take_in(number))
        self.start(self._schedule())
        async for task in tasks:
            self.put_task(task)

    async def _schedule(self) -> None:
        while True:
            self.start_poller({"started_by": "schedule"})
            self.dynamodb.writes.forget_before(int(self.loop.time()) - 1)
            self.dynamodb.reads.forget_before(int(self.loop.time()) - 1)
            await asyncio.sleep(MINUTE_S)

    @property
    def pending(self) -> int:
        """How many tasks and events the work index has."""
        return sum(
            self.dynamodb.entries("TasksTable", "work", work_queue(shard))
            for shard in range(self.size.shard_count)
        )

    @property
    def stream_backlog(self) -> int:
        """How many changes wait for intake."""
        return sum(map(len, self._stream))

    @property
    def waiting(self) -> int:
        """How many changes and messages wait for a function."""
        queues = ("FulfillmentQueue", "DeliveriesQueue")
        return self.stream_backlog + sum(len(self.queues[each].waiting) for each in queues)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in virtual time, with the services here where the functions look for AWS's."""
        seconds = lambda: self.now_ms() / 1000  # noqa: E731
        replaced: dict[str, Any] = {
            "tunehook.times.time": SimpleNamespace(time_ns=lambda: self.now_ms() * 1_000_000),
            "webhooks.attempt.time": SimpleNamespace(monotonic=self.loop.time),
            "tunehook.aws.resend.sleep": lambda _: None,
            "tunehook.metrics.Metrics._write": lambda *_: None,
            "poller.service.HttpTransport": lambda **_: self.provider,
            "poller.service.client": lambda service, **_: self.clients[service],
            "poller.background._log_unexpected": self._check,
            "fulfillment.worker.client": lambda service, **_: self.clients[service],
            "fulfillment.worker.visibility_client": lambda: self.clients["sqs"],
            "fulfillment.worker.dead_letter_client": lambda: self.clients["sqs"],
            "fulfillment.worker.open_client": lambda **_: httpx.AsyncClient(
                transport=_FileHost(self), trust_env=False
            ),
            "fulfillment.worker.Recipients": partial(Recipients, clock=seconds),
            "webhooks.worker.client": lambda service, **_: self.clients[service],
            "webhooks.worker.visibility_client": lambda: self.clients["sqs"],
            "webhooks.worker.dead_letter_client": lambda: self.clients["sqs"],
            "webhooks.worker.s3_client": lambda: self.s3,
            "webhooks.worker.HttpTransport": lambda **_: _Receiver(self),
            "webhooks.worker.SubscriptionCache": partial(SubscriptionCache, clock=seconds),
            "webhooks.worker.MasterSecret": partial(MasterSecret, clock=seconds),
        }
        level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            with contextlib.ExitStack() as around:
                for name, value in replaced.items():
                    around.enter_context(patch(name, value))
                with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                    try:
                        return runner.run(work)
                    except RuntimeError:
                        if self.failure is not None:
                            raise self.failure from None
                        raise
        finally:
            logging.disable(level)
            for environment in (*self.fulfillment.environments, *self.webhooks.environments):
                environment.worker._loop.close()


class _Provider(Gateway):
    """The provider: as fast as `PROVIDER_S`, however much it is asked."""

    def __init__(self, world: World) -> None:
        super().__init__(world.now_ms, "https://files.example.com/assets")
        self._world = world
        self.asked_s = 0.0
        """How long all requests took together: as many as that are under way at once, on average, in a second."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        max_bytes: int,
    ) -> Reply:
        begun_s = self._world.loop.time()
        await self._world.work(self._world.figures.question_s)
        await asyncio.sleep(PROVIDER_S)
        self.asked_s += self._world.loop.time() - begun_s
        return await super().send(method, url, headers, body, max_bytes=max_bytes)


@dataclass(frozen=True, slots=True)
class _Receiver:
    """The receiver of webhooks, where the function's transport is."""

    world: World

    async def send_for_status(
        self,
        method: str,  # noqa: ARG002 - the interface has it, and so have the others
        url: str,  # noqa: ARG002
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,
        **_: Any,
    ) -> Reply:
        await self.world.work(self.world.figures.delivery_s)
        await asyncio.sleep(RECEIVER_S)
        self.world.receive(body)
        return Reply(200, {}, b"", truncated=False)


class _FileHost(httpx.AsyncBaseTransport):
    """The host of results: few bytes, which take as long as a file's."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_audio = request.url.path.endswith(".mp3")
        size = AUDIO_BYTES if is_audio else COVER_BYTES
        environment = _ENVIRONMENT.get()
        assert environment is not None
        carried_s = environment.network.use(size / NETWORK_BYTES_S, self._world.loop.time())
        await asyncio.sleep(FILE_HOST_S + carried_s)
        await self._world.work(size * self._world.figures.byte_s)
        kind, body = ("audio/mpeg", MP3) if is_audio else ("image/jpeg", JPEG)
        stream = httpx.ByteStream(body)
        return httpx.Response(200, headers={"content-type": kind}, stream=stream, request=request)


def _timeout_ms(function: str) -> int:
    return int(resources("AWS::Serverless::Function")[function]["Timeout"]) * 1000


def _secrets(size: Size) -> dict[str, str]:
    gateway = {
        "kind": KIND.value,
        "base_url": "https://gw.example.com",
        "api_key": "sk-12345678",
        "batch": False,
        "max_concurrency": size.max_concurrency,
    }
    return {"ProvidersSecret": json.dumps({KIND.value: gateway}), "MasterSecret": "m" * 64}


async def arriving(
    world: World, per_second: Callable[[float], float], until_s: float, seed: int
) -> AsyncIterator[Task]:
    """Yield tasks as they come: at random, `per_second` of them at a time of the simulation."""
    chance = random.Random(seed)
    for number in itertools.count():
        await asyncio.sleep(chance.expovariate(per_second(world.loop.time())))
        if world.loop.time() >= until_s:
            return
        yield Task(f"task-{number:07}", 0.0, chance.uniform(SHORTEST_S, LONGEST_S))
