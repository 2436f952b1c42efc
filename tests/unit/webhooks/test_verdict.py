import pytest

from webhooks.verdict import Verdict, judge


@pytest.mark.parametrize("status_code", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status_code: int) -> None:
    assert judge(status_code, {}) is Verdict.DELIVERED


@pytest.mark.parametrize(
    "status_code",
    [
        101,
        300,
        301,
        302,
        304,
        307,
        308,
        400,
        401,
        403,
        404,
        408,
        409,
        425,
        429,
        451,
        500,
        502,
        503,
        504,
        599,
        999,
    ],
)
def test_everything_else_is_tried_again(status_code: int) -> None:
    assert judge(status_code, {}) is Verdict.FAILED


def test_410_ends_the_subscription() -> None:
    assert judge(410, {}) is Verdict.GONE


@pytest.mark.parametrize("status_code", [200, 302, 400, 410, 500])
@pytest.mark.parametrize("value", ["disable", " Disable "])
def test_a_header_disable_ends_the_subscription_on_any_answer(status_code: int, value: str) -> None:
    assert judge(status_code, {"webhook-delivery": value}) is Verdict.GONE


@pytest.mark.parametrize("status_code", [200, 302, 400, 500])
def test_a_header_abort_message_ends_the_delivery_on_any_answer(status_code: int) -> None:
    assert judge(status_code, {"webhook-delivery": "abort-message"}) is Verdict.ABORTED


def test_410_counts_for_more_than_abort_message() -> None:
    assert judge(410, {"webhook-delivery": "abort-message"}) is Verdict.GONE


def test_an_unknown_value_of_the_header_changes_nothing() -> None:
    assert judge(200, {"webhook-delivery": "later"}) is Verdict.DELIVERED
