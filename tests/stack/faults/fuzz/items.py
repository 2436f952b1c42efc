"""Items as no careful user would put them into the tables Tasks and Subscriptions, and how each has to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from random import Random
from typing import Final

from tests.stack.faults.fuzz.fields import BAD, FINE, NO_EVENT, OPERATIONAL, bad_value
from tests.stack.faults.fuzz.values import NUMBERS, TEXTS, Attribute, attribute, nested, text

from tunehook.aws.tasks import OF_EARLIER_RUNS

PROVIDER: Final = "musicmint"

ITEM_MAX_BYTES: Final = 399_000
"""The longest item that is put: one more kilobyte or ten, and DynamoDB has no room for what is written about it."""

TASK_OWN: Final = (*OF_EARLIER_RUNS, "shard", "ttl")
"""Attributes of a task that are tunehook's own, and two that look so."""

SUBSCRIPTION_OWN: Final = (
    "failing_since_ms",
    "failing_warned_ms",
    "signature_both_until_ms",
    "max_per_second_since_ms",
)

URLS: Final = (
    # First the one that is none at all for a task's hook.
    "",
    "not a url",
    "http://",
    "https://",
    "//example.com/",
    "ftp://example.com/",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "data:text/plain,x",
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://example.com/#fragment",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:port/",
    "https://example.com /",
    "https://exa mple.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com/\r\nx: y",
    "https://example.com/\0",
    "https://[::1/",
    "https://[fe80::1%25eth0]/",
    "https://[::g]/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://999.1.1.1/",
    "https://-example-.com/",
    "https://exa..mple.com/",
    "https://\u202eexample.com/",
    "https://xn--\u00df.com/",
    "https://" + "ä" * 64 + ".com/",
    "https://" + "a" * 64 + ".com/",
    "https://example.com/" + "x" * 2_048,
    " https://example.com/",
    "\ufeffhttps://example.com/",
)
"""None of these can be sent to, whatever the policy."""


class End(Enum):
    """How an item has to end.

    ``REJECTED``: as a rejected task whose `error` names the field. ``ACCEPTED``: as a task like any other.
    ``IGNORED``: as it was put, for it is not new. ``FORGED``: it lies in the work index as if tunehook had put it
    there; it stays as it is, or ends. ``UNUSABLE``: with a `disabled_reason` that names the field. ``USABLE``: without.
    """

    REJECTED = auto()
    ACCEPTED = auto()
    IGNORED = auto()
    FORGED = auto()
    UNUSABLE = auto()
    USABLE = auto()


@dataclass(frozen=True, slots=True)
class FuzzedItem:
    """An item, what is odd about it, and how it has to end; `fields` are those of which one must be named."""

    kind: str
    attributes: dict[str, Attribute]
    end: End
    fields: tuple[str, ...] = ()

    def names_a_field(self, error: object) -> bool:
        """Return whether an error is of the form ``<field>: <reason>`` for one of the fields."""
        if not isinstance(error, str):
            return False
        return error.startswith(tuple(f"{each}{mark}" for each in self.fields for mark in (": ", ".", "[")))


Made = tuple[dict[str, Attribute], End, tuple[str, ...]]
Maker = Callable[[Random, str], Made]


def task_items(random: Random, prefix: str, count: int, *, huge: int) -> Iterator[FuzzedItem]:
    """Yield items for Tasks, each kind as often as the others, with ids that tell them from other tests'.

    Parameters
    ----------
    random : Random
        Decides everything.
    prefix : str
        What each task id holds.
    count : int
        How many there are.
    huge : int
        How many of them are between 41 kB and `ITEM_MAX_BYTES` long.
    """
    return _items(_TASKS, _too_large_task, random, prefix, count, huge)


def subscription_items(random: Random, prefix: str, count: int, *, huge: int) -> Iterator[FuzzedItem]:
    """Yield items for Subscriptions, as `task_items` does; none of them wants a delivery."""
    return _items(_SUBSCRIPTIONS, _large_subscription, random, prefix, count, huge)


def _items(
    kinds: dict[str, Maker], large: Maker, random: Random, prefix: str, count: int, huge: int
) -> Iterator[FuzzedItem]:
    names = list(kinds)
    large_ones = set(random.sample(range(count), huge))
    for number in range(count):
        kind = "huge" if number in large_ones else names[number % len(names)]
        attributes, end, fields = kinds.get(kind, large)(random, f"{prefix}-{number}")
        yield FuzzedItem(kind, attributes, end, fields)


# Tasks


def _task(task_id: str, provider: str = PROVIDER, **fields: Attribute) -> dict[str, Attribute]:
    return {"task_id": {"S": task_id}, "provider": {"S": provider}, **fields}


def _task_id(random: Random, name: str) -> Made:
    odd = random.choice(
        (
            f" {name}",
            f"{name} ",
            f"\u3000{name}",
            f"{name}\n",
            f"{name}\0",
            f"{name}\u200b",
            f"\u202e{name}",
            f"\ufeff{name}",
            f"{name}\u00ad",
            f"{name}\ue000",
            f"{name}👩\u200d🎤",
            f"{name}\x7f",
            name + "x" * random.randrange(257 - len(name), 2_000),
            name + "歌" * random.randrange(257 - len(name), 600),
        )
    )
    return _task(odd), End.REJECTED, ("task_id",)


def _provider(random: Random, name: str) -> Made:
    odd = random.choice(
        (" ", "a b", "x" * 65, "x" * 1_024, "ſuno", "sunо", "a/b", "a\0", "\u200b", "é", "🎵", "a\n")
    )
    return _task(name, odd), End.REJECTED, ("provider",)


def _timeout_of_another_type(random: Random, name: str) -> Made:
    return _task(name, timeout_s=attribute(random, but=("N", "NULL"))), End.REJECTED, ("timeout_s",)


def _timeout_out_of_range(random: Random, name: str) -> Made:
    odd = random.choice(("59", "604801", "59.999", "3600.5", *NUMBERS))
    return _task(name, timeout_s={"N": odd}), End.REJECTED, ("timeout_s",)


def _hook_of_another_type(random: Random, name: str) -> Made:
    return _task(name, notify_hook=attribute(random, but=("S", "NULL"))), End.REJECTED, ("notify_hook",)


def _hook(random: Random, name: str) -> Made:
    return _task(name, notify_hook={"S": random.choice(URLS[1:])}), End.REJECTED, ("notify_hook",)


def _format(random: Random, name: str) -> Made:
    odd = attribute(random, but=("NULL",))
    return _task(name, notify_format=odd), End.REJECTED, ("notify_format",)


def _metadata_of_another_type(random: Random, name: str) -> Made:
    return _task(name, metadata=attribute(random, but=("M", "NULL"))), End.REJECTED, ("metadata",)


def _metadata_without_json(random: Random, name: str) -> Made:
    odd = random.choice(({"B": b"x"}, {"BS": [b"x", b"\xff"]}, {"SS": ["a"]}, {"NS": ["1"]}))
    value = nested(random, odd, random.choice((1, 2, 16, 30, 31)))
    return _task(name, metadata=value), End.REJECTED, ("metadata",)


def _metadata_too_long(random: Random, name: str) -> Made:
    filler = random.choice(("x", "歌", "🎵", "\0", '"'))
    long = {random.choice(TEXTS)[:50]: {"S": filler * random.randrange(2_100, 6_000)}}
    return _task(name, metadata={"M": long}), End.REJECTED, ("metadata",)


def _several(random: Random, name: str) -> Made:
    makers = random.sample(
        (_timeout_out_of_range, _hook, _format, _metadata_too_long), random.randrange(2, 5)
    )
    made = [maker(random, name) for maker in makers]
    attributes = {key: value for each, _, _ in made for key, value in each.items()}
    return attributes, End.REJECTED, tuple(field for _, _, fields in made for field in fields)


def _bad_and_forged(random: Random, name: str) -> Made:
    attributes, end, fields = _several(random, name)
    return attributes | _that_stays(_forged(random)) | _forged_place(random), end, fields


def _too_large_task(random: Random, name: str) -> Made:
    length = random.choice((41_000, 65_536, 131_072, 250_000, 390_000, ITEM_MAX_BYTES - 1_000))
    where = random.choice(TEXTS[4:20]) or "x"
    odd: Attribute = random.choice(
        ({"S": "x" * length}, {"B": b"\xff" * length}, {"L": [{"S": "x" * 1_000}] * (length // 1_010)})
    )
    return _task(name, **{where[:100]: odd}), End.REJECTED, ("item",)


def _forged(random: Random, but: tuple[str, ...] = ()) -> dict[str, Attribute]:
    names = [name for name in TASK_OWN if name not in but]
    forged = {name: attribute(random) for name in random.sample(names, random.randrange(1, len(names)))}
    # The key of an index: DynamoDB takes nothing else there.
    return forged | ({"detected_at_ms": {"N": random.choice(NUMBERS)}} if "detected_at_ms" in forged else {})


def _that_stays(forged: dict[str, Attribute]) -> dict[str, Attribute]:
    """Return it without a moment in the past, for which DynamoDB may take an item away before intake has seen it."""
    return forged | ({"expires_at": {"S": "soon"}} if "N" in forged.get("expires_at", {}) else {})


def _forged_place(random: Random) -> dict[str, Attribute]:
    queues = ("work#0", "work#0", "work#1", "work#-1", "work#", "work#0 ", "x" * 2_048)
    return {"queue": {"S": random.choice(queues)}, "since_ms": {"N": random.choice(NUMBERS)}}


def _status_of_any_kind(random: Random, name: str) -> Made:
    return _task(name, status=attribute(random), **_forged(random)), End.IGNORED, ()


def _status_of_ours(random: Random, name: str) -> Made:
    status = random.choice(("pending", "completed", "failed", "rejected", "PENDING", "archived"))
    return _task(name, status={"S": status}, **_forged(random)), End.IGNORED, ()


def _in_the_index(random: Random, name: str) -> Made:
    status: Attribute = random.choice(
        ({"S": "pending"}, {"S": "completed"}, {"S": "failed"}, {"S": "rejected"}, attribute(random))
    )
    return _task(name, status=status, **_forged(random), **_forged_place(random)), End.FORGED, ()


def _ended_in_the_index(random: Random, name: str) -> Made:
    """Make one that is like an ended task but for one attribute."""
    whole: dict[str, Attribute] = {
        "status": {"S": "failed"},
        "failure": {"M": {"code": {"S": "timed_out"}, "reason": {"S": "forged"}}},
        "submitted_at_ms": {"N": "1800000000000"},
        "detected_at_ms": {"N": "1800000000001"},
        "clips": {"L": []},
    }
    spoilt = random.choice(
        ("failure", "submitted_at_ms", "detected_at_ms", "clips", "truncated", "finished_at_ms")
    )
    values: dict[str, tuple[Attribute, ...]] = {
        "clips": (
            {"L": [{"M": {}}]},
            {"L": [{"M": {"clip_id": {"S": "c"}, "created_at_ms": {"N": "1E+30"}}}]},
        ),
        "failure": ({"M": {}}, {"M": {"code": {"S": "timed_out"}, "reason": {"N": "7"}}}, {"S": ""}),
    }
    odd = random.choice((*values.get(spoilt, ()), attribute(random, but=("NULL",))))
    if spoilt == "detected_at_ms":
        odd = {"N": random.choice(("-1", "1.5", "1E+30"))}
    place: dict[str, Attribute] = {"queue": {"S": "work#0"}, "since_ms": {"N": "1800000000000"}}
    return _task(name, **(whole | {spoilt: odd} | place)), End.FORGED, ()


def _odd_but_acceptable(random: Random, name: str) -> Made:
    """Make one whose every user's field is acceptable, beside forged attributes and odd names."""
    ours = _that_stays(_forged(random)) | (_forged_place(random) if random.random() < 0.5 else {})
    odd_names = {text(random)[:255] or "x": attribute(random) for _ in range(random.randrange(3))}
    known = {
        "task_id",
        "provider",
        "status",
        "notify_hook",
        "notify_format",
        "metadata",
        "timeout_s",
        "queue",
        "since_ms",
    }
    odd_names = {key: value for key, value in odd_names.items() if key not in known}
    fine: dict[str, tuple[Attribute, ...]] = {
        "timeout_s": ({"NULL": True}, {"N": "60"}, {"N": "6.048E+5"}, {"N": "3600.0"}),
        "notify_hook": ({"NULL": True}, {"S": ""}),
        "notify_format": ({"NULL": True}, {"S": "provider"}, {"S": "cloudevents"}),
        "metadata": (
            {"NULL": True},
            {"M": {}},
            {"M": {"": {"S": ""}, "\0": {"S": "\0"}, "🎵": {"L": [{"NULL": True}, {"M": {}}]}}},
            {"M": {"rtl": {"S": "\u202eשלום"}, "nfd": {"S": TEXTS[11]}, "nfc": {"S": TEXTS[10]}}},
            {"M": {"many": {"L": [{"N": number} for number in NUMBERS]}}},
            nested(random, {"S": "deep"}),
            nested(random, {"M": {}}, 30),
            nested(random, {"N": random.choice(NUMBERS)}),
        ),
    }
    fields = {
        key: random.choice(fine[key]) for key in random.sample(list(fine), random.randrange(len(fine) + 1))
    }
    odd_id = random.choice(
        (name, f"{name} 歌", f"{name}🎵", f"{name}é", f"{name}e\u0301", f"{name}/../#?%", f"'{name}\"")
    )
    return odd_names | ours | _task(odd_id, **fields), End.ACCEPTED, ()


_TASKS: Final[dict[str, Maker]] = {
    "task_id": _task_id,
    "provider": _provider,
    "timeout_s of another type": _timeout_of_another_type,
    "timeout_s out of range": _timeout_out_of_range,
    "notify_hook of another type": _hook_of_another_type,
    "notify_hook": _hook,
    "notify_format": _format,
    "metadata of another type": _metadata_of_another_type,
    "metadata without a form in JSON": _metadata_without_json,
    "metadata too long": _metadata_too_long,
    "several fields": _several,
    "several fields, others forged": _bad_and_forged,
    "status of any kind": _status_of_any_kind,
    "status of ours": _status_of_ours,
    "in the work index": _in_the_index,
    "ended, in the work index": _ended_in_the_index,
    "odd but acceptable": _odd_but_acceptable,
}


# Subscriptions


def _subscription(name: str, **fields: Attribute) -> dict[str, Attribute]:
    # It wants the tasks of a provider that there is not, so that even an acceptable one is sent nothing.
    nobody: Attribute = {"L": [{"S": f"nobody-{name}"[:64]}]}
    return {
        "subscription_id": {"S": name},
        "url": {"S": "https://hook.example.com/"},
        "providers": nobody,
        **fields,
    }


def _unusable(field: str, but: tuple[str, ...]) -> Maker:
    def make(random: Random, name: str) -> Made:
        return _subscription(name, **{field: attribute(random, but=but)}), End.UNUSABLE, (field,)

    return make


def _url(random: Random, name: str) -> Made:
    return _subscription(name, url={"S": random.choice(URLS)}), End.UNUSABLE, ("url",)


def _without_url(random: Random, name: str) -> Made:
    fields = _subscription(name)
    del fields["url"]
    return fields, End.UNUSABLE, ("url",)


def _unknown_events(random: Random, name: str) -> Made:
    odd = random.choice(("task.exploded", "webhook.test", "TASK.COMPLETED", "task.completed ", *TEXTS))
    kind = random.choice(("L", "SS")) if odd else "L"
    listed: Attribute = {"SS": [odd]} if kind == "SS" else {"L": [{"S": "task.failed"}, {"S": odd}]}
    return _subscription(name, events=listed), End.UNUSABLE, ("events",)


def _events_without_a_word(random: Random, name: str) -> Made:
    """Make one whose format has no word for any of the events that it names."""
    events = random.sample(("task.archived", *OPERATIONAL), random.randrange(1, 6))
    fields: dict[str, Attribute] = {"format": {"S": "provider"}, "events": {"SS": events}}
    return _subscription(name, **fields), End.UNUSABLE, ("events",)


def _bad(field: str) -> Maker:
    def make(random: Random, name: str) -> Made:
        return _subscription(name, **{field: bad_value(random, field)}), End.UNUSABLE, (field,)

    return make


def _lists_of_others(random: Random, name: str) -> Made:
    field = random.choice(("events", "providers"))
    listed: Attribute = {"L": [attribute(random, but=("S",))]}
    return _subscription(name, **{field: listed}), End.UNUSABLE, (field,)


def _headers(random: Random, name: str) -> Made:
    headers: dict[str, Attribute] = random.choice(
        (
            {"": {"S": "x"}},
            {"x y": {"S": "x"}},
            {"x\r\ny": {"S": "x"}},
            {"é": {"S": "x"}},
            {"x" * 129: {"S": "x"}},
            {"Host": {"S": "example.com"}},
            {"WEBHOOK-ID": {"S": "x"}},
            {"Content-Length": {"S": "0"}},
            {"Transfer-Encoding": {"S": "chunked"}},
            {"x": {"S": "a\r\nb: c"}},
            {"x": {"S": "\0"}},
            {"x": {"S": "歌"}},
            {"x": {"S": " x"}},
            {"x": {"S": "x" * 2_049}},
            {"x": attribute(random, but=("S", "NULL"))},
            {"x": {"S": "1"}, "X": {"S": "2"}},
            {f"x-{number}": {"S": "x"} for number in range(11)},
        )
    )
    return _subscription(name, headers={"M": headers}), End.UNUSABLE, ("headers",)


def _unknown_format(random: Random, name: str) -> Made:
    return _subscription(name, format={"S": random.choice(TEXTS)}), End.UNUSABLE, ("format",)


def _bookkeeping(random: Random, name: str) -> Made:
    field = random.choice(SUBSCRIPTION_OWN)
    numbers = ("-1", "1.5", "1E+30", "-1E+30", "1E-130", "99999999999999999999999999999999999999")
    odd = random.choice(({"N": random.choice(numbers)}, attribute(random, but=("N", "NULL"))))
    return _subscription(name, **{field: odd}), End.UNUSABLE, (field,)


def _place_of_a_hook(random: Random, name: str) -> Made:
    return _subscription(f"hook_{name}"), End.UNUSABLE, ("subscription_id",)


def _large_subscription(random: Random, name: str) -> Made:
    length = random.choice((20_000, 100_000, 250_000, ITEM_MAX_BYTES - 1_000))
    return _subscription(name, url={"S": ""}, description={"S": "歌" * (length // 3)}), End.UNUSABLE, ("url",)


def _odd_but_usable(random: Random, name: str) -> Made:
    fine: dict[str, tuple[Attribute, ...]] = {
        "events": ({"NULL": True}, {"L": []}, {"SS": ["task.failed", "task.completed", "task.progress"]}),
        "format": ({"NULL": True}, {"S": "cloudevents"}),
        "headers": (
            {"NULL": True},
            {"M": {}},
            {"M": {"x": {"NULL": True}}},
            {"M": {"x": {"S": ""}, "y!#$": {"S": "a\tb"}}},
        ),
        "enabled": ({"BOOL": True}, {"BOOL": False}, {"NULL": True}),
        "description": ({"NULL": True}, attribute(random)),
        "url": (
            {"S": "https://xn--bcher-kva.example/"},
            {"S": "https://bücher.example/?q=歌"},
            {"S": "https://e.com/" + "x" * 2_000},
        ),
        "secret_version": ({"N": "1"}, {"N": "7"}, attribute(random)),
        "failing_since_ms": ({"N": "0"}, {"N": "1800000000000"}, {"NULL": True}),
        **FINE,
    }
    fields = {
        key: random.choice(fine[key]) for key in random.sample(list(fine), random.randrange(1, len(fine)))
    }
    if random.random() < 0.2:
        # Most of them are about no provider, so that the one that there is not keeps none away.
        events = random.sample((*OPERATIONAL, "task.progress"), random.randrange(1, 6))
        fields |= {"events": {"SS": events}, "filter": NO_EVENT}
    odd_names = {f"_{text(random)[:250]}": attribute(random) for _ in range(random.randrange(3))}
    odd_id = random.choice((name, f" {name}", f"{name}\0", f"{name}\u202e🎵", f"{name}." + "x" * 1_000))
    return odd_names | _subscription(odd_id, **fields), End.USABLE, ()


_SUBSCRIPTIONS: Final[dict[str, Maker]] = {
    "url": _url,
    "url of another type": _unusable("url", ("S",)),
    "without a url": _without_url,
    "events of another type": _unusable("events", ("L", "SS", "NULL")),
    "providers of another type": _unusable("providers", ("L", "SS", "NULL")),
    "events that there are not": _unknown_events,
    "lists of what is no text": _lists_of_others,
    "enabled of another type": _unusable("enabled", ("BOOL", "NULL")),
    "headers of another type": _unusable("headers", ("M", "NULL")),
    "headers": _headers,
    "format of another type": _unusable("format", ("S", "NULL")),
    "format": _unknown_format,
    "events that its format has no word for": _events_without_a_word,
    **{f"{field} that is none": _bad(field) for field in BAD},
    "bookkeeping forged": _bookkeeping,
    "the place of a hook": _place_of_a_hook,
    "odd but usable": _odd_but_usable,
}
