"""What a provider's answer to a submission means: the id of the new task, a refusal, or that nobody can tell.

A submission costs money and must not be made twice, so a refusal is only believed where nothing speaks for a task: an
answer that says no and names a task, or that came from a server that had trouble, is unclear.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from tunehook.providers import coerce
from tunehook.providers.charsets import decodings
from tunehook.providers.echoes import REDACTED
from tunehook.providers.payload import Secret, UnreadablePayloadError, bounded, json_size, redact
from tunehook.providers.refusals import described, own_status, refusal, says_too_often

BODY_MAX_BYTES: Final = 16_000
"""Of a provider's words that are kept and told."""

MAX_ID: Final = 256
"""Of a task id, as in `tunehook.tasks`."""

_EXPLICIT: Final = coerce.names("task_id taskId taskID taskid TaskId task-id job_id jobId")
_PLACES: Final = ("data", "result", "task", "response", "output")
_MAX_DEPTH: Final = 8
_ID: Final = re.compile(rf"[\x21-\x7e]{{1,{MAX_ID}}}")
_BARE_ID: Final = re.compile(
    # One in 250 of new-api's ids, ``task_`` and 32 letters and digits, has no digit.
    rf"(?=\D{{0,255}}\d|task_[A-Za-z]{{16,}}\Z)[A-Za-z0-9][\w.:~=+/-]{{5,{MAX_ID - 1}}}",
    re.ASCII,
)
_LIKE_AN_ID: Final = re.compile(r"[\x21-\x7e]{8,}")
_NO_ID: Final = frozenset({"", "0", "null", "none", "undefined", "nil", "nan", "false", "n/a", "-"})
_ID_IN_WORDS: Final = re.compile(r"(?i)\btask_[a-z0-9]{16,}|\b(?:task|job)[\s_-]?id\W{0,4}[\w-]{0,80}\d")
_DOUBTS: Final = re.compile(
    r"(?i)time[sd]?[\s_-]?out|deadline exceeded|超时|逾时|逾時|duplicate|already\s(?:exists?|been|submitted|processing)"
    r"|重复提交|insert_task|read_response"
)
_OWN_TROUBLE: Final = re.compile(
    r"(?i)\binternal|server[\s_]error|do_request|fail_to_fetch|内部错误|服务器错误"
)
_OVERLOADED: Final = re.compile(r"system_[a-z]+_overloaded")
"""new-api says so before it reads a request (row 33)."""

_NOT_HANDLED: Final = frozenset({301, 307, 308})
"""A request that is answered by one of these is to be made elsewhere (RFC 9110, section 15.4)."""

_IN_DOUBT: Final = frozenset({408, 425, 499})
"""Of a server or a proxy that did not wait for the end."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """The provider has taken the task, under this id."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider has not taken the task: its HTTP status and its words, JSON or text, `BODY_MAX_BYTES` at most."""

    status: int
    body: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unclear:
    """The task may have been taken or not; `reason` says what came in place of a clear answer."""

    reason: str


SubmissionAnswer: TypeAlias = Submitted | Refused | Unclear


def read(
    status: int,
    body: bytes,
    payload: Any,
    *,
    accepted: bool | None,
    own_id: str | None,
    content_type: str,
    secret: Secret,
) -> SubmissionAnswer:
    """Turn an answer into what it says of a submission. Raises nothing.

    `payload` is the JSON of the body, or the `UnreadablePayloadError` of one that is none; `accepted` is what the
    envelope of the kind says, None where there is no envelope; `own_id` is the task's id where the kind has a place of
    its own for it, whatever else looks like one. No text of the result holds the `secret`.
    """
    if isinstance(payload, UnreadablePayloadError):
        return _without_json(status, body, payload, content_type, secret)
    words = described(status, payload)
    says_no = accepted is False or not 200 <= status < 300 or (accepted is None and _is_error(payload))
    if not says_no:
        if (task_id := _id(own_id) or _task_id(payload)) is not None:
            return Submitted(task_id)
        is_refusal = isinstance(payload, dict) and (
            refusal(status, payload, words) is not None or says_too_often(payload)
        )
        if not is_refusal or _names_a_task(payload):
            return Unclear(f"{words}: it names no task id")
    if own_id or _names_a_task(payload):
        return Unclear(f"{words}: it says no, and names a task")
    texts = " ".join(_texts(payload))
    if _OVERLOADED.search(texts) and status == 503:
        return Refused(status, _short(payload))
    own = own_status(payload) if isinstance(payload, dict) and 200 <= status < 300 else None
    if not _is_clear(own or status) or _DOUBTS.search(texts):
        return Unclear(f"{words}: that does not say whether the task was taken")
    if 200 <= status < 300 and own is None and (_is_own_trouble(payload) or _OWN_TROUBLE.search(texts)):
        return Unclear(f"{words}: that does not say whether the task was taken")
    return Refused(status, _short(payload))


def _without_json(
    status: int, body: bytes, problem: UnreadablePayloadError, content_type: str, secret: Secret
) -> SubmissionAnswer:
    words = f"HTTP {status}: {problem}"
    text = next(iter(decodings(body, content_type)), "").strip("\0\ufeff \t\r\n")
    is_cut_off = text[:1] in ("{", "[", '"')
    is_no = status >= 300 and _is_clear(status) and not is_cut_off and not problem.is_too_large
    if not is_no or _ID_IN_WORDS.search(text) or _DOUBTS.search(text) or _BARE_ID.fullmatch(text):
        return Unclear(words)
    return Refused(status, _short_text(redact(text, secret)))


def _is_clear(status: int) -> bool:
    """Return whether a status means that the request was not carried out."""
    return status in _NOT_HANDLED or (400 <= status < 500 and status not in _IN_DOUBT) or status < 300


def _is_error(payload: Any) -> bool:
    if not isinstance(payload, dict):
        return False
    return any(payload.get(name) not in (None, "", [], {}, False, 0) for name in ("error", "errors"))


def _is_own_trouble(payload: Any) -> bool:
    """Return whether an error's own code is one of the server's troubles: 500, 5001."""
    code = payload.get("code") if isinstance(payload, dict) else None
    return isinstance(code, int | str) and re.fullmatch(r"5\d{2,}", str(code).strip()) is not None


def _task_id(payload: Any) -> str | None:
    """Return the one id that an answer gives to the new task."""
    places = [payload, *_inner(payload)]
    # The inner ones first: what lies beside the envelope may be the request's.
    objects = [each for each in (*places[1:], payload) if isinstance(each, dict)]
    for place in objects:
        if found := _first(place, _EXPLICIT):
            return found
    for place in places[1:]:
        if isinstance(place, str) and _BARE_ID.fullmatch(place):
            return _id(place)
    for place in objects:
        if found := _first(place, ("id",)):
            return found
    deep = {found for value in _explicit(payload) if (found := _id(value)) is not None}
    return deep.pop() if len(deep) == 1 else None


def _inner(payload: Any) -> Iterator[Any]:
    """Yield what may be the task, or its id, in an envelope and in the objects in it."""
    if isinstance(payload, dict):
        for name in _PLACES:
            value = _opened(payload.get(name))
            yield value
            if isinstance(value, dict):
                yield from (_opened(value.get(inner)) for inner in _PLACES)


def _opened(value: Any) -> Any:
    """Return the object or list that a text holds as JSON; anything else as it is: an id may look like a number."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _first(place: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((found for name in names if (found := _id(place.get(name))) is not None), None)


def _id(value: Any) -> str | None:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else value
    if not isinstance(text, str):
        return None
    text = text.strip()
    is_one = _ID.fullmatch(text) and text.lower() not in _NO_ID and REDACTED not in text
    return text if is_one else None


def _names_a_task(payload: Any) -> bool:
    """Return whether anything in an answer may be the id of a task: rather too often than too rarely."""
    if any(_is_given(value) for value in _explicit(payload)):
        return True
    for place in (payload, *_inner(payload)):
        if isinstance(place, dict) and _is_given(place.get("id")):
            return True
        if isinstance(place, str) and (_LIKE_AN_ID.fullmatch(place) or _BARE_ID.fullmatch(place)):
            return True
        if isinstance(place, int) and not isinstance(place, bool) and place > 99_999:
            return True
    return any(_ID_IN_WORDS.search(text) for text in _texts(payload))


def _is_given(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in _NO_ID
    return isinstance(value, int | float | list | dict) and bool(value)


def _explicit(value: Any, depth: int = _MAX_DEPTH) -> Iterator[Any]:
    """Yield what an answer has anywhere under a name that only a task's id has."""
    value = _opened(value)
    if depth == 0 or not isinstance(value, dict | list):
        return
    if isinstance(value, dict):
        yield from (value[name] for name in _EXPLICIT if name in value)
    for each in value.values() if isinstance(value, dict) else value:
        yield from _explicit(each, depth - 1)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _short(payload: Any) -> Any:
    if isinstance(payload, str):
        return _short_text(payload)
    if isinstance(payload, dict):
        return bounded(payload, BODY_MAX_BYTES)[0]
    return (
        payload if json_size(payload) <= BODY_MAX_BYTES else bounded({"": payload}, BODY_MAX_BYTES)[0].get("")
    )


def _short_text(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= BODY_MAX_BYTES:
        return encoded.decode()
    return encoded[: BODY_MAX_BYTES - 3].decode("utf-8", "ignore") + "…"
