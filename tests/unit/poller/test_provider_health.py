"""What one pass leaves to the next about its providers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items
from tests.support.gateways import PlayedTransport
from tests.support.tasks import NOW_MS
from tests.unit.poller.test_waiting import LOST_WORDS, REFUSED_WORDS, refused, throttled
from tests.unit.poller.world import COMPLETED, PROCESSING, World

from poller.metrics import Metrics
from poller.poll_loop import StopReason
from poller.provider_health import ProviderHealth, ProviderHealthStore
from tunehook.aws.provider_states import ProviderStates

pytestmark = pytest.mark.usefixtures("aws")


class Counted(Metrics):
    """Remembers which keys it is told to count."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def polled(self, provider: str, outcome: str) -> None:
        self.told.append(outcome)

    def no_longer_accepted(self, provider: str) -> None:
        self.told.append(f"{provider}: no longer accepted")

    def paused(self, provider: str, reason: str) -> None:
        self.told.append(f"paused: {reason}")


def with_faults(world: World, **faults: list[Exception | None]) -> Faulty:
    """Let calls of the table of states fail."""
    faulty = Faulty(client("dynamodb"), **faults)
    world.states = ProviderStates(faulty, "ProviderStatesTable")
    return faulty


class TestKeys:
    def test_a_key_that_was_accepted_is_known(self) -> None:
        world = World()
        world.add()
        world.run(lasts_s=10)
        assert len(world.state().accepted_key or "") == 32
        assert world.api_key not in str(items("ProviderStatesTable"))

    def test_a_key_that_never_was_is_refused(self) -> None:
        world = World(gw=lambda _: refused())
        world.add()
        figures = Counted()
        world.run(lasts_s=10, metrics=figures)
        assert world.item()["last_error"] == REFUSED_WORDS
        assert figures.told == ["unauthorised", "paused: unauthorised"]

    def test_one_that_was_accepted_in_this_pass_is_no_longer(self) -> None:
        world = World(gw=lambda _: PROCESSING if world.seconds() < 30 else refused())
        world.add(age_s=30)
        figures = Counted()
        world.run(lasts_s=50, metrics=figures)
        assert world.item()["last_error"] == LOST_WORDS
        assert figures.told.count("gw: no longer accepted") == figures.told.count("unauthorised") >= 1

    def test_one_that_was_accepted_in_an_earlier_pass_is_no_longer(self) -> None:
        world = World(gw=lambda _: PROCESSING if world.seconds() < 30 else refused())
        world.add(age_s=30)
        world.run(lasts_s=20)
        world.clock.run(world.later(30, lambda: None))
        world.run(owner="b", lasts_s=30)
        assert world.item()["last_error"] == LOST_WORDS

    def test_another_key_that_is_refused_never_was(self) -> None:
        world = World(gw=lambda _: PROCESSING if world.seconds() < 30 else refused())
        world.add(age_s=30)
        world.run(lasts_s=20)
        world.api_key = "sk-another-one"
        world.clock.run(world.later(30, lambda: None))
        world.run(owner="b", lasts_s=30)
        assert world.item()["last_error"] == REFUSED_WORDS

    def test_the_refusal_is_kept_with_its_moment_and_its_words(self) -> None:
        world = World(gw=lambda _: refused())
        world.add()
        world.run(lasts_s=100)
        refusal = world.state().refusal
        assert refusal is not None
        assert (refusal.reason, refusal.since_ms) == ("key", NOW_MS)
        assert "Invalid token" in refusal.words

    def test_a_new_pass_asks_at_once_whether_the_key_is_accepted_by_now(self) -> None:
        world = World(gw=lambda _: refused() if world.seconds() < 100 else PROCESSING)
        world.add(age_s=30)
        world.run(lasts_s=20)
        world.clock.run(world.later(600, lambda: None))
        began_s = round(world.seconds())
        world.run(owner="b", lasts_s=30)
        assert round(next(at_s for at_s in world.times_of() if at_s >= began_s)) == began_s
        assert world.state().refusal is None

    def test_it_is_forgotten_with_the_next_answer(self) -> None:
        world = World(gw=lambda _: refused() if world.seconds() < 100 else PROCESSING)
        world.add(age_s=30)
        world.run(lasts_s=80)
        assert world.state().refusal is not None
        world.run(owner="b", lasts_s=80)
        assert world.state().refusal is None
        assert "last_error" not in world.item()

    def test_a_refusal_about_one_task_among_answers_is_none_of_the_key(self) -> None:
        world = World(gw=lambda task_id: refused() if task_id == "odd" else PROCESSING)
        for task_id in ("fine", "odd", "too"):
            world.add(task_id, age_s=60)
        world.run(lasts_s=40)
        assert world.state().refusal is None
        assert "last_error" not in world.item("fine")
        assert world.item("odd")["last_error"] == LOST_WORDS

    def test_a_submission_counts_as_acceptance(self) -> None:
        world = World(gw=lambda _: refused())
        world.add()
        world.run(lasts_s=1)
        refusal = world.state().refusal
        assert refusal is not None
        world.states.accept("gw", refusal.key)
        world.run(owner="b", lasts_s=100)
        assert world.item()["last_error"] == LOST_WORDS


class TestPauses:
    def test_a_new_pass_goes_on_with_a_pause(self) -> None:
        world = World(
            gw=lambda _: throttled(**{"retry-after": "100"}) if world.seconds() < 50 else PROCESSING
        )
        world.add(age_s=60)
        world.run(lasts_s=20)
        world.run(owner="b", lasts_s=100)
        assert [round(at_s) for at_s in world.times_of()][:2] == [0, 100]

    def test_it_is_counted_once(self) -> None:
        world = World(gw=lambda _: throttled(**{"retry-after": "100"}))
        world.add(age_s=60)
        world.run(lasts_s=20)
        figures = Counted()
        world.run(owner="b", lasts_s=50, metrics=figures)
        assert figures.told == []

    def test_its_reason_is_told_by_the_new_pass(self) -> None:
        world = World(gw=lambda _: throttled(**{"retry-after": "290"}))
        world.add("first", age_s=60)
        world.run(lasts_s=20)
        world.add("later")
        world.run(owner="b", lasts_s=10)
        assert "the provider throttles" in world.item("later")["last_error"]

    def test_a_new_pass_asks_one_question_with_a_key_that_was_refused(self) -> None:
        asked: list[float] = []

        async def refuse(request: httpx.Request) -> httpx.Response:
            asked.append(world.seconds())
            await world.later(0.2, lambda: None)
            return refused()

        world = World()
        world._http = PlayedTransport(refuse)
        for number in range(50):
            world.add(f"task-{number}", age_s=60)
        world.run(lasts_s=20)
        before = len(asked)
        world.run(owner="b", lasts_s=100)
        assert 1 <= len(asked) - before <= 2

    def test_another_key_is_asked_with_at_once(self) -> None:
        world = World(
            gw=lambda _: throttled(**{"retry-after": "290"}) if world.seconds() < 15 else PROCESSING
        )
        world.add(age_s=60)
        world.run(lasts_s=20)
        world.api_key = "sk-another-one"
        began_s = world.seconds()
        world.run(owner="b", lasts_s=20)
        assert min(at_s for at_s in world.times_of() if at_s >= began_s) - began_s <= 5

    def test_a_short_pause_is_not_worth_a_write(self) -> None:
        world = World(gw=lambda _: throttled() if world.seconds() < 1 else PROCESSING)
        world.add(age_s=60)
        world.run(lasts_s=20)
        assert world.state().pause is None


class TestWrites:
    def writes(self, dynamodb: Faulty) -> int:
        return [name for name, _ in dynamodb.calls].count("update_item")

    def test_it_is_read_once_a_pass_and_written_on_change_only(self) -> None:
        world = World()
        world.add("one", age_s=60)
        world.add("two")
        dynamodb = with_faults(world)
        world.run(lasts_s=60)
        assert [name for name, _ in dynamodb.calls] == ["batch_get_item", "update_item"]
        world.run(owner="b", lasts_s=60)
        assert [name for name, _ in dynamodb.calls][2:] == ["batch_get_item"]

    def test_a_name_that_comes_during_a_pass_is_read_then(self) -> None:
        world = World(gw=lambda _: PROCESSING, other=lambda _: PROCESSING)
        world.add("one")
        dynamodb = with_faults(world)
        world.run_together(
            world.shard_pass(lasts_s=20).run(take_over=True),
            world.later(5, lambda: world.add("two", provider="other")),
        )
        reads = [call["RequestItems"] for name, call in dynamodb.calls if name == "batch_get_item"]
        keys = [[key["provider"]["S"] for key in each["ProviderStatesTable"]["Keys"]] for each in reads]
        assert keys == [["gw"], ["other"]]

    def test_with_nothing_pending_it_is_not_touched(self) -> None:
        world = World()
        dynamodb = with_faults(world)
        assert world.run() is StopReason.NOTHING_PENDING
        assert dynamodb.calls == []

    def test_a_provider_that_changes_all_the_time_is_written_at_most_every_5_s(self) -> None:
        world = World(gw=lambda _: refused() if int(world.seconds() / 61) % 2 else PROCESSING)
        world.add(age_s=60)
        dynamodb = with_faults(world)
        world.run(lasts_s=300)
        assert self.writes(dynamodb) <= 12

    def test_a_key_that_stays_refused_is_written_with_each_of_its_pauses_and_its_alert(self) -> None:
        world = World(gw=lambda _: refused())
        for number in range(20):
            world.add(f"task-{number}")
        dynamodb = with_faults(world)
        world.run(lasts_s=100)
        # An alert is begun, and then told.
        assert self.writes(dynamodb) <= 3 + 2


class TestFaults:
    def test_what_cannot_be_read_keeps_nobody_from_being_asked(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        with_faults(world, batch_get_item=[fault(operation="BatchGetItem")])
        assert world.run() is StopReason.NOTHING_PENDING
        assert world.item()["status"] == "completed"
        assert "provider_states_not_read" in caplog.text

    def test_what_cannot_be_written_is_written_later(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        world.add(age_s=60)
        with_faults(world, update_item=[fault()])
        world.run(lasts_s=20)
        assert world.state().accepted_key is not None
        assert "provider_state_not_saved" in caplog.text

    def test_it_is_written_at_the_end_of_a_pass(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add()
        world.run()
        assert world.state().accepted_key is not None

    def test_an_item_that_makes_no_sense_is_as_none(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        client("dynamodb").put_item(
            TableName="ProviderStatesTable", Item={"provider": {"S": "gw"}, "pause": {"S": "for ever"}}
        )
        world.add()
        world.run()
        assert world.item()["status"] == "completed"


class TestRhythm:
    """A gateway of the kind suno that refreshes its own database every 15 s."""

    entry = {"kind": "suno", "batch": True}  # noqa: RUF012

    def world(self, **fields: Any) -> World:
        world = World()
        world.entry = self.entry | fields

        def task(task_id: str) -> dict[str, Any]:
            polled_s = (world.seconds() - 4) // 15 * 15 + 4
            return {
                "task_id": task_id,
                "status": "IN_PROGRESS",
                "submit_time": NOW_MS // 1000 - 60,
                "updated_at": NOW_MS // 1000 + int(polled_s),
            }

        async def answer(request: httpx.Request) -> httpx.Response:
            if request.method == "GET":
                task_id = request.url.path.rsplit("/", 1)[-1]
                world.asked.append((world.seconds(), task_id))
                return httpx.Response(200, json={"code": "success", "data": task(task_id)})
            ids = json.loads(request.content)["ids"]
            world.asked += [(world.seconds(), task_id) for task_id in ids]
            return httpx.Response(200, json={"code": "success", "data": [task(each) for each in ids]})

        world._http = PlayedTransport(answer)
        return world

    def test_without_a_rhythm_a_task_is_asked_every_5_s(self) -> None:
        world = self.world()
        world.add("one")
        world.add("two")
        world.run(lasts_s=20)
        assert world.times_of("one") == [0, 5, 10, 15, 20]

    def test_without_query_many_every_10_s(self) -> None:
        world = self.world(batch=False)
        world.add("one")
        world.add("two")
        world.run(lasts_s=30)
        assert world.times_of("one") == [0, 10, 20, 30]

    def test_once_its_rhythm_is_known_a_gateway_is_asked_just_after_it_has_refreshed(self) -> None:
        world = self.world()
        world.add("one")
        world.add("two")
        world.run(lasts_s=100)
        late = [at_s for at_s in world.times_of("one") if at_s > 50]
        assert len(late) == 4
        assert all((at_s - 4) % 15 <= 2.5 for at_s in late)

    def test_the_next_pass_knows_it(self) -> None:
        world = self.world()
        world.add("one")
        world.add("two")
        world.run(lasts_s=100)
        assert world.state().refresh_every_ms == pytest.approx(15_000, abs=200)
        world.run(owner="b", lasts_s=60)
        assert len([at_s for at_s in world.times_of("one") if at_s > 117]) <= 6


def test_what_is_not_due_yet_is_written_at_the_end_of_a_pass_alone() -> None:
    world = World()
    world.add()
    asked_for: list[bool] = []

    class Noting(ProviderHealthStore):
        def unsaved(self, *, is_last: bool) -> list[ProviderHealth]:
            asked_for.append(is_last)
            return ProviderHealthStore.unsaved(self, is_last=is_last)

    world.run(lasts_s=10, health=Noting(world.states, world.clock))
    assert len(asked_for) > 5
    assert asked_for == [False] * (len(asked_for) - 1) + [True]
