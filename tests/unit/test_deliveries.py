import json
from typing import Any

import pytest

from tunehook.aws.deliveries import LoggedDelivery
from tunehook.deliveries import (
    Delivery,
    DeliveryMessage,
    Slot,
    message_for,
    message_of,
    new_delivery,
    payload_id_of,
)
from tunehook.errors import InvalidInput
from tunehook.tasks import Format

# As documented, and not imported: a bound that moves is to be noticed.
LATEST_MS = 253_402_300_799_999

WHOLE: dict[str, Any] = {
    "delivery_id": "msg_1",
    "subscription_id": "sub",
    "attempt": 2,
    "run": 1,
    "due_at_ms": 1_800_000_000_000,
}


def test_a_message_is_read_as_it_was_written() -> None:
    message = DeliveryMessage(**WHOLE)
    assert message_of(message.model_dump_json()) == message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("delivery_id", ""),
        ("delivery_id", "x" * 2_049),
        ("delivery_id", None),
        ("subscription_id", ""),
        ("subscription_id", "歌" * 683),
        ("attempt", 0),
        ("attempt", 10**40),
        ("attempt", "one"),
        ("run", -1),
        ("run", 10**40),
        ("due_at_ms", -1),
        ("due_at_ms", 10**40),
        ("due_at_ms", 253_402_300_800_000),
    ],
)
def test_a_field_that_no_table_could_hold_is_named(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        message_of(json.dumps(WHOLE | {field: value}))
    assert refused.value.field == field


def test_a_short_payload_is_in_the_message_and_a_long_one_is_not() -> None:
    short, long = (
        made(payload='{"title": "我"}', payload_id="payload_1"),
        made(payload="x" * 20_000, payload_id="payload_2"),
    )
    assert [message_for(each).payload for each in (short, long)] == ['{"title": "我"}', None]
    message = message_for(made(payload="我" * 6_660, payload_id="payload_3"))
    assert message.payload == "我" * 6_660
    largest = message.model_dump_json(exclude_none=True)
    assert 10 * len(largest.encode()) < 256 * 1024


def test_a_payload_that_is_gone_is_in_no_message() -> None:
    assert message_for(made(payload="", payload_id="payload_1")).payload is None


def test_only_the_payload_that_a_record_names_counts() -> None:
    record = made(payload='{"title": "我"}', payload_id=payload_id_of('{"title": "我"}'))
    read = record.model_copy(update={"payload": ""})
    assert read.with_payload('{"title": "我"}') == record
    assert read.with_payload('{"title": "forged"}') == read
    earlier = made(payload_id=None)
    assert earlier.with_payload('{"title": "forged"}') == earlier


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "[" * 100_000, "\ufeff{}", '"\\ud800"'])
def test_what_is_no_message_is_refused(body: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        message_of(body)
    assert refused.value.field == "message"


def test_a_refusal_quotes_nothing_of_the_message() -> None:
    with pytest.raises(InvalidInput) as refused:
        message_of(json.dumps(WHOLE | {"run": "a secret"}))
    assert "secret" not in str(refused.value)


def test_a_delivery_is_kept_for_30_days_and_due_at_once() -> None:
    made = new_delivery(
        event_id="evt_1",
        subscription_id="sub",
        task_id="task",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=1_800_000_000_999,
    )
    assert made.expires_at == 1_800_000_000 + 30 * 24 * 3600
    assert made.next_attempt_at_ms == made.created_at_ms == 1_800_000_000_999


def test_a_moment_that_is_none_is_refused() -> None:
    message = {"delivery_id": "d", "subscription_id": "s", "attempt": 1, "run": 1, "due_at_ms": LATEST_MS}
    assert message_of(json.dumps(message)).due_at_ms == LATEST_MS
    with pytest.raises(InvalidInput, match="due_at_ms"):
        message_of(json.dumps(message | {"due_at_ms": LATEST_MS + 1}))


@pytest.mark.parametrize("name", ["attempt", "run"])
def test_a_count_goes_from_1_to_a_thousand_million(name: str) -> None:
    for count in (1, 1_000_000_000):
        assert getattr(message_of(json.dumps(WHOLE | {name: count})), name) == count
    for count in (0, 1_000_000_001):
        with pytest.raises(InvalidInput, match=name):
            message_of(json.dumps(WHOLE | {name: count}))


def made(**changes: Any) -> Delivery:
    values: dict[str, Any] = {
        "event_id": "evt_1",
        "subscription_id": "sub",
        "task_id": "task",
        "provider": "suno",
        "type": "task.completed",
        "event_at_ms": 1,
        "format": Format.STANDARD,
        "payload": "{}",
        "now_ms": 5_000,
    }
    return new_delivery(**values).model_copy(update=changes)


def test_a_message_is_for_the_next_attempt_and_where_no_moment_is_said_due_since_the_beginning() -> None:
    message = message_for(made(next_attempt=3, run=2, next_attempt_at_ms=7_000))
    assert (message.attempt, message.run, message.due_at_ms) == (3, 2, 7_000)
    assert message_for(made(next_attempt_at_ms=None)).due_at_ms == 5_000


def test_a_message_says_since_when_its_run_goes_on_and_1970_where_a_record_says_what_cannot_be() -> None:
    assert message_for(made()).run_began_at_ms == 5_000
    assert message_for(made(expires_at=0)).run_began_at_ms == 0


def test_no_payload_and_no_headers_are_shown_where_a_delivery_is() -> None:
    record = made(candidate={"headers": {"authorization": "a secret"}})
    assert "secret" not in repr(record)
    record = made(payload="a secret", payload_id="payload_1")
    assert "secret" not in repr(message_for(record))
    assert "secret" not in repr(LoggedDelivery.model_validate(record.model_dump()))


SLOT: dict[str, Any] = {"at_ms": 5, "interval_us": 5, "since_ms": 5}


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("at_ms", 0, LATEST_MS), ("interval_us", 1, 1_000_000_000), ("since_ms", 0, LATEST_MS)],
)
def test_a_slot_is_taken_within_its_bounds(name: str, least: int, most: int) -> None:
    for value in (least, most):
        message = message_of(json.dumps(WHOLE | {"slot": SLOT | {name: value}}))
        assert message.slot == Slot(**SLOT | {name: value})
    for value in (least - 1, most + 1):
        with pytest.raises(InvalidInput, match=f"slot.{name}"):
            message_of(json.dumps(WHOLE | {"slot": SLOT | {name: value}}))


@pytest.mark.parametrize("name", ["due_at_ms", "run_began_at_ms"])
def test_a_moment_of_a_message_may_be_any_that_can_be_written(name: str) -> None:
    for value in (0, LATEST_MS):
        assert getattr(message_of(json.dumps(WHOLE | {name: value})), name) == value
    for value in (-1, LATEST_MS + 1):
        with pytest.raises(InvalidInput, match=name):
            message_of(json.dumps(WHOLE | {name: value}))


@pytest.mark.parametrize(("more", "is_in_it"), [(0, True), (1, False)])
def test_a_payload_of_20_kb_as_json_is_in_the_message(more: int, is_in_it: bool) -> None:
    payload = "x" * (20_000 - 2 + more)
    assert (message_for(made(payload=payload, payload_id="payload_1")).payload == payload) is is_in_it


@pytest.mark.parametrize(
    ("payload", "form", "says_pending"),
    [
        ('{"archive": "pending"}', Format.STANDARD, True),
        ('{"archive": "pending"}', Format.CLOUDEVENTS, True),
        ('{"archive": "pending"}', Format.PROVIDER, False),
        ('{"archive": "complete"}', Format.STANDARD, False),
        ("[]", Format.STANDARD, False),
        ("{", Format.STANDARD, False),
    ],
)
def test_a_record_says_whether_files_were_waited_for(payload: str, form: Format, says_pending: bool) -> None:
    assert made(payload=payload, format=form).says_pending is says_pending
