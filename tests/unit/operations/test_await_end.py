from typing import Any

import pytest
from tests.support.aws import put

from tunehook.errors import NotFound
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import await_end

PENDING = {"task_id": "t", "provider": "suno", "status": "pending"}
ENDED = PENDING | {"status": "completed", "event_id": "evt"}
KEPT = ENDED | {"archived_at_ms": 5}


class Clock:
    """A clock that goes on while somebody sleeps; at a second, the item becomes another."""

    def __init__(self, items: dict[float, dict[str, Any]]) -> None:
        self.now_s = 100.0
        self.pauses: list[float] = []
        self._items = items

    def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.now_s += pause_s
        for at_s in [each for each in self._items if self.now_s >= 100 + each]:
            put("TasksTable", self._items.pop(at_s))


def wait(stack: Stack, clock: Clock, wait_s: float = 25) -> TaskView:
    return await_end(stack, "suno", "t", wait_s, sleep=clock.sleep, clock=lambda: clock.now_s)


def test_it_returns_as_soon_as_the_files_are_settled(found: Stack) -> None:
    put("TasksTable", PENDING)
    clock = Clock({3: ENDED, 6: KEPT})
    assert wait(found, clock).is_archived
    assert 106 <= clock.now_s <= 108


def test_one_that_is_settled_is_not_waited_for(found: Stack) -> None:
    put("TasksTable", KEPT)
    clock = Clock({})
    wait(found, clock)
    assert clock.pauses == []


@pytest.mark.parametrize("item", [PENDING, ENDED, {"task_id": "t", "provider": "suno"}])
def test_after_its_time_it_returns_the_task_as_it_is(found: Stack, item: dict[str, Any]) -> None:
    put("TasksTable", item)
    clock = Clock({})
    assert wait(found, clock).status == item.get("status", "new")
    assert clock.now_s == pytest.approx(125)
    assert clock.pauses[:3] == [0.25, 0.375, 0.5625]
    assert max(clock.pauses) == 2
    assert len(clock.pauses) < 20


def test_a_cancelled_task_has_no_files(found: Stack) -> None:
    put("TasksTable", PENDING | {"status": "cancelled"})
    assert wait(found, Clock({})).is_cancelled


def test_one_that_begins_anew_is_waited_for_anew(found: Stack) -> None:
    put("TasksTable", ENDED)
    clock = Clock({1: PENDING | {"archived_at_ms": 5}, 4: KEPT})
    wait(found, clock)
    assert clock.now_s >= 104


def test_a_task_that_is_not_there_is_not_waited_for(found: Stack) -> None:
    clock = Clock({})
    with pytest.raises(NotFound, match="there is no task t of suno"):
        wait(found, clock)
    assert clock.pauses == []
