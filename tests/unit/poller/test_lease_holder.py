"""One poller takes the lease over from another: nobody is left out, and few are asked twice."""

import itertools

import pytest
from tests.unit.poller.world import COMPLETED, World

from poller.poll_loop import StopReason
from tunehook.aws.leases import LEASE_MS, RENEW_EVERY_MS, Leases

pytestmark = pytest.mark.usefixtures("aws")

SECOND_MS = 1_000


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
