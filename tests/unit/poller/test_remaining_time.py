"""A pass against the clock of its invocation, in real time: the real function over loopback gateways and moto's AWS."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.aws import BUS, client, create_table, dead_letter_queues, items, put
from tests.support.patience import HANG_S

from poller import lease_holder, registry
from poller.poll_loop import STOP_BEFORE_MS, STUCK_BEFORE_MS, WIND_UP_MARGIN_S
from poller.service import THREADS, Poller, PollerStart
from poller.settings import PollerSettings
from tunehook.tasks import work_queue
from tunehook.times import now_ms
from tunehook_local.sandbox import Kind, Sandbox, TaskRule, parse, run_sandbox

LITTLE_S = (STOP_BEFORE_MS + 500) / 1000
"""Not much more than is left for winding up."""

PLENTY_S = 5 * HANG_S
HANG_MS = HANG_S * 1000

TASKS_OF_A_KIND = 40
GATEWAY = "gateway.example.com"


class Invocation:
    """What is left of an invocation: plenty, until something has happened that leaves it little."""

    def __init__(self, until: Callable[[], object] | None = None) -> None:
        self._until = until
        self.leave(PLENTY_S)

    def leave(self, seconds: float) -> None:
        """Have so many seconds left from now on."""
        self._ends = time.monotonic() + seconds

    def left_ms(self) -> int:
        if self._until is not None and self._until():
            self._until = None
            self.leave(LITTLE_S)
        return round(1000 * (self._ends - time.monotonic()))


class Hanging:
    """A client that does what the real one does, except that one of its operations hangs.

    Parameters
    ----------
    real : boto3 client
        Where the other calls go, and this one in the end.
    operation : str
        The name of its method.
    table : str, optional
        Of which table alone.
    after : int
        How many of these calls go through before.
    """

    def __init__(self, real: Any, operation: str, table: str | None = None, *, after: int = 0) -> None:
        self._real = real
        self._operation = operation
        self._table = table
        self._after = after
        self.on_hang: Callable[[], None] = lambda: None
        self.has_hung = threading.Event()
        self.released = threading.Event()
        self.was_waited_for = threading.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name == "get_paginator":
            return lambda operation: self._call(operation, method, operation)
        return lambda **given: self._call(name, method, **given)

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **given: Any) -> Any:
        is_meant = name == self._operation and self._table in (None, given.get("TableName"))
        self._after -= is_meant
        if is_meant and self._after < 0:
            self.on_hang()
            self.has_hung.set()
            if not self.released.wait(HANG_S):
                self.was_waited_for.set()
        return method(*args, **given)


@pytest.fixture
def hanging() -> Iterator[Callable[..., Hanging]]:
    """Make clients of a service that hang, until the test is over."""
    made: list[Hanging] = []

    def make(service: str, *operation: str, after: int = 0) -> Hanging:
        made.append(Hanging(client(service), *operation, after=after))
        return made[-1]

    yield make
    for each in made:
        each.released.set()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with run_sandbox() as running:
        yield running


@pytest.fixture(autouse=True)
def _parts(aws: None, sandbox: Sandbox) -> None:
    create_table("TasksTable")
    create_table("PollerLeasesTable")
    create_table("ProviderStatesTable")
    create_table("CallbackHintsTable")
    create_table("SubscriptionsTable")
    client("events").create_event_bus(Name=BUS)
    client("secretsmanager").create_secret(
        Name="providers", SecretString=json.dumps(sandbox.providers_secret())
    )


def add(sandbox: Sandbox, kind: Kind, task_id: str, **answer: Any) -> None:
    """Put a task of which its provider says `answer`."""
    rule = {"task_id": "*", "answers": [{"phase": "processing"} | answer]}
    sandbox.create_task(kind, task_id, rule=parse(TaskRule, rule))
    times = {"since_ms": now_ms(), "deadline_ms": now_ms() + 60_000}
    item = {"task_id": task_id, "provider": kind.value, "status": "pending", "queue": work_queue(0)}
    put("TasksTable", item | times)


def add_everywhere(sandbox: Sandbox, **answer: Any) -> None:
    """Put tasks of every kind of provider, more than are asked at a time."""
    for kind in Kind:
        for number in range(TASKS_OF_A_KIND):
            add(sandbox, kind, f"task-{number}", **answer)


def run(invocation: Invocation, **clients: Hanging) -> str:
    """Make the pass of an invocation, with some clients of its services replaced; return why it stopped."""
    settings = PollerSettings(
        tasks_table="TasksTable",
        tasks_stream="arn:aws:dynamodb:eu-west-1:123456789012:table/TasksTable/stream/1",
        intake_function="intake",
        fulfillment_function="fulfillment",
        webhooks_function="webhooks",
        leases_table="PollerLeasesTable",
        provider_states_table="ProviderStatesTable",
        callback_hints_table="CallbackHintsTable",
        subscriptions_table="SubscriptionsTable",
        fulfillment_queue="https://sqs.example.com/fulfillment",
        results_bucket="results",
        event_bus=BUS,
        **dead_letter_queues(),
        providers_secret="providers",
        shard_count=1,
        callbacks_take_in=True,
    )
    services = {name: client(name) for name in ("dynamodb", "events", "lambda", "secretsmanager")} | clients
    poller = Poller(
        settings,
        dynamodb=services["dynamodb"],
        events=services["events"],
        lambdas=services["lambda"],
        secrets=services["secretsmanager"],
    )
    return poller.run(PollerStart(), "request-1", "the-poller", invocation.left_ms)["stopped"]


@pytest.mark.parametrize(
    "answer", [{"hang": True}, {"drip_bytes": 1, "drip_every_s": 1.0}], ids=["hang", "drip"]
)
def test_a_pass_stops_in_time_whatever_all_its_providers_do(sandbox: Sandbox, answer: dict[str, Any]) -> None:
    add_everywhere(sandbox, **answer)
    invocation = Invocation(until=lambda: any(book.polled_at for book in sandbox.task_records()))
    assert run(invocation) == "out_of_time"
    assert invocation.left_ms() > STOP_BEFORE_MS - HANG_MS


def test_a_pass_stops_in_time_although_no_name_resolves(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up, released, over = threading.Event(), threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def hang(host: Any, *args: Any, **options: Any) -> Any:
        if host != GATEWAY:
            return look_up(host, *args, **options)
        looked_up.set()
        if not released.wait(HANG_S):
            over.set()
        raise socket.gaierror(socket.EAI_AGAIN, "as the test wants it")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    providers = {
        name: config | {"base_url": f"http://{GATEWAY}"}
        for name, config in sandbox.providers_secret().items()
    }
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString=json.dumps(providers))
    add_everywhere(sandbox)
    invocation = Invocation(until=looked_up.is_set)
    try:
        assert run(invocation) == "out_of_time"
        assert not over.is_set()
    finally:
        released.set()


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("dynamodb", ("query",)),
        ("dynamodb", ("update_item", "PollerLeasesTable")),
        ("secretsmanager", ("get_secret_value",)),
    ],
    ids=["work index", "lease", "providers"],
)
def test_a_pass_whose_first_calls_of_aws_hang_stops_in_time(
    sandbox: Sandbox, hanging: Callable[..., Hanging], service: str, call: tuple[str, ...]
) -> None:
    add(sandbox, Kind.SUNO, "task-1")
    hung = hanging(service, *call)
    invocation = Invocation()
    invocation.leave(STUCK_BEFORE_MS / 1000 + 2)
    assert run(invocation, **{service: hung}) == "out_of_time"
    assert hung.has_hung.is_set()
    assert not hung.was_waited_for.is_set()


@pytest.mark.parametrize(
    ("service", "call"),
    [("dynamodb", ("update_item", "TasksTable")), ("events", ("put_events",))],
    ids=["end", "event"],
)
def test_a_pass_that_cannot_settle_what_it_knows_stops_in_time(
    sandbox: Sandbox, hanging: Callable[..., Hanging], service: str, call: tuple[str, ...]
) -> None:
    add(sandbox, Kind.SUNO, "task-1", phase="completed")
    hung = hanging(service, *call)
    invocation = Invocation()
    hung.on_hang = lambda: invocation.leave(WIND_UP_MARGIN_S + 1.2)
    assert run(invocation, **{service: hung}) == "out_of_time"
    assert hung.has_hung.is_set()
    assert not hung.was_waited_for.is_set()


def test_what_was_answered_is_settled_although_all_else_hangs(
    sandbox: Sandbox, hanging: Callable[..., Hanging]
) -> None:
    add(sandbox, Kind.MUSICMINT, "ended", phase="completed")
    add_everywhere(sandbox, hang=True)
    slow = hanging("dynamodb", "update_item", "TasksTable")
    # Longer than the pass goes on asking.
    slow.on_hang = lambda: threading.Timer(1.5, slow.released.set).start()
    run(Invocation(until=slow.has_hung.is_set), dynamodb=slow)
    ended = [item["task_id"] for item in items("TasksTable") if item["status"] != "pending"]
    assert ended == ["ended"]


@pytest.mark.parametrize(
    ("service", "call", "after"),
    [
        ("events", ("put_events",), 0),
        ("secretsmanager", ("get_secret_value",), 1),
        ("dynamodb", ("update_item", "PollerLeasesTable"), 1),
        ("dynamodb", ("update_item", "TasksTable"), 0),
        ("dynamodb", ("get_item", "TasksTable"), 0),
    ],
    ids=["event", "providers", "renewal", "all threads", "left over"],
)
def test_a_new_task_is_asked_about_while_a_call_hangs(
    sandbox: Sandbox,
    hanging: Callable[..., Hanging],
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    call: tuple[str, ...],
    after: int,
) -> None:
    monkeypatch.setattr(registry, "RELOAD_EVERY_MS", 500)
    monkeypatch.setattr(lease_holder, "RENEW_EVERY_MS", 500)
    for number in range(2 * THREADS):  # of each, the phase is news that is written
        add(sandbox, Kind.QHAIGC, f"task-{number}")
    rejected = {"status": "rejected", "failure": {"code": "invalid", "reason": "as it is"}, "event_id": "evt"}
    put("TasksTable", {"task_id": "bad", "provider": "suno", "queue": work_queue(0), **rejected} | _now())
    hung = hanging(service, *call, after=after)
    invocation, is_new = Invocation(), threading.Lock()

    def put_new() -> None:
        if is_new.acquire(blocking=False):
            add(sandbox, Kind.MUSICMINT, "new")
            threading.Thread(target=leave_once_asked, daemon=True).start()

    def leave_once_asked() -> None:
        deadline_s = time.monotonic() + HANG_S - 5
        while time.monotonic() < deadline_s and not asked_at("new"):
            time.sleep(0.05)
        asked_while_it_hung.append(bool(asked_at("new")))
        hung.released.set()
        invocation.leave(STOP_BEFORE_MS / 1000)

    def asked_at(task_id: str) -> list[Any]:
        return [
            book.polled_at for book in sandbox.task_records() if book.task_id == task_id and book.polled_at
        ]

    asked_while_it_hung: list[bool] = []
    hung.on_hang = put_new
    assert run(invocation, **{service: hung}) == "out_of_time"
    assert asked_while_it_hung == [True]


def _now() -> dict[str, int]:
    return {"since_ms": now_ms(), "submitted_at_ms": now_ms(), "detected_at_ms": now_ms()}
