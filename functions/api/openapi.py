"""The OpenAPI document of the HTTP API: ``make schemas`` writes it.

Powertools generates the parameters and the bodies of requests from the routes. The answers, the problems and the
webhooks that go out are added here. The document is made when it changes, not at each request.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools.event_handler.openapi.models import HTTPBearer
from pydantic import BaseModel, create_model
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from api.problems import CONTENT_TYPE, RETRY_AFTER_S, TITLES, TYPE_PREFIX, Problem, invalid
from api.resolver import resolver
from api.routes.status import DOCUMENT
from api.scopes import SCOPES
from tunehook.api_keys import Scope
from tunehook.operations.documents import (
    AssetDocument,
    CreatedSubscriptionDocument,
    DeliveryDocument,
    SubmittedTaskDocument,
    SubscriptionDocument,
    TaskDocument,
)
from tunehook.operations.endpoint_checks import EndpointCheck
from tunehook.operations.status import StackStatus
from tunehook.signatures import SignatureScheme
from tunehook.subscriptions import WebhookType
from tunehook.webhook_body import Data

ROOT: Final = Path(__file__).parents[2]
PUBLISHED: Final = ROOT / "docs" / "api" / "openapi.json"
"""Where readers find the document; the function has a copy of its own."""

VERSION: Final = "1.0.0"
"""Of the API, not of tunehook: its first number is the one in its paths."""

_SCHEMAS: Final = "#/components/schemas/"
_RESPONSES: Final = "#/components/responses/"
_JSON: Final = "application/json"
_TASK_ID: Final = "6b1f0c9a-9e0f-4b53-8d25-6c9b4f7f5d11"
_AT_MS: Final = 1_795_939_317_000
_DESCRIPTION: Final = """\
Watch tasks of AI music providers, have their results, and manage who gets webhooks.

Every path but `/health` and this document needs a key (`tunehook keys create`): `Authorization: Bearer thk_...`.
A key of the scope `read` may use the GETs; `write` tasks, submissions, redeliver and recover too; `admin` all.

Errors are `application/problem+json`; `field` names what is at fault. Unknown parameters and attributes are refused,
and bodies above 256 kB. An id with a slash goes as the parameter `task_id`, as the path is decoded on its way."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer of an operation: what it means, the schema of its document (None if it has none), an example."""

    description: str
    schema: Mapping[str, Any] | None = None
    example: object = None
    headers: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as OpenAPI has it."""
        told: dict[str, Any] = {"description": self.description}
        if self.headers:
            told["headers"] = {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in self.headers.items()
            }
        if self.schema is not None:
            told["content"] = {_JSON: {"schema": self.schema} | _example(self.example)}
        return told


def _example(value: object) -> dict[str, Any]:
    return {} if value is None else {"example": value}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _SCHEMAS + name}


def _object(**properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _page(name: str, schema: str) -> dict[str, Any]:
    listed: dict[str, Any] = {name: {"type": "array", "items": _ref(schema)}}
    return _object(**listed, next_cursor={"type": ["string", "null"]})


def _checked(schema: str) -> dict[str, Any]:
    """Return the schema of a document that has a check where one was asked for."""
    return {"allOf": [_ref(schema), {"type": "object", "properties": {"check": _ref("EndpointCheck")}}]}


_MOMENT: Final = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}
_TEXT: Final = {"type": "string"}
_DOCUMENTS: Final[tuple[type[BaseModel], ...]] = (
    TaskDocument,
    SubmittedTaskDocument,
    AssetDocument,
    SubscriptionDocument,
    CreatedSubscriptionDocument,
    DeliveryDocument,
    EndpointCheck,
)
_TASK: Final = {
    "task_id": _TASK_ID,
    "provider": "suno",
    "status": "completed",
    "submitted_at_ms": _AT_MS,
    "detected_at_ms": _AT_MS + 90_000,
    "metadata": {"order": 1017},
}
_ASSET: Final = {
    "clip_id": "c1",
    "title": "City Lights",
    "type": "audio",
    "status": "archived",
    "key": f"results/suno/{_TASK_ID}/c1/audio.mp3",
    "content_type": "audio/mpeg",
    "bytes": 3_000_000,
    "url": "https://results.s3.eu-west-1.amazonaws.com/results/suno/...",
    "url_expires_at_ms": _AT_MS + 3_600_000,
}
_DELIVERY: Final = {
    "delivery_id": "msg_0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "type": "task.completed",
    "task_id": _TASK_ID,
    "provider": "suno",
    "subscription_id": "sub_9f86d081884c7d65",
    "status": "delivered",
    "created_at_ms": _AT_MS + 91_000,
    "run": 1,
    "next_attempt": 2,
    "attempts": [{"run": 1, "attempt": 1, "at_ms": _AT_MS + 91_500, "duration_ms": 120, "status_code": 204}],
}
_SUBSCRIPTION: Final = {
    "subscription_id": "sub_9f86d081884c7d65",
    "state": "enabled",
    "url": "https://example.com/hooks/music",
}
_SECRET: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"  # noqa: S105 - the one of the specification's example


def _answers() -> dict[str, dict[int, Told]]:
    """Return the answers of each operation that are no problems."""
    task = TaskDocument.read(_TASK | {"clips": [], "assets": []}).to_json()
    listed = TaskDocument.read(_TASK).to_json()
    new = {name: _TASK[name] for name in ("task_id", "provider", "metadata")}
    submitted = SubmittedTaskDocument.read(new).to_json()
    asset = AssetDocument.read(_ASSET).to_json()
    delivery = DeliveryDocument.read(_DELIVERY).to_json()
    subscription = SubscriptionDocument.read(_SUBSCRIPTION).to_json()
    created = CreatedSubscriptionDocument.read(_SUBSCRIPTION | {"signing_secret": _SECRET}).to_json()
    a_task = Told("The task.", _ref("TaskDocument"), task)
    waited = Told(
        "The task.", _ref("TaskDocument"), task, {"Preference-Applied": "There if the answer has waited."}
    )
    files = Told(
        "The files, with new links.",
        _object(
            task_id=_TEXT,
            provider=_TEXT,
            status=_TEXT,
            assets={"type": "array", "items": _ref("AssetDocument")},
        ),
        {"task_id": _TASK_ID, "provider": "suno", "status": "completed", "assets": [asset]},
    )
    requested = Told("It was requested; this is the task before.", _ref("TaskDocument"), task)
    a_subscription = Told("The subscription.", _ref("SubscriptionDocument"), subscription)
    checked = Told("The subscription.", _checked("SubscriptionDocument"), subscription)
    a_delivery = Told("The delivery, under way.", _ref("DeliveryDocument"), delivery)
    return {
        "putTask": {
            201: Told(
                "The task is new, or a new run of it begins. `signing_secret` is what signs the webhooks to its "
                "`notify_hook`, and null for keys without the scope `admin`.",
                _ref("SubmittedTaskDocument"),
                submitted,
            ),
            200: Told("The task is there already, as this says.", _ref("TaskDocument"), task),
        },
        "submitTask": {
            201: Told(
                "The provider has taken the task, and it is watched. `with_callback` is whether the provider was told "
                "what to call back. `signing_secret` is null for keys without the scope `admin`.",
                {
                    "allOf": [
                        _ref("SubmittedTaskDocument"),
                        _object(
                            submission=_object(
                                action=_TEXT, submitted_at=_MOMENT, with_callback={"type": "boolean"}
                            )
                        ),
                    ]
                },
                submitted
                | {
                    "submission": {
                        "action": "music",
                        "submitted_at": "2026-11-29T08:00:00.000Z",
                        "with_callback": True,
                    },
                },
            ),
        },
        "listTasks": {
            200: Told("A page.", _page("tasks", "TaskDocument"), {"tasks": [listed], "next_cursor": None})
        },
        "getTask": {200: waited},
        "getTaskById": {200: waited},
        "cancelTask": {200: a_task},
        "cancelTaskById": {200: a_task},
        "getResults": {200: files},
        "getResultsById": {200: files},
        "archiveTask": {202: requested},
        "archiveTaskById": {202: requested},
        "listSubscriptions": {
            200: Told(
                "A page.",
                _page("subscriptions", "SubscriptionDocument"),
                {"subscriptions": [subscription], "next_cursor": None},
            )
        },
        "createSubscription": {
            201: Told("The subscription and its secret.", _checked("CreatedSubscriptionDocument"), created)
        },
        "getSubscription": {200: a_subscription},
        "changeSubscription": {200: checked},
        "deleteSubscription": {204: Told("It is gone.")},
        "enableSubscription": {200: checked},
        "disableSubscription": {200: a_subscription},
        "testSubscription": {202: a_delivery},
        "testFilter": {
            200: Told(
                "Whether the subscription is told of the task by a webhook of this type.",
                _object(
                    subscription_id=_TEXT,
                    task_id=_TEXT,
                    provider=_TEXT,
                    type=_TEXT,
                    matches={"type": "boolean"},
                    mismatches={
                        "type": "array",
                        "items": _object(
                            field=_TEXT, path=_TEXT, pattern={}, values={"type": "array", "items": {}}
                        ),
                    },
                ),
                {
                    "subscription_id": "sub_9f86d081884c7d65",
                    "task_id": _TASK_ID,
                    "provider": "suno",
                    "type": "task.completed",
                    "matches": False,
                    "mismatches": [
                        {
                            "field": "filter",
                            "path": "metadata.order",
                            "pattern": [{"numeric": [">", 2000]}],
                            "values": [1017],
                        }
                    ],
                },
            )
        },
        "rotateSecret": {
            200: Told(
                "The new secret; `stopped_version` is one that would have signed still, and no longer does.",
                _object(
                    subscription_id=_TEXT,
                    secret_version={"type": "integer"},
                    signing_secret=_TEXT,
                    public_key={"type": ["string", "null"]},
                    previous_secret_until=_MOMENT,
                    stopped_version={"type": ["integer", "null"]},
                ),
                {
                    "subscription_id": "sub_9f86d081884c7d65",
                    "secret_version": 2,
                    "signing_secret": _SECRET,
                    "public_key": None,
                    "previous_secret_until": "2026-11-30T08:00:00.000Z",
                    "stopped_version": None,
                },
            )
        },
        "getPublicKeys": {
            200: Told(
                "The keys whose versions sign now, newest first, and by what the webhooks are signed.",
                _object(
                    subscription_id=_TEXT,
                    signature={"type": "string", "enum": [each.value for each in SignatureScheme]},
                    public_keys={"type": "array", "items": _TEXT},
                ),
                {
                    "subscription_id": "sub_9f86d081884c7d65",
                    "signature": "v1a",
                    "public_keys": ["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="],
                },
            )
        },
        "recoverSubscription": {
            200: Told(
                "The ids of what is sent once more, and of what is made.",
                _object(
                    subscription_id=_TEXT,
                    recovered={"type": "array", "items": _TEXT},
                    made={"type": "array", "items": _TEXT},
                    filtered={"type": "boolean"},
                    dry_run={"type": "boolean"},
                    next_cursor={"type": ["string", "null"]},
                ),
                {
                    "subscription_id": "sub_9f86d081884c7d65",
                    "recovered": ["msg_0f1e2d3c4b5a69788796a5b4c3d2e1f0"],
                    "made": [],
                    "filtered": False,
                    "dry_run": False,
                    "next_cursor": None,
                },
            )
        },
        "listDeliveries": {
            200: Told(
                "A page.",
                _page("deliveries", "DeliveryDocument"),
                {"deliveries": [delivery], "next_cursor": None},
            )
        },
        "getDelivery": {200: Told("The delivery.", _ref("DeliveryDocument"), delivery)},
        "redeliver": {202: a_delivery},
        "getStatus": {200: Told("The state of the stack.", _ref("StackStatus"))},
        "getOpenApi": {200: Told("This document.", {"type": "object"})},
        "getHealth": {
            200: Told("It answers.", _object(status={"type": "string", "const": "ok"}), {"status": "ok"})
        },
    }


CONFLICTS: Final = {
    "putTask",
    "submitTask",
    "cancelTask",
    "cancelTaskById",
    "archiveTask",
    "archiveTaskById",
    "createSubscription",
    "changeSubscription",
    "testFilter",
    "testSubscription",
    "recoverSubscription",
    "redeliver",
}
"""The operations that the state of what they are about may not allow."""

_GATEWAY: Final = {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}
"""What API Gateway itself answers, as ``{"message": ...}``."""

_PROBLEMS: Final[Mapping[int, tuple[str, Problem | None]]] = {
    400: (
        "The body is no JSON.",
        Problem(400, "invalid_json", "the body is no JSON (at character 17)", field="body"),
    ),
    401: ("There is no key, or it is not valid.", Problem(401, "unauthorized", "this needs a key")),
    403: (
        "The key is not valid, or its scope is too small.",
        Problem(403, "forbidden", "this needs a key of the scope admin; this one has the scope read"),
    ),
    404: (
        "There is no such thing.",
        Problem(404, "not_found", f"task_id: there is no task {_TASK_ID} of suno", field="task_id"),
    ),
    409: (
        "The state of the thing does not allow this.",
        Problem(409, "conflict", "task_id: it has ended (its status is completed)", field="task_id"),
    ),
    413: (
        "The body is above 256 kB.",
        Problem(413, "too_large", "the body is 300000 bytes, more than 262144", field="body"),
    ),
    415: (
        "The body is said to be no JSON.",
        Problem(415, "unsupported_media_type", "the body must be JSON", field="body"),
    ),
    422: (
        "A parameter, header or attribute is not acceptable: `field` names it. Where an endpoint did not pass its "
        "check, `check` has what is wrong.",
        invalid("timeout_s", "must lie between 60 and 604800"),
    ),
    429: ("More requests than the stage's limits let through.", None),
    500: ("An error of tunehook: its log has the reason.", Problem(500, "internal_error", "tunehook failed")),
    502: (
        "The provider refused the task; `provider_status` and `provider_body` are its answer.",
        Problem(
            502,
            "provider_refused",
            "suno refused the task: HTTP 403 no credit",
            provider_status=403,
            provider_body={"error": {"code": "insufficient_user_quota", "message": "no credit"}},
        ),
    ),
    504: (
        "The provider gave no clear answer: it may have taken the task.",
        Problem(504, "outcome_unknown", "whether suno took the task is unknown: no answer within 20 s."),
    ),
    503: (
        f"AWS did not answer as it should: try again after `Retry-After`, {RETRY_AFTER_S} s.",
        Problem(503, "unavailable", "AWS did not answer as it should: try again"),
    ),
}


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    text = resolver().get_openapi_json_schema(
        title="tunehook",
        version=VERSION,
        openapi_version="3.1.0",
        description=_DESCRIPTION,
        security_schemes={
            "key": HTTPBearer(bearerFormat="thk_<key id>_<secret>", description="`tunehook keys create`")
        },
        security=[{"key": []}],
    )
    made: dict[str, Any] = json.loads(text)
    made["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    made["servers"] = [
        {
            "url": "{api_url}",
            "description": "The stack's output `ApiUrl`.",
            "variables": {"api_url": {"default": "https://abc123.execute-api.eu-west-1.amazonaws.com"}},
        }
    ]
    answers = _answers()
    for path, item in made["paths"].items():
        for method, operation in item.items():
            _finish_operation(method, path, operation, answers[operation["operationId"]])
    schemas = made["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(unused, None)
    made["paths"] = dict(sorted(made["paths"].items()))
    made["components"]["schemas"] = dict(sorted((schemas | _schemas()).items()))
    made["components"]["responses"] = {f"Problem{status}": _problem(status) for status in _PROBLEMS}
    made["webhooks"] = _webhooks()
    return made


def _finish_operation(method: str, path: str, operation: dict[str, Any], answers: Mapping[int, Told]) -> None:
    needed = SCOPES[method.upper(), path.replace("{", "<").replace("}", ">")]
    if needed is None:
        operation["security"] = []
    else:
        description = operation.get("description", "")
        operation["description"] = f"{description}\n\nScope: `{needed}`.".strip()
    statuses = _problem_statuses(method, path, operation, needed)
    operation["responses"] = {str(status): told.to_json() for status, told in sorted(answers.items())} | {
        str(status): {"$ref": f"{_RESPONSES}Problem{status}"} for status in statuses
    }
    for parameter in operation.get("parameters", ()):
        parameter["schema"] = _of_text(parameter["schema"])
        if parameter["in"] == "header":
            parameter["name"] = parameter["name"].title()


def _of_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter without null, which no text of a URL or a header is."""
    told = {name: each for name, each in schema.items() if name not in ("anyOf", "title", "description")}
    for each in schema.get("anyOf", ()):
        if each != {"type": "null"}:
            told = each | told
    return {name: each for name, each in told.items() if (name, each) != ("default", None)}


def _problem_statuses(
    method: str, path: str, operation: Mapping[str, Any], needed: Scope | None
) -> list[int]:
    found = {422, 429, 500, 503}
    if needed is not None:
        found |= {401, 403}
    if method in ("post", "patch"):
        found |= {400, 413, 415}
    if "{" in path or operation["operationId"] == "listDeliveries":
        found.add(404)
    if operation["operationId"] in CONFLICTS:
        found.add(409)
    if operation["operationId"] == "submitTask":
        found |= {502, 504}
    return sorted(found)


def _problem(status: int) -> dict[str, Any]:
    description, problem = _PROBLEMS[status]
    content: dict[str, Any] = {}
    if problem is not None:
        content[CONTENT_TYPE] = {"schema": _ref("Problem"), "example": problem.body()}
    if (message := _GATEWAY.get(status)) is not None:
        schema = _object(message=_TEXT)
        content[_JSON] = {"schema": schema, "example": {"message": message}}
    elif status in (413, 500, 503):
        content[_JSON] = {"schema": _object(message=_TEXT)}
    return {"description": description, "content": content}


def _schemas() -> dict[str, Any]:
    _, documents = models_json_schema(
        [(model, "serialization") for model in _DOCUMENTS],
        by_alias=False,
        ref_template=_SCHEMAS + "{model}",
        schema_generator=_Generator,
    )
    named = create_model("StackStatus", stack=(str, ...), region=(str, ...), __base__=StackStatus)
    status = named.model_json_schema(
        mode="serialization", ref_template=_SCHEMAS + "{model}", schema_generator=_Generator
    )
    parts = status.pop("$defs")
    webhook = _webhook_schemas("Webhook") | _webhook_schemas("ProgressWebhook")
    problem = _object(
        type={"type": "string", "enum": [TYPE_PREFIX + code for code in TITLES]},
        title=_TEXT,
        status={"type": "integer"},
        detail=_TEXT,
    )
    problem["properties"] |= {
        "field": {"type": "string", "description": "The parameter, header or attribute at fault."}
    }
    problem["description"] = "RFC 9457; some types have more members."
    return {
        **documents["$defs"],
        **{name: _with_moments(each) for name, each in parts.items()},
        "StackStatus": _with_moments(status),
        "Problem": problem,
        **webhook,
    }


class _Generator(GenerateJsonSchema):
    """pydantic's, in which every attribute of a document is there: a default is filled in."""

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: ARG002 - pydantic's own
        return True


def _with_moments(schema: Any) -> Any:
    """Return a schema whose numbers of milliseconds are moments, as `documents.with_moments` makes them."""
    match schema:
        case dict():
            told = {name: _with_moments(each) for name, each in schema.items()}
            if isinstance(properties := told.get("properties"), dict):
                told["properties"] = {
                    name.removesuffix("_ms"): _MOMENT if name.endswith("_ms") else each
                    for name, each in properties.items()
                }
                told["required"] = [name.removesuffix("_ms") for name in told.get("required", ())]
            return told
        case list():
            return [_with_moments(each) for each in schema]
    return schema


def _webhook_schemas(name: str) -> dict[str, Any]:
    text = (ROOT / "events" / "schemas" / f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text.replace("#/$defs/", _SCHEMAS))
    schema.pop("$schema")
    return {**schema.pop("$defs"), name: schema}


def _webhooks() -> dict[str, Any]:
    text = {name: {"type": "string"} for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    meanings = {
        "webhook-id": "The delivery's id: the same for every attempt of it.",
        "webhook-timestamp": "Seconds since 1970 of this attempt.",
        "webhook-signature": "`v1,` and the HMAC-SHA256 of id, timestamp and body, or `v1a,` and their Ed25519 "
        "signature; several are separated by a space (Standard Webhooks 1.0.0).",
    }
    parameters = [
        {"name": name, "in": "header", "required": True, "description": meanings[name], "schema": schema}
        for name, schema in text.items()
    ]
    told: dict[str, Any] = {}
    for kind in WebhookType:
        is_progress = kind is WebhookType.TASK_PROGRESS
        told[kind.value] = {
            "post": {
                "operationId": "on" + "".join(part.capitalize() for part in re.split(r"[._]", kind.value)),
                "summary": _WEBHOOKS[kind],
                "tags": ["webhooks"],
                "security": [],
                "parameters": parameters,
                "requestBody": {
                    "required": True,
                    "content": {
                        _JSON: {
                            "schema": _ref("ProgressWebhook" if is_progress else "Webhook"),
                            "example": _webhook(kind.value),
                        }
                    },
                },
                "responses": {
                    "2XX": {"description": "Delivered."},
                    "410": {"description": "No more, please: the subscription is disabled."},
                    "default": {
                        "description": "Failed: it is not tried again."
                        if is_progress
                        else "Failed: it is tried again: by default ten times within 76 hours."
                    },
                },
            }
        }
    return told


_WEBHOOKS: Final = {
    WebhookType.TASK_COMPLETED: "A task has ended with results",
    WebhookType.TASK_FAILED: "A task has ended without being completed",
    WebhookType.TASK_ARCHIVED: "All files of an ended task are settled",
    WebhookType.TASK_PROGRESS: "A task has got on: its phase has changed, or its first clip can be streamed or played",
    WebhookType.SUBSCRIPTION_FAILING: "Every attempt to reach another subscription has failed for a while",
    WebhookType.SUBSCRIPTION_DISABLED: "Nothing is delivered to another subscription any more",
    WebhookType.PROVIDER_UNAUTHORISED: "A provider refuses the key",
    WebhookType.DEAD_LETTERS_FOUND: "A dead-letter queue is not empty",
    WebhookType.WEBHOOK_TEST: "A test, sent by hand",
}

_OPERATIONAL: Final[dict[str, Data]] = {
    WebhookType.SUBSCRIPTION_FAILING: {
        "subscription_id": "orders",
        "failing_since": "2026-11-26T20:01:57.000Z",
        "percent": 50,
        "disabled_at": "2026-12-01T20:01:57.000Z",
    },
    WebhookType.SUBSCRIPTION_DISABLED: {
        "subscription_id": "orders",
        "disabled_at": "2026-11-29T08:01:57.000Z",
        "failing_since": "2026-11-24T08:01:57.000Z",
        "reason": "every attempt has failed for 5 days",
    },
    WebhookType.PROVIDER_UNAUTHORISED: {
        "provider": "suno",
        "reason": "key",
        "message": "HTTP 401: Invalid token",
        "was_accepted": True,
        "since": "2026-11-29T08:01:57.000Z",
        "tasks_waiting": 3,
    },
    WebhookType.DEAD_LETTERS_FOUND: {
        "queue": "deliveries",
        "messages": 1,
        "since": "2026-11-29T08:01:57.000Z",
        "found_at": "2026-11-29T08:01:57.000Z",
    },
}
"""What the webhooks about operational events tell in the examples."""


def _webhook(kind: str) -> Data:
    """Return an example of a webhook's body in the format `standard`."""
    at = "2026-11-29T08:01:57.000Z"
    if kind == WebhookType.TASK_PROGRESS:
        return {"type": kind, "timestamp": at, "data": _progress(at)}
    if (told := _OPERATIONAL.get(kind)) is not None:
        return {"type": kind, "timestamp": at, "data": told}
    failed = kind == WebhookType.TASK_FAILED
    asset = {
        "type": "audio",
        "status": "archived",
        "key": _ASSET["key"],
        "content_type": "audio/mpeg",
        "bytes": 3_000_000,
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "url": _ASSET["url"],
        "url_expires_at": "2026-11-29T09:01:57.000Z",
    }
    clip = {
        "clip_id": "c1",
        "title": "City Lights",
        "tags": ["pop", "piano"],
        "duration_s": 187.4,
        "model": "v4.5",
        "created_at": at,
        "assets": [asset],
    }
    reason = {"code": "provider_failed", "reason": "the lyrics were refused by the content filter"}
    return {
        "type": kind,
        "timestamp": at,
        "data": {
            "task_id": _TASK_ID,
            "provider": "suno",
            "status": "failed" if failed else "completed",
            "submitted_at": "2026-11-29T08:00:20.000Z",
            "finished_at": at,
            "detected_at": at,
            "metadata": {"order": 1017},
            "clips": [] if failed else [clip],
            "failure": reason if failed else None,
            "archive": "empty" if failed else "complete",
            "manifest": {"bucket": "results", "key": f"results/suno/{_TASK_ID}/manifest.json"},
            "truncated": False,
        },
    }


def _progress(at: str) -> Data:
    clip = {
        "clip_id": "c1",
        "title": "City Lights",
        "tags": ["pop", "piano"],
        "duration_s": None,
        "model": "v4.5",
        "created_at": at,
        "stream_url": "https://cdn.example.com/c1/stream",
        "source_url": None,
    }
    return {
        "task_id": _TASK_ID,
        "provider": "suno",
        "status": "pending",
        "phase": "processing",
        "progress": 60,
        "submitted_at": "2026-11-29T08:00:20.000Z",
        "metadata": {"order": 1017},
        "clips": [clip],
        "truncated": False,
    }


def text_of(made: Mapping[str, Any]) -> str:
    """Return the document as it is kept."""
    return json.dumps(_whole_numbers(made), indent=2, ensure_ascii=False) + "\n"


def _whole_numbers(value: Any) -> Any:
    """Return JSON values in which a bound of 100 is not 100.0, as Powertools' models make it."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {name: _whole_numbers(each) for name, each in value.items()}
        case list():
            return [_whole_numbers(each) for each in value]
    return value


def main() -> None:
    """Write the document for readers, and the function's copy."""
    text = text_of(document())
    PUBLISHED.parent.mkdir(parents=True, exist_ok=True)
    for path in (PUBLISHED, DOCUMENT):
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
