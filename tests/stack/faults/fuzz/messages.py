"""Messages as nobody of ours sends them to the queues that functions read, and how each has to end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Any, Final

from tests.support.events import sample

from tunehook.times import now_ms

MESSAGE_MAX_BYTES: Final = 1_048_576
"""The longest message that SQS takes."""


REFUSED: Final = ("", "\0", "a\x0bb", "\ufffe", "\uffff", "\ud800", "x" * (MESSAGE_MAX_BYTES + 1))
"""What SQS takes in no message."""


class Fate(Enum):
    """How a message has to end: among the dead letters, or handled and gone because it asks for nothing."""

    DEAD = auto()
    DROPPED = auto()


@dataclass(frozen=True, slots=True)
class FuzzedMessage:
    """A message, what is odd about it, and how it has to end."""

    kind: str
    body: str
    fate: Fate


Maker = Callable[[Random, str], tuple[str, Fate]]

_ANYTHING: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    1.5,
    10**30,
    "",
    "x",
    "歌🎵",
    [],
    [1],
    {},
    {"a": 1},
)


def fulfillment_messages(random: Random, prefix: str, count: int, *, huge: int) -> Iterator[FuzzedMessage]:
    """Yield messages for the fulfillment queue, each kind as often as the others.

    Parameters
    ----------
    random : Random
        Decides everything.
    prefix : str
        What each id in them holds, so that they are told from other tests'.
    count : int
        How many there are.
    huge : int
        How many of them are nearly as long as SQS lets them be.
    """
    return _messages(_FULFILLMENT | _ANY_QUEUE, random, prefix, count, huge)


def delivery_messages(random: Random, prefix: str, count: int, *, huge: int) -> Iterator[FuzzedMessage]:
    """Yield messages for the deliveries queue, as `fulfillment_messages` does."""
    return _messages(_DELIVERIES | _ANY_QUEUE, random, prefix, count, huge)


def _messages(
    kinds: dict[str, Maker], random: Random, prefix: str, count: int, huge: int
) -> Iterator[FuzzedMessage]:
    names = list(kinds)
    huge_ones = set(random.sample(range(count), huge))
    for number in range(count):
        kind = "huge" if number in huge_ones else names[number % len(names)]
        body, fate = kinds.get(kind, _huge)(random, f"{prefix}-message-{number}")
        yield FuzzedMessage(kind, body, fate)


# What no queue can make anything of


def _no_json(random: Random, name: str) -> tuple[str, Fate]:
    whole = json.dumps(_event(name))
    odd = random.choice(
        (
            " ",
            "{",
            "nonsense",
            "<html><body>502 Bad Gateway</body></html>",
            "{'task_id': 'single quotes'}",
            whole[: random.randrange(1, len(whole))],
            whole + "}",
            whole + whole,
            f"{whole[:-1]},}}",
            "\ufffd\u202e\U0010fffd",
            "\t\n\r",
            "task_id=x&provider=y",
            "AAEC",
            whole.replace('"', "“"),
            whole.encode("utf-16-le").replace(b"\0", b"").decode("latin-1") + "\u00ff",
        )
    )
    return odd, Fate.DEAD


def _json_of_another_type(random: Random, name: str) -> tuple[str, Fate]:
    odd = random.choice(
        ("null", "true", "0", "-0.0", "1e400", "NaN", "-Infinity", '""', f'"{name}"', "[]", "[[]]", "{}")
    )
    return odd, Fate.DEAD


def _deep(random: Random, name: str) -> tuple[str, Fate]:
    levels = random.choice((300, 1_500, 20_000, 100_000))
    opening, closing = random.choice((("[", "]"), ('{"a":', "}")))
    return opening * levels + random.choice(("", "1" + closing * levels)), Fate.DEAD


def _marked(random: Random, name: str) -> tuple[str, Fate]:
    return "\ufeff" + json.dumps(random.choice((_event(name), _delivery(name)))), Fate.DEAD


def _huge(random: Random, name: str) -> tuple[str, Fate]:
    length = random.choice((262_145, 500_000, MESSAGE_MAX_BYTES - 4_096))
    event = _event(name)
    event["detail"]["metadata"] = {"long": "x" * length}
    return random.choice(("x" * length, json.dumps("歌" * (length // 6)), json.dumps(event))), Fate.DEAD


def _numbers_without_end(random: Random, name: str) -> tuple[str, Fate]:
    digits = "9" * random.choice((5_000, 50_000))
    return random.choice((digits, f'{{"attempt": {digits}}}', f'{{"detail-type": {digits}}}')), Fate.DEAD


_ANY_QUEUE: Final[dict[str, Maker]] = {
    "no JSON": _no_json,
    "JSON of another type": _json_of_another_type,
    "deep": _deep,
    "a byte-order mark": _marked,
    "numbers without an end": _numbers_without_end,
}


# The fulfillment queue


def _event(name: str) -> dict[str, Any]:
    """Return an event of a completed task as the bus hands it over; its links lead nowhere."""
    event: dict[str, Any] = json.loads(sample("task_completed")["Records"][0]["body"])
    event["detail"] |= {"task_id": name, "event_id": f"evt_{name}", "provider": "musicmint"}
    event["detail"]["clips"] = event["detail"]["clips"][:1]
    return event


def _failed_event(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(sample("task_failed")["Records"][0]["body"])
    event["detail"] |= {"task_id": name, "event_id": f"evt_{name}"}
    return event


_NO_TEXT: Final = (None, True, 7, 1.5, [], ["x"], {}, {"a": 1})
_NO_MOMENT: Final = (
    [],
    {},
    "",
    "yesterday",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-20T16:00:00",
    "2026-11-20T25:00:00Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "+292278994-08-17T07:12:55Z",
    "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00+12:00",
    1e300,
    10**40,
)

_WRONG_IN_DETAIL: Final[dict[str, tuple[Any, ...]]] = {
    "version": (None, "", "0", "2", "1.0", 1, [], {}),
    "event_id": _NO_TEXT,
    "task_id": (*_NO_TEXT, "", "x" * 2_049, "歌" * 700),
    "provider": (*_NO_TEXT, "", "x" * 1_025),
    "status": (None, "", "pending", "rejected ", "COMPLETED", 1, [], {}),
    "submitted_at": (None, *_NO_MOMENT),
    "finished_at": _NO_MOMENT,
    "detected_at": (None, *_NO_MOMENT),
    "metadata": (None, 7, "x", [], [["a", 1]], True),
    "clips": (None, 7, "x", {"a": 1}, [7], ["x"], [None], [[]], [{}], True),
    "truncated": (None, "maybe", 7, 1.5, [], {}),
}
_WRONG_IN_CLIP: Final[dict[str, tuple[Any, ...]]] = {
    "clip_id": _NO_TEXT,
    "title": _NO_TEXT[1:],
    "tags": (None, 7, "x", {"a": 1}, [7], [None], [["x"]]),
    "duration_s": ("", "long", [], {}),
    "created_at": _NO_MOMENT,
    "expires_at": _NO_MOMENT,
    "audio_url": _NO_TEXT[1:],
    "large_cover_url": _NO_TEXT[1:],
}
_MISSING: Final = ("event_id", "task_id", "provider", "submitted_at", "detected_at")


def _wrong_in_detail(random: Random, name: str) -> tuple[str, Fate]:
    event = _event(name)
    field = random.choice(list(_WRONG_IN_DETAIL))
    event["detail"][field] = random.choice(_WRONG_IN_DETAIL[field])
    if field == "status":
        # A failed task has a failure, and this one has none.
        event["detail"].pop("failure", None)
    return json.dumps(event, ensure_ascii=random.random() < 0.5), Fate.DEAD


def _wrong_in_clip(random: Random, name: str) -> tuple[str, Fate]:
    event = _event(name)
    field = random.choice(list(_WRONG_IN_CLIP))
    event["detail"]["clips"][0][field] = random.choice(_WRONG_IN_CLIP[field])
    return json.dumps(event), Fate.DEAD


def _wrong_failure(random: Random, name: str) -> tuple[str, Fate]:
    event = _failed_event(name)
    event["detail"]["failure"] = random.choice(
        (
            None,
            7,
            "x",
            [],
            {},
            {"code": "x"},
            {"reason": "x"},
            {"code": 1, "reason": "x"},
            {"code": "x", "reason": {}},
        )
    )
    return json.dumps(event), Fate.DEAD


def _missing(random: Random, name: str) -> tuple[str, Fate]:
    event = _event(name)
    del event["detail"][random.choice(_MISSING)]
    return json.dumps(event), Fate.DEAD


def _envelope(random: Random, name: str) -> tuple[str, Fate]:
    event = _event(name)
    if random.random() < 0.5:
        types = (
            None,
            "",
            7,
            [],
            {},
            "TaskArchived",
            "SubscriptionFailing",
            "taskcompleted",
            "TaskCompleted ",
            "task.completed",
        )
        event["detail-type"] = random.choice(types)
    else:
        event["detail"] = random.choice(
            (None, 7, "x", [], [event["detail"]], {}, json.dumps(event["detail"]))
        )
    if random.random() < 0.1:
        del event[random.choice(("detail", "detail-type"))]
    return json.dumps(event), Fate.DEAD


def _keys_twice(random: Random, name: str) -> tuple[str, Fate]:
    whole = json.dumps(_event(name))
    return whole[:-1] + random.choice(
        (', "detail": 7}', ', "detail-type": null}', ', "detail": {}}')
    ), Fate.DEAD


def _half_a_pair(random: Random, name: str) -> tuple[str, Fate]:
    event = _event(name)
    half = random.choice(("\ud800", "\udfff", "x\udc00x", "\udc00\ud800"))
    where = random.choice(("metadata", "event_id", "task_id", "title"))
    if where == "title":
        event["detail"]["clips"][0]["title"] = half
    else:
        event["detail"][where] = {"half": half} if where == "metadata" else half
    return json.dumps(event), Fate.DEAD


def _spoilt_request(random: Random, name: str) -> tuple[str, Fate]:
    request: dict[str, Any] = {
        "request": "archive",
        "task_id": name,
        "provider": "musicmint",
        "requested_at_ms": now_ms(),
    }
    wrong: dict[str, tuple[Any, ...]] = {
        "request": (None, "", "delete", 7, [], {}),
        "task_id": (*_NO_TEXT, "", "x" * 2_049),
        "provider": (*_NO_TEXT, "", "x" * 1_025),
        "requested_at_ms": (None, "soon", 1.5, -1, 10**30, [], {}),
    }
    field = random.choice(list(wrong))
    request[field] = random.choice(wrong[field])
    if random.random() < 0.2:
        del request[random.choice(("task_id", "provider", "requested_at_ms"))]
    return json.dumps(request), Fate.DEAD


_NO_MS: Final = (None, "soon", 1.5, -1, 10**30, [], {})
_SPOILT: Final[dict[str, dict[str, tuple[Any, ...]]]] = {
    "deliver": {
        "event_id": _NO_TEXT,
        "subscription_id": (*_NO_TEXT, "", "x" * 2_049),
        "events": ("task.failed", [7], {}, 7, True),
        "filter": ("{}", [], [{}], 7, True),
    },
    "progress": {
        "since_ms": _NO_MS,
        "at_ms": _NO_MS,
        "submitted_at_ms": _NO_MS,
        "number": (None, 0, -1, 10**7, "first", [], {}),
        "phase": (None, "", "completed", "PROCESSING", 7, [], {}),
        "progress": (-1, 101, 10**30, "half", [], {}),
        "clips": (None, "x", 7, [7], [{}], [{"clip_id": None}], [{"clip_id": "c", "tags": "calm"}], {}),
        "provider_object": (7, [], {}),
    },
}
"""By request: what none of its fields may have."""


def _spoilt_other_request(random: Random, name: str) -> tuple[str, Fate]:
    kind = random.choice(list(_SPOILT))
    moment = now_ms()
    request: dict[str, Any] = {"request": kind, "task_id": name, "provider": "musicmint"} | {
        "deliver": {"event_id": f"evt_{name}", "subscription_id": f"sub-{name}"},
        "progress": {
            "since_ms": moment,
            "number": 1,
            "at_ms": moment,
            "submitted_at_ms": moment,
            "phase": "queued",
        },
    }[kind]
    field = random.choice(list(_SPOILT[kind]))
    request[field] = random.choice(_SPOILT[kind][field])
    return json.dumps(request), Fate.DEAD


def _request_for_nothing(random: Random, name: str) -> tuple[str, Fate]:
    provider = random.choice(("musicmint", "no-such", "歌", "a b", "x" * 1_024))
    requested_at_ms = random.choice((0, 1, now_ms(), 253_402_300_799_999, "7", 7.0))
    request = {
        "task_id": name,
        "provider": provider,
        "requested_at_ms": requested_at_ms,
        "more": random.choice(_ANYTHING),
    }
    return json.dumps(request), Fate.DROPPED


_FULFILLMENT: Final[dict[str, Maker]] = {
    "a wrong field": _wrong_in_detail,
    "a wrong field of a clip": _wrong_in_clip,
    "a wrong failure": _wrong_failure,
    "a missing field": _missing,
    "a wrong envelope": _envelope,
    "keys twice": _keys_twice,
    "half a surrogate pair": _half_a_pair,
    "a spoilt request": _spoilt_request,
    "a spoilt request of another kind": _spoilt_other_request,
    "a request for nothing": _request_for_nothing,
}


# The deliveries queue


def _delivery(name: str) -> dict[str, Any]:
    return {
        "delivery_id": f"msg_{name}",
        "subscription_id": f"sub-{name}",
        "attempt": 1,
        "run": 1,
        "due_at_ms": now_ms(),
    }


_NO_COUNT: Final = (None, "", "one", 1.5, 0, -1, 10**12, 10**38, 10**60, [], [1], {}, "1e3", "٣")
_WRONG_IN_DELIVERY: Final[dict[str, tuple[Any, ...]]] = {
    "delivery_id": (*_NO_TEXT, "", "x" * 2_049, "歌" * 700),
    "subscription_id": (*_NO_TEXT, "", "x" * 2_049, "🎵" * 600),
    "attempt": _NO_COUNT,
    "run": _NO_COUNT,
    "due_at_ms": (None, "", "now", 1.5, -1, -(10**30), 10**16, 10**60, [], {}, "2026-11-20T16:00:00Z"),
    "run_began_at_ms": ("", "now", 1.5, -1, 10**16, 10**60, [], {}),
    "slot": (
        7,
        "now",
        [],
        {},
        {"at_ms": 1, "interval_us": 1},
        {"at_ms": -1, "interval_us": 1, "since_ms": 0},
        {"at_ms": 1, "interval_us": 0, "since_ms": 0},
        {"at_ms": 1, "interval_us": 1, "since_ms": 10**16},
        {"at_ms": "soon", "interval_us": 1, "since_ms": 0},
    ),
    "is_check": (None, 7, "perhaps", [], {}),
}


def _wrong_in_delivery(random: Random, name: str) -> tuple[str, Fate]:
    message = _delivery(name)
    field = random.choice(list(_WRONG_IN_DELIVERY))
    message[field] = random.choice(_WRONG_IN_DELIVERY[field])
    return json.dumps(message, ensure_ascii=random.random() < 0.5), Fate.DEAD


def _missing_in_delivery(random: Random, name: str) -> tuple[str, Fate]:
    message = _delivery(name)
    del message[random.choice(list(message))]
    return json.dumps(message), Fate.DEAD


def _delivery_keys_twice(random: Random, name: str) -> tuple[str, Fate]:
    whole = json.dumps(_delivery(name))
    return whole[:-1] + random.choice(
        (', "attempt": 0}', ', "delivery_id": null}', ', "run": "x"}')
    ), Fate.DEAD


def _half_a_pair_in_delivery(random: Random, name: str) -> tuple[str, Fate]:
    message = _delivery(name)
    message[random.choice(("delivery_id", "subscription_id"))] = random.choice(("\ud800", "x\udfff"))
    return json.dumps(message), Fate.DEAD


def _delivery_of_nothing(random: Random, name: str) -> tuple[str, Fate]:
    """Ask for an attempt of a delivery that does not exist."""
    message = _delivery(name)
    message["subscription_id"] = random.choice((f"sub-{name}", f"歌\0{name}"))
    message["attempt"] = random.choice((1, 2, 10, 11, 999, "1", 1.0, 1_000_000_000))
    message["run"] = random.choice((1, 2, 77, True, 1_000_000_000))
    message["due_at_ms"] = random.choice((0, 1, now_ms() - 10**10, now_ms(), "0"))
    return json.dumps(message | {"more": random.choice(_ANYTHING)}), Fate.DROPPED


def _far_away(random: Random, name: str) -> tuple[str, Fate]:
    """Ask for an attempt that is due further ahead than any wait of the schedule."""
    message = _delivery(name)
    message["due_at_ms"] = random.choice((now_ms() + 7 * 86_400_000, 32_503_680_000_000, 253_402_300_799_999))
    return json.dumps(message), Fate.DROPPED


_DELIVERIES: Final[dict[str, Maker]] = {
    "a wrong field": _wrong_in_delivery,
    "a missing field": _missing_in_delivery,
    "keys twice": _delivery_keys_twice,
    "half a surrogate pair": _half_a_pair_in_delivery,
    "a delivery that is not there": _delivery_of_nothing,
    "a time far away": _far_away,
}
