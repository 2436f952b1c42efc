"""A subscription's limit: what is taken, and how far apart its slots lie."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.rate_limits import RateLimit, parse_rate, rate_text
from tunehook.subscriptions import check_subscription

RATES = st.floats(0.1, 1_000) | st.integers(1, 1_000)


def limit_of(**fields: Any) -> RateLimit | None:
    item = {"subscription_id": "s", "url": "http://h/"} | fields
    return check_subscription(item, NetworkPolicy.ANY).rate_limit


@given(RATES)
def test_every_rate_within_the_bounds_is_kept_and_written_as_it_is(rate: float) -> None:
    assert limit_of(max_per_second=rate) == RateLimit(rate)
    assert parse_rate(rate_text(rate)) == rate


@given(RATES)
def test_slots_are_never_too_near_and_at_most_a_thousandth_too_far(rate: float) -> None:
    interval_us = RateLimit(rate).interval_us
    assert 1_000_000 / rate <= interval_us <= 1_000_000 / rate * 1.001


@pytest.mark.parametrize("value", [0, 0.09, 1_000.1, -1, True, "5", [5], {}, float("nan"), float("inf")])
def test_a_rate_beyond_them_is_refused_by_its_field(value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        limit_of(max_per_second=value)
    assert caught.value.field == "max_per_second"


@pytest.mark.parametrize("value", [-1, 1.5, "now"])
def test_a_moment_that_is_none_is_refused_by_its_field(value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        limit_of(max_per_second=5, max_per_second_since_ms=value)
    assert caught.value.field == "max_per_second_since_ms"


def test_a_null_is_no_limit() -> None:
    assert limit_of(max_per_second=None, max_per_second_since_ms=None) is None
