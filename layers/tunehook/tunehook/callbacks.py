"""Callbacks of providers: the URL they call, the tasks they are about, and who sent them. No I/O happens here.

A callback is a hint (docs/decisions/039-a-callback-is-a-hint.md): its body is searched for ids of tasks, and nothing
else of it is read. Whatever comes, from whomever, nothing here raises.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_plus

from tunehook.callback_schemes import CallbackScheme
from tunehook.errors import InvalidInput, Misconfigured
from tunehook.signatures import MIN_MASTER_SECRET_LENGTH, hkdf_sha256, sign
from tunehook.tasks import TASK_ID_MAX_LENGTH

BODY_MAX_BYTES: Final = 1024 * 1024
IDS_MAX: Final = 20
"""How many ids of one callback count; more than a provider sends, and few enough to be read at once."""

TOLERANCE_S: Final = 300
"""How old or how far ahead a signed callback may be."""

_SALT: Final = b"tunehook/callbacks/v1"
_TOKEN_BYTES: Final = 32
_TASK_IDS: Final = ("task_id", "taskId", "taskID", "taskid", "TaskId", "job_id", "jobId")
_REQUEST_IDS: Final = ("request_id", "requestId")
_IDS: Final = ("id", "Id", "ID")
_WITH_IDS: Final = ("data", "task", "object")
_WRAPPERS: Final = (*_WITH_IDS, "result", "payload", "body", "event", "record", "response", "params")
"""Objects within others that may name a task; of the latter, an ``id`` is rather that of a result."""

_DEPTH_MAX: Final = 4
_OBJECTS_MAX: Final = 200
_FIELDS_MAX: Final = 200
_INNER_TEXTS_MAX: Final = 5
_QUERY_MAX: Final = 8_192
_ID_IN_TEXT: Final = re.compile(
    r"""(?i)(?<![a-z0-9])task_?id\b["'\\\s:=<>\[\]()-]{1,20}([a-z0-9](?:[a-z0-9._:-]{0,198}[a-z0-9])?)"""
)
_BARE_ID: Final = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9][A-Za-z0-9._:-]{7,199}")


OwnIds: TypeAlias = Callable[[Any], Iterable[str]]
"""Returns the ids in the JSON of a callback that stand in places which one provider has."""


class Place(IntEnum):
    """Where an id was found: the lower, the surer it is a task's."""

    TASK_ID = auto()
    LISTED_TASK_ID = auto()
    """Within a list of an object: clips have a ``task_id`` of their own at gateways of suno (a task's, and ``_1``)."""
    ID = auto()
    REQUEST_ID = auto()


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it came: header names in lower case, the query string still percent-encoded."""

    body: bytes
    headers: Mapping[str, str]
    query: str = ""


def callback_token(master_secret: str, provider: str, version: int) -> str:
    """Derive the last part of a provider's callback URL: 43 characters of base64url.

    `version` begins at 1; a rotation raises it. Raise `Misconfigured` if the master secret has fewer than
    32 characters.
    """
    if len(master_secret) < MIN_MASTER_SECRET_LENGTH:
        raise Misconfigured(f"the master secret has fewer than {MIN_MASTER_SECRET_LENGTH} characters")
    info = f"callback/{version}/{provider}".encode()
    key = hkdf_sha256(master_secret.encode(), salt=_SALT, info=info, length=_TOKEN_BYTES)
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def is_token(given: str, master_secret: str, provider: str, version: int) -> bool:
    """Return whether a token is that of a provider, in a time that does not tell how much of it is right."""
    expected = callback_token(master_secret, provider, version)
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def callback_path(provider: str, token: str) -> str:
    """Return the path of a provider's callback URL."""
    return f"/v1/callbacks/{provider}/{token}"


def find_task_ids(callback: Callback, own: OwnIds = lambda _: ()) -> dict[str, Place]:
    """Return the ids that a callback may be about, the surest first, `IDS_MAX` at most, and where each was found.

    JSON (an object, an array, or either as a text within), a form, plain text and the query are searched in the places
    where providers have ids: ``task_id``, ``taskId``, ``id``, ``request_id``, also within ``data`` and its like. Bodies
    beyond `BODY_MAX_BYTES` are not. The search is bounded in depth and in number. What a provider has in a place of its
    `own` is surely a task's.
    """
    found: dict[str, Place] = {}
    for place, value in _Search(own).of(callback):
        if (task_id := _usable(value)) is not None:
            found[task_id] = min(place, found.get(task_id, place))
    ranked = sorted(found.items(), key=lambda each: each[1])
    return dict(ranked[:IDS_MAX])


def verified_ids(
    callback: Callback, ids: Iterable[str], scheme: CallbackScheme, secret: str, now_s: float
) -> list[str]:
    """Return those of the ids for which the sender has shown that it has the secret; none where a signature is wrong.

    `kie`: ``x-webhook-signature`` is the base64 of HMAC-SHA256 over id, dot and ``x-webhook-timestamp``; it does not
    cover the body. `header`: ``x-webhook-secret`` is the secret itself. `standard-webhooks`: Standard Webhooks 1.0.0,
    ``v1``. Signatures are good for `TOLERANCE_S`.
    """
    match scheme:
        case CallbackScheme.HEADER:
            given = callback.headers.get("x-webhook-secret", "")
            return list(ids) if _same(given, secret) else []
        case CallbackScheme.KIE:
            given = callback.headers.get("x-webhook-signature", "")
            timestamp = callback.headers.get("x-webhook-timestamp", "").strip()
            if not _is_recent(timestamp, now_s):
                return []
            return [each for each in ids if _same(given, kie_signature(secret, each, timestamp))]
        case CallbackScheme.STANDARD_WEBHOOKS:
            return list(ids) if _is_standard(callback, secret, now_s) else []


def kie_signature(secret: str, task_id: str, timestamp: str) -> str:
    """Return kie.ai's signature of a callback: it covers the task and the time."""
    content = f"{task_id}.{timestamp}".encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()


def _is_standard(callback: Callback, secret: str, now_s: float) -> bool:
    message_id = callback.headers.get("webhook-id", "")
    timestamp = callback.headers.get("webhook-timestamp", "").strip()
    if not message_id or not _is_recent(timestamp, now_s):
        return False
    try:
        expected = sign(message_id, int(timestamp), callback.body, [secret])
    except (InvalidInput, UnicodeEncodeError):
        return False
    given = callback.headers.get("webhook-signature", "").split()[:IDS_MAX]
    return any(_same(each, expected) for each in given)


def _is_recent(timestamp: str, now_s: float) -> bool:
    if not re.fullmatch(r"[0-9]{1,15}", timestamp):
        return False
    sent_s = int(timestamp)
    if sent_s > 100_000_000_000:  # in milliseconds: as seconds this is the year 5138
        sent_s //= 1000
    return abs(now_s - sent_s) <= TOLERANCE_S


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(
        given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass")
    )


def _usable(value: Any) -> str | None:
    """Return what can be a task's id in the Tasks table, or None."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    task_id = str(value).strip()
    if not task_id or len(task_id) > TASK_ID_MAX_LENGTH:
        return None
    return None if any(unicodedata.category(char)[0] == "C" for char in task_id) else task_id


class _Search:
    """One search for ids, with what is left of its bounds."""

    def __init__(self, own: OwnIds) -> None:
        self._own = own
        self._objects = _OBJECTS_MAX
        self._inner_texts = _INNER_TEXTS_MAX

    def of(self, callback: Callback) -> Iterator[tuple[Place, Any]]:
        if len(callback.body) <= BODY_MAX_BYTES:
            yield from self._in_text(_decoded(callback.body))
        yield from self._in_json(_form(callback.query[:_QUERY_MAX]))

    def _in_text(self, text: str) -> Iterator[tuple[Place, Any]]:
        is_json, value = _read_json(text)
        if is_json:
            yield from ((Place.TASK_ID, each) for each in self._own(self._unwrapped(value)))
            yield from self._in_json(value)
            return
        found = list(self._in_json(_form(text))) if "=" in text else []
        yield from found
        if not found:
            yield from ((Place.TASK_ID, each[1]) for each in _matches(_ID_IN_TEXT, text))
            if _BARE_ID.fullmatch(text.strip()):
                yield Place.ID, text.strip()

    def _in_json(self, value: Any, depth: int = 0, *, has_id: bool = True) -> Iterator[tuple[Place, Any]]:
        """Search a value; `has_id` is whether it is in a place where an ``id`` is a task's."""
        value = self._unwrapped(value)
        if isinstance(value, list) and depth < _DEPTH_MAX:
            for each in value[:_OBJECTS_MAX]:
                # Within an object, a list is one of clips, which have ids as well.
                found = self._in_json(each, depth + 1, has_id=depth == 0)
                yield from found if depth == 0 else map(_listed, found)
        if isinstance(value, str) and depth == 0 and _BARE_ID.fullmatch(value.strip()):
            yield Place.ID, value
        if not isinstance(value, dict) or self._objects == 0:
            return
        self._objects -= 1
        yield from ((Place.TASK_ID, value[name]) for name in _TASK_IDS if name in value)
        if has_id:
            yield from ((Place.ID, value[name]) for name in _IDS if name in value)
        yield from ((Place.REQUEST_ID, value[name]) for name in _REQUEST_IDS if name in value)
        if depth < _DEPTH_MAX:
            for name in _WRAPPERS:
                if isinstance(value.get(name), dict | list | str):
                    yield from self._in_json(value[name], depth + 1, has_id=has_id and name in _WITH_IDS)

    def _unwrapped(self, value: Any) -> Any:
        """Return the JSON that is in a text, a few times."""
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and self._inner_texts:
            self._inner_texts -= 1
            is_json, inner = _read_json(value)
            return inner if is_json else value
        return value


def _listed(found: tuple[Place, Any]) -> tuple[Place, Any]:
    place, value = found
    return (Place.LISTED_TASK_ID if place is Place.TASK_ID else place), value


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    for number, match in enumerate(pattern.finditer(text)):
        if number == IDS_MAX:
            return
        yield match


def _decoded(body: bytes) -> str:
    return body.decode(json.detect_encoding(body), "replace").strip("\ufeff \t\r\n\0")


def _read_json(text: str) -> tuple[bool, Any]:
    try:
        return True, _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False, None


_DECODER: Final = json.JSONDecoder(
    # Python refuses to read numbers of more than some thousand digits.
    parse_int=lambda digits: int(digits) if len(digits) <= 40 else None,
    parse_float=lambda _digits: None,
    parse_constant=lambda _name: None,
    strict=False,
)


def _form(text: str) -> dict[str, str]:
    """Return the fields of a form or a query; of one that comes twice, the first."""
    fields: dict[str, str] = {}
    for pair in text.split("&", _FIELDS_MAX)[:_FIELDS_MAX]:
        name, equals, value = pair.partition("=")
        if equals:
            fields.setdefault(unquote_plus(name).strip(), unquote_plus(value))
    return fields
