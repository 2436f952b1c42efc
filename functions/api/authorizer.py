"""The gateway's question whose key a request has: an authorizer of an HTTP API, payload 2.0, simple answers.

The gateway keeps an answer for 30 seconds (`AuthorizerResultTtlInSeconds` of the template). Nothing is kept here, so
that a key which is revoked opens nothing a minute later.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from aws_lambda_powertools import Logger

from tunehook.api_keys import KeyState, is_secret_of, parse_key
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.times import now_ms

if TYPE_CHECKING:
    from tunehook.aws.api_keys import ApiKeysTable

logger = Logger(child=True)

_BEARER: Final = re.compile(r"bearer +(\S+) *", re.IGNORECASE)
_REFUSED: Final[Mapping[str, Any]] = {"isAuthorized": False}


def is_question(event: Mapping[str, Any]) -> bool:
    """Return whether an event asks whose key a request has, instead of being the request."""
    return event.get("type") == "REQUEST" and "routeArn" in event


def authorize(
    event: Mapping[str, Any], keys: ApiKeysTable, clock: Callable[[], int] = now_ms
) -> dict[str, Any]:
    """Return the answer to the gateway: whether the request has a key that is good now, and which.

    The request finds ``key_id``, ``name`` and ``scope`` in ``requestContext.authorizer.lambda``. Errors of botocore are
    raised: nobody comes in then.
    """
    key_id, secret = parse_key(_bearer(event)) or ("", "")
    if not key_id:
        logger.info("key_refused", reason="malformed")
        return dict(_REFUSED)
    present_ms = clock()
    key = keys.get(key_id)
    # Also with nothing: how long it takes tells nobody which ids there are.
    is_right = is_secret_of(key, secret)
    if key is None or not is_right:
        logger.info("key_refused", reason="unknown")
        return dict(_REFUSED)
    if (state := key.state(present_ms)) is not KeyState.ACTIVE:
        logger.info("key_refused", reason=state.value, key_id=key_id)
        return dict(_REFUSED)
    try:
        keys.note_use(key, present_ms)
    except AWS_FAULTS as error:
        # The note is for people who look for keys that nobody uses: no reason to keep anybody out.
        logger.warning("use_of_key_not_noted", key_id=key_id, error=code_of(error))
    return {
        "isAuthorized": True,
        "context": {"key_id": key.key_id, "name": key.name, "scope": key.scope.value},
    }


def _bearer(event: Mapping[str, Any]) -> str:
    given = (event.get("headers") or {}).get("authorization", "")
    match = _BEARER.fullmatch(given) if isinstance(given, str) else None
    return match[1] if match else ""
