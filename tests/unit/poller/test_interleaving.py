"""Passes whose calls to AWS are slow, interleave, hang or lose their answers: what is asked and emitted meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from tests.support.aws import BUS, client, fault
from tests.support.tasks import NOW_MS
from tests.support.virtual import HANGING, Course, Scripted, Seeded
from tests.unit.poller.world import COMPLETED, PROCESSING, Answer, World

from poller.metrics import Metrics
from poller.outbox import OWNERS_MS, Outbox
from poller.poll_loop import StopReason
from poller.work_reader import READS_MAX
from tunehook.aws.bus import EventBus
from tunehook.aws.leases import Leases
from tunehook.aws.tasks import TasksTable

pytestmark = pytest.mark.usefixtures("aws")

TICK_S = 1
SLOW = Course(before_s=8)
LOST = ReadTimeoutError(endpoint_url="https://dynamodb.example.com")
LEFT: dict[str, Any] = {"status": "failed", "failure": {"code": "timed_out", "reason": "late"}}


class Again(Metrics):
    """Remembers how many events it was told that another pass had left."""

    def __init__(self) -> None:
        super().__init__()
        self.again = 0

    def emitted_again(self, count: int) -> None:
        self.again += count


def put_at(world: World, seconds: float, task_id: str = "new", **fields: Any) -> Any:
    return world.later(seconds, lambda: world.add(task_id, **fields))


class TestTheLoopNeverWaits:
    @pytest.mark.parametrize(
        "slow",
        [
            {"secret": [Course(), *[SLOW] * 9]},
            {"put": [SLOW] * 9},
            {"renew": [SLOW] * 9},
            {"get_ended": [SLOW] * 9},
            {"save_positions": [SLOW] * 9},
            {"note": [SLOW] * 9},
            {"work": [Course(), HANGING]},
            {"work": [Course(), Course(after_s=1e9)]},
            {"work": [Course(), *[HANGING] * (READS_MAX - 1)]},
            {"renew": [HANGING]},
        ],
        ids=lambda slow: "-".join(slow),
    )
    def test_a_call_that_is_slow_delays_no_first_question(self, slow: dict[str, list[Course]]) -> None:
        world = World(gw=lambda task_id: COMPLETED if task_id == "done" else PROCESSING)
        world.add("old", age_s=60)
        world.clock.threads = Scripted(**slow)
        world.run_together(
            world.shard_pass(lasts_s=40).run(take_over=True),
            put_at(world, 1.5, "bad", **LEFT, detected_at_ms=NOW_MS - 60_000),
            put_at(world, 2.5, "done"),
            *(put_at(world, moment_s, f"new-{moment_s}") for moment_s in range(8, 24)),
        )
        late_s = [world.times_of(f"new-{moment_s}")[0] - moment_s for moment_s in range(8, 24)]
        assert max(late_s) <= TICK_S + 0.3
        assert len(world.times_of("old")) >= 7

    def test_what_is_known_of_one_provider_keeps_no_other_waiting(self) -> None:
        world = World(gw=lambda _: PROCESSING, slow=lambda _: PROCESSING)
        world.add("first")
        world.clock.threads = Scripted(get_many=[Course(), HANGING])
        world.run_together(
            world.shard_pass(lasts_s=20).run(take_over=True),
            put_at(world, 3.5, "unknown", provider="slow"),
            put_at(world, 4.5, "known"),
        )
        assert world.times_of("known")[0] <= 4.5 + TICK_S + 0.3
        # What is known of its pauses is waited for, but not for long.
        assert world.times_of("unknown")[0] <= 3.5 + 2 * TICK_S + 2.3

    def test_a_look_that_comes_back_late_brings_its_tasks_and_hides_no_others(self) -> None:
        world = World()
        world.add("first")
        world.clock.threads = Scripted(work=[Course(), Course(), Course(before_s=0.1, after_s=9)])
        world.run_together(
            world.shard_pass(lasts_s=30).run(take_over=True),
            *(put_at(world, 0.5 + each, f"t{each}") for each in range(20)),
        )
        assert all(world.times_of(f"t{each}")[0] <= 0.5 + each + 2 * TICK_S for each in range(20))

    def test_a_renewal_that_hangs_ends_no_pass_and_one_that_was_lost_does(self) -> None:
        world = World()
        world.add()
        world.clock.threads = Scripted(renew=[Course(after_s=9)])
        (reason, _) = world.run_together(
            world.shard_pass("a").run(take_over=True),
            world.later(6, lambda: world.leases.take_over(0, "b", world.clock())),
        )
        assert reason is StopReason.TAKEN_OVER


class TestOnceOnTheBus:
    def test_the_look_of_the_same_pass_meets_the_end_that_is_being_written(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        figures = Again()
        world.clock.threads = Scripted(end=[Course(after_s=OWNERS_MS / 1000 + 15)])
        world.run(metrics=figures)
        assert world.emitted() == [("TaskCompleted", "task-1")]
        assert figures.again == 0

    def test_the_look_meets_an_end_while_what_is_left_over_is_being_read(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        figures = Again()
        world.add("left", **LEFT, detected_at_ms=NOW_MS - 60_000)
        world.clock.threads = Scripted(get_ended=[Course(after_s=4)])
        world.run(metrics=figures)
        assert world.emitted() == [("TaskFailed", "left")]
        assert figures.again == 1

    def test_of_what_is_left_over_one_that_cannot_be_read_emits_no_other_twice(self) -> None:
        world = World()
        for number in range(3):
            world.add(f"t{number}", **LEFT, detected_at_ms=NOW_MS - 60_000)
        reads: list[str] = []

        class OneFails(TasksTable):
            def get_ended(self, task: Any) -> Any:
                reads.append(task.key.task_id)
                if reads == ["t0"]:
                    raise fault()
                return super().get_ended(task)

        tasks = OneFails(client("dynamodb"), "TasksTable")
        world.clock.threads = Scripted(get_ended=[Course(), Course(after_s=3), Course(after_s=3)])
        world.run(tasks=tasks, outbox=Outbox(tasks, EventBus(client("events"), BUS), clock=world.clock))
        assert sorted(world.emitted()) == [("TaskFailed", f"t{number}") for number in range(3)]
        assert Counter(reads) == {"t0": 2, "t1": 1, "t2": 1}

    def test_a_poller_that_is_started_in_vain_emits_nothing(self) -> None:
        world = World()
        world.leases.take_over(0, "someone", world.clock())
        world.add("left", **LEFT, detected_at_ms=NOW_MS - 60_000)
        assert world.run(take_over=False) is StopReason.ALREADY_RUNNING
        assert world.emitted() == []

    def test_what_ended_just_now_is_its_owners_to_tell(self) -> None:
        world = World()
        figures = Again()
        world.add("left", **LEFT, detected_at_ms=NOW_MS)
        told_s: list[float] = []

        class Bus(EventBus):
            def put(self, events: Any) -> Any:
                told_s.append(world.seconds())
                return super().put(events)

        tasks = TasksTable(world.dynamodb, "TasksTable")
        world.run(outbox=Outbox(tasks, Bus(client("events"), BUS), clock=world.clock), metrics=figures)
        assert told_s == [OWNERS_MS / 1000]
        assert (world.emitted(), figures.again) == ([("TaskFailed", "left")], 1)

    def test_what_its_owner_tells_meanwhile_is_not_told_again(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        figures = Again()
        world.add("keeps going", provider="unknown")
        for number in range(5):
            world.add(f"t{number}")
        world.clock.threads = Scripted(put=[Course(before_s=6)])
        world.run_together(
            world.shard_pass("a", metrics=figures).run(take_over=True),
            world.later(2, lambda: world.shard_pass("b", lasts_s=30, metrics=figures).run(take_over=True)),
        )
        assert Counter(world.emitted()) == {("TaskCompleted", f"t{number}"): 1 for number in range(5)}
        assert figures.again == 0

    def test_an_end_in_the_future_is_told_all_the_same(self) -> None:
        world = World()
        world.add("left", **LEFT, detected_at_ms=NOW_MS + 3_600_000)
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.emitted() == [("TaskFailed", "left")]

    def test_an_end_that_was_written_although_its_answer_is_lost_is_told_by_the_same_pass(self) -> None:
        world = World(gw=lambda task_id: COMPLETED if task_id == "old" else PROCESSING)
        figures = Again()
        world.add("old", age_s=60)
        world.add("young")
        world.clock.threads = Scripted(end=[Course(after_s=3, lost=LOST)])
        world.run(lasts_s=30, metrics=figures)
        assert world.emitted() == [("TaskCompleted", "old")]
        assert figures.again == 0

    @pytest.mark.parametrize("seed", range(4))
    def test_whatever_the_order_of_calls_each_end_is_told_once(self, seed: int) -> None:
        def answer(task_id: str) -> Answer:
            return COMPLETED if world.seconds() > int(task_id[1:]) else PROCESSING

        world = World(gw=answer)
        for number in range(25):
            world.add(f"t{number}", age_s=30)
        figures = Again()
        world.clock.threads = Seeded(seed, longest_s=1.5)
        reasons = world.run_together(
            world.shard_pass("a", metrics=figures).run(take_over=True),
            world.later(12, lambda: world.shard_pass("b", metrics=figures).run(take_over=True)),
            world.later(14, lambda: world.shard_pass("c", metrics=figures).run(take_over=False)),
        )
        assert reasons == [StopReason.TAKEN_OVER, StopReason.NOTHING_PENDING, StopReason.ALREADY_RUNNING]
        assert Counter(world.emitted()) == {("TaskCompleted", f"t{number}"): 1 for number in range(25)}
        assert figures.again == 0


class TestHandover:
    def test_a_question_under_way_is_answered_though_another_poller_has_taken_over(self) -> None:
        world = World()
        world.add(age_s=60)
        world.gateways["gw"] = lambda _: world.later(7, lambda: COMPLETED)
        (reason, _) = world.run_together(
            world.shard_pass("a").run(take_over=True),
            world.later(0.5, lambda: world.shard_pass("b").run(take_over=True)),
        )
        assert reason is StopReason.TAKEN_OVER
        assert world.item()["detected_at_ms"] == NOW_MS + 7_000

    def test_and_no_question_is_begun_by_then(self) -> None:
        world = World()
        world.entry = {"max_concurrency": 2}
        for number in range(20):
            world.add(f"t{number}", age_s=60)
        world.gateways["gw"] = lambda _: world.later(3, lambda: PROCESSING)
        world.run_together(
            world.shard_pass("a").run(take_over=True),
            world.later(0.5, lambda: world.leases.take_over(0, "b", world.clock())),
        )
        assert max(at_s for at_s, _ in world.asked) <= 4.5
        assert world.seconds() <= 9

    def test_a_question_that_hangs_is_waited_for_no_longer_than_it_may_take(self) -> None:
        world = World()
        world.add(age_s=60)
        world.gateways["gw"] = lambda _: world.later(3_600, lambda: COMPLETED)
        world.run_together(
            world.shard_pass("a").run(take_over=True),
            world.later(0.5, lambda: world.leases.take_over(0, "b", world.clock())),
        )
        assert world.seconds() <= 4 + 10 + TICK_S


class Lagging(TasksTable):
    """A table whose index shows an item only some seconds after it was written."""

    def __init__(self, world: World, **shown_at_s: float) -> None:
        super().__init__(world.dynamodb, "TasksTable")
        self._world = world
        self._shown_at_s = shown_at_s

    def work(self, *args: Any) -> Any:
        work = super().work(*args)
        hidden = {task_id for task_id, at_s in self._shown_at_s.items() if self._world.seconds() < at_s}
        work.pending[:] = [task for task in work.pending if task.key.task_id not in hidden]
        return work


class TestALateIndex:
    def test_a_task_whose_update_was_repeated_is_asked_by_the_same_pass(self) -> None:
        world = World()
        world.add("first")
        world.run_together(
            world.shard_pass(lasts_s=70).run(take_over=True),
            put_at(world, 20, "fresh"),
            put_at(world, 22, "late", age_s=13),
            put_at(world, 40, "later", age_s=45),
        )
        assert world.times_of("late")[0] <= 22 + 15 + TICK_S
        assert world.times_of("later")[0] <= 40 + 15 + TICK_S

    def test_the_poller_that_intake_starts_waits_for_the_index(self) -> None:
        world = World()
        world.add("new")
        assert world.run(take_over=False, lasts_s=10, tasks=Lagging(world, new=1.5)) is StopReason.OUT_OF_TIME
        assert world.times_of("new")[0] <= 3

    def test_a_task_that_comes_as_the_lease_goes_is_found_when_the_index_shows_it(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()

        class Late(Leases):
            def give_up(self, shard: int, owner: str, now_ms: int) -> bool:
                if not world.times_of("late"):
                    assert self.is_live(shard, now_ms)  # so its intake starts no poller
                    world.add("late")
                return super().give_up(shard, owner, now_ms)

        late = Late(world.dynamodb, "PollerLeasesTable")
        assert world.run(leases=late, tasks=Lagging(world, late=2.5)) is StopReason.NOTHING_PENDING
        assert world.item("late")["status"] == "completed"

    def test_the_schedules_poller_that_finds_nothing_ends_at_once(self) -> None:
        world = World()
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.seconds() == 0
