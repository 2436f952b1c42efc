"""The list of all tasks, newest first, over the weeks that its index is parted by."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from tests.support.aws import client, create_table, items, put

from tunehook.aws.pages import Position
from tunehook.aws.tasks import Start, TasksTable, listed_attributes
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import check_request

NAME = "TasksTable"
DAY_MS = 24 * 3600 * 1000
WEEK_MS = 7 * DAY_MS
NOW_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z
BORDER_MS = NOW_MS - 32 * 3600 * 1000
"""When the week of `NOW_MS` began."""

RECENT_MS = NOW_MS - 3 * WEEK_MS
"""Since when lists are wanted that need not go through all weeks."""

TIE = "0" * 16


@pytest.fixture
def table(aws: None) -> TasksTable:
    create_table(NAME)
    return TasksTable(client("dynamodb"), NAME)


@pytest.fixture
def asked(table: TasksTable) -> Iterator[list[dict[str, Any]]]:
    """The Queries that are made."""
    calls: list[dict[str, Any]] = []
    events, name = client("dynamodb").meta.events, "provide-client-params.dynamodb.Query"
    events.register(name, note := lambda params, **_: calls.append(params))
    yield calls
    events.unregister(name, note)


def accept_all(table: TasksTable, moments_ms: Iterable[int]) -> None:
    """Accept ``t-00`` and so on, each at its moment."""
    for number, at_ms in enumerate(moments_ms):
        item = {"task_id": f"t-{number:02}", "provider": "suno"}
        put(NAME, item)
        request = check_request(item, NetworkPolicy.PUBLIC)
        assert table.accept(request, item, 0, at_ms) is Start.BEGUN


def names(table: TasksTable, now_ms: int = NOW_MS, **wanted: Any) -> list[str]:
    return [key.task_id for _, key in table.listed(now_ms, **wanted)]


def test_all_partitions_are_listed_as_one_newest_first(table: TasksTable) -> None:
    accept_all(table, (NOW_MS + number // 3 for number in range(15)))
    assert {item["listed"] for item in items(NAME)} == {f"tasks#2027-01-14#{each}" for each in range(4)}
    found = names(table, since_ms=RECENT_MS)
    assert len(set(found)) == 15
    assert [int(name[2:]) // 3 for name in found] == sorted((each // 3 for each in range(15)), reverse=True)


def test_the_partitions_of_all_weeks_are_listed_as_one(table: TasksTable) -> None:
    accept_all(table, (NOW_MS - number * WEEK_MS // 2 for number in range(12)))
    assert len({item["listed"] for item in items(NAME)}) > 6
    assert names(table) == [f"t-{number:02}" for number in range(12)]


def test_after_any_task_the_others_follow_over_the_borders(table: TasksTable) -> None:
    moments = [BORDER_MS + each for each in (1, 0, 0, -1, -1, -1, -2, -WEEK_MS, -WEEK_MS - 1)]
    accept_all(table, moments)
    whole = list(table.listed(NOW_MS, since_ms=RECENT_MS))
    assert [position.at_ms for position, _ in whole] == moments
    for number, (position, _) in enumerate(whole, 1):
        assert list(table.listed(NOW_MS, since_ms=RECENT_MS, after=position)) == whole[number:]


def test_a_walk_that_lasts_over_a_border_goes_on_where_it_was(table: TasksTable) -> None:
    before = [BORDER_MS - 1 - number for number in range(4)]
    accept_all(table, before)
    whole = list(table.listed(BORDER_MS - 1, since_ms=RECENT_MS))
    accept_all(table, [*before, BORDER_MS, BORDER_MS + 1])
    for number, (position, _) in enumerate(whole, 1):
        rest = list(table.listed(BORDER_MS + WEEK_MS, since_ms=RECENT_MS, after=position))
        assert rest == whole[number:]


def test_one_that_a_clock_ahead_of_ours_has_accepted_is_there(table: TasksTable) -> None:
    accept_all(table, [BORDER_MS + 5, BORDER_MS - 7])
    assert names(table, BORDER_MS - 5) == ["t-00", "t-01"]


def test_one_is_found_as_long_as_it_may_be_there(table: TasksTable) -> None:
    kept_ms = 97 * DAY_MS
    accept_all(table, [NOW_MS - kept_ms, NOW_MS - kept_ms - WEEK_MS])
    assert names(table) == ["t-00"]


def test_one_whose_moment_is_of_another_week_turns_no_walk(table: TasksTable) -> None:
    """Users may have written it: at its word, a page would end in 1970, or begin anew for ever."""
    accept_all(table, [NOW_MS, NOW_MS - 1])
    for name, listed_ms, at_ms in (("old", NOW_MS, 5), ("new", NOW_MS - WEEK_MS, NOW_MS + 5)):
        listed = listed_attributes(name, listed_ms) | {"listed_at_ms": at_ms}
        put(NAME, {"task_id": name, "provider": "suno"} | listed)
    assert names(table) == ["t-00", "t-01"]


def test_those_before_a_moment_are_not(table: TasksTable) -> None:
    accept_all(table, (BORDER_MS - 2 + number // 3 for number in range(12)))
    assert sorted(names(table, since_ms=BORDER_MS)) == [f"t-{number:02}" for number in range(6, 12)]
    assert names(table, since_ms=BORDER_MS, after=Position(BORDER_MS - 1, TIE)) == []
    assert names(table, since_ms=NOW_MS + WEEK_MS) == []


@pytest.mark.parametrize(
    ("wanted", "weeks"),
    [
        ({}, 15),
        ({"since_ms": NOW_MS - WEEK_MS}, 2),
        ({"after": Position(NOW_MS - 10 * WEEK_MS, TIE)}, 5),
        ({"after": Position(253_402_300_799_999, TIE)}, 15),
        ({"after": Position(5, TIE)}, 0),
    ],
)
def test_no_more_weeks_are_asked_for_than_may_have_any(
    table: TasksTable, asked: list[dict[str, Any]], wanted: dict[str, Any], weeks: int
) -> None:
    assert names(table, **wanted) == []
    assert len(asked) == 4 * weeks


def test_a_list_that_goes_on_reads_nothing_of_what_came_before(
    table: TasksTable, asked: list[dict[str, Any]]
) -> None:
    names(table, after=Position(NOW_MS - 12 * WEEK_MS, TIE))
    # The week of the position alone has a condition: the embedded AWS would evaluate it for each item of the others.
    assert [call["KeyConditionExpression"].count("#n") for call in asked] == [2] * 4 + [1] * 8


def test_a_call_reads_about_a_fourth_of_what_is_wanted(
    table: TasksTable, asked: list[dict[str, Any]]
) -> None:
    names(table, since_ms=NOW_MS, at_once=52)
    assert [call["Limit"] for call in asked] == [23] * 4
