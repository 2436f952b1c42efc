"""Handler of the api function: requests of the HTTP API, and the gateway's question whose key a request has."""

from __future__ import annotations

from functools import cache
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from api.authorizer import authorize, is_question
from api.settings import ApiSettings
from api.stack import ApiStack, stack_of
from tunehook.settings import load_settings

logger = Logger()


@cache
def stack() -> ApiStack:
    """Return the stack of this execution environment."""
    return stack_of(load_settings(ApiSettings))


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Say whether a request may come in, or answer it."""
    if is_question(event):
        return authorize(event, stack().api_keys)
    # What the others do takes a while to load, Powertools' resolver half a second: the authorizer does without.
    if event.get("routeKey") == "POST /v1/callbacks/{provider}/{token}":
        from api.callbacks import receiver

        return receiver(stack).answer(event)
    from api.resolver import answer

    return answer(event, context, stack)
