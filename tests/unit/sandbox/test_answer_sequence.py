from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tunehook_local.sandbox.answer_sequence import AnswerSequence, stable_fraction
from tunehook_local.sandbox.scripted_answers import ScriptedAnswer

START = datetime(2026, 11, 20, tzinfo=UTC)


def playback(*answers: dict[str, Any], spread: float = 0.0) -> AnswerSequence[ScriptedAnswer]:
    return AnswerSequence([ScriptedAnswer.model_validate(answer) for answer in answers], START, spread)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def status(answer: ScriptedAnswer | None) -> int | None:
    return None if answer is None else answer.status


def test_an_answer_holds_until_its_moment_and_not_at_it() -> None:
    played = playback({"status": 201, "until_s": 2}, {"status": 202})
    assert [status(played.take(at(s))) for s in (0, 1.999, 2)] == [201, 201, 202]


def test_an_answer_is_given_as_often_as_it_says() -> None:
    played = playback({"status": 201, "times": 2}, {"status": 202})
    assert [status(played.take(at(0))) for _ in range(4)] == [201, 201, 202, 202]


def test_an_answer_with_both_bounds_ends_at_the_first_of_them() -> None:
    played = playback({"status": 201, "times": 2, "until_s": 5}, {"status": 202})
    assert [status(played.take(at(s))) for s in (0, 5)] == [201, 202]


def test_looking_uses_nothing_up() -> None:
    played = playback({"status": 201, "times": 1}, {"status": 202})
    assert status(played.peek(at(0))) == 201
    assert status(played.take(at(0))) == 201
    assert status(played.peek(at(0))) == 202


def test_after_the_last_bounded_answer_there_is_none() -> None:
    played = playback({"status": 201, "times": 1})
    assert [status(played.take(at(0))) for _ in range(2)] == [201, None]


def test_a_range_ends_where_the_spread_says() -> None:
    played = playback({"status": 201, "until_s": [10, 20]}, {"status": 202}, spread=0.25)
    assert [status(played.peek(at(s))) for s in (12.4, 12.5)] == [201, 202]


def test_the_beginning_of_an_answer_is_known_ahead_when_time_alone_decides() -> None:
    played = playback({"status": 201, "until_s": 2}, {"status": 202})
    assert played.begins_at(lambda answer: answer.status == 202) == at(2)


@pytest.mark.parametrize("bounds", [{"times": 2}, {"times": 2, "until_s": 5}])
def test_the_beginning_of_an_answer_is_not_known_when_questions_decide(bounds: dict[str, Any]) -> None:
    played = playback({"status": 201} | bounds, {"status": 202})
    assert played.begins_at(lambda answer: answer.status == 202) is None


def test_the_spread_is_the_same_for_the_same_name() -> None:
    assert stable_fraction("suno", "a") == stable_fraction("suno", "a")


def test_the_spreads_of_many_names_fill_the_range_evenly() -> None:
    spreads = sorted(stable_fraction("suno", f"task-{number}") for number in range(1000))
    assert all(abs(spread - number / 1000) < 0.06 for number, spread in enumerate(spreads))


def test_the_parts_of_a_name_do_not_run_together() -> None:
    assert stable_fraction("a", "bc") != stable_fraction("ab", "c")
