import pytest

from webhooks.policy import ResponseClass, classify_response, next_attempt_at_ms

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
WAITS = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
NOW_MS = 1_800_000_000_000  # Fri, 15 Jan 2027 08:00:00 GMT


def wait_ms(attempt: int, *, jitter: float = 0.0, retry_after: str | None = None) -> int | None:
    due_at_ms = next_attempt_at_ms(attempt, NOW_MS, jitter=jitter, retry_after=retry_after)
    return None if due_at_ms is None else due_at_ms - NOW_MS


def test_the_waits_are_those_of_the_contract() -> None:
    assert [wait_ms(attempt) for attempt in range(1, 10)] == WAITS


def test_ten_attempts_take_75_hours_35_minutes_and_5_seconds() -> None:
    assert sum(wait_ms(attempt) or 0 for attempt in range(1, 10)) == 75 * HOUR + 35 * MINUTE + 5 * SECOND


def test_nothing_follows_the_tenth_attempt() -> None:
    assert wait_ms(10) is None
    assert wait_ms(10, retry_after="60") is None


@pytest.mark.parametrize("attempt", range(1, 10))
def test_the_jitter_adds_at_most_20_percent(attempt: int) -> None:
    assert wait_ms(attempt, jitter=1.0) == WAITS[attempt - 1] * 12 // 10
    assert wait_ms(attempt, jitter=0.5) == WAITS[attempt - 1] * 11 // 10


@pytest.mark.parametrize(
    "value",
    [
        "60",
        " 60 ",
        "60.0",
        "Fri, 15 Jan 2027 08:01:00 GMT",
        "Friday, 15-Jan-27 08:01:00 GMT",
        "Fri Jan 15 08:01:00 2027",
    ],
)
def test_a_longer_retry_after_is_obeyed_in_seconds_and_as_a_date(value: str) -> None:
    assert wait_ms(1, retry_after=value) == 60 * SECOND


def test_a_shorter_retry_after_changes_nothing() -> None:
    assert wait_ms(2, retry_after="60") == 5 * MINUTE


def test_jitter_counts_before_the_comparison_with_retry_after() -> None:
    assert wait_ms(2, jitter=1.0, retry_after="301") == 6 * MINUTE


@pytest.mark.parametrize("value", ["86401", "9" * 5000, "Fri, 15 Jan 2038 08:00:00 GMT"])
def test_retry_after_is_obeyed_up_to_24_hours(value: str) -> None:
    assert wait_ms(1, retry_after=value) == 24 * HOUR


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-60",
        "soon",
        "1e9",
        "60, 70",
        "٦٠",
        "Fri, 32 Jan 2027 08:00:00 GMT",
        "Fri, 15 Jan 1999 08:00:00 GMT",
        "Fri, 15 Jan 99999 08:00:00 GMT",
        "Fri, 31 Dec 99999999999 23:59:59 GMT",
        "Fri, 15 Jan 2027 08:01:00 +9999999999",
        "\x00",
    ],
)
def test_a_retry_after_that_says_nothing_is_ignored(value: str) -> None:
    assert wait_ms(1, retry_after=value) == 5 * SECOND


@pytest.mark.parametrize("status_code", [200, 201, 202, 204, 299])
def test_2xx_is_delivered(status_code: int) -> None:
    assert classify_response(status_code, {}) is ResponseClass.DELIVERED


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
    assert classify_response(status_code, {}) is ResponseClass.FAILED


def test_410_ends_the_subscription() -> None:
    assert classify_response(410, {}) is ResponseClass.GONE


@pytest.mark.parametrize("status_code", [200, 302, 400, 410, 500])
@pytest.mark.parametrize("value", ["disable", " Disable "])
def test_a_header_disable_ends_the_subscription_on_any_answer(status_code: int, value: str) -> None:
    assert classify_response(status_code, {"webhook-delivery": value}) is ResponseClass.GONE


@pytest.mark.parametrize("status_code", [200, 302, 400, 500])
def test_a_header_abort_message_ends_the_delivery_on_any_answer(status_code: int) -> None:
    assert classify_response(status_code, {"webhook-delivery": "abort-message"}) is ResponseClass.ABORTED


def test_410_counts_for_more_than_abort_message() -> None:
    assert classify_response(410, {"webhook-delivery": "abort-message"}) is ResponseClass.GONE


def test_an_unknown_value_of_the_header_changes_nothing() -> None:
    assert classify_response(200, {"webhook-delivery": "later"}) is ResponseClass.DELIVERED
