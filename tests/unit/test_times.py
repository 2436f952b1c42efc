from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.times import SteadySeconds, from_ms, iso, now_ms, to_ms

MOMENT = datetime(2026, 11, 20, 16, 1, 57, 123_999, tzinfo=UTC)


def test_milliseconds_are_rounded_down() -> None:
    assert to_ms(MOMENT) == 1_795_190_517_123
    assert to_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_milliseconds_and_back_lose_nothing(value: int) -> None:
    assert to_ms(from_ms(value)) == value


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    assert iso(MOMENT) == "2026-11-20T16:01:57.123Z"
    assert iso(MOMENT.astimezone(timezone(timedelta(hours=8)))) == "2026-11-20T16:01:57.123Z"
    assert iso(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"


def test_seconds_go_on_over_a_halt_and_never_back() -> None:
    moments_ms = [1_000, 3_000, 90_000, 50_000, 51_000, 200_000]
    seconds = SteadySeconds(lambda: moments_ms.pop(0))
    assert [seconds() for _ in range(6)] == [1, 3, 90, 90, 91, 240]


def test_a_moment_that_no_date_can_tell_is_an_error() -> None:
    with pytest.raises(OverflowError):
        from_ms(10**15)


def test_now_is_the_time_of_day() -> None:
    assert abs(from_ms(now_ms()) - datetime.now(UTC)) < timedelta(seconds=5)
