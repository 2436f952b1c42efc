"""What was put into the table while it had no stream is taken in by a look through the table."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.aws import Context, Faulty, client, create_table, fault, items, put, watched_bus
from tests.unit.aws.test_tasks import TwoAPage
from tests.unit.intake.test_admission import World

from intake import app
from tunehook.aws.stream_marks import StreamMark, StreamMarks
from tunehook.tasks import TaskKey

# As documented, and not imported: a bound that moves is to be noticed.
STOP_BEFORE_MS = 15_000

STREAM = "arn:of-the-stream"


@pytest.fixture
def marks(aws: None) -> StreamMarks:
    for table in ("TasksTable", "PollerLeasesTable", "ProviderStatesTable"):
        create_table(table)
    watched_bus()
    return StreamMarks(client("dynamodb"), "ProviderStatesTable")


def put_new(count: int) -> None:
    for number in range(count):
        put("TasksTable", {"task_id": f"task-{number}", "provider": "suno"})


def statuses() -> set[str | None]:
    return {item.get("status") for item in items("TasksTable")}


def plenty() -> int:
    return 30_000


def test_new_items_are_taken_in_and_the_stream_is_marked(marks: StreamMarks) -> None:
    put_new(3)
    put("TasksTable", {"task_id": "bad", "provider": "suno", "timeout_s": "soon"})
    world = World()
    world.intake.take_in_missed(plenty)
    assert len(world.lambdas.invocations) > 0
    assert statuses() == {"pending", "rejected"}
    assert marks.get() == StreamMark(STREAM)


def test_of_a_stream_that_is_marked_nothing_is_read(marks: StreamMarks) -> None:
    marks.set(StreamMark(STREAM))
    dynamodb = Faulty(client("dynamodb"))
    put_new(1)
    World(dynamodb=dynamodb).intake.take_in_missed(plenty)
    assert [name for name, _ in dynamodb.calls] == ["get_item"]
    assert statuses() == {None}


def test_another_stream_is_another_look(marks: StreamMarks) -> None:
    marks.set(StreamMark("arn:of-the-stream-before", TaskKey("zzz", "suno")))
    put_new(2)
    World().intake.take_in_missed(plenty)
    assert (statuses(), marks.get()) == ({"pending"}, StreamMark(STREAM))


def test_a_look_stops_in_time_and_the_next_goes_on(marks: StreamMarks) -> None:
    put_new(5)
    world = World(dynamodb=TwoAPage())
    looks = 0
    while marks.get() != StreamMark(STREAM):
        world.intake.take_in_missed(lambda: STOP_BEFORE_MS - 1)
        looks += 1
        taken_in = sum(item.get("status") == "pending" for item in items("TasksTable"))
        assert taken_in == min(5, 2 * looks)
    assert looks in (3, 4)


def test_with_just_enough_time_a_look_goes_on_to_the_end(marks: StreamMarks) -> None:
    put_new(5)
    World(dynamodb=TwoAPage()).intake.take_in_missed(lambda: STOP_BEFORE_MS)
    assert (statuses(), marks.get()) == ({"pending"}, StreamMark(STREAM))


def test_an_item_that_cannot_be_written_is_tried_again_and_holds_up_no_other(marks: StreamMarks) -> None:
    put_new(3)
    faults: list[Any] = []
    world = World(dynamodb=Faulty(client("dynamodb"), update_item=faults))
    faults.append(fault())
    world.intake.take_in_missed(plenty)
    assert sorted(str(item.get("status")) for item in items("TasksTable")) == ["None", "pending", "pending"]
    assert marks.get() is None
    world.intake.take_in_missed(plenty)
    assert (statuses(), marks.get()) == ({"pending"}, StreamMark(STREAM))


def test_an_item_that_the_stream_tells_of_meanwhile_is_taken_in_once(marks: StreamMarks) -> None:
    put_new(1)
    world = World()
    world.intake.take_in_missed(plenty)
    (before,) = items("TasksTable")
    world.now_ms += 1_000
    marks.set(StreamMark("arn:of-another"))
    assert world.intake.take_in({"task_id": {"S": "task-0"}, "provider": {"S": "suno"}}) == 0
    world.intake.take_in_missed(plenty)
    assert items("TasksTable") == [before]


def test_the_poller_s_event_has_the_table_looked_through(
    marks: StreamMarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    monkeypatch.setattr(app, "intake", lambda: world.intake)
    put_new(2)
    assert app.handler({"look_for_missed": True}, Context()) == {"batchItemFailures": []}  # type: ignore[arg-type]
    assert statuses() == {"pending"}
    assert len(world.lambdas.invocations) > 0


def test_a_mark_that_was_spoilt_by_hand_is_none(marks: StreamMarks) -> None:
    put("ProviderStatesTable", {"provider": "#tasks-stream", "stream": 5})
    assert marks.get() is None
    put("ProviderStatesTable", {"provider": "#tasks-stream", "stream": STREAM, "stopped_at": "here"})
    assert marks.get() == StreamMark(STREAM)
