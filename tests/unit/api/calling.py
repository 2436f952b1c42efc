"""The HTTP API over moto's AWS, called by events as an HTTP API sends them (payload 2.0)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from jsonschema import Draft202012Validator
from tests.support.aws import REGION, Context, client, create_table, put
from tests.unit.cli.conftest import MASTER_SECRET, OUTPUTS

from api.openapi import document
from api.resolver import answer, resolver
from api.routes import tasks as task_routes
from api.stack import ApiStack

PROVIDERS = {
    "suno": {"kind": "suno", "base_url": "https://suno.example", "api_key": "sk-0123456789abcdef0123"}
}
SECRETS = (MASTER_SECRET, "sk-0123456789abcdef0123")


@functools.cache
def documented() -> dict[str, Any]:
    return document()


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": name, "components": documented()["components"]})


def check(schema: Mapping[str, Any], value: object) -> None:
    """Fail unless a value is as a schema of the document says."""
    whole = {**schema, "components": documented()["components"]}
    Draft202012Validator(whole).validate(value)


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its headers by names in lower case, its JSON."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Api:
    """What calls the API; every answer must be one that the document has for its operation."""

    stack: ApiStack
    scope: str | None = "admin"
    key_id: str = "k1"
    remaining_ms: int = 29_000
    checked: bool = True
    answers: list[Answer] = field(default_factory=list)

    def send(self, event: dict[str, Any]) -> Answer:
        context = Context()
        context.get_remaining_time_in_millis = lambda: self.remaining_ms  # type: ignore[method-assign]
        told = answer(event, context, lambda: self.stack)  # type: ignore[arg-type]
        headers = {name.lower(): value for name, value in told.get("headers", {}).items()}
        given = Answer(told["statusCode"], headers, told["body"])
        self.answers.append(given)
        if self.checked:
            self._check(event, given)
        return given

    def __call__(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | str = "",
        headers: Mapping[str, str] | None = None,
        raw: str | None = None,
    ) -> Answer:
        text = raw if raw is not None else None if body is None else json.dumps(body)
        return self.send(self.event(method, path, text, query, headers))

    def event(
        self,
        method: str,
        path: str,
        text: str | None = None,
        query: Mapping[str, str] | str = "",
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        given = {"content-type": "application/json"} if text is not None else {}
        context: dict[str, Any] = {"stage": "$default", "http": {"method": method, "path": path}}
        if self.scope is not None:
            told = {"key_id": self.key_id, "name": "tests", "scope": self.scope}
            context["authorizer"] = {"lambda": told}
        event = {
            "version": "2.0",
            "routeKey": "ANY /v1/{proxy+}",
            "rawPath": path,
            "rawQueryString": query if isinstance(query, str) else urlencode(query, quote_via=quote),
            "headers": given | dict(headers or {}),
            "requestContext": context,
            "isBase64Encoded": False,
        }
        return event if text is None else event | {"body": text}

    @staticmethod
    def _check(event: Mapping[str, Any], given: Answer) -> None:
        method = event["requestContext"]["http"]["method"]
        found = resolver().routes_at(event["rawPath"].replace("%25", "%"))
        if method not in found:
            assert given.status in (404, 405)
            return
        operation = documented()["paths"][found[method].openapi_path][method.lower()]
        told = operation["responses"][str(given.status)]
        if "$ref" in told:
            told = documented()["components"]["responses"][told["$ref"].rpartition("/")[2]]
        if "content" not in told:
            assert not given.text
            return
        check(told["content"][given.headers["content-type"]]["schema"], given.json)


@pytest.fixture
def api(aws: None, monkeypatch: pytest.MonkeyPatch) -> Api:
    for name in (
        "TasksTable",
        "SubscriptionsTable",
        "SecretVersionsTable",
        "DeliveriesTable",
        "PollerLeasesTable",
        "ProviderStatesTable",
        "ReceiverGatesTable",
        "ApiRequestsTable",
    ):
        create_table(name)
    client("s3").create_bucket(Bucket="results", CreateBucketConfiguration={"LocationConstraint": REGION})
    secrets = client("secretsmanager")
    secrets.create_secret(Name="providers", SecretString=json.dumps(PROVIDERS))
    secrets.create_secret(Name="master", SecretString=MASTER_SECRET)
    queues = {
        name: client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in ("deliveries", "fulfillment")
    }
    dead = {
        f"{name.capitalize()}DeadLetters": client("sqs").create_queue(QueueName=f"{name}-dead")["QueueUrl"]
        for name in ("fulfillment", "deliveries", "intake", "poller")
    }
    outputs = OUTPUTS | {
        "ApiRequestsTable": "ApiRequestsTable",
        "DeliveriesQueue": queues["deliveries"],
        "FulfillmentQueue": queues["fulfillment"],
        **dead,
    }
    monkeypatch.setattr(task_routes, "_known_until_ms", {})
    stack = ApiStack(
        "tunehook", REGION, outputs, {"ApiMaxWaiting": "2"}, lambda service, **_: client(service)
    )
    return Api(stack)


def put_task(task_id: str = "task-1", **attributes: Any) -> None:
    put("TasksTable", {"task_id": task_id, "provider": "suno", **attributes})
