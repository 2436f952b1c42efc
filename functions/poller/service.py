"""An invocation of the poller: one pass over one shard, or the start of one invocation a shard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import KW_ONLY, dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from aws_lambda_powertools import Logger
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from poller.dead_letters import DeadLetterWatch
from poller.inline_files import store_inline_file
from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.poll_loop import PollLoop, StopReason
from poller.progress import ProgressChannel, Wanted
from poller.provider_health import ProviderHealthStore
from poller.registry import CONNECTIONS_MAX, ProviderRegistry
from poller.settings import PollerSettings
from tunehook.aws.bus import EventBus
from tunehook.aws.callback_hints import CallbackHintsTable
from tunehook.aws.clients import CONNECTIONS, client, close_in_loop
from tunehook.aws.dead_letter_marks import DeadLetterMarks
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.leases import Leases
from tunehook.aws.provider_states import ProviderStates
from tunehook.aws.secrets import read_secret
from tunehook.aws.stream_marks import StreamMark, StreamMarks
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.errors import Unavailable
from tunehook.executors import UnawaitedThreads
from tunehook.fulfillment_requests import ProgressRequest
from tunehook.http.transport import HttpTransport
from tunehook.times import SteadySeconds, now_ms

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_secretsmanager import SecretsManagerClient

logger = Logger(child=True)

T = TypeVar("T")

RESERVED_THREADS = 12
"""The threads that read work and hints and renew the lease, which no outage of anything else makes wait."""

THREADS = CONNECTIONS - RESERVED_THREADS
"""The other threads: together as many as may call AWS at once."""

START_AGAIN_AFTER_S = (2.0, 5.0, 10.0, 13.0)
"""The waits before a shard that could not be started is tried again, within the same minute."""

START_WITHIN_S = 50.0
"""How long it may take, calls that hang included: the next minute starts them all once more."""

WARMED_UP_WITHIN_S = 5.0
"""How long a pass that is over waits for what it has begun with."""

SHARDS_KNOWN_FOR_MS = 600_000
"""How long the list of shards is good: one beyond `ShardCount` can only come from an intake not yet updated."""


class PollerStart(BaseModel):
    """Why the poller was invoked. Anything but a start for new work, by intake or the API, counts as the schedule's."""

    model_config = ConfigDict(extra="ignore")

    started_by: Annotated[
        Literal["schedule", "intake"], BeforeValidator(lambda by: by if by == "intake" else "schedule")
    ] = "schedule"
    shard: int | None = Field(None, ge=0)


@dataclass
class Poller:
    """The poller of one execution environment."""

    settings: PollerSettings
    _: KW_ONLY
    dynamodb: DynamoDBClient
    events: EventBridgeClient
    lambdas: LambdaClient
    secrets: SecretsManagerClient
    clock: Callable[[], int] = now_ms
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def __post_init__(self) -> None:
        # Most pollers never meet a file inside an answer: its client is made with the first one.
        self.store_file = partial(
            store_inline_file, cache(lambda: client("s3")), self.settings.results_bucket
        )
        # Nor do most tell of progress.
        self._sqs = cache(lambda: client("sqs"))
        subscriptions = SubscriptionsTable(self.dynamodb, self.settings.subscriptions_table)
        self._progress = ProgressChannel(Wanted(subscriptions, self.clock), self._send_progress)
        self._tasks = TasksTable(self.dynamodb, self.settings.tasks_table)
        self._leases = Leases(self.dynamodb, self.settings.leases_table)
        self._hints = CallbackHintsTable(self.dynamodb, self.settings.callback_hints_table)
        self._marks = StreamMarks(self.dynamodb, self.settings.provider_states_table)
        self._dead_letters = DeadLetterWatch(
            {
                "fulfillment": self.settings.fulfillment_dead_letters,
                "deliveries": self.settings.deliveries_dead_letters,
                "intake": self.settings.intake_dead_letters,
                "poller": self.settings.poller_dead_letters,
            },
            cache(lambda: client("sqs", retries={"total_max_attempts": 2}, read_timeout=5)),
            DeadLetterMarks(self.dynamodb, self.settings.provider_states_table),
            EventBus(self.events, self.settings.event_bus),
            self.clock,
        )
        self._shards: list[int] = []
        self._shards_known_until_ms = 0
        self._is_stream_checked = False

    def run(
        self, start: PollerStart, owner: str, function: str, remaining_ms: Callable[[], int]
    ) -> dict[str, Any]:
        """Start an invocation of the same function a shard, or poll one shard in a pass, as an owner of a unique name.

        The one invocation that the schedule itself starts each minute looks for dead letters beside that.

        Returns ``{"shards": n}`` where invocations were started, ``{"shard": n, "stopped": reason}`` after a pass.
        """
        is_of_schedule = start.started_by == "schedule" and start.shard is None
        if is_of_schedule:
            self._check_stream()
        if start.shard is None and len(self._known_shards()) > 1:
            return asyncio.run(self._run(self._start_shards(start, function), looks=is_of_schedule))
        shard = start.shard or 0
        work = self._pass(shard, owner, start.started_by == "schedule", remaining_ms)
        reason = asyncio.run(self._run(work, looks=is_of_schedule))
        # The schedule starts a poller every minute, whether there is something to do or not.
        is_idle = reason in (StopReason.NOTHING_PENDING, StopReason.ALREADY_RUNNING)
        write = logger.debug if is_idle and start.started_by == "schedule" else logger.info
        write("pass_ended", shard=shard, started_by=start.started_by, stopped=reason.value)
        if reason is StopReason.NOTHING_PENDING and shard >= self.settings.shard_count:
            self._retire(shard)
        return {"shard": shard, "stopped": reason.value}

    async def _run(self, work: Coroutine[Any, Any, T], *, looks: bool) -> T:
        """Return what the work comes to; look for dead letters meanwhile, if asked."""
        asyncio.get_running_loop().set_default_executor(UnawaitedThreads(THREADS))
        look = asyncio.create_task(self._dead_letters.look()) if looks else None
        try:
            return await work
        finally:
            if look is not None:
                await asyncio.wait({look})

    def _send_progress(self, request: ProgressRequest) -> None:
        FulfillmentQueue(self._sqs(), self.settings.fulfillment_queue).send([request])

    def _check_stream(self) -> None:
        """Have intake read the whole table if its stream was replaced, which only an upgrade does."""
        if self._is_stream_checked:
            return
        try:
            self._is_stream_checked = self._marks.get() == StreamMark(self.settings.tasks_stream)
            if not self._is_stream_checked:
                self._invoke(self.settings.intake_function, {"look_for_missed": True})
        except AWS_FAULTS as error:
            logger.warning("stream_not_checked", error=code_of(error))

    def _known_shards(self) -> list[int]:
        """Return the shards of `ShardCount`, and those that are left from when it was larger."""
        now_ms = self.clock()
        if now_ms >= self._shards_known_until_ms:
            try:
                registered = self._leases.shards()
            except AWS_FAULTS as error:
                logger.warning("shards_not_read", error=code_of(error))
                registered = set(self._shards)
            else:
                self._shards_known_until_ms = now_ms + SHARDS_KNOWN_FOR_MS
            self._shards = sorted(registered | set(range(self.settings.shard_count)))
        return self._shards

    def _retire(self, shard: int) -> None:
        try:
            if self._leases.retire(shard, self.clock()):
                logger.info("shard_retired", shard=shard)
        except AWS_FAULTS as error:
            logger.warning("shard_not_retired", shard=shard, error=code_of(error))

    async def _start_shards(self, start: PollerStart, function: str) -> dict[str, Any]:
        """Start an invocation a shard; retry for half a minute, then raise `Unavailable` if one did not start."""
        waiting = set(self._shards)

        async def start_one(shard: int) -> None:
            payload = {"started_by": start.started_by, "shard": shard}
            try:
                await asyncio.to_thread(self._invoke, function, payload)
            except AWS_FAULTS as error:
                logger.warning("shard_not_started", shard=shard, error=code_of(error))
            else:
                waiting.discard(shard)

        try:
            async with asyncio.timeout(START_WITHIN_S):
                for wait_s in (0.0, *START_AGAIN_AFTER_S):
                    await self.sleep(wait_s)
                    await asyncio.gather(*(start_one(shard) for shard in sorted(waiting)))
                    if not waiting:
                        return {"shards": len(self._shards)}
        except TimeoutError:
            logger.warning("shards_not_started_in_time", shards=sorted(waiting))
        raise Unavailable(f"the shards {sorted(waiting)} could not be started")

    def _invoke(self, function: str, payload: dict[str, Any]) -> None:
        self.lambdas.invoke(
            FunctionName=function, InvocationType="Event", Payload=json.dumps(payload).encode()
        )

    def _warm_up(self) -> None:
        """Start the functions that the end of a task needs: while nothing was pending, they had nothing to do."""
        for function in (self.settings.fulfillment_function, self.settings.webhooks_function):
            try:
                self._invoke(function, {"Records": []})
            except AWS_FAULTS as error:
                logger.warning("not_warmed_up", function=function, error=code_of(error))

    async def _pass(
        self, shard: int, owner: str, take_over: bool, remaining_ms: Callable[[], int]
    ) -> StopReason:
        warming_up = None if take_over else asyncio.create_task(asyncio.to_thread(self._warm_up))
        oldest_alarm_ms = self.settings.oldest_pending_alarm_s * 1000
        metrics = Metrics(self.settings.observability, oldest_alarm_ms=oldest_alarm_ms)
        bus = EventBus(self.events, self.settings.event_bus)
        states = ProviderStates(self.dynamodb, self.settings.provider_states_table)
        reserved_threads = UnawaitedThreads(RESERVED_THREADS)
        read_providers = partial(read_secret, self.secrets, self.settings.providers_secret)
        try:
            async with HttpTransport(max_connections=CONNECTIONS_MAX) as http:
                poll_loop = PollLoop(
                    shard=shard,
                    owner=owner,
                    tasks=self._tasks,
                    leases=self._leases,
                    hints=self._hints,
                    outbox=Outbox(self._tasks, bus, self.store_file, self.clock),
                    providers=ProviderRegistry(read_providers, http, self.clock, SteadySeconds(self.clock)),
                    health=ProviderHealthStore(states, self.clock),
                    metrics=metrics,
                    clock=self.clock,
                    remaining_ms=remaining_ms,
                    reserved_threads=reserved_threads,
                    takes_in=self.settings.callbacks_take_in,
                    progress=self._progress,
                )
                return await poll_loop.run(take_over=take_over)
        finally:
            if warming_up is not None:
                await asyncio.wait([warming_up], timeout=WARMED_UP_WITHIN_S)
            reserved_threads.shutdown()
            await close_in_loop(self.dynamodb)
            await close_in_loop(self.events)
            metrics.emit()
