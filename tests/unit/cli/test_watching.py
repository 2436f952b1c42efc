import json
import signal
from collections import Counter
from dataclasses import asdict, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from tests.support.aws import client, fault, items, put
from tests.support.dropped_signals import close_what_nobody_holds

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Delivery, DeliveryStatus, message_for, new_delivery
from tunehook.events import archived_event_id
from tunehook.operations.task_view import TaskView
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format, TaskKey
from tunehook_cli.stack import find_stack
from tunehook_cli.watching import (
    LATER_ROUNDS,
    MISSING_S,
    PROMPT_S,
    TROUBLED_ROUNDS,
    TaskState,
    Until,
    Watcher,
    follow,
)

KEY = TaskKey("task-1", "suno")
NOW_MS = 1_800_000_000_000
HOOK = "http://127.0.0.1:9000/hook"
ARCHIVED = {
    "status": "completed",
    "event_id": "evt_1",
    "detected_at_ms": NOW_MS,
    "archived_at_ms": NOW_MS + 1,
}


class World:
    def __init__(self) -> None:
        self.clock_s = 0.0
        self.deliveries = DeliveriesTable(client("dynamodb"), "DeliveriesTable")
        self.watcher = Watcher(find_stack(None), clock=lambda: self.clock_s)

    def task(self, **fields: Any) -> None:
        put("TasksTable", {"task_id": KEY.task_id, "provider": KEY.provider} | fields)

    def subscribe(self, **fields: Any) -> None:
        put("SubscriptionsTable", {"subscription_id": "sub", "url": "https://x.example/"} | fields)

    def deliver(self, subscription_id: str = "sub", **fields: Any) -> Delivery:
        values: dict[str, Any] = {
            "event_id": "evt_1",
            "subscription_id": subscription_id,
            "task_id": KEY.task_id,
            "provider": KEY.provider,
            "type": "task.completed",
            "event_at_ms": NOW_MS,
            "format": Format.STANDARD,
            "payload": "{}",
            "now_ms": NOW_MS + 2,
        }
        delivery = new_delivery(**values | fields)
        self.deliveries.create(delivery)
        return delivery

    def end(self, delivery: Delivery, status: DeliveryStatus = DeliveryStatus.DELIVERED) -> None:
        self.deliveries.record(message_for(delivery), status=status)

    def look(self) -> TaskState:
        return self.watcher.read(KEY)


@pytest.fixture
def world(stack: None) -> World:
    return World()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"status": "pending", "queue": "work#0"},
        {"status": "completed", "queue": "work#0", "archived_at_ms": 1},
        {"status": "completed"},
    ],
)
def test_a_task_is_not_settled_before_its_event_is_out_and_its_files_are_kept(
    world: World, fields: dict[str, Any]
) -> None:
    world.task(**fields)
    assert not world.look().settled


def test_a_task_that_nobody_wants_to_hear_of_is_settled_when_its_files_are_kept(world: World) -> None:
    world.subscribe(events=["task.failed"])
    world.task(**ARCHIVED)
    assert world.look().settled


def test_a_delivery_that_is_to_be_made_is_waited_for(world: World) -> None:
    world.subscribe()
    world.task(**ARCHIVED)
    assert not world.look().settled
    world.end(world.deliver())
    assert world.look().settled


def test_the_delivery_to_a_tasks_own_hook_is_waited_for(world: World) -> None:
    world.task(**ARCHIVED, notify_hook=HOOK)
    assert not world.look().settled
    world.end(world.deliver(notify_hook_subscription_id(HOOK), url=HOOK), DeliveryStatus.FAILED)
    assert world.look().settled


PENDING = {"payload": '{"archive": "pending"}'}


def test_whoever_was_told_before_the_files_were_settled_is_seen_while_they_are_waited_for(
    world: World,
) -> None:
    world.subscribe()
    world.task(**{name: value for name, value in ARCHIVED.items() if name != "archived_at_ms"})
    told = world.deliver(**PENDING)
    world.end(told)
    state = world.look()
    assert (state.settled, [each.delivery_id for each in state.deliveries]) == (False, [told.delivery_id])


def test_the_delivery_of_the_rest_is_waited_for_where_the_first_said_pending(world: World) -> None:
    world.subscribe()
    world.task(**ARCHIVED)
    world.end(world.deliver(**PENDING))
    assert not world.look().settled
    world.end(world.deliver(event_id=archived_event_id("evt_1"), type="task.archived"))
    state = world.look()
    assert (state.settled, len(state.deliveries)) == (True, 2)


def test_the_delivery_of_the_files_is_waited_for_where_a_subscription_names_it(world: World) -> None:
    world.subscribe(events=["task.archived"])
    world.task(**ARCHIVED)
    assert not world.look().settled
    world.end(world.deliver(event_id=archived_event_id("evt_1"), type="task.archived"))
    assert world.look().settled


def test_a_pending_delivery_is_waited_for_however_long(world: World) -> None:
    world.task(**ARCHIVED)
    world.deliver("a subscription that was deleted since")
    world.clock_s = 1e6
    assert not world.look().settled


def test_a_delivery_that_never_comes_is_not_waited_for_for_ever(world: World) -> None:
    world.task(**ARCHIVED)
    world.subscribe()
    world.look()
    world.clock_s += MISSING_S - 1
    assert not world.look().settled
    world.clock_s += 1
    assert world.look().settled


def test_subscriptions_of_no_use_are_not_waited_for(world: World) -> None:
    world.subscribe(url="ftp://x")
    world.task(**ARCHIVED, notify_hook="ftp://x")
    assert world.look().settled


def test_deliveries_of_other_runs_and_providers_do_not_count(world: World) -> None:
    world.task(**ARCHIVED)
    world.deliver("other run", event_id="evt_0", now_ms=NOW_MS - 500)
    world.deliver("other provider", event_id="evt_9", provider="qhaigc")
    state = world.look()
    assert (state.settled, state.deliveries) == (True, ())


def test_a_rejected_task_is_told_of_as_failed(world: World) -> None:
    world.subscribe(events=["task.failed"])
    world.task(**ARCHIVED | {"status": "rejected"})
    assert not world.look().settled


def test_a_deleted_task_is_settled_and_not_completed(world: World) -> None:
    state = world.look()
    assert state.settled
    assert not state.completed


def test_following_ends_when_all_tasks_are_settled(world: World) -> None:
    world.task(status="pending")
    shown: list[list[bool]] = []

    def sleep(seconds: float) -> None:
        assert seconds == 1.0
        world.task(**ARCHIVED)

    states = follow(
        world.watcher,
        [KEY, TaskKey("deleted", "suno")],
        lambda states: shown.append([state.settled for state in states]),
        sleep,
    )
    assert shown == [[False, True], [True, True]]
    assert [state.completed for state in states] == [True, False]


class Failing:
    """A DynamoDB that fails now and then; it counts what it is asked."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.scans = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(client("dynamodb"), name)

    def get_item(self, **call: Any) -> Any:
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        return client("dynamodb").get_item(**call)

    def get_paginator(self, name: str) -> Any:
        self.scans += name == "scan"
        return client("dynamodb").get_paginator(name)


def watcher_on(dynamodb: Any) -> Watcher:
    return Watcher(replace(find_stack(None), open_client=lambda *_, **__: dynamodb))


def test_the_subscriptions_are_read_once_a_round_however_many_tasks_are_watched(world: World) -> None:
    keys = [TaskKey(f"task-{number}", "suno") for number in range(5)]
    for key in keys:
        put("TasksTable", {"task_id": key.task_id, "provider": key.provider} | ARCHIVED)
    dynamodb = Failing()
    states = follow(watcher_on(dynamodb), keys, lambda _: None, lambda _: None)
    assert [state.key for state in states] == keys
    assert dynamodb.scans == 1


THROTTLED = fault("ThrottlingException", "GetItem")


@pytest.mark.parametrize(
    "error", [THROTTLED, EndpointConnectionError(endpoint_url="https://dynamodb")], ids=["throttled", "away"]
)
def test_a_watch_outlives_what_passes_and_says_so(
    world: World, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    world.task(**ARCHIVED)
    states = follow(watcher_on(Failing(error, error, None, error)), [KEY], lambda _: None, lambda _: None)
    assert states[0].completed
    assert capsys.readouterr().err.count("; still watching") == 1


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([fault("AccessDeniedException", "GetItem")], "AccessDenied"),
        ([THROTTLED] * TROUBLED_ROUNDS, "Throttling"),
    ],
    ids=["refused", "for long"],
)
def test_a_watch_ends_by_what_does_not_pass(world: World, errors: list[Exception], code: str) -> None:
    slept: list[float] = []
    with pytest.raises(ClientError, match=code):
        follow(watcher_on(Failing(*errors)), [KEY], lambda _: None, slept.append)
    assert len(slept) == len(errors) - 1


def test_watch_as_json_is_a_line_a_change_and_the_last_one_is_settled(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter([lambda: None, lambda: world.task(**ARCHIVED)])
    monkeypatch.setattr("time.sleep", lambda _: next(rounds)())
    world.task(status="pending", phase="processing")
    result = tunehook("watch", "task-1", "--json")
    first, last = map(json.loads, result.stdout.splitlines())
    assert (first["task_id"], first["status"], first["phase"], first["settled"]) == (
        "task-1",
        "pending",
        "processing",
        False,
    )
    assert (last["status"], last["webhooks"], last["settled"]) == ("completed", {}, True)


def test_watch_as_json_with_nothing_pending_prints_no_line(tunehook: Any, world: World) -> None:
    result = tunehook("watch", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No task is pending.\n")


def test_watch_says_each_change_in_a_line_and_tells_the_end_by_its_status(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter(
        [
            lambda: world.task(status="pending", phase="processing"),
            lambda: None,
            lambda: world.task(**ARCHIVED),
        ]
    )
    monkeypatch.setattr("time.sleep", lambda _: next(rounds)())
    world.task()
    result = tunehook("watch", "task-1")
    assert result.exit_code == 0
    assert [line.split(" ", 1)[1] for line in result.stdout.splitlines()] == [
        "suno task-1: new",
        "suno task-1: pending; processing",
        "suno task-1: completed; files: none; webhooks: none",
    ]


def test_watch_of_a_failed_task_is_status_1(tunehook: Any, world: World) -> None:
    world.task(
        **ARCHIVED | {"status": "failed", "failure": {"code": "provider_failed", "reason": "bad lyrics"}}
    )
    result = tunehook("watch", "task-1")
    assert result.exit_code == 1
    assert "failed; provider_failed: bad lyrics; files: none; webhooks: none" in result.stdout


def test_watch_of_all_leaves_those_out_that_had_ended(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.task(**ARCHIVED | {"status": "failed"})
    put("TasksTable", {"task_id": "task-2", "provider": "suno"})
    monkeypatch.setattr(
        "time.sleep",
        lambda _: put("TasksTable", {"task_id": "task-2", "provider": "suno"} | ARCHIVED),
    )
    result = tunehook("watch")
    assert result.exit_code == 0
    assert "task-1" not in result.stdout
    assert "task-2: completed" in result.stdout


def test_watch_with_nothing_pending_says_so_and_ends(tunehook: Any, world: World) -> None:
    world.task(**ARCHIVED)
    result = tunehook("watch")
    assert (result.exit_code, result.output) == (0, "No task is pending.\n")


def test_watch_of_a_task_that_is_not_there_is_an_error(tunehook: Any, world: World) -> None:
    result = tunehook("watch", "nope")
    assert (result.exit_code, result.output) == (2, "tunehook: TASK_ID: there is no task nope\n")


def test_ctrl_c_ends_watch_quietly(tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    world.task(status="pending")
    result = tunehook("watch", "task-1")
    assert (result.exit_code, result.stderr) == (130, "")
    assert len(items("TasksTable")) == 1


def test_ctrl_c_that_python_drops_ends_watch_too(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Watcher.read

    def read_and_drop(watcher: Watcher, key: TaskKey) -> Any:
        close_what_nobody_holds(signal.SIGINT)
        return read(watcher, key)

    monkeypatch.setattr(Watcher, "read", read_and_drop)
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it goes on"))
    world.task(status="pending")
    result = tunehook("watch", "task-1")
    assert (result.exit_code, result.stderr) == (130, "")


def calls_of(world: World, rounds: int) -> Counter[str]:
    """Count what is asked of DynamoDB in so many looks, a second each."""
    calls: Counter[str] = Counter()

    def count(model: Any, **_: Any) -> None:
        calls[model.name] += 1

    events = client("dynamodb").meta.events
    events.register("before-call.dynamodb", count)
    try:
        for _ in range(rounds):
            world.clock_s += 1
            world.look()
    finally:
        events.unregister("before-call.dynamodb", count)
    return calls


def test_what_cannot_have_changed_is_not_read_again(world: World) -> None:
    world.task(**ARCHIVED)
    world.subscribe()
    world.subscribe(subscription_id="other")
    world.end(world.deliver())
    world.deliver("other")
    calls = calls_of(world, 30)
    # The task, and of its two deliveries the one that is pending; that which has ended once, and the payload of each.
    assert calls["GetItem"] == 30 + 30 + 1 + 2
    assert calls["Query"] == 6
    assert calls["Scan"] == 2


def test_a_webhook_that_waits_for_a_later_attempt_is_looked_at_in_fewer_rounds(world: World) -> None:
    world.task(**ARCHIVED)
    world.subscribe()
    world.deliver()
    assert world.look().rounds == 1
    world.clock_s += PROMPT_S
    assert world.look().rounds == LATER_ROUNDS
    world.task(status="pending")
    assert world.look().rounds == 1


class Looks:
    """Stands where `Watcher` does: each look is the next of its answers."""

    def __init__(self, *answers: bool | Exception, rounds: int = 1) -> None:
        self.answers = list(answers)
        self.rounds = rounds

    def read(self, key: TaskKey) -> TaskState:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return TaskState(key, TaskView.of(ARCHIVED | asdict(key)), (), answer, self.rounds)


def test_a_call_that_is_refused_does_not_end_a_watch(world: World) -> None:
    looks: Any = Looks(False, fault(), fault(), False, True)
    pauses: list[float] = []
    shown: list[int] = []
    (state,) = follow(looks, [KEY], lambda states: shown.append(len(states)), pauses.append)
    assert state.settled
    assert pauses == [1, 2, 4, 1]
    assert shown == [1] * 5


def test_a_watch_that_is_refused_for_long_ends_although_it_had_begun_well() -> None:
    looks: Any = Looks(False, *(fault() for _ in range(TROUBLED_ROUNDS)))
    with pytest.raises(type(fault())):
        follow(looks, [KEY], lambda _: None, lambda _: None)
    assert looks.answers == []


def test_a_task_is_looked_at_when_its_round_has_come(world: World) -> None:
    looks: Any = Looks(False, False, True, rounds=5)
    pauses: list[float] = []
    follow(looks, [KEY], lambda _: None, pauses.append)
    assert pauses == [1] * 10


def test_a_task_that_is_named_twice_is_looked_at_once() -> None:
    looks: Any = Looks(True)
    assert len(follow(looks, [KEY, KEY], lambda _: None, lambda _: None)) == 1


def test_a_cancelled_task_ends_a_watch_with_status_1(tunehook: Any, world: World) -> None:
    world.subscribe()
    world.task(status="cancelled", detected_at_ms=NOW_MS)
    result = tunehook("watch", "task-1")
    assert (result.exit_code, result.stdout.split(" ", 1)[1]) == (1, "suno task-1: cancelled\n")


def test_a_watch_ends_when_the_files_are_kept_whatever_the_webhooks_do(tunehook: Any, world: World) -> None:
    world.subscribe()
    world.task(**ARCHIVED)
    world.deliver()
    result = tunehook("watch", "task-1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "completed; files: none; webhooks: 1 pending" in result.stdout


def test_that_there_are_no_webhooks_is_not_said_while_they_may_come(tunehook: Any, world: World) -> None:
    world.subscribe()
    world.task(**ARCHIVED)
    result = tunehook("watch", "task-1")
    assert (result.exit_code, "webhooks" in result.stdout) == (0, False)


def test_a_completed_task_whose_files_are_not_kept_yet_is_waited_for(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.task(status="completed", event_id="evt_1", detected_at_ms=NOW_MS)
    monkeypatch.setattr("time.sleep", lambda _: world.task(**ARCHIVED))
    result = tunehook("watch", "task-1")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 2)


def test_until_told_waits_for_the_webhooks(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.subscribe()
    world.task(**ARCHIVED)
    delivery = world.deliver()
    monkeypatch.setattr("time.sleep", lambda _: world.end(delivery))
    result = tunehook("watch", "task-1", "--until", "told")
    assert result.exit_code == 0
    assert [line.rsplit("; ", 1)[1] for line in result.stdout.splitlines()] == [
        "webhooks: 1 pending",
        "webhooks: 1 delivered",
    ]


@pytest.mark.parametrize("until", Until)
@pytest.mark.parametrize(
    "fields",
    [
        {"status": "failed", "queue": "work#0", "event_id": "evt_1"},
        {"status": "failed", "event_id": "evt_1"},
        {"status": "rejected", "error": "timeout_s: x"},
        {"status": "cancelled"},
        {"status": "aborted"},
    ],
    ids=str,
)
def test_a_task_that_will_not_complete_ends_a_watch_at_once(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], until: Until
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waits"))
    world.subscribe()
    world.task(**fields)
    result = tunehook("watch", "task-1", "--until", until)
    assert (result.exit_code, result.stderr) == (1, "")
    assert f"suno task-1: {fields['status']}" in result.stdout


def test_several_tasks_are_watched_until_the_last_is_done_and_one_that_failed_tells_in_the_status(
    tunehook: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(**fields: Any) -> None:
        put("TasksTable", {"task_id": "task-2", "provider": "suno"} | fields)

    world.task(status="failed", event_id="evt_1")
    other(status="pending")
    monkeypatch.setattr("time.sleep", lambda _: other(**ARCHIVED))
    result = tunehook("watch", "task-1", "task-2", "task-1", "--json")
    assert result.exit_code == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["task_id"], line["status"], line["done"]) for line in lines] == [
        ("task-1", "failed", True),
        ("task-2", "pending", False),
        ("task-2", "completed", True),
    ]


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_watch_that_takes_too_long_says_what_is_still_going_on(
    tunehook: Any, world: World, options: tuple[str, ...]
) -> None:
    world.task(**ARCHIVED)
    put("TasksTable", {"task_id": "task-2", "provider": "suno", "status": "pending"})
    result = tunehook("watch", "task-1", "task-2", "--timeout", "0s", *options)
    assert result.exit_code == 1
    assert result.stderr == "Stopped watching after 0s; not done yet: suno task-2.\n"
    assert len(result.stdout.splitlines()) == 2


def test_a_watch_that_is_done_in_time_does_not_mention_it(tunehook: Any, world: World) -> None:
    world.task(**ARCHIVED)
    result = tunehook("watch", "task-1", "--timeout", "0s")
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--timeout", "10"), "--timeout: must be a whole number and a unit"),
        (("--timeout", "-1m"), "--timeout: must be a whole number and a unit"),
        (("--until", "settled"), "--until"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(
    tunehook: Any, world: World, options: tuple[str, ...], says: str
) -> None:
    world.task(**ARCHIVED)
    result = tunehook("watch", "task-1", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_watch_stops_at_its_timeout_to_the_second_and_through_refusals(world: World) -> None:
    pauses: list[float] = []
    at = 100.0

    def sleep(seconds: float) -> None:
        nonlocal at
        pauses.append(seconds)
        at += seconds

    looks: Any = Looks(False, fault(), False, fault(), fault(), *[False] * 9)
    (state,) = follow(looks, [KEY], lambda _: None, sleep, timeout_s=7.5, clock=lambda: at)
    assert pauses == [1, 2, 1, 2, 1.5]
    assert not state.is_done(Until.TOLD)
