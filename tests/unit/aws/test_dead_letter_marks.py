from typing import Any

import pytest
from tests.support.aws import client, create_table, put
from tests.support.tasks import NOW_MS

from tunehook.aws.dead_letter_marks import DEAD_LETTERS, DeadLetterMark, DeadLetterMarks

# As documented, and not imported: a bound that moves is to be noticed.
LATEST_MS = 253_402_300_799_999
MOST = 1_000_000_000

NAME = "ProviderStatesTable"
NEW = DeadLetterMark(NOW_MS, told=0, told_at_ms=0, is_empty=False, messages=None)
TOLD: dict[str, Any] = {
    "intake_since_ms": NOW_MS,
    "intake_told": 1,
    "intake_told_at_ms": NOW_MS,
    "intake_is_empty": False,
    "intake_messages": 3,
}


@pytest.fixture
def marks(aws: None) -> DeadLetterMarks:
    create_table(NAME)
    return DeadLetterMarks(client("dynamodb"), NAME)


def noted(**fields: Any) -> dict[str, Any]:
    return {"provider": DEAD_LETTERS} | TOLD | {f"intake_{name}": value for name, value in fields.items()}


def test_a_queue_that_was_not_told_of_is_marked_as_just_that(marks: DeadLetterMarks) -> None:
    assert marks.get() == {}
    assert marks.begin("intake", None, NOW_MS) == NEW
    assert marks.get() == {"intake": NEW}


@pytest.mark.parametrize(
    ("fields", "mark"),
    [
        ({}, DeadLetterMark(NOW_MS, 1, NOW_MS, False, 3)),
        ({"since_ms": 0, "told_at_ms": 0}, DeadLetterMark(0, 1, 0, False, 3)),
        (
            {"since_ms": LATEST_MS, "told_at_ms": LATEST_MS, "is_empty": True},
            DeadLetterMark(LATEST_MS, 1, LATEST_MS, True, 3),
        ),
        ({"told": MOST, "messages": 1}, DeadLetterMark(NOW_MS, MOST, NOW_MS, False, 1)),
        ({"messages": MOST}, DeadLetterMark(NOW_MS, 1, NOW_MS, False, MOST)),
        ({"messages": 0}, DeadLetterMark(NOW_MS, 1, NOW_MS, False, None)),
        ({"messages": MOST + 1}, DeadLetterMark(NOW_MS, 1, NOW_MS, False, None)),
        ({"told": 0}, DeadLetterMark(NOW_MS, 0, NOW_MS, False, None)),
    ],
)
def test_a_mark_is_read_up_to_its_bounds(
    marks: DeadLetterMarks, fields: dict[str, Any], mark: DeadLetterMark
) -> None:
    put(NAME, noted(**fields))
    assert marks.get() == {"intake": mark}


@pytest.mark.parametrize(
    "fields",
    [
        {"since_ms": -1},
        {"since_ms": LATEST_MS + 1},
        {"told": -1},
        {"told": MOST + 1},
        {"told_at_ms": -1},
        {"told_at_ms": LATEST_MS + 1},
        {"is_empty": 0},
        {"is_empty": None},
    ],
)
def test_beyond_them_it_is_none_and_those_of_other_queues_are_left(
    marks: DeadLetterMarks, fields: dict[str, Any]
) -> None:
    other = {name.replace("intake", "deliveries"): value for name, value in TOLD.items()}
    put(NAME, noted(**fields) | other)
    assert list(marks.get()) == ["deliveries"]


def test_a_mark_that_has_changed_since_is_left(marks: DeadLetterMarks) -> None:
    first = marks.begin("intake", None, NOW_MS)
    assert first is not None
    assert marks.record_told("intake", first, NOW_MS + 1, 2)
    assert not marks.record_told("intake", first, NOW_MS + 2, 2)
    assert not marks.record_empty("intake", first)
    told = DeadLetterMark(NOW_MS, 1, NOW_MS + 1, False, 2)
    assert marks.begin("intake", first, NOW_MS + 3) == marks.get()["intake"] == told
    assert marks.record_empty("intake", told)
    assert marks.begin("intake", told, NOW_MS + 4) == DeadLetterMark(NOW_MS + 4, 0, 0, False, None)
