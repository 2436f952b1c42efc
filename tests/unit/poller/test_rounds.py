from dataclasses import dataclass, field

from tests.support.tasks import pending

from poller.rounds import Rounds
from tunehook.aws.leases import Place
from tunehook.tasks import TaskKey, WorkItem

# As documented, and not imported: a bound that moves is to be noticed.
BEHIND_FROM_MS = 12_000


@dataclass
class Watched:
    task: WorkItem
    asked_at_ms: int = 0


@dataclass
class Shard:
    rounds: Rounds = field(default_factory=Rounds)
    tasks: list[Watched] = field(
        default_factory=lambda: [
            Watched(pending(TaskKey(f"t{number}", "gw"), since_ms=number)) for number in range(4)
        ]
    )

    def order(self) -> list[str]:
        ordered = sorted(self.tasks, key=lambda each: self.rounds.turn("gw", each))
        return [each.task.key.task_id for each in ordered]


def test_a_provider_is_behind_once_a_task_has_waited_longer_than_a_question_takes() -> None:
    rounds = Rounds()
    rounds.observe({"gw": BEHIND_FROM_MS - 1}, [])
    assert not rounds.is_behind("gw")
    rounds.observe({"gw": BEHIND_FROM_MS}, [])
    assert rounds.is_behind("gw")


def test_it_is_so_until_all_were_asked_and_nobody_waits() -> None:
    rounds = Rounds()
    rounds.resume({"gw": Place(0, "")})
    rounds.observe({}, ["gw"])
    assert rounds.is_behind("gw")
    rounds.observe({"gw": BEHIND_FROM_MS - 1}, [])
    assert not rounds.is_behind("gw")


def test_one_that_was_never_behind_is_not_behind_for_tasks_that_were_not_asked_yet() -> None:
    rounds = Rounds()
    rounds.observe({}, ["gw"])
    assert not rounds.is_behind("gw")


def test_the_round_goes_on_where_the_pass_before_stopped() -> None:
    shard = Shard()
    shard.rounds.resume({"gw": Place(2, "t2")})
    assert shard.order() == ["t2", "t3", "t0", "t1"]


def test_the_least_recently_asked_goes_first() -> None:
    shard = Shard()
    shard.rounds.resume({"gw": Place(2, "t2")})
    for number, asked_at_ms in ((2, 20), (3, 30), (0, 10)):
        shard.tasks[number].asked_at_ms = asked_at_ms
    assert shard.order() == ["t1", "t0", "t2", "t3"]


def test_the_next_pass_begins_with_the_one_whose_turn_it_is() -> None:
    shard = Shard()
    shard.rounds.resume({"gw": Place(2, "t2"), "other": Place(0, "x")})
    shard.tasks[2].asked_at_ms = 20
    assert shard.rounds.noted(shard.tasks) == {"gw": Place(3, "t3")}


def test_nothing_is_noted_of_a_provider_that_keeps_up() -> None:
    assert Shard().rounds.noted(Shard().tasks) == {}


def test_a_task_that_has_ended_meanwhile_ends_no_round() -> None:
    shard = Shard()
    shard.rounds.resume({"gw": Place(2, "t2")})
    del shard.tasks[2]
    assert shard.order() == ["t3", "t0", "t1"]


def test_one_that_falls_behind_begins_its_round_with_the_first_task_of_all() -> None:
    rounds = Rounds()
    rounds.observe({"gw": BEHIND_FROM_MS}, [])
    first = Watched(pending(TaskKey("A", "gw"), since_ms=0))
    assert rounds.turn("gw", first)[1] is False
