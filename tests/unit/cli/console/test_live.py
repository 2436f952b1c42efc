"""The live list: what it sends, what it reads, and when it ends."""

import asyncio
import re
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient
from tests.support.aws import put
from tests.unit.cli.console.conftest import client_of
from tests.unit.cli.console.html import parse

from tunehook.aws.tasks import listed_attributes
from tunehook.errors import Unavailable
from tunehook.operations.stack import Stack
from tunehook.times import now_ms
from tunehook_cli.console import live
from tunehook_cli.console.app import create_app
from tunehook_cli.console.pages import tasks


def listed(task_id: str, ago_ms: int, **attributes: Any) -> None:
    at_ms = now_ms() - ago_ms
    item = {"task_id": task_id, "provider": "suno"} | listed_attributes(task_id, at_ms)
    put("TasksTable", item | {"status": "completed", "archived_at_ms": at_ms} | attributes)


class Browser:
    """One that follows a live list for some looks, and is gone then."""

    def __init__(self, stack: Stack, query: str) -> None:
        self.app = create_app(stack, token="t", port=1, read_only=False)
        self.looks: list[Any] = []
        scope = {"type": "http", "method": "GET", "path": "/tasks/live", "headers": [], "app": self.app}
        self._request = Request(scope | {"query_string": query.encode()})
        self._request.is_disconnected = self._is_gone  # type: ignore[method-assign]

    async def _is_gone(self) -> bool:
        if not self.looks:
            return True
        self.looks.pop(0)()
        return False

    def follow(self, *looks: Any) -> list[str]:
        """Do each thing before a look; return what was sent."""
        self.looks = list(looks)

        async def receive() -> list[str]:
            answer = await tasks.live_rows(self._request)
            return [str(each) async for each in answer.body_iterator]  # type: ignore[attr-defined]

        return asyncio.run(receive())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LIVE_EVERY_S", 0)


@pytest.fixture
def reads(found: Stack, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The ids of the tasks of which each look has read the items."""
    seen: list[list[str]] = []
    whole = type(found.tasks).get_many

    def get_many(self: Any, keys: Any, *rest: Any, **options: Any) -> Any:
        seen.append([key.task_id for key in keys])
        return whole(self, keys, *rest, **options)

    monkeypatch.setattr(type(found.tasks), "get_many", get_many)
    return seen


def nothing() -> None:
    pass


def live_at(stack: Stack, path: str = "/tasks") -> str:
    """Where a page gets its live rows: the query."""
    root = parse(client_of(stack).get(path).text)
    (place,) = (
        each.attributes.get("data-hx-sse:connect", "")
        for each in root.all("tbody")
        if "data-hx-sse:connect" in each.attributes
    )
    return place.partition("?")[2]


def test_what_the_page_shows_already_is_not_sent(found: Stack) -> None:
    listed("a", 1_000)
    assert Browser(found, live_at(found)).follow(nothing, nothing) == []


def test_a_new_task_and_a_new_status_are_sent_once_each(found: Stack) -> None:
    listed("a", 1_000, status="pending", archived_at_ms=None)
    browser = Browser(found, live_at(found))
    sent = browser.follow(nothing, lambda: listed("b", 0), nothing, lambda: listed("a", 1_000), nothing)
    assert len(sent) == 2
    assert sent[0].index(">b</a>") < sent[0].index(">a</a>")
    assert "status-pending" in sent[0]
    assert "status-pending" not in sent[1]
    assert all(line.startswith("data: ") for each in sent for line in each.strip().splitlines())


def ids(sent: str) -> list[str]:
    """The ids of the tasks in rows that were sent."""
    return re.findall(r'id="row-suno-([^"]*)"', sent)


@pytest.mark.parametrize("count", [1, tasks.PAGE, tasks.PAGE + 5])
def test_what_comes_before_the_first_look_pushes_nothing_out(found: Stack, count: int) -> None:
    for number in range(count):
        listed(f"t-{number:02}", 60_000 + number * 1_000)
    where = live_at(found)
    for number in range(7):
        listed(f"new-{number}", number * 1_000)
    (rows,) = Browser(found, where).follow(nothing)
    shown = [f"t-{number:02}" for number in range(min(count, tasks.PAGE))]
    assert ids(rows) == [*(f"new-{number}" for number in range(7)), *shown]


def test_a_list_since_a_moment_follows_those_since_then(found: Stack) -> None:
    listed("old", 3 * 3_600_000)
    listed("a", 3_600_000)
    (rows,) = Browser(found, live_at(found, "/tasks?since=2h")).follow(nothing, lambda: listed("b", 0))
    assert ids(rows) == ["b", "a"]


def test_one_that_its_id_has_found_stays_however_old_it_is(found: Stack, reads: list[list[str]]) -> None:
    waits = {"status": "pending", "archived_at_ms": None}
    listed("old", 120 * 24 * 3_600_000, **waits)
    query = live_at(found, "/tasks?id=old")
    assert Browser(found, query).follow(nothing, nothing) == []
    (rows,) = Browser(found, query).follow(nothing, lambda: listed("old", 120 * 24 * 3_600_000))
    assert ids(rows) == ["old"]
    at_ms = now_ms()
    (rows,) = Browser(found, query).follow(lambda: listed("old-2", now_ms() - at_ms, **waits))
    assert ids(rows) == ["old", "old-2"]
    # One that is put again is in the list, and there once.
    (_, rows) = Browser(found, query).follow(
        nothing, lambda: listed("old", now_ms() - at_ms + 3_000, **waits)
    )
    assert ids(rows) == ["old-2", "old"]


def test_more_than_are_followed_are_said_so(found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEPT", 3)
    for number in range(3):
        listed(f"t-{number}", 60_000 + number * 1_000)
    sent = Browser(found, live_at(found, "/tasks?provider=suno")).follow(
        nothing, lambda: listed("a", 1), lambda: listed("b", 0)
    )
    assert [ids(each) for each in sent] == [["a", "t-0", "t-1"], ["b", "a", "t-0"]]
    assert all('<a href="/tasks?provider=suno">Show the list anew</a>' in each for each in sent)


def test_a_position_that_is_none_is_refused(page: TestClient) -> None:
    assert page.get("/tasks/live?last=forged").status_code == 422


def test_an_idle_list_reads_no_item_and_a_pending_task_is_read_alone(
    found: Stack, reads: list[list[str]]
) -> None:
    for number in range(40):
        listed(f"t-{number}", 60_000 + number)
    browser = Browser(found, live_at(found))
    reads.clear()
    browser.follow(nothing, *[nothing] * 5)
    assert [len(each) for each in reads if each] == [30]
    listed("waits", 0, status="pending", archived_at_ms=None)
    reads.clear()
    browser.follow(nothing, *[nothing] * 5)
    assert [each for each in reads[1:] if each] == [["waits"]] * 5


def test_a_filter_follows_those_that_come_to_meet_it(found: Stack) -> None:
    listed("a", 1_000, status="pending", archived_at_ms=None)
    query = live_at(found, "/tasks?status=failed")
    sent = Browser(found, query).follow(nothing, lambda: listed("a", 1_000, status="failed"))
    assert ["No task meets" in each for each in sent] == [False]
    assert ">a</a>" in sent[0]


def test_a_fault_of_aws_passes(found: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    query = live_at(found)
    whole = type(found.tasks).listed

    def fail(*_: Any, **__: Any) -> None:
        raise Unavailable("busy")

    sent = Browser(found, query).follow(
        lambda: monkeypatch.setattr(type(found.tasks), "listed", fail),
        lambda: monkeypatch.setattr(type(found.tasks), "listed", whole),
        lambda: listed("a", 0),
    )
    assert len(sent) == 1
    assert ">a</a>" in sent[0]


def test_it_ends_when_the_console_does(found: Stack) -> None:
    browser = Browser(found, live_at(found))
    looks = iter(range(1_000))

    def look() -> None:
        if next(looks) == 2:
            browser.app.state.stopping.set()

    browser.follow(*[look] * 10)
    assert next(looks) == 3


def test_a_stack_without_lists_is_not_followed(found: Stack) -> None:
    from dataclasses import replace

    outputs = {name: value for name, value in found.outputs.items() if name != "ApiId"}
    text = client_of(replace(found, outputs=outputs)).get("/tasks").text
    assert "sse:connect" not in text
    assert "Reload it" in text


def test_filters_that_are_none_are_refused(page: TestClient) -> None:
    assert page.get("/tasks/live?metadata=odd&status=").status_code == 422


def test_htmx_waits_for_its_extension(page: TestClient) -> None:
    """A deferred htmx begins by a timer: with a slow second file the list did not connect, about one time in four."""
    scripts = [each.attributes for each in parse(page.get("/tasks").text).all("script")]
    assert [each["src"] for each in scripts if "defer" not in each] == [
        "/static/htmx-4.0.1.min.js",
        "/static/hx-sse-4.0.1.min.js",
    ]
