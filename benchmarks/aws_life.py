"""The whole life of tasks through the real code of all four functions, in one process.

AWS is moto's, with the template's tables, bus, rule and queues. What Lambda does around the functions is done here:
the batches of the stream and of the queues, the schedule, asynchronous invocations. Intake and poller run in virtual
time, and the provider answers in no time; results and webhooks go over loopback, to the sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias, TypeVar
from unittest.mock import patch

import boto3
from botocore.awsrequest import AWSResponse
from moto import mock_aws
from moto.dynamodb.models.utilities import dynamo_json_dump
from tests.support import aws
from tests.support.events import queue_event, stream_event
from tests.support.template import resources, table_definition, template
from tests.support.virtual import Clock

import fulfillment.app
import intake.app
import poller.app
import webhooks.app
from benchmarks.aws_ledger import Ledger, LogMeter
from benchmarks.aws_units import indexes_of, item_bytes
from intake.admission import Intake
from intake.settings import IntakeSettings
from poller.poll_loop import StopReason
from poller.service import Poller, PollerStart
from poller.settings import PollerSettings
from tunehook.aws.bus import EventBus
from tunehook.aws.clients import client
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.leases import Leases
from tunehook.aws.stream_marks import MARK, StreamMarks
from tunehook.aws.tasks import TasksTable
from tunehook.deliveries import message_for, new_delivery
from tunehook.http.reply import Reply
from tunehook.metrics import Observability
from tunehook.settings import load_settings
from tunehook.tasks import TIMEOUT_MAX_S, Format, Status
from tunehook.times import from_ms, now_ms
from tunehook_local.sandbox import Kind, Sandbox, run_sandbox
from tunehook_local.sandbox import musicmint as wording
from tunehook_local.sandbox.clips import Clip
from tunehook_local.sandbox.model import Phase, Song
from tunehook_local.sandbox.task_snapshot import TaskSnapshot

Result = TypeVar("Result")
Message: TypeAlias = dict[str, Any]
"""A message as `ReceiveMessage` gives it."""

KIND = Kind.MUSICMINT
CLIPS = 2
LYRICS_CHARACTERS = 1_200
QUEUED_S = 5.0
"""How long a task waits at its provider before the provider begins."""

STREAM_BATCH = 100
QUEUE_BATCH = 10
MINUTE_S = 60
POLLER_TIMEOUT_MS = 120_000
HOUR_MS = 3_600_000
STORED_BESIDE_BYTES = 100
"""What DynamoDB bills of each stored item beside its own size, and of each entry of an index: its price list."""

CALL_S = 0.01
"""How long one of intake's AWS calls takes."""

CACHED_S = 15.0
"""How long fulfillment and webhooks remember subscriptions. In here they forget all that they remember as soon as that,
which is a little too much."""

PROBED_S = 300.0
"""How long messages wait for the probe of their receiver by their own worker. Half a second is enough on Lambda; a
process that gets no processor for so long would send them on, to come a second later."""

HANGING_ANSWER_S = 0.3
"""How long the provider of a task that hangs takes to answer: a pass of that alone is billed for little else."""

QUIET_S = (26.0, 51.0)
"""Between these moments after its PutItem nothing is new about a task that lasts longer."""

_REGION = {"AWS_DEFAULT_REGION": aws.REGION, "AWS_EC2_METADATA_DISABLED": "true"}
_NOT_OF_THE_ENVIRONMENT = (
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)

USER = "user"
INTAKE = "intake"
POLLER = "poller"
IDLE = "idle poller"
FULFILLMENT = "fulfillment"
WEBHOOKS = "webhooks"


@dataclass(frozen=True, slots=True)
class Task:
    """A task: when it is put into the table, how long its provider takes from then on, and its `timeout_s`."""

    task_id: str
    put_s: float
    lasts_s: float
    timeout_s: int | None = None


@dataclass(slots=True)
class Work:
    """What there was to do, beside the requests that the ledger counts.

    Parameters
    ----------
    questions : int
        How often the provider was asked.
    invocations, messages : Counter
        By the function: its invocations, and the messages of queues among them.
    polled_s : float
        How long the poller's invocations lasted together.
    lasted_s : float
        From the first PutItem until the last of the poller's invocations ended.
    """

    questions: int = 0
    invocations: Counter[str] = field(default_factory=Counter)
    messages: Counter[str] = field(default_factory=Counter)
    polled_s: float = 0.0
    lasted_s: float = 0.0


class Gateway:
    """The provider, in process: stands where the poller's HTTP client does.

    Parameters
    ----------
    clock : callable
        The present moment in milliseconds since 1970.
    assets_url : str
        Where the files of results are.

    Attributes
    ----------
    questions : int
        How often it was asked.
    answers_in_s : float
        How long it takes to answer.
    """

    def __init__(self, clock: Callable[[], int], assets_url: str) -> None:
        self._clock = clock
        self._assets_url = assets_url
        self._tasks: dict[str, tuple[int, Task]] = {}
        self.questions = 0
        self.answers_in_s = 0.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    def submit(self, task: Task) -> None:
        """Begin a task."""
        self._tasks[task.task_id] = self._clock(), task

    async def send(
        self,
        method: str,  # noqa: ARG002 - the interface has it, and so have the others
        url: str,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes | None,  # noqa: ARG002
        *,
        max_bytes: int,  # noqa: ARG002
    ) -> Reply:
        """Answer a question, as `tunehook.http.reply.Transport` has it."""
        self.questions += 1
        if self.answers_in_s:
            await asyncio.sleep(self.answers_in_s)
        submitted_ms, task = self._tasks[url.rsplit("/", 1)[-1]]
        age_s = (self._clock() - submitted_ms) / 1000
        phase = Phase.QUEUED if age_s < QUEUED_S else Phase.PROCESSING
        is_ended = age_s >= task.lasts_s
        changed_s = task.lasts_s if is_ended else QUEUED_S if phase is Phase.PROCESSING else 0
        view = TaskSnapshot(
            task_id=task.task_id,
            phase=Phase.COMPLETED if is_ended else phase,
            word=None,
            reason="",
            song=Song(prompt=_LYRICS),
            video=False,
            lyrics=False,
            clips=tuple(Clip(KIND, task.task_id, index) for index in range(CLIPS)),
            assets_url=self._assets_url,
            submitted_at=from_ms(submitted_ms),
            updated_at=from_ms(submitted_ms + round(changed_s * 1000)),
            now=from_ms(self._clock()),
            ended_at=from_ms(submitted_ms + round(task.lasts_s * 1000)) if is_ended else None,
        )
        answer = wording.one(view)
        return Reply(answer.status, answer.headers, answer.body, truncated=False)


class Stack:
    """The deployed stack, and the world around it; `opened` makes one.

    Parameters
    ----------
    ledger : Ledger
        Counts what is asked of AWS.
    sandbox : Sandbox
        Has the files of results, and the receiver.
    observability : Observability
        How much the stack tells of itself.
    """

    def __init__(self, ledger: Ledger, sandbox: Sandbox, observability: Observability) -> None:
        self.ledger = ledger
        self.observability = observability
        self.work = Work()
        self._sandbox = sandbox
        self._clock = Clock(now_ms())
        self._gateway = Gateway(self._clock, f"{sandbox.url}/assets")
        dynamodb: Any = client("dynamodb")
        lambdas: Any = client("lambda")
        lambdas.meta.events.register_first("before-send.lambda.Invoke", self._on_invoke)
        self._tasks = TasksTable(dynamodb, "TasksTable")
        self._poller = Poller(
            load_settings(PollerSettings),
            dynamodb=dynamodb,
            events=client("events"),
            lambdas=lambdas,
            secrets=client("secretsmanager"),
            clock=self._clock,
        )
        settings = load_settings(IntakeSettings)
        self._intake = Intake(
            self._tasks,
            Leases(dynamodb, settings.leases_table),
            lambda: EventBus(client("events"), settings.event_bus),
            StreamMarks(dynamodb, settings.provider_states_table),
            lambdas,
            fulfillment=lambda: FulfillmentQueue(client("sqs"), settings.fulfillment_queue),
            stream=settings.tasks_stream,
            poller_function=settings.poller_function,
            shard_count=settings.shard_count,
            policy=settings.network_policy,
            clock=self._clock,
        )
        self._numbers = itertools.count()
        self._passes: set[asyncio.Task[StopReason]] = set()

    def live(self, tasks: Sequence[Task]) -> Work:
        """Let tasks live from PutItem to the webhook's 2xx.

        Returns
        -------
        Work
            What there was to do; the ledger has what was asked of AWS.

        Raises
        ------
        RuntimeError
            If one of them did not end well, or was not delivered.
        """
        self._begin()
        batches = self._run(self._watch(tasks))
        items = TasksTable(aws.client("dynamodb"), "TasksTable").scan(["status"])
        completed = sum(item["status"] == Status.COMPLETED for item in items)
        if completed != len(tasks):
            raise RuntimeError(f"{completed} of {len(tasks)} tasks were completed")
        delivered_before = len(self._sandbox.received())
        fresh_at_s = -CACHED_S
        for at_s, messages in batches:
            if at_s - fresh_at_s >= CACHED_S:
                fresh_at_s = at_s
                _begin_anew()
            self._handle(FULFILLMENT, fulfillment.app.handler, "FulfillmentQueue", messages)
            for deliveries in _taken("DeliveriesQueue"):
                self._handle(WEBHOOKS, webhooks.app.handler, "DeliveriesQueue", deliveries)
        delivered = len(self._sandbox.received()) - delivered_before
        if delivered != len(tasks):
            raise RuntimeError(f"{delivered} of {len(tasks)} tasks were delivered")
        self.work.questions = self._gateway.questions
        return self.work

    def attempt_in_vain(self, tasks: Sequence[Task]) -> Work:
        """Make the first attempt at a receiver that answers nothing but errors, for an ended task each.

        The ledger has what the webhooks function asked of AWS for that, and nothing else.
        """
        _subscribe(f"{self._sandbox.url}/no-such-receiver")
        self._begin()
        batches = self._run(self._watch(tasks))
        _begin_anew()
        for _, messages in batches:
            self._handle(FULFILLMENT, fulfillment.app.handler, "FulfillmentQueue", messages)
        self.ledger.forget()
        self.work = Work()
        # All of them first: what fails comes again after a while, which may be over before the others are handled.
        for deliveries in list(_taken("DeliveriesQueue")):
            self._handle(WEBHOOKS, webhooks.app.handler, "DeliveriesQueue", deliveries)
        self._forget_deliveries()
        _subscribe(self._sandbox.receiver_url("receiver"))
        _begin_anew()
        return self.work

    def send_on(self, number: int) -> Work:
        """Let the webhooks function send messages on whose attempt is not due yet: one of the hops of a long wait."""
        self._begin()
        for start in range(0, number, QUEUE_BATCH):
            bodies = [_early_message(each) for each in range(start, min(start + QUEUE_BATCH, number))]
            self.work.messages[WEBHOOKS] += len(bodies)
            self._invoke(WEBHOOKS, webhooks.app.handler, queue_event(*bodies))
        self._forget_deliveries()
        return self.work

    def stored_bytes(self, table: str) -> tuple[float, float]:
        """Return how many bytes DynamoDB bills for storing a task or a delivery: in the table, and in its indexes."""
        items = aws.client("dynamodb").scan(TableName=table)["Items"]
        indexes = indexes_of(table_definition(table))
        entries = [entry for item in items for index in indexes if (entry := index.entry(item)) is not None]

        def together(images: Sequence[Mapping[str, Any]]) -> float:
            # What is large of it is on an item of its own.
            number = sum("content" not in item for item in items)
            return sum(item_bytes(image) + STORED_BESIDE_BYTES for image in images) / number

        return together(items), together(entries)

    def _forget_deliveries(self) -> None:
        # A queue may be purged once a minute only, and messages for later cannot be received.
        sqs = aws.client("sqs")
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="DeliveriesQueue")["QueueUrl"])
        _create_queue("DeliveriesQueue")

    def calls_in_quiet(self, number: int) -> tuple[int, int]:
        """Return the poller's calls and questions of a while in which `number` tasks are pending and nothing is new."""
        self._begin()
        seen: list[tuple[int, int]] = []

        async def look() -> None:
            for wait_s in (QUIET_S[0], QUIET_S[1] - QUIET_S[0]):
                await asyncio.sleep(wait_s)
                calls = sum(n for (who, _), n in self.ledger.calls.items() if who.startswith(POLLER))
                seen.append((calls, self._gateway.questions))

        tasks = [Task(f"quiet-{number}-{each}", 0.0, QUIET_S[1] + 1) for each in range(number)]
        self._run(self._watch(tasks, look))
        (calls_before, questions_before), (calls, questions) = seen
        return calls - calls_before, questions - questions_before

    def idle_minutes(self, number: int) -> list[Counter[str]]:
        """Let minutes pass with nothing to do; return what each asks of AWS, by operation."""
        self._begin()
        minutes = []

        async def wait() -> None:
            for _ in range(number):
                await asyncio.sleep(MINUTE_S)
                before = Counter(self.ledger.calls)
                await self._invoke_poller({"started_by": "schedule"})
                new = Counter(self.ledger.calls) - before
                minutes.append(Counter({operation: calls for (_, operation), calls in new.items()}))

        self._run(wait())
        return minutes

    def hanging(self, minutes: Sequence[int], count: Callable[[], Result]) -> list[Result]:
        """Let one task hang; return what `count` says after each number of minutes, each counted by itself."""
        self._begin()

        async def hang() -> list[Result]:
            self._gateway.answers_in_s = HANGING_ANSWER_S
            schedule = asyncio.create_task(self._invoke_every_minute())
            await asyncio.sleep(MINUTE_S / 2)  # when no poller of a task that hangs is running
            await self._put([Task("hanging", 0.0, math.inf, TIMEOUT_MAX_S)])
            counted = []
            for number in minutes:
                await asyncio.sleep(number * MINUTE_S)
                self.work.questions = self._gateway.questions
                counted.append(count())
                self.ledger.forget()
                self.work = Work()
                self._gateway.questions = 0
            schedule.cancel()
            self._gateway.answers_in_s = 0.0
            return counted

        return self._run(hang())

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run in virtual time, with the gateway where the poller's HTTP client would be."""
        with patch("poller.service.HttpTransport", lambda **_: self._gateway):
            result: Result = self._clock.run(work)
        return result

    def _begin(self) -> None:
        # Where items lie that nobody looks for, moto takes long to look for the others.
        for table in ("TasksTable", "DeliveriesTable"):
            aws.client("dynamodb").delete_table(TableName=table)
            aws.create_table(table)
        self.ledger.forget()
        self.work = Work()
        self._gateway.questions = 0

    async def _watch(
        self, tasks: Sequence[Task], beside: Callable[[], Coroutine[Any, Any, None]] | None = None
    ) -> list[tuple[float, list[Message]]]:
        """Put the tasks and have them polled until all have ended.

        Returns
        -------
        list of tuple
            Fulfillment's batches: the second in which each came, and the messages.
        """
        batches: list[tuple[float, list[Message]]] = []
        around = [
            asyncio.create_task(self._invoke_every_minute()),
            asyncio.create_task(self._collect(batches)),
            *([asyncio.create_task(beside())] if beside else ()),
        ]
        begun_s = asyncio.get_running_loop().time()
        for put_s, together in itertools.groupby(tasks, key=lambda task: task.put_s):
            await asyncio.sleep(begun_s + put_s - asyncio.get_running_loop().time())
            await self._put(list(together))
        while self._passes or sum(len(messages) for _, messages in batches) < len(tasks):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(1)
        for each in around:
            each.cancel()
        await asyncio.gather(*around, return_exceptions=True)
        self.work.lasted_s = asyncio.get_running_loop().time() - begun_s - tasks[0].put_s
        return batches

    async def _put(self, tasks: Sequence[Task]) -> None:
        items: list[dict[str, Any]] = [
            {"task_id": task.task_id, "provider": KIND.value}
            | ({} if task.timeout_s is None else {"timeout_s": task.timeout_s})
            for task in tasks
        ]
        for task, item in zip(tasks, items, strict=True):
            self._gateway.submit(task)
            with self.ledger.by(USER):
                self._tasks.put(item)
        for start in range(0, len(items), STREAM_BATCH):
            batch = items[start : start + STREAM_BATCH]
            with patch("intake.app.intake", lambda: self._intake):
                self._invoke(INTAKE, intake.app.handler, stream_event(*batch))
            await asyncio.sleep(len(batch) * CALL_S)

    async def _invoke_every_minute(self) -> None:
        while True:
            await asyncio.sleep(MINUTE_S)
            self._start_poller({"started_by": "schedule"})

    async def _collect(self, batches: list[tuple[float, list[Message]]]) -> None:
        """Take every second what has come into fulfillment's queue, as its mapping would."""
        collected = 0
        while True:
            if (emitted := sum(self.ledger.event_entries.values())) > collected:
                collected = emitted
                now_s = asyncio.get_running_loop().time()
                batches.extend((now_s, messages) for messages in _taken("FulfillmentQueue"))
            await asyncio.sleep(1)

    def _on_invoke(self, request: Any, **_: Any) -> AWSResponse:
        # An empty batch only warms up, and what it is for starts in its place later.
        if "Records" not in (event := json.loads(request.body)):
            self._start_poller(event)
        nothing: Any = {}
        return AWSResponse(request.url, 202, nothing, _Nothing())

    def _start_poller(self, event: Mapping[str, Any]) -> None:
        running = asyncio.get_running_loop().create_task(self._invoke_poller(event))
        self._passes.add(running)
        running.add_done_callback(self._passes.discard)

    async def _invoke_poller(self, event: Mapping[str, Any]) -> StopReason:
        name = f"{POLLER}-{next(self._numbers)}"
        begun_ms = self._clock()
        with self.ledger.by(name):
            reason = await self._work_of(
                PollerStart.model_validate(event), name, begun_ms + POLLER_TIMEOUT_MS
            )
        lasted_ms = self._clock() - begun_ms
        is_idle = reason is StopReason.NOTHING_PENDING and not lasted_ms
        self.ledger.hand_over(name, IDLE if is_idle else POLLER)
        self.work.invocations[IDLE if is_idle else POLLER] += 1
        self.work.polled_s += lasted_ms / 1000
        return reason

    def _work_of(self, start: PollerStart, owner: str, ends_ms: int) -> Coroutine[Any, Any, StopReason]:
        """Return what the poller would run in an event loop of its own, for the loop of virtual time."""
        taken: list[Coroutine[Any, Any, StopReason]] = []

        def take(work: Coroutine[Any, Any, StopReason]) -> StopReason:
            taken.append(work)
            return StopReason.NOTHING_PENDING

        with patch("asyncio.run", take):
            self._poller.run(start, owner, "poller", lambda: ends_ms - self._clock())
        return taken[0]

    def _handle(
        self, function: str, handler: Callable[[Any, Any], Any], queue: str, messages: Sequence[Message]
    ) -> None:
        """Invoke a function with messages, and take them out of their queue."""
        event = queue_event(*(message["Body"] for message in messages))
        for record, message in zip(event["Records"], messages, strict=True):
            record["receiptHandle"] = message["ReceiptHandle"]
        self.work.messages[function] += len(messages)
        self._invoke(function, handler, event)
        sqs = aws.client("sqs")
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def _invoke(self, function: str, handler: Callable[[Any, Any], Any], event: dict[str, Any]) -> None:
        self.work.invocations[function] += 1
        with self.ledger.by(function):
            answer = handler(event, aws.Context())
        if answer["batchItemFailures"]:
            raise RuntimeError(f"{function} failed")


def _begin_anew() -> None:
    """Let fulfillment and webhooks remember nothing, as in a new process."""
    for app in (fulfillment.app, webhooks.app):
        if app._worker.cache_info().currsize:
            app._worker().close()
        app._worker.cache_clear()


class _Nothing:
    """The body of an answer that has none."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield b""


@contextlib.contextmanager
def opened(observability: Observability = Observability.LEAN) -> Iterator[Stack]:
    """Deploy the stack into moto, with one subscription, and count what is asked from then on.

    Parameters
    ----------
    observability : Observability, optional
        How much the stack tells of itself.
    """
    with contextlib.ExitStack() as around:
        around.enter_context(patch.dict(os.environ, _REGION))
        for name in _NOT_OF_THE_ENVIRONMENT:
            os.environ.pop(name, None)
        around.enter_context(mock_aws())
        around.enter_context(_fast_moto())
        around.enter_context(patch("webhooks.circuit_breaker.PATIENCE_HERE_S", PROBED_S))
        sandbox = around.enter_context(run_sandbox())
        places = _create(sandbox)
        tables = {name: table_definition(name) for name in resources("AWS::DynamoDB::Table")}
        ledger = Ledger(tables, aws.client("dynamodb"))
        session = boto3.Session()
        ledger.watch(session)
        around.enter_context(patch("boto3.DEFAULT_SESSION", session))
        # The ledger counts by boto3's events; the light client makes the same calls without them.
        around.enter_context(patch("tunehook.aws.clients.lightened", lambda client, _: client))
        meter: Any = LogMeter(ledger)
        around.enter_context(contextlib.redirect_stdout(meter))
        for app in (intake.app, poller.app, fulfillment.app, webhooks.app):
            handler: Any = app.logger.registered_handler
            around.callback(handler.setStream, handler.setStream(meter) or handler.stream)
        around.enter_context(patch.dict(os.environ, variables(places, observability)))
        _begin_anew()
        around.callback(_begin_anew)
        yield Stack(ledger, sandbox, observability)


@contextlib.contextmanager
def _fast_moto() -> Iterator[None]:
    """Let moto answer a Query of 1,000 items at once; its own way takes it seconds."""

    def write(result: Any, _: Any) -> tuple[int, dict[str, str], str]:
        return 200, {"Content-Type": "application/x-amz-json-1.0"}, dynamo_json_dump(result.result)

    def project(index: Any, item: Any) -> Any:
        keys = [key["AttributeName"] for key in index.schema]
        names = {*index.table_key_attrs, *keys, *index.projection.get("NonKeyAttributes", ())}
        if index.projection["ProjectionType"] != "ALL":
            item.attrs = {name: value for name, value in item.attrs.items() if name in names}
        return item

    with (
        patch("moto.dynamodb.responses.DynamoResult.execute_result", write),
        patch("moto.dynamodb.models.table.SecondaryIndex.project", project),
    ):
        yield


def _create(sandbox: Sandbox) -> dict[str, str]:
    """Make what the template describes; return where each resource is, by its logical id."""
    for table in resources("AWS::DynamoDB::Table"):
        aws.create_table(table)
    aws.put("ProviderStatesTable", {"provider": MARK, "stream": "TasksTable"})
    _subscribe(sandbox.receiver_url("receiver"))
    sqs, events = aws.client("sqs"), aws.client("events")
    urls = {name: _create_queue(name) for name in resources("AWS::SQS::Queue")}
    events.create_event_bus(Name="EventBus")
    rule = resources("AWS::Events::Rule")["EndedTasksRule"]
    events.put_rule(Name="ended", EventBusName="EventBus", EventPattern=json.dumps(rule["EventPattern"]))
    attributes = sqs.get_queue_attributes(QueueUrl=urls["FulfillmentQueue"], AttributeNames=["QueueArn"])
    target = {"Id": "fulfillment", "Arn": attributes["Attributes"]["QueueArn"]}
    events.put_targets(Rule="ended", EventBusName="EventBus", Targets=[target])
    aws.client("s3").create_bucket(
        Bucket="resultsbucket", CreateBucketConfiguration={"LocationConstraint": aws.REGION}
    )
    gateway = {
        "kind": KIND.value,
        "base_url": "https://gw.example.com",
        "api_key": "sk-12345678",
        "batch": False,
    }
    secrets = {"ProvidersSecret": json.dumps({KIND.value: gateway}), "MasterSecret": "m" * 64}
    for name, text in secrets.items():
        aws.client("secretsmanager").create_secret(Name=name, SecretString=text)
    return urls | {"ResultsBucket": "resultsbucket"}


def variables(places: Mapping[str, str], observability: Observability) -> dict[str, str]:
    """Return the variables of all four functions; what is not in `places` lies under its logical id."""
    parameters = template()["Parameters"] | {
        "NetworkPolicy": {"Default": "any"},
        "Observability": {"Default": observability.value},
    }
    variables: dict[str, str] = {}
    for function in resources("AWS::Serverless::Function").values():
        for name, value in function["Environment"]["Variables"].items():
            match value:
                case {"Ref": parameter} if parameter in parameters:
                    variables[name] = str(parameters[parameter]["Default"])
                case {"Ref": resource}:
                    variables[name] = places.get(resource, resource)
                case {"Fn::GetAtt": attribute}:
                    variables[name] = str(attribute).partition(".")[0]
                case {"Fn::Sub": text}:
                    variables[name] = text.replace("${AWS::StackName}", "tunehook")
                case _:
                    variables[name] = str(value)
    del variables["POWERTOOLS_SERVICE_NAME"]
    return variables


def _create_queue(name: str) -> str:
    # Much virtual time lies between the moment in which a message comes and the one in which it is handled.
    hidden = {"VisibilityTimeout": "43200"}
    return str(aws.client("sqs").create_queue(QueueName=name, Attributes=hidden)["QueueUrl"])


def _subscribe(url: str) -> None:
    aws.put("SubscriptionsTable", {"subscription_id": "receiver", "url": url})


def _early_message(number: int) -> str:
    """Return a message of the deliveries queue whose attempt is due in an hour."""
    at_ms = now_ms()
    delivery = new_delivery(
        event_id=f"evt_{number}",
        subscription_id="receiver",
        task_id=f"task-{number}",
        provider=KIND.value,
        type="task.completed",
        event_at_ms=at_ms,
        format=Format.STANDARD,
        payload="{}",
        now_ms=at_ms,
    )
    return message_for(delivery).model_copy(update={"due_at_ms": at_ms + HOUR_MS}).model_dump_json()


def _taken(queue: str) -> Iterator[list[Message]]:
    """Yield the messages of a queue as a mapping hands them on: in batches of at most `QUEUE_BATCH`."""
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=QUEUE_BATCH).get("Messages"):
        yield messages


_LYRICS = ("[Verse]\nNothing in this box was sung, yet every note of it has rung\n" * 40)[:LYRICS_CHARACTERS]
