from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.rhythm import Refresh, Rhythm

# As documented, and not imported: a bound that moves is to be noticed.
AFTER_REFRESH_MS = 1_200
LONGEST_MS = 30_000
SHORTEST_MS = 6_000

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


def test_an_interval_is_forgotten_once_the_gateways_clock_is_of_no_use() -> None:
    rhythm = Rhythm()
    told(rhythm, polls(15, number=5))
    assert rhythm.period_ms == 15_000
    told(rhythm, polls(15, number=5, begins_s=103.2), clock_off_s=3600)
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
        assert not Rhythm().observe(None, BEGIN_MS, BEGIN_MS + 500, None).is_periodic
        assert not Rhythm().observe(None, BEGIN_MS, BEGIN_MS + 500, BEGIN_MS).is_periodic

    def test_one_that_came_after_the_creation_is_a_poll(self) -> None:
        assert Rhythm().observe(None, BEGIN_MS, BEGIN_MS + 500, BEGIN_MS - 20_000).is_periodic

    def test_one_that_was_seen_to_come_is_a_poll(self) -> None:
        rhythm = Rhythm()
        first = rhythm.observe(None, BEGIN_MS, BEGIN_MS + 1_000, BEGIN_MS)
        assert rhythm.observe(first, BEGIN_MS + 4_000, BEGIN_MS + 6_000, BEGIN_MS).is_periodic

    def test_one_that_no_usable_clock_told_is_none(self) -> None:
        rhythm = Rhythm()
        first = rhythm.observe(None, BEGIN_MS, BEGIN_MS + 20_000, BEGIN_MS)
        assert not rhythm.observe(first, BEGIN_MS + 4_000, BEGIN_MS + 25_000, BEGIN_MS).is_periodic


class TestNextQuestion:
    refresh = Refresh(BEGIN_MS, BEGIN_MS + SECOND_MS, is_periodic=True)

    def after_s(self, refresh: Refresh | None, after_s: float, every_s: int, period_ms: int | None) -> float:
        after_ms = BEGIN_MS + round(after_s * 1000)
        due_ms = after_ms + every_s * 1000
        next_ms = Rhythm(period_ms).next_poll_ms(due_ms, every_s * 1000, after_ms, refresh)
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
        assert self.after_s(Refresh(BEGIN_MS, BEGIN_MS, is_periodic=False), 2, 5, 15_000) == 7
        assert self.after_s(None, 2, 5, 15_000) == 7

    def test_a_write_in_the_future_counts_for_nothing(self) -> None:
        assert self.after_s(self.refresh, -3, 5, 15_000) == 2

    @given(st.integers(-60_000, 60_000), st.sampled_from([5, 10, 30]), st.integers(0, 40_000))
    def test_it_is_later_than_the_last_and_no_later_than_an_interval_allows(
        self, after_ms: int, every_s: int, period_ms: int
    ) -> None:
        moment_ms = BEGIN_MS + after_ms
        next_ms = Rhythm(period_ms).next_poll_ms(
            moment_ms + every_s * 1000, every_s * 1000, moment_ms, self.refresh
        )
        assert (
            moment_ms < next_ms <= moment_ms + max(every_s * 1000, LONGEST_MS) + AFTER_REFRESH_MS + SECOND_MS
        )


def learnt(*steps_ms: int, every_ms: int = 5_000, known_ms: int | None = None) -> Rhythm:
    """A rhythm that has seen a task written to at these intervals, each told just when it came."""
    rhythm = Rhythm(known_ms)
    refresh = rhythm.observe(None, BEGIN_MS, BEGIN_MS, BEGIN_MS - 60_000)
    at_ms = BEGIN_MS
    for step_ms in steps_ms:
        at_ms += step_ms
        refresh = rhythm.observe(refresh, at_ms, at_ms, BEGIN_MS - 60_000)
    return rhythm


@pytest.mark.parametrize(
    ("steps_ms", "period_ms"),
    [
        ((15_000, 15_000), None),
        ((15_000, 15_000, 15_000), 15_000),
        ((15_000, 16_600, 15_000), 15_533),
        ((15_000, 16_601, 15_000), None),
        ((15_000, 15_000, 15_000, 22_000), 15_000),
        ((15_000, 15_000, 22_000, 22_000), None),
        ((15_000, 30_000, 45_000), 15_000),
        ((6_000, 6_000, 6_000), 6_000),
        ((5_999, 5_999, 5_999), None),
        ((30_000, 30_000, 30_000), 30_000),
        ((30_001, 30_001, 30_001), None),
        ((2_000, 15_000, 15_000, 15_000), 15_000),
        ((15_000,) * 16 + (22_000,) * 4, 15_000),
        ((15_000,) * 16 + (22_000,) * 5, None),
        ((22_000, *(15_000,) * 12, *(22_000,) * 4), 15_000),
    ],
)
def test_an_interval_is_learnt_of_the_latest_16_writes_where_three_quarters_fit(
    steps_ms: tuple[int, ...], period_ms: int | None
) -> None:
    assert learnt(*steps_ms).period_ms == period_ms


@pytest.mark.parametrize("period_ms", [6_000, 30_000])
def test_the_shortest_and_the_longest_interval_are_taken_over(period_ms: int) -> None:
    assert Rhythm(period_ms).period_ms == period_ms


@pytest.mark.parametrize(
    ("at_ms", "is_periodic"),
    [(-2_001, False), (-2_000, True), (20_000 + 1_000, True), (20_000 + 1_001, False)],
)
def test_a_clock_may_be_two_seconds_behind_and_one_ahead(at_ms: int, is_periodic: bool) -> None:
    rhythm = Rhythm()
    before = Refresh(BEGIN_MS - 50_000, BEGIN_MS, is_periodic=True)
    assert rhythm.observe(before, BEGIN_MS + at_ms, BEGIN_MS + 20_000, None).is_periodic is is_periodic


@pytest.mark.parametrize(("age_ms", "is_periodic"), [(2_999, False), (3_000, True)])
def test_a_write_is_no_creation_from_3_s_on(age_ms: int, is_periodic: bool) -> None:
    assert Rhythm().observe(None, BEGIN_MS, BEGIN_MS, BEGIN_MS - age_ms).is_periodic is is_periodic


def test_a_write_that_was_told_before_says_nothing_new() -> None:
    before = Refresh(BEGIN_MS, BEGIN_MS, is_periodic=False)
    again = Rhythm().observe(before, BEGIN_MS, BEGIN_MS + 5_000, None)
    assert again == Refresh(BEGIN_MS, BEGIN_MS + 5_000, is_periodic=False)


@pytest.mark.parametrize(("apart_ms", "is_known"), [(99, False), (100, True)])
def test_ten_samples_a_second_are_enough(apart_ms: int, is_known: bool) -> None:
    rhythm = Rhythm()
    for number in range(3):
        asked_ms = BEGIN_MS + number * apart_ms
        before = Refresh(asked_ms - 15_000, asked_ms, is_periodic=True)
        rhythm.observe(before, asked_ms, asked_ms, None)
    assert (rhythm.period_ms is not None) is is_known


@pytest.mark.parametrize(
    ("after_s", "next_s"),
    [(-1.001, 3.999), (-1, 16.2), (16.199, 16.2), (16.2, 21.2)],
)
def test_a_poll_is_expected_from_a_second_before_the_last_until_just_after_the_next(
    after_s: float, next_s: float
) -> None:
    refresh = Refresh(BEGIN_MS, BEGIN_MS, is_periodic=True)
    after_ms = BEGIN_MS + round(after_s * 1000)
    next_ms = Rhythm(15_000).next_poll_ms(after_ms + 5_000, 5_000, after_ms, refresh)
    assert next_ms - BEGIN_MS == round(next_s * 1000)
