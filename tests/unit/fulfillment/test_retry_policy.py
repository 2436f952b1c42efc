import pytest
from tests.support.tasks import NOW_MS, ended

from fulfillment.retry_policy import Patience, RetryLater, due_at_ms
from tunehook.events import task_ended

# As documented, and not imported: a bound that moves is to be noticed.
LAST_PASS_S = 30.0
PATIENCE_S = 600.0
TELLING_S = 5.0


SINCE_MS = NOW_MS


def patience(elapsed_s: float, within_s: float = 200.0, due_s: float = 60.0) -> Patience:
    due_ms = SINCE_MS + round(due_s * 1000)
    return Patience(SINCE_MS, due_ms, within_s, lambda: SINCE_MS + round(elapsed_s * 1000))


def again_after_s(elapsed_s: float, retry_after_s: float = 0.0) -> int | None:
    """When the next pass begins where the recipients have been told already."""
    return patience(elapsed_s, due_s=0).again_after_s(retry_after_s)


def pass_s(elapsed_s: float) -> float:
    return patience(elapsed_s, within_s=9_999).pass_s()


@pytest.mark.parametrize(
    ("elapsed_s", "after_s"),
    [(0, 10), (7, 10), (60, 30), (119, 59), (120, 60), (500, 60), (540, 30), (565, 5), (569, 1), (570, None)],
)
def test_a_fresh_task_is_looked_at_again_sooner(elapsed_s: float, after_s: int | None) -> None:
    assert again_after_s(elapsed_s) == after_s


def test_a_host_that_wants_to_be_left_alone_is_while_there_is_patience() -> None:
    assert again_after_s(0, retry_after_s=200) == 200
    assert again_after_s(0, retry_after_s=9999) == PATIENCE_S - LAST_PASS_S


@pytest.mark.parametrize("pass_takes_s", [0.0, 7.0, 90.0])
def test_the_looks_are_few_and_end_within_ten_minutes(pass_takes_s: float) -> None:
    elapsed_s, looks = 0.0, 0
    while True:
        looks += 1
        elapsed_s += min(pass_takes_s, pass_s(elapsed_s))
        if (after_s := again_after_s(elapsed_s)) is None:
            break
        elapsed_s += after_s
    assert looks <= 20
    assert PATIENCE_S - LAST_PASS_S - 1 <= elapsed_s <= PATIENCE_S


def test_a_pass_that_comes_late_has_its_time() -> None:
    assert pass_s(PATIENCE_S - LAST_PASS_S) == LAST_PASS_S - TELLING_S
    assert pass_s(3600) == PATIENCE_S


@pytest.mark.parametrize(
    ("since_ms", "patience_ms", "due_ms"),
    [
        (NOW_MS + 60_000, 60_000, NOW_MS + 120_000),
        (NOW_MS + 115_000, 60_000, NOW_MS + 120_000),
        (NOW_MS + 115_001, 60_000, NOW_MS + 120_001),
        (NOW_MS + 500_000, 60_000, NOW_MS + 505_000),
        (NOW_MS + 500_000, 4_000, NOW_MS + 504_000),
        (NOW_MS + 60_000, 0, NOW_MS + 60_000),
    ],
)
def test_receivers_are_due_after_the_end_was_detected_or_just_after_a_late_first_look(
    since_ms: int, patience_ms: int, due_ms: int
) -> None:
    assert due_at_ms(task_ended(ended()), since_ms, patience_ms) == due_ms


@pytest.mark.parametrize(
    ("elapsed_s", "pass_takes_s"), [(0, 595), (500, 95), (580, 15), (580.5, 600), (900, 600)]
)
def test_a_pass_has_what_is_left_unless_that_is_too_little(elapsed_s: float, pass_takes_s: float) -> None:
    assert pass_s(elapsed_s) == pass_takes_s


def test_what_comes_again_says_what_is_missing_and_when_it_is_looked_for() -> None:
    again = RetryLater(2, 30)
    assert (str(again), again.after_s) == ("2 files may come; the next look is in 30 s", 30)


@pytest.mark.parametrize(
    ("elapsed_s", "due_s"), [(0, 60.0), (59.9, 0.1), (60, 0.0), (61, 0.0), (-10, 70.0)], ids=str
)
def test_recipients_are_due_when_they_are_and_not_before(elapsed_s: float, due_s: float) -> None:
    assert patience(elapsed_s).due_s() == pytest.approx(due_s)


@pytest.mark.parametrize(
    ("elapsed_s", "retry_after_s", "after_s"),
    [
        (0, 0, 10),
        (0, 200, 60),
        (45, 0, 15),
        (55.5, 0, 4),
        (59.9, 0, 1),
        (60, 0, 30),
        (60, 200, 200),
        (569, 0, 1),
        (570, 0, None),
        (-10, 0, 10),
    ],
)
def test_the_next_pass_is_not_later_than_the_recipients_are_due(
    elapsed_s: float, retry_after_s: float, after_s: int | None
) -> None:
    assert patience(elapsed_s).again_after_s(retry_after_s) == after_s


@pytest.mark.parametrize(
    ("elapsed_s", "within_s", "pass_takes_s"),
    [(0, 200, 200), (0, 900, 595), (500, 200, 95), (500, 50, 50), (590, 200, 200), (-10, 900, 595)],
)
def test_a_pass_takes_no_longer_than_the_function_and_the_patience_allow(
    elapsed_s: float, within_s: float, pass_takes_s: float
) -> None:
    assert patience(elapsed_s, within_s).pass_s() == pass_takes_s
