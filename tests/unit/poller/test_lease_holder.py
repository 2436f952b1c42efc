"""One poller takes the lease over from another: nobody is left out, and few are asked twice."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.patience import HANG_S
from tests.support.tasks import NOW_MS
from tests.support.virtual import HANGING, Clock
from tests.unit.poller.world import COMPLETED, World

from poller.background import BackgroundTasks
from poller.lease_holder import LeaseHolder
from poller.poll_loop import StopReason
from tunehook.aws.leases import LEASE_MS, RENEW_EVERY_MS, Handover, Leases, Position

pytestmark = pytest.mark.usefixtures("aws")

SECOND_MS = 1_000
POSITIONS = {"gw": Position(1, "task-1")}

# As documented, and not imported: a bound that moves is to be noticed.
MISSED_AFTER_MS = 90_000


class TestHandover:
    def test_a_pass_that_was_taken_over_stops_within_its_renewal(self) -> None:
        world = World()
        world.add()
        ends: list[float] = []

        async def first() -> StopReason:
            reason = await world.shard_pass("a").run(take_over=True)
            ends.append(world.seconds())
            return reason

        (reason, _) = world.run_together(
            first(), world.later(30, lambda: world.shard_pass("b", lasts_s=20).run(take_over=True))
        )
        assert reason is StopReason.TAKEN_OVER
        assert ends[0] <= 30 + RENEW_EVERY_MS / 1000 + 2

    def test_a_handover_leaves_no_gap_and_does_not_ask_all_again(self) -> None:
        world = World()
        world.add(age_s=60)
        world.run_together(
            world.shard_pass("a").run(take_over=True),
            world.later(33, lambda: world.shard_pass("b", lasts_s=27).run(take_over=True)),
        )
        asked = world.times_of()
        assert asked[0] == 0
        assert sorted(set(asked[1:])) == list(range(5, 61, 5))
        # Both may ask what falls due before the first one misses its lease.
        assert len(asked) - len(set(asked)) <= 2

    def test_a_task_that_came_just_before_a_handover_is_asked_at_once(self) -> None:
        world = World()
        world.leases.take_over(0, "someone", world.clock() - SECOND_MS)
        world.add("old", age_s=60.5)
        world.add("new", age_s=3)
        world.run(lasts_s=3)
        assert world.times_of("new") == [0]
        assert 0 not in world.times_of("old")

    def test_a_round_goes_on_with_the_task_at_which_the_poller_before_stopped(self) -> None:
        world = World()
        world.entry = {"requests_per_second": 1}
        for number in range(20):
            world.add(f"task-{number:02}", age_s=300 - number)
        stopped_at = Position(world.item("task-12")["since_ms"], "task-12")
        world.leases.take_over(0, "before", world.clock() - SECOND_MS)
        world.leases.save_positions(0, "before", {"gw": stopped_at})
        world.run(lasts_s=12)
        assert [each for _, each in world.asked][:8] == [f"task-{number}" for number in range(12, 20)]

    def test_after_a_poller_that_was_killed_all_are_asked_at_once(self) -> None:
        world = World()
        world.leases.take_over(0, "killed", world.clock() - LEASE_MS)
        world.add("old", age_s=300)
        world.run(lasts_s=3)
        assert world.times_of("old") == [0]

    def test_two_pollers_at_the_same_time_emit_each_event_once(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        for number in range(5):
            world.add(f"task-{number}")
        world.run_together(
            world.shard_pass("a").run(take_over=True), world.shard_pass("b").run(take_over=True)
        )
        assert sorted(world.emitted()) == [("TaskCompleted", f"task-{number}") for number in range(5)]


class TestRenewal:
    def test_a_lease_is_renewed_every_4_to_5_s(self) -> None:
        world = World()
        world.add()
        renewed_at_s: list[float] = []

        class Noting(Leases):
            def renew(self, shard: int, owner: str, now_ms: int) -> bool:
                renewed_at_s.append(world.seconds())
                return super().renew(shard, owner, now_ms)

        world.run(lasts_s=40, leases=Noting(world.dynamodb, "PollerLeasesTable"))
        assert len(renewed_at_s) >= 8
        steps = [later - earlier for earlier, later in itertools.pairwise(renewed_at_s)]
        assert min(steps) >= 4
        assert max(steps) <= 5

    def test_it_is_due_when_that_time_is_over_and_no_earlier(self) -> None:
        renewed_at_ms: list[int] = []
        now_ms = [NOW_MS]

        class Renewing:
            def renew(self, shard: int, owner: str, at_ms: int) -> bool:
                renewed_at_ms.append(at_ms - NOW_MS)
                return True

        leases: Any = Renewing()
        holder = LeaseHolder(0, "a", leases, None, lambda: now_ms[0])

        async def course() -> None:
            for after_ms in (0, RENEW_EVERY_MS - 1, 1, RENEW_EVERY_MS - 1, 1):
                now_ms[0] += after_ms
                holder.renew_when_due()
                await holder.renewals.wait(HANG_S)

        asyncio.run(course())
        assert renewed_at_ms == [0, RENEW_EVERY_MS, 2 * RENEW_EVERY_MS]

    def test_while_one_hangs_no_other_is_begun(self) -> None:
        clock = Clock(NOW_MS, lambda *_: HANGING)
        leases: Any = SimpleNamespace(renew=lambda *_: True)
        holder = LeaseHolder(0, "a", leases, None, clock)

        async def course() -> list[int]:
            running = []
            for _ in range(2):
                await asyncio.sleep(RENEW_EVERY_MS / 1000)
                holder.renew_when_due()
                running.append(len(holder.renewals))
            return running

        assert clock.run(course()) == [1, 1]


class TestHandedOver:
    def holder(self, until_ms: int) -> tuple[LeaseHolder, Clock]:
        clock = Clock(NOW_MS)
        leases: Any = SimpleNamespace(
            take_over=lambda *_: False,
            take_if_free=lambda *_: True,
            handover=lambda _: Handover(until_ms, POSITIONS),
        )
        return LeaseHolder(0, "a", leases, None, clock), clock

    @pytest.mark.parametrize(
        ("take_over", "ago_ms", "is_on_schedule"),
        [(True, MISSED_AFTER_MS, True), (True, MISSED_AFTER_MS + 1, False), (False, 0, False)],
    )
    def test_a_pass_is_on_schedule_if_no_start_was_missed_before_it(
        self, take_over: bool, ago_ms: int, is_on_schedule: bool
    ) -> None:
        holder, clock = self.holder(NOW_MS - ago_ms)

        async def begin() -> dict[str, Position] | None:
            assert await holder.take(take_over=take_over)
            return await holder.read_positions(take_over=take_over)

        assert clock.run(begin()) == POSITIONS
        assert holder.is_on_schedule is is_on_schedule

    def test_what_the_poller_before_has_left_is_waited_for_two_seconds(self) -> None:
        holder, clock = self.holder(NOW_MS)
        clock.threads = lambda *_: HANGING
        assert clock.run(holder.read_positions(take_over=True)) is None
        assert clock() == NOW_MS + 2_000
        assert not holder.is_on_schedule


class TestPositions:
    class Saved:
        """Stands for the leases, and keeps what is saved."""

        def __init__(self) -> None:
            self.positions: list[dict[str, Position]] = []

        def save_positions(self, shard: int, owner: str, positions: dict[str, Position]) -> None:
            self.positions.append(positions)

    def test_they_are_saved_every_4_s_where_they_have_changed(self) -> None:
        saved: Any = self.Saved()
        now_ms = [NOW_MS]
        holder = LeaseHolder(0, "a", saved, None, lambda: now_ms[0])
        first, second = {"gw": Position(1, "task-1")}, {"gw": Position(2, "task-2")}

        async def save(positions: dict[str, Position], after_ms: int) -> int:
            now_ms[0] += after_ms
            writes = BackgroundTasks()
            holder.save_positions_when_due(lambda: positions, writes)
            await writes.wait(HANG_S)
            return len(saved.positions)

        async def course() -> list[int]:
            return [
                await save({}, 0),  # none are stored, and there are none
                await save(first, RENEW_EVERY_MS - 1),
                await save(first, 1),
                await save(first, RENEW_EVERY_MS),
                await save(second, RENEW_EVERY_MS - 1),
                await save(second, 1),
            ]

        assert asyncio.run(course()) == [0, 0, 1, 1, 1, 2]
        assert saved.positions == [first, second]
