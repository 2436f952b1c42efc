"""What the errors of the code say of the caller's request, and what they do not."""

import pytest
from tests.support.aws import fault

from api.problems import TITLES, Problem, problem_of
from tunehook.errors import Conflict, InvalidInput, NotFound, Unavailable


def test_the_advice_of_the_command_is_left_out() -> None:
    for error, detail in (
        (
            NotFound(
                "subscription_id", "there is no subscription s: `tunehook subscriptions list` lists them"
            ),
            "subscription_id: there is no subscription s",
        ),
        (
            Conflict("subscription_id", "s is disabled: `tunehook subscriptions enable s` first"),
            "subscription_id: s is disabled",
        ),
        (InvalidInput("x", "is bad"), "x: is bad"),
        (InvalidInput("x", "see `tunehook providers show`"), "x: see `tunehook providers show`"),
        (
            Unavailable("the manifest of t cannot be read (KeyError): `tunehook archive t` creates it again"),
            "the manifest of t cannot be read (KeyError)",
        ),
        (
            Unavailable(
                "s was rotated at the same time: check it with `tunehook subscriptions show`, and try again"
            ),
            "s was rotated at the same time",
        ),
    ):
        assert problem_of(error).detail == detail


def test_a_problem_has_its_title_and_its_own_members() -> None:
    for code, title in TITLES.items():
        body = Problem(502, code, "no", provider_status=401).body()
        assert body == {
            "type": f"urn:tunehook:problem:{code}",
            "title": title,
            "status": 502,
            "detail": "no",
            "provider_status": 401,
        }


@pytest.mark.parametrize(
    ("code", "level"), [("AccessDeniedException", "ERROR"), ("InternalServerError", "WARNING")]
)
def test_what_aws_refuses_is_a_503_and_only_what_stays_refused_is_an_error_in_the_log(
    caplog: pytest.LogCaptureFixture, code: str, level: str
) -> None:
    problem = problem_of(fault(code, "GetItem"))
    assert (problem.status, problem.code) == (503, "unavailable")
    assert [record.levelname for record in caplog.records] == [level]
