import base64
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import pytest

from tunehook.aws.pages import (
    LOOKED_AT,
    Period,
    Position,
    content_of_cursor,
    cursor_of,
    in_order,
    page_of,
    periods,
)
from tunehook.errors import InvalidInput

TIE = "0123456789abcdef"


def item(at_ms: Any, name: str) -> dict[str, Any]:
    return {"at_ms": at_ms, "name": name}


def ordered(*parts: Iterable[dict[str, Any]], after: Position | None = None) -> list[tuple[Position, str]]:
    found = in_order([list(part) for part in parts], "at_ms", ["name"], after)
    return [(position, each["name"]) for position, each in found]


def test_parts_are_merged_newest_first() -> None:
    parts = [item(9, "a"), item(4, "b")], [], [item(7, "c"), item(1, "d")]
    assert [name for _, name in ordered(*parts)] == ["a", "c", "b", "d"]


def test_after_any_of_them_the_others_follow_even_of_the_same_moment() -> None:
    parts = [item(9, "a"), item(5, "b"), item(5, "c")], [item(5, "d"), item(5, "e"), item(2, "f")]
    whole = ordered(*parts)
    assert sorted(name for _, name in whole) == list("abcdef")
    for number, (position, _) in enumerate(whole, 1):
        # An index may give those of one moment in any order.
        assert ordered(*(reversed_where_alike(part) for part in parts), after=position) == whole[number:]


def reversed_where_alike(part: list[dict[str, Any]]) -> list[dict[str, Any]]:
    part = part[::-1]
    return sorted(part, key=lambda each: -int(each["at_ms"]))


def test_it_goes_on_where_the_item_of_the_position_is_gone() -> None:
    part = [item(5, "a"), item(5, "b"), item(5, "c")]
    (_, first), (position, second), (_, third) = ordered(part)
    assert [
        name for _, name in ordered([each for each in part if each["name"] != second], after=position)
    ] == [third]
    assert first != third


@pytest.mark.parametrize("moment", [1.5, -1, 10**15])
def test_an_item_without_a_moment_is_left_out(moment: float) -> None:
    parts = sorted([item(moment, "odd"), item(3, "a")], key=lambda each: -float(each["at_ms"]))
    assert [name for _, name in ordered(parts)] == ["a"]


def test_an_item_of_another_period_is_left_out() -> None:
    part = [item(at_ms, str(at_ms)) for at_ms in (21, 20, 19, 10, 9)]
    found = in_order([part], "at_ms", ["name"], within=Period(10, 20))
    assert [each["name"] for _, each in found] == ["19", "10"]


@pytest.mark.parametrize(
    ("since_ms", "after_ms", "begin"),
    [
        # At 1,000,000, with clocks up to 600,000 ahead, and kept for 250,000.
        (0, None, list(range(1_600_000, 600_000, -100_000))),
        (0, 950_000, [900_000, 800_000, 700_000]),
        (800_000, 950_000, [900_000, 800_000]),
        (800_001, 899_999, [800_000]),
        (900_000, 899_999, []),
        (0, 749_999, []),
        (2_000_000, None, []),
        (1_550_000, None, [1_600_000, 1_500_000]),
        (1_550_000, 9_000_000, [1_600_000, 1_500_000]),
    ],
)
def test_a_list_goes_through_the_periods_that_may_have_some_of_it(
    since_ms: int, after_ms: int | None, begin: list[int]
) -> None:
    after = None if after_ms is None else Position(after_ms, TIE)
    found = list(periods(100_000, 1_000_000, 250_000, since_ms, after))
    assert found == [Period(each, each + 100_000) for each in begin]


def test_before_1970_there_is_no_period() -> None:
    assert [each.begins_ms for each in periods(700_000, 5, 10**9, 0, None)] == [0]


def test_a_position_comes_back_from_its_cursor() -> None:
    position = Position(1_800_000_000_000, TIE)
    assert Position.of_cursor("tasks", position.cursor("tasks")) == position


def test_a_cursor_that_somebody_has_goes_on_counting() -> None:
    assert (
        base64.urlsafe_b64decode(Position(5, TIE).cursor("tasks") + "==")
        == b'[1,"tasks",5,"0123456789abcdef"]'
    )
    for version, is_good in ((0, False), (1, True), (2, False)):
        cursor = cursor_of([version, "tasks", 5, TIE])
        if is_good:
            assert Position.of_cursor("tasks", cursor) == Position(5, TIE)
        else:
            with pytest.raises(InvalidInput):
                Position.of_cursor("tasks", cursor)


@pytest.mark.parametrize("at_ms", [0, 253_402_300_799_999])
def test_a_position_has_any_moment_that_can_be_written(at_ms: int) -> None:
    assert Position.of_cursor("tasks", Position(at_ms, TIE).cursor("tasks")).at_ms == at_ms


def test_a_cursor_has_200_characters_at_most() -> None:
    assert content_of_cursor(cursor_of(["x" * 146]), 200) == ["x" * 146]
    assert len(cursor_of(["x" * 146])) == 200
    assert content_of_cursor(cursor_of(["x" * 147]), 200) is None
    kind = "k" * (150 - len('[1,"",5,"0123456789abcdef"]'))
    longest = Position(5, TIE).cursor(kind)
    assert len(longest) == 200
    assert Position.of_cursor(kind, longest) == Position(5, TIE)
    with pytest.raises(InvalidInput):
        Position.of_cursor(kind + "k", Position(5, TIE).cursor(kind + "k"))


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "\ud800",
        "=" * 8,
        "A" * 5_000,
        "WzFd",  # [1]
        "bnVsbA",  # null
        "e30",  # {}
        "W1sxXV0",  # [[1]]
        Position(1, TIE).cursor("deliveries"),
        Position(-1, TIE).cursor("tasks"),
        Position(10**15, TIE).cursor("tasks"),
        Position(1, TIE[:-1]).cursor("tasks"),
        Position(1, "g" * 16).cursor("tasks"),
        Position(1.5, TIE).cursor("tasks"),  # type: ignore[arg-type]
        Position(True, TIE).cursor("tasks"),
        Position(1, TIE).cursor("tasks") + "\n",
        Position(1, TIE).cursor("tasks") + "!",
    ],
    ids=range(19),
)
def test_what_is_no_cursor_of_this_list_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Position.of_cursor("tasks", cursor)
    assert refused.value.field == "cursor"


class Reader:
    """Reads entries that are numbers, of which those exist that divide by `every`."""

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.read: list[list[int]] = []

    def __call__(self, numbers: list[int]) -> dict[int, str]:
        self.read.append(numbers)
        return {number: str(number) for number in numbers if number % self.every == 0}


def entries(numbers: Iterable[int]) -> Iterator[tuple[Position, int]]:
    return ((Position(number, TIE), number) for number in numbers)


def test_a_page_reads_no_more_than_it_has() -> None:
    reader = Reader()
    assert page_of(entries(count()), reader, 3, filtered=False) == (["0", "1", "2"], Position(2, TIE))
    assert reader.read == [[0, 1, 2]]


def test_what_is_gone_makes_no_page_short() -> None:
    assert page_of(entries(count()), Reader(2), 3, filtered=False) == (["0", "2", "4"], Position(4, TIE))


@pytest.mark.parametrize("size", [2, 3])
def test_after_the_last_there_is_no_other_page(size: int) -> None:
    whole = [str(each) for each in range(size)]
    assert page_of(entries(range(size)), Reader(), 3, filtered=False) == (whole, None)


def test_a_page_may_be_empty_and_others_follow() -> None:
    reader = Reader(100_000)
    assert page_of(entries(count(1)), reader, 3, filtered=True) == ([], Position(LOOKED_AT, TIE))
    assert sum(map(len, reader.read)) == 300


def test_of_what_was_read_too_much_the_next_page_begins_with() -> None:
    assert page_of(entries(count()), Reader(10), 3, filtered=True) == (["0", "10", "20"], Position(20, TIE))
    assert page_of(entries(range(99)), Reader(49), 3, filtered=True) == (["0", "49", "98"], None)


@pytest.mark.parametrize("limit", [-1, 0, 101])
def test_a_page_has_1_to_100_items(limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit: must be 1 to 100"):
        page_of(entries(count()), Reader(), limit, filtered=False)
