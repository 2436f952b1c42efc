"""What the errors of the code say of the caller's request, and what they do not."""

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
