"""The route of submissions: a task goes to its provider with the stack's key, and is watched at once."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools import Logger

from api.models import IdempotencyKey, NewSubmission
from api.problems import Problem
from api.request import Call, call_of, new_router, reply
from tunehook.api_keys import Scope
from tunehook.errors import InvalidInput, NotFound
from tunehook.operations.documents import provider_submission_document
from tunehook.operations.submissions import (
    KeyReused,
    NotRecorded,
    OutcomeUnknown,
    ProviderRefused,
    ProviderSubmission,
    SubmissionUnclear,
    submit_through,
)
from tunehook.providers.submit import SUBMIT_DEADLINE_S

logger = Logger(child=True)
router = new_router()

HEADER: Final = "Idempotency-Key"
_RECORD_TIME_S: Final = 6.0
"""What is left of the function's time for the record of the provider's answer."""


@router.post(
    "/v1/submissions",
    operation_id="submitTask",
    summary="Submit a task to its provider",
    description="Sends the provider's own body to the provider with the stack's key, and watches the task that comes "
    "of it. The URL to call back is put in where the provider's kind has a field for it and the body does not.\n\n"
    "With an `Idempotency-Key` the provider is asked once: who sends the same again within 24 h gets the first answer, "
    "a refusal (502) too. Where there was no clear answer (504), or it was lost, that is 409 `outcome_unknown` for "
    "good: the provider may have taken the task. After a 503 `unavailable` the same key can be used again.",
    tags=["tasks"],
)
def submit(body: NewSubmission, idempotency_key: IdempotencyKey = None) -> Any:
    """Submit a task."""
    call = call_of(router)
    done = _submitted(call, body, idempotency_key)
    document = provider_submission_document(done)
    if call.scope is not Scope.ADMIN:
        document["signing_secret"] = None
    return reply(HTTPStatus.CREATED, document)


def _submitted(call: Call, body: NewSubmission, key: str | None) -> ProviderSubmission:
    """Submit a task; raise the `Problem` that came of it."""
    given = body.model_dump(exclude={"provider", "action", "body"}, exclude_none=True)
    try:
        return submit_through(
            call.stack,
            body.provider,
            body.action,
            body.body,
            idempotency_key=key,
            key_id=call.key_id,
            kept=call.stack.kept_secrets,
            deadline_s=max(1.0, min(SUBMIT_DEADLINE_S, call.remaining_s() - _RECORD_TIME_S)),
            **given,
        )
    except ProviderRefused as error:
        members = {"provider_status": error.provider_status, "provider_body": error.provider_body}
        raise Problem(HTTPStatus.BAD_GATEWAY, "provider_refused", str(error), **members) from error
    except SubmissionUnclear as error:
        raise Problem(HTTPStatus.GATEWAY_TIMEOUT, "outcome_unknown", str(error)) from error
    except OutcomeUnknown as error:
        detail = f"{HEADER}: {error.reason}"
        raise Problem(HTTPStatus.CONFLICT, "outcome_unknown", detail, field=HEADER) from error
    except KeyReused as error:
        detail = f"{HEADER}: {error.reason}"
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        raise Problem(status, "idempotency_key_reused", detail, field=HEADER) from error
    except NotRecorded as error:
        # Whoever loses this answer finds the id in the log.
        logger.error("submission_not_recorded", provider=error.provider, task_id=error.task_id)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        raise Problem(status, "not_recorded", str(error), task_id=error.task_id) from error
    except NotFound as error:
        raise InvalidInput(error.field, error.reason) from None
