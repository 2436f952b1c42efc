"""The HTTP API's answer to one event: the route, the key's scope, the body and the query, and every error a problem.

Powertools resolves the route, and validates by the types of its function's parameters. What it would let through or
answer in a way of its own is checked before: unknown and repeated parameters, bodies that are no object of JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from re import Pattern
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.api_gateway import Route
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.utilities.typing import LambdaContext

from api.problems import Problem, invalid, problem_of
from api.request import Call, body_text, parse_json, problem_reply, query_of, reply
from api.routes import deliveries, status, submissions, subscriptions, tasks
from api.scopes import SCOPES
from api.stack import ApiStack
from tunehook.api_keys import Scope

logger = Logger(child=True)

_ROUTERS: Final = (tasks.router, submissions.router, subscriptions.router, deliveries.router, status.router)
_NO_ROUTE: Final = "none"


class ApiResolver(APIGatewayHttpResolver):
    """Powertools' resolver, whose routes can be looked at before one of them is called.

    A variable of a path is anything without a slash: Powertools' own patterns lack many characters that an id may have.
    """

    def __init__(self) -> None:
        super().__init__(enable_validation=True)
        for router in _ROUTERS:
            self.include_router(router)

    @staticmethod
    def _compile_regex(rule: str, base_regex: str = "") -> Pattern[str]:  # noqa: ARG004 - Powertools' own
        parts = (_VARIABLE.sub(r"(?P<\1>[^/]+)", re.escape(part)) for part in rule.split("/"))
        return re.compile("/".join(parts) + r"\Z")

    def routes(self) -> dict[tuple[str, str], Route]:
        """Return all routes by method and template, in the order in which they are tried."""
        return {(each.method, each.path): each for each in [*self._static_routes, *self._dynamic_routes]}

    def routes_at(self, path: str) -> dict[str, Route]:
        """Return the route of each method that a path takes."""
        found: dict[str, Route] = {}
        for route in self.routes().values():
            if route.method not in found and route.rule.match(path):
                found[route.method] = route
        return found


_VARIABLE: Final = re.compile(r"<(\w+)>")


@cache
def resolver() -> ApiResolver:
    """Return the one resolver of this execution environment: a router tells only the last one what it is asked."""
    made = ApiResolver()
    made.exception_handler(Exception)(_refuse)
    return made


def _refuse(error: Exception) -> Response[str]:
    if isinstance(error, RequestValidationError):
        error = _first_problem(error)
    return problem_reply(problem_of(error))


def _first_problem(error: RequestValidationError) -> Problem:
    """Return the problem of the first value that is not acceptable, without the value."""
    first = error.errors()[0]
    place, *names = first["loc"]
    if place == "response":
        raise error  # a bug of a route
    field = ".".join(map(str, names))
    if place == "header":  # Powertools knows them in lower case
        field = field.title()
    if first["type"] == "missing":
        return invalid(field, "is missing")
    if first["type"] == "extra_forbidden":
        return invalid(field, "is no attribute of this body")
    return invalid(field, str(first["msg"]).removeprefix("Value error, "))


def answer(event: Mapping[str, Any], context: LambdaContext, stack: Callable[[], ApiStack]) -> dict[str, Any]:
    """Answer an event of an HTTP API (payload 2.0), whatever it holds, and log it in one line.

    `stack` returns the stack that the request is about; it is called for routes that need a key.
    """
    began_s, asked, told = time.monotonic(), _Asked(), {"statusCode": 500}
    try:
        told = _answer(event, context, stack, asked)
    except Exception as error:  # noqa: BLE001 - it is logged, and answered as a problem
        told = _built(problem_reply(problem_of(error)))
    finally:
        logger.info(
            "request_answered",
            route=asked.route,
            status=told["statusCode"],
            key_id=asked.key_id,
            duration_ms=round((time.monotonic() - began_s) * 1000),
        )
    return told


class _Asked:
    """What the log says of a request."""

    route = _NO_ROUTE
    key_id = ""


def _answer(
    event: Mapping[str, Any], context: LambdaContext, stack: Callable[[], ApiStack], asked: _Asked
) -> dict[str, Any]:
    method = str(event["requestContext"]["http"]["method"]).upper()
    if method == "OPTIONS":  # a browser asks first; the gateway itself adds what its CORS allows
        asked.route = method
        return _built(reply(HTTPStatus.NO_CONTENT, None))
    # An HTTP API decodes every escape of a path but that of the percent sign.
    path = str(event["rawPath"]).encode("utf-8", "replace").decode().replace("%25", "%")
    route = _find(method, path)
    asked.route = f"{method} {route.path}"
    headers = {str(name).lower(): _text(value) for name, value in (event.get("headers") or {}).items()}
    asked.key_id, scope = _caller(event)
    call = (
        Call(stack(), asked.key_id, scope, lambda: context.get_remaining_time_in_millis() / 1000)
        if (needed := SCOPES[method, route.path])
        else None
    )
    if needed is not None:
        _check_scope(scope, needed)
    query = query_of(_text(event.get("rawQueryString") or ""), _query_names(route))
    body = _body(event, headers, route)
    plain = {
        **event,
        "rawPath": path,
        "headers": headers | {"content-type": "application/json"},
        "queryStringParameters": query,
        "body": body,
        "isBase64Encoded": False,
        "requestContext": {**event["requestContext"], "stage": "$default"},
    }
    api = resolver()
    api.append_context(**(call.context() if call else {}))  # type: ignore[no-untyped-call]
    return api.resolve(plain, context)


def _find(method: str, path: str) -> Route:
    found = resolver().routes_at(path)
    if method in found:
        return found[method]
    if found:
        allowed = ", ".join(sorted(found))
        detail = f"this path takes {allowed}"
        raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", detail, headers={"Allow": allowed})
    detail = "there is no such path; an id with a slash goes as the parameter task_id"
    raise Problem(HTTPStatus.NOT_FOUND, "not_found", detail)


def _caller(event: Mapping[str, Any]) -> tuple[str, Scope | None]:
    """Return whose key a request has, as the authorizer says, and its scope."""
    authorizer = event["requestContext"].get("authorizer") or {}
    said = authorizer.get("lambda") or {}
    try:
        return str(said.get("key_id") or ""), Scope(str(said.get("scope")))
    except ValueError:
        return "", None


def _check_scope(scope: Scope | None, needed: Scope) -> None:
    if scope is None:
        raise Problem(
            HTTPStatus.UNAUTHORIZED, "unauthorized", "this needs a key: `Authorization: Bearer thk_...`"
        )
    if not scope.allows(needed):
        detail = f"this needs a key of the scope {needed}; this one has the scope {scope}"
        raise Problem(HTTPStatus.FORBIDDEN, "forbidden", detail)


def _query_names(route: Route) -> frozenset[str]:
    return frozenset(param.alias for param in route.dependant.query_params)


def _body(event: Mapping[str, Any], headers: Mapping[str, str], route: Route) -> str:
    """Return the body's text, which is an object of JSON, or empty where the route can do without.

    The body of a GET or a DELETE means nothing (RFC 9110, sections 9.3.1 and 9.3.5).
    """
    if route.method in ("GET", "DELETE"):
        return ""
    text = body_text(event, headers)
    params = route.dependant.body_params
    if not text:
        if params and params[0].required:
            raise Problem(HTTPStatus.BAD_REQUEST, "invalid_json", "the body is empty", field="body")
        return ""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise invalid("body", "must be a JSON object")
    if value and not params:
        raise invalid("body", "this route takes none")
    return text


def _text(value: object) -> str:
    """Return a text that UTF-8 can carry."""
    return str(value).encode("utf-8", "replace").decode()


def _built(told: Response[str]) -> dict[str, Any]:
    return {
        "statusCode": told.status_code,
        "headers": told.headers,
        "body": told.body,
        "isBase64Encoded": False,
    }
