from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.cadence import next_question_ms

SUBMITTED_MS = 1_800_000_000_000
SECOND_MS = 1_000
HOUR_MS = 3_600_000


def questions_s(poll_every_s: float, until_s: int = 3600, after_s: float = 0) -> list[float]:
    """The ages at which a task is asked, each question following the one before."""
    ages, now_ms = [], SUBMITTED_MS + round(after_s * 1000)
    while (now_ms := next_question_ms(SUBMITTED_MS, now_ms, poll_every_s)) <= SUBMITTED_MS + until_s * 1000:
        ages.append((now_ms - SUBMITTED_MS) / 1000)
    return ages


def test_nothing_is_asked_before_20_s() -> None:
    assert next_question_ms(SUBMITTED_MS, SUBMITTED_MS, 5) == SUBMITTED_MS + 20 * SECOND_MS
    assert next_question_ms(SUBMITTED_MS, SUBMITTED_MS + 19_999, 5) == SUBMITTED_MS + 20 * SECOND_MS


def test_a_young_task_is_asked_every_5_s() -> None:
    assert questions_s(5, until_s=179) == list(range(20, 180, 5))


def test_a_young_task_of_suno_is_asked_every_15_s() -> None:
    assert questions_s(15, until_s=179) == [20, 35, 50, 65, 80, 95, 110, 125, 140, 155, 170]


@pytest.mark.parametrize("poll_every_s", [5, 15])
def test_from_3_to_10_minutes_a_task_is_asked_every_15_s(poll_every_s: int) -> None:
    asked = [age for age in questions_s(poll_every_s, until_s=599) if age >= 180]
    assert asked == list(range(180, 600, 15))


@pytest.mark.parametrize("poll_every_s", [5, 15])
def test_from_10_minutes_on_a_task_is_asked_every_60_s(poll_every_s: int) -> None:
    asked = [age for age in questions_s(poll_every_s) if age >= 600]
    assert asked == list(range(600, 3601, 60))


def test_a_provider_that_is_slower_than_a_span_keeps_its_own_interval() -> None:
    asked = questions_s(90)
    assert [later - earlier for earlier, later in pairwise(age for age in asked if age >= 600)] == [90.0] * 33


def test_a_task_from_the_future_waits_for_its_first_20_s() -> None:
    assert next_question_ms(SUBMITTED_MS, SUBMITTED_MS - HOUR_MS, 5) == SUBMITTED_MS + 20 * SECOND_MS


@given(st.integers(-HOUR_MS, 24 * HOUR_MS), st.sampled_from([0.5, 5, 15, 60]))
def test_the_next_question_always_comes_later(age_ms: int, poll_every_s: float) -> None:
    assert next_question_ms(SUBMITTED_MS, SUBMITTED_MS + age_ms, poll_every_s) > SUBMITTED_MS + age_ms


@given(st.integers(0, 2 * HOUR_MS), st.sampled_from([5, 15]))
def test_due_ages_do_not_depend_on_who_asks_or_when(age_ms: int, poll_every_s: int) -> None:
    joined = questions_s(poll_every_s, until_s=9000, after_s=age_ms / 1000)
    assert joined == [age for age in questions_s(poll_every_s, until_s=9000) if age * 1000 > age_ms]
