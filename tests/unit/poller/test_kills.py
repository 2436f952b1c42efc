"""A poller that dies at any of its calls to AWS: the next pass brings every task to the same end."""

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from tests.support.aws import BUS, client, items
from tests.support.tasks import NOW_MS
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, Answer, World

from poller.outbox import Outbox
from poller.poll_loop import StopReason
from poller.provider_health import ProviderHealthStore
from tunehook.aws.bus import EventBus
from tunehook.aws.callback_hints import CallbackHintsTable
from tunehook.aws.leases import Leases
from tunehook.aws.provider_states import ProviderStates
from tunehook.aws.tasks import TasksTable

pytestmark = pytest.mark.usefixtures("aws")

TASKS = ("task-0", "task-1", "task-2")
CALLS = 16
"""Of a pass over them: the lease, with whom the pass before would go on, what is known of the provider, three ends,
each with its details, their events in two batches, three ways out of the index, the lease, what is known of the
provider now."""


class Killed(SystemExit):
    """The process is gone."""


class Process:
    """What a process may do of AWS: so many calls. The last one goes through or not; then it is dead."""

    def __init__(self, calls: int | None, *, last_goes_through: bool = True) -> None:
        self._left = calls
        self._last_goes_through = last_goes_through
        self.made: list[str] = []

    def client(self, service: str) -> Any:
        return _Client(self, client(service))

    def call(self, name: str, method: Any, *args: Any, **kwargs: Any) -> Any:
        self.made.append(name)
        if self._left is not None:
            self._left -= 1
            if self._left == 0 and self._last_goes_through:
                method(*args, **kwargs)
            if self._left <= 0:
                raise Killed
        return method(*args, **kwargs)


class _Client:
    def __init__(self, process: Process, real: Any) -> None:
        self._process = process
        self._real = real

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        if name == "get_paginator":
            return method
        return lambda *args, **kwargs: self._process.call(name, method, *args, **kwargs)


def answer(task_id: str) -> Answer:
    return {"task-0": COMPLETED, "task-1": FAILED, "task-2": COMPLETED}[task_id]


def run(world: World, process: Process) -> None:
    dynamodb = process.client("dynamodb")
    tasks = TasksTable(dynamodb, "TasksTable")
    bus = EventBus(process.client("events"), BUS)
    world.run(
        tasks=tasks,
        leases=Leases(dynamodb, "PollerLeasesTable"),
        outbox=Outbox(tasks, bus, clock=world.clock),
        hints=CallbackHintsTable(dynamodb, "CallbackHintsTable"),
        health=ProviderHealthStore(ProviderStates(dynamodb, "ProviderStatesTable"), world.clock),
        owner=f"owner-{id(process)}",
    )


def started(**gateways: Any) -> World:
    world = World(**(gateways or {"gw": answer}))
    for task_id in TASKS:
        world.add(task_id)
    return world


def test_a_pass_that_is_not_killed_makes_so_many_calls() -> None:
    process = Process(None)
    run(started(), process)
    assert Counter(process.made) == {
        "update_item": 3 + 3 * len(TASKS),
        "get_item": 1,
        "batch_get_item": 1,
        "put_events": 2,
    }
    assert len(process.made) == CALLS


@pytest.mark.parametrize("last_goes_through", [False, True])
@pytest.mark.parametrize("calls", range(1, CALLS + 1))
def test_a_pass_that_dies_at_any_call_loses_no_end_and_no_event(calls: int, last_goes_through: bool) -> None:
    world = started()
    with pytest.raises(Killed):
        run(world, Process(calls, last_goes_through=last_goes_through))
    before = {task_id: world.item(task_id) for task_id in TASKS}
    run(world, Process(None))
    for task_id in TASKS:
        item = world.item(task_id)
        assert item["status"] == ("failed" if task_id == "task-1" else "completed")
        assert "queue" not in item
        if before[task_id]["status"] != "pending":
            assert item["detected_at_ms"] == before[task_id]["detected_at_ms"]
    events = [(event["detail"]["task_id"], event["detail"]["event_id"]) for event in world.all_emitted()]
    assert set(events) == {(task_id, world.item(task_id)["event_id"]) for task_id in TASKS}


def rested() -> World:
    """Return a world of old tasks, whose last poller rests: the next one polls without the lease."""
    world = World(gw=answer)
    for task_id in TASKS:
        world.add(task_id, age_s=3_600, deadline_ms=NOW_MS + 86_400_000)
    world.leases.take_over(0, "before", world.clock() - 60_000)
    world.leases.give_up(0, "before", world.clock() - 56_000)
    return world


CALLS_WITHOUT_LEASE = CALLS - 2
"""One that notes the start, in place of three about the lease."""


def test_a_pass_without_the_lease_makes_two_calls_less() -> None:
    process = Process(None)
    run(rested(), process)
    assert len(process.made) == CALLS_WITHOUT_LEASE


@pytest.mark.parametrize("last_goes_through", [False, True])
@pytest.mark.parametrize("calls", range(1, CALLS_WITHOUT_LEASE + 1))
def test_one_that_dies_loses_no_end_and_no_event(calls: int, last_goes_through: bool) -> None:
    world = rested()
    with pytest.raises(Killed):
        run(world, Process(calls, last_goes_through=last_goes_through))
    assert not world.leases.is_live(0, world.clock())
    run(world, Process(None))
    assert {world.item(task_id)["status"] for task_id in TASKS} == {"completed", "failed"}
    assert not any("queue" in world.item(task_id) for task_id in TASKS)
    events = {(event["detail"]["task_id"], event["detail"]["event_id"]) for event in world.all_emitted()}
    assert events == {(task_id, world.item(task_id)["event_id"]) for task_id in TASKS}


def call_back(world: World) -> None:
    for task_id in TASKS:
        world.call_back(task_id)


HINTED_CALLS = CALLS + len(TASKS) + 1
"""As many more as there are hints to delete, and one to remember that callbacks have come."""


def test_a_pass_over_hints_makes_so_many_calls() -> None:
    process = Process(None)
    world = started()
    call_back(world)
    run(world, process)
    assert world.hinted() == []
    assert Counter(process.made)["delete_item"] == len(TASKS)
    assert len(process.made) <= HINTED_CALLS


@pytest.mark.parametrize("last_goes_through", [False, True])
@pytest.mark.parametrize("calls", range(1, HINTED_CALLS))
def test_a_pass_that_dies_at_any_call_loses_no_hint_before_its_end_is_written(
    calls: int, last_goes_through: bool
) -> None:
    world = started()
    call_back(world)
    with pytest.raises(Killed):
        run(world, Process(calls, last_goes_through=last_goes_through))
    ended = {task_id for task_id in TASKS if world.item(task_id)["status"] != "pending"}
    assert set(TASKS) - ended <= set(world.hinted())
    run(world, Process(None))
    assert world.hinted() == []
    assert {world.item(task_id)["status"] for task_id in TASKS} == {"completed", "failed"}


@pytest.mark.parametrize("last_goes_through", [False, True])
@pytest.mark.parametrize("calls", range(1, 6))
def test_a_pass_that_dies_while_it_takes_a_task_in_costs_one_question_a_minute(
    calls: int, last_goes_through: bool
) -> None:
    world = World(gw=lambda _: PROCESSING)
    world.call_back_unknown("task-0", after_s=0)
    with suppress(Killed):
        run(world, Process(calls, last_goes_through=last_goes_through))
    asked = len(world.asked)
    run(world, Process(None))
    is_there = [item["task_id"] for item in items("TasksTable")] == ["task-0"]
    assert len(world.asked) <= 1
    assert is_there or (asked == 1 and world.hinted() == ["task-0"]) or not asked


def test_counts_survive_a_pass_that_dies() -> None:
    def unknown(task_id: str) -> Answer:
        return PROCESSING if world.seconds() < 1 else {"status": "completed", "results": []}

    world = World(gw=unknown)
    world.add("task-0", age_s=30)
    assert world.run(lasts_s=7) is StopReason.OUT_OF_TIME
    assert world.item("task-0")["empty_count"] == 1
    world.run()
    assert world.item("task-0")["failure"]["code"] == "completed_without_results"
    assert world.times_of("task-0")[-1] - world.times_of("task-0")[1] < 20
    assert world.clock() > NOW_MS
