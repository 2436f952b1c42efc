"""Each adapter against a stand-in that knows its sender's own document."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from benchmarks.senders.adapter import EVENT_TYPE, Refused, Sender
from benchmarks.senders.books import event_id_in, new_event_id, uuid_of
from benchmarks.senders.convoy import Convoy
from benchmarks.senders.hook0 import Hook0
from benchmarks.senders.outpost import Outpost
from benchmarks.senders.svix import Svix
from tests.unit.benchmarks.senders.shapes import (
    CONVOY,
    HOOK0,
    KEY,
    OUTPOST,
    SVIX,
    SVIX_SECRET,
    UUID,
    Route,
    StandIn,
    mistakes,
    standing_in,
)

Make = Callable[[aiohttp.ClientSession, str], Sender]
PEERS: dict[str, tuple[Sequence[Route], Make]] = {
    "svix": (SVIX, lambda session, url: Svix(session, url, KEY)),
    "outpost": (OUTPOST, lambda session, url: Outpost(session, url, KEY)),
    "convoy": (CONVOY, lambda session, url: Convoy(session, url, KEY, "project-1")),
    "hook0": (HOOK0, lambda session, url: Hook0(session, url, KEY, UUID)),
}
ACCEPTING = {
    "svix": "/api/v1/app/{}/msg",
    "outpost": "/api/v1/publish",
    "convoy": "/api/v1/projects/{}/events",
    "hook0": "/api/v1/event/",
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def live(sender: Sender) -> list[str]:
    """Do all that a measurement does with a sender; return the events that were handed over."""
    one = await sender.add_endpoint("one", "http://127.0.0.1:1/one")
    two = await sender.add_endpoint("two", "http://127.0.0.1:1/two")
    event_ids = [new_event_id() for _ in range(3)]
    for event_id, endpoint in zip(event_ids, (one, two, one), strict=True):
        await sender.send(endpoint, event_id, "la la")
    await sender.remove_endpoint(one)
    await sender.close()
    return event_ids


@pytest.mark.parametrize("name", PEERS)
async def test_all_that_is_asked_is_as_the_document_has_it(name: str, session: aiohttp.ClientSession) -> None:
    routes, make = PEERS[name]
    async with standing_in(StandIn(routes)) as stand_in:
        event_ids = await live(make(session, stand_in.url))
    assert stand_in.wrong == []
    accepted = stand_in.bodies(ACCEPTING[name])
    found = [event_id_in(json.dumps(body).encode()) for body in accepted]
    assert found == event_ids, "the receiver knows an event by its id in the body"
    used = {(each.method, each.path) for each in stand_in.requests}
    assert len(used) >= len(routes), "no route of the shapes is there for nothing"


@pytest.mark.parametrize("name", PEERS)
async def test_what_is_not_accepted_is_refused_without_the_key(
    name: str, session: aiohttp.ClientSession
) -> None:
    routes, make = PEERS[name]
    async with standing_in(StandIn(routes, {ACCEPTING[name]: 503})) as stand_in:
        sender = make(session, stand_in.url)
        endpoint = await sender.add_endpoint("one", "http://127.0.0.1:1/one")
        with pytest.raises(Refused, match="503") as refused:
            await sender.send(endpoint, new_event_id(), "la")
    assert refused.value.status == 503
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "path"),
    [("convoy", "/api/v1/projects/{}/endpoints/{}"), ("hook0", "/api/v1/subscriptions/{}")],
)
async def test_what_cannot_be_removed_does_not_keep_the_rest(
    name: str, path: str, session: aiohttp.ClientSession
) -> None:
    routes, make = PEERS[name]
    async with standing_in(StandIn(routes, {path: 500})) as stand_in:
        sender = make(session, stand_in.url)
        for endpoint in ("one", "two"):
            await sender.add_endpoint(endpoint, f"http://127.0.0.1:1/{endpoint}")
        with pytest.raises(Refused, match="500"):
            await sender.close()
    assert sum(each.method == "DELETE" for each in stand_in.requests) == 2


@pytest.mark.parametrize("name", PEERS)
async def test_a_sender_that_is_not_there_refuses(name: str, session: aiohttp.ClientSession) -> None:
    async with standing_in(StandIn(())) as stand_in:
        sender = PEERS[name][1](session, stand_in.url)
    with pytest.raises(Refused) as refused:
        await sender.add_endpoint("one", "http://127.0.0.1:1/one")
    assert refused.value.status == 0
    assert KEY not in str(refused.value)


async def bodies_of(name: str, session: aiohttp.ClientSession, path: str) -> list[Any]:
    routes, make = PEERS[name]
    async with standing_in(StandIn(routes)) as stand_in:
        await live(make(session, stand_in.url))
    return stand_in.bodies(path)


async def test_svix_gets_a_channel_for_each_endpoint(session: aiohttp.ClientSession) -> None:
    endpoints = await bodies_of("svix", session, "/api/v1/app/{}/endpoint")
    assert [each["channels"] for each in endpoints] == [["one"], ["two"]]
    messages = await bodies_of("svix", session, "/api/v1/app/{}/msg")
    assert [each["channels"] for each in messages] == [["one"], ["two"], ["one"]]
    assert all(each["eventId"] == each["payload"]["id"] for each in messages)


async def test_svix_tells_the_secret(session: aiohttp.ClientSession) -> None:
    async with standing_in(StandIn(SVIX)) as stand_in:
        endpoint = await Svix(session, stand_in.url, KEY).add_endpoint("one", "http://127.0.0.1:1/one")
    assert (endpoint.id, endpoint.secret) == ("ep_1", SVIX_SECRET)


async def test_outpost_publishes_to_one_destination_and_retries(session: aiohttp.ClientSession) -> None:
    events = await bodies_of("outpost", session, "/api/v1/publish")
    assert all(each["destination_id"] == "des_1" for each in events)
    assert all(each["eligible_for_retry"] and each["topic"] == EVENT_TYPE for each in events)
    (one, two) = await bodies_of("outpost", session, "/api/v1/tenants/{}/destinations")
    assert (one["type"], two["config"]) == ("webhook", {"url": "http://127.0.0.1:1/two"})


async def test_convoy_gets_a_subscription_for_each_endpoint_and_no_limit(
    session: aiohttp.ClientSession,
) -> None:
    subscriptions = await bodies_of("convoy", session, "/api/v1/projects/{}/subscriptions")
    assert [each["endpoint_id"] for each in subscriptions] == ["end_1", "end_1"]
    assert {each["filter_config"]["event_types"][0] for each in subscriptions} == {EVENT_TYPE}
    endpoints = await bodies_of("convoy", session, "/api/v1/projects/{}/endpoints")
    assert all(each["rate_limit"] / each["rate_limit_duration"] >= 1_000_000 for each in endpoints)


async def test_hook0_chooses_by_label_and_gets_ids_and_moments_of_its_form(
    session: aiohttp.ClientSession,
) -> None:
    subscriptions = await bodies_of("hook0", session, "/api/v1/subscriptions/")
    assert [each["labels"] for each in subscriptions] == [{"endpoint": "one"}, {"endpoint": "two"}]
    assert subscriptions[0]["event_types"] == ["senders.task.failed"]
    for event in await bodies_of("hook0", session, "/api/v1/event/"):
        assert str(uuid.UUID(event["event_id"])) == uuid_of(json.loads(event["payload"])["id"])
        assert datetime.fromisoformat(event["occurred_at"]).tzinfo is not None
        assert event["labels"]["endpoint"] in {"one", "two"}


def test_the_stand_in_tells_a_wrong_body() -> None:
    shape = {"a": str, "b?": [int], "c?": {"d": bool}}
    assert mistakes({"a": "x", "b": [1], "c": {"d": True}}, shape) == []
    assert mistakes({"b": ["1"], "c": {}, "e": 1}, shape) == [
        "body.e is not known",
        "body.a is missing",
        "body.b[] is no int",
        "body.c.d is missing",
    ]


async def test_the_stand_in_tells_a_wrong_route_key_and_query(session: aiohttp.ClientSession) -> None:
    async with standing_in(StandIn(SVIX)) as stand_in:
        async with session.get(f"{stand_in.url}/api/v1/apps") as answer:
            assert answer.status == 404
        async with session.post(
            f"{stand_in.url}/api/v1/app/app_1/msg", json={"eventType": "a", "payload": {}}
        ):
            pass
    assert stand_in.wrong == [
        "there is no GET /api/v1/apps",
        "/api/v1/app/{}/msg: no key",
        "/api/v1/app/{}/msg: the query is {}",
    ]
