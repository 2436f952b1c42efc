"""The routes of deliveries, called by events over moto's AWS."""

from __future__ import annotations

from typing import Any

from tests.support.aws import client, put
from tests.unit.api.calling import Api

from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import Attempt, Delivery, DeliveryStatus, new_delivery
from tunehook.tasks import Format
from tunehook.times import from_ms, iso, now_ms

PATH = "/v1/deliveries"
ATTEMPT = Attempt(run=1, attempt=1, at_ms=1, duration_ms=5, status_code=500, excerpt="no")


def deliver(event_id: str = "evt_1", **update: Any) -> Delivery:
    made = new_delivery(
        event_id=event_id,
        subscription_id="sub-1",
        task_id="task-1",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload='{"task_id": "task-1"}',
        now_ms=now_ms(),
    )
    failed = {"status": DeliveryStatus.FAILED, "next_attempt_at_ms": None, "attempts": (ATTEMPT,)}
    delivery = made.model_copy(update=failed | update)
    DeliveriesTable(client("dynamodb"), "DeliveriesTable").create(delivery)
    return delivery


def subscribe() -> None:
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": "https://receiver.example/"})


def test_one_is_told_with_its_attempts_and_payload(api: Api) -> None:
    made = deliver()
    told = api("GET", f"{PATH}/{made.delivery_id}").json
    assert (told["status"], told["payload"]) == ("failed", {"task_id": "task-1"})
    assert [each["status_code"] for each in told["attempts"]] == [500]


def test_one_that_is_not_there_is_not_found(api: Api) -> None:
    for name in ("msg_0", "é😀", "x" * 3000, "a b"):
        assert api("GET", f"{PATH}/{name}").status == 404
        assert api("POST", f"{PATH}/{name}/redeliver").status == 404


def test_a_name_that_dynamodb_would_not_take_is_not_asked_for(api: Api) -> None:
    for name, is_long in (("x" * 2048, False), ("x" * 2049, True), ("é" * 1024, False), ("é" * 1025, True)):
        for answer in (api("GET", f"{PATH}/{name}"), api("POST", f"{PATH}/{name}/redeliver")):
            assert ("nothing has so long a name" in answer.json["detail"]) is is_long
            assert (answer.status, answer.json["field"]) == (404, "delivery_id")
    refused = api("GET", PATH, query={"subscription": "é" * 1025})
    assert (refused.status, refused.json["field"]) == (404, "subscription")
    assert "nothing has so long a name" in refused.json["detail"]
    # Of a URL a digest is asked for.
    assert api("GET", PATH, query={"subscription": "https://x.example/" + "é" * 1025}).status == 200


def test_one_that_has_failed_is_delivered_again_and_not_twice_at_once(api: Api) -> None:
    subscribe()
    path = f"{PATH}/{deliver().delivery_id}/redeliver"
    again = api("POST", path)
    assert (again.status, again.json["run"], again.json["status"]) == (202, 2, "pending")
    assert api("POST", path).status == 409


def test_without_its_subscription_it_is_not_delivered_again(api: Api) -> None:
    assert api("POST", f"{PATH}/{deliver().delivery_id}/redeliver").status == 404
    put(
        "SubscriptionsTable",
        {"subscription_id": "sub-1", "url": "https://receiver.example/", "enabled": False},
    )
    assert api("POST", f"{PATH}/{deliver().delivery_id}/redeliver").status == 409
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": "ftp://x"})
    assert api("POST", f"{PATH}/{deliver().delivery_id}/redeliver").status == 422


def test_pages_go_on_by_their_cursor_and_are_narrowed(api: Api) -> None:
    subscribe()
    made = [deliver(f"evt_{number}").delivery_id for number in range(3)]
    first = api("GET", PATH, query={"limit": "2"}).json
    rest = api("GET", PATH, query={"limit": "2", "cursor": first["next_cursor"]}).json
    found = [each["delivery_id"] for each in first["deliveries"] + rest["deliveries"]]
    assert sorted(found) == sorted(made)
    since = iso(from_ms(now_ms() - 60_000))
    for query in ({"task_id": "task-1"}, {"subscription": "sub-1"}, {"status": "failed"}, {"since": since}):
        assert len(api("GET", PATH, query=query).json["deliveries"]) == 3, query
    for query in (
        {"status": "pending"},
        {"task_id": "task-1", "provider": "other"},
        {"since": "2999-01-01T00:00Z"},
    ):
        assert api("GET", PATH, query=query).json["deliveries"] == [], query


def test_what_is_not_acceptable_is_refused_by_its_field(api: Api) -> None:
    for query in (
        "status=done",
        "limit=0",
        "since=x",
        "cursor=x",
        "task_id=",
        "subscription=",
        "page=1",
        "task=x",
    ):
        answer = api("GET", PATH, query=query)
        assert (answer.status, answer.json["field"]) == (422, query.partition("=")[0]), query


def test_who_is_not_known_has_none(api: Api) -> None:
    for query in (
        {"task_id": "no"},
        {"subscription": "no"},
        {"subscription": "https://x.example/é"},
        {"subscription": "é" * 2000},
    ):
        answer = api("GET", PATH, query=query)
        assert answer.status in (200, 404), query
        assert answer.status == 404 or answer.json["deliveries"] == []
