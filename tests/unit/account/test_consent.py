from __future__ import annotations

import pytest
from tests.account.consent import consents, describe

from tunehook.errors import Misconfigured


def never(_question: str) -> str:
    raise AssertionError("nobody is to be asked")


@pytest.mark.parametrize(
    ("answer", "wanted"), [("y", True), (" Yes ", True), ("n", False), ("", False), ("yo", False)]
)
def test_it_asks_once_and_nothing_but_yes_is_consent(answer: str, wanted: bool) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return answer

    assert consents(ask, {}) is wanted
    assert len(asked) == 1


def test_a_terminal_that_is_closed_has_not_consented() -> None:
    def ask(_question: str) -> str:
        raise EOFError

    assert consents(ask, {}) is False


def test_a_pipeline_answers_by_a_variable() -> None:
    assert consents(never, {"YES": "1"})
    assert consents(None, {"YES": "1"})


@pytest.mark.parametrize("environment", [{}, {"YES": ""}, {"YES": "0"}, {"YES": "no"}])
def test_where_nobody_can_be_asked_nothing_is_made(environment: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="YES=1"):
        consents(None, environment)


def test_what_is_made_where_and_for_how_much_is_said() -> None:
    text = describe("tunehook-smoke-0badcafe", "the account 123456789012, region eu-west-1")

    for said in (
        "tunehook-smoke-0badcafe-sandbox",
        "123456789012",
        "less than 1 cent at list prices",
        "remove",
    ):
        assert said in text
