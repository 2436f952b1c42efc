from collections.abc import Sequence

import pytest
from benchmarks.fairness import AT_MOST, TROUBLES, Fairness, Trouble, beside_old_tasks, beside_trouble, p95
from benchmarks.moody_provider import Mood
from benchmarks.report import Row


class Played(Fairness):
    """Measurements whose outcomes are given, by mood."""

    def __init__(self, **delays_s: float) -> None:
        self._played = delays_s
        self.runs: list[str] = []

    def beside(self, trouble: Trouble) -> list[float]:
        self.runs.append(trouble.mood.value)
        return [self._played[trouble.mood.value]] * 2

    def with_old(self, mood: Mood) -> tuple[list[float], list[float]]:
        delay_s = self._played[mood.value]
        return [delay_s, delay_s], [delay_s, delay_s]


def ratios(rows: Sequence[Row]) -> dict[str, Row]:
    return {row.name.partition(":")[0]: row for row in rows if row.unit == "ratio"}


def test_p95_is_what_95_of_100_do_not_exceed() -> None:
    assert p95(range(101)) == pytest.approx(95)


def test_a_run_without_trouble_lies_between_two_with_trouble() -> None:
    played = Played(well=4.0, hangs=4.0, throttles=4.0, fails=4.0)
    beside_trouble(played, {name: TROUBLES[name] for name in ("hangs", "throttles", "fails")})
    assert played.runs == ["hangs", "well", "throttles", "fails", "well"]


@pytest.mark.parametrize(("delay_s", "is_missed"), [(4.4, False), (4.9, True)])
def test_a_trouble_that_delays_another_provider_is_a_miss(delay_s: float, is_missed: bool) -> None:
    rows = ratios(beside_trouble(Played(well=4.0, hangs=delay_s), {"hangs": TROUBLES["hangs"]}))
    assert rows["hangs"].value == pytest.approx(delay_s / 4.0)
    assert (rows["hangs"].at_most, rows["hangs"].is_missed) == (AT_MOST, is_missed)


@pytest.mark.parametrize(("delay_s", "is_missed"), [(4.4, False), (4.9, True)])
def test_old_tasks_that_delay_new_ones_are_a_miss(delay_s: float, is_missed: bool) -> None:
    rows = ratios(beside_old_tasks(Played(**{"well": 4.0, "hangs-for-old": delay_s})))
    assert rows["old tasks hang"].is_missed is is_missed
