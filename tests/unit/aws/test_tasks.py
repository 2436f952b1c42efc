from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.support.aws import client, create_table, items, put, stream_image
from tests.support.tasks import KEY, NOW_MS, clip, completed, pending

from tunehook.aws.items import from_stream, to_attributes
from tunehook.aws.task_items import metadata_of
from tunehook.aws.tasks import TasksTable
from tunehook.errors import InvalidInput
from tunehook.events import task_ended
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import (
    EndedTask,
    Failure,
    FailureCode,
    PendingTask,
    Status,
    Suspicion,
    TaskEnd,
    TaskKey,
    TaskRequest,
    Trouble,
    check_request,
)

LATER_MS = NOW_MS + 1_000
NAME = "TasksTable"
USER_ITEM: dict[str, Any] = {
    "task_id": "task-1",
    "provider": "suno",
    "notify_hook": "https://hook.example.com/",
    "notify_format": "provider",
    "metadata": {"order": 7, "deep": {"list": [1, "two", None]}},
    "timeout_s": 600,
}
FAILED = TaskEnd(
    status=Status.FAILED,
    detected_at_ms=LATER_MS,
    submitted_at_ms=NOW_MS,
    failure=Failure(FailureCode.TIMED_OUT, "not ended within 600 s"),
)
TROUBLE = Trouble(kind="throttled", count=1, since_ms=NOW_MS)


@pytest.fixture
def table(aws: None) -> TasksTable:
    create_table(NAME)
    return TasksTable(client("dynamodb"), NAME)


def image(item: dict[str, Any]) -> dict[str, Any]:
    """The item as intake gets it."""
    return from_stream(stream_image(item))


def request(item: Mapping[str, Any]) -> TaskRequest:
    return check_request(item, NetworkPolicy.PUBLIC)


def accept(table: TasksTable, item: dict[str, Any] = USER_ITEM, now_ms: int = NOW_MS, shard: int = 0) -> bool:
    return table.accept(request(image(item)), image(item), shard, now_ms)


def accepted(table: TasksTable, item: dict[str, Any] = USER_ITEM, now_ms: int = NOW_MS) -> PendingTask:
    """Put and accept an item, and return it as the work index shows it."""
    put(NAME, item)
    assert accept(table, item, now_ms)
    return next(task for task in table.work(0).pending if task.key.task_id == item["task_id"])


def item_of(table: TasksTable) -> dict[str, Any]:
    item = table.get(KEY)
    assert item is not None
    return item


class TestAccept:
    def test_an_accepted_item_is_pending_with_a_deadline_and_keeps_what_its_user_wrote(
        self, table: TasksTable
    ) -> None:
        put(NAME, USER_ITEM)
        assert accept(table)
        assert item_of(table) == USER_ITEM | {
            "status": "pending",
            "phase": "queued",
            "queue": "work#0",
            "since_ms": NOW_MS,
            "submitted_at_ms": NOW_MS,
            "deadline_ms": NOW_MS + 600_000,
        }

    def test_an_accepted_item_is_in_the_work_index_of_its_shard(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        accept(table, shard=3)
        expected = pending(queue="work#3", phase="queued", deadline_ms=NOW_MS + 600_000)
        assert (table.work(3).pending, table.work(0).pending) == ([expected], [])

    def test_an_item_is_accepted_once(self, table: TasksTable) -> None:
        accepted(table)
        assert not accept(table, now_ms=LATER_MS)
        assert item_of(table)["since_ms"] == NOW_MS

    @pytest.mark.parametrize("end", [completed(), FAILED], ids=["completed", "failed"])
    def test_an_item_that_is_put_again_is_a_new_run(self, table: TasksTable, end: TaskEnd) -> None:
        table.end(accepted(table), end)
        put(NAME, USER_ITEM)
        assert accept(table, now_ms=LATER_MS)
        assert item_of(table)["since_ms"] == LATER_MS

    def test_an_item_whose_status_was_removed_begins_anew_with_nothing_of_the_run_before(
        self, table: TasksTable
    ) -> None:
        ended = table.end(accepted(table), replace(completed(), truncated=True))
        assert ended is not None
        table.leave_index(ended)
        table.record_assets(KEY, item_of(table)["event_id"], [{"key": "results/x"}], LATER_MS)
        client("dynamodb").update_item(
            TableName=NAME,
            Key=to_attributes({"task_id": "task-1", "provider": "suno"}),
            UpdateExpression="REMOVE #status",
            ExpressionAttributeNames={"#status": "status"},
        )
        assert accept(table, now_ms=LATER_MS)
        ours = {"status", "phase", "queue", "since_ms", "submitted_at_ms", "deadline_ms"}
        assert set(item_of(table)) == set(USER_ITEM) | ours

    @pytest.mark.parametrize(
        "now_there",
        [
            USER_ITEM | {"timeout_s": 601},
            USER_ITEM | {"metadata": {"order": 8}},
            {name: value for name, value in USER_ITEM.items() if name != "notify_hook"},
            {"task_id": "task-1", "provider": "suno"},
        ],
        ids=["other timeout", "other metadata", "hook removed", "all removed"],
    )
    def test_an_item_that_was_changed_meanwhile_is_left_alone(
        self, table: TasksTable, now_there: dict[str, Any]
    ) -> None:
        put(NAME, now_there)
        assert not accept(table, USER_ITEM)
        assert item_of(table) == now_there

    def test_a_field_that_was_added_meanwhile_is_a_change(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        assert not accept(table, {"task_id": "task-1", "provider": "suno"})

    def test_an_item_that_was_deleted_meanwhile_stays_deleted(self, table: TasksTable) -> None:
        assert not accept(table)
        assert table.get(KEY) is None

    @pytest.mark.parametrize(
        "metadata",
        [
            {"digits": Decimal("1.2345678901234567890123456789012345678")},
            {"large": Decimal("9.99E+125")},
            {"null": None, "empty": "", "list": [], "map": {}},
        ],
    )
    def test_odd_but_good_metadata_is_recognised_as_unchanged(
        self, table: TasksTable, metadata: dict[str, Any]
    ) -> None:
        item = {"task_id": "task-1", "provider": "suno", "metadata": metadata}
        put(NAME, item)
        assert accept(table, item)

    def test_the_same_task_of_two_providers_is_two_tasks(self, table: TasksTable) -> None:
        accepted(table)
        other = {"task_id": "task-1", "provider": "gw"}
        put(NAME, other)
        assert accept(table, other)
        assert {task.key for task in table.work(0).pending} == {KEY, TaskKey("task-1", "gw")}


class TestReject:
    ERROR = InvalidInput("metadata", "has no form in JSON")

    def reject(self, table: TasksTable, item: dict[str, Any]) -> bool:
        key = TaskKey(item["task_id"], item["provider"])
        return table.reject(key, image(item), self.ERROR, 0, NOW_MS)

    @pytest.mark.parametrize(
        "metadata",
        [
            {"set": {"a", "b"}},
            {"numbers": {Decimal(1), Decimal("2.5")}},
            {"bytes": b"\x00\xff"},
            {"byte_strings": {b"\x00", b"\xff"}},
            {"digits": Decimal("12345678901234567890123456789012345678"), "bytes": [b"x"]},
            "text",
            b"bytes",
            {"long": "x" * 5000},
        ],
        ids=["set", "number set", "binary", "binary set", "38 digits", "text", "bytes", "long"],
    )
    def test_whatever_is_in_an_item_it_ends_as_rejected_and_is_kept(
        self, table: TasksTable, metadata: Any
    ) -> None:
        item = {"task_id": "task-1", "provider": "suno", "metadata": metadata}
        put(NAME, item)
        assert self.reject(table, item)
        stored = item_of(table)
        assert stored["status"] == "rejected"
        assert stored["error"] == "metadata: has no form in JSON"
        assert "metadata" in stored

    def test_a_rejected_item_is_not_pending_and_waits_for_its_event(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        self.reject(table, USER_ITEM)
        assert table.work(0).pending == []
        assert [task.key for task in table.work(0).unsent] == [KEY]

    def test_the_event_of_a_rejected_item_says_why(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        self.reject(table, USER_ITEM)
        (unsent,) = table.work(0).unsent
        ended = table.get_ended(unsent)
        assert ended is not None
        assert ended.end.failure == Failure(FailureCode.INVALID, "metadata: has no form in JSON")
        assert task_ended(ended).event_id == item_of(table)["event_id"]

    def test_a_rejected_item_is_removed_after_90_days(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        self.reject(table, USER_ITEM)
        assert item_of(table)["expires_at"] == NOW_MS // 1000 + 90 * 24 * 3600

    def test_an_item_that_was_mended_meanwhile_is_not_rejected(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        assert not self.reject(table, USER_ITEM | {"metadata": {"set": {"a"}}})
        assert "status" not in item_of(table)


class TestNote:
    def test_what_is_noted_is_on_the_item_and_in_the_index(self, table: TasksTable) -> None:
        task = accepted(table)
        changes = {
            "phase": "processing",
            "submitted_at_ms": NOW_MS - 60_000,
            "last_error": "the provider suno is not configured",
            "not_found_count": 2,
            "empty_count": 1,
            "streaming_since_ms": NOW_MS,
            "suspicion": Suspicion(evidence="word", count=2, since_ms=NOW_MS, at_ms=NOW_MS + 1),
            "trouble": Trouble(kind="throttled", count=3, since_ms=NOW_MS, told="x", is_kept=True),
        }
        assert table.note(task, changes)
        assert table.work(0).pending == [replace(task, **changes)]

    def test_none_removes(self, table: TasksTable) -> None:
        task = accepted(table)
        table.note(task, {"not_found_count": 2, "last_error": "x", "trouble": TROUBLE})
        none = {"not_found_count": None, "last_error": None, "trouble": None}
        assert table.note(task, none | {"phase": "queued"})
        assert table.work(0).pending == [replace(task, phase="queued")]

    def test_a_task_that_has_ended_takes_no_note(self, table: TasksTable) -> None:
        task = accepted(table)
        table.end(task, FAILED)
        before = item_of(table)
        assert not table.note(task, {"phase": "processing"})
        assert item_of(table) == before

    def test_a_later_run_takes_no_note_of_an_earlier_one(self, table: TasksTable) -> None:
        task = accepted(table)
        accepted(table, now_ms=LATER_MS)
        assert not table.note(task, {"phase": "processing"})

    def test_a_deleted_task_does_not_come_back(self, table: TasksTable) -> None:
        assert not table.note(pending(), {"phase": "processing"})
        assert items(NAME) == []


class TestEnd:
    def test_an_ended_task_leaves_the_pending_ones_for_the_unsent_ones(self, table: TasksTable) -> None:
        ended = table.end(accepted(table), completed())
        assert ended is not None
        assert (table.work(0).pending, [task.key for task in table.work(0).unsent]) == ([], [KEY])

    def test_the_event_from_the_item_is_the_event_from_memory(self, table: TasksTable) -> None:
        ended = table.end(accepted(table), completed(truncated=True))
        (unsent,) = table.work(0).unsent
        assert ended is not None
        assert table.get_ended(unsent) == ended
        assert ended.metadata == USER_ITEM["metadata"]

    def test_a_failure_is_kept_with_its_code_and_reason(self, table: TasksTable) -> None:
        table.end(accepted(table), FAILED)
        assert item_of(table)["failure"] == {"code": "timed_out", "reason": "not ended within 600 s"}
        (unsent,) = table.work(0).unsent
        ended = table.get_ended(unsent)
        assert ended is not None
        assert ended.end == FAILED

    def test_the_item_holds_the_id_of_its_event(self, table: TasksTable) -> None:
        ended = table.end(accepted(table), completed())
        assert ended is not None
        assert item_of(table)["event_id"] == task_ended(ended).event_id

    def test_nothing_of_the_waiting_is_left(self, table: TasksTable) -> None:
        task = accepted(table)
        noted = {
            "phase": "processing",
            "not_found_count": 1,
            "empty_count": 1,
            "last_error": "x",
            "streaming_since_ms": NOW_MS,
            "suspicion": Suspicion(evidence="word", count=1, since_ms=NOW_MS, at_ms=NOW_MS),
            "trouble": TROUBLE,
        }
        table.note(task, noted)
        table.end(task, completed())
        assert not noted.keys() & item_of(table).keys()

    def test_a_task_ends_once_whoever_ends_it(self, table: TasksTable) -> None:
        task = accepted(table)
        assert table.end(task, completed()) is not None
        assert table.end(task, FAILED) is None
        assert item_of(table)["status"] == "completed"

    def test_a_later_run_is_not_ended_by_an_earlier_one(self, table: TasksTable) -> None:
        task = accepted(table)
        accepted(table, now_ms=LATER_MS)
        assert table.end(task, completed()) is None
        assert item_of(table)["status"] == "pending"

    def test_a_deleted_task_does_not_come_back(self, table: TasksTable) -> None:
        assert table.end(pending(), completed()) is None
        assert items(NAME) == []

    def test_an_ended_item_is_removed_90_days_after_its_end(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        assert item_of(table)["expires_at"] == (NOW_MS + 60_000) // 1000 + 90 * 24 * 3600

    def test_the_longest_result_fits_into_an_item(self, table: TasksTable) -> None:
        provider_object = '{"lyrics": "' + "歌" * 66_000 + '"}'
        clips = (clip(prompt="歌" * 30_000), clip("clip-2", prompt="歌" * 30_000))
        end = completed(provider_object=provider_object, clips=clips)
        assert table.end(accepted(table), end) is not None
        assert item_of(table)["provider_object"] == provider_object

    @pytest.mark.parametrize("metadata", [{"set": {"a"}}, {"b": b"x"}, "text", {"long": "x" * 300_000}])
    def test_metadata_that_was_spoilt_after_acceptance_holds_nothing_up(
        self, table: TasksTable, metadata: Any
    ) -> None:
        task = accepted(table)
        client("dynamodb").update_item(
            TableName=NAME,
            Key=to_attributes({"task_id": "task-1", "provider": "suno"}),
            UpdateExpression="SET metadata = :metadata",
            ExpressionAttributeValues=to_attributes({":metadata": metadata}),
        )
        ended = table.end(task, completed())
        assert ended is not None
        assert ended.metadata == {}
        (unsent,) = table.work(0).unsent
        assert table.get_ended(unsent) == ended


class TestLeaveIndex:
    def ended(self, table: TasksTable) -> EndedTask:
        ended = table.end(accepted(table), completed())
        assert ended is not None
        return ended

    def test_a_task_whose_event_is_out_is_in_no_queue(self, table: TasksTable) -> None:
        assert table.leave_index(self.ended(table))
        assert (table.work(0).pending, table.work(0).unsent) == ([], [])
        assert item_of(table)["status"] == "completed"

    def test_it_leaves_once(self, table: TasksTable) -> None:
        ended = self.ended(table)
        assert table.leave_index(ended)
        assert not table.leave_index(ended)

    def test_a_later_run_stays_in_the_index(self, table: TasksTable) -> None:
        ended = self.ended(table)
        accepted(table, now_ms=LATER_MS)
        assert not table.leave_index(ended)
        assert len(table.work(0).pending) == 1

    def test_a_later_run_that_has_ended_too_stays_in_the_index(self, table: TasksTable) -> None:
        ended = self.ended(table)
        table.end(accepted(table, now_ms=LATER_MS), FAILED)
        assert not table.leave_index(ended)
        assert len(table.work(0).unsent) == 1

    def test_what_has_left_is_not_found_again(self, table: TasksTable) -> None:
        ended = self.ended(table)
        (unsent,) = table.work(0).unsent
        table.leave_index(ended)
        assert table.get_ended(unsent) is None

    def test_an_earlier_run_is_not_read_from_the_item_of_a_later_one(self, table: TasksTable) -> None:
        self.ended(table)
        (unsent,) = table.work(0).unsent
        table.end(accepted(table, now_ms=LATER_MS), FAILED)
        assert table.get_ended(unsent) is None


class TestRecordAssets:
    ASSETS: list[dict[str, Any]] = [{"clip_id": "clip-1", "type": "audio", "bytes": 7}]  # noqa: RUF012

    def test_assets_are_kept_with_their_time(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        assert table.record_assets(KEY, item_of(table)["event_id"], self.ASSETS, LATER_MS)
        assert item_of(table)["assets"] == self.ASSETS
        assert item_of(table)["archived_at_ms"] == LATER_MS

    def test_assets_of_another_run_are_not(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        event_id = item_of(table)["event_id"]
        table.end(accepted(table, now_ms=LATER_MS), completed())
        assert not table.record_assets(KEY, event_id, self.ASSETS, LATER_MS)
        assert "assets" not in item_of(table)

    def test_a_deleted_task_does_not_come_back(self, table: TasksTable) -> None:
        assert not table.record_assets(KEY, "evt_1", self.ASSETS, LATER_MS)
        assert items(NAME) == []


class TestWorkIndex:
    def test_tasks_come_oldest_first_from_a_moment_on(self, table: TasksTable) -> None:
        for number in (3, 1, 2):
            accepted(table, {"task_id": f"task-{number}", "provider": "suno"}, NOW_MS + number)
        assert [task.key.task_id for task in table.work(0).pending] == ["task-1", "task-2", "task-3"]
        assert [task.key.task_id for task in table.work(0, NOW_MS + 2).pending] == ["task-2", "task-3"]

    def test_every_page_is_read(self, table: TasksTable) -> None:
        for number in range(25):
            for status in ("pending", "failed"):
                put(
                    NAME,
                    {
                        "task_id": f"{status}-{number}",
                        "provider": "suno",
                        "status": status,
                        "queue": "work#0",
                        "since_ms": NOW_MS + number,
                        # The index does not hold it, but moto's pages are as long as the whole items are.
                        "provider_object": "x" * 100_000,
                    },
                )
        assert (len(table.work(0).pending), len(table.work(0).unsent)) == (25, 25)


@pytest.mark.parametrize(
    ("item", "metadata"),
    [
        ({}, {}),
        ({"metadata": None}, {}),
        ({"metadata": {"order": 7, "price": 1.5}}, {"order": 7, "price": 1.5}),
        ({"metadata": {"order": 7}, "status": "rejected"}, {"order": 7}),
        ({"metadata": {"bytes": b"x"}}, {}),
        ({"metadata": "text"}, {}),
    ],
)
def test_metadata_is_told_where_it_is_acceptable(item: dict[str, Any], metadata: dict[str, Any]) -> None:
    assert metadata_of(item) == metadata


def test_a_put_says_what_it_replaces(table: TasksTable) -> None:
    assert table.put(USER_ITEM) is None
    assert table.put(USER_ITEM | {"timeout_s": 60}) == USER_ITEM


def test_nothing_that_an_earlier_run_has_left_stays(table: TasksTable) -> None:
    left = ("phase", "finished_at_ms", "detected_at_ms", "clips", "failure", "assets", "archived_at_ms")
    left += (
        "provider_object",
        "truncated",
        "event_id",
        "error",
        "last_error",
        "not_found_count",
        "empty_count",
    )
    left += ("streaming_since_ms", "suspicion", "trouble", "expires_at")
    put(NAME, USER_ITEM | dict.fromkeys(left, 1))
    assert accept(table, USER_ITEM | dict.fromkeys(left, 1))
    assert not item_of(table).keys() & (set(left) - {"phase"})


def test_files_that_are_recorded_whole_are_not_called_cut(table: TasksTable) -> None:
    table.end(accepted(table), completed())
    before = item_of(table).get("truncated")
    assert table.record_assets(KEY, item_of(table)["event_id"], [{"key": "results/x"}], LATER_MS)
    assert item_of(table).get("truncated") == before
