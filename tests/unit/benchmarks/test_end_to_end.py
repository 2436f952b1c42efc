"""Of each end is told how many were found with it."""

from datetime import UTC, datetime, timedelta

import pytest
from benchmarks.end_to_end import found_at_once


@pytest.mark.parametrize(
    ("moments_ms", "found"),
    [
        ([], []),
        ([5], [1]),
        ([1000, 0, 50, 140], [3, 3, 3, 1]),
        ([0, 100], [1, 1]),
        ([0, 99], [2, 2]),
    ],
)
def test_a_burst_ends_where_nothing_comes_for_a_tenth_of_a_second(
    moments_ms: list[int], found: list[int]
) -> None:
    began = datetime(2026, 11, 30, tzinfo=UTC)
    assert found_at_once(began + timedelta(milliseconds=each) for each in moments_ms) == found
