"""What is told of a key that a provider refuses: once a trouble, whichever pass finds it."""

import asyncio
import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from tests.support.aws import BUS, Faulty, client, create_table, fault, items, put, watched_bus
from tests.support.tasks import NOW_MS
from tests.unit.poller.test_waiting import refused
from tests.unit.poller.world import PROCESSING
from tests.unit.poller.world import World as Passes

from poller.background import BackgroundTasks
from poller.provider_alerts import ProviderAlerts
from poller.provider_health import ProviderHealth, ProviderHealthStore
from tunehook.aws.bus import EventBus
from tunehook.aws.provider_states import AGAIN_AFTER_MS, ProviderStates
from tunehook.providers.outcomes import NotFound, Unauthorised

MINUTE_MS = 60_000


class Provider:
    """A provider, as far as its health is concerned."""

    def __init__(self, key: str = "digest-1") -> None:
        self.name, self.key_digest, self.paused_until = "gw", key, 0.0

    def restore_pause(self, seconds: float, reason: str) -> None:
        """A pause of an earlier pass."""


class World:
    """Passes that poll one provider, whose outcomes are given."""

    def __init__(self) -> None:
        create_table("ProviderStatesTable")
        self.now_ms = NOW_MS
        self.of_the_bus: list[Exception | None] = []
        self._bus = EventBus(Faulty(client("events"), put_events=self.of_the_bus), BUS)
        self._emitted = watched_bus()
        self.told: list[dict[str, Any]] = []

    def begin(self, provider: Provider | None = None) -> "Pass":
        """Begin a pass, which loads what earlier ones have left."""
        return Pass(self, provider or Provider())

    def emitted(self) -> list[dict[str, Any]]:
        """The alerts that came out since the last call."""
        events = (event for event in self._emitted() if event["detail-type"] == "ProviderUnauthorised")
        new = [event["detail"] for event in events]
        self.told += new
        return new


class Pass:
    """One pass of one shard."""

    def __init__(self, world: World, provider: Provider) -> None:
        self._world = world
        states = ProviderStates(client("dynamodb"), "ProviderStatesTable")
        self._store = ProviderHealthStore(states, lambda: world.now_ms)
        asyncio.run(self._store.load([provider]))  # type: ignore[list-item]
        self._health: ProviderHealth = self._store.of(provider)  # type: ignore[arg-type]
        self._alerts = ProviderAlerts(states, world._bus, lambda _: 3, lambda: world.now_ms)

    def refuse(self, reason: Literal["key", "credit", "access"] = "key") -> list[dict[str, Any]]:
        """Have a poll refused; return what is told."""
        self._health.record_outcome(Unauthorised("HTTP 401: no such token", reason), self._world.now_ms)
        self._health.record_pause(60, Unauthorised.name, self._world.now_ms)
        return self._follow()

    def accept(self) -> list[dict[str, Any]]:
        """Have a poll answered; return what is told."""
        self._health.record_outcome(NotFound("no such task"), self._world.now_ms)
        return self._follow()

    def _follow(self) -> list[dict[str, Any]]:
        async def follow() -> None:
            writes = BackgroundTasks()
            self._alerts.follow(self._health, writes)
            for health in self._store.unsaved(is_last=True):
                writes.start(self._store.save(health))
            await writes.wait(60)

        asyncio.run(follow())
        self._world.now_ms += MINUTE_MS
        return self._world.emitted()


@pytest.fixture
def world(aws: None) -> World:
    return World()


def test_it_is_told_once_with_the_providers_words_and_how_many_wait(world: World) -> None:
    one = world.begin()
    one.accept()
    (told,) = one.refuse()
    assert {name: told[name] for name in ("provider", "reason", "message", "was_accepted")} == {
        "provider": "gw",
        "reason": "key",
        "message": "HTTP 401: no such token",
        "was_accepted": True,
    }
    assert told["tasks_waiting"] == 3
    assert one.refuse() == []
    assert world.begin().refuse() == []
    assert world.begin().refuse("credit") == []


def test_once_it_was_accepted_again_the_next_trouble_is_told(world: World) -> None:
    world.begin().refuse()
    world.begin().accept()
    world.now_ms += AGAIN_AFTER_MS
    assert len(world.begin().refuse()) == 1
    assert len({each["event_id"] for each in world.told}) == 2


def test_a_key_that_comes_and_goes_is_told_of_once_an_hour(world: World) -> None:
    one = world.begin()
    for _ in range(30):
        one.refuse()
        one.accept()
    assert len(world.told) == 1
    one.refuse()
    assert len(world.told) == 2


def test_another_key_that_is_refused_is_told_at_once(world: World) -> None:
    world.begin().refuse()
    (told,) = world.begin(Provider("digest-2")).refuse()
    assert told["was_accepted"] is False


def test_what_the_bus_does_not_take_is_told_by_the_next_pass(world: World) -> None:
    world.of_the_bus.append(fault())
    assert world.begin().refuse() == []
    assert len(world.begin().refuse()) == 1


def test_what_the_bus_does_not_take_is_tried_again_after_five_seconds_and_not_before(world: World) -> None:
    world.of_the_bus.append(fault())
    one, began_ms = world.begin(), world.now_ms
    assert one.refuse() == []
    world.now_ms = began_ms + 4_999
    assert one.refuse() == []
    world.now_ms = began_ms + 5_000
    assert len(one.refuse()) == 1


def test_two_shards_that_find_it_at_once_tell_it_once(world: World) -> None:
    one, other = world.begin(), world.begin()
    assert len(one.refuse()) == 1
    assert other.refuse() == []
    assert one.accept() == other.accept() == []
    world.now_ms += AGAIN_AFTER_MS
    assert len(other.refuse()) == 1
    assert one.refuse() == []


def test_an_alert_that_makes_no_sense_is_as_none(world: World) -> None:
    world.begin().refuse()
    (item,) = items("ProviderStatesTable")
    for spoilt in ({"alert_is_over": "no"}, {"alert_since_ms": -1}, {"alert_key": 7}):
        put("ProviderStatesTable", item | spoilt)
        assert ProviderStates(client("dynamodb"), "ProviderStatesTable").get("gw").alert is None


@pytest.mark.usefixtures("aws")
def test_passes_tell_it_once_and_no_key_is_in_it() -> None:
    world = Passes(gw=lambda _: refused() if world.seconds() > 30 else PROCESSING)
    world.add("one")
    world.add("two")
    for owner in "abc":
        world.run(owner=owner, lasts_s=90)
    events = [each for each in world.all_emitted() if each["detail-type"] == "ProviderUnauthorised"]
    (told,) = (each["detail"] for each in events)
    assert (told["provider"], told["was_accepted"], told["tasks_waiting"]) == ("gw", True, 2)
    assert world.api_key not in json.dumps(told)


@settings(max_examples=20, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(("refuse", "accept", "pass")),
            st.sampled_from((0, 20 * MINUTE_MS, AGAIN_AFTER_MS)),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_in_any_order_of_troubles_and_recoveries_each_is_told_once(
    steps: list[tuple[str, int, bool]],
) -> None:
    with mock_aws():
        world = World()
        one = world.begin()
        last_ms, is_over = -AGAIN_AFTER_MS, True
        for step, after_ms, is_faulty in steps:
            world.now_ms += after_ms
            now_ms = world.now_ms
            world.of_the_bus[:] = [fault()] if is_faulty else []
            if step == "pass":
                one = world.begin()
            elif step == "accept":
                assert one.accept() == []
                is_over = True
            else:
                is_due = is_over and now_ms - last_ms >= AGAIN_AFTER_MS
                assert len(one.refuse()) == (is_due and not is_faulty)
                if is_due and not is_faulty:
                    last_ms, is_over = now_ms, False
        assert len({each["event_id"] for each in world.told}) == len(world.told)
