"""The HTTP API's answer to one event."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from tunehook.operations.stack import Stack


def answer(
    event: Mapping[str, Any],
    context: LambdaContext,  # noqa: ARG001
    stack: Callable[[], Stack],  # noqa: ARG001
) -> dict[str, Any]:
    """Answer an event of an HTTP API (payload 2.0): ``/health``, and for every other path that there is none."""
    if event["rawPath"] == "/health":
        return _reply(200, "application/json", {"status": "ok"})
    problem = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "there is no such path"}
    return _reply(404, "application/problem+json", problem)


def _reply(status: int, content_type: str, document: Mapping[str, Any]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"content-type": content_type}, "body": json.dumps(document)}
