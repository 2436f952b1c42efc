"""What comes in a request: its body, its query, whose key it has, and the stack that it is about."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router

from api.problems import CONTENT_TYPE, NO_HEADERS, Problem, invalid
from api.stack import ApiStack
from tunehook.api_keys import Scope

BODY_MAX_BYTES: Final = 256 * 1024
DEPTH_MAX: Final = 64
"""How deep lists and maps of a body may lie in each other."""

_JSON: Final = "application/json"
_CALL: Final = "call"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: the stack that it is about, whose key it has, and how many seconds are left to answer it.

    `key_id` is empty, and `scope` None, where a route needs no key.
    """

    stack: ApiStack
    key_id: str
    scope: Scope | None
    remaining_s: Callable[[], float]

    def context(self) -> dict[str, Any]:
        """Return what a resolver appends to its context, so that `call_of` finds it."""
        return {_CALL: self}


def new_router() -> Router:
    """Return what the routes of a module are registered with."""
    return Router()  # type: ignore[no-untyped-call]


def call_of(router: Router) -> Call:
    """Return the request that a route is answering."""
    call: Call = router.context[_CALL]
    return call


def reply(
    status: int, document: Mapping[str, Any] | None, headers: Mapping[str, str] = NO_HEADERS
) -> Response[str]:
    """Return an answer of JSON values, which nobody on the way may keep; None is an answer without a body."""
    told = {"Cache-Control": "no-store", **headers}
    if document is None:
        return Response(int(status), body="", headers=told)
    return Response(int(status), _JSON, to_text(document), told)


def problem_reply(problem: Problem) -> Response[str]:
    """Return the answer that a problem is."""
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(int(problem.status), CONTENT_TYPE, to_text(problem.body()), headers)


def to_text(document: object) -> str:
    """Return JSON in ASCII; NaN and the infinities, for which it has no form, are null."""
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), separators=(",", ":"))


def _finite(value: object) -> object:
    match value:
        case float() if value - value != 0:
            return None
        case Mapping():
            return {name: _finite(each) for name, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
    return value


def body_text(event: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return the text of a body that must be JSON by its content type, empty if there is none.

    Raises `Problem`: 413 above `BODY_MAX_BYTES`, 415 for another content type, 400 for what is no UTF-8.
    """
    given = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        content = given.encode("utf-8", "surrogatepass")
    else:
        try:
            content = base64.b64decode(given, validate=True)
        except (binascii.Error, ValueError):
            raise _no_json("is not base64, as its event says") from None
    if len(content) > BODY_MAX_BYTES:
        detail = f"the body is {len(content)} bytes, more than {BODY_MAX_BYTES}"
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", detail, field="body")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if content.strip() and kind and kind != _JSON and not kind.endswith("+json"):
        detail = "the body must be JSON: send it with the header `Content-Type: application/json`"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail, field="body")
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise _no_json("is not UTF-8") from None


def parse_json(text: str | bytes) -> Any:
    """Return the values of a JSON text; raise `Problem` for what is none, or could be kept nowhere.

    >>> parse_json('{"a": 1}')
    {'a': 1}
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise _no_json(f"is nested deeper than {DEPTH_MAX} levels") from None
    except ValueError as error:
        # Not its message: it may quote the body.
        at = f" (at character {error.pos})" if isinstance(error, json.JSONDecodeError) else ""
        raise _no_json(f"is no JSON{at}") from None
    _check_depth(value)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise _no_json("holds half a surrogate pair, which no text may") from None
    return value


def _refuse_constant(name: str) -> None:
    raise _no_json(f"holds {name}, which is no JSON")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _no_json("gives a name twice in one object")
    return found


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise _no_json(f"is nested deeper than {DEPTH_MAX} levels")


def _no_json(reason: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "invalid_json", f"the body {reason}", field="body")


def query_of(raw: str, names: Collection[str]) -> dict[str, str]:
    """Return the parameters of a query string; raise `Problem` for one that is unknown, or given twice."""
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise invalid("query", "has more than 100 parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in names:
            known = f"this route takes {', '.join(sorted(names))}" if names else "this route takes none"
            raise invalid(_shown(name), f"is no parameter here: {known}")
        if name in found:
            raise invalid(name, "is given more than once")
        found[name] = value
    return found


def _shown(name: str) -> str:
    return name if len(name) <= 64 else f"{name[:64]}..."
