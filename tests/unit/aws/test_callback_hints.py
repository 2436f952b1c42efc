"""Hints that a callback leaves for the poller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from tests.support.aws import client, create_table, items, put
from tests.support.tasks import KEY, NOW_MS

from tunehook.aws.callback_hints import CallbackHintsTable, Hint
from tunehook.tasks import TaskKey

LATER_MS = NOW_MS + 60_000


@pytest.fixture
def hints() -> Iterator[CallbackHintsTable]:
    with mock_aws():
        create_table("CallbackHintsTable")
        yield CallbackHintsTable(client("dynamodb"), "CallbackHintsTable")


def test_a_shard_has_its_own_hints(hints: CallbackHintsTable) -> None:
    hints.put(0, KEY, NOW_MS)
    hints.put(1, TaskKey("other", "suno"), NOW_MS)
    assert hints.of_shard(0) == [Hint(0, KEY, NOW_MS)]


@pytest.mark.parametrize("consistent", [{}, {"consistent": False}, {"consistent": True}])
def test_they_are_read_as_of_all_writes_only_where_that_is_asked_for(
    hints: CallbackHintsTable, consistent: dict[str, bool]
) -> None:
    requests: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        requests.append(params)

    events = client("dynamodb").meta.events
    events.register("provide-client-params.dynamodb.Query", note)
    hints.of_shard(0, **consistent)
    events.unregister("provide-client-params.dynamodb.Query", note)
    assert [each["ConsistentRead"] for each in requests] == [consistent.get("consistent", False)]


def test_a_task_of_each_provider_has_its_own(hints: CallbackHintsTable) -> None:
    for provider in ("a", "b"):
        hints.put(0, TaskKey("task-1", provider), NOW_MS)
    assert [each.key.provider for each in hints.of_shard(0)] == ["a", "b"]


def test_a_callback_that_comes_while_the_poller_asks_is_kept(hints: CallbackHintsTable) -> None:
    hints.put(0, KEY, NOW_MS)
    (read,) = hints.of_shard(0)
    hints.put(0, KEY, NOW_MS + 1)
    assert not hints.delete(read)
    assert hints.of_shard(0) == [Hint(0, KEY, NOW_MS + 1)]


def test_what_was_asked_is_deleted_once(hints: CallbackHintsTable) -> None:
    hints.put(0, KEY, NOW_MS)
    (read,) = hints.of_shard(0)
    assert hints.delete(read)
    assert hints.delete(read)
    assert items("CallbackHintsTable") == []


def test_of_a_task_that_nobody_knows_the_first_callback_counts(hints: CallbackHintsTable) -> None:
    assert hints.put_unknown(0, KEY, NOW_MS, LATER_MS)
    assert not hints.put_unknown(0, KEY, NOW_MS + 1, LATER_MS + 1)
    assert hints.of_shard(0) == [Hint(0, KEY, NOW_MS, LATER_MS)]


def test_one_that_is_known_by_now_is_not_taken_in(hints: CallbackHintsTable) -> None:
    hints.put_unknown(0, KEY, NOW_MS, LATER_MS)
    hints.put(0, KEY, NOW_MS + 1)
    assert hints.of_shard(0) == [Hint(0, KEY, NOW_MS + 1)]


def test_one_that_has_expired_is_in_nobodys_way(hints: CallbackHintsTable) -> None:
    hints.put(0, KEY, NOW_MS - 2 * 3_600_000)
    assert hints.put_unknown(0, KEY, NOW_MS, LATER_MS)


def test_an_id_that_is_too_long_for_the_key_is_kept_whole(hints: CallbackHintsTable) -> None:
    key = TaskKey("ä" * 512, "suno")
    hints.put(0, key, NOW_MS)
    (read,) = hints.of_shard(0)
    assert read.key == key
    assert hints.delete(read)


def test_a_hint_expires_after_an_hour_and_one_of_an_unknown_task_a_day_after_it_may_be_taken_in(
    hints: CallbackHintsTable,
) -> None:
    hints.put(0, KEY, NOW_MS + 999)
    hints.put_unknown(1, KEY, NOW_MS, LATER_MS + 999)
    expire = {item["queue"]: item["expires_at"] for item in items("CallbackHintsTable")}
    assert expire == {"hints#0": NOW_MS // 1000 + 3_600, "hints#1": LATER_MS // 1000 + 24 * 3600}


def test_the_longest_key_that_the_table_takes_is_kept_as_it_is(hints: CallbackHintsTable) -> None:
    for length, is_kept in ((1_024, True), (1_025, False)):
        key = TaskKey("x" * (length - len("suno#")), "suno")
        hints.put(length, key, NOW_MS)
        (hint,) = (each["hint"] for each in items("CallbackHintsTable") if each["queue"] == f"hints#{length}")
        assert (hint == f"suno#{key.task_id}") is is_kept


@pytest.mark.parametrize("ms", [0, 253_402_300_799_999])
def test_a_hint_has_any_moment_that_can_be_written(hints: CallbackHintsTable, ms: int) -> None:
    item = {"queue": "hints#0", "hint": "a", "task_id": "t", "provider": "p", "hinted_at_ms": ms}
    put("CallbackHintsTable", item | {"take_in_at_ms": ms})
    assert hints.of_shard(0) == [Hint(0, TaskKey("t", "p"), ms, ms)]


@pytest.mark.parametrize(
    "change",
    [
        {"task_id": 5},
        {"provider": None},
        {"hinted_at_ms": "now"},
        {"hinted_at_ms": -1},
        {"hinted_at_ms": 253_402_300_800_000},
        {"hinted_at_ms": None},
        {"take_in_at_ms": 0.5},
        {"take_in_at_ms": -1},
        {"take_in_at_ms": 253_402_300_800_000},
    ],
)
def test_an_edited_item_hides_no_other(hints: CallbackHintsTable, change: dict[str, object]) -> None:
    item = {"queue": "hints#0", "hint": "a", "task_id": "t", "provider": "p", "hinted_at_ms": NOW_MS}
    put("CallbackHintsTable", item | change)
    hints.put(0, KEY, NOW_MS)
    assert hints.of_shard(0) == [Hint(0, KEY, NOW_MS)]


def test_the_question_about_a_task_that_nobody_knows_is_claimed_once(hints: CallbackHintsTable) -> None:
    hints.put_unknown(0, KEY, NOW_MS, LATER_MS)
    (read,) = hints.of_shard(0)
    claimed = hints.claim_take_in(read, LATER_MS + 60_000)
    assert claimed == Hint(0, KEY, NOW_MS, LATER_MS + 60_000)
    assert hints.of_shard(0) == [claimed]
    assert hints.claim_take_in(read, LATER_MS + 60_000) is None


def test_a_task_that_has_been_put_meanwhile_is_not_claimed(hints: CallbackHintsTable) -> None:
    hints.put_unknown(0, KEY, NOW_MS, LATER_MS)
    (read,) = hints.of_shard(0)
    hints.put(0, KEY, NOW_MS + 1)
    assert hints.claim_take_in(read, LATER_MS + 60_000) is None
    assert hints.of_shard(0) == [Hint(0, KEY, NOW_MS + 1)]
