from functools import partial
from itertools import islice

import pytest
from benchmarks.cadence import Asking, Gateway, Shard, tasks, watch, with_cadence, with_loop, with_minutes

from tunehook.cadence import DIRECT, GATEWAY, GATEWAY_ONE_BY_ONE

SUBMITTED_MS = 1_800_000_000_300  # 300 ms after a tick, and after a full minute


def first(number: int, asking: Asking) -> list[int]:
    """The first questions, in milliseconds after submission."""
    return [asked - SUBMITTED_MS for asked in islice(asking(SUBMITTED_MS), number)]


def test_the_poller_asks_at_the_first_tick_and_then_at_the_ticks_after_the_due_ages() -> None:
    assert first(4, partial(with_cadence, pace=DIRECT)) == [700, 20_700, 25_700, 30_700]


def test_the_poller_asks_a_gateway_as_its_pace_says() -> None:
    assert first(4, partial(with_cadence, pace=GATEWAY_ONE_BY_ONE)) == [700, 10_700, 20_700, 30_700]


def test_a_task_that_comes_at_a_tick_is_asked_at_that_tick() -> None:
    assert next(with_cadence(SUBMITTED_MS - 300, pace=DIRECT)) == SUBMITTED_MS - 300


def test_a_loop_asks_at_once_and_then_at_its_interval() -> None:
    assert first(3, partial(with_loop, every_s=15)) == [0, 15_000, 30_000]


def test_a_schedule_asks_at_full_minutes() -> None:
    assert first(2, with_minutes) == [59_700, 119_700]


def test_a_task_is_asked_until_the_first_question_after_its_end() -> None:
    found = watch([(0, 12_000), (0, 31_000)], partial(with_loop, every_s=5))
    assert found.questions == (4 + 8) / 2


def test_a_delay_is_from_the_end_to_the_question_that_detects_it() -> None:
    found = watch([(0, 12_000), (0, 31_000), (0, 35_000)], partial(with_loop, every_s=5))
    assert found.mean_s == pytest.approx((3 + 4 + 0) / 3)
    assert found.median_s == 3


def test_a_question_at_the_very_end_detects_it() -> None:
    found = watch([(0, 30_000), (0, 30_000)], partial(with_loop, every_s=5))
    assert (found.questions, found.mean_s, found.p95_s) == (7, 0, 0)


def test_95_of_100_delays_are_at_most_the_p95() -> None:
    spans = [(0, 60_000 - delay_s * 1000) for delay_s in range(1, 41)]
    found = watch(spans, partial(with_loop, every_s=60))
    assert 38 <= found.p95_s <= 39


def test_tasks_last_30_to_120_s_and_are_the_same_at_every_call() -> None:
    spans = tasks(2000)
    lasting_s = sorted((ended - submitted) / 1000 for submitted, ended in spans)
    assert 30 <= lasting_s[0] < 31
    assert 119 < lasting_s[-1] <= 120
    assert spans == tasks(2000)


def test_our_cadence_keeps_its_promise_for_a_5_s_provider() -> None:
    spans = tasks(2000)
    ours = watch(spans, partial(with_cadence, pace=DIRECT))
    loop = watch(spans, partial(with_loop, every_s=5))
    assert ours.mean_s <= 2.6
    assert ours.p95_s <= 5.2
    assert ours.questions <= 0.85 * loop.questions


class TestGateway:
    def test_it_changes_at_its_next_poll(self) -> None:
        gateway = Gateway(begins_ms=2_000)
        assert [gateway.change_ms(moment) for moment in (0, 2_000, 2_001, 17_000)] == [
            2_000,
            2_000,
            17_000,
            17_000,
        ]

    def test_it_tells_its_last_poll_in_whole_seconds(self) -> None:
        gateway = Gateway(begins_ms=2_700)
        assert [gateway.updated_at_ms(0, moment) for moment in (2_700, 17_699, 17_700)] == [
            2_000,
            2_000,
            17_000,
        ]

    def test_it_tells_the_creation_of_a_task_that_no_poll_has_seen(self) -> None:
        assert Gateway().updated_at_ms(7_300, 9_000) == 7_000


class TestShard:
    def asked(self, follows: bool, **gateway: int) -> Shard:
        shard = Shard(GATEWAY, 100, follows=follows)
        shard.watch(tasks(400), Gateway(**gateway))
        return shard

    def test_every_task_is_detected(self) -> None:
        assert len(self.asked(follows=True).delays_s) == 400

    @pytest.mark.parametrize("refreshes_ms", [15_000, 15_300, 10_000])
    def test_following_the_gateway_takes_fewer_questions_and_is_no_later(self, refreshes_ms: int) -> None:
        plain = self.asked(follows=False, refreshes_ms=refreshes_ms, begins_ms=700)
        ours = self.asked(follows=True, refreshes_ms=refreshes_ms, begins_ms=700)
        assert ours.questions < 0.7 * plain.questions
        assert ours.calls_of_many < 0.8 * plain.calls_of_many
        assert sum(ours.delays_s) <= sum(plain.delays_s)

    def test_our_cadence_keeps_its_promise_for_a_gateway(self) -> None:
        ours = self.asked(follows=True, begins_ms=4_300)
        assert sum(ours.delays_s) / len(ours.delays_s) <= 2.6

    def test_one_task_alone_is_asked_about_singly(self) -> None:
        shard = Shard(GATEWAY, 100, follows=False)
        shard.watch([(0, 12_000)], Gateway())
        assert (shard.calls_of_many, shard.singles) == (0, 4)
