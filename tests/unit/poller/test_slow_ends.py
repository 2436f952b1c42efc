"""Ends that take several answers, minutes apart, and so several passes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.support.aws import BUS, Faulty, client, fault
from tests.unit.poller.world import PROCESSING, World

from poller.outbox import Outbox
from poller.poll_loop import StopReason
from tunehook.aws.bus import EventBus
from tunehook.aws.tasks import TasksTable
from tunehook.providers.outcomes import InlineFile

pytestmark = pytest.mark.usefixtures("aws")

CLIP = {"id": "clip-1"}
STREAM = {
    "status": "completed",
    "results": [CLIP | {"audio_url": "https://audiopipe.suno.ai/?item_id=clip-1"}],
}
FILE = {"status": "completed", "results": [CLIP | {"audio_url": "https://cdn.example.com/clip-1.mp3"}]}
COVER = {"status": "completed", "results": [CLIP | {"image_url": "https://cdn.example.com/clip-1.jpeg"}]}
NOTHING: dict[str, Any] = {"status": "completed", "results": []}
INLINE = {"status": "completed", "results": [CLIP | {"audio_url": "data:audio/mpeg;base64,SUQzBAAA"}]}


def passes(world: World, until_s: float, lasts_s: float = 60) -> None:
    """Let one pass follow another; after one that rests comes the next minute's."""
    number = 0
    while world.seconds() < until_s:
        number += 1
        reason = world.run(owner=f"pass-{number}", lasts_s=lasts_s)
        if reason is StopReason.NOTHING_PENDING:
            return
        if reason is StopReason.NOTHING_DUE:
            world.clock.run(asyncio.sleep(60 - world.seconds() % 60))


class TestSeemsFailed:
    def test_three_answers_in_two_passes_make_it_failed_with_its_reason(self) -> None:
        world = World(gw=lambda _: {"status": "GENERATE_MUSIC_FAILED"})
        world.add(age_s=100)
        passes(world, until_s=200, lasts_s=40)
        item = world.item()
        assert item["failure"]["code"] == "provider_failed"
        assert "GENERATE_MUSIC_FAILED" in item["failure"]["reason"].upper()
        assert world.seconds() >= 60
        assert not {"suspicion", "last_error"} & item.keys()

    def test_an_answer_between_begins_the_count_anew(self) -> None:
        def answer(_: str) -> dict[str, Any]:
            return PROCESSING if 45 < world.seconds() < 56 else {"status": "GENERATE_MUSIC_FAILED"}

        world = World(gw=answer)
        world.add(age_s=100)
        world.run(lasts_s=100)
        assert world.item()["status"] == "pending"


class TestStreaming:
    def test_a_clip_that_still_streams_is_asked_about_for_ten_minutes_more(self) -> None:
        world = World(gw=lambda _: STREAM)
        world.add(age_s=100)
        passes(world, until_s=800)
        assert world.item()["status"] == "completed"
        assert world.times_of()[-1] == pytest.approx(600, abs=2)

    def test_it_is_completed_once_its_file_is_there(self) -> None:
        world = World(gw=lambda _: STREAM if world.seconds() < 90 else FILE)
        world.add(age_s=100)
        passes(world, until_s=200)
        assert world.item()["clips"][0]["audio_url"] == "https://cdn.example.com/clip-1.mp3"
        assert world.times_of()[-1] < 110


class TestWithoutResults:
    @pytest.mark.parametrize(("answer", "status"), [(COVER, "completed"), (NOTHING, "failed")])
    def test_after_four_answers_it_is_what_it_holds(self, answer: dict[str, Any], status: str) -> None:
        world = World(gw=lambda _: answer)
        world.add(age_s=100)
        world.run(lasts_s=60)
        assert (world.item()["status"], len(world.asked)) == (status, 4)

    def test_an_answer_between_begins_the_count_anew(self) -> None:
        answers = [*[NOTHING] * 3, PROCESSING, *[NOTHING] * 3]
        world = World(gw=lambda _: answers[len(world.asked) - 1])
        world.add(age_s=100)
        world.run(lasts_s=32)
        assert (len(world.asked), world.item()["status"]) == (7, "pending")


class TestInlineFiles:
    def run(self, keep: Any) -> World:
        world = World(gw=lambda _: INLINE)
        world.add(age_s=100)
        outbox = Outbox(TasksTable(world.dynamodb, "TasksTable"), EventBus(client("events"), BUS), keep)
        world.run(lasts_s=30, outbox=outbox)
        return world

    def test_a_file_inside_the_answer_is_kept_and_stands_nowhere_else(self) -> None:
        kept: list[InlineFile] = []
        world = self.run(lambda _event_id, file: kept.append(file))
        assert [(file.clip_id, file.type, file.content[:3]) for file in kept] == [("clip-1", "audio", b"ID3")]
        assert world.item()["clips"][0]["inline"] == ["audio"]
        assert "data:" not in str(world.item())
        assert "data:" not in str(world.all_emitted())

    def test_where_it_cannot_be_kept_the_task_is_asked_again(self) -> None:
        faults: list[Exception] = [fault("SlowDown", "PutObject")]

        def keep(_event_id: str, _file: InlineFile) -> None:
            if faults:
                raise faults.pop()

        world = self.run(keep)
        assert world.item()["status"] == "completed"
        assert len(world.asked) == 2


def test_counting_costs_few_writes() -> None:
    world = World(gw=lambda _: STREAM)
    world.add(age_s=100, phase="processing")
    world.dynamodb = Faulty(client("dynamodb"))
    world.run(lasts_s=100)
    assert [name for name, _ in world.dynamodb.calls].count("update_item") == 1
