import asyncio
from typing import Any

import httpx
import pytest
from tests.support.aws import BUS, Faulty, client, fault, items
from tests.support.gateways import PlayedTransport
from tests.support.tasks import NOW_MS, pending
from tests.support.virtual import HANGING, Course, Scripted
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, Answer, World

from poller.metrics import Metrics
from poller.outbox import Outbox
from poller.poll_loop import StopReason
from tunehook.aws.bus import EventBus
from tunehook.aws.leases import LEASE_MS, Leases
from tunehook.aws.tasks import TasksTable
from tunehook.tasks import Status, TaskKey

pytestmark = pytest.mark.usefixtures("aws")

SECOND_MS = 1_000


OTHERS = tuple(f"other-{number}" for number in range(5))
"""With these beside it a task is asked at ticks."""


class Looks:
    """Tasks as they are, for a test to change how they are looked for."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


class TestAsking:
    def test_a_new_task_is_asked_at_once_then_not_before_20_s_then_every_5_s(self) -> None:
        world = World()
        world.add()
        world.run(lasts_s=45)
        assert world.times_of() == [0, 20, 25, 30, 35, 40, 45]

    @pytest.mark.parametrize(("others", "times_s"), [(4, [0, 1.7, 6.7, 11.7]), (5, [0, 2, 7, 12])])
    def test_up_to_five_tasks_are_asked_about_when_they_are_due_and_more_of_them_at_the_next_tick(
        self, others: int, times_s: list[float]
    ) -> None:
        world = World()
        for name in ("task-1", *OTHERS[:others]):
            world.add(name, age_s=18.3)
        world.run(lasts_s=12)
        assert world.times_of() == times_s

    def test_a_task_that_comes_during_a_pass_is_seen_within_two_seconds(self) -> None:
        world = World()
        world.add("first")
        world.run_together(
            world.shard_pass(lasts_s=10).run(take_over=True), world.later(4.5, lambda: world.add("second"))
        )
        (asked_s,) = world.times_of("second")
        assert 4.5 <= asked_s <= 6.5

    def test_what_a_tick_waits_for_news_puts_no_task_off(self) -> None:
        world = World()
        world.clock.threads = Scripted(work=[Course(), *[Course(after_s=3)] * 50])
        for name in ("task-1", *OTHERS):
            world.add(name)
        world.run(lasts_s=45)
        # A quarter of a second each time, which does not add up.
        assert world.times_of()[:6] == pytest.approx([0, 20.25, 25.25, 30.25, 35.25, 40.25])

    def test_an_old_task_is_asked_as_seldom_as_its_age_allows(self) -> None:
        world = World()
        world.add(age_s=640)
        world.run()
        assert world.times_of() == [0, 20, 80]

    def test_a_task_that_is_older_at_its_provider_is_asked_by_that_age(self) -> None:
        world = World(gw=lambda _: PROCESSING | {"created_at": NOW_MS - 100 * SECOND_MS})
        world.add()
        world.run(lasts_s=12)
        assert world.times_of() == [0, 5, 10]
        assert world.item()["submitted_at_ms"] == NOW_MS - 100 * SECOND_MS

    def test_an_uneventful_question_writes_nothing(self) -> None:
        world = World()
        world.add(phase="processing")
        world.dynamodb = Faulty(client("dynamodb"))
        world.run(lasts_s=60)
        assert len(world.asked) > 5
        assert {name for name, _ in world.dynamodb.calls} <= {"get_paginator"}

    def test_a_phase_is_noted_once(self) -> None:
        world = World()
        world.add()
        world.dynamodb = Faulty(client("dynamodb"))
        world.run(lasts_s=40)
        assert world.item()["phase"] == "processing"
        assert [name for name, _ in world.dynamodb.calls].count("update_item") == 1


class TestEnding:
    @pytest.mark.parametrize(
        ("answer", "status", "kind"),
        [(COMPLETED, "completed", "TaskCompleted"), (FAILED, "failed", "TaskFailed")],
    )
    def test_a_task_that_has_ended_is_settled_and_its_event_emitted(
        self, answer: Answer, status: str, kind: str
    ) -> None:
        world = World(gw=lambda _: answer)
        world.add()
        assert world.run() is StopReason.NOTHING_PENDING
        item = world.item()
        assert (item["status"], "queue" in item) == (status, False)
        assert world.emitted() == [(kind, "task-1")]

    def test_a_pass_ends_soon_after_its_last_task(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        world.run()
        assert world.seconds() <= 4
        (lease,) = items("PollerLeasesTable")
        assert lease["until_ms"] <= NOW_MS + SECOND_MS

    def test_a_task_that_ended_is_not_asked_again(self) -> None:
        world = World(gw=lambda task_id: COMPLETED if task_id == "done" else PROCESSING)
        world.add("done")
        world.add("going")
        world.run(lasts_s=30)
        assert world.times_of("done") == [0]

    def test_a_task_that_was_put_again_is_asked_again_at_once(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add("keeps the pass alive", provider="unknown")
        world.add()
        world.run_together(
            world.shard_pass(lasts_s=10).run(take_over=True), world.later(5, lambda: world.add())
        )
        assert len(world.times_of()) == 2
        assert len(world.emitted()) == 2

    def test_a_task_that_was_put_again_while_it_was_pending_is_asked_again_at_once(self) -> None:
        world = World()
        world.add()
        world.run_together(world.shard_pass(lasts_s=10).run(take_over=True), world.later(5, world.add))
        assert len(world.times_of()) == 2

    def test_a_task_that_the_index_goes_on_showing_is_not_asked_again(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()

        class Lagging(Looks):
            def pending(self, *args: Any) -> Any:
                return [pending(TaskKey("task-1", "gw"))] if world.seconds() < 5 else []

        world.run(tasks=Lagging(world.shard_pass().tasks))
        assert world.times_of() == [0]

    def test_a_task_that_somebody_else_has_ended_is_forgotten_at_its_next_news(self) -> None:
        world = World()
        world.add()

        def end() -> None:
            world.add(status="completed", since_ms=NOW_MS, queue="elsewhere")
            world.gateways["gw"] = lambda _: {"status": "queuing"}

        (reason, _) = world.run_together(world.shard_pass().run(take_over=True), world.later(10, end))
        assert reason is StopReason.NOTHING_PENDING
        assert world.times_of() == [0, 20]

    def test_an_end_that_cannot_be_written_is_found_again(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        world.dynamodb = Faulty(client("dynamodb"), update_item=[fault()])
        world.run()
        assert world.times_of() == [0, 20]
        assert world.item()["status"] == "completed"

    def test_a_task_without_an_answer_times_out_at_its_deadline(self) -> None:
        world = World()
        world.add(deadline_ms=NOW_MS + 33 * SECOND_MS)
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.item()["failure"]["code"] == "timed_out"
        assert world.item()["detected_at_ms"] == NOW_MS + 33 * SECOND_MS
        assert world.emitted() == [("TaskFailed", "task-1")]

    def test_what_an_earlier_pass_left_unsent_is_emitted(self) -> None:
        world = World()
        world.add(status="completed", queue="work#0", detected_at_ms=NOW_MS)
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.emitted() == [("TaskCompleted", "task-1")]
        assert "queue" not in world.item()

    def test_an_item_that_its_user_spoilt_holds_nothing_up(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add("spoilt", metadata={"set": {"a"}})
        world.add("good")
        assert world.run() is StopReason.NOTHING_PENDING
        assert sorted(world.emitted()) == [("TaskCompleted", "good"), ("TaskCompleted", "spoilt")]


class TestStopping:
    def test_with_nothing_pending_a_pass_ends_at_once_and_touches_nothing(self) -> None:
        world = World()
        assert world.run() is StopReason.NOTHING_PENDING
        assert (world.seconds(), world.secret_reads, items("PollerLeasesTable")) == (0, 0, [])

    def test_a_pass_that_intake_started_leaves_the_work_to_the_one_that_runs(self) -> None:
        world = World()
        world.add()
        world.leases.take_over(0, "someone", world.clock())
        assert world.run(take_over=False) is StopReason.ALREADY_RUNNING
        assert world.asked == []
        assert items("PollerLeasesTable")[0]["owner"] == "someone"

    def test_a_pass_that_intake_started_takes_a_lease_that_has_run_out(self) -> None:
        world = World()
        world.add()
        world.leases.take_over(0, "someone", world.clock() - LEASE_MS)
        world.run(take_over=False, lasts_s=5)
        assert world.times_of() == [0]

    def test_a_pass_holds_its_lease_as_long_as_it_runs(self) -> None:
        world = World()
        world.add()
        lived: list[bool] = []

        async def watch() -> None:
            for _ in range(40):
                await asyncio.sleep(1)
                lived.append(world.leases.is_live(0, world.clock()))

        world.run_together(world.shard_pass(lasts_s=45).run(take_over=True), watch())
        assert all(lived)

    def test_no_question_is_asked_in_the_last_15_s(self) -> None:
        world = World()
        world.add(age_s=60)
        assert world.run(lasts_s=20) is StopReason.OUT_OF_TIME
        assert max(world.times_of()) <= 20
        assert world.seconds() <= 22

    def test_an_answer_that_is_under_way_at_the_end_is_not_waited_for(self) -> None:
        async def hanging(_: str) -> Answer:
            await asyncio.sleep(9)
            return COMPLETED

        world = World(gw=hanging)
        world.add()
        assert world.run(lasts_s=2) is StopReason.OUT_OF_TIME
        assert world.seconds() <= 4
        assert world.item()["status"] == "pending"

    def test_the_lease_is_given_up_when_nothing_is_left(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        world.run()
        assert not world.leases.is_live(0, world.clock())

    @pytest.mark.parametrize(
        "courses",
        [
            {"get_many": [HANGING]},
            {"secret": [Course(), HANGING]},
            {"renew": [HANGING] * 9},
            {"work": [Course()] + [HANGING] * 9},
            {"of_shard": [Course()] + [HANGING] * 9},
            {"get": [HANGING]},
            {"note": [HANGING]},
            {"answer": [HANGING]},
        ],
        ids=lambda courses: next(iter(courses)),
    )
    def test_what_hangs_does_not_go_on_after_its_pass(self, courses: dict[str, list[Course]]) -> None:
        async def hang(_: str) -> Answer:
            await asyncio.sleep(9)
            return PROCESSING

        world = World(gw=hang if "answer" in courses else lambda _: PROCESSING)
        world.clock.threads = Scripted(**courses)
        world.add()
        world.call_back("gone")
        lasts_s = {"get_many": 0.9, "secret": 62}.get(next(iter(courses)), 5)

        async def left_over() -> set[asyncio.Task[Any]]:
            await world.shard_pass(lasts_s=lasts_s).run(take_over=True)
            return asyncio.all_tasks() - {asyncio.current_task()}

        assert world.clock.run(left_over()) == set()

    def test_a_task_that_comes_while_the_lease_is_given_up_is_not_missed(self) -> None:
        world = World(gw=lambda _: COMPLETED)

        class Late(Leases):
            def give_up(self, shard: int, owner: str, now_ms: int) -> bool:
                if not world.times_of("late"):
                    world.add("late")
                return super().give_up(shard, owner, now_ms)

        world.add()
        late = Late(world.dynamodb, "PollerLeasesTable")
        assert world.run(leases=late) is StopReason.NOTHING_PENDING
        assert world.item("late")["status"] == "completed"
        assert world.times_of("late") == [1]

    def test_a_task_that_comes_then_is_left_to_the_poller_that_its_intake_started(self) -> None:
        world = World(gw=lambda _: COMPLETED)

        class Late(Leases):
            def give_up(self, shard: int, owner: str, now_ms: int) -> bool:
                world.add("late")
                given_up = super().give_up(shard, owner, now_ms)
                assert self.take_if_free(shard, "started by intake", world.clock())
                return given_up

        world.add()
        late = Late(world.dynamodb, "PollerLeasesTable")
        assert world.run(leases=late) is StopReason.TAKEN_OVER
        assert world.times_of("late") == []


class TestFaults:
    def test_a_look_that_fails_ends_no_pass(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()

        class Failing(Looks):
            def work(self, *args: Any) -> Any:
                if world.seconds() < 3:
                    raise fault(operation="Query")
                return self.real.work(*args)

        tasks = Failing(world.shard_pass().tasks)
        assert world.run(tasks=tasks) is StopReason.NOTHING_PENDING
        assert world.emitted() == [("TaskCompleted", "task-1")]

    def test_a_time_limit_that_is_not_that_of_the_pass_is_a_fault(self) -> None:
        world = World()
        world.add()

        class Hanging(Leases):
            def take_over(self, shard: int, owner: str, now_ms: int) -> bool:
                raise TimeoutError

        with pytest.raises(TimeoutError):
            world.run(leases=Hanging(world.dynamodb, "PollerLeasesTable"))

    def test_a_renewal_that_fails_ends_no_pass(self) -> None:
        world = World()
        world.add()
        leases = Leases(Faulty(client("dynamodb"), update_item=[None, fault(), fault()]), "PollerLeasesTable")
        assert world.run(lasts_s=30, leases=leases) is StopReason.OUT_OF_TIME

    def test_a_note_that_fails_is_made_up_for(self) -> None:
        world = World()
        world.add()
        world.dynamodb = Faulty(client("dynamodb"), update_item=[fault()])
        world.run(lasts_s=25)
        assert world.item()["phase"] == "processing"

    def test_a_deleted_task_is_forgotten_at_its_next_news(self) -> None:
        world = World(gw=lambda _: PROCESSING)
        world.add()

        def delete() -> None:
            client("dynamodb").delete_item(
                TableName="TasksTable", Key={"task_id": {"S": "task-1"}, "provider": {"S": "gw"}}
            )
            world.gateways["gw"] = lambda _: COMPLETED

        world.run_together(world.shard_pass().run(take_over=True), world.later(10, delete))
        assert (items("TasksTable"), world.emitted()) == ([], [])
        assert world.times_of() == [0, 20]

    @pytest.mark.parametrize("answer", [COMPLETED, FAILED], ids=["completed", "failed"])
    def test_an_answer_after_a_task_was_cancelled_changes_nothing_and_the_pass_drops_it(
        self, answer: Answer, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(gw=lambda _: PROCESSING)
        world.add()
        tasks, spy = TasksTable(client("dynamodb"), "TasksTable"), Spy()

        def cancel() -> None:
            assert tasks.cancel(TaskKey("task-1", "gw"), world.clock()).done
            world.gateways["gw"] = lambda _: answer

        reason, _ = world.run_together(
            world.shard_pass(metrics=spy).run(take_over=True), world.later(10, cancel)
        )
        assert reason is StopReason.NOTHING_PENDING
        assert (world.item()["status"], world.emitted(), world.times_of()) == ("cancelled", [], [0, 20])
        assert {told[0] for told in spy.told} == {"polled"}
        assert not {"WARNING", "ERROR"} & {record.levelname for record in caplog.records}

    @pytest.mark.parametrize("cancelled_s", [0.0, 0.5, 1.0, 2.0])
    @pytest.mark.parametrize("course", [Course(), Course(before_s=1), Course(after_s=1)], ids=str)
    def test_either_the_end_or_the_cancelling_counts(self, cancelled_s: float, course: Course) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        tasks = TasksTable(client("dynamodb"), "TasksTable")
        world.clock.threads = Scripted(end=[course])
        _, write = world.run_together(
            world.shard_pass().run(take_over=True),
            world.later(cancelled_s, lambda: tasks.cancel(TaskKey("task-1", "gw"), world.clock())),
        )
        status = "cancelled" if write.done else "completed"
        assert world.item()["status"] == status
        assert world.emitted() == ([] if write.done else [("TaskCompleted", "task-1")])
        assert "queue" not in world.item()

    def test_what_could_not_be_read_of_an_ended_task_is_read_at_the_next_look(self) -> None:
        world = World()
        world.add("pending")
        failure = {"code": "timed_out", "reason": "late"}
        long_ago = {"age_s": 60, "detected_at_ms": NOW_MS - 30 * SECOND_MS}
        world.add("left", **long_ago, status="failed", failure=failure)
        world.dynamodb = Faulty(client("dynamodb"), get_item=[fault(operation="GetItem")])
        world.run(lasts_s=3)
        assert world.emitted() == [("TaskFailed", "left")]

    def test_a_pass_goes_on_until_the_bus_has_its_last_event(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        refusing = Faulty(client("events"), put_events=[fault("InternalException", "PutEvents")] * 5)
        outbox = Outbox(TasksTable(world.dynamodb, "TasksTable"), EventBus(refusing, BUS))
        assert world.run(outbox=outbox) is StopReason.NOTHING_PENDING
        assert world.emitted() == [("TaskCompleted", "task-1")]

    @pytest.mark.parametrize(
        "fields", [{"deadline_ms": "soon"}, {"since_ms": 1.5}, {"phase": 7}, {"not_found_count": [1]}]
    )
    def test_an_item_that_makes_no_sense_holds_no_other_up(self, fields: dict[str, Any]) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add("odd", **fields)
        world.add("good")
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.emitted() == [("TaskCompleted", "good")]

    @pytest.mark.parametrize("fields", [{"status": "strange"}, {"status": "failed", "failure": "x"}])
    def test_an_ended_item_that_makes_no_sense_holds_no_other_up(self, fields: dict[str, Any]) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add("odd", **fields)
        world.add("good")
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.emitted() == [("TaskCompleted", "good")]

    def test_an_item_from_the_future_hides_no_new_one(self) -> None:
        world = World()
        world.add("odd", age_s=-1_000_000)
        world.run_together(
            world.shard_pass(lasts_s=10).run(take_over=True), world.later(4.5, lambda: world.add("new"))
        )
        assert world.times_of("new")


def test_the_pass_leaves_the_tables_of_other_shards_alone() -> None:
    world = World()
    world.add(queue="work#1")
    assert world.run() is StopReason.NOTHING_PENDING
    assert world.asked == []


class Spy(Metrics):
    """Remembers what it is told to count."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Any, ...]] = []

    def polled(self, provider: str, outcome: str) -> None:
        self.told.append(("polled", provider, outcome))

    def ended(self, provider: str, status: Status, detection_delay_ms: int | None) -> None:
        self.told.append(("ended", provider, status.value, detection_delay_ms))

    def paused(self, provider: str, reason: str) -> None:
        self.told.append(("paused", provider, reason))

    def emitted_again(self, count: int) -> None:
        if count:
            self.told.append(("emitted_again", count))


class TestFigures:
    def test_a_question_and_the_end_it_finds_are_counted(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        spy = Spy()
        world.run(metrics=spy)
        assert spy.told == [("polled", "gw", "completed"), ("ended", "gw", "completed", None)]

    def test_an_answer_that_pauses_the_provider_is_counted_and_what_the_pause_holds_back_is_not(self) -> None:
        async def refuse(request: httpx.Request) -> httpx.Response:
            return httpx.Response(401, json={"error": {"message": "no"}})

        world = World()
        world._http = PlayedTransport(refuse)
        world.add()
        spy = Spy()
        world.run(metrics=spy, lasts_s=40)
        assert spy.told == [("polled", "gw", "unauthorised"), ("paused", "gw", "unauthorised")]

    def test_an_event_that_another_pass_left_over_is_counted_and_a_rejection_is_not(self) -> None:
        world = World()
        ended = {"queue": "work#0", "detected_at_ms": NOW_MS, "phase": "queued"}
        failure = {"code": "timed_out", "reason": "late"}
        world.add("left", **ended | {"status": "failed", "failure": failure})
        world.add("rejected", **ended | {"status": "rejected", "failure": failure | {"code": "invalid"}})
        spy = Spy()
        world.run(metrics=spy)
        assert spy.told == [("emitted_again", 1)]
        assert sorted(task_id for _, task_id in world.emitted()) == ["left", "rejected"]
