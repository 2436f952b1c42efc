"""Recovery of what was never made: exactly what a scope asks for, once, whatever the pages and however often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.aws import put

from fulfillment.recovery import Recovery as Making
from tunehook.aws.tasks import TasksTable
from tunehook.deliveries import delivery_id as id_of
from tunehook.errors import InvalidInput
from tunehook.event_patterns import EventPattern
from tunehook.events import archived_event_id
from tunehook.fulfillment_requests import DeliveryRequest
from tunehook.http.guard import NetworkPolicy
from tunehook.operations import recovery
from tunehook.operations.recovery import RecoveryScope, recover, recover_page
from tunehook.operations.stack import Stack
from tunehook.subscriptions import WebhookType, check_subscription
from tunehook.tasks import EndedRun, Status, TaskKey

PROVIDERS = ("suno", "piapi", "fal")
ENDS = {Status.COMPLETED: "task.completed", Status.FAILED: "task.failed"}
_SUBSCRIBED = st.fixed_dictionaries(
    {},
    optional={
        "events": st.sets(
            st.sampled_from(["task.completed", "task.failed", "task.archived"]), min_size=1
        ).map(list),
        "providers": st.sets(st.sampled_from(PROVIDERS), min_size=1).map(list),
        "filter": st.sampled_from(
            [{"metadata": {"order": [1, 2]}}, {"metadata": {"order": [{"numeric": [">", 2]}]}}]
        ),
    },
)
_RUNS = st.lists(
    st.builds(
        lambda number, provider, status, at_ms: EndedRun(
            key=TaskKey(f"task-{number}", provider),
            status=status,
            event_id=f"evt_{number}_{provider}",
            detected_at_ms=at_ms,
        ),
        st.integers(0, 40),
        st.sampled_from(PROVIDERS),
        st.sampled_from(list(ENDS)),
        st.integers(0, 20),
    ),
    max_size=30,
    unique_by=lambda run: run.key,
)
_SCOPES = st.builds(
    lambda since, length, events, providers, pattern: RecoveryScope(
        since_ms=since,
        until_ms=since + length,
        events=events,
        providers=providers,
        filter=None if pattern is None else EventPattern.read(pattern),
    ),
    st.integers(0, 20),
    st.integers(1, 20),
    st.frozensets(st.sampled_from(["task.completed", "task.failed", "task.archived"]), max_size=2),
    st.frozensets(st.sampled_from(PROVIDERS), max_size=2),
    st.none() | st.sampled_from([{"metadata": {"order": [2, 3]}}, {"provider": ["suno", "fal"]}]),
)


def data_of(run: EndedRun) -> dict[str, Any]:
    number = int(run.key.task_id.rpartition("-")[2])
    return {"provider": run.key.provider, "metadata": {"order": number % 5}}


@dataclass
class World:
    """A stack in memory: what has ended, what there is, and a fulfillment that makes what is requested."""

    runs: list[EndedRun]
    item: dict[str, Any]
    made: list[str] = field(default_factory=list)
    requests: int = 0

    @property
    def stack(self) -> Any:
        return SimpleNamespace(
            network_policy=NetworkPolicy.PUBLIC,
            subscriptions=SimpleNamespace(get=lambda _: self.item),
            deliveries=SimpleNamespace(
                failed=lambda *_: iter(()), existing=lambda ids: {each for each in ids if each in self.made}
            ),
            tasks=SimpleNamespace(ended=self.ended),
            request_fulfillment=self.fulfill,
        )

    def ended(
        self, since_ms: int, providers: Any, *, until_ms: int, after: tuple[TaskKey, int] | None
    ) -> Iterator[EndedRun]:
        """Yield as the index does: by provider, oldest first, from a key on."""

        def place(key: TaskKey, at_ms: int) -> tuple[str, int, str]:
            return key.provider, at_ms, key.task_id

        for run in sorted(self.runs, key=lambda each: place(each.key, each.detected_at_ms)):
            is_in = since_ms <= run.detected_at_ms < until_ms
            is_later = after is None or place(run.key, run.detected_at_ms) > place(*after)
            if is_in and is_later and (not providers or run.key.provider in providers):
                yield run

    def fulfill(self, requests: list[DeliveryRequest]) -> None:
        self.requests += len(requests)
        making: Any = Making(
            **dict.fromkeys(("tasks", "deliveries", "queue", "results"), None),  # type: ignore[arg-type]
            subscriptions=self.stack.subscriptions,
            policy=NetworkPolicy.PUBLIC,
        )
        for given_one in requests:
            request = DeliveryRequest.model_validate_json(given_one.model_dump_json())
            run = next(each for each in self.runs if each.event_id == request.event_id)
            pattern = None if request.filter is None else EventPattern.read(request.filter)
            events = {WebhookType.of_end(run.status): run.event_id}
            events[WebhookType.TASK_ARCHIVED] = archived_event_id(run.event_id)
            for kind, event_id in events.items():
                if making._recipients(request, pattern, kind, run.key.provider, None, data_of(run)):
                    new = id_of(event_id, request.subscription_id)
                    if new not in self.made:  # as the table of deliveries has it
                        self.made.append(new)

    def wanted(self, scope: RecoveryScope) -> set[str]:
        """Return what is to be there in the end, by the words of the contract."""
        found = set()
        subscription = check_subscription(self.item, NetworkPolicy.PUBLIC)
        for run in self.runs:
            matches = subscription.matches(data_of(run)) and (
                scope.filter is None or scope.filter.matches(data_of(run))
            )
            is_in = scope.since_ms <= run.detected_at_ms < scope.until_ms and matches
            if not is_in or (scope.providers and run.key.provider not in scope.providers):
                continue
            if subscription.providers and run.key.provider not in subscription.providers:
                continue
            for kind, event_id in (
                (ENDS[run.status], run.event_id),
                ("task.archived", archived_event_id(run.event_id)),
            ):
                if kind in subscription.events and (not scope.events or kind in scope.events):
                    found.add(id_of(event_id, "sub"))
        return found


@settings(max_examples=150)
@given(_RUNS, _SUBSCRIBED, st.lists(_SCOPES, min_size=1, max_size=3), st.integers(1, 7), st.randoms())
def test_what_a_scope_asks_for_is_made_once_however_often_and_by_whatever_pages(
    runs: list[EndedRun], fields: dict[str, Any], scopes: list[RecoveryScope], limit: int, chance: Any
) -> None:
    item = {"subscription_id": "sub", "url": "https://x.example/", **fields}
    world = World(runs, item)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "_AT_ONCE", limit)
        patch.setattr(recovery, "_AT_ONCE_MATCHED", limit)
        by_key = {run.key: run for run in runs}
        patch.setattr(recovery, "data_of_run", lambda _, key, event_id=None: data_of(by_key[key]))
        before: set[str] = set()
        for scope in [*scopes, *scopes]:
            counted = recover(world.stack, "sub", scope, dry_run=True)
            assert set(counted.made) == world.wanted(scope) - before
            assert len(counted.made) == len(set(counted.made))
            assert not counted.filtered
            cursor, pages, asked = None, 0, []
            while pages == 0 or cursor is not None:
                page = recover_page(
                    world.stack,
                    "sub",
                    scope,
                    cursor=cursor,
                    limit=limit,
                    is_time_up=lambda: chance.random() < 0.3,
                )
                cursor, pages = page.next_cursor, pages + 1
                asked += page.made
            assert pages <= 2 * len(runs) + 3
            assert set(world.made) == before | world.wanted(scope)
            assert len(asked) == len(set(asked))
            before = set(world.made)
    assert len(world.made) == len(before)


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "W10", "WzEsImVuZGVkIiwxXQ", "A" * 5_000, "WzIsImZhaWxlZCJd"]
)
def test_a_cursor_that_is_none_is_refused(found: Stack, cursor: str) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        recover_page(found, "sub-1", RecoveryScope(since_ms=0), cursor=cursor)


def test_a_scope_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="until"):
        RecoveryScope(since_ms=5, until_ms=5)
    with pytest.raises(InvalidInput, match="events"):
        RecoveryScope(since_ms=5, events=frozenset({"webhook.test"}))


@pytest.mark.parametrize("providers", [(), ("piapi", "suno")])
def test_the_index_of_ended_tasks_is_read_on_from_any_task(found: Stack, providers: tuple[str, ...]) -> None:
    for number in range(7):
        put(
            "TasksTable",
            {"task_id": f"t{number}", "provider": PROVIDERS[number % 2], "status": "failed"}
            | {"event_id": f"evt_{number}", "detected_at_ms": 100 + number // 2},
        )
    table: TasksTable = found.tasks
    whole = list(table.ended(100, providers, until_ms=103))
    assert sorted(each.event_id for each in whole) == [f"evt_{number}" for number in range(6)]
    for number, run in enumerate(whole):
        rest = list(table.ended(100, providers, until_ms=103, after=(run.key, run.detected_at_ms)))
        assert rest == whole[number + 1 :]


def test_failed_deliveries_are_found_by_pages_and_only_what_is_asked_for_is_sent_once_more(
    found: Stack,
) -> None:
    template = found.deliveries.get("msg_1")
    assert template is not None
    for number in range(5):
        update = {"delivery_id": f"msg_{number + 2}", "created_at_ms": 100 + number, "is_check": number == 4}
        update |= {"payload_id": None}
        update |= {"provider": PROVIDERS[number % 2], "payload": f'{{"metadata": {{"order": {number}}}}}'}
        found.deliveries.create(template.model_copy(update=update | {"task_id": f"gone-{number}"}))

    def begun(**fields: Any) -> list[str]:
        scope = RecoveryScope(since_ms=50, **fields)
        return recover(found, "sub-1", scope, dry_run=True).recovered

    assert begun() == ["msg_2", "msg_3", "msg_4", "msg_5"]
    assert begun(until_ms=102) == ["msg_2", "msg_3"]
    assert begun(providers=frozenset({"piapi"})) == ["msg_3", "msg_5"]
    assert begun(events=frozenset({"task.failed"})) == []
    assert begun(only_missing=True) == []
    assert begun(filter=EventPattern.read({"metadata": {"order": [0, 3]}})) == ["msg_2", "msg_5"]
    cursor, sent = None, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "_AT_ONCE", 1)
        for _ in range(5):
            page = recover_page(found, "sub-1", RecoveryScope(since_ms=50), cursor=cursor, limit=1)
            sent.append(page.recovered)
            cursor = page.next_cursor
    assert sent == [["msg_2"], ["msg_3"], ["msg_4"], ["msg_5"], []]
    assert begun() == []


@pytest.mark.parametrize("limit", [0, 5_001])
def test_a_page_has_a_limit(found: Stack, limit: int) -> None:
    with pytest.raises(InvalidInput, match="limit: must be 1 to 5000"):
        recover_page(found, "sub-1", RecoveryScope(since_ms=0), limit=limit)
    for taken in (1, 5_000):
        page = recover_page(found, "sub-1", RecoveryScope(since_ms=0), dry_run=True, limit=taken)
        assert page.recovered == ["msg_1"]


@pytest.mark.parametrize(
    ("payload", "recovered"),
    [('{"provider": "suno"}', ["msg_2"]), ("changed by hand", []), ("[1]", [])],
)
def test_what_is_about_no_task_is_matched_by_what_was_to_be_sent(
    found: Stack, payload: str, recovered: list[str]
) -> None:
    template = found.deliveries.get("msg_1")
    assert template is not None
    update = {"delivery_id": "msg_2", "task_id": None, "type": "provider.unauthorised", "payload_id": None}
    found.deliveries.create(template.model_copy(update=update | {"created_at_ms": 60, "payload": payload}))
    scope = RecoveryScope(since_ms=50, filter=EventPattern.read({"provider": ["suno"]}))
    assert recover(found, "sub-1", scope, dry_run=True).recovered == recovered
