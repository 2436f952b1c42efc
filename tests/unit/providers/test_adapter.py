from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tunehook.providers import ADAPTERS, Answer, Throttled, Unauthorised
from tunehook.providers.adapter import encoded_id

RECEIVED_AT = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("task_id", "segment"),
    [
        ("ba46ad15-07ce", "ba46ad15-07ce"),
        ("../x", "..%2Fx"),
        ("a?b#c", "a%3Fb%23c"),
        ("%2e%2e", "%252e%252e"),
        ("a\\b", "a%5Cb"),
        ("歌", "%E6%AD%8C"),
        ("\x00\r\n", "%00%0D%0A"),
    ],
)
def test_an_id_is_one_encoded_segment(task_id: str, segment: str) -> None:
    assert encoded_id(task_id) == segment


@pytest.mark.parametrize("task_id", ["", ".", "..", "\ud800"])
def test_an_id_that_no_segment_can_be_is_refused(task_id: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        encoded_id(task_id)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        ("9" * 400, 300.0),
        ("Fri, 20 Nov 2026 16:01:00 GMT", 60.0),
        ("Fri, 20 Nov 2026 17:01:00 +0100", 60.0),
        ("Fri, 20 Nov 2026 16:01:00 -0000", 60.0),
        ("Fri, 20 Nov 2099 16:01:00 GMT", 300.0),
        ("Fri, 20 Nov 1999 16:01:00 GMT", 0.0),
        *(
            (value, None)
            for value in ("", "soon", "-5", "nan", "inf", "1e3", "²", "Fri, 99 Foo 2026 99:99:99 GMT")
        ),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_five_minutes(value: str, seconds: float | None) -> None:
    answer = Answer(429, {"retry-after": value}, b"", RECEIVED_AT)
    assert ADAPTERS["suno"].read(answer) == Throttled(seconds, detail="HTTP 429")


def test_what_a_provider_says_about_a_refused_key_is_shortened() -> None:
    outcome = ADAPTERS["suno"].read(Answer(401, {}, b'{"error": {"message": "%s"}}' % (b"x" * 10_000)))
    assert isinstance(outcome, Unauthorised)
    assert len(outcome.detail) < 400


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_adapter_has_the_name_of_its_module(kind: str) -> None:
    assert type(ADAPTERS[kind]).__module__ == f"tunehook.providers.kinds.{kind}"
