import json
import logging
import threading
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import ValidationError
from tests.support.aws import (
    BUS,
    Context,
    Faulty,
    client,
    create_table,
    dead_letter_queues,
    fault,
    items,
    put,
)
from tests.support.events import sample
from tests.support.patience import HANG_S

from poller import app, service
from poller.service import RESERVED_THREADS, THREADS, Poller, PollerStart
from poller.settings import PollerSettings
from poller.work_reader import READS_MAX
from tunehook.aws.clients import CONNECTIONS
from tunehook.aws.leases import Leases
from tunehook.aws.stream_marks import MARK, StreamMark, StreamMarks
from tunehook.errors import Unavailable
from tunehook.metrics import Observability
from tunehook.providers.outcomes import InlineFile
from tunehook.tasks import TaskKey
from tunehook.times import now_ms

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/TasksTable/stream/2026-11-28"


class Lambdas:
    """The Lambda service, as far as the poller uses it."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.refusals: list[int | None] = []

    def invoke(self, **invocation: Any) -> None:
        assert invocation["InvocationType"] == "Event"
        if (shard := json.loads(invocation["Payload"]).get("shard")) in self.refusals:
            self.refusals.remove(shard)
            raise fault("TooManyRequestsException", operation="Invoke")
        self.started.append({"function": invocation["FunctionName"], **json.loads(invocation["Payload"])})


class World:
    def __init__(
        self,
        shard_count: int = 1,
        dynamodb: Any = None,
        observability: Observability = Observability.FULL,
    ) -> None:
        self.lambdas = Lambdas()
        self.slept: list[float] = []
        settings = PollerSettings(
            tasks_table="TasksTable",
            tasks_stream=STREAM,
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
            shard_count=shard_count,
            callbacks_take_in=True,
            observability=observability,
            oldest_pending_alarm_s=1_800,
        )
        self.marks = StreamMarks(client("dynamodb"), "ProviderStatesTable")
        self.marks.set(StreamMark(STREAM))
        self.poller = Poller(
            settings,
            dynamodb=dynamodb or client("dynamodb"),
            events=client("events"),
            lambdas=self.lambdas,  # type: ignore[arg-type]
            secrets=client("secretsmanager"),
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def run(self, until: Callable[[], bool] = lambda: False, **event: Any) -> dict[str, Any]:
        """Run an invocation that has time enough until something is so, and then hardly any."""
        start = PollerStart.model_validate(event)
        return self.poller.run(start, "request-1", "the-poller", lambda: 14_000 if until() else 120_000)


def test_a_client_for_files_is_made_with_the_first_file_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(service: str) -> Any:
        made.append(service)
        return Mock()

    monkeypatch.setattr("poller.service.client", make)
    store_file = World().poller.store_file
    assert made == []
    store_file("evt_1", InlineFile("clip/1", "audio", b"ID3"))
    store_file("evt_1", InlineFile("clip/1", "audio", b"ID3"))
    assert made == ["s3"]


@pytest.fixture(autouse=True)
def _tables(aws: None) -> None:
    create_table("TasksTable")
    create_table("PollerLeasesTable")
    create_table("ProviderStatesTable")
    create_table("CallbackHintsTable")
    create_table("SubscriptionsTable")
    client("secretsmanager").create_secret(Name="providers", SecretString="{}")


def add_task(shard: int = 0) -> None:
    item = {"task_id": "task-1", "provider": "gw", "status": "pending", "queue": f"work#{shard}"}
    put("TasksTable", item | {"since_ms": now_ms(), "deadline_ms": now_ms() + 60_000})


def task_has_waited() -> bool:
    return "last_error" in items("TasksTable")[0]


@pytest.mark.parametrize(("observability", "count"), [(Observability.FULL, 1), (Observability.LEAN, 0)])
def test_a_pass_with_no_task_writes_custom_metrics_in_full_alone(
    observability: Observability, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    World(observability=observability).run(started_by="schedule")
    assert capsys.readouterr().out.count("CloudWatchMetrics") == count


LOOKING = {"function": "intake", "look_for_missed": True}


class TestTheStream:
    """The pollers' part in that nothing is lost where an upgrade has replaced the table's stream."""

    @pytest.mark.parametrize(
        "mark",
        [
            StreamMark("arn:of-the-stream-before"),
            StreamMark(STREAM, TaskKey("task-7", "gw")),
        ],
        ids=["another stream", "half-way through"],
    )
    def test_each_minute_intake_is_started_until_it_has_looked_through_the_table(
        self, mark: StreamMark
    ) -> None:
        world = World()
        world.marks.set(mark)
        for _ in range(2):
            world.run(started_by="schedule")
        assert world.lambdas.started == [LOOKING, LOOKING]
        world.marks.set(StreamMark(STREAM))
        world.run(started_by="schedule")
        assert world.lambdas.started == [LOOKING, LOOKING]

    def test_a_stack_without_a_mark_is_looked_through(self) -> None:
        world = World()
        client("dynamodb").delete_item(TableName="ProviderStatesTable", Key={"provider": {"S": MARK}})
        world.run(started_by="schedule")
        assert world.lambdas.started == [LOOKING]

    def test_one_read_an_execution_environment_is_enough(self) -> None:
        dynamodb = Faulty(client("dynamodb"))
        world = World(dynamodb=dynamodb)
        for _ in range(3):
            world.run(started_by="schedule")
        reads = [call for name, call in dynamodb.calls if name == "get_item"]
        assert [read["Key"] for read in reads].count({"provider": {"S": MARK}}) == 1
        assert world.lambdas.started == []

    def test_with_many_shards_the_first_invocation_sees_to_it(self) -> None:
        world = World(shard_count=2)
        world.marks.set(StreamMark("arn:of-the-stream-before"))
        world.run(started_by="schedule")
        assert [each["function"] for each in world.lambdas.started].count("intake") == 1

    @pytest.mark.parametrize(
        "event", [{"started_by": "intake"}, {"started_by": "schedule", "shard": 0}], ids=str
    )
    def test_no_other_invocation_does(self, event: dict[str, Any]) -> None:
        world = World()
        world.marks.set(StreamMark("arn:of-the-stream-before"))
        world.run(**event)
        assert LOOKING not in world.lambdas.started

    def test_a_fault_keeps_no_pass_from_its_work(self) -> None:
        world = World(dynamodb=Faulty(client("dynamodb"), get_item=[fault(operation="GetItem")]))
        assert world.run(started_by="schedule") == {"shard": 0, "stopped": "nothing_pending"}
        world.marks.set(StreamMark("arn:of-the-stream-before"))
        world.run(started_by="schedule")
        assert world.lambdas.started == [LOOKING]


def test_with_one_shard_the_schedules_invocation_is_the_pass() -> None:
    assert World().run(started_by="schedule") == {"shard": 0, "stopped": "nothing_pending"}


def test_with_several_shards_it_starts_one_invocation_each() -> None:
    world = World(shard_count=3)
    assert world.run(started_by="schedule") == {"shards": 3}
    assert sorted(world.lambdas.started, key=lambda start: start["shard"]) == [
        {"function": "the-poller", "started_by": "schedule", "shard": shard} for shard in range(3)
    ]


def test_a_shard_that_cannot_start_is_started_again_and_alone_within_the_minute() -> None:
    world = World(shard_count=3)
    world.lambdas.refusals = [1, 1]
    assert world.run(started_by="schedule") == {"shards": 3}
    assert [start["shard"] for start in world.lambdas.started][2:] == [1]
    assert {start["shard"] for start in world.lambdas.started} == {0, 1, 2}
    assert world.slept == [0, *service.START_AGAIN_AFTER_S[:2]]
    assert sum(service.START_AGAIN_AFTER_S) <= 30


def test_a_shard_that_cannot_start_at_all_is_an_error_and_the_others_run() -> None:
    world = World(shard_count=3)
    world.lambdas.refusals = [1] * 10
    with pytest.raises(Unavailable, match=r"\[1\]"):
        world.run(started_by="schedule")
    assert sorted(start["shard"] for start in world.lambdas.started) == [0, 2]
    assert sum(world.slept) < 60


def test_a_start_that_hangs_holds_up_no_other_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    world, free = World(shard_count=3), threading.Event()
    invoke = world.lambdas.invoke

    def hang(**invocation: Any) -> None:
        if json.loads(invocation["Payload"])["shard"] == 0:
            free.wait(HANG_S)
        invoke(**invocation)

    monkeypatch.setattr(world.lambdas, "invoke", hang)
    assert sum(service.START_AGAIN_AFTER_S) < service.START_WITHIN_S < 60
    monkeypatch.setattr(service, "START_WITHIN_S", 0.3)
    try:
        with pytest.raises(Unavailable, match=r"\[0\]"):
            world.run(started_by="schedule")
        assert sorted(start["shard"] for start in world.lambdas.started) == [1, 2]
    finally:
        free.set()


def test_the_shards_of_a_larger_count_before_are_started_too() -> None:
    for shard in (0, 1, 5):
        put("PollerLeasesTable", {"shard": shard, "owner": "nobody", "until_ms": now_ms() - 1_000})
    world = World(shard_count=1)
    assert world.run(started_by="schedule") == {"shards": 3}
    assert sorted(start["shard"] for start in world.lambdas.started) == [0, 1, 5]


def test_tasks_of_a_larger_count_before_are_still_asked_about() -> None:
    add_task(shard=5)
    assert World(shard_count=2).run(shard=5, until=task_has_waited)["stopped"] == "out_of_time"
    assert items("TasksTable")[0]["last_error"] == "the provider gw is not configured"


@pytest.mark.parametrize(
    ("shard", "idle_ms", "known"), [(5, 3_700_000, set()), (5, 1_000, {5}), (1, 3_700_000, {1})]
)
def test_a_shard_beyond_the_count_is_forgotten_once_it_has_had_no_work_for_long(
    shard: int, idle_ms: int, known: set[int]
) -> None:
    put("PollerLeasesTable", {"shard": shard, "owner": "nobody", "until_ms": now_ms() - idle_ms})
    assert World(shard_count=2).run(shard=shard)["stopped"] == "nothing_pending"
    assert {item["shard"] for item in items("PollerLeasesTable")} == known


def test_a_register_of_shards_that_cannot_be_read_keeps_none_from_its_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Leases, "shards", Mock(side_effect=fault("ThrottlingException", "Scan")))
    world = World(shard_count=2)
    world.run(started_by="schedule")
    assert sorted(each["shard"] for each in world.lambdas.started) == [0, 1]


def test_an_idle_minute_costs_two_queries_and_a_look_into_the_dead_letters() -> None:
    world = World()
    world.run(started_by="schedule")
    calls: list[str] = []

    def note(model: Any, **_: Any) -> None:
        calls.append(model.name)

    for name in ("dynamodb", "events", "secretsmanager"):
        client(name).meta.events.register("before-call", note, unique_id="idle")
    try:
        world.run(started_by="schedule")
    finally:
        for name in ("dynamodb", "events", "secretsmanager"):
            client(name).meta.events.unregister("before-call", unique_id="idle")
    # Of the work index, and of what providers have called back about: neither says what the other does.
    assert sorted(calls) == ["GetItem", "Query", "Query"]


def test_an_invocation_for_a_shard_is_a_pass_over_that_shard() -> None:
    world = World(shard_count=3)
    assert world.run(started_by="schedule", shard=2) == {"shard": 2, "stopped": "nothing_pending"}
    assert world.lambdas.started == []


def test_a_pass_reads_the_secret_and_writes_to_the_tables() -> None:
    add_task(shard=1)
    result = World(shard_count=2).run(started_by="intake", shard=1, until=task_has_waited)
    assert result == {"shard": 1, "stopped": "out_of_time"}
    assert items("TasksTable")[0]["last_error"] == "the provider gw is not configured"
    assert items("PollerLeasesTable")[0] | {"until_ms": 0} == {
        "shard": 1,
        "owner": "request-1",
        "until_ms": 0,
    }


WARMED_UP = [{"function": "fulfillment", "Records": []}, {"function": "webhooks", "Records": []}]


@pytest.mark.parametrize(("started_by", "warmed_up"), [("intake", WARMED_UP), ("schedule", [])])
def test_the_first_pass_after_a_pause_warms_up_what_follows_an_end(
    started_by: str, warmed_up: list[dict[str, Any]]
) -> None:
    world = World()
    world.run(started_by=started_by, shard=0)
    assert world.lambdas.started == warmed_up


def test_what_cannot_be_warmed_up_keeps_no_task_waiting(caplog: pytest.LogCaptureFixture) -> None:
    add_task()
    world = World()
    world.lambdas.refusals = [None]
    assert world.run(started_by="intake", until=task_has_waited)["stopped"] == "out_of_time"
    assert world.lambdas.started == WARMED_UP[1:]
    (said,) = (record for record in caplog.records if record.message == "not_warmed_up")
    assert vars(said)["function"] == "fulfillment"


@pytest.mark.parametrize(
    ("started_by", "stopped"), [("schedule", "out_of_time"), ("intake", "already_running")]
)
def test_only_the_schedule_takes_a_live_lease_over(started_by: str, stopped: str) -> None:
    add_task()
    put("PollerLeasesTable", {"shard": 0, "owner": "other", "until_ms": now_ms() + 60_000})
    assert World().run(started_by=started_by, until=task_has_waited)["stopped"] == stopped


@pytest.mark.parametrize(
    "event",
    [{}, {"version": "0", "detail-type": "Scheduled Event"}, {"started_by": "console"}, {"started_by": 7}],
)
def test_an_event_of_any_other_kind_counts_as_the_schedules(event: dict[str, Any]) -> None:
    assert PollerStart.model_validate(event) == PollerStart(started_by="schedule", shard=None)


@pytest.mark.parametrize("event", [{"shard": -1}, {"shard": "x"}])
def test_an_event_that_makes_no_sense_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PollerStart.model_validate(event)


def test_the_handler_runs_a_pass_for_the_sample_event(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "TASKS_TABLE": "TasksTable",
        "SUBSCRIPTIONS_TABLE": "SubscriptionsTable",
        "FULFILLMENT_QUEUE": "https://sqs.example.com/fulfillment",
        "TASKS_STREAM": STREAM,
        "INTAKE_FUNCTION": "intake",
        "FULFILLMENT_FUNCTION": "fulfillment",
        "WEBHOOKS_FUNCTION": "webhooks",
        "LEASES_TABLE": "PollerLeasesTable",
        "PROVIDER_STATES_TABLE": "ProviderStatesTable",
        "CALLBACK_HINTS_TABLE": "CallbackHintsTable",
        **{name.upper(): url for name, url in dead_letter_queues().items()},
        "RESULTS_BUCKET": "results",
        "EVENT_BUS": BUS,
        "PROVIDERS_SECRET": "providers",
        "SHARD_COUNT": "1",
        "CALLBACKS_TAKE_IN": "on",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    StreamMarks(client("dynamodb"), "ProviderStatesTable").set(StreamMark(STREAM))
    app.poller.cache_clear()
    assert app.handler(sample("schedule"), Context()) == {  # type: ignore[arg-type]
        "shard": 0,
        "stopped": "nothing_pending",
    }
    app.poller.cache_clear()


def test_there_are_as_many_threads_as_connections() -> None:
    assert THREADS + RESERVED_THREADS == CONNECTIONS
    assert READS_MAX < RESERVED_THREADS


@pytest.mark.parametrize(("event", "lines"), [({"started_by": "schedule"}, 0), ({"started_by": "intake"}, 1)])
def test_a_pass_that_the_schedule_starts_for_nothing_is_no_line_of_the_default_log(
    caplog: pytest.LogCaptureFixture, event: dict[str, str], lines: int
) -> None:
    caplog.set_level(logging.INFO)
    assert World().run(**event)["stopped"] == "nothing_pending"
    assert [each.getMessage() for each in caplog.records].count("pass_ended") == lines
