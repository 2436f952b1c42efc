"""The adapter of tunehook against the document of its HTTP API, which this repository holds."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from benchmarks.senders import tunehook
from benchmarks.senders.adapter import Backlog, Refused
from benchmarks.senders.books import new_event_id
from benchmarks.senders.tunehook import SCENARIO, Tunehook
from tests.support.template import ROOT

from tunehook_local.sandbox import Kind

KEY: Final = "thk_a_key"
DOCUMENT: Final = json.loads((ROOT / "docs" / "api" / "openapi.json").read_text(encoding="utf-8"))
SUBSCRIPTION: Final = {"subscription_id": "sub_1", "signing_secret": "whsec_x"}


class Api:
    """Answers as the API does, and holds each request to the document."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.refusals: list[int] = []
        """Statuses that are answered to the next tasks."""
        self.pending = [0]
        """What the next questions for the status are told, the last for ever."""
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        path = request.path
        operation = self._operation(request.method, path)
        assert request.headers["authorization"] == f"Bearer {KEY}"
        if body is not None:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            jsonschema.validate(body, {**schema, "components": DOCUMENT["components"]})
        self.requests.append((request.method, path, body))
        if path == "/v1/tasks" and self.refusals:
            return web.json_response({"title": "no"}, status=self.refusals.pop(0))
        answers: dict[tuple[str, str], tuple[int, Any]] = {
            ("POST", "/v1/subscriptions"): (201, SUBSCRIPTION),
            ("POST", "/v1/tasks"): (201, {}),
            ("GET", "/v1/status"): (
                200,
                {"tasks": {"pending": self._next_pending(path), "event_not_out": 0}},
            ),
            ("POST", "/v1/subscriptions/sub_1/recover"): (200, {"recovered": [], "made": []}),
            ("DELETE", "/v1/subscriptions/sub_1"): (204, None),
        }
        status, document = answers[request.method, path]
        assert str(status) in operation["responses"]
        return web.Response(status=status) if document is None else web.json_response(document, status=status)

    def bodies(self, method: str, path: str) -> list[Any]:
        return [body for one, other, body in self.requests if (one, other) == (method, path)]

    def _next_pending(self, path: str) -> int:
        if path == "/v1/status" and len(self.pending) > 1:
            return self.pending.pop(0)
        return self.pending[0]

    @staticmethod
    def _operation(method: str, path: str) -> Any:
        for template, item in DOCUMENT["paths"].items():
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
                return item[method.lower()]
        raise AssertionError(f"there is no {method} {path}")


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(tunehook, "_PAUSE_S", 0.0)
    api = Api()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    async with TestServer(application) as server:
        api.url = str(server.make_url("/"))
        yield api


@pytest.fixture
async def sender(api: Api) -> AsyncIterator[Tunehook]:
    async with aiohttp.ClientSession() as session:
        sender = Tunehook(session, api.url, KEY, "suno")
        sender.settle_s = 0.0
        yield sender


async def test_an_endpoint_is_a_subscription_with_a_filter(api: Api, sender: Tunehook) -> None:
    endpoint = await sender.add_endpoint("one", "http://127.0.0.1:1/one")
    assert (endpoint.id, endpoint.secret) == ("sub_1", "whsec_x")
    (body,) = api.bodies("POST", "/v1/subscriptions")
    assert body["filter"] == {"metadata": {"endpoint": ["one"]}}
    await sender.remove_endpoint(endpoint)
    await sender.close()
    assert len(api.bodies("DELETE", "/v1/subscriptions/sub_1")) == 1


async def test_an_event_is_a_task_that_names_its_endpoint(api: Api, sender: Tunehook) -> None:
    endpoint = await sender.add_endpoint("one", "http://127.0.0.1:1/one")
    event_id = new_event_id()
    await sender.send(endpoint, event_id, "la la")
    (body,) = api.bodies("POST", "/v1/tasks")
    assert body == {
        "provider": "suno",
        "task_id": event_id,
        "metadata": {"endpoint": "one", "text": "la la"},
    }


async def test_what_is_held_is_put_until_it_is_taken_and_has_ended(api: Api, sender: Tunehook) -> None:
    api.refusals, api.pending = [429, 503], [3, 1, 0]
    event_ids = [new_event_id() for _ in range(30)]
    assert isinstance(sender, Backlog)
    await sender.hold("drain", event_ids, "la")
    put = [body["task_id"] for body in api.bodies("POST", "/v1/tasks")]
    assert set(put) == set(event_ids)
    assert len(put) == 32
    assert len(api.bodies("GET", "/v1/status")) == 3
    assert api.bodies("POST", "/v1/subscriptions") == []


async def test_what_the_api_will_never_take_is_not_put_again(api: Api, sender: Tunehook) -> None:
    api.refusals = [422]
    with pytest.raises(Refused, match="422"):
        await sender.hold("drain", [new_event_id()], "la")
    assert len(api.bodies("POST", "/v1/tasks")) == 1


async def test_what_was_held_is_recovered_by_a_new_subscription(api: Api, sender: Tunehook) -> None:
    await sender.hold("drain", [new_event_id()], "la")
    endpoint, _ = await sender.release("drain", "http://127.0.0.1:1/drain")
    (body,) = api.bodies("POST", f"/v1/subscriptions/{endpoint.id}/recover")
    jsonschema.validate(body["since"], {"type": "string", "format": "date-time"})


def test_the_first_answer_about_a_task_ends_it() -> None:
    rule = SCENARIO.task_rule(Kind.SUNO, new_event_id())
    assert rule is not None
    assert [answer.phase for answer in rule.answers] == ["failed"]
