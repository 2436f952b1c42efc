"""Who is asked when: providers that are not known, hang, are slow, or raise."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.aws import Faulty, client, fault
from tests.support.tasks import NOW_MS
from tests.unit.poller.world import COMPLETED, PROCESSING, Answer, World

from tunehook.cadence import DIRECT

pytestmark = pytest.mark.usefixtures("aws")

SECOND_MS = 1_000


class TestProviders:
    def test_a_task_of_an_unknown_provider_waits_and_says_why(self) -> None:
        world = World()
        world.add(provider="unknown")
        world.run(lasts_s=30)
        assert world.item()["status"] == "pending"
        assert world.item()["last_error"] == "the provider unknown is not configured"

    def test_the_default_log_has_no_line_a_tick_for_it(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        world = World()
        world.add(provider="unknown")
        world.run(lasts_s=30)
        assert [each for each in caplog.records if each.getMessage() == "tick"] == []

    def test_a_tick_that_polls_is_a_line_of_the_default_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        world = World(gw=lambda _: PROCESSING)
        world.add("a")
        world.add("b", provider="unknown")
        world.run(lasts_s=30)
        ticks = [each for each in caplog.records if each.getMessage() == "tick"]
        assert len(ticks) == len(world.times_of("a")) > 1

    def test_it_says_so_anew_where_the_configuration_gives_another_reason(self) -> None:
        world = World()
        world.add(provider="new")
        world.dynamodb = Faulty(client("dynamodb"))
        said: list[str] = []

        async def change() -> None:
            for entry in ({"kind": "no such kind"}, {"base_url": "no url"}, {"api_key": 1}):
                await asyncio.sleep(8)
                said.append(world.item()["last_error"])
                world.entry = entry
                world.gateways["new"] = lambda _: PROCESSING
            await asyncio.sleep(8)
            said.append(world.item()["last_error"])

        world.run_together(world.shard_pass(lasts_s=34).run(take_over=True), change())
        assert said[0] == "the provider new is not configured"
        assert [words.split(":")[:2] for words in said[1:]] == [
            ["the provider new cannot be used", f" providers.new.{field}"]
            for field in ("kind", "base_url", "api_key")
        ]
        assert [name for name, _ in world.dynamodb.calls].count("update_item") == 4

    def test_that_is_written_once(self) -> None:
        world = World()
        world.add(provider="unknown")
        world.dynamodb = Faulty(client("dynamodb"))
        world.run(lasts_s=60)
        assert [name for name, _ in world.dynamodb.calls].count("update_item") == 1

    def test_a_provider_that_is_configured_later_is_asked_then(self) -> None:
        world = World(gw=lambda _: PROCESSING)
        world.add(provider="new")
        world.run_together(
            world.shard_pass(lasts_s=60).run(take_over=True),
            world.later(15, lambda: world.gateways.update(new=lambda _: PROCESSING)),
        )
        assert min(world.times_of()) <= 31
        assert "last_error" not in world.item()

    def test_a_provider_that_hangs_delays_no_other(self) -> None:
        async def hanging(_: str) -> Answer:
            await asyncio.sleep(3_600)
            return PROCESSING

        world = World(slow=hanging, gw=lambda _: PROCESSING)
        world.add("hanging", provider="slow")
        world.add("good")
        world.run(lasts_s=35)
        assert world.times_of("good") == [0, 20, 25, 30, 35]

    def test_a_slow_answer_delays_no_other_of_the_same_provider(self) -> None:
        async def answer(task_id: str) -> Answer:
            await asyncio.sleep(9 if task_id == "slow" else 0)
            return COMPLETED

        world = World(gw=answer)
        world.add("slow")
        world.add("quick")
        world.run()
        assert world.item("quick")["detected_at_ms"] == NOW_MS
        assert world.times_of("slow") == [0]
        assert world.item("slow")["detected_at_ms"] == NOW_MS + 9 * SECOND_MS

    def test_a_provider_that_raises_stops_no_other(self, caplog: pytest.LogCaptureFixture) -> None:
        class Raising:
            name = "raising"
            pace = DIRECT
            key_digest = "0" * 32
            paused_until = 0.0
            pause_reason = None
            asked = 0

            def is_paused(self) -> bool:
                return False

            async def poll_many(self, task_ids: tuple[str, ...], **options: Any) -> AsyncIterator[Any]:
                self.asked += 1
                raise RuntimeError("nobody has thought of this")
                yield

        class Directory:
            def __init__(self, real: Any) -> None:
                self._real = real

            async def refresh(self) -> bool:
                return bool(await self._real.refresh())

            def get(self, name: str) -> Any:
                return raising if name == "raising" else self._real.get(name)

        raising = Raising()
        world = World()
        world.add("bad", provider="raising")
        world.add("good")
        directory = Directory(world.shard_pass().providers)
        world.run(lasts_s=25, providers=directory)
        assert world.times_of("good") == [0, 20, 25]
        assert "unexpected_error" in caplog.text
        assert raising.asked > 1

    def test_while_the_configuration_is_not_known_nobody_is_asked_and_nothing_is_written(self) -> None:
        world = World()
        world.add()
        before = world.item()

        class Unread:
            fault = "the configuration of the providers cannot be read"

            async def refresh(self) -> bool:
                return False

            def get(self, name: str) -> None:
                return None

        world.run(lasts_s=30, providers=Unread())
        assert (world.asked, world.item()) == ([], before)


class TestBehind:
    """A provider that can be asked about one task in two seconds has twenty that are due every five."""

    def world(self) -> World:
        world = World()
        world.entry = {"requests_per_second": 0.5, "max_concurrency": 1}
        for number in range(20):
            world.add(f"task-{number:02}", age_s=100 - number)
        return world

    def test_a_new_task_waits_for_none_that_was_asked_about_before(self) -> None:
        world = self.world()
        world.run_together(
            world.shard_pass(lasts_s=80).run(take_over=True), world.later(60.5, lambda: world.add("new"))
        )
        assert world.times_of("new")[0] <= 65

    def test_nor_does_one_whose_deadline_comes(self) -> None:
        world = self.world()
        world.add("late", age_s=101, deadline_ms=NOW_MS + 60 * SECOND_MS)
        world.run(lasts_s=80)
        assert world.item("late")["failure"]["code"] == "timed_out"
        assert world.item("late")["detected_at_ms"] <= NOW_MS + 65 * SECOND_MS

    def test_nobody_is_asked_about_again_before_all_were_asked_about(self) -> None:
        world = self.world()
        world.run(lasts_s=80)
        first = [task_id for _, task_id in world.asked[:20]]
        assert len(set(first)) == 20


class TestUnreadableConfiguration:
    def test_it_costs_no_write_while_a_task_waits(self) -> None:
        world = World()
        world.add()

        def unreadable() -> str:
            raise fault("AccessDeniedException", "GetSecretValue")

        world.secret = unreadable  # type: ignore[method-assign]
        world.run(lasts_s=30)
        assert "last_error" not in world.item()
