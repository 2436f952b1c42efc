"""One reading of `Retry-After`, from which nothing raises."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunehook.http.retry_after import retry_after_s

# As documented, and not imported: a bound that moves is to be noticed.
LONGEST_S = 10 * 365 * 24 * 3600.0

NOW = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("120.5", 120.5),
        ("120.", 120),
        (".5", 0.5),
        ("Fri, 20 Nov 2026 16:01:30 GMT", 90),
        ("Friday, 20-Nov-26 16:01:30 GMT", 90),
        ("Fri Nov 20 16:01:30 2026", 90),
        ("Fri, 20 Nov 2026 17:01:30 +0100", 90),
        ("Fri, 20 Nov 2026 16:01:30 -0000", 90),
        ("Fri, 20 Nov 2026 15:00:00 GMT", 0),
        ("9" * 5000, LONGEST_S),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_S),
    ],
)
def test_seconds_and_the_three_forms_of_a_date_are_read(value: str, seconds: float) -> None:
    assert retry_after_s(value, NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "soon",
        "-5",
        "+5",
        "1e3",
        "inf",
        "nan",
        "5, 6",
        "٦٠",
        "６０",
        "\x00",
        "Mon, 20 Nov 9999999999 00:00:00 GMT",
        "Fri, 31 Dec 99999999999 23:59:59 GMT",
        "Fri, 20 Nov 2026 16:01:30 +9999999999",
        "Fri, 32 Nov 2026 16:01:30 GMT",
        "Fri, 20 Nov 2026 99:01:30 GMT",
        "Fri, 00 Nov 0000 00:00:00 GMT",
        "Fri, ٢٠ Nov 2026 16:01:30 GMT",
    ],
)
def test_what_says_nothing_is_none(value: str | None) -> None:
    assert retry_after_s(value, NOW) is None


_PARTS = st.sampled_from(
    ["Fri", ",", " ", "-", "+", ":", "20", "Nov", "2026", "9" * 12, "0", "99", "GMT", "+9999", "ä", "٢", "."]
)


@given(
    st.one_of(
        st.text(max_size=60), st.lists(_PARTS, max_size=12).map(" ".join), st.lists(_PARTS).map("".join)
    )
)
def test_nothing_raises_and_a_wait_is_bounded(value: str) -> None:
    wait_s = retry_after_s(value, NOW)
    assert wait_s is None or 0 <= wait_s <= LONGEST_S


def test_no_wait_is_longer_than_ten_years() -> None:
    assert retry_after_s("9" * 12, NOW) == 315_360_000
