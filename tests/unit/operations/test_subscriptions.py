"""What a change of a subscription writes beside what was asked for, and where a sample goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.aws import put

from tunehook.deliveries import Attempt, DeliveryStatus
from tunehook.errors import InvalidInput, NotFound
from tunehook.operations import subscriptions
from tunehook.operations.stack import Stack
from tunehook.operations.subscriptions import await_attempt, change_subscription, send_sample
from tunehook.tasks import Format

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def _at_that_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriptions, "now_ms", lambda: NOW_MS)


@pytest.mark.parametrize(
    ("before", "changes", "written"),
    [
        ({}, {"signature": "v1a"}, {"signature_both_until_ms": NOW_MS + DAY_MS}),
        ({"signature": "v1a"}, {"signature": "v1"}, {"signature_both_until_ms": NOW_MS + DAY_MS}),
        ({"signature": "v1a"}, {"signature": None}, {"signature_both_until_ms": NOW_MS + DAY_MS}),
        ({}, {"signature": "v1"}, {}),
        ({}, {"signature": "both"}, {}),
        ({}, {"timeout_s": 5}, {}),
        ({}, {"max_per_second": 2}, {"max_per_second_since_ms": NOW_MS}),
        ({"max_per_second": 2}, {"max_per_second": 2}, {}),
        ({"max_per_second": 2}, {"max_per_second": None}, {}),
    ],
    ids=str,
)
def test_what_a_change_takes_away_or_limits_is_dated(
    found: Stack, before: dict[str, Any], changes: dict[str, Any], written: dict[str, Any]
) -> None:
    put("SubscriptionsTable", {"subscription_id": "a", "url": "https://x.example/a", **before})
    change_subscription(found, "a", changes)
    item = found.subscriptions.get("a")
    assert item is not None
    names = ("signature_both_until_ms", "max_per_second_since_ms")
    assert {name: item[name] for name in names if item.get(name) is not None} == written


@pytest.mark.parametrize(("form", "sent"), [(None, Format.STANDARD), ("provider", Format.PROVIDER)])
def test_a_sample_goes_to_a_url_in_the_format_that_is_asked_for(
    found: Stack, form: str | None, sent: Format
) -> None:
    url, delivery = send_sample(found, "task.completed", "https://x.example/", form)
    assert (url, delivery.url, delivery.format) == ("https://x.example/", "https://x.example/", sent)


@pytest.mark.parametrize(
    ("to", "form", "error", "field"),
    [
        ("ftp://x.example/", None, InvalidInput, "to"),
        ("https://x.example/", "xml", InvalidInput, "format"),
        ("sub-1", "standard", InvalidInput, "format"),
        ("nobody", None, NotFound, "to"),
        ("unusable", None, InvalidInput, "to"),
    ],
)
def test_where_a_sample_cannot_go_is_named(
    found: Stack, to: str, form: str | None, error: type[InvalidInput], field: str
) -> None:
    put("SubscriptionsTable", {"subscription_id": "unusable", "url": "no URL"})
    with pytest.raises(error) as raised:
        send_sample(found, "task.completed", to, form)
    assert (type(raised.value), raised.value.field) == (error, field)


@dataclass
class Clock:
    """Seconds that pass while somebody sleeps; `meanwhile` is called for each sleep."""

    meanwhile: Callable[[int], None] = lambda _: None
    slept_s: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return sum(self.slept_s)

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.meanwhile(len(self.slept_s))


def test_the_first_attempt_is_waited_for_with_a_look_twice_a_second(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, delivery = send_sample(found, "task.completed", "https://x.example/", None)
    attempt = Attempt(run=1, attempt=1, at_ms=NOW_MS, duration_ms=5, status_code=200)
    ended = {"status": DeliveryStatus.DELIVERED.value, "attempts": [attempt.model_dump(mode="json")]}
    key = {"delivery_id": delivery.delivery_id}

    def meanwhile(number: int) -> None:
        if number == 3:
            assert found.deliveries.table.update(key, set=ended).done

    clock = Clock(meanwhile)
    monkeypatch.setattr(subscriptions, "time", clock)
    assert await_attempt(found, delivery, 5).attempts == (attempt,)
    assert clock.slept_s == [0.5] * 3


def test_an_attempt_that_does_not_come_is_not_waited_for_longer_than_was_said(
    found: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, delivery = send_sample(found, "task.completed", "https://x.example/", None)
    clock = Clock()
    monkeypatch.setattr(subscriptions, "time", clock)
    assert await_attempt(found, delivery, 2).attempts == ()
    assert clock.slept_s == [0.5] * 4
