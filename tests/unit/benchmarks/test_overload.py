import pytest
from benchmarks.overload import SHORT_DEADLINE_S, play, rows


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")


def test_where_more_is_due_than_can_be_asked_nobody_is_forgotten_over_passes() -> None:
    played = play("qhaigc", 100, requests_per_second=0.5)
    assert 200 <= played.requests <= 300
    assert played.never_asked == 0
    assert played.most_to_mean <= 2
    # Twice as long as one round takes.
    assert played.oldest_s <= 2 * 100 / 0.5


def test_tasks_asked_about_together_have_their_turns_as_well() -> None:
    played = play("suno", 600, requests_per_second=0.05, minutes=6)
    assert 15 <= played.requests <= 25
    assert played.never_asked == 0
    assert played.most_to_mean <= 2


def test_overdue_tasks_go_first_and_end_by_an_answer() -> None:
    played = play("qhaigc", 100, requests_per_second=0.5, short=50)
    assert (played.overdue_ended, played.unasked_ends, played.never_asked) == (50, 0, 0)
    # They have all turns to themselves, but for those that wait for 12 s at most until they are called overdue.
    assert played.latest_s <= 50 / 0.5 + 20
    assert SHORT_DEADLINE_S < 8 * 60


def test_one_that_keeps_up_is_asked_as_often_as_it_should() -> None:
    played = play("qhaigc", 10, requests_per_second=10, minutes=3)
    assert played.most_to_mean <= 1.2
    assert played.oldest_s <= 15


def test_what_is_wanted_is_among_the_rows() -> None:
    played = play("qhaigc", 5, minutes=1)
    wanted = {row.name: row.wanted for row in rows("x", played, short=5)}
    assert wanted["x: never asked"] == "<= 0"
    assert wanted["x: asked most, to the mean"] == "<= 2"
    assert wanted["x: overdue, ended"] == ">= 5"
