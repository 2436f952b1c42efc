import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from tests.support.aws import Faulty, Losing, client, create_table, fault, items, put, stream_image
from tests.support.tasks import KEY, NOW_MS, clip, completed, pending

from tunehook.aws.items import from_attributes, from_stream, to_attributes
from tunehook.aws.table import Write
from tunehook.aws.task_items import metadata_of
from tunehook.aws.tasks import UNPROJECTED, UNPROJECTED_MARK, Start, TasksTable
from tunehook.errors import InvalidInput
from tunehook.events import task_ended
from tunehook.http.guard import NetworkPolicy
from tunehook.tasks import (
    EndedRun,
    EndedTask,
    Failure,
    FailureCode,
    Status,
    Suspicion,
    TaskEnd,
    TaskKey,
    TaskRequest,
    Trouble,
    WorkItem,
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
LISTED = {"listed": "tasks#2027-01-14#2", "listed_at_ms": NOW_MS}
TROUBLE = Trouble(kind="throttled", count=1, since_ms=NOW_MS, is_kept=True)


@pytest.fixture
def table(aws: None) -> TasksTable:
    create_table(NAME)
    return TasksTable(client("dynamodb"), NAME)


def image(item: dict[str, Any]) -> dict[str, Any]:
    """The item as intake gets it."""
    return from_stream(stream_image(item))


def request(item: Mapping[str, Any]) -> TaskRequest:
    return check_request(item, NetworkPolicy.PUBLIC)


def accept(
    table: TasksTable, item: dict[str, Any] = USER_ITEM, now_ms: int = NOW_MS, shard: int = 0
) -> Start:
    return table.accept(request(image(item)), image(item), shard, now_ms)


def accepted(table: TasksTable, item: dict[str, Any] = USER_ITEM, now_ms: int = NOW_MS) -> WorkItem:
    """Put and accept an item, and return it as the work index shows it."""
    put(NAME, item)
    assert accept(table, item, now_ms) is Start.BEGUN
    return next(task for task in table.work(0).pending if task.key.task_id == item["task_id"])


def index_entry() -> dict[str, Any]:
    """The one item of the work index, as that shows it."""
    answer = client("dynamodb").scan(TableName=NAME, IndexName="work")
    (entry,) = map(from_attributes, answer["Items"])
    return entry


def item_of(table: TasksTable) -> dict[str, Any]:
    item = table.get(KEY)
    assert item is not None
    return item


class TestCreate:
    """A task that is put only if it is not there."""

    def test_the_first_puts_it_and_the_next_gets_it_as_it_is(self, table: TasksTable) -> None:
        assert table.create(USER_ITEM, NOW_MS).done
        for item in (USER_ITEM, USER_ITEM | {"timeout_s": 60}):
            write = table.create(item, NOW_MS)
            assert (write.done, write.item) == (False, USER_ITEM)

    def test_one_of_another_provider_is_another(self, table: TasksTable) -> None:
        assert table.create(USER_ITEM, NOW_MS).done
        assert table.create(USER_ITEM | {"provider": "other"}, NOW_MS).done

    def test_its_own_put_is_known_though_it_was_accepted_before_the_answer_was_lost(
        self, aws: None, table: TasksTable
    ) -> None:
        tasks = TasksTable(Losing(client("dynamodb"), at=[0], gives_up=True), NAME)
        with pytest.raises(ReadTimeoutError):
            tasks.create(USER_ITEM, NOW_MS)
        accept(table)
        mine = tasks.create(USER_ITEM, NOW_MS)
        assert mine.done
        assert mine.item is not None
        assert mine.item["status"] == "pending"


class TestAccept:
    def test_an_accepted_item_is_pending_with_a_deadline_and_keeps_what_its_user_wrote(
        self, table: TasksTable
    ) -> None:
        put(NAME, USER_ITEM)
        assert accept(table) is Start.BEGUN
        assert item_of(table) == USER_ITEM | {
            "status": "pending",
            "phase": "queued",
            "queue": "work#0",
            "since_ms": NOW_MS,
            "submitted_at_ms": NOW_MS,
            "deadline_ms": NOW_MS + 600_000,
            **LISTED,
        }

    def test_an_accepted_item_is_in_the_work_index_of_its_shard(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        accept(table, shard=3)
        expected = pending(queue="work#3", phase="queued", deadline_ms=NOW_MS + 600_000)
        assert (table.work(3).pending, table.work(0).pending) == ([expected], [])

    def test_an_item_is_accepted_once(self, table: TasksTable) -> None:
        accepted(table)
        assert accept(table, now_ms=LATER_MS) is Start.BEGUN_BEFORE
        assert item_of(table)["since_ms"] == NOW_MS

    @pytest.mark.parametrize("end", [completed(), FAILED], ids=["completed", "failed"])
    def test_an_item_that_is_put_again_is_a_new_run(self, table: TasksTable, end: TaskEnd) -> None:
        table.end(accepted(table), end)
        put(NAME, USER_ITEM)
        assert accept(table, now_ms=LATER_MS) is Start.BEGUN
        assert item_of(table)["since_ms"] == LATER_MS

    def test_an_item_whose_status_was_removed_begins_anew_with_nothing_of_the_run_before(
        self, table: TasksTable
    ) -> None:
        ended = table.end(accepted(table), replace(completed(), truncated=True))
        assert ended is not None
        table.mark_event_sent(ended)
        asyncio.run(table.record_assets(KEY, item_of(table)["event_id"], [{"key": "results/x"}], LATER_MS))
        client("dynamodb").update_item(
            TableName=NAME,
            Key=to_attributes({"task_id": "task-1", "provider": "suno"}),
            UpdateExpression="REMOVE #status",
            ExpressionAttributeNames={"#status": "status"},
        )
        assert accept(table, now_ms=LATER_MS) is Start.BEGUN
        ours = {"status", "phase", "queue", "since_ms", "submitted_at_ms", "deadline_ms", *LISTED}
        assert set(item_of(table)) == set(USER_ITEM) | ours

    @pytest.mark.parametrize(
        ("told_ms", "submitted_at_ms"), [(NOW_MS - 1, NOW_MS - 1), (NOW_MS, NOW_MS), (NOW_MS + 1, NOW_MS)]
    )
    def test_a_run_that_goes_on_was_submitted_when_the_provider_took_it_and_never_later_than_now(
        self, table: TasksTable, told_ms: int, submitted_at_ms: int
    ) -> None:
        put(NAME, USER_ITEM)
        item = image(USER_ITEM)
        assert table.accept(request(item), item, 0, NOW_MS, submitted_at_ms=told_ms) is Start.BEGUN
        assert item_of(table)["submitted_at_ms"] == submitted_at_ms

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
        assert accept(table, USER_ITEM) is Start.SUPERSEDED
        assert item_of(table) == now_there

    def test_a_field_that_was_added_meanwhile_is_a_change(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        assert accept(table, {"task_id": "task-1", "provider": "suno"}) is Start.SUPERSEDED

    def test_an_item_that_was_deleted_meanwhile_stays_deleted(self, table: TasksTable) -> None:
        assert accept(table) is Start.SUPERSEDED
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
        assert accept(table, item) is Start.BEGUN

    def test_the_same_task_of_two_providers_is_two_tasks(self, table: TasksTable) -> None:
        accepted(table)
        other = {"task_id": "task-1", "provider": "gw"}
        put(NAME, other)
        assert accept(table, other) is Start.BEGUN
        assert {task.key for task in table.work(0).pending} == {KEY, TaskKey("task-1", "gw")}


class TestReject:
    ERROR = InvalidInput("metadata", "has no form in JSON")

    def reject(self, table: TasksTable, item: dict[str, Any]) -> Start:
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
        assert self.reject(table, item) is Start.BEGUN
        stored = item_of(table)
        assert stored["status"] == "rejected"
        assert stored["error"] == "metadata: has no form in JSON"
        assert "metadata" in stored

    def test_a_rejected_item_is_not_pending_and_waits_for_its_event(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        self.reject(table, USER_ITEM)
        assert table.work(0).pending == []
        assert [task.key for task in table.work(0).event_pending] == [KEY]

    def test_the_event_of_a_rejected_item_says_why(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        self.reject(table, USER_ITEM)
        (unsent,) = table.work(0).event_pending
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
        assert self.reject(table, USER_ITEM | {"metadata": {"set": {"a"}}}) is Start.SUPERSEDED
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

    @pytest.mark.parametrize(
        "learnt",
        [
            {"streaming_since_ms": NOW_MS},
            {"suspicion": Suspicion(evidence="word", count=2, since_ms=NOW_MS, at_ms=NOW_MS + 1)},
            {"trouble": TROUBLE},
        ],
        ids=str,
    )
    def test_what_the_index_does_not_show_is_read_from_the_item(
        self, table: TasksTable, learnt: dict[str, Any]
    ) -> None:
        (name,) = learnt
        task = accepted(table)
        table.note(task, learnt)
        assert {*UNPROJECTED}.isdisjoint(index_entry())
        assert table.work(0).pending == [replace(task, **learnt)]
        table.note(replace(task, **learnt), {name: None})
        assert UNPROJECTED_MARK not in item_of(table)
        assert table.work(0).pending == [task]

    def test_the_mark_stays_as_long_as_anything_is_left(self, table: TasksTable) -> None:
        task = accepted(table)
        learnt = {"streaming_since_ms": NOW_MS, "trouble": TROUBLE, "empty_count": 2}
        table.note(task, learnt)
        task = replace(task, **learnt)
        table.note(task, {"trouble": None, "empty_count": None})
        task = replace(task, trouble=None, empty_count=0)
        assert table.work(0).pending == [task]
        table.note(task, {"phase": "processing"})
        assert table.work(0).pending == [replace(task, phase="processing")]

    def test_a_trouble_that_is_counted_in_memory_alone_marks_nothing(self, table: TasksTable) -> None:
        task = replace(accepted(table), trouble=replace(TROUBLE, is_kept=False), empty_count=1)
        table.note(task, {"empty_count": None})
        assert UNPROJECTED_MARK not in item_of(table)

    def test_the_items_of_runs_that_the_caller_knows_are_not_read(self, table: TasksTable) -> None:
        task = accepted(table)
        table.note(task, {"trouble": TROUBLE})
        asked: list[tuple[TaskKey, int]] = []

        def is_known(key: TaskKey, since_ms: int) -> bool:
            asked.append((key, since_ms))
            return True

        assert table.work(0, 0, is_known).pending == [task]
        assert asked == [(KEY, NOW_MS)]

    def test_items_are_read_a_hundred_at_a_time_and_what_is_left_unread_is_asked_for_again(
        self, table: TasksTable
    ) -> None:
        for number in range(101):
            put(NAME, item := USER_ITEM | {"task_id": f"task-{number}"})
            assert accept(table, item) is Start.BEGUN
        for task in table.work(0).pending:
            table.note(task, {"trouble": TROUBLE})
        reads: list[int] = []

        class Busy:
            def __getattr__(self, name: str) -> Any:
                return getattr(client("dynamodb"), name)

            def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
                keys = RequestItems[NAME]["Keys"]
                reads.append(len(keys))
                served = {NAME: RequestItems[NAME] | {"Keys": keys[:60]}}
                rest = {NAME: RequestItems[NAME] | {"Keys": keys[60:]}} if keys[60:] else {}
                return client("dynamodb").batch_get_item(RequestItems=served) | {"UnprocessedKeys": rest}

        found = TasksTable(Busy(), NAME).work(0).pending
        assert (len(found), {task.trouble for task in found}) == (101, {TROUBLE})
        assert reads == [100, 40, 1]

    def test_a_task_that_dynamodb_is_too_busy_to_tell_of_is_as_the_index_shows_it(
        self, table: TasksTable
    ) -> None:
        task = accepted(table)
        table.note(task, {"trouble": TROUBLE})

        class Overloaded:
            def __getattr__(self, name: str) -> Any:
                return getattr(client("dynamodb"), name)

            def batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
                return {"Responses": {}, "UnprocessedKeys": RequestItems}

        assert TasksTable(Overloaded(), NAME).work(0).pending == [task]

    def test_what_an_earlier_run_learnt_is_not_taken_for_a_later_ones(self, table: TasksTable) -> None:
        table.note(accepted(table), {"trouble": TROUBLE})

        class Late:
            """The run is another one by the time that the item is read."""

            def __getattr__(self, name: str) -> Any:
                return getattr(client("dynamodb"), name)

            def batch_get_item(self, **call: Any) -> Any:
                table.note(accepted(table, now_ms=LATER_MS), {"trouble": replace(TROUBLE, count=1)})
                return client("dynamodb").batch_get_item(**call)

        (task,) = TasksTable(Late(), NAME).work(0).pending
        assert (task.since_ms, task.trouble) == (NOW_MS, None)

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
        assert (table.work(0).pending, [task.key for task in table.work(0).event_pending]) == ([], [KEY])

    def test_the_event_from_the_item_is_the_event_from_memory(self, table: TasksTable) -> None:
        ended = table.end(accepted(table), completed(truncated=True))
        (unsent,) = table.work(0).event_pending
        assert ended is not None
        assert table.get_ended(unsent) == ended
        assert ended.metadata == USER_ITEM["metadata"]

    def test_a_failure_is_kept_with_its_code_and_reason(self, table: TasksTable) -> None:
        table.end(accepted(table), FAILED)
        assert item_of(table)["failure"] == {"code": "timed_out", "reason": "not ended within 600 s"}
        (unsent,) = table.work(0).event_pending
        ended = table.get_ended(unsent)
        assert ended is not None
        assert ended.end == FAILED

    def test_its_details_are_read_with_it_wherever_they_are(self, table: TasksTable) -> None:
        end = completed()
        table.end(accepted(table), end)
        whole = table.get_whole(KEY)
        assert whole is not None
        assert ("clips" in item_of(table), len(whole["clips"])) == (False, 2)
        of_another_run = table.get_run(KEY, end.detected_at_ms - 1)
        assert table.get_run(KEY, end.detected_at_ms) == of_another_run == whole
        assert table.of_id(KEY.task_id) == [whole]
        assert [item["provider"] for item in table.scan(["provider"])] == [KEY.provider]
        assert [item for items, _ in table.new_items() for item in items] == []
        (listed,) = table.get_many([KEY], ["task_id", "provider", "clips"]).values()
        assert listed["clips"] == whole["clips"]
        assert "provider_object" not in listed

    def test_a_run_of_a_provider_whose_name_is_too_long_is_read_as_well(self, table: TasksTable) -> None:
        key = TaskKey("task", "x" * 1_024)
        put(NAME, {"task_id": key.task_id, "provider": key.provider, "status": "rejected"})
        assert table.get_run(key, 1_800_000_000_000) == table.get_whole(key)

    def test_details_that_were_read_are_not_read_again(
        self, table: TasksTable, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        table.end(accepted(table), completed())
        whole, item, known = table.get_whole(KEY), item_of(table), {}
        assert table.with_details(item, known) == whole
        monkeypatch.setattr(table, "get", lambda _: None)
        assert table.with_details(item, known) == whole
        assert table.with_details(item)["truncated"] is True

    def test_details_on_the_item_itself_are_those_of_an_earlier_version(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        whole = table.get_whole(KEY)
        assert whole is not None
        put(NAME, {name: value for name, value in whole.items() if name != "details"})
        written = item_of(table)
        assert table.get_whole(KEY) == table.get_run(KEY, 7) == written
        assert table.of_id(KEY.task_id) == [written]
        assert table.get_many([KEY], ["task_id", "provider", "clips"])[KEY]["clips"] == whole["clips"]

    def test_of_two_pollers_that_end_a_run_each_has_details_of_its_own(self, table: TasksTable) -> None:
        task = accepted(table)
        first = completed(clips=(clip("first"),))
        assert table.end(task, first) is not None
        assert table.end(task, completed(detected_at_ms=first.detected_at_ms + 1)) is None
        whole = table.get_whole(KEY)
        assert whole is not None
        assert [each["clip_id"] for each in whole["clips"]] == ["first"]

    def test_details_that_could_not_be_written_end_nothing(self, table: TasksTable) -> None:
        task = accepted(table)
        failing = TasksTable(Faulty(client("dynamodb"), update_item=[fault()]), NAME)
        with pytest.raises(ClientError):
            failing.end(task, completed())
        assert item_of(table)["status"] == "pending"

    def test_what_an_end_is_written_as_is_small_however_long_its_result_is(self, table: TasksTable) -> None:
        table.end(accepted(table), completed(provider_object='{"lyrics": "' + "歌" * 66_000 + '"}'))
        assert len(json.dumps(item_of(table))) < 1_000

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
        item = table.get_whole(KEY)
        assert item is not None
        assert item["provider_object"] == provider_object

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
        (unsent,) = table.work(0).event_pending
        assert table.get_ended(unsent) == ended


class TestCancel:
    def test_a_cancelled_task_has_left_the_work_and_keeps_its_item_for_90_days(
        self, table: TasksTable
    ) -> None:
        task = accepted(table)
        table.note(task, {"last_error": "x", "not_found_count": 1, "trouble": TROUBLE})
        write = table.cancel(KEY, LATER_MS)
        assert write.done
        assert write.item == item_of(table)
        assert item_of(table) == USER_ITEM | {
            "status": "cancelled",
            "submitted_at_ms": NOW_MS,
            "deadline_ms": NOW_MS + 600_000,
            "detected_at_ms": LATER_MS,
            "expires_at": LATER_MS // 1000 + 90 * 24 * 3600,
            **LISTED,
        }
        assert (table.work(0).pending, table.work(0).event_pending) == ([], [])

    @pytest.mark.parametrize("status", [{}, {"status": None}], ids=["none", "null"])
    def test_an_item_that_intake_has_not_seen_can_be_cancelled(
        self, table: TasksTable, status: dict[str, Any]
    ) -> None:
        put(NAME, USER_ITEM | status)
        assert table.cancel(KEY, NOW_MS).done
        assert (item_of(table)["status"], item_of(table)["submitted_at_ms"]) == ("cancelled", NOW_MS)

    def test_a_new_item_that_is_cancelled_keeps_nothing_of_the_run_before(self, table: TasksTable) -> None:
        old = {
            "event_id": "evt_1",
            "clips": [],
            "assets": [],
            "archived_at_ms": 5,
            "failure": {},
            "since_ms": 1,
        }
        put(NAME, USER_ITEM | old)
        table.cancel(KEY, NOW_MS)
        assert old.keys().isdisjoint(item_of(table))

    def test_the_next_answer_changes_nothing(self, table: TasksTable) -> None:
        task = accepted(table)
        table.cancel(KEY, LATER_MS)
        before = item_of(table)
        assert table.end(task, completed()) is None
        assert table.end(task, FAILED) is None
        assert not table.note(task, {"phase": "processing"})
        assert accept(table) is Start.SUPERSEDED
        assert item_of(table) == before
        assert list(table.ended(0)) == []

    @pytest.mark.parametrize("end", [completed(), FAILED], ids=["completed", "failed"])
    def test_an_ended_task_cannot_be_cancelled(self, table: TasksTable, end: TaskEnd) -> None:
        table.end(accepted(table), end)
        before = item_of(table)
        write = table.cancel(KEY, LATER_MS)
        assert (write.done, write.item) == (False, before)
        assert item_of(table) == before
        assert len(table.work(0).event_pending) == 1

    def test_one_that_is_cancelled_stays_as_it_is(self, table: TasksTable) -> None:
        accepted(table)
        table.cancel(KEY, NOW_MS)
        before = item_of(table)
        assert not table.cancel(KEY, LATER_MS).done
        assert item_of(table) == before

    def test_a_deleted_task_does_not_come_back(self, table: TasksTable) -> None:
        assert table.cancel(KEY, NOW_MS) == Write(False)
        assert items(NAME) == []

    def test_put_again_it_runs_again(self, table: TasksTable) -> None:
        accepted(table)
        table.cancel(KEY, NOW_MS)
        assert accepted(table, now_ms=LATER_MS).since_ms == LATER_MS
        assert "detected_at_ms" not in item_of(table)


class TestLeaveIndex:
    def ended(self, table: TasksTable) -> EndedTask:
        ended = table.end(accepted(table), completed())
        assert ended is not None
        return ended

    def test_a_task_whose_event_is_out_is_in_no_queue(self, table: TasksTable) -> None:
        assert table.mark_event_sent(self.ended(table))
        assert (table.work(0).pending, table.work(0).event_pending) == ([], [])
        assert item_of(table)["status"] == "completed"

    def test_one_that_has_left_is_out_of_it(self, table: TasksTable) -> None:
        ended = self.ended(table)
        assert table.mark_event_sent(ended)
        assert table.mark_event_sent(ended)

    def test_a_later_run_stays_in_the_index(self, table: TasksTable) -> None:
        ended = self.ended(table)
        accepted(table, now_ms=LATER_MS)
        assert not table.mark_event_sent(ended)
        assert len(table.work(0).pending) == 1

    def test_a_later_run_that_has_ended_too_stays_in_the_index(self, table: TasksTable) -> None:
        ended = self.ended(table)
        table.end(accepted(table, now_ms=LATER_MS), FAILED)
        assert not table.mark_event_sent(ended)
        assert len(table.work(0).event_pending) == 1

    def test_what_has_left_is_not_found_again(self, table: TasksTable) -> None:
        ended = self.ended(table)
        (unsent,) = table.work(0).event_pending
        table.mark_event_sent(ended)
        assert table.get_ended(unsent) is None

    def test_an_earlier_run_is_not_read_from_the_item_of_a_later_one(self, table: TasksTable) -> None:
        self.ended(table)
        (unsent,) = table.work(0).event_pending
        table.end(accepted(table, now_ms=LATER_MS), FAILED)
        assert table.get_ended(unsent) is None


class TestRecordAssets:
    ASSETS: list[dict[str, Any]] = [{"clip_id": "clip-1", "type": "audio", "bytes": 7}]  # noqa: RUF012

    def test_assets_are_kept_with_their_time(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        assert asyncio.run(table.record_assets(KEY, item_of(table)["event_id"], self.ASSETS, LATER_MS))
        assert item_of(table)["assets"] == self.ASSETS
        assert item_of(table)["archived_at_ms"] == LATER_MS

    def test_while_some_are_waited_for_there_is_no_time_of_before(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        event_id = item_of(table)["event_id"]
        asyncio.run(table.record_assets(KEY, event_id, self.ASSETS, LATER_MS))
        assert asyncio.run(table.record_assets(KEY, event_id, [], None))
        assert "archived_at_ms" not in item_of(table)

    def test_assets_of_another_run_are_not(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        event_id = item_of(table)["event_id"]
        table.end(accepted(table, now_ms=LATER_MS), completed())
        assert not asyncio.run(table.record_assets(KEY, event_id, self.ASSETS, LATER_MS))
        assert "assets" not in item_of(table)

    def test_a_deleted_task_does_not_come_back(self, table: TasksTable) -> None:
        assert not asyncio.run(table.record_assets(KEY, "evt_1", self.ASSETS, LATER_MS))
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
        assert (len(table.work(0).pending), len(table.work(0).event_pending)) == (25, 25)


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


def put_ended(task_id: str, at_ms: int, provider: str = "suno", **fields: Any) -> None:
    item = {"task_id": task_id, "provider": provider, "status": "completed", "event_id": f"evt_{task_id}"}
    put(NAME, item | {"detected_at_ms": at_ms, "clips": ["x" * 1000]} | fields)


def test_ended_tasks_are_found_by_when_they_ended(table: TasksTable) -> None:
    put_ended("early", NOW_MS - 1)
    put_ended("second", NOW_MS + 1, "musicmint", status="rejected")
    put_ended("first", NOW_MS, "musicmint")
    put_ended("other", NOW_MS)
    assert {run.key for run in table.ended(NOW_MS)} == {
        TaskKey("first", "musicmint"),
        TaskKey("second", "musicmint"),
        TaskKey("other", "suno"),
    }
    assert list(table.ended(NOW_MS, {"musicmint", "nobody"})) == [
        EndedRun(
            key=TaskKey("first", "musicmint"),
            status=Status.COMPLETED,
            event_id="evt_first",
            detected_at_ms=NOW_MS,
        ),
        EndedRun(
            key=TaskKey("second", "musicmint"),
            status=Status.REJECTED,
            event_id="evt_second",
            detected_at_ms=NOW_MS + 1,
        ),
    ]


def test_a_task_that_is_pending_is_not_among_the_ended_ones(table: TasksTable) -> None:
    put(NAME, USER_ITEM)
    table.accept(request(USER_ITEM), USER_ITEM, 0, NOW_MS)
    assert list(table.ended(0)) == []
    ended = table.end(pending(), completed())
    assert [run.event_id for run in table.ended(0)] == [task_ended(ended).event_id if ended else None]
    put(NAME, USER_ITEM)
    assert list(table.ended(0)) == []


@pytest.mark.parametrize(
    "by_hand",
    [
        {"status": "pending"},
        {"status": "done"},
        {"status": None},
        {"event_id": 7},
        {"detected_at_ms": 10**30},
    ],
)
def test_what_a_user_has_written_with_our_attributes_has_not_ended(
    table: TasksTable, by_hand: dict[str, Any]
) -> None:
    put_ended("ended", NOW_MS)
    put_ended("by-hand", NOW_MS, **by_hand)
    assert [run.key.task_id for run in table.ended(0)] == ["ended"]


class TestNewItems:
    """The look through the whole table for what no stream has told of."""

    def test_items_without_a_status_are_found_as_the_stream_would_show_them(self, table: TasksTable) -> None:
        odd = USER_ITEM | {
            "task_id": "task-2",
            "metadata": {"price": Decimal("1.50"), "raw": b"x", "of": {1, 2}},
        }
        accepted(table)
        put(NAME, odd)
        ((found, stopped_at),) = table.new_items()
        assert (found, stopped_at) == ([image(odd)], None)

    def test_it_goes_on_where_it_stopped(self, aws: None) -> None:
        create_table(NAME)
        for number in range(7):
            put(NAME, USER_ITEM | {"task_id": f"task-{number}"})
        table = TasksTable(TwoAPage(), NAME)
        begun = table.new_items()
        first, stopped_at = next(begun)
        assert stopped_at is not None
        begun.close()
        rest = [item for found, _ in table.new_items(stopped_at) for item in found]
        assert sorted(item["task_id"] for item in [*first, *rest]) == [
            f"task-{number}" for number in range(7)
        ]

    def test_an_empty_table_has_none(self, table: TasksTable) -> None:
        assert list(table.new_items()) == [([], None)]


class TwoAPage:
    """A client whose scans end after two items."""

    def __getattr__(self, name: str) -> Any:
        return getattr(client("dynamodb"), name)

    def scan(self, **call: Any) -> Any:
        return client("dynamodb").scan(**call, Limit=2)


class TestListed:
    """The index of all tasks: in it from the first status of a run on, and written once for each."""

    def names(self, table: TasksTable) -> list[str]:
        return [key.task_id for _, key in table.listed(LATER_MS, since_ms=NOW_MS)]

    def test_where_a_task_is_listed_depends_on_no_shard(self, table: TasksTable) -> None:
        accepted(table)
        put(NAME, USER_ITEM)
        accept(table, shard=63, now_ms=LATER_MS)
        assert item_of(table)["listed"] == LISTED["listed"]

    def test_a_rejected_one_is_listed_too(self, table: TasksTable) -> None:
        put(NAME, USER_ITEM)
        table.reject(KEY, image(USER_ITEM), InvalidInput("metadata", "is bad"), 0, NOW_MS)
        assert {name: item_of(table)[name] for name in LISTED} == LISTED

    def test_one_that_intake_has_not_seen_is_not_listed_until_it_is_cancelled(
        self, table: TasksTable
    ) -> None:
        put(NAME, USER_ITEM)
        assert self.names(table) == []
        table.cancel(KEY, NOW_MS)
        assert self.names(table) == ["task-1"]

    def test_nothing_that_becomes_of_it_moves_it(self, table: TasksTable) -> None:
        task = accepted(table)
        table.note(task, {"last_error": "x"})
        ended = table.end(task, completed())
        assert ended is not None
        table.mark_event_sent(ended)
        asyncio.run(table.record_assets(KEY, item_of(table)["event_id"], [{"key": "results/x"}], LATER_MS))
        assert {name: item_of(table)[name] for name in LISTED} == LISTED
        assert self.names(table) == ["task-1"]

    def test_a_new_run_is_listed_by_its_own_moment(self, table: TasksTable) -> None:
        table.end(accepted(table), completed())
        put(NAME, USER_ITEM)
        assert self.names(table) == []
        accept(table, now_ms=LATER_MS)
        assert [(at_ms, key.task_id) for (at_ms, _), key in table.listed(LATER_MS, since_ms=NOW_MS)] == [
            (LATER_MS, "task-1")
        ]

    def test_a_parked_run_is_not_listed(self, table: TasksTable) -> None:
        task = accepted(table)
        table.end(task, completed())
        assert table.park(task, item_of(table))
        assert [key for _, key in table.listed(LATER_MS, since_ms=NOW_MS)] == [KEY]

    def test_only_what_is_there_is_read_of_many(self, table: TasksTable) -> None:
        accepted(table)
        found = table.get_many([KEY, TaskKey("gone", "suno")], ["task_id", "provider", "status"])
        assert found == {KEY: {"task_id": "task-1", "provider": "suno", "status": "pending"}}


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
    assert asyncio.run(table.record_assets(KEY, item_of(table)["event_id"], [{"key": "results/x"}], LATER_MS))
    assert item_of(table).get("truncated") == before


def test_the_statuses_of_many_are_read_at_once_and_none_is_of_one_not_accepted_yet(table: TasksTable) -> None:
    put(NAME, {"task_id": "a", "provider": "suno", "status": "pending", "metadata": {"large": "x"}})
    put(NAME, {"task_id": "a", "provider": "other", "status": "failed"})
    put(NAME, {"task_id": "b", "provider": "suno"})
    keys = [TaskKey(task_id, "suno") for task_id in ("a", "b", "c")]
    assert table.statuses(keys) == {keys[0]: "pending", keys[1]: None}
    assert table.statuses([]) == {}
