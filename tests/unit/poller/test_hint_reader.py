"""What a provider calls back about is asked about at once, and no hint is lost before that."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items, put
from tests.support.patience import HANG_S
from tests.support.tasks import NOW_MS
from tests.support.virtual import HANGING, Clock, Course, Scripted
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, Answer, World

from poller.background import BackgroundTasks
from poller.hint_reader import HintReader
from poller.poll_loop import StopReason
from tunehook.aws.callback_hints import CallbackHintsTable, Hint
from tunehook.aws.provider_states import CALLBACKS_COME_AT, ProviderState
from tunehook.tasks import TaskKey

pytestmark = pytest.mark.usefixtures("aws")

# As documented, and not imported: a bound that moves is to be noticed.
APART_S = 5
QUICK_S = 0.25
UNACCEPTED_MS = 60_000


class Ending(World):
    """A gateway whose tasks end at moments, in seconds since the world began."""

    def __init__(self, **ends_s: float) -> None:
        super().__init__(gw=self.answer)
        self.ends_s = ends_s

    def answer(self, task_id: str) -> Answer:
        return COMPLETED if self.seconds() >= self.ends_s.get(task_id, 1e9) else PROCESSING

    def trust(self, count: int | None = CALLBACKS_COME_AT) -> None:
        state = ProviderState(provider="gw")
        self.states.save(state, ProviderState(provider="gw", ends_called_back=count))


def run(world: World, *later: tuple[float, Any], lasts_s: float = 40, **options: Any) -> StopReason:
    reason: StopReason
    reason, *_ = world.run_together(
        world.shard_pass(lasts_s=lasts_s, **options).run(take_over=True),
        *(world.later(at_s, work) for at_s, work in later),
    )
    return reason


class TestAsking:
    def test_a_task_is_asked_about_when_its_provider_calls_back(self) -> None:
        world = World()
        world.add()
        run(world, (7.4, world.call_back), lasts_s=30)
        assert world.times_of()[:3] == [0, 8, 20]

    def test_where_callbacks_come_the_question_does_not_wait_for_the_next_tick(self) -> None:
        world = Ending()
        world.trust()
        world.add()
        run(world, (7.4, world.call_back), lasts_s=30)
        assert world.times_of() == [0, 7.5]

    def test_a_flood_of_callbacks_leads_to_one_question_in_five_seconds(self) -> None:
        world = Ending()
        world.trust()
        world.add()
        run(world, *((at_s / 10, world.call_back) for at_s in range(1, 200)), lasts_s=30)
        assert world.times_of() == [0, 0.25, 5.25, 10.25, 15.25, 20.25]
        assert world.hinted() == []

    def test_a_hint_is_deleted_when_its_question_was_answered(self) -> None:
        world = World()
        world.add()
        world.call_back()
        run(world, lasts_s=3)
        assert world.times_of() == [0]
        assert world.hinted() == []

    def test_a_callback_that_comes_while_the_task_is_asked_about_leads_to_another_question(self) -> None:
        world = World(gw=lambda _: world.later(0.5, lambda: PROCESSING))
        world.add()
        run(world, (0.2, world.call_back), lasts_s=12)
        assert world.times_of() == [0, 1]
        assert world.hinted() == []

    def test_a_question_without_an_answer_is_made_again(self) -> None:
        world = World(gw=lambda _: fault_answer() if 7 < world.seconds() < 9 else PROCESSING)
        world.add()
        run(world, (7.4, world.call_back), lasts_s=16)
        assert world.times_of() == [0, 8, 13]
        assert world.hinted() == []

    def test_a_paused_provider_is_not_asked_before_its_pause_ends(self) -> None:
        def answer(_: str) -> Answer:
            return throttled(12) if world.seconds() < 1 else PROCESSING

        world = World(gw=answer)
        world.add(age_s=30)
        run(world, (3.4, world.call_back), lasts_s=25)
        assert [at_s for at_s in world.times_of() if 0 < at_s < 12] == []
        assert world.hinted() == []

    def test_the_hint_of_an_ended_task_is_deleted_without_a_question(self) -> None:
        world = World()
        world.add()
        put("TasksTable", {"task_id": "ended", "provider": "gw", "status": "completed"})
        world.call_back("ended")
        run(world, lasts_s=4)
        assert world.times_of("ended") == []
        assert world.hinted() == []

    def test_the_hint_of_a_task_that_is_gone_is_deleted(self) -> None:
        world = World()
        world.add()
        world.call_back("gone")
        run(world, lasts_s=4)
        assert world.hinted() == []
        assert [item["task_id"] for item in items("TasksTable")] == ["task-1"]

    def test_the_hint_of_a_task_that_intake_has_not_accepted_waits_for_it(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        put_new(world)
        world.call_back("new")
        run(world, (2.5, lambda: world.add("new")), lasts_s=20)
        assert world.item("new")["status"] == "completed"
        assert len(world.times_of("new")) == 1
        assert world.hinted() == []

    def test_a_task_that_the_index_hides_is_found_by_its_hint(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.clock.threads = Scripted(work=[Course(), *[Course(after_s=9)] * 20])
        put_new(world)
        world.call_back("new")
        run(world, (2.5, lambda: world.add("new")), lasts_s=20)
        (asked_s,) = world.times_of("new")
        assert asked_s <= 4.5

    def test_a_hint_that_cannot_be_deleted_leads_to_no_second_question(self) -> None:
        world = World()
        world.add()
        world.call_back()
        dynamodb = Faulty(client("dynamodb"), delete_item=[fault()] * 2)
        run(world, hints=CallbackHintsTable(dynamodb, "CallbackHintsTable"), lasts_s=15)
        assert world.times_of() == [0]
        assert world.hinted() == []

    def test_hints_that_cannot_be_read_keep_no_task_from_its_questions(self) -> None:
        world = World()
        world.add()
        hints = CallbackHintsTable(Faulty(client("dynamodb")), "NoSuchTable")
        run(world, hints=hints, lasts_s=26)
        assert world.times_of() == [0, 20, 25]

    def test_a_pass_that_finds_no_hints_table_ends(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        hints = CallbackHintsTable(client("dynamodb"), "NoSuchTable")
        assert run(world, hints=hints, lasts_s=60) is StopReason.NOTHING_PENDING


class TestReading:
    def test_a_read_that_hangs_keeps_no_later_one_from_being_made(self) -> None:
        world = World()
        world.clock.threads = Scripted(of_shard=[Course(), HANGING, HANGING])
        world.add()
        run(world, (7.4, world.call_back), lasts_s=12)
        assert world.times_of() == [0, 8]

    def test_no_tick_waits_for_a_read(self) -> None:
        world = Ending()
        world.trust(1)
        world.clock.threads = Scripted(of_shard=[Course(), *[Course(after_s=3)] * 50])
        world.add()
        run(world, lasts_s=45)
        assert world.times_of() == [0, 20, 25, 30, 35, 40, 45]

    @pytest.mark.parametrize(("count", "least", "most"), [(None, 10, 12), (1, 36, 46)])
    def test_hints_are_read_quickly_only_while_a_provider_calls_back(
        self, count: int | None, least: int, most: int
    ) -> None:
        world = Ending()
        world.trust(count)
        world.clock.threads = threads = Scripted()
        world.add()
        run(world, lasts_s=10)
        assert least <= threads.made.count("of_shard") <= most


class TestTrust:
    def end_with_callbacks(self, world: Ending, count: int) -> None:
        for number in range(count):
            name = f"t-{number}"
            world.add(name, age_s=30)
            end_s = world.seconds() + 2.1
            world.ends_s[name] = end_s
            run(world, (2.2, lambda name=name: world.call_back(name)), lasts_s=20)
            assert world.item(name)["status"] == "completed"

    def test_the_callbacks_of_three_tasks_in_a_row_are_remembered(self) -> None:
        world = Ending()
        for count in (1, 2, 3):
            self.end_with_callbacks(world, 1)
            assert world.state().ends_called_back == count
        self.end_with_callbacks(world, 1)
        assert world.state().ends_called_back == 3
        assert world.state().callbacks_come

    def test_such_a_provider_is_asked_at_once_on_a_callback_and_every_minute(self) -> None:
        world = Ending()
        world.trust()
        world.add()
        later = world.shard_pass("b", lasts_s=190)
        run(world, (62.5, lambda: later.run(take_over=True)), lasts_s=100)
        assert world.times_of() == [0, 60, 120, 180]

    def test_an_early_callback_counts_neither_way(self) -> None:
        world = Ending()
        world.trust(2)
        world.add()
        run(world, (6.5, world.call_back), (12.5, world.call_back), lasts_s=15)
        assert len(world.times_of()) == 3
        assert world.state().ends_called_back == 2

    def test_an_end_without_a_callback_makes_it_as_usual_again(self) -> None:
        world = Ending(told_not=30)
        world.trust()
        world.add("told_not")
        world.add("other")
        run(world, lasts_s=100)
        assert world.times_of("told_not") == [0, 60]
        assert world.state().ends_called_back is None
        assert world.times_of("other")[:4] == [0, 60, 65, 70]

    @pytest.mark.parametrize(("ago_s", "count"), [(3, 3), (4, 3), (5, None)])
    def test_an_end_that_its_usual_question_found_within_5_s_counts_neither_way(
        self, ago_s: int, count: int | None
    ) -> None:
        world = Ending()
        world.entry = {"kind": "suno"}
        world.gateways["gw"] = lambda task_id: suno_success(task_id, world.clock() // 1000 - ago_s)
        world.trust()
        world.add()
        run(world)
        assert world.item()["detected_at_ms"] - world.item()["finished_at_ms"] == ago_s * 1000
        assert world.state().ends_called_back == count

    def test_a_deadline_says_nothing_of_callbacks(self) -> None:
        world = Ending()
        world.trust()
        world.add(deadline_ms=world.clock() + 10_000)
        run(world)
        assert world.item()["failure"]["code"] == "timed_out"
        assert world.state().ends_called_back == 3

    def test_a_task_whose_answers_are_unusual_is_asked_as_usual(self) -> None:
        world = Ending()
        world.trust()
        world.gateways["gw"] = lambda _: {"status": "completed", "results": []}
        world.add(age_s=30)
        run(world)
        assert world.times_of() == [0, 5, 10, 15]

    def test_a_failure_that_was_called_back_counts_too(self) -> None:
        world = World(gw=lambda _: FAILED)
        world.add()
        world.call_back()
        run(world)
        assert world.state().ends_called_back == 1

    @pytest.mark.parametrize("value", ["3", 0, 4, -1, True, None])
    def test_a_count_that_tunehook_never_writes_is_none(self, value: Any) -> None:
        world = World()
        put("ProviderStatesTable", {"provider": "gw", "ends_called_back": value})
        assert world.state().ends_called_back is None


class TestStopping:
    def test_hints_of_nobodys_tasks_do_not_keep_a_pass(self) -> None:
        world = World()
        world.call_back("gone")
        assert run(world) is StopReason.NOTHING_PENDING
        assert world.hinted() == []
        assert world.seconds() < 6

    def test_a_poller_does_not_rest_before_a_hint_was_asked_about(self) -> None:
        world = World()
        world.add(age_s=700)
        world.run(lasts_s=105)
        (lease,) = items("PollerLeasesTable")
        asked = len(world.asked)
        world.run_together(world.later(60 - world.seconds() % 60, lambda: None))
        world.call_back()
        world.run(owner="b")
        assert len(world.asked) > asked
        assert world.hinted() == []
        assert lease["until_ms"] <= world.clock()

    def test_a_poller_that_a_callback_has_started_finds_its_hint(self) -> None:
        world = Ending(**{"task-1": 0})
        world.trust()
        world.add(age_s=100)
        world.call_back()
        assert world.run(take_over=False) is StopReason.NOTHING_PENDING
        assert world.item()["status"] == "completed"
        assert world.hinted() == []

    def test_a_pass_that_gets_no_lease_leaves_the_hints_alone(self) -> None:
        world = World()
        world.leases.take_if_free(0, "another", world.clock())
        world.call_back("gone")
        assert world.run(take_over=False) is StopReason.ALREADY_RUNNING
        assert world.hinted() == ["gone"]


class TestUnaccepted:
    """A hint of a task that is in the table, and that intake has not accepted yet."""

    @pytest.mark.parametrize(
        ("age_ms", "deleted"), [(UNACCEPTED_MS - 1, []), (UNACCEPTED_MS, ["new"])], ids=["young", "old"]
    )
    def test_it_waits_for_a_minute(self, age_ms: int, deleted: list[str]) -> None:
        reader, gone = one_reader({"task_id": "new", "provider": "gw"})
        hint = Hint(0, TaskKey("new", "gw"), NOW_MS - age_ms)

        async def read() -> None:
            reader.begin()
            reader.apply(NOW_MS, [hint])
            await reader.questions.wait(HANG_S)
            await reader.writes.wait(HANG_S)

        Clock(NOW_MS).run(read())
        assert gone == deleted


class TestLooks:
    def test_an_item_is_looked_at_once_a_second(self) -> None:
        reader, _ = one_reader({"task_id": "new", "provider": "gw"})
        clock, looks = Clock(NOW_MS), []
        reader.clock = clock
        hint = Hint(0, TaskKey("new", "gw"), NOW_MS)

        async def read() -> None:
            reader.begin()
            for after_s in (0, 0.999, 0.001, 0.999, 0.001):
                await asyncio.sleep(after_s)
                reader.apply(clock(), [hint])
                looks.append(len(reader.questions))
                await reader.questions.wait(HANG_S)

        clock.run(read())
        assert looks == [1, 0, 1, 0, 1]

    def test_before_it_has_the_lease_and_after_that_it_only_reads(self) -> None:
        reader, _ = one_reader({"task_id": "new", "provider": "gw"})
        clock, looks = Clock(NOW_MS), []
        reader.clock = clock
        hint = Hint(0, TaskKey("new", "gw"), NOW_MS)

        async def read() -> None:
            for turn in (lambda: None, reader.begin, reader.stop):
                await asyncio.sleep(2)
                turn()
                reader.apply(clock(), [hint])
                looks.append(len(reader.questions))
                await reader.questions.wait(HANG_S)

        clock.run(read())
        assert looks == [0, 1, 0]


class TestReads:
    def test_four_run_at_most_and_each_has_a_second_to_itself(self) -> None:
        reader, _ = one_reader({})
        clock, running = Clock(NOW_MS, lambda *_: HANGING), []
        reader.clock = clock

        async def read() -> None:
            for after_s in (0, 0.999, 0.001, 1, 1, 1):
                await asyncio.sleep(after_s)
                reader.start()
                running.append(len(reader.reads))

        clock.run(read())
        assert running == [1, 1, 2, 3, 4, 4]


def one_reader(item: dict[str, Any]) -> tuple[HintReader, list[str]]:
    """Return a reader of the hints of a pass without tasks, and whose hints it deletes."""
    gone: list[str] = []
    hints: Any = SimpleNamespace(delete=lambda hint: gone.append(hint.key.task_id), of_shard=lambda _: [])
    tasks: Any = SimpleNamespace(get=lambda _: item)
    scheduler: Any = SimpleNamespace(tasks={})
    writes = BackgroundTasks()
    return HintReader(0, hints, tasks, scheduler, None, writes, None, lambda: NOW_MS), gone


def put_new(world: World) -> None:
    assert world.seconds() == 0
    put("TasksTable", {"task_id": "new", "provider": "gw"})


def fault_answer() -> Answer:
    return httpx.Response(502, text="bad gateway")


def suno_success(task_id: str, finish_time: int) -> Answer:
    clips = [{"id": "clip-1", "audio_url": "https://cdn.example.com/clip-1.mp3", "status": "complete"}]
    task = {"task_id": task_id, "status": "SUCCESS", "finish_time": finish_time, "data": clips}
    return httpx.Response(200, json={"code": "success", "data": task})


def throttled(seconds: int) -> Answer:
    return httpx.Response(429, headers={"retry-after": str(seconds)}, json={"code": 429})
