"""What passes tell of the progress of tasks: in which order, how often, to whose request, and never after the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from moto import mock_aws
from tests.support.aws import client, create_table, fault, items, put
from tests.support.tasks import KEY, NOW_MS, clip, pending
from tests.support.virtual import Course, Scripted
from tests.unit.poller.world import COMPLETED, FAILED, PROCESSING, Answer, World

from poller.poll_loop import StopReason
from poller.progress import ProgressChannel, Wanted, Wanting, _State, request_of
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.task_items import progress_on
from tunehook.fulfillment_requests import ProgressRequest
from tunehook.providers.outcomes import TaskResult
from tunehook.tasks import ProgressTold

# As documented, and not imported: a bound that moves is to be noticed.
APART_MS = 5_000
MAX_BYTES = 200_000

QUEUED: Answer = {"status": "queuing"}
STREAMING: Answer = {
    "status": "processing",
    "progress": "60%",
    "results": [{"id": "clip-1", "stream_audio_url": "https://cdn.example.com/clip-1/stream"}],
}
ENDS = (COMPLETED, FAILED)


@dataclass
class Told:
    """What a world's passes have asked to be told, each with the moment at which it was sent."""

    world: World
    requests: list[ProgressRequest] = field(default_factory=list)
    scans: int = 0
    faults: list[Exception] = field(default_factory=list)

    def send(self, request: ProgressRequest) -> None:
        if self.faults:
            raise self.faults.pop()
        self.requests.append(request)

    def channel(self) -> ProgressChannel:
        """Return the channel of another execution environment."""
        told = self

        class Counted(SubscriptionsTable):
            def naming(self, event: str) -> list[dict[str, Any]]:
                told.scans += 1
                return super().naming(event)

        table = Counted(client("dynamodb"), "SubscriptionsTable")
        return ProgressChannel(Wanted(table, self.world.clock), self.send)

    @property
    def steps(self) -> list[tuple[str, bool]]:
        """Each phase that was told, and whether a clip was told of with it."""
        return [(each.phase, bool(each.clips)) for each in self.requests]


def subscribe(**fields: Any) -> None:
    put(
        "SubscriptionsTable",
        {
            "subscription_id": "sub",
            "url": "https://hook.example.com/",
            "events": ["task.progress"],
            **fields,
        },
    )


def world_of(*answers: Answer) -> tuple[World, Told]:
    """A world whose one task is answered about in this way, the last answer for ever."""
    left = list(answers)
    world = World(gw=lambda _: left.pop(0) if len(left) > 1 else left[0])
    create_table("SubscriptionsTable")
    world.add(age_s=60)
    return world, Told(world)


@pytest.mark.usefixtures("aws")
class TestWhatIsTold:
    def test_each_phase_and_the_first_clip_in_their_order(self) -> None:
        world, told = world_of(QUEUED, QUEUED, PROCESSING, PROCESSING, STREAMING, STREAMING, COMPLETED)
        subscribe()
        world.run(progress=told.channel())
        assert told.steps == [("queued", False), ("processing", False), ("processing", True)]
        assert [each.number for each in told.requests] == [1, 2, 3]
        last = told.requests[-1]
        assert (last.progress, last.clips[0].stream_url, last.clips[0].source_url) == (
            60,
            "https://cdn.example.com/clip-1/stream",
            None,
        )
        assert '"status":"processing"' in (last.provider_object or "")

    def test_a_completed_task_that_still_streams_tells_of_its_clip(self) -> None:
        streaming = {**STREAMING, "status": "completed"}  # type: ignore[dict-item]
        world, told = world_of(PROCESSING, streaming, COMPLETED)
        subscribe()
        world.run(progress=told.channel())
        assert told.steps == [("processing", False), ("processing", True)]

    def test_nothing_where_nobody_wants_it_and_one_scan_in_15_s_at_most(self) -> None:
        world, told = world_of(QUEUED, PROCESSING, STREAMING, COMPLETED)
        subscribe(events=["task.completed"])
        world.run(progress=told.channel())
        assert told.requests == []
        assert told.scans == 1
        assert "progress_told" not in str(items("TasksTable"))

    @pytest.mark.parametrize(
        ("fields", "is_wanted"),
        [
            ({}, True),
            ({"providers": ["gw", "other"]}, True),
            ({"providers": ["other"]}, False),
            ({"enabled": False}, False),
            ({"events": ["task.completed", "task.progress"]}, True),
        ],
    )
    def test_it_depends_on_the_subscriptions(self, fields: dict[str, Any], is_wanted: bool) -> None:
        world, told = world_of(PROCESSING, COMPLETED)
        subscribe(**fields)
        world.run(progress=told.channel())
        assert bool(told.requests) is is_wanted

    def test_what_was_noted_is_gone_with_the_end(self) -> None:
        world, told = world_of(PROCESSING, COMPLETED)
        subscribe()
        world.run(progress=told.channel())
        assert told.requests
        assert world.item()["status"] == "completed"
        assert progress_on(world.item()) is None

    def test_a_request_that_cannot_be_sent_is_lost_and_the_next_is_told(self) -> None:
        world, told = world_of(QUEUED, PROCESSING, PROCESSING, COMPLETED)
        told.faults = [fault("SendMessageBatch", "AccessDenied")]
        subscribe()
        assert world.run(progress=told.channel()) is StopReason.NOTHING_PENDING
        assert [each.number for each in told.requests] == [2]


@pytest.mark.usefixtures("aws")
class TestTakingOver:
    def test_the_next_pass_tells_nothing_twice(self) -> None:
        world, told = world_of(PROCESSING, *[STREAMING] * 20, COMPLETED)
        subscribe()
        for owner in "abc":
            world.run(owner=owner, lasts_s=30, progress=told.channel())
        assert told.steps == [("processing", False), ("processing", True)]

    def test_two_passes_at_once_tell_each_step_once(self) -> None:
        world, told = world_of(PROCESSING)
        subscribe()
        passes = [world.shard_pass(owner, lasts_s=20, progress=told.channel()) for owner in "ab"]
        world.run_together(*(each.run(take_over=True) for each in passes))
        assert told.steps == [("processing", False)]

    def test_what_comes_within_5_s_is_told_after_5_s_though_another_pass_has_taken_over(self) -> None:
        world, told = world_of(QUEUED, PROCESSING)
        subscribe()
        world.run(owner="a", lasts_s=1, progress=told.channel())
        world.run(owner="b", lasts_s=20, progress=told.channel())
        assert told.steps == [("queued", False), ("processing", False)]
        first, second = (each.at_ms for each in told.requests)
        assert second - first >= APART_MS


def test_a_slow_scan_or_note_delays_no_question() -> None:
    slow = Course(before_s=8)
    asked = []
    for courses in ({}, {"get": [slow] * 9}, {"tell_progress": [slow] * 9}):
        with mock_aws():
            world, told = world_of(QUEUED, PROCESSING, *[STREAMING] * 4, COMPLETED)
            subscribe()
            world.clock.threads = Scripted(**courses)
            world.run(progress=told.channel())
            asked.append(world.times_of())
    assert asked[1] == asked[2] == asked[0]


answers = st.lists(st.sampled_from([QUEUED, PROCESSING, STREAMING]), min_size=1, max_size=10)
stops = st.lists(st.integers(1, 25), min_size=1, max_size=4)


@settings(max_examples=6, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(answers, stops, st.sampled_from(ENDS))
def test_any_answers_over_any_takeovers(said: list[Answer], lasts: list[int], end: Answer) -> None:
    def played(*, is_wanted: bool) -> tuple[World, Told, list[Answer]]:
        world, told = world_of(*said, end)
        seen: list[Answer] = []
        ask = world.gateways["gw"]

        def noted(task_id: str) -> Answer:
            answer = ask(task_id)
            seen.append(answer)  # type: ignore[arg-type]
            return answer  # type: ignore[return-value]

        world.gateways["gw"] = noted
        if is_wanted:
            subscribe()

        def begin(owner: int) -> Any:
            return world.shard_pass(str(owner), progress=told.channel()).run(take_over=True)

        begins_s = [sum(lasts[:number]) for number in range(len(lasts) + 1)]
        world.run_together(*(world.later(at_s, partial(begin, n)) for n, at_s in enumerate(begins_s)))
        return world, told, seen

    with mock_aws():
        without, nothing, _ = played(is_wanted=False)
    with mock_aws():
        world, told, seen = played(is_wanted=True)
        item = world.item()
    # No question more than without, nor at another moment.
    assert world.asked == without.asked
    assert nothing.requests == []
    # At most one in 5 s, in order, and none after the end.
    assert all(later.at_ms - earlier.at_ms >= APART_MS for earlier, later in pairwise(told.requests))
    assert [each.number for each in told.requests] == list(range(1, len(told.requests) + 1))
    assert item["status"] in ("completed", "failed")
    assert all(each.at_ms <= item["detected_at_ms"] for each in told.requests)
    # Nothing is told that no answer said, nor twice in a row; the clip is once what is new.
    phases = [step[0] for step in told.steps]
    said_phases = ["queued" if each is QUEUED else "processing" for each in seen if each not in ENDS]
    rest = iter(said_phases)
    assert all(phase in rest for phase in [p for n, p in enumerate(phases) if n == 0 or p != phases[n - 1]])
    repeated = sum(earlier == later for earlier, later in pairwise(phases))
    assert repeated <= 1
    # The first answer is told at once; what comes 5 s before the end at the latest is told too.
    assert told.steps[0][0] == said_phases[0]


class TestRequests:
    def state(self, *clips: Any, provider_object: dict[str, Any] | None = None) -> _State:
        result = TaskResult(
            clips=clips,
            submitted_at=None,
            started_at=None,
            finished_at=None,
            provider_object=provider_object or {"status": "IN_PROGRESS"},
        )
        return _State("processing", bool(clips), result)

    def request(self, state: _State) -> ProgressRequest:
        told = ProgressTold(number=1, at_ms=NOW_MS, phase=state.phase, has_clip=state.has_clip)
        return request_of(pending(), state, told)

    @pytest.mark.parametrize(
        ("provider_object", "clips", "kept"),
        [
            ({"a": "x" * 150_000}, 30, ("no texts",)),
            ({"a": "x" * 199_990}, 1, ("no texts", "no object")),
        ],
    )
    def test_what_is_too_long_is_left_out(
        self, provider_object: dict[str, Any], clips: int, kept: tuple[str, ...]
    ) -> None:
        state = self.state(
            *(clip(clip_id=str(number), prompt="p" * 5_000) for number in range(clips)),
            provider_object=provider_object,
        )
        request = self.request(state)
        assert len(request.model_dump_json().encode()) <= MAX_BYTES
        assert request.truncated
        assert len(request.clips) == clips
        assert all(each.prompt is None for each in request.clips)
        assert (request.provider_object is None) is ("no object" in kept)

    def test_an_answer_with_a_status_alone_has_no_object(self) -> None:
        told = ProgressTold(number=1, at_ms=NOW_MS, phase="queued", has_clip=False)
        request = request_of(pending(), _State("queued", False, None), told)
        assert (request.clips, request.provider_object, request.progress) == ((), None, None)
        assert request.task_id == KEY.task_id


@pytest.mark.usefixtures("aws")
def test_who_wants_it_is_read_as_it_stands_in_the_table() -> None:
    create_table("SubscriptionsTable")
    table = SubscriptionsTable(client("dynamodb"), "SubscriptionsTable")
    wanted = Wanted(table, lambda: NOW_MS)
    assert wanted.get() == Wanting()
    assert wanted.is_known_unwanted("gw")
    subscribe(providers=["gw"])
    put("SubscriptionsTable", {"subscription_id": "bad", "url": 7, "events": "task.progress", "providers": 7})
    assert Wanted(table, lambda: NOW_MS).get() == Wanting(False, frozenset({"gw"}))
