"""The routes of each sender's API that an adapter uses, as its own document has them, and a stand-in that holds it to.

What is written here restates the documents that the adapters name: method, path, how the caller is known, fields of the
body with their types (a required one has no ``?``), the query, the status, and an answer of the form that is promised.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

KEY = "a-key-of-this-test"
UUID = "0190b1c2-0000-7000-8000-000000000001"
SVIX_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@dataclass(frozen=True)
class Route:
    """One operation. `path` has ``{}`` for each parameter; `body` is None where there is none."""

    method: str
    path: str
    status: int
    body: Mapping[str, Any] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    answer: Any = None


@dataclass
class Request:
    """A request that came, and what is wrong about it."""

    method: str
    path: str
    body: Any


SVIX = (
    Route(
        "POST",
        "/api/v1/app",
        201,
        {"name": str, "uid?": str, "metadata?": dict, "throttleRate?": int},
        answer={"id": "app_1", "name": "n", "metadata": {}, "createdAt": "t", "updatedAt": "t"},
    ),
    Route(
        "POST",
        "/api/v1/app/{}/endpoint",
        201,
        {
            "url": str,
            "channels?": [str],
            "description?": str,
            "eventTypes?": [str],
            "secret?": str,
            "uid?": str,
        },
        answer={
            "id": "ep_1",
            "url": "u",
            "description": "",
            "metadata": {},
            "createdAt": "t",
            "updatedAt": "t",
        },
    ),
    Route("GET", "/api/v1/app/{}/endpoint/{}/secret", 200, answer={"key": SVIX_SECRET}),
    Route(
        "POST",
        "/api/v1/app/{}/msg",
        202,
        {
            "eventType": str,
            "payload": dict,
            "channels?": [str],
            "eventId?": str,
            "payloadRetentionPeriod?": int,
        },
        {"with_content": "false"},
        answer={"id": "msg_1", "eventType": "task.failed", "payload": {}, "timestamp": "t"},
    ),
    Route("DELETE", "/api/v1/app/{}/endpoint/{}", 204),
    Route("DELETE", "/api/v1/app/{}", 204),
)

OUTPOST = (
    Route("PUT", "/api/v1/tenants/{}", 201, answer={"id": "senders", "destinations_count": 0, "topics": []}),
    Route(
        "POST",
        "/api/v1/tenants/{}/destinations",
        201,
        {
            "type": str,
            "topics": [str],
            "config": {"url": str, "custom_headers?": str},
            "id?": str,
            "filter?": dict,
        },
        answer={
            "id": "des_1",
            "type": "webhook",
            "topics": ["task.failed"],
            "disabled_at": None,
            "config": {"url": "u"},
            "credentials": {"secret": "whsec_abc123def456"},
        },
    ),
    Route(
        "POST",
        "/api/v1/publish",
        202,
        {
            "data": dict,
            "id?": str,
            "tenant_id?": str,
            "destination_id?": str,
            "topic?": str,
            "eligible_for_retry?": bool,
            "time?": str,
            "metadata?": dict,
        },
        answer={"id": "e", "duplicate": False, "destination_ids": ["des_1"]},
    ),
    Route("DELETE", "/api/v1/tenants/{}/destinations/{}", 200, answer={"success": True}),
    Route("DELETE", "/api/v1/tenants/{}", 200, answer={"success": True}),
)

CONVOY = (
    Route(
        "POST",
        "/api/v1/projects/{}/endpoints",
        201,
        {
            "name?": str,
            "url?": str,
            "secret?": str,
            "rate_limit?": int,
            "rate_limit_duration?": int,
            "http_timeout?": int,
            "advanced_signatures?": bool,
        },
        answer={
            "status": True,
            "message": "Endpoint created successfully",
            "data": {"uid": "end_1", "url": "u", "secrets": [{"uid": "s", "value": "a-secret"}]},
        },
    ),
    Route(
        "POST",
        "/api/v1/projects/{}/subscriptions",
        201,
        {
            "name?": str,
            "endpoint_id?": str,
            "source_id?": str,
            "filter_config?": {"event_types?": [str], "filter?": dict},
        },
        answer={"status": True, "message": "Subscription created successfully", "data": {"uid": "sub_1"}},
    ),
    Route(
        "POST",
        "/api/v1/projects/{}/events",
        201,
        {
            "data?": dict,
            "endpoint_id?": str,
            "event_type?": str,
            "idempotency_key?": str,
            "custom_headers?": dict,
        },
        answer={"status": True, "message": "Event queued successfully", "data": None},
    ),
    Route(
        "DELETE",
        "/api/v1/projects/{}/endpoints/{}",
        200,
        answer={"status": True, "message": "Endpoint deleted successfully"},
    ),
)

HOOK0 = (
    Route(
        "POST",
        "/api/v1/event_types/",
        201,
        {"application_id": str, "resource_type": str, "service": str, "verb": str},
        answer={
            "event_type_name": "senders.task.failed",
            "resource_type_name": "task",
            "service_name": "senders",
            "verb_name": "failed",
        },
    ),
    Route(
        "POST",
        "/api/v1/subscriptions/",
        201,
        {
            "application_id": str,
            "event_types": [str],
            "is_enabled": bool,
            "target": {"type": str, "method": str, "url": str, "headers": dict},
            "labels?": dict,
            "description?": str,
            "metadata?": dict,
        },
        answer={"subscription_id": UUID, "secret": UUID, "is_enabled": True, "labels": {}},
    ),
    Route(
        "POST",
        "/api/v1/event/",
        201,
        {
            "application_id": str,
            "event_type": str,
            "labels": dict,
            "occurred_at": str,
            "payload": str,
            "payload_content_type": str,
            "event_id?": str,
            "metadata?": dict,
        },
        answer={"application_id": UUID, "event_id": UUID, "received_at": "t"},
    ),
    Route("DELETE", "/api/v1/subscriptions/{}", 204, query={"application_id": UUID}),
)


class StandIn:
    """Answers by routes, and notes what a request has that its route has not.

    Parameters
    ----------
    routes : sequence of Route
    fails : mapping
        Statuses that are answered instead, by the path of a route.
    """

    def __init__(self, routes: Sequence[Route], fails: Mapping[str, int] | None = None) -> None:
        self.requests: list[Request] = []
        self.wrong: list[str] = []
        self.url = ""
        self._routes = routes
        self._fails = fails or {}

    def bodies(self, path: str) -> list[Any]:
        """Return the bodies of the requests of a route."""
        pattern = _pattern(path)
        return [each.body for each in self.requests if pattern.fullmatch(each.path)]

    async def answer(self, request: web.Request) -> web.Response:
        """Check a request, and answer it."""
        body = await request.json() if request.can_read_body else None
        self.requests.append(Request(request.method, request.path, body))
        route = next(
            (
                each
                for each in self._routes
                if each.method == request.method and _pattern(each.path).fullmatch(request.path)
            ),
            None,
        )
        if route is None:
            self.wrong.append(f"there is no {request.method} {request.path}")
            return web.json_response({"error": "no route"}, status=404)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            self.wrong.append(f"{route.path}: no key")
        if dict(request.query) != dict(route.query):
            self.wrong.append(f"{route.path}: the query is {dict(request.query)}")
        if (route.body is None) != (body is None):
            self.wrong.append(f"{route.path}: the body is {body}")
        elif route.body is not None:
            if request.content_type != "application/json":
                self.wrong.append(f"{route.path}: the type is {request.content_type}")
            self.wrong += [f"{route.path}: {each}" for each in mistakes(body, route.body)]
        status = self._fails.get(route.path, route.status)
        if status != route.status:
            return web.json_response({"error": f"the key was {KEY}"}, status=status)
        return (
            web.Response(status=status)
            if route.answer is None
            else web.json_response(route.answer, status=status)
        )


@asynccontextmanager
async def standing_in(stand_in: StandIn) -> AsyncIterator[StandIn]:
    """Serve a stand-in on loopback."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", stand_in.answer)
    async with TestServer(application) as server:
        stand_in.url = str(server.make_url("")).rstrip("/")
        yield stand_in


def mistakes(value: object, shape: object, name: str = "body") -> list[str]:
    """Return what a value has that its shape has not, and the reverse."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{name} is no object"]
        fields = {key.removesuffix("?"): each for key, each in shape.items()}
        unknown = [f"{name}.{key} is not known" for key in value if key not in fields]
        missing = [f"{name}.{key} is missing" for key in shape if not key.endswith("?") and key not in value]
        inner = [
            each
            for key in value
            if key in fields
            for each in mistakes(value[key], fields[key], f"{name}.{key}")
        ]
        return unknown + missing + inner
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{name} is no list"]
        return [each for element in value for each in mistakes(element, shape[0], f"{name}[]")]
    assert isinstance(shape, type)
    return [] if type(value) is shape else [f"{name} is no {shape.__name__}"]


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, path.split("{}"))))
