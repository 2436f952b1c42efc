"""Tasks that nobody could ask about: they wait beyond their deadlines, end by the first answer, and say why."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.support.aws import Faulty, client, fault, items
from tests.support.gateways import PlayedTransport
from tests.support.tasks import NOW_MS
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, Answer, World

from poller.decision import GIVE_UP_AFTER_MS
from poller.poll_loop import StopReason

pytestmark = pytest.mark.usefixtures("aws")

# As documented, and not imported: a bound that moves is to be noticed.
TOLD_A_SECOND = 100

HOUR_S = 3_600
PAST: dict[str, Any] = {"age_s": 2 * HOUR_S, "deadline_ms": NOW_MS - HOUR_S * 1000}
"""A task whose deadline passed an hour ago."""

REFUSED_WORDS = "the provider refuses the key: HTTP 401: Invalid token"
LOST_WORDS = "the provider no longer accepts the key (used up, expired or revoked): HTTP 401: Invalid token"


def refused(status: int = 401, message: str = "Invalid token") -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, "type": "new_api_error", "code": ""}})


def throttled(**headers: str) -> httpx.Response:
    return httpx.Response(429, json={"error": {"message": "slow down"}}, headers=headers)


def broken(_: str = "") -> httpx.Response:
    return httpx.Response(502, text="<html><title>502 Bad Gateway</title></html>")


def given_up(after_ms: int = 20_000) -> dict[str, Any]:
    """A task that has waited nearly long enough."""
    deadline_ms = NOW_MS - GIVE_UP_AFTER_MS + after_ms
    return {"age_s": (NOW_MS - deadline_ms) / 1000 + HOUR_S, "deadline_ms": deadline_ms}


class TestOverdue:
    @pytest.mark.parametrize(
        ("answer", "status", "code"),
        [
            (COMPLETED, "completed", None),
            (FAILED, "failed", "provider_failed"),
            (PROCESSING, "failed", "timed_out"),
        ],
    )
    def test_it_ends_by_its_first_answer(self, answer: Answer, status: str, code: str | None) -> None:
        world = World(gw=lambda _: answer)
        world.add(**PAST)
        assert world.run() is StopReason.NOTHING_PENDING
        assert (world.item()["status"], world.item().get("failure", {}).get("code")) == (status, code)
        assert world.times_of() == [0]

    def test_it_is_asked_before_all_others(self) -> None:
        world = World()
        world.entry = {"max_concurrency": 1}
        for number in range(5):
            world.add(f"new-{number}")
        world.add("overdue", **PAST)
        world.run(lasts_s=3)
        assert world.asked[0][1] == "overdue"

    def test_one_that_is_queued_when_it_falls_overdue_goes_first_once_it_has_waited_12_s(self) -> None:
        async def answer(_: str) -> dict[str, Any]:
            await asyncio.sleep(5)
            return PROCESSING

        world = World(gw=answer)
        world.entry = {"max_concurrency": 1}
        for number in range(7):
            world.add(f"task-{number}", age_s=0.007 - number / 1000)
        world.add("late", deadline_ms=NOW_MS + 3_000)
        world.run(lasts_s=40)
        assert world.times_of("late")[0] == 15

    def test_a_new_pass_asks_it_at_once(self) -> None:
        world = World(gw=broken)
        world.add(**PAST)
        world.run_together(
            world.shard_pass("a").run(take_over=True),
            world.later(7, lambda: world.shard_pass("b", lasts_s=3).run(take_over=True)),
        )
        assert 7 in world.times_of()

    def test_one_that_is_not_found_goes_by_its_own_rule(self) -> None:
        missing = httpx.Response(404, json={"code": 4004, "message": "task not found", "request_id": "r"})
        world = World(gw=lambda _: missing)
        world.add(**PAST)
        world.run(lasts_s=200)
        assert world.item()["failure"]["code"] == "not_found"
        assert "task not found" in world.item()["failure"]["reason"]


class TestUnasked:
    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (refused, REFUSED_WORDS),
            (throttled, "the provider throttles: HTTP 429"),
            (broken, "HTTP 502"),
        ],
    )
    def test_it_waits_on_and_ends_after_24_hours_in_the_words_of_who_stood_in_the_way(
        self, answer: Any, words: str
    ) -> None:
        world = World(gw=lambda _: answer())
        world.add("young", **PAST)
        world.add("old", **given_up())
        world.run(lasts_s=90)
        assert world.item("young")["status"] == "pending"
        assert world.item("old")["failure"]["code"] == "timed_out"
        reason = world.item("old")["failure"]["reason"]
        assert reason.startswith("not ended within 3600 s; could not be asked after that (since 2027-01-15T")
        assert words in reason

    def test_one_of_a_provider_that_is_not_configured_does_too(self) -> None:
        world = World()
        world.add("young", provider="unknown", **PAST)
        world.add("old", provider="unknown", **given_up())
        world.run(lasts_s=60)
        assert world.item("young")["status"] == "pending"
        assert world.item("old")["failure"]["reason"].endswith(": the provider unknown is not configured")

    def test_one_whose_providers_entry_is_unacceptable_names_the_field(self) -> None:
        world = World()
        world.entry = {"base_url": "nowhere"}
        world.add("young", **PAST)
        world.add("old", **given_up())
        world.run(lasts_s=60)
        expected = "the provider gw cannot be used: providers.gw.base_url: is not an http(s) URL"
        assert world.item("young")["last_error"] == expected
        assert world.item("old")["failure"]["reason"].endswith(expected)

    def test_one_whose_configuration_cannot_be_read_does_too(self) -> None:
        world = World()
        world.add("young", **PAST)
        world.add("old", **given_up())

        def unreadable() -> str:
            raise fault("AccessDeniedException", "GetSecretValue")

        world.secret = unreadable  # type: ignore[method-assign]
        world.run(lasts_s=60)
        assert world.item("young")["status"] == "pending"
        assert world.item("old")["failure"]["reason"] == (
            "not ended within 3600 s; could not be asked after that: "
            "the configuration of the providers cannot be read: AccessDeniedException"
        )

    def test_one_that_never_gets_its_turn_does_too(self) -> None:
        world = World()
        world.entry = {"requests_per_second": 0.01}
        for number in range(4):
            world.add(f"old-{number}", **given_up())
        world.run(lasts_s=90)
        reasons = [item["failure"]["reason"] for item in items("TasksTable") if "failure" in item]
        assert len(reasons) == 4
        assert (
            sum(each.endswith("it waits for its turn (requests_per_second is 0.01)") for each in reasons) >= 2
        )

    def test_a_poller_that_was_away_for_days_asks_first(self) -> None:
        world = World(gw=lambda _: COMPLETED)
        world.add(age_s=100 * HOUR_S, deadline_ms=NOW_MS - 99 * HOUR_S * 1000)
        world.run()
        assert world.item()["status"] == "completed"

    def test_after_the_refusal_an_overdue_task_ends_by_its_answer(self) -> None:
        world = World(gw=lambda _: refused() if world.seconds() < 100 else COMPLETED)
        world.add(**PAST)
        world.run(lasts_s=200)
        assert world.item()["status"] == "completed"
        assert "last_error" not in world.item()

    def test_a_pause_by_a_long_retry_after_ends_nothing(self) -> None:
        world = World(gw=lambda _: throttled(**{"retry-after": "120"}) if world.seconds() < 5 else COMPLETED)
        world.add(deadline_ms=NOW_MS + 60_000)
        world.run(lasts_s=200)
        assert (world.item()["status"], len(world.asked)) == ("completed", 2)


class TestTelling:
    def errors(self, world: World) -> dict[str, str]:
        return {item["task_id"]: item["last_error"] for item in items("TasksTable") if "last_error" in item}

    def writes(self, world: World) -> int:
        return [name for name, _ in world.dynamodb.calls].count("update_item")  # type: ignore[attr-defined]

    def test_the_third_question_in_a_row_that_came_to_nothing_tells(self) -> None:
        async def answer(request: httpx.Request) -> httpx.Response:
            world.asked.append((world.seconds(), request.url.path.rsplit("/", 1)[-1]))
            if request.url.path.endswith("odd"):
                return httpx.Response(500, json={"code": 5000, "message": "row is broken"})
            return await world._answer(request)

        world = World()
        world._http = PlayedTransport(answer)
        world.add("odd", age_s=60)
        world.add("fine", age_s=60)
        world.run(lasts_s=8)
        assert self.errors(world) == {}
        world.run(lasts_s=14)
        assert self.errors(world) == {"odd": "HTTP 500: 5000 row is broken"}

    def test_it_is_written_once_and_taken_back_by_the_next_answer(self) -> None:
        world = World(gw=lambda _: broken() if world.seconds() < 70 else PROCESSING)
        world.add(age_s=60, phase="processing")
        world.dynamodb = Faulty(client("dynamodb"))
        world.run(lasts_s=65)
        assert "HTTP 502" in world.item()["last_error"]
        assert self.writes(world) == 1
        world.run(lasts_s=100)
        assert not {"last_error", "trouble"} & world.item().keys()

    def test_a_task_that_is_asked_seldom_is_told_by_its_third_question_across_passes(self) -> None:
        world = World(gw=lambda task_id: broken() if task_id == "odd" else PROCESSING)
        world.add("odd", age_s=1_000)
        world.add("fine", age_s=60)
        for number in range(4):
            world.run(owner=f"owner-{number}", lasts_s=45)
            if len(world.times_of("odd")) < 3:
                assert self.errors(world) == {}
        assert "HTTP 502" in self.errors(world)["odd"]

    def test_a_word_that_is_not_known_is_told(self) -> None:
        world = World(gw=lambda _: {"status": "PONDERING"})
        world.add(age_s=60)
        world.run(lasts_s=12)
        assert "'PONDERING' is not known" in world.item()["last_error"]

    def test_a_refused_key_is_told_to_all_tasks_that_are_due_at_once(self) -> None:
        world = World(gw=lambda _: refused())
        for number in range(5):
            world.add(f"task-{number}")
        world.run(lasts_s=25)
        assert self.errors(world) == {f"task-{number}": REFUSED_WORDS for number in range(5)}
        assert len(world.asked) <= 5

    @pytest.mark.parametrize(
        ("status", "message", "words"),
        [
            (402, "please pay", "no credit left: HTTP 402: please pay"),
            (403, "用户额度不足", "no credit left: HTTP 403: 用户额度不足"),
        ],
    )
    def test_an_empty_purse_is_said_plainly(self, status: int, message: str, words: str) -> None:
        world = World(gw=lambda _: refused(status, message))
        world.add()
        world.run(lasts_s=5)
        assert world.item()["last_error"] == words

    def test_a_provider_that_throttles_is_told_to_all_after_three_questions(self) -> None:
        world = World(gw=lambda _: throttled())
        world.add("one")
        world.add("two")
        world.run(lasts_s=60)
        assert set(self.errors(world)) == {"one", "two"}

    def test_a_long_pause_is_told_at_once(self) -> None:
        world = World(gw=lambda _: throttled(**{"retry-after": "120"}))
        world.add("one")
        world.run(lasts_s=25)
        assert "the provider throttles" in world.item("one")["last_error"]

    def test_a_task_that_was_told_is_asked_as_soon_as_the_pause_is_over(self) -> None:
        world = World(gw=lambda _: throttled(**{"retry-after": "85"}) if world.seconds() < 5 else PROCESSING)
        world.add(age_s=640)
        world.run(lasts_s=95)
        assert [round(at_s) for at_s in world.times_of()] == [0, 85]

    def test_another_trouble_after_an_answer_is_told_anew(self) -> None:
        def answer(_: str) -> Answer:
            if world.seconds() < 30 or world.seconds() > 60:
                return broken()
            return {"status": "PONDERING"}

        world = World(gw=answer)
        world.add(age_s=60)
        world.run(lasts_s=28)
        assert "HTTP 502" in world.item()["last_error"]
        world.run(owner="b", lasts_s=30)
        assert "PONDERING" in world.item()["last_error"]
        world.run(owner="c", lasts_s=60)
        assert "HTTP 502" in world.item()["last_error"]

    def test_in_an_outage_at_most_100_tasks_a_second_are_told(self) -> None:
        world = World(gw=lambda _: refused())
        for number in range(3 * TOLD_A_SECOND):
            world.add(f"task-{number}")
        told_at_s: list[float] = []

        class Timed(Faulty):
            def __getattr__(self, name: str) -> Any:
                if name == "update_item":
                    told_at_s.append(world.seconds())
                return super().__getattr__(name)

        world.dynamodb = Timed(client("dynamodb"))
        world.run(lasts_s=50)
        assert len(told_at_s) == 3 * TOLD_A_SECOND
        for first, last in zip(told_at_s, told_at_s[TOLD_A_SECOND:], strict=False):
            assert last - first >= 1

    def test_the_end_says_what_the_matter_was(self) -> None:
        world = World(gw=lambda _: {"status": "PONDERING"})
        world.add(age_s=60, deadline_ms=NOW_MS + 30_000)
        world.run(lasts_s=60)
        assert "; last: the provider's status 'PONDERING' is not known" in world.item()["failure"]["reason"]

    def test_no_key_is_told(self) -> None:
        world = World(gw=lambda _: refused(message=f"bad key {world.api_key}"))
        world.add(**given_up(30_000))
        world.run(lasts_s=90)
        assert world.item()["status"] == "failed"
        assert world.api_key not in json.dumps(
            [*items("TasksTable"), *items("ProviderStatesTable")], default=str
        )


class TestNewProvider:
    @pytest.mark.parametrize("offset_s", [2.2, 4.9, 9.1, 11.3, 15.1])
    def test_a_task_of_a_provider_that_was_just_set_is_asked_within_5_s(self, offset_s: float) -> None:
        world = World()
        world.add("old", provider="gw")

        def configure() -> None:
            world.gateways["new"] = lambda _: PROCESSING
            world.add("task", provider="new")

        world.run_together(world.shard_pass(lasts_s=30).run(take_over=True), world.later(offset_s, configure))
        assert world.times_of("task")[0] - offset_s <= 5
        assert "last_error" not in world.item("task")

    def test_one_that_waits_for_its_provider_is_asked_within_5_s_too(self) -> None:
        world = World()
        world.add("old", age_s=2_000, provider="new")
        world.run_together(
            world.shard_pass(lasts_s=60).run(take_over=True),
            world.later(33.3, lambda: world.gateways.update(new=lambda _: PROCESSING)),
        )
        assert world.times_of("old")[0] - 33.3 <= 6

    def test_the_configuration_is_read_at_most_once_in_5_s(self) -> None:
        world = World()
        for number in range(20):
            world.add(f"task-{number}", provider=f"unknown-{number}")
        world.run(lasts_s=60)
        assert world.secret_reads <= 14
