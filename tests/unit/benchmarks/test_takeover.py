from datetime import UTC, datetime, timedelta

import pytest
from benchmarks.takeover import (
    Pass,
    Span,
    handovers,
    longest_gaps,
    longest_handover,
    longest_overlap,
    longest_uncovered,
    passes,
    twice,
)

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def span(begins_s: float, ends_s: float) -> Span:
    return Span(at(begins_s), at(ends_s))


def line(request_id: str, message: str, seconds: float) -> dict[str, str]:
    moment = at(seconds)
    timestamp = moment.strftime("%Y-%m-%d %H:%M:%S,") + f"{moment.microsecond // 1000:03}+0000"
    return {"function_request_id": request_id, "message": message, "timestamp": timestamp}


def test_a_pass_runs_from_its_beginning_to_its_end_and_asks_from_its_first_tick_to_its_last() -> None:
    lines = [
        line("one", "pass_began", 0),
        line("two", "pass_began", 60),
        line("one", "tick", 0.25),
        line("one", "tick", 62),
        line("two", "tick", 60.5),
        line("two", "tick", 119),
        line("one", "pass_ended", 63),
        line("two", "pass_ended", 120),
    ]
    assert passes(lines) == [
        Pass(runs=span(0, 63), asks=span(0.25, 62)),
        Pass(runs=span(60, 120), asks=span(60.5, 119)),
    ]


@pytest.mark.parametrize("missing", ["pass_began", "tick", "pass_ended"])
def test_an_invocation_that_asked_nothing_or_goes_on_is_no_pass(missing: str) -> None:
    lines = [line("one", message, 0) for message in ("pass_began", "tick", "pass_ended")]
    assert passes(each for each in lines if each["message"] != missing) == []


def test_two_questions_within_less_than_a_poller_leaves_between_them_are_of_two_pollers() -> None:
    assert twice([[at(0), at(5), at(6.5)], [at(1), at(6)], [at(2), at(3)]]) == [span(2, 3), span(5, 6.5)]


def test_a_handover_lasts_from_the_first_question_asked_twice_to_the_last() -> None:
    assert longest_handover([span(0, 1), span(3, 4.5), span(60, 61)]) == 4.5


def test_questions_asked_twice_a_minute_apart_are_of_two_handovers() -> None:
    assert longest_handover([span(0, 1), span(60, 61.5)]) == 1.5


def test_where_nothing_is_asked_twice_no_handover_took_any_time() -> None:
    assert longest_handover([]) == 0


def test_a_handover_is_around_the_beginning_of_one_poller_and_the_end_of_the_one_before() -> None:
    assert handovers([span(60, 125), span(0, 64), span(130, 190)]) == [span(55, 69), span(120, 135)]


def test_gaps_in_handovers_and_elsewhere_are_told_apart() -> None:
    assert longest_gaps([at(0), at(3), at(4), at(5.5), at(7)], [span(3.5, 5)]) == (1.5, 3.0)


def test_a_gap_that_only_begins_in_a_handover_counts_as_its_own() -> None:
    assert longest_gaps([at(0), at(4)], [span(0, 1)]) == (4.0, 0.0)


def test_what_a_long_span_covers_is_no_gap_between_shorter_ones() -> None:
    assert longest_uncovered([span(0, 10), span(1, 2), span(8, 9), span(12, 13)]) == 2


def test_spans_that_overlap_leave_nothing_uncovered() -> None:
    assert longest_uncovered([span(0, 65), span(60, 120)]) == 0


def test_an_overlap_is_the_time_that_lies_in_two_spans() -> None:
    assert longest_overlap([span(0, 65), span(60, 120), span(119, 130)]) == 5


def test_an_overlap_of_spans_that_do_not_follow_each_other_counts() -> None:
    assert longest_overlap([span(0, 100), span(1, 2), span(50, 120)]) == 50


def test_spans_apart_do_not_overlap() -> None:
    assert longest_overlap([span(0, 1), span(2, 3)]) == 0
