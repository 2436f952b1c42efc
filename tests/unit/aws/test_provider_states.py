from dataclasses import replace
from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, items, put
from tests.support.tasks import NOW_MS

from tunehook.aws.provider_states import Alert, Pause, ProviderState, ProviderStates, Refusal
from tunehook.aws.table import KEYS_A_CALL
from tunehook.errors import Unavailable

NAME = "ProviderStatesTable"
UNKNOWN = ProviderState(provider="gw")
KNOWN = ProviderState(
    provider="gw",
    accepted_key="a" * 32,
    refusal=Refusal(reason="key", words="HTTP 401: Invalid token", since_ms=NOW_MS, key="b" * 32),
    pause=Pause(until_ms=NOW_MS, reason="throttled", kind="throttled", words="HTTP 429", key="a" * 32),
    refresh_every_ms=15_000,
)


@pytest.fixture
def states(aws: None) -> ProviderStates:
    create_table(NAME)
    return ProviderStates(client("dynamodb"), NAME)


def test_of_a_provider_without_an_item_nothing_is_known(states: ProviderStates) -> None:
    assert states.get("gw") == UNKNOWN


def test_what_is_saved_is_known(states: ProviderStates) -> None:
    states.save(UNKNOWN, KNOWN)
    assert states.get("gw") == KNOWN


def test_what_is_no_longer_so_is_removed(states: ProviderStates) -> None:
    states.save(UNKNOWN, KNOWN)
    states.save(KNOWN, replace(KNOWN, refusal=None, pause=None))
    assert items(NAME) == [{"provider": "gw", "accepted_key": "a" * 32, "refresh_every_ms": 15_000}]


def test_only_what_has_changed_is_written(states: ProviderStates) -> None:
    states.save(UNKNOWN, KNOWN)
    other = replace(KNOWN, accepted_key="c" * 32)
    states.save(KNOWN, replace(KNOWN, refresh_every_ms=20_000))
    states.save(KNOWN, other)
    assert states.get("gw") == replace(other, refresh_every_ms=20_000)


def test_without_a_change_nothing_is_written(aws: None) -> None:
    dynamodb = Faulty(client("dynamodb"))
    ProviderStates(dynamodb, NAME).save(KNOWN, KNOWN)
    assert dynamodb.calls == []


def test_many_are_read_in_one_call(states: ProviderStates) -> None:
    states.save(UNKNOWN, KNOWN)
    dynamodb = Faulty(client("dynamodb"))
    found = ProviderStates(dynamodb, NAME).get_many(["gw", "other"])
    assert found == {"gw": KNOWN, "other": ProviderState(provider="other")}
    ((call, request),) = dynamodb.calls
    assert call == "batch_get_item"
    assert not request["RequestItems"][NAME].get("ConsistentRead"), "it costs twice as much"


def test_a_call_reads_no_more_than_dynamodb_takes(states: ProviderStates) -> None:
    names = [f"gw-{number}" for number in range(KEYS_A_CALL + 1)]
    states.save(UNKNOWN, replace(KNOWN, provider=names[-1]))
    assert states.get_many(names)[names[-1]] == replace(KNOWN, provider=names[-1])


def test_what_dynamodb_leaves_unread_is_not_taken_for_unknown(
    states: ProviderStates, pauses: list[float]
) -> None:
    class Busy:
        def batch_get_item(self, **call: Any) -> Any:
            return {"Responses": {}, "UnprocessedKeys": call["RequestItems"]}

    with pytest.raises(Unavailable):
        ProviderStates(Busy(), NAME).get_many(["gw"])  # type: ignore[arg-type]
    assert len(pauses) == 4


def test_all_are_found(states: ProviderStates) -> None:
    states.save(UNKNOWN, KNOWN)
    states.accept("other", "d" * 32)
    assert states.all() == {"gw": KNOWN, "other": ProviderState(provider="other", accepted_key="d" * 32)}


def test_a_read_of_all_may_be_a_moment_old(states: ProviderStates) -> None:
    dynamodb = client("dynamodb")
    requests: list[dict[str, Any]] = []
    dynamodb.meta.events.register(
        "provide-client-params.dynamodb.Scan", lambda params, **_: requests.append(params)
    )
    assert ProviderStates(dynamodb, NAME).all() == {}
    (request,) = requests
    assert not request.get("ConsistentRead"), "it costs twice as much"


def test_what_else_the_table_holds_is_no_provider(states: ProviderStates) -> None:
    for name in ("#tasks-stream", "#dead-letters"):
        put(NAME, {"provider": name})
    states.save(UNKNOWN, KNOWN)
    assert states.all() == {"gw": KNOWN}


ALERT_ITEM: dict[str, Any] = {
    "alert_key": "k",
    "alert_since_ms": 5,
    "alert_told_at_ms": 7,
    "alert_is_over": True,
}


@pytest.mark.parametrize("ms", [0, 253_402_300_799_999])
def test_an_alert_has_any_moments_that_can_be_written(states: ProviderStates, ms: int) -> None:
    put(NAME, {"provider": "gw"} | ALERT_ITEM | {"alert_since_ms": ms, "alert_told_at_ms": ms})
    assert states.get("gw").alert == Alert(key="k", since_ms=ms, told_at_ms=ms, is_over=True)


@pytest.mark.parametrize("value", [None, "x", 5.5, -1, 253_402_300_800_000])
@pytest.mark.parametrize("name", ["alert_since_ms", "alert_told_at_ms", "alert_is_over"])
def test_an_alert_that_tunehook_cannot_have_written_is_none(
    states: ProviderStates, name: str, value: Any
) -> None:
    put(NAME, {"provider": "gw"} | ALERT_ITEM | {name: value})
    assert states.get("gw") == UNKNOWN
    put(NAME, {"provider": "gw"} | ALERT_ITEM | {"alert_key": value if value != "x" else 7})
    assert states.get("gw") == UNKNOWN


def test_an_alert_of_a_key_is_followed_by_another_an_hour_after_it_was_told_and_of_another_key_at_once() -> (
    None
):
    told = Alert(key="a", since_ms=NOW_MS, told_at_ms=NOW_MS, is_over=True)
    assert [told.may_be_followed("a", NOW_MS + 3_600_000 + more) for more in (-1, 0)] == [False, True]
    assert not replace(told, is_over=False).may_be_followed("a", NOW_MS + 3_600_000)
    assert told.may_be_followed("b", NOW_MS)


def test_a_key_that_was_accepted_is_told_from_one_that_never_was() -> None:
    assert KNOWN.is_no_longer_accepted("a" * 32)
    assert not KNOWN.is_no_longer_accepted("b" * 32)
    assert not UNKNOWN.is_no_longer_accepted("a" * 32)


def test_that_a_key_was_accepted_takes_nothing_else_back(states: ProviderStates) -> None:
    states.save(UNKNOWN, KNOWN)
    states.accept("gw", "e" * 32)
    assert states.get("gw") == replace(KNOWN, accepted_key="e" * 32)


@pytest.mark.parametrize("value", [1, 2, 3])
def test_how_many_ends_were_called_back_about_is_known(states: ProviderStates, value: int) -> None:
    before = ProviderState(provider="gw")
    states.save(before, replace(before, ends_called_back=value))
    state = states.get("gw")
    assert state.ends_called_back == value
    assert state.callbacks_come == (value == 3)
    states.save(state, before)
    assert states.get("gw") == before


@pytest.mark.parametrize(
    "fields",
    [
        {"accepted_key": 7},
        {"refusal": "x"},
        {"refusal": {"reason": "key", "words": "x", "since_ms": "y", "key": "z"}},
        {"refusal": {"reason": "key", "words": "x" * 2_000, "since_ms": 1, "key": "z"}},
        {"pause": {"until_ms": 1}},
        {"refresh_every_ms": -1},
        {"refresh_every_ms": True},
        {"refresh_every_ms": 253_402_300_800_000},
        {"ends_called_back": 0},
        {"ends_called_back": 4},
        {"ends_called_back": "3"},
    ],
)
def test_what_tunehook_cannot_have_written_says_nothing(states: ProviderStates, fields: Any) -> None:
    put(NAME, {"provider": "gw"} | fields)
    assert states.get("gw") == UNKNOWN


@pytest.mark.parametrize(
    ("changes", "is_known"),
    [
        ({}, True),
        ({"words": "x" * 1_000}, True),
        ({"words": "x" * 1_001}, False),
        ({"since_ms": 0}, True),
        ({"since_ms": -1}, False),
        ({"since_ms": 253_402_300_799_999}, True),
        ({"since_ms": 253_402_300_800_000}, False),
        *[({name: 7}, False) for name in ("reason", "words", "key")],
    ],
)
def test_a_refusal_that_tunehook_cannot_have_written_is_none(
    states: ProviderStates, changes: dict[str, Any], is_known: bool
) -> None:
    refusal = {"reason": "key", "words": "no", "since_ms": 5, "key": "k"} | changes
    put(NAME, {"provider": "gw", "refusal": refusal})
    assert states.get("gw").refusal == (Refusal(**refusal) if is_known else None)


@pytest.mark.parametrize("name", ["reason", "kind", "words", "key", "until_ms"])
def test_a_pause_without_a_part_is_none(states: ProviderStates, name: str) -> None:
    pause: dict[str, Any] = {"reason": "throttled", "kind": "k", "words": "w", "key": "k", "until_ms": 5}
    put(NAME, {"provider": "gw", "pause": pause})
    assert states.get("gw").pause == Pause(**pause)
    del pause[name]
    put(NAME, {"provider": "gw", "pause": pause})
    assert states.get("gw").pause is None


@pytest.mark.parametrize(("every_ms", "is_known"), [(0, False), (1, True), (15_000, True), (1.5, False)])
def test_an_interval_is_a_whole_number_of_milliseconds(
    states: ProviderStates, every_ms: float, is_known: bool
) -> None:
    put(NAME, {"provider": "gw", "refresh_every_ms": every_ms})
    assert states.get("gw").refresh_every_ms == (every_ms if is_known else None)
