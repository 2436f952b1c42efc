from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.rhythm import AFTER_REFRESH_MS, LONGEST_MS, SHORTEST_MS, Refresh, Rhythm

SECOND_MS = 1_000
EVERY_MS = 5_000
BEGIN_MS = 1_800_000_000_000


def told(
    rhythm: Rhythm, updates_s: Iterable[float], *, clock_off_s: float = 0, asks_every_s: int = 5
) -> Refresh | None:
    """Ask about one task every 5 s while the gateway writes at the given moments; return what the last answer told."""
    refresh = None
    updates = [BEGIN_MS, *(BEGIN_MS + round(each * 1000) for each in updates_s)]
    for now_ms in range(BEGIN_MS + SECOND_MS, updates[-1] + 2 * SECOND_MS, asks_every_s * SECOND_MS):
        last_ms = max(each for each in updates if each <= now_ms) + round(clock_off_s * 1000)
        refresh = rhythm.observe(refresh, last_ms // 1000 * 1000, now_ms, None)
    return refresh


def polls(period_s: float, number: int = 6, begins_s: float = 3.2) -> list[float]:
    return [begins_s + step * period_s for step in range(number)]


@pytest.mark.parametrize("period_s", [8, 15, 15.4, 20, 29])
def test_an_interval_is_learnt_from_writes_that_come_after_equal_times(period_s: float) -> None:
    rhythm = Rhythm()
    told(rhythm, polls(period_s))
    assert rhythm.period_ms == pytest.approx(period_s * 1000, abs=500)


def test_a_write_that_brought_nothing_new_may_be_missing() -> None:
    rhythm = Rhythm()
    told(rhythm, [3.2, 18.2, 48.2, 63.2, 93.2, 108.2])
    assert rhythm.period_ms == 15_000


def test_two_equal_times_are_not_enough() -> None:
    rhythm = Rhythm()
    told(rhythm, polls(15, number=3))
    assert rhythm.period_ms is None


@pytest.mark.parametrize("clock_off_s", [-20, -8, 8, 3600])
def test_a_gateway_whose_clock_is_off_has_none(clock_off_s: float) -> None:
    rhythm = Rhythm()
    told(rhythm, polls(15, number=12), clock_off_s=clock_off_s)
    assert rhythm.period_ms is None


def test_a_gateway_that_writes_at_any_moment_has_none() -> None:
    rhythm = Rhythm()
    told(rhythm, [3, 12, 30, 37, 61, 70, 88, 99, 130, 141])
    assert rhythm.period_ms is None


@pytest.mark.parametrize("period_s", [1, 3, 5, 45, 60])
def test_an_interval_of_no_use_is_none(period_s: float) -> None:
    rhythm = Rhythm()
    told(rhythm, polls(period_s, number=12), asks_every_s=1)
    assert rhythm.period_ms is None


def test_an_interval_that_holds_no_longer_is_forgotten() -> None:
    rhythm = Rhythm(15_000)
    told(rhythm, [3, 12, 30, 37, 61, 70, 88, 99, 130, 141])
    assert rhythm.period_ms is None


@pytest.mark.parametrize("period_ms", [None, 0, SHORTEST_MS - 1, LONGEST_MS + 1])
def test_an_interval_that_cannot_be_is_not_taken_over(period_ms: int | None) -> None:
    assert Rhythm(period_ms).period_ms is None


class TestRefresh:
    def test_the_first_write_that_is_seen_may_be_the_tasks_creation(self) -> None:
        assert not Rhythm().observe(None, BEGIN_MS, BEGIN_MS + 500, None).is_poll
        assert not Rhythm().observe(None, BEGIN_MS, BEGIN_MS + 500, BEGIN_MS).is_poll

    def test_one_that_came_after_the_creation_is_a_poll(self) -> None:
        assert Rhythm().observe(None, BEGIN_MS, BEGIN_MS + 500, BEGIN_MS - 20_000).is_poll

    def test_one_that_was_seen_to_come_is_a_poll(self) -> None:
        rhythm = Rhythm()
        first = rhythm.observe(None, BEGIN_MS, BEGIN_MS + 1_000, BEGIN_MS)
        assert rhythm.observe(first, BEGIN_MS + 4_000, BEGIN_MS + 6_000, BEGIN_MS).is_poll

    def test_one_that_no_usable_clock_told_is_none(self) -> None:
        rhythm = Rhythm()
        first = rhythm.observe(None, BEGIN_MS, BEGIN_MS + 20_000, BEGIN_MS)
        assert not rhythm.observe(first, BEGIN_MS + 4_000, BEGIN_MS + 25_000, BEGIN_MS).is_poll


class TestNextQuestion:
    refresh = Refresh(BEGIN_MS, BEGIN_MS + SECOND_MS, is_poll=True)

    def after_s(self, refresh: Refresh | None, after_s: float, every_s: int, period_ms: int | None) -> float:
        after_ms = BEGIN_MS + round(after_s * 1000)
        due_ms = after_ms + every_s * 1000
        next_ms = Rhythm(period_ms).next_question_ms(due_ms, every_s * 1000, after_ms, refresh)
        return (next_ms - BEGIN_MS) / 1000

    @pytest.mark.parametrize("every_s", [5, 10, 15])
    @pytest.mark.parametrize("after_s", [0.5, 4, 12, 16])
    def test_it_comes_just_after_the_next_poll(self, after_s: float, every_s: int) -> None:
        expected_s = 15 + AFTER_REFRESH_MS / 1000
        assert self.after_s(self.refresh, after_s, every_s, 15_000) == expected_s

    @pytest.mark.parametrize(("every_s", "polls"), [(30, 2), (60, 4)])
    def test_a_task_that_is_asked_seldom_leaves_polls_out(self, every_s: int, polls: int) -> None:
        expected_s = 15 * polls + AFTER_REFRESH_MS / 1000
        assert self.after_s(self.refresh, 2, every_s, 15_000) == expected_s

    def test_a_poll_that_is_late_is_not_waited_for(self) -> None:
        assert self.after_s(self.refresh, 16.5, 5, 15_000) == 21.5

    def test_without_an_interval_a_task_is_asked_when_it_is_due(self) -> None:
        assert self.after_s(self.refresh, 2, 5, None) == 7

    def test_without_a_poll_to_count_from_too(self) -> None:
        assert self.after_s(Refresh(BEGIN_MS, BEGIN_MS, is_poll=False), 2, 5, 15_000) == 7
        assert self.after_s(None, 2, 5, 15_000) == 7

    def test_a_write_in_the_future_counts_for_nothing(self) -> None:
        assert self.after_s(self.refresh, -3, 5, 15_000) == 2

    @given(st.integers(-60_000, 60_000), st.sampled_from([5, 10, 30]), st.integers(0, 40_000))
    def test_it_is_later_than_the_last_and_no_later_than_an_interval_allows(
        self, after_ms: int, every_s: int, period_ms: int
    ) -> None:
        moment_ms = BEGIN_MS + after_ms
        next_ms = Rhythm(period_ms).next_question_ms(
            moment_ms + every_s * 1000, every_s * 1000, moment_ms, self.refresh
        )
        assert (
            moment_ms < next_ms <= moment_ms + max(every_s * 1000, LONGEST_MS) + AFTER_REFRESH_MS + SECOND_MS
        )
