"""Which deliveries wait as their receivers hang, and until when."""

from typing import Any

import pytest
from tests.support.aws import put

from tunehook.aws.circuits import Circuit
from tunehook.aws.deliveries import OVERDUE_MS
from tunehook.deliveries import Delivery, DeliveryStatus, new_delivery
from tunehook.operations.deliveries import _held_until_ms, held_back, next_waits_s
from tunehook.operations.stack import Stack
from tunehook.schedules import WAITS_S
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format

URL = "https://x.example/hook"
NOW_MS = 1_800_000_000_000


@pytest.fixture(autouse=True)
def _at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunehook.operations.deliveries.now_ms", lambda: NOW_MS)


def circuit(**moments: int) -> None:
    put("ReceiverGatesTable", {"receiver": notify_hook_subscription_id(URL), **moments})


def pending(found: Stack, event: str = "evt_2", **changes: Any) -> Delivery:
    made = new_delivery(
        event_id=event,
        subscription_id="sub-1",
        task_id="t",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=NOW_MS - 5_000,
    ).model_copy(update=changes)
    found.deliveries.create(made)
    return made


def test_what_is_due_waits_until_the_circuit_lets_a_probe_in(found: Stack) -> None:
    circuit(wait_ms=60_000, shut_until_ms=NOW_MS + 40_000)
    made = pending(found)
    held = held_back(found, [made])[made.delivery_id]
    assert (held.subscription_id, held.url, held.until_ms) == ("sub-1", URL, NOW_MS + 40_000)
    assert held_back(found) == {made.delivery_id: held}


def test_so_does_what_is_due_before_that(found: Stack) -> None:
    circuit(wait_ms=60_000, shut_until_ms=NOW_MS + 40_000)
    soon = pending(found, next_attempt_at_ms=NOW_MS + 10_000)
    late = pending(found, "evt_3", next_attempt_at_ms=NOW_MS + 50_000)
    assert list(held_back(found, [soon, late])) == [soon.delivery_id]


def test_the_others_wait_for_a_probe_that_goes_on(found: Stack) -> None:
    circuit(wait_ms=60_000, trial_since_ms=NOW_MS - 3_000)
    made = pending(found)
    assert held_back(found, [made])[made.delivery_id].until_ms == NOW_MS


@pytest.mark.parametrize(
    "moments",
    [
        {},
        {"trial_since_ms": NOW_MS - 3_000},
        {"wait_ms": 60_000, "shut_until_ms": NOW_MS - OVERDUE_MS},
        {"wait_ms": 60_000, "shut_until_ms": NOW_MS + 700_000},
    ],
    ids=["closed", "first-probe", "long-past", "by-a-clock-that-was-wrong"],
)
def test_nothing_is_held_back_where_no_circuit_is_open(found: Stack, moments: dict[str, int]) -> None:
    circuit(**moments)
    made = pending(found)
    assert held_back(found, [made]) == {}


@pytest.mark.parametrize(
    ("shut_in_ms", "tried_ago_ms", "due_in_ms", "held_for_ms"),
    [
        (600_000, NOW_MS, 0, 600_000),
        (600_001, NOW_MS, 0, None),
        (1, NOW_MS, 0, 1),
        (1, NOW_MS, 1, None),
        (0, NOW_MS, 0, 0),
        (0, NOW_MS, 1, None),
        (-59_999, NOW_MS, 0, 0),
        (-60_000, NOW_MS, 0, None),
        (-60_000, 0, 0, 0),
        (-60_000, -1, 0, None),
    ],
)
def test_an_attempt_is_held_back_to_the_millisecond(
    shut_in_ms: int, tried_ago_ms: int, due_in_ms: int, held_for_ms: int | None
) -> None:
    found = Circuit(wait_ms=1, shut_until_ms=NOW_MS + shut_in_ms, trial_since_ms=NOW_MS - tried_ago_ms)
    until_ms = None if held_for_ms is None else NOW_MS + held_for_ms
    assert _held_until_ms(found, NOW_MS + due_in_ms, NOW_MS) == until_ms


def test_what_has_ended_or_went_to_a_subscription_that_is_gone_is_not_held_back(found: Stack) -> None:
    circuit(wait_ms=60_000, shut_until_ms=NOW_MS + 40_000)
    ended = pending(found, status=DeliveryStatus.FAILED)
    gone = pending(found, "evt_3", subscription_id="deleted")
    assert held_back(found, [ended, gone]) == {}


def test_the_delivery_to_a_notify_hook_is_found_by_its_own_url(found: Stack) -> None:
    circuit(wait_ms=60_000, shut_until_ms=NOW_MS + 40_000)
    made = pending(found, subscription_id=notify_hook_subscription_id(URL), url=URL)
    assert list(held_back(found)) == [made.delivery_id]


def test_of_all_only_so_many_are_looked_at_for_each_subscription(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.operations.deliveries.HELD_BACK_SHOWN", 2)
    circuit(wait_ms=60_000, shut_until_ms=NOW_MS + 40_000)
    made = [pending(found, f"evt_{number}") for number in range(3)]
    assert (len(held_back(found, made)), len(held_back(found))) == (3, 2)


@pytest.mark.parametrize(
    ("next_attempt", "waits_s"), [(1, [10, 20, 30]), (2, [20, 30]), (3, [30]), (4, []), (5, None)]
)
def test_the_waits_that_are_left_are_those_of_the_schedule_as_it_is(
    found: Stack, next_attempt: int, waits_s: list[int] | None
) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": URL, "retry_schedule": [10, 20, 30]})
    assert next_waits_s(found, pending(found, next_attempt=next_attempt)) == waits_s


@pytest.mark.parametrize(
    "changes", [{"subscription_id": "gone"}, {"url": URL}, {"subscription_id": "unusable"}]
)
def test_the_usual_waits_are_left_where_there_is_no_schedule(found: Stack, changes: dict[str, Any]) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": URL, "retry_schedule": [10, 20, 30]})
    put(
        "SubscriptionsTable", {"subscription_id": "unusable", "url": "no URL", "retry_schedule": [10, 20, 30]}
    )
    assert next_waits_s(found, pending(found, **changes)) == list(WAITS_S)


def test_a_stack_of_an_earlier_version_says_nothing_of_it(found: Stack) -> None:
    made = pending(found)
    del found.outputs["ReceiverGatesTable"]  # type: ignore[attr-defined]
    assert held_back(found, [made]) == held_back(found) == {}
