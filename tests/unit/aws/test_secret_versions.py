from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, fault, items

from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.secret_versions import FIRST, SecretVersions

NAME = "SecretVersionsTable"
NOW_MS = 1_800_000_000_000
ITEM = {"subscription_id": "a", "url": "https://receiver.example/"}
THIRD = SecretVersions(present=3, previous_until_ms=NOW_MS)


@pytest.fixture
def table(aws: None) -> SecretVersionsTable:
    create_table(NAME)
    return SecretVersionsTable(client("dynamodb"), NAME)


class Repeating:
    """A client each of whose writes is applied twice, as boto3 does it where the first answer was lost."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._real, name)
        if name not in ("put_item", "update_item"):
            return call

        def twice(**request: Any) -> Any:
            call(**request)
            return call(**request)

        return twice


def rotate(table: SecretVersionsTable, versions: SecretVersions, rotation: str = "one") -> Any:
    return table.rotate(ITEM, versions, previous_until_ms=NOW_MS, rotation=rotation)


def test_a_rotation_raises_the_version_and_keeps_until_when_the_one_before_signs(
    table: SecretVersionsTable,
) -> None:
    assert rotate(table, table.of(ITEM)) == SecretVersions(present=2, previous_until_ms=NOW_MS)
    assert table.of(ITEM) == SecretVersions(present=2, previous_until_ms=NOW_MS)
    assert rotate(table, table.of(ITEM)) == THIRD
    assert table.of(ITEM) == THIRD


def test_a_rotation_begins_where_an_item_of_an_earlier_tunehook_stands(table: SecretVersionsTable) -> None:
    item = ITEM | {"secret_version": 3, "previous_secret_until_ms": NOW_MS}
    assert table.of(item) == THIRD
    assert table.get("a") == THIRD
    assert rotate(table, table.of(ITEM)) == SecretVersions(present=4, previous_until_ms=NOW_MS)


def test_what_is_kept_goes_before_what_the_item_says(table: SecretVersionsTable) -> None:
    table.keep("a", THIRD)
    for version in (1, 2, 3, 4, None, "4"):
        said = {"secret_version": version, "previous_secret_until_ms": NOW_MS + 1}
        assert table.of(ITEM | said) == THIRD


def test_of_what_is_kept_already_nothing_is_changed(table: SecretVersionsTable) -> None:
    assert table.keep("a", THIRD) == THIRD
    assert table.keep("a", SecretVersions(present=9)) == THIRD
    assert table.get("a") == THIRD
    assert table.ids() == {"a"}


def test_of_a_subscription_that_was_never_rotated_nothing_is_kept(table: SecretVersionsTable) -> None:
    assert table.of(ITEM) == FIRST
    assert (items(NAME), table.ids(), table.get("a")) == ([], set(), None)


def test_of_two_rotations_at_the_same_time_one_counts(table: SecretVersionsTable) -> None:
    before = table.of(ITEM)
    assert rotate(table, before, "one") is not None
    assert rotate(table, before, "another") is None
    assert table.of(ITEM).present == 2


def test_a_rotation_that_meets_an_item_kept_meanwhile_counts_on_from_it(table: SecretVersionsTable) -> None:
    before = table.of(ITEM)
    table.keep("a", THIRD)
    assert rotate(table, before) is None
    assert table.of(ITEM) == THIRD


def test_a_write_whose_answer_was_lost_is_known_as_ones_own(table: SecretVersionsTable) -> None:
    unsure = SecretVersionsTable(Repeating(client("dynamodb")), NAME)  # type: ignore[arg-type]
    assert unsure.keep("a", FIRST) == FIRST
    assert rotate(unsure, FIRST) == SecretVersions(present=2, previous_until_ms=NOW_MS)
    assert table.get("a") == SecretVersions(present=2, previous_until_ms=NOW_MS)


@pytest.mark.parametrize("call", ["put_item", "update_item"])
def test_a_fault_while_rotating_is_raised(table: SecretVersionsTable, call: str) -> None:
    faulty: Any = Faulty(client("dynamodb"), **{call: [fault()]})
    with pytest.raises(type(fault())):
        rotate(SecretVersionsTable(faulty, NAME), FIRST)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, FIRST),
        ({"secret_version": 1, "previous_secret_until_ms": 5}, FIRST),
        ({"secret_version": 2}, SecretVersions(present=2)),
        ({"secret_version": 2, "previous_secret_until_ms": "soon"}, SecretVersions(present=2)),
        (
            {"secret_version": 2, "previous_secret_until_ms": 5},
            SecretVersions(present=2, previous_until_ms=5),
        ),
        ({"secret_version": "2"}, FIRST),
        ({"secret_version": 0}, FIRST),
        ({"secret_version": True}, FIRST),
        ({"secret_version": 2.5}, FIRST),
        ({"secret_version": 10**12}, FIRST),
    ],
)
def test_what_tunehook_cannot_have_written_on_an_item_is_not_given(
    table: SecretVersionsTable, said: dict[str, Any], expected: SecretVersions
) -> None:
    assert table.of(ITEM | said) == expected


def test_the_version_before_signs_until_its_time_is_over() -> None:
    assert THIRD.signing(NOW_MS - 1) == (3, 2)
    assert THIRD.signing(NOW_MS) == (3,)
    assert SecretVersions(present=1, previous_until_ms=NOW_MS).signing(0) == (1,)
