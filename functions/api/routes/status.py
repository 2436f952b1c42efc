"""The routes about the whole: the state of the stack, the API's own document, whether it answers at all."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from aws_lambda_powertools.event_handler import Response

from api.models import Since, moment_ms
from api.request import call_of, new_router, reply
from tunehook.operations.documents import with_moments
from tunehook.operations.status import read_status
from tunehook.times import now_ms

router = new_router()

DOCUMENT: Final = Path(__file__).parents[1] / "openapi.json"
_DAY_MS: Final = 24 * 3600 * 1000


@router.get(
    "/v1/status",
    operation_id="getStatus",
    summary="The state of the stack",
    description="Tasks that ended and deliveries that were made are counted since `since`, a day by default. A part "
    'that could not be read is `{"error": ...}`.',
    tags=["status"],
)
def get_status(since: Since = None) -> Any:
    """Read the state of the stack."""
    since_ms = now_ms() - _DAY_MS if since is None else moment_ms(since, "since")
    stack = call_of(router).stack
    parts = read_status(stack, since_ms).model_dump()
    return reply(HTTPStatus.OK, with_moments({"stack": stack.name, "region": stack.region, **parts}))


@router.get(
    "/v1/openapi.json",
    operation_id="getOpenApi",
    summary="This document",
    tags=["status"],
    security=[{}],
)
def get_openapi() -> Any:
    """Read the API's own document."""
    return Response(200, "application/json", _document(), {"Cache-Control": "public, max-age=300"})


@cache
def _document() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


@router.get(
    "/health",
    operation_id="getHealth",
    summary="Whether the API answers",
    tags=["status"],
    security=[{}],
)
def get_health() -> Any:
    """Answer."""
    return reply(HTTPStatus.OK, {"status": "ok"})
