"""Tasks and deliveries page by page, on moto."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.aws import put

from tunehook.deliveries import new_delivery
from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.operations.deliveries import page_deliveries
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import page_tasks
from tunehook.tasks import Format, TaskKey, check_request
from tunehook.times import now_ms

NOW_MS = now_ms()


@pytest.fixture(params=[True, False], ids=["by index", "by scan"])
def found(found: Stack, request: pytest.FixtureRequest) -> Stack:
    """With the indexes that list, and without, as where the HTTP API is off."""
    if request.param:
        return found
    outputs = {name: value for name, value in found.outputs.items() if name != "ApiId"}
    return replace(found, outputs=outputs)


def accept(stack: Stack, task_id: str, at_ms: int, provider: str = "suno", **fields: Any) -> None:
    item = {"task_id": task_id, "provider": provider} | fields
    put("TasksTable", item)
    stack.tasks.accept(check_request(item, NetworkPolicy.PUBLIC), item, 0, at_ms)


def create(stack: Stack, number: int, **changes: Any) -> None:
    values: dict[str, Any] = {"subscription_id": "sub-2", "task_id": "task-2", "provider": "suno"} | changes
    stack.deliveries.create(
        new_delivery(
            event_id=f"evt_{number}",
            type="task.completed",
            event_at_ms=NOW_MS,
            format=Format.STANDARD,
            payload="a secret",
            now_ms=NOW_MS - number,
            **values,
        )
    )


def task_ids(stack: Stack, **wanted: Any) -> list[str]:
    """All tasks, by as many pages as there are."""
    return [task.task_id for page in pages(page_tasks, stack, **{"limit": 2} | wanted) for task in page.tasks]


def pages(operation: Any, stack: Stack, **wanted: Any) -> Any:
    cursor = None
    while True:
        page = operation(stack, cursor=cursor, **wanted)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


class TestTasks:
    def test_pages_follow_each_other_newest_first(self, found: Stack) -> None:
        for number in range(5):
            accept(found, f"t-{number}", NOW_MS + number)
        whole = list(pages(page_tasks, found, limit=2))
        assert [[task.task_id for task in page.tasks] for page in whole] == [
            ["t-4", "t-3"],
            ["t-2", "t-1"],
            ["t-0"],
        ]

    def test_what_comes_meanwhile_moves_no_page(self, found: Stack) -> None:
        for number in range(3):
            accept(found, f"t-{number}", NOW_MS + number)
        first = page_tasks(found, limit=2)
        accept(found, "t-3", NOW_MS + 3)
        second = page_tasks(found, limit=2, cursor=first.next_cursor)
        assert [task.task_id for task in second.tasks] == ["t-0"]

    def test_filters_hold_together(self, found: Stack) -> None:
        accept(found, "old", NOW_MS - 5)
        accept(found, "other", NOW_MS, provider="gw")
        accept(found, "tagged", NOW_MS + 1, metadata={"order": 7, "name": "x"})
        accept(found, "gone", NOW_MS + 2)
        found.tasks.cancel(TaskKey("gone", "suno"), NOW_MS + 3)
        assert task_ids(found, provider="gw") == ["other"]
        assert task_ids(found, status="cancelled") == ["gone"]
        assert task_ids(found, status="pending", since_ms=NOW_MS) == ["tagged", "other"]
        assert task_ids(found, metadata={"order": "7"}) == ["tagged"]
        assert task_ids(found, metadata={"order": "7"}, provider="gw") == []
        assert page_tasks(found, provider="gw").looked_at == 4

    def test_one_that_was_accepted_before_the_index_is_found_where_the_table_is_read(
        self, found: Stack
    ) -> None:
        put("TasksTable", {"task_id": "old", "provider": "suno", "status": "pending", "submitted_at_ms": 9})
        put("TasksTable", {"task_id": "new", "provider": "suno"})
        assert task_ids(found, status="pending") == ([] if found.has_lists else ["old"])

    def test_a_listing_has_no_results(self, found: Stack) -> None:
        accept(found, "t-1", NOW_MS)
        found.tasks.cancel(TaskKey("t-1", "suno"), NOW_MS)
        put("TasksTable", (found.tasks.get(TaskKey("t-1", "suno")) or {}) | {"clips": [{"clip_id": "c"}]})
        (task,) = page_tasks(found).tasks
        assert (task.status, task.clips) == ("cancelled", [])

    def test_one_that_is_gone_by_now_is_left_out(self, found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        for number in range(3):
            accept(found, f"t-{number}", NOW_MS + number)
        listed = list(found.tasks.listed(NOW_MS))
        found.tasks.table.delete({"task_id": "t-1", "provider": "suno"})
        for name in ("listed", "listed_by_scan"):
            monkeypatch.setattr(type(found.tasks), name, lambda *_, **__: iter(listed))
        assert [task.task_id for task in page_tasks(found).tasks] == ["t-2", "t-0"]

    @pytest.mark.parametrize(
        ("field", "wanted"),
        [
            ("status", {"status": "no such"}),
            ("cursor", {"cursor": "forged"}),
            ("limit", {"limit": 0}),
            ("limit", {"limit": 101}),
        ],
    )
    def test_what_is_not_acceptable_is_named(self, found: Stack, field: str, wanted: dict[str, Any]) -> None:
        for operation in (page_tasks, page_deliveries):
            with pytest.raises(InvalidInput) as refused:
                operation(found, **wanted)
            assert refused.value.field == field

    def test_a_cursor_of_deliveries_is_none_of_tasks(self, found: Stack) -> None:
        create(found, 1)
        create(found, 2)
        cursor = page_deliveries(found, limit=1).next_cursor
        assert cursor is not None
        with pytest.raises(InvalidInput, match="cursor"):
            page_tasks(found, cursor=cursor)


class TestDeliveries:
    def numbers(self, stack: Stack, **wanted: Any) -> list[int]:
        """The numbers of all deliveries, by as many pages as there are."""
        return [
            int(each.event_id.removeprefix("evt_"))
            for page in pages(page_deliveries, stack, **{"limit": 2} | wanted)
            for each in page.deliveries
        ]

    @pytest.mark.parametrize("way", [{}, {"task_id": "task-2"}, {"subscription": "sub-2"}])
    def test_pages_follow_each_other_newest_first(self, found: Stack, way: dict[str, Any]) -> None:
        for number in range(2, 7):
            create(found, number)
        # That of the fixture is as old as can be.
        assert self.numbers(found, since_ms=2, **way) == [2, 3, 4, 5, 6]
        page = page_deliveries(found, limit=3, **way)
        assert len(page.deliveries) == 3
        assert page.deliveries[0].payload == ""

    def test_filters_hold_together(self, found: Stack) -> None:
        create(found, 2)
        create(found, 3, provider="gw")
        create(found, 4, subscription_id="sub-3")
        create(found, 5, task_id="task-3")
        changed = {"subscription_id": "sub-4", "status": "delivered"}
        put("DeliveriesTable", raw(found, 5) | changed)
        assert self.numbers(found, task_id="task-2", provider="gw") == [3]
        assert self.numbers(found, task_id="task-2", subscription="sub-3") == [4]
        assert self.numbers(found, status="delivered") == [5]
        assert self.numbers(found, subscription="sub-4", status="delivered") == [5]
        assert self.numbers(found, subscription="sub-4", status="failed") == []
        assert self.numbers(found, since_ms=NOW_MS - 3) == [2, 3]
        assert self.numbers(found, since_ms=NOW_MS - 3, status="failed") == []

    def test_a_notify_hook_is_named_by_its_url(self, found: Stack) -> None:
        assert self.numbers(found, subscription="https://nobody.example/") == []

    def test_one_that_was_created_before_the_index_is_found_where_another_is_read(self, found: Stack) -> None:
        create(found, 2)
        old = raw(found, 2)
        del old["created_on"]
        put("DeliveriesTable", old)
        assert self.numbers(found, since_ms=2) == ([] if found.has_lists else [2])
        assert self.numbers(found, task_id="task-2") == [2]


@pytest.mark.parametrize("found", [True], ids=["by index"], indirect=True)
def test_a_page_asks_an_index_once_for_all_that_it_looks_at(found: Stack) -> None:
    """With a filter too, that finds nothing: the embedded AWS sorts a whole partition for each call."""
    for number in range(250):
        create(found, number)
    calls: list[int] = []
    events, name = found.client("dynamodb").meta.events, "provide-client-params.dynamodb.Query"
    events.register(name, note := lambda params, **_: calls.append(params["Limit"]))
    try:
        page = page_deliveries(found, status="aborted", look_at=200, since_ms=NOW_MS - 1_000)
    finally:
        events.unregister(name, note)
    assert (page.deliveries, page.looked_at) == ([], 200)
    assert calls[-1] == 202
    # Just after midnight, those of the last second are of two days; ten minutes before, the next day is looked at too.
    assert len(calls) <= 3


def raw(stack: Stack, number: int) -> dict[str, Any]:
    (delivery,) = [each for each in page_deliveries(stack).deliveries if each.event_id == f"evt_{number}"]
    return stack.deliveries.table.get({"delivery_id": delivery.delivery_id}) or {}
