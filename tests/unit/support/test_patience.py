import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.patience import NotCome, until


class Passing:
    """Time that passes when it is waited, and when something is looked at for long."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def time() -> Passing:
    return Passing()


def wait(time: Passing, look: Callable[[], Any], moved: Callable[[], Sequence[float]] | None = None) -> Any:
    return until(look, "it", moved=moved, hang_s=60, every_s=1, clock=time, pause=time.pass_s)


def at(time: Passing, seconds: float) -> Callable[[], bool]:
    comes_at = time() + seconds
    return lambda: time() >= comes_at


def test_what_is_seen_is_returned(time: Passing) -> None:
    seen = iter([None, "", "it"])
    assert wait(time, lambda: next(seen)) == "it"
    assert time() == 1_002


def test_one_event_comes_in_time_or_is_given_up(time: Passing) -> None:
    assert wait(time, at(time, 60))
    with pytest.raises(NotCome, match=r"it: not within 60 s; the last look gave False"):
        wait(time, at(time, 61))


def test_it_is_looked_once_more_after_a_look_that_took_long(time: Passing) -> None:
    def look() -> bool:
        time.pass_s(59)
        return time() > 1_060

    assert wait(time, look)


def test_a_whole_takes_as_long_as_something_moves(time: Passing) -> None:
    assert wait(time, at(time, 3_000), lambda: (time() // 50,))
    assert time() == 4_000


def test_it_is_given_up_when_nothing_has_moved_for_long_enough(time: Passing) -> None:
    stops_at = time() + 500
    with pytest.raises(NotCome, match=r"nothing has moved for 60 s, at most \(1500.0,\)"):
        wait(time, lambda: None, lambda: (min(time(), stops_at),))
    # It is seen up to a tenth of that later that something has moved.
    assert stops_at + 60 <= time() <= stops_at + 60 + 6 + 1


def test_one_of_several_that_moves_is_enough(time: Passing) -> None:
    assert wait(time, at(time, 1_000), lambda: (5, -3, time()))


def test_fewer_left_is_a_move(time: Passing) -> None:
    left = iter(range(100, 0, -1))
    assert wait(time, at(time, 590), lambda: (-next(left),))


def test_what_goes_round_in_circles_is_given_up(time: Passing) -> None:
    depths = itertools.cycle([(-3, 1), (-2, 0), (-1, 1), (-2, 0)])
    with pytest.raises(NotCome, match=r"at most \(-1, 1\)"):
        wait(time, lambda: None, lambda: next(depths))
    assert time() < 1_200


def test_a_fault_of_the_look_is_no_end_of_patience(time: Passing) -> None:
    def look() -> None:
        raise AssertionError("this must not be")

    with pytest.raises(AssertionError, match="this must not be") as caught:
        wait(time, look)
    assert not isinstance(caught.value, NotCome)


def test_what_comes_soon_is_not_counted(time: Passing) -> None:
    def count() -> tuple[int]:
        raise AssertionError

    assert wait(time, at(time, 5), count)


def test_counting_that_takes_long_is_no_standstill(time: Passing) -> None:
    def count() -> tuple[float]:
        time.pass_s(70)
        return (time(),)

    assert wait(time, at(time, 800), count)
