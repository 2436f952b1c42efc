import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.aws import BUS, Faulty, client, create_table, fault, items, put, watched_bus
from tests.support.patience import HANG_S
from tests.support.tasks import NOW_MS, completed, pending
from tests.support.virtual import Clock

from poller.outbox import Outbox
from tunehook.aws.bus import EventBus
from tunehook.aws.tasks import TasksTable
from tunehook.errors import Misconfigured
from tunehook.providers.outcomes import InlineFile
from tunehook.tasks import TaskKey, WorkItem

# As documented, and not imported: a bound that moves is to be noticed.
OWNERS_MS = 10_000

DETECTED_MS = completed().detected_at_ms
REFUSED = {"ErrorCode": "ThrottlingException"}


async def emit_found(outbox: Outbox, ended: list[WorkItem]) -> None:
    outbox.add_found(ended)
    await outbox.emit_left_over()


class World:
    """An outbox over moto, some of whose calls fail; `next_pass` is the next invocation's, with nothing in memory."""

    def __init__(self, emitted: Callable[[], list[dict[str, Any]]]) -> None:
        self._emitted = emitted
        self.healthy = TasksTable(client("dynamodb"), "TasksTable")
        self.now_ms = DETECTED_MS + OWNERS_MS

    def outbox(self, dynamodb: Any = None, events: Any = None, keep: Any = None) -> Outbox:
        tasks = TasksTable(dynamodb or client("dynamodb"), "TasksTable")
        return Outbox(tasks, EventBus(events or client("events"), BUS), keep, lambda: self.now_ms)

    def tasks(self, count: int) -> list[WorkItem]:
        for number in range(count):
            item = {"task_id": f"task-{number}", "provider": "suno", "status": "pending"}
            put("TasksTable", item | {"queue": "work#0", "since_ms": NOW_MS, "submitted_at_ms": NOW_MS})
        return [pending(TaskKey(f"task-{number}", "suno")) for number in range(count)]

    async def next_pass(self) -> None:
        await emit_found(self.outbox(), self.healthy.work(0).event_pending)

    def emitted(self) -> list[str]:
        """The tasks whose events have come out since the last call."""
        return sorted(event["detail"]["task_id"] for event in self._emitted())

    def emitted_ids(self) -> list[str]:
        return [event["detail"]["event_id"] for event in self._emitted()]

    def event_pending(self) -> list[str]:
        return sorted(task.key.task_id for task in self.healthy.work(0).event_pending)


@pytest.fixture
def world(aws: None) -> World:
    create_table("TasksTable")
    return World(watched_bus())


class Refusing:
    """A bus client that refuses the entries of one task, every time or as often as told."""

    def __init__(self, task_id: str, times: int = 1_000) -> None:
        self._task_id = task_id
        self._times = times

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        refused = [f'"{self._task_id}"' in entry["Detail"] for entry in Entries] if self._times else []
        self._times -= bool(refused)
        taken = [entry for number, entry in enumerate(Entries) if not (refused and refused[number])]
        if taken:
            client("events").put_events(Entries=taken)
        return {"Entries": [REFUSED if each else {} for each in refused] or [{}] * len(Entries)}


async def test_an_end_is_written_then_emitted_then_out_of_the_index(world: World) -> None:
    (task,) = world.tasks(1)
    assert await world.outbox().end(task, completed())
    assert items("TasksTable")[0]["status"] == "completed"
    assert (world.emitted(), world.event_pending()) == (["task-0"], [])


async def test_the_event_on_the_bus_has_the_id_that_the_item_has(world: World) -> None:
    (task,) = world.tasks(1)
    await world.outbox().end(task, completed())
    assert world.emitted_ids() == [items("TasksTable")[0]["event_id"]]


async def test_a_task_that_somebody_else_has_ended_is_not_emitted_again(world: World) -> None:
    (task,) = world.tasks(1)
    await world.outbox().end(task, completed())
    world.emitted()
    assert not await world.outbox().end(task, completed())
    assert world.emitted() == []


async def test_an_end_that_cannot_be_written_is_raised_and_emits_nothing(world: World) -> None:
    (task,) = world.tasks(1)
    with pytest.raises(type(fault())):
        await world.outbox(dynamodb=Faulty(client("dynamodb"), update_item=[fault()])).end(task, completed())
    assert (world.emitted(), world.event_pending()) == ([], [])
    assert items("TasksTable")[0]["status"] == "pending"


async def test_a_crash_after_the_update_loses_nothing(world: World) -> None:
    (task,) = world.tasks(1)
    assert world.healthy.end(task, completed())
    assert world.emitted() == []
    await world.next_pass()
    assert (world.emitted(), world.event_pending()) == (["task-0"], [])


async def test_a_crash_after_the_event_emits_it_again_with_the_same_id(world: World) -> None:
    (task,) = world.tasks(1)
    outbox = world.outbox(dynamodb=Faulty(client("dynamodb"), update_item=[None, None, fault()]))
    assert await outbox.end(task, completed())
    assert world.event_pending() == ["task-0"]
    await world.next_pass()
    first, second = world.emitted_ids()
    assert first == second
    assert world.event_pending() == []


async def test_a_bus_that_fails_for_all_keeps_all_in_the_index(world: World) -> None:
    failing = Faulty(client("events"), put_events=[fault("InternalException", "PutEvents")])
    (task,) = world.tasks(1)
    assert await world.outbox(events=failing).end(task, completed())
    assert (world.emitted(), world.event_pending()) == ([], ["task-0"])
    await world.next_pass()
    assert (world.emitted(), world.event_pending()) == (["task-0"], [])


async def test_a_bus_that_fails_is_tried_again_by_the_same_pass(world: World) -> None:
    failing = Faulty(client("events"), put_events=[fault("ThrottlingException", "PutEvents")])
    (task,) = world.tasks(1)
    outbox = world.outbox(events=failing)
    await outbox.end(task, completed())
    await emit_found(outbox, world.healthy.work(0).event_pending)
    assert (world.emitted(), world.event_pending()) == (["task-0"], [])


async def test_what_was_on_its_way_when_the_pass_was_stopped_is_emitted_by_the_next_flush(
    world: World,
) -> None:
    class Stopped(BaseException):
        pass

    class Stopping:
        def put_events(self, **request: Any) -> Any:
            if self.stops:
                self.stops = False
                raise Stopped
            return client("events").put_events(**request)

        stops = True

    (task,) = world.tasks(1)
    outbox = world.outbox(events=Stopping())
    with pytest.raises(Stopped):
        await outbox.end(task, completed())
    await outbox.flush()
    assert (world.emitted(), world.event_pending()) == (["task-0"], [])


async def test_what_the_bus_did_not_take_is_emitted_by_the_next_flush(world: World) -> None:
    failing = Faulty(client("events"), put_events=[fault("ThrottlingException", "PutEvents")])
    (task,) = world.tasks(1)
    outbox = world.outbox(events=failing)
    await outbox.end(task, completed())
    assert not outbox.is_empty
    await outbox.flush()
    assert (world.emitted(), world.event_pending(), outbox.is_empty) == (["task-0"], [], True)


async def test_what_could_not_leave_the_index_leaves_it_at_the_next_flush_without_an_event(
    world: World,
) -> None:
    (task,) = world.tasks(1)
    outbox = world.outbox(dynamodb=Faulty(client("dynamodb"), update_item=[None, None, fault()]))
    await outbox.end(task, completed())
    assert (len(world.emitted()), outbox.is_empty) == (1, False)
    await outbox.flush()
    assert (world.emitted(), world.event_pending(), outbox.is_empty) == ([], [], True)


async def test_a_bus_that_refuses_one_keeps_that_one_in_the_index(world: World) -> None:
    for task in world.tasks(3):
        world.healthy.end(task, completed())
    await emit_found(world.outbox(events=Refusing("task-1")), world.healthy.work(0).event_pending)
    assert (world.emitted(), world.event_pending()) == (["task-0", "task-2"], ["task-1"])
    await world.next_pass()
    assert (world.emitted(), world.event_pending()) == (["task-1"], [])


async def test_a_bus_that_throttles_everything_once_is_asked_again(world: World) -> None:
    for task in world.tasks(3):
        world.healthy.end(task, completed())
    outbox = world.outbox(events=Refusing("suno", times=1))
    await emit_found(outbox, world.healthy.work(0).event_pending)
    assert (world.emitted(), world.event_pending()) == (["task-0", "task-1", "task-2"], [])


async def test_one_that_cannot_leave_the_index_does_not_hold_up_the_others(world: World) -> None:
    for task in world.tasks(3):
        world.healthy.end(task, completed())
    outbox = world.outbox(dynamodb=Faulty(client("dynamodb"), update_item=[fault()]))
    await emit_found(outbox, world.healthy.work(0).event_pending)
    assert world.emitted() == ["task-0", "task-1", "task-2"]
    assert len(world.event_pending()) == 1


async def test_a_look_while_an_event_is_on_its_way_does_not_emit_it_a_second_time(world: World) -> None:
    under_way, looked = threading.Event(), threading.Event()

    class Slow:
        def put_events(self, **request: Any) -> Any:
            under_way.set()
            assert looked.wait(HANG_S)
            return client("events").put_events(**request)

    (task,) = world.tasks(1)
    outbox = world.outbox(events=Slow())
    ending = asyncio.create_task(outbox.end(task, completed()))
    await asyncio.to_thread(under_way.wait, HANG_S)
    looking = asyncio.create_task(emit_found(outbox, world.healthy.work(0).event_pending))
    await asyncio.sleep(0.05)
    looked.set()
    await asyncio.gather(ending, looking)
    assert world.emitted() == ["task-0"]


async def test_what_the_index_still_shows_is_not_emitted_again_by_the_same_pass(world: World) -> None:
    (task,) = world.tasks(1)
    outbox = world.outbox()
    world.healthy.end(task, completed())
    lagging = world.healthy.work(0).event_pending
    await emit_found(outbox, lagging)
    await emit_found(outbox, lagging)
    assert world.emitted() == ["task-0"]


async def test_what_this_pass_has_emitted_is_not_found_again(world: World) -> None:
    (task,) = world.tasks(1)
    outbox = world.outbox()
    await outbox.end(task, completed())
    outbox.add_found([task])
    assert outbox.is_empty


@pytest.mark.parametrize("ahead_ms", [0, 1_000_000_000], ids=["its end", "its finding"])
async def test_for_ten_seconds_an_event_is_its_owners(world: World, ahead_ms: int) -> None:
    (task,) = world.tasks(1)
    outbox = world.outbox()
    world.healthy.end(task, completed(detected_at_ms=DETECTED_MS + ahead_ms))
    for now_ms, emitted in (
        (DETECTED_MS, []),
        (DETECTED_MS + OWNERS_MS - 1, []),
        (DETECTED_MS + OWNERS_MS, ["task-0"]),
    ):
        world.now_ms = now_ms
        await emit_found(outbox, world.healthy.work(0).event_pending)
        assert world.emitted() == emitted


async def test_what_was_put_again_meanwhile_is_not_emitted_from_the_later_run(world: World) -> None:
    (task,) = world.tasks(1)
    world.healthy.end(task, completed())
    left = world.healthy.work(0).event_pending
    world.tasks(1)
    await emit_found(world.outbox(), left)
    assert world.emitted() == []


async def test_ends_at_the_same_time_share_their_calls(world: World) -> None:
    events = Faulty(client("events"))
    outbox = world.outbox(events=events)
    await asyncio.gather(*(outbox.end(task, completed()) for task in world.tasks(8)))
    assert (len(world.emitted()), world.event_pending()) == (8, [])
    assert len(events.calls) < 8


def test_two_pollers_that_end_the_same_tasks_emit_each_once(world: World) -> None:
    tasks = world.tasks(5)

    async def end_all() -> list[bool]:
        outboxes = (world.outbox(), world.outbox())
        return await asyncio.gather(*(outbox.end(task, completed()) for task in tasks for outbox in outboxes))

    # In threads, moto's conditions do not lease_holder.
    assert sum(Clock(NOW_MS).run(end_all())) == 5
    assert world.emitted() == [f"task-{number}" for number in range(5)]


class TestInlineFiles:
    files = (InlineFile("clip-1", "audio", b"ID3"), InlineFile("clip-1", "cover", b"PNG"))

    async def test_they_are_kept_under_the_event_before_the_task_ends(self, world: World) -> None:
        (task,) = world.tasks(1)
        kept: list[tuple[str, str, str]] = []

        def keep(event_id: str, file: InlineFile) -> None:
            kept.append((event_id, file.type, items("TasksTable")[0]["status"]))

        assert await world.outbox(keep=keep).end(task, completed(), self.files)
        (event_id,) = world.emitted_ids()
        assert kept == [(event_id, "audio", "pending"), (event_id, "cover", "pending")]

    async def test_a_task_whose_file_cannot_be_kept_stays_pending(self, world: World) -> None:
        (task,) = world.tasks(1)

        def keep(_event_id: str, _file: InlineFile) -> None:
            raise fault("SlowDown", "PutObject")

        with pytest.raises(ClientError):
            await world.outbox(keep=keep).end(task, completed(), self.files)
        assert items("TasksTable")[0]["status"] == "pending"
        assert world.emitted() == []

    async def test_without_a_place_for_them_no_task_ends_without_its_files(self, world: World) -> None:
        (task,) = world.tasks(1)
        with pytest.raises(Misconfigured):
            await world.outbox().end(task, completed(), self.files)
        assert items("TasksTable")[0]["status"] == "pending"


async def test_while_the_bus_refuses_the_event_of_a_run_that_of_the_tasks_next_run_waits(
    world: World,
) -> None:
    """The run before is parked: its item was taken by the next one."""
    (first,) = world.tasks(1)
    world.healthy.end(first, completed())
    (item,) = items("TasksTable")
    world.healthy.park(first, item)
    second = replace(first, since_ms=NOW_MS + 1_000, deadline_ms=NOW_MS + 3_601_000)
    put(
        "TasksTable",
        {"task_id": "task-0", "provider": "suno", "status": "pending", "queue": "work#0"}
        | {name: getattr(second, name) for name in ("since_ms", "submitted_at_ms", "deadline_ms")},
    )
    refused: list[str] = []

    class RefusingOne:
        def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
            ids = [json.loads(entry["Detail"])["event_id"] for entry in Entries]
            bad = [each == item["event_id"] and len(refused) < 9 for each in ids]
            refused.extend(each for each, is_bad in zip(ids, bad, strict=True) if is_bad)
            taken = [entry for entry, is_bad in zip(Entries, bad, strict=True) if not is_bad]
            if taken:
                client("events").put_events(Entries=taken)
            return {"Entries": [REFUSED if is_bad else {} for is_bad in bad]}

    outbox = world.outbox(events=RefusingOne())
    await emit_found(outbox, world.healthy.work(0).event_pending)
    assert await outbox.end(second, completed())
    assert (world.emitted_ids(), outbox.is_empty) == ([], False)
    while not outbox.is_empty:
        await emit_found(outbox, world.healthy.work(0).event_pending)
    assert world.emitted_ids() == [item["event_id"], world.healthy.of_id("task-0")[0]["event_id"]]
    assert world.healthy.work(0).event_pending == []
