"""A subscription's own schedule and time-out: what is taken, and from when on its failing counts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.schedules import WAITS_S, check_schedule, failing_ms
from tunehook.subscriptions import Subscription, check_subscription

DAY_S = 86_400
ACCEPTABLE = st.lists(st.integers(1, DAY_S), min_size=1, max_size=20).filter(
    lambda each: sum(each) <= 7 * DAY_S
)


def checked(**fields: Any) -> Subscription:
    return check_subscription({"subscription_id": "s", "url": "http://h/"} | fields, NetworkPolicy.ANY)


@given(ACCEPTABLE)
def test_every_schedule_within_the_bounds_is_kept_as_it_is(waits_s: list[int]) -> None:
    assert checked(retry_schedule=waits_s).retry_schedule == tuple(waits_s)


@pytest.mark.parametrize(
    "value",
    [
        [],
        [5] * 21,
        [0],
        [-1],
        [DAY_S + 1],
        [1.5],
        [True],
        ["5"],
        [None],
        "5s",
        5,
        {"a": 1},
        {5},
        [DAY_S] * 7 + [1],
    ],
)
def test_a_schedule_beyond_them_is_refused_by_its_field(value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(retry_schedule=value)
    assert caught.value.field == "retry_schedule"


@pytest.mark.parametrize("value", [0, 16, -1, 1.5, True, "10", [10], b"1"])
def test_a_timeout_is_a_whole_number_from_1_to_15(value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(timeout_s=value)
    assert caught.value.field == "timeout_s"
    assert [checked(timeout_s=each).timeout_s for each in (1, 15)] == [1, 15]


@pytest.mark.parametrize("field", ["signature", "retry_schedule", "timeout_s", "signature_both_until_ms"])
def test_a_null_is_the_default(field: str) -> None:
    assert checked(**{field: None}) == checked()


@given(ACCEPTABLE)
def test_nothing_is_given_up_before_five_days_nor_before_a_whole_schedule(waits_s: list[int]) -> None:
    assert failing_ms(check_schedule(waits_s)) == max(5 * DAY_S, sum(waits_s)) * 1000


def test_the_default_schedule_has_ten_attempts() -> None:
    assert len(WAITS_S) == 9
    assert failing_ms(WAITS_S) == 5 * DAY_S * 1000


@pytest.mark.parametrize(("now_ms", "signed"), [(99, "both"), (100, "v1a"), (101, "v1a")])
def test_both_sign_until_their_moment(now_ms: int, signed: str) -> None:
    assert checked(signature="v1a", signature_both_until_ms=100).signed_by(now_ms) == signed
