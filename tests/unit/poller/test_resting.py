"""A poller with nothing due soon ends, and is there again in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from tests.support.aws import BUS, client, fault
from tests.support.tasks import NOW_MS
from tests.support.virtual import Course, Scripted
from tests.unit.poller.test_waiting import broken, refused, throttled
from tests.unit.poller.world import COMPLETED, PROCESSING, World

from intake.admission import Intake
from poller.poll_loop import StopReason
from poller.scheduler import RESTS_FROM_MS
from tunehook.aws.bus import EventBus
from tunehook.aws.fulfillment_queue import FulfillmentQueue
from tunehook.aws.leases import Leases, Position
from tunehook.aws.stream_marks import StreamMarks
from tunehook.aws.tasks import TasksTable
from tunehook.http.guard import NetworkPolicy

pytestmark = pytest.mark.usefixtures("aws")

MINUTE_S = 60
TICK_S = 1
OLD_S = 3_600
BRIEF_S = 5
"""How long a pass lasts at most whose only task has its answer at once."""

NO_TIME_S = 0.3
"""The same, where nobody holds the lease."""

LATE: dict[str, Any] = {"deadline_ms": NOW_MS + 7 * 86_400_000}


class Schedule:
    """Starts a poller each minute, from second 0 on, and remembers how long each ran and why it stopped."""

    def __init__(self, world: World, leases: Leases | None = None, lasts_s: float = 105) -> None:
        self.world = world
        self.lasts_s = lasts_s
        self.leases = leases or world.leases
        self.reasons: dict[int, StopReason] = {}
        self.lasted_s: dict[int, float] = {}

    async def start(self, minute: int) -> None:
        await asyncio.sleep(minute * MINUTE_S - self.world.seconds())
        one = self.world.shard_pass(f"minute {minute}", leases=self.leases, lasts_s=self.lasts_s)
        self.reasons[minute] = await one.run(take_over=True)
        self.lasted_s[minute] = self.world.seconds() - minute * MINUTE_S

    def rest(self) -> None:
        """Let a poller have rested since it was started a minute ago, so that the first one may rest as well."""
        self.world.leases.take_over(0, "before", self.world.clock() - MINUTE_S * 1000)
        self.world.leases.give_up(0, "before", self.world.clock() - 56_000)

    def hold(self) -> None:
        """Let a poller hold the lease, so that the first pass takes it over, and rests when it has asked all."""
        self.world.leases.take_over(0, "before", self.world.clock())

    def run(self, minutes: int, *beside: Any, without: frozenset[int] = frozenset()) -> None:
        starts = [self.start(minute) for minute in range(minutes) if minute not in without]
        self.world.run_together(*starts, *beside)


class Lambdas:
    """Starts a poller as intake asks for it, after some seconds."""

    def __init__(self, world: World, takes_s: float = 0.2) -> None:
        self.world = world
        self.takes_s = takes_s
        self.started: list[asyncio.Task[StopReason]] = []

    def invoke(self, **_: Any) -> None:
        async def run() -> StopReason:
            await asyncio.sleep(self.takes_s)
            one = self.world.shard_pass(f"intake's {len(self.started)}", lasts_s=3)
            return await one.run(take_over=False)

        self.started.append(asyncio.get_running_loop().create_task(run()))


def intake_of(world: World, lambdas: Lambdas, leases: Leases | None = None) -> Intake:
    dynamodb = client("dynamodb")
    return Intake(
        TasksTable(dynamodb, "TasksTable"),
        leases or world.leases,
        lambda: EventBus(client("events"), BUS),
        StreamMarks(dynamodb, "ProviderStatesTable"),
        lambdas,  # type: ignore[arg-type]
        fulfillment=lambda: FulfillmentQueue(client("sqs"), "none"),
        stream="arn:of-the-stream",
        poller_function="the-poller",
        shard_count=1,
        policy=NetworkPolicy.PUBLIC,
        clock=world.clock,
    )


def longest_gap_s(world: World, task_id: str = "task-1", after_s: float = 0) -> float:
    asked = [at_s for at_s in world.times_of(task_id) if at_s >= after_s]
    return max(after - before for before, after in pairwise(asked))


class TestResting:
    @pytest.mark.parametrize("phase_s", [0, 30])
    def test_a_task_that_hangs_is_asked_once_a_minute_by_passes_of_some_seconds(self, phase_s: float) -> None:
        world = World()
        world.add(age_s=OLD_S + phase_s, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(4)
        assert set(schedule.reasons.values()) == {StopReason.NOTHING_DUE}
        assert max(schedule.lasted_s.values()) <= NO_TIME_S
        assert len(world.times_of()) == len(schedule.reasons)
        assert longest_gap_s(world) <= MINUTE_S + TICK_S

    def test_a_poller_that_has_taken_over_rests_once_all_have_been_asked(self) -> None:
        world = World()
        world.add("at once", age_s=OLD_S + 20.5, **LATE)
        world.add("later", age_s=OLD_S + 40.5, **LATE)
        schedule = Schedule(world)
        schedule.hold()
        schedule.run(2)
        assert schedule.reasons[0] is schedule.reasons[1] is StopReason.NOTHING_DUE
        assert 40 <= schedule.lasted_s[0] <= 40 + BRIEF_S
        assert [at_s // MINUTE_S for at_s in world.times_of("later")] == [0, 1]

    def test_an_end_found_without_the_lease_is_written_and_emitted(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add(age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert schedule.reasons == {0: StopReason.NOTHING_PENDING}
        assert schedule.lasted_s[0] <= NO_TIME_S
        assert world.emitted() == [("TaskCompleted", "task-1")]
        assert "queue" not in world.item()

    def test_an_end_whose_event_was_left_over_is_a_matter_of_the_lease(self) -> None:
        world = World()
        world.add(age_s=OLD_S, **LATE)
        left_over = {"status": "failed", "event_id": "evt_1", "detected_at_ms": NOW_MS - 60_000}
        world.add(
            "left", age_s=OLD_S, **left_over, failure={"code": "provider_failed", "reason": "no"}, **LATE
        )
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert world.emitted() == [("TaskFailed", "left")]
        assert schedule.lasted_s[0] > NO_TIME_S

    def test_a_question_that_hangs_is_waited_for_with_the_lease(self) -> None:
        async def hang() -> dict[str, Any]:
            await asyncio.sleep(8)
            return PROCESSING

        world = World(gw=lambda _: hang())
        world.add(age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()

        async def held() -> bool:
            return world.leases.is_live(0, world.clock())

        seen: list[bool] = []

        async def look() -> None:
            for at_s in (1, 4):
                await asyncio.sleep(at_s - world.seconds())
                seen.append(await held())

        schedule.run(1, look())
        assert seen == [False, True]
        assert schedule.reasons == {0: StopReason.NOTHING_DUE}
        assert world.times_of() == [0]

    def test_two_at_once_ask_twice_and_end_it_once(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add(age_s=OLD_S, **LATE)
        first, second = Schedule(world), Schedule(world)
        first.rest()
        world.run_together(first.start(0), second.start(0))
        assert world.times_of() == [0, 0]
        assert first.reasons == second.reasons == {0: StopReason.NOTHING_PENDING}
        assert world.emitted() == [("TaskCompleted", "task-1")]

    def test_a_callback_that_comes_meanwhile_starts_a_poller_that_asks(self) -> None:
        async def hang() -> dict[str, Any]:
            await asyncio.sleep(1)
            return PROCESSING

        world = World(gw=lambda _: hang())
        world.add(age_s=OLD_S, **LATE)
        lambdas = Lambdas(world)

        async def call_back() -> None:
            world.call_back()
            intake_of(world, lambdas).wake_poller(0)
            await asyncio.gather(*lambdas.started)

        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1, world.later(0.5, call_back))
        assert schedule.reasons == {0: StopReason.NOTHING_DUE}
        assert len(world.times_of()) == 2
        assert 0.5 < world.times_of()[1] <= 0.5 + TICK_S + lambdas.takes_s
        assert world.hinted() == []

    def test_a_start_that_cannot_be_noted_takes_the_lease(self) -> None:
        class Failing(Leases):
            def note_start(self, *_: Any) -> bool:
                raise fault("InternalServerError", "UpdateItem")

        world = World()
        world.add(age_s=OLD_S, **LATE)
        schedule = Schedule(world, Failing(world.dynamodb, "PollerLeasesTable"))
        schedule.rest()
        schedule.run(1)
        assert schedule.reasons == {0: StopReason.NOTHING_DUE}
        assert schedule.lasted_s[0] > NO_TIME_S

    @pytest.mark.parametrize("method", ["work", "of_shard"])
    def test_tasks_and_hints_that_could_not_be_read_are_a_matter_of_the_lease(self, method: str) -> None:
        world = World()
        world.add(age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        world.clock.threads = Scripted(**{method: [Course(lost=fault("InternalServerError", "Query"))]})
        schedule.run(1)
        assert schedule.reasons == {0: StopReason.NOTHING_DUE}
        assert schedule.lasted_s[0] > NO_TIME_S
        assert len(world.times_of()) == 1

    @pytest.mark.parametrize(("number", "takes_it"), [(100, False), (101, True)])
    def test_many_tasks_are_a_matter_of_the_lease(self, number: int, takes_it: bool) -> None:
        world = World()
        for each in range(number):
            world.add(f"t{each}", age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert len(world.asked) == number
        assert (schedule.lasted_s[0] > NO_TIME_S) is takes_it

    def test_who_was_behind_is_forgotten_once_all_were_asked(self) -> None:
        world = World()
        world.add(age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        world.leases.save_positions(0, "before", {"gw": Position(0, "")})
        schedule.run(2)
        assert schedule.lasted_s[0] > NO_TIME_S
        assert schedule.lasted_s[1] <= NO_TIME_S

    def test_an_end_is_found_as_soon_as_by_a_poller_that_always_runs(self) -> None:
        world = World(gw=lambda _: COMPLETED if world.seconds() >= 90 else PROCESSING)
        world.add(age_s=OLD_S + 30, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(3)
        assert world.emitted() == [("TaskCompleted", "task-1")]
        assert world.item()["detected_at_ms"] <= NOW_MS + (90 + MINUTE_S) * 1000

    def test_one_young_task_keeps_the_poller_awake(self) -> None:
        world = World()
        world.add("old", age_s=OLD_S, **LATE)
        world.add("young", age_s=RESTS_FROM_MS / 1000 - 70, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(3)
        assert schedule.reasons == {
            0: StopReason.TAKEN_OVER,
            1: StopReason.NOTHING_DUE,
            2: StopReason.NOTHING_DUE,
        }
        assert longest_gap_s(world, "young") <= MINUTE_S + TICK_S

    @pytest.mark.parametrize(
        "ends",
        [
            {"deadline_ms": NOW_MS + 30_000},
            {"streaming_since_ms": NOW_MS + 30_000 - 600_000, "empty_count": 0, **LATE},
        ],
        ids=["deadline", "streaming"],
    )
    def test_what_ends_before_the_next_start_is_asked_about_then(self, ends: dict[str, Any]) -> None:
        world = World()
        world.add(age_s=OLD_S + 45, **ends)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert world.times_of()[-1] == 30

    def test_a_pass_that_intake_started_stays_until_the_schedules_next(self) -> None:
        world = World()
        world.add(age_s=OLD_S, **LATE)
        reason = world.run(take_over=False, lasts_s=MINUTE_S)
        assert reason is StopReason.OUT_OF_TIME

    def test_after_a_start_that_was_missed_the_poller_stays_until_the_next(self) -> None:
        world = World()
        world.add(age_s=OLD_S + 30, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(6, without=frozenset({1, 3}))
        assert schedule.reasons == {
            0: StopReason.NOTHING_DUE,
            2: StopReason.OUT_OF_TIME,
            4: StopReason.NOTHING_DUE,
            5: StopReason.NOTHING_DUE,
        }
        # The first start that is missed costs a minute; as long as others are, the one before goes on as ever.
        assert longest_gap_s(world, after_s=2 * MINUTE_S) <= MINUTE_S + 15


class TestWhatKeepsItAwake:
    def test_tasks_that_wait_for_their_turn(self) -> None:
        world = World()
        world.entry = {"requests_per_second": 1}
        for number in range(10):
            world.add(f"t{number}", age_s=OLD_S + 30, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert all(world.times_of(f"t{number}") for number in range(10))
        assert 9 <= schedule.lasted_s[0] <= 15

    def test_a_question_that_came_to_nothing(self) -> None:
        world = World(gw=lambda _: PROCESSING if world.asked[1:] else broken())
        world.add(age_s=OLD_S + 30, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert world.times_of() == [0, 30]

    def test_a_pause_that_ends_before_the_next_start(self) -> None:
        world = World(gw=lambda _: PROCESSING if world.asked[1:] else throttled(**{"Retry-After": "20"}))
        world.add(age_s=OLD_S + 30, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(1)
        assert world.times_of() == [0, 30]

    def test_but_not_one_that_ends_after_it_and_it_is_kept(self) -> None:
        world = World(gw=lambda _: PROCESSING if world.asked[1:] else throttled(**{"Retry-After": "90"}))
        world.add(age_s=OLD_S + 30, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(2)
        assert schedule.reasons[0] is StopReason.NOTHING_DUE
        assert world.times_of() == pytest.approx([0, 90], abs=2)

    def test_and_not_a_key_that_is_refused(self) -> None:
        world = World(gw=lambda _: refused())
        world.add(age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(3)
        assert max(schedule.lasted_s.values()) <= BRIEF_S + 1
        assert len(world.asked) == 3

    def test_and_not_a_provider_that_nobody_has_configured(self) -> None:
        world = World()
        world.add(provider="unknown", age_s=OLD_S, **LATE)
        schedule = Schedule(world)
        schedule.rest()
        schedule.run(2)
        assert set(schedule.reasons.values()) == {StopReason.NOTHING_DUE}
        assert world.item()["last_error"] == "the provider unknown is not configured"


class TestNewTasks:
    @pytest.mark.parametrize("is_held", [True, False])
    @pytest.mark.parametrize(
        ("put_s", "lag_s"), [(0.4, 0), (1.1, 0), (1.1, 0.5), (1.8, 0.5), (2.2, 0), (4.1, 0), (40, 0)]
    )
    def test_one_that_comes_at_any_moment_of_a_rest_is_asked_at_once(
        self, put_s: float, lag_s: float, is_held: bool
    ) -> None:
        world = World()
        world.add(age_s=OLD_S, **LATE)
        lambdas = Lambdas(world)
        intake = intake_of(world, lambdas)
        world.clock.threads = Scripted(give_up=[Course(lag_s, lag_s) for _ in range(9)])

        async def put() -> None:
            world.add("new")
            intake.wake_poller(0)
            await asyncio.gather(*lambdas.started)

        schedule = Schedule(world)
        schedule.hold() if is_held else schedule.rest()
        schedule.run(1, world.later(put_s, put))
        assert world.times_of("new")[0] <= put_s + 2 * TICK_S + 2 * lag_s + lambdas.takes_s + 0.3

    @pytest.mark.parametrize("write", ["give_up", "note_start"])
    @pytest.mark.parametrize("moment", ["before", "after"])
    @pytest.mark.parametrize("between", ["item", "is_live", "begin_start"])
    def test_however_its_intake_and_the_rest_interleave(self, moment: str, between: str, write: str) -> None:
        """A pass writes the lease between two steps of intake, or just before its first and after its last."""
        world = World()
        world.add(age_s=OLD_S, **LATE)
        lambdas = Lambdas(world)
        steps: list[Callable[[], None]] = []

        class OfIntake(Leases):
            def is_live(self, shard: int, now_ms: int) -> bool:
                live = super().is_live(shard, now_ms)
                if between == "is_live":
                    write_now()
                return live

            def begin_start(self, shard: int, starter: str, now_ms: int) -> bool:
                begun = super().begin_start(shard, starter, now_ms)
                if between == "begin_start":
                    write_now()
                return begun

        class OfPass(Leases):
            def give_up(self, *args: Any) -> bool:
                return self._with_intake("give_up", super().give_up, *args)

            def note_start(self, *args: Any) -> bool:
                return self._with_intake("note_start", super().note_start, *args)

            def _with_intake(self, name: str, call: Callable[..., bool], shard: int, *args: Any) -> bool:
                given: list[bool] = []
                steps.append(lambda: given.append(call(shard, *args)))
                if name == write and not put_at:
                    put_at.append(world.seconds())
                    if moment == "after":
                        write_now()
                    world.add("new")
                    if between == "item":
                        write_now()
                    intake.wake_poller(shard)
                write_now()
                return given[0]

        def write_now() -> None:
            while steps:
                steps.pop()()

        put_at: list[float] = []
        intake = intake_of(world, lambdas, OfIntake(world.dynamodb, "PollerLeasesTable"))
        schedule = Schedule(world, OfPass(world.dynamodb, "PollerLeasesTable"))
        schedule.hold() if write == "give_up" else schedule.rest()
        schedule.run(1, world.later(BRIEF_S, lambda: asyncio.gather(*lambdas.started)))
        assert world.times_of("new")[0] <= put_at[0] + 2 * TICK_S
