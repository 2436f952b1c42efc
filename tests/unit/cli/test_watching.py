from typing import Any

import pytest
from tests.support.aws import client, items, put

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import TasksTable
from tunehook.deliveries import Delivery, DeliveryStatus, message_for, new_delivery
from tunehook.events import archived_event_id
from tunehook.http.guard import NetworkPolicy
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format, TaskKey
from tunehook_cli.watching import MISSING_S, TaskState, Watcher, follow

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
        self.watcher = Watcher(
            TasksTable(client("dynamodb"), "TasksTable"),
            self.deliveries,
            SubscriptionsTable(client("dynamodb"), "SubscriptionsTable"),
            NetworkPolicy.ANY,
            clock=lambda: self.clock_s,
        )

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
        return self.watcher.look(KEY)


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
    monkeypatch.setattr("tunehook_cli.commands.watch.time.sleep", lambda _: next(rounds)())
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
        "tunehook_cli.commands.watch.time.sleep",
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

    monkeypatch.setattr("tunehook_cli.commands.watch.time.sleep", interrupt)
    world.task(status="pending")
    result = tunehook("watch", "task-1")
    assert (result.exit_code, result.stderr) == (130, "")
    assert len(items("TasksTable")) == 1
