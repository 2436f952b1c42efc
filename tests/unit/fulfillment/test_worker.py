"""What a fault of one message was: what may pass is told in its words, a bug as what it is."""

from typing import Any

import pytest
from tests.support.aws import fault

from fulfillment import worker
from fulfillment.patience import ComesAgain
from fulfillment.worker import GivenUp, passing_words, report
from tunehook.errors import InvalidInput, Unavailable

BUG = KeyError("x")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "not done in time"),
        (Unavailable("the bus did not take it"), "the bus did not take it"),
        (fault("SlowDown", "PutObject"), "SlowDown"),
        (BUG, None),
        (ExceptionGroup("both", [Unavailable("b"), TimeoutError(), Unavailable("b")]), "b, not done in time"),
        (ExceptionGroup("both", [Unavailable("b"), BUG]), None),
        (ExceptionGroup("deep", [ExceptionGroup("deeper", [fault("SlowDown")])]), "SlowDown"),
    ],
)
def test_what_may_pass_is_told_in_words(error: BaseException, words: str | None) -> None:
    assert passing_words(error) == words


@pytest.mark.parametrize(
    ("result", "comes_again", "told"),
    [
        (None, False, []),
        (GivenUp(InvalidInput("item", "is none")), False, [("error", "message_given_up")]),
        (ComesAgain(1, 10), True, [("info", "message_comes_again")]),
        (TimeoutError(), True, [("warning", "message_comes_again")]),
        (BUG, True, [("error", "message_failed")]),
    ],
)
def test_what_became_of_a_message_is_told_and_whether_it_comes_again(
    monkeypatch: pytest.MonkeyPatch, result: Any, comes_again: bool, told: list[tuple[str, str]]
) -> None:
    lines: list[tuple[str, str]] = []

    class Logger:
        def __getattr__(self, level: str) -> Any:
            return lambda words, **_: lines.append((level, words))

    monkeypatch.setattr(worker, "logger", Logger())
    assert report(result) is comes_again
    assert lines == told
