import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.cadence import DIRECT, GATEWAY, GATEWAY_ONE_BY_ONE, Pace, next_poll_ms
from tunehook.providers.kinds import ADAPTERS

SUBMITTED_MS = 1_800_000_000_000
SECOND_MS = 1_000
HOUR_MS = 3_600_000
PACES = (DIRECT, GATEWAY, GATEWAY_ONE_BY_ONE)


def questions_s(pace: Pace, until_s: int = 3600, after_s: float = 0) -> list[float]:
    """The ages at which a task is asked, each question following the one before."""
    ages, now_ms = [], SUBMITTED_MS + round(after_s * 1000)
    while (now_ms := next_poll_ms(SUBMITTED_MS, now_ms, pace)) <= SUBMITTED_MS + until_s * 1000:
        ages.append((now_ms - SUBMITTED_MS) / 1000)
    return ages


@pytest.mark.parametrize("kind", ["musicmint", "qhaigc"])
@pytest.mark.parametrize("name", ["pace", "pace_one_by_one"])
def test_a_provider_whose_answers_are_fresh_is_asked_every_5_s_from_20_s_on(kind: str, name: str) -> None:
    asked = questions_s(getattr(ADAPTERS[kind], name))
    assert asked == [*range(20, 180, 5), *range(180, 600, 15), *range(600, 3601, 60)]


def test_a_gateway_with_query_many_is_asked_every_5_then_10_then_30_s() -> None:
    asked = questions_s(ADAPTERS["suno"].pace)
    assert asked == [*range(5, 180, 5), *range(180, 600, 10), *range(600, 3601, 30)]


def test_a_gateway_without_it_is_asked_every_10_then_20_then_60_s() -> None:
    asked = questions_s(ADAPTERS["suno"].pace_one_by_one)
    assert asked == [*range(10, 180, 10), *range(180, 600, 20), *range(600, 3601, 60)]


def test_a_task_from_the_future_waits_for_its_first_step() -> None:
    assert next_poll_ms(SUBMITTED_MS, SUBMITTED_MS - HOUR_MS, DIRECT) == SUBMITTED_MS + 20 * SECOND_MS


@pytest.mark.parametrize(
    ("age_s", "every_s"), [(-5, 5), (0, 5), (179.9, 5), (180, 10), (599, 10), (600, 30), (9000, 30)]
)
def test_the_interval_of_an_age_is_that_of_its_step(age_s: float, every_s: int) -> None:
    assert GATEWAY.interval_ms(round(age_s * 1000)) == every_s * SECOND_MS


@given(st.integers(-HOUR_MS, 24 * HOUR_MS), st.sampled_from(PACES))
def test_the_next_question_always_comes_later(age_ms: int, pace: Pace) -> None:
    assert next_poll_ms(SUBMITTED_MS, SUBMITTED_MS + age_ms, pace) > SUBMITTED_MS + age_ms


@given(st.integers(0, 2 * HOUR_MS), st.sampled_from(PACES))
def test_due_ages_do_not_depend_on_who_asks_or_when(age_ms: int, pace: Pace) -> None:
    joined = questions_s(pace, until_s=9000, after_s=age_ms / 1000)
    assert joined == [age for age in questions_s(pace, until_s=9000) if age * 1000 > age_ms]


@pytest.mark.parametrize(
    ("pace", "old_every_s"),
    [(DIRECT, 60), (ADAPTERS["suno"].pace, 30), (ADAPTERS["suno"].pace_one_by_one, 60)],
)
def test_where_callbacks_come_a_task_is_asked_every_minute_and_when_old_as_ever(
    pace: Pace, old_every_s: int
) -> None:
    asked = questions_s(pace.with_callbacks())
    assert asked == [*range(60, 600, 60), *range(600, 3601, old_every_s)]
