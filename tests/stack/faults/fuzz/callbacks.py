"""Callbacks as no provider sends them, and as a forger would: each is answered by 200 and ends nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.stack.faults.fuzz.values import TEXTS, text

BODY_MAX_BYTES: Final = 1024 * 1024
"""The longest body of a callback that is read."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FuzzedCallback:
    """A callback, what is odd about it, and whether its path is one that a callback can have; `path` is quoted."""

    kind: str
    path: str
    headers: Headers
    body: bytes
    is_addressed: bool = True


@dataclass(frozen=True, slots=True)
class Aim:
    """What a forger knows: the paths of providers' callbacks, tasks of theirs that have not ended, and other ids."""

    paths: Mapping[str, str]
    task_ids: Mapping[str, tuple[str, ...]]
    unknown_ids: tuple[str, ...]


def callbacks(random: Random, aim: Aim, count: int) -> Iterator[FuzzedCallback]:
    """Yield callbacks, each kind as often as the others.

    Parameters
    ----------
    random : Random
        Decides everything.
    aim : Aim
        What they are made of and about.
    count : int
        How many there are.
    """
    kinds = list(_KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        yield _KINDS[kind](random, aim, kind)


def _json(
    kind: str, path: str, body: object, *headers: tuple[str, str], is_addressed: bool = True
) -> FuzzedCallback:
    return FuzzedCallback(
        kind, path, (("content-type", "application/json"), *headers), json.dumps(body).encode(), is_addressed
    )


def _provider(random: Random, aim: Aim) -> str:
    return random.choice(sorted(aim.paths))


def _id(random: Random, aim: Aim, provider: str) -> str:
    """Mostly one of a task that is watched, else one of a few that nobody has put."""
    return random.choice(aim.task_ids[provider] if random.random() < 0.8 else aim.unknown_ids)


# As providers write, and untrue


_CLIP: Final = {"id": "c-1", "audio_url": "http://127.0.0.1:9/forged.mp3", "title": "forged", "duration": 1.5}


def _suno_api(task_id: str, random: Random) -> dict[str, Any]:
    kind = random.choice(("text", "first", "complete", "error"))
    clips = None if kind == "error" else [_CLIP]
    name = random.choice(("task_id", "taskId"))
    code = 200 if kind != "error" else random.choice((400, 408, 413, 500, 501, 531))
    return {"code": code, "msg": "forged", "data": {"callbackType": kind, name: task_id, "data": clips}}


def _unified(task_id: str, random: Random) -> dict[str, Any]:
    status = random.choice(("completed", "failed", "processing"))
    return {"timestamp": 1_800_000_000, "data": {"task_id": task_id, "status": status, "output": _CLIP}}


def _prediction(task_id: str, random: Random) -> dict[str, Any]:
    status = random.choice(("succeeded", "failed", "canceled"))
    return {"id": task_id, "status": status, "output": ["http://127.0.0.1:9/forged.mp3"]}


def _queue(task_id: str, random: Random) -> dict[str, Any]:
    return {"request_id": task_id, "gateway_request_id": task_id, "status": "OK", "payload": {"audio": _CLIP}}


def _proxy_task(task_id: str, random: Random) -> dict[str, Any]:
    return {
        "id": task_id,
        "status": random.choice(("SUCCESS", "FAILURE")),
        "progress": "100%",
        "imageUrl": "x",
    }


_FORMS: Final[tuple[Callable[[str, Random], dict[str, Any]], ...]] = (
    _suno_api,
    _unified,
    _prediction,
    _queue,
    _proxy_task,
)


def _untrue(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    provider = _provider(random, aim)
    body = random.choice(_FORMS)(_id(random, aim, provider), random)
    return _json(kind, aim.paths[provider], body)


def _of_another_provider(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    """An id of one provider's task at another provider's place."""
    provider, other = random.sample(sorted(aim.paths), 2)
    body = random.choice(_FORMS)(random.choice(aim.task_ids[other]), random)
    return _json(kind, aim.paths[provider], body)


def _forged_token(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    provider = _provider(random, aim)
    path, _, token = aim.paths[provider].rpartition("/")
    position = random.randrange(len(token))
    other = "A" if token[position] != "A" else "B"
    forged = random.choice(
        (
            f"{token[:position]}{other}{token[position + 1 :]}",
            token[:-1],
            f"{token}A",
            token.swapcase(),
            "A" * len(token),
            "x" * 3_000,
            "null",
            "%00",
            "%FF",
            "%E6%AD%8C",
            aim.paths[random.choice([each for each in sorted(aim.paths) if each != provider])].rpartition(
                "/"
            )[2],
        )
    )
    body = random.choice(_FORMS)(_id(random, aim, provider), random)
    return _json(kind, f"{path}/{forged}", body)


def _odd_provider(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    path = aim.paths[_provider(random, aim)]
    head, provider, token = path.rsplit("/", 2)
    odd = random.choice(
        (
            "nobody",
            "ſuno",
            provider.upper(),
            f"{provider} ",
            "%",
            "x" * 3_000,
            "..",
            "\0",
            text(random) or " ",
        )
    )
    body = random.choice(_FORMS)("t-1", random)
    # The gateway decodes a path before it looks for its route: with a slash more it is another.
    is_addressed = odd != ".." and "/" not in odd
    return _json(kind, f"{head}/{quote(odd, safe='')}/{token}", body, is_addressed=is_addressed)


def _odd_id(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    provider = _provider(random, aim)
    anything: tuple[Any, ...] = (
        None,
        True,
        7,
        -1.5,
        10**60,
        float("nan"),
        [],
        ["a"],
        {},
        {"id": "a"},
        "",
        " ",
        "x" * 300,
        "x" * 100_000,
        "a/b/../c",
        "\ud800",
        "#",
        "a#b",
        *TEXTS,
    )
    body = random.choice(_FORMS)(random.choice(anything), random)
    return _json(kind, aim.paths[provider], body)


def _contradictory(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    """Several ids in one body, of which at most one can be meant."""
    provider = _provider(random, aim)
    ids = [_id(random, aim, provider) for _ in range(5)]
    body = {
        "task_id": ids[0],
        "taskId": ids[1],
        "id": ids[2],
        "request_id": ids[3],
        "data": random.choice(({"task_id": ids[4]}, {"taskId": ids[4]}, [{"task_id": ids[4]}], ids[4], None)),
    }
    return _json(kind, aim.paths[provider], body)


def _no_json(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    provider = _provider(random, aim)
    whole = json.dumps(_suno_api(_id(random, aim, provider), random)).encode()
    odd = random.choice(
        (
            b"",
            b"\0",
            b"null",
            b"7",
            b"NaN",
            b'""',
            b"[]",
            b"[1, {}]",
            b"{",
            whole[: random.randrange(1, len(whole))],
            whole + whole,
            whole.replace(b'"', b"\xff"),
            whole.decode().encode("utf-16"),
            b"[" * 100_000,
            b'{"data":' * 50_000,
            b'{"data":' * 2_000 + b"1" + b"}" * 2_000,
            b'{"task_id": ' + b"9" * 5_000 + b"}",
            b"task_id=" + random.choice(aim.task_ids[provider]).encode(),
            bytes(range(256)),
        )
    )
    content_type = random.choice(
        (
            "application/json",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/octet-stream",
            "",
        )
    )
    return FuzzedCallback(kind, aim.paths[provider], (("content-type", content_type),), odd)


def _large(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    """About a watched task, but of a length that is read, or just not."""
    provider = _provider(random, aim)
    body = _unified(_id(random, aim, provider), random)
    room = BODY_MAX_BYTES - len(json.dumps(body)) - 20
    length = room + random.choice((-5, 5_000)) if random.random() < 0.1 else 70_000
    body["more"] = "x" * length
    return _json(kind, aim.paths[provider], body, is_addressed=length < room)


def _forged_signature(random: Random, aim: Aim, kind: str) -> FuzzedCallback:
    provider = _provider(random, aim)
    task_id = _id(random, aim, provider)
    mark = base64.b64encode(random.randbytes(32)).decode()
    odd = random.choice((mark, "", "x", "\xe9", "v1,", f"v1,{mark} v1a,{mark}", "x" * 3_000))
    moment = random.choice(("1800000000", "0", "-1", "soon", "", "9" * 400, "1e9"))
    headers = random.choice(
        (
            (("x-webhook-signature", odd), ("x-webhook-timestamp", moment)),
            (("x-webhook-secret", odd),),
            (("webhook-id", "msg_1"), ("webhook-signature", odd), ("webhook-timestamp", moment)),
        )
    )
    return _json(kind, aim.paths[provider], random.choice(_FORMS)(task_id, random), *headers)


_KINDS: Final[dict[str, Callable[[Random, Aim, str], FuzzedCallback]]] = {
    "untrue": _untrue,
    "of another provider": _of_another_provider,
    "forged token": _forged_token,
    "odd provider": _odd_provider,
    "odd id": _odd_id,
    "contradictory": _contradictory,
    "no JSON": _no_json,
    "large": _large,
    "forged signature": _forged_signature,
}
