"""A task that nobody has put is taken in where its provider calls back about it and confirms that it exists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items
from tests.support.tasks import NOW_MS
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, Answer, World

from poller.poll_loop import StopReason
from poller.take_in import TakeIn
from tunehook.aws.callback_hints import CallbackHintsTable, Hint
from tunehook.aws.tasks import TasksTable
from tunehook.providers.outcomes import (
    Completed,
    CompletedWithoutResults,
    Failed,
    NotFound,
    Outcome,
    Pending,
    SeemsFailed,
    TaskResult,
    Throttled,
    Transient,
    Unauthorised,
)
from tunehook.tasks import TaskKey

pytestmark = pytest.mark.usefixtures("aws")

# As documented, and not imported: a bound that moves is to be noticed.
ASK_AGAIN_MS = 60 * 1000
UNCONFIGURED_MS = 10 * 60 * 1000
TAKE_IN_KEPT_MS = 24 * 3600 * 1000
QUESTIONS_A_SECOND = 5

RESULT = TaskResult(clips=(), submitted_at=None, started_at=None, finished_at=None, provider_object={})
HINT = Hint(0, TaskKey("task-1", "gw"), NOW_MS, NOW_MS)


def missing(_: str) -> Answer:
    return httpx.Response(404, json={"code": 404, "message": "task not found"})


def broken(_: str) -> Answer:
    return httpx.Response(502, text="bad gateway")


def unknown_world(answer: Answer = PROCESSING) -> World:
    world = World(gw=lambda _: answer)
    world.call_back_unknown()
    return world


def minutes(world: World, count: int) -> list[StopReason]:
    """Let the schedule start a pass each minute."""

    async def one(number: int) -> StopReason:
        await asyncio.sleep(60 * number)
        return await world.shard_pass(f"pass-{number}").run(take_over=True)

    return world.run_together(*(one(number) for number in range(count)))


def test_nothing_is_asked_within_the_minute_in_which_its_user_may_put_it() -> None:
    world = unknown_world()
    world.add("other")
    world.run(lasts_s=58)
    assert world.times_of() == []
    assert world.hinted() == ["task-1"]


@pytest.mark.parametrize("answer", [PROCESSING, COMPLETED, FAILED], ids=["pending", "completed", "failed"])
def test_what_its_provider_confirms_is_put_as_a_user_puts_it(answer: Answer) -> None:
    world = unknown_world(answer)
    minutes(world, 3)
    (asked_s,) = world.times_of()
    assert 60 <= asked_s <= 122
    assert items("TasksTable") == [{"task_id": "task-1", "provider": "gw", "taken_in": True}]
    assert world.hinted() == []


def test_a_pass_that_runs_takes_it_in_as_soon_as_its_minute_is_over() -> None:
    world = unknown_world()
    world.add("other")
    world.run(lasts_s=70)
    (asked_s,) = world.times_of()
    assert 60 <= asked_s <= 61.1


def test_a_hint_that_is_not_ripe_keeps_no_poller_awake() -> None:
    world = unknown_world()
    assert world.run() is StopReason.NOTHING_PENDING
    assert world.seconds() == 0
    assert world.hinted() == ["task-1"]


def test_what_its_provider_does_not_know_is_not_put() -> None:
    world = World(gw=missing)
    world.call_back_unknown()
    minutes(world, 4)
    assert len(world.times_of()) == 1
    assert items("TasksTable") == []
    assert world.hinted() == []


def test_a_flood_of_callbacks_about_an_unknown_task_costs_one_question_a_minute() -> None:
    world = World(gw=lambda task_id: PROCESSING if task_id == "other" else missing(task_id))
    world.add("other")
    world.run_together(
        world.shard_pass(lasts_s=280).run(take_over=True),
        *(world.later(at_s, world.call_back_unknown) for at_s in range(0, 280, 2)),
    )
    times = world.times_of()
    assert len(times) == 4
    assert all(later - earlier >= 60 for earlier, later in pairwise(times))


def test_a_flood_of_callbacks_about_unknown_tasks_costs_five_questions_a_second() -> None:
    world = World(gw=missing)
    world.add("other")
    for number in range(12):
        world.call_back_unknown(f"forged-{number}", after_s=0)
    world.run(lasts_s=20)
    times = [at_s for at_s, task_id in world.asked if task_id.startswith("forged-")]
    assert len(times) == 12
    assert all(later - earlier >= 1 for earlier, later in zip(times, times[5:], strict=False))
    assert times[4] - times[0] < 1
    assert times[-1] - times[0] == 2
    assert world.hinted() == []


def test_without_an_answer_it_is_asked_about_once_a_minute() -> None:
    world = World(gw=broken)
    world.call_back_unknown()
    minutes(world, 5)
    times = world.times_of()
    assert len(times) == 4
    assert all(later - earlier >= 60 for earlier, later in pairwise(times))
    assert items("TasksTable") == []
    assert world.hinted() == ["task-1"]


def test_where_the_table_cannot_be_written_the_hint_stays_and_the_next_question_takes_it_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = unknown_world()
    world.dynamodb = Faulty(client("dynamodb"), update_item=[fault("InternalServerError", "UpdateItem")])
    minutes(world, 4)
    assert len(world.times_of()) == 2
    assert items("TasksTable") == [{"task_id": "task-1", "provider": "gw", "taken_in": True}]
    assert world.hinted() == []
    # What AWS refuses is a warning; an error would be a bug.
    assert "ERROR" not in {record.levelname for record in caplog.records}


def test_one_that_was_put_meanwhile_is_not_taken_in() -> None:
    world = unknown_world(COMPLETED)
    world.run_together(world.later(30, world.add))
    world.run()
    assert "taken_in" not in world.item()
    assert len(world.times_of()) == 1
    assert world.hinted() == []


def test_it_can_be_switched_off() -> None:
    world = World()
    world.call_back_unknown(after_s=0)
    world.run(takes_in=False)
    assert world.asked == []
    assert world.hinted() == []


def test_a_hint_of_a_provider_that_is_not_configured_waits_and_keeps_nobody_awake() -> None:
    world = World()
    world.call_back_unknown(provider="other", after_s=0)
    assert world.run() is StopReason.NOTHING_PENDING
    assert world.asked == []
    assert world.hinted() == ["task-1"]
    (hint,) = items("CallbackHintsTable")
    assert hint["take_in_at_ms"] - hint["hinted_at_ms"] == UNCONFIGURED_MS
    assert set(minutes(world, 9)) == {StopReason.NOTHING_PENDING}
    assert items("CallbackHintsTable") == [hint]


def test_a_provider_that_is_newer_than_what_a_pass_knows_is_waited_for_seconds_and_not_minutes() -> None:
    world = World()
    world.add("known")

    def configure() -> None:
        world.gateways["newer"] = lambda _: COMPLETED
        world.call_back_unknown("unheard", "newer", after_s=0)

    world.run_together(world.shard_pass(lasts_s=20).run(take_over=True), world.later(1, configure))
    (asked_s,) = world.times_of("unheard")
    assert 1 <= asked_s <= 7
    assert world.item("unheard")["taken_in"] is True


def test_a_hint_of_a_provider_that_is_never_configured_goes_after_a_day() -> None:
    world = World()
    hints = CallbackHintsTable(client("dynamodb"), "CallbackHintsTable")
    hints.put_unknown(0, TaskKey("task-1", "other"), world.clock() - TAKE_IN_KEPT_MS, world.clock())
    world.run()
    assert world.hinted() == []


def test_only_the_pass_that_holds_the_lease_asks() -> None:
    world = World()
    world.call_back_unknown(after_s=0)
    world.leases.take_if_free(0, "another", world.clock())
    assert world.run(take_over=False) is StopReason.ALREADY_RUNNING
    assert world.asked == []


def test_two_passes_at_once_ask_once() -> None:
    world = World()
    world.call_back_unknown(after_s=0)
    world.run_together(world.shard_pass("a").run(take_over=True), world.shard_pass("b").run(take_over=True))
    assert len(world.asked) == 1


def test_a_pass_that_cannot_put_it_leaves_it_to_the_next_minute() -> None:
    world = World()
    world.call_back_unknown(after_s=0)
    dynamodb = Faulty(client("dynamodb"), update_item=[fault()])
    world.run(tasks=TasksTable(dynamodb, "TasksTable"))
    assert items("TasksTable") == []
    (hint,) = world.hints.of_shard(0)
    assert hint.take_in_at_ms is not None
    assert hint.take_in_at_ms > world.clock()


def test_a_claim_that_fails_costs_no_question() -> None:
    world = World()
    world.call_back_unknown(after_s=0)
    dynamodb = Faulty(client("dynamodb"), update_item=[fault()] * 100)
    world.run(hints=CallbackHintsTable(dynamodb, "CallbackHintsTable"), lasts_s=8)
    assert world.asked == []
    assert world.hinted() == ["task-1"]


def test_many_forged_ids_use_up_little_of_what_a_provider_lets_us_ask() -> None:
    world = World(gw=missing)
    for number in range(100):
        world.call_back_unknown(f"forged-{number}", after_s=0)
    world.add("real", age_s=30)
    world.run(lasts_s=10)
    assert len([each for _, each in world.asked if each != "real"]) <= 55
    assert world.times_of("real") == [0, 5, 10]


class Questions:
    """The neighbours of `TakeIn`: a provider that says one thing of all tasks, the tables, the clock."""

    name = "gw"

    def __init__(self, outcome: Outcome = NotFound(), *, is_configured: bool = True) -> None:  # noqa: B008
        self.outcome = outcome
        self.is_configured = is_configured
        self.read_at_ms = self.now_ms = NOW_MS
        self.is_claimable = True
        self.is_at_fault = ""
        self.claimed_until_ms: list[int] = []
        self.asked: list[str] = []
        self.counted: list[tuple[str, str]] = []
        self.taken_in: list[TaskKey] = []
        parts: Any = self
        self.take_in = TakeIn(parts, Tasks(self), parts, parts, lambda: self.now_ms)  # type: ignore[arg-type]

    def get(self, name: str) -> Any:
        assert name == "gw"
        return self if self.is_configured else None

    async def poll_many(self, task_ids: tuple[str, ...]) -> AsyncIterator[tuple[str, Outcome]]:
        self.asked += task_ids
        yield task_ids[0], self.outcome

    def polled(self, provider: str, outcome: str) -> None:
        self.counted.append((provider, outcome))

    def claim_take_in(self, hint: Hint, until_ms: int) -> Hint | None:
        if self.is_at_fault == "claim":
            raise fault()
        self.claimed_until_ms.append(until_ms)
        return hint if self.is_claimable else None

    async def ask(self, *, hinted_ago_ms: int = 0) -> bool:
        return await self.take_in.ask(replace(HINT, hinted_at_ms=self.now_ms - hinted_ago_ms))


class Tasks:
    """The Tasks table."""

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def take_in(self, key: TaskKey) -> None:
        if self._questions.is_at_fault == "put":
            raise fault()
        self._questions.taken_in.append(key)


class TestQuestions:
    @pytest.mark.parametrize(
        ("outcome", "is_taken_in", "has_done_its_work"),
        [
            (Pending(phase="processing", word="RUNNING"), True, True),
            (Pending(phase="processing", word="ODD", known=False), False, False),
            (SeemsFailed(reason="why", result=RESULT, evidence="word"), True, True),
            (Completed(result=RESULT), True, True),
            (CompletedWithoutResults(result=RESULT), True, True),
            (Failed(reason="why", result=RESULT), True, True),
            (NotFound(), False, True),
            (Throttled(), False, False),
            (Unauthorised("no"), False, False),
            (Transient("HTTP 502"), False, False),
        ],
        ids=lambda value: getattr(value, "name", None),
    )
    async def test_what_an_answer_means(
        self, outcome: Outcome, is_taken_in: bool, has_done_its_work: bool
    ) -> None:
        questions = Questions(outcome)
        assert await questions.ask() is has_done_its_work
        assert questions.taken_in == ([HINT.key] if is_taken_in else [])
        assert questions.claimed_until_ms == [NOW_MS + ASK_AGAIN_MS]
        assert questions.asked == ["task-1"]
        assert questions.counted == [("gw", outcome.name)]

    async def test_one_that_somebody_else_has_claimed_is_not_asked(self) -> None:
        questions = Questions()
        questions.is_claimable = False
        assert not await questions.ask()
        assert questions.asked == []

    @pytest.mark.parametrize("call", ["claim", "put"])
    async def test_where_aws_fails_the_hint_stays(self, call: str) -> None:
        questions = Questions(Completed(result=RESULT))
        questions.is_at_fault = call
        assert not await questions.ask()

    async def test_a_hint_waits_a_day(self) -> None:
        questions = Questions(Transient("HTTP 502"))
        assert not await questions.ask(hinted_ago_ms=TAKE_IN_KEPT_MS - 1)
        assert await questions.ask(hinted_ago_ms=TAKE_IN_KEPT_MS)
        assert questions.asked == ["task-1"]

    async def test_five_are_asked_within_a_second(self) -> None:
        questions = Questions()
        assert [await questions.ask() for _ in range(QUESTIONS_A_SECOND + 1)] == [True] * 5 + [False]
        questions.now_ms += 999
        assert not await questions.ask()
        questions.now_ms += 1
        assert await questions.ask()
        assert len(questions.asked) == QUESTIONS_A_SECOND + 1


class TestUnconfigured:
    @pytest.mark.parametrize("is_claimable", [True, False])
    async def test_its_hint_waits_ten_minutes_and_whoever_claims_it_says_so(
        self, is_claimable: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        questions = Questions(is_configured=False)
        questions.is_claimable = is_claimable
        assert not await questions.ask()
        assert questions.claimed_until_ms == [NOW_MS + UNCONFIGURED_MS]
        assert questions.asked == []
        assert ("task_not_taken_in" in caplog.text) is is_claimable

    async def test_one_that_may_be_newer_than_the_configuration_is_left_alone(self) -> None:
        questions = Questions(is_configured=False)
        questions.read_at_ms -= 1
        assert not await questions.ask()
        assert questions.claimed_until_ms == []

    async def test_where_aws_fails_the_hint_stays(self) -> None:
        questions = Questions(is_configured=False)
        questions.is_at_fault = "claim"
        assert not await questions.ask()

    async def test_five_are_made_wait_within_a_second(self) -> None:
        questions = Questions(is_configured=False)
        for _ in range(QUESTIONS_A_SECOND + 1):
            await questions.ask()
        assert len(questions.claimed_until_ms) == QUESTIONS_A_SECOND
