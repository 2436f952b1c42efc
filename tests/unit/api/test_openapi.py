"""The OpenAPI document is the code's, whole and sound."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openapi_spec_validator import validate
from tests.unit.api.calling import check, documented

from api.openapi import PUBLISHED, text_of
from api.resolver import resolver
from api.routes.status import DOCUMENT
from api.scopes import SCOPES

OPEN = ("/health", "/v1/openapi.json")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in documented()["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def test_it_is_published_as_the_code_makes_it() -> None:
    # `make schemas` writes it.
    made = text_of(documented())
    assert PUBLISHED.read_text(encoding="utf-8") == made
    assert DOCUMENT.read_text(encoding="utf-8") == made


def test_it_is_openapi_3_1() -> None:
    made: Any = json.loads(text_of(documented()))
    assert made["openapi"] == "3.1.0"
    validate(made)


def test_it_has_every_route() -> None:
    found = {(method.upper(), path.replace("{", "<").replace("}", ">")) for method, path, _ in operations()}
    assert found == set(resolver().routes())


def test_each_operation_has_its_own_name_a_summary_and_its_scope() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))
    for method, path, operation in operations():
        needed = SCOPES[method.upper(), path.replace("{", "<").replace("}", ">")]
        assert operation["summary"]
        assert needed is None or f"Scope: `{needed}`." in operation["description"]


def test_only_what_needs_no_key_says_so() -> None:
    assert documented()["security"] == [{"key": []}]
    assert {path for _, path, operation in operations() if operation.get("security") == []} == set(OPEN)


def test_every_example_is_as_its_schema_says() -> None:
    checked = 0
    responses = [
        told
        for _, _, operation in operations()
        for told in operation["responses"].values()
        if "$ref" not in told
    ]
    for told in [*responses, *documented()["components"]["responses"].values()]:
        for content in told.get("content", {}).values():
            if "example" in content:
                check(content["schema"], content["example"])
                checked += 1
    assert checked > 30


def test_every_body_has_an_example_that_is_acceptable() -> None:
    bodies = [
        operation["requestBody"]["content"]["application/json"]["schema"]
        for _, _, operation in operations()
        if "requestBody" in operation
    ]
    schemas = documented()["components"]["schemas"]
    for name in ("NewTask", "NewSubmission", "NewSubscription", "SubscriptionChange", "RecoveryRequest"):
        assert {"$ref": f"#/components/schemas/{name}"} in bodies
        for example in schemas[name]["examples"]:
            check(schemas[name], example)


def test_each_problem_that_is_documented_has_its_body() -> None:
    for name, told in documented()["components"]["responses"].items():
        if name != "Problem429":  # the gateway's own
            body = told["content"]["application/problem+json"]["example"]
            assert f"Problem{body['status']}" == name


def test_the_webhooks_are_those_that_go_out() -> None:
    webhooks = documented()["webhooks"]
    assert list(webhooks) == [
        "task.completed",
        "task.failed",
        "task.archived",
        "task.progress",
        "subscription.failing",
        "subscription.disabled",
        "provider.unauthorised",
        "dead_letters.found",
        "webhook.test",
    ]
    for kind, item in webhooks.items():
        content = item["post"]["requestBody"]["content"]["application/json"]
        check(content["schema"], content["example"])
        assert content["example"]["type"] == kind
        assert [each["name"] for each in item["post"]["parameters"]] == [
            "webhook-id",
            "webhook-timestamp",
            "webhook-signature",
        ]
