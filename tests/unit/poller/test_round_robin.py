from dataclasses import dataclass, field

from tests.support.tasks import pending

from poller.scheduler import RoundRobin, ScheduledTask
from tunehook.aws.leases import Position
from tunehook.tasks import TaskKey

# As documented, and not imported: a bound that moves is to be noticed.
BEHIND_FROM_MS = 12_000


@dataclass
class Shard:
    round_robin: RoundRobin = field(default_factory=RoundRobin)
    tasks: list[ScheduledTask] = field(
        default_factory=lambda: [
            ScheduledTask(pending(TaskKey(f"t{number}", "gw"), since_ms=number), 0) for number in range(4)
        ]
    )

    def order(self) -> list[str]:
        ordered = sorted(self.tasks, key=lambda each: self.round_robin.order("gw", each))
        return [each.task.key.task_id for each in ordered]


def test_a_provider_is_behind_once_a_task_has_waited_longer_than_a_question_takes() -> None:
    round_robin = RoundRobin()
    round_robin.observe({"gw": BEHIND_FROM_MS - 1}, [])
    assert not round_robin.is_behind("gw")
    round_robin.observe({"gw": BEHIND_FROM_MS}, [])
    assert round_robin.is_behind("gw")


def test_it_is_so_until_all_were_asked_and_nobody_waits() -> None:
    round_robin = RoundRobin()
    round_robin.resume({"gw": Position(0, "")})
    round_robin.observe({}, ["gw"])
    assert round_robin.is_behind("gw")
    round_robin.observe({"gw": BEHIND_FROM_MS - 1}, [])
    assert not round_robin.is_behind("gw")


def test_one_that_was_never_behind_is_not_behind_for_tasks_that_were_not_asked_yet() -> None:
    round_robin = RoundRobin()
    round_robin.observe({}, ["gw"])
    assert not round_robin.is_behind("gw")


def test_the_round_goes_on_where_the_pass_before_stopped() -> None:
    shard = Shard()
    shard.round_robin.resume({"gw": Position(2, "t2")})
    assert shard.order() == ["t2", "t3", "t0", "t1"]


def test_the_least_recently_asked_goes_first() -> None:
    shard = Shard()
    shard.round_robin.resume({"gw": Position(2, "t2")})
    for number, polled_at_ms in ((2, 20), (3, 30), (0, 10)):
        shard.tasks[number].polled_at_ms = polled_at_ms
    assert shard.order() == ["t1", "t0", "t2", "t3"]


def test_the_next_pass_begins_with_the_one_whose_turn_it_is() -> None:
    shard = Shard()
    shard.round_robin.resume({"gw": Position(2, "t2"), "other": Position(0, "x")})
    shard.tasks[2].polled_at_ms = 20
    assert shard.round_robin.positions(shard.tasks) == {"gw": Position(3, "t3")}


def test_nothing_is_noted_of_a_provider_that_keeps_up() -> None:
    assert Shard().round_robin.positions(Shard().tasks) == {}


def test_a_task_that_has_ended_meanwhile_ends_no_round() -> None:
    shard = Shard()
    shard.round_robin.resume({"gw": Position(2, "t2")})
    del shard.tasks[2]
    assert shard.order() == ["t3", "t0", "t1"]


def test_one_that_falls_behind_begins_its_round_with_the_first_task_of_all() -> None:
    round_robin = RoundRobin()
    round_robin.observe({"gw": BEHIND_FROM_MS}, [])
    first = ScheduledTask(pending(TaskKey("A", "gw"), since_ms=0), 0)
    assert round_robin.order("gw", first)[1] is False
