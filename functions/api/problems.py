"""Errors of the HTTP API as ``application/problem+json`` (RFC 9457), and which error of the code is which problem."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aws_lambda_powertools import Logger
from botocore.exceptions import ParamValidationError

from tunehook.aws.error_messages import is_denied
from tunehook.aws.errors import AWS_FAULTS, code_of
from tunehook.errors import Conflict, InvalidInput, NotFound, Unavailable

logger = Logger(child=True)

CONTENT_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:tunehook:problem:"
RETRY_AFTER_S: Final = 5
"""When a request that AWS did not let through may come again."""

TITLES: Final[Mapping[str, str]] = {
    "invalid_json": "The body is not acceptable JSON",
    "unauthorized": "No valid key",
    "forbidden": "The key may not do this",
    "not_found": "There is no such thing",
    "method_not_allowed": "The path does not take this method",
    "conflict": "The state of the thing does not allow this",
    "endpoint_check_failed": "The receiver's endpoint did not pass the check",
    "in_progress": "The same request is being answered",
    "outcome_unknown": "Whether the provider took the request is unknown",
    "too_large": "The body is too large",
    "unsupported_media_type": "The body must be JSON",
    "invalid_input": "A value is not acceptable",
    "idempotency_key_reused": "The Idempotency-Key was used for another request",
    "internal_error": "An error of tunehook",
    "not_recorded": "The provider took the task, and its id could not be recorded",
    "provider_refused": "The provider refused the request",
    "unavailable": "A part is unavailable",
}
"""The title of each problem, by the end of its type."""

NO_HEADERS: Final[Mapping[str, str]] = {}


class Problem(Exception):
    """A request that cannot be answered as wanted.

    `code` ends the problem's type and is a key of `TITLES`; `detail` says in a sentence what is wrong; `field` is the
    parameter, header or attribute of the body at fault. `members` are more members of the body.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        **members: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.headers = dict(headers)
        self.members = members

    def body(self) -> dict[str, Any]:
        """Return the problem's document.

        >>> Problem(404, "not_found", "there is no task x", field="task_id").body()["status"]
        404
        """
        told = {
            "type": f"{TYPE_PREFIX}{self.code}",
            "title": TITLES[self.code],
            "status": self.status,
            "detail": self.detail,
        }
        field = {} if self.field is None else {"field": self.field}
        return told | field | self.members


def invalid(field: str, reason: str) -> Problem:
    """Return the problem of a value that is not acceptable."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_input", f"{field}: {reason}", field=field)


def unavailable(detail: str) -> Problem:
    """Return the problem of a dependency that did not answer as it should."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", detail, headers=headers)


def problem_of(error: Exception) -> Problem:
    """Return the problem that an error is; whatever is no trouble of the caller or of AWS is a bug, and is logged.

    A bug's problem has no details: they are in the log only.
    """
    match error:
        case Problem():
            return error
        case NotFound():
            return Problem(HTTPStatus.NOT_FOUND, "not_found", _plain(error), field=error.field)
        case Conflict():
            return Problem(HTTPStatus.CONFLICT, "conflict", _plain(error), field=error.field)
        case InvalidInput():
            return invalid(error.field, _without_advice(error.reason))
        case Unavailable():
            logger.warning("request_not_answered", error=str(error))
            return unavailable(_without_advice(str(error)))
        case ParamValidationError():
            pass
        case _ if isinstance(error, AWS_FAULTS):
            write = logger.error if is_denied(error) else logger.warning
            write("request_not_answered", error=code_of(error))
            return unavailable("AWS did not answer as it should: try again")
    # The message and the frames may hold what the caller sent.
    logger.error("request_failed", error=type(error).__name__, places=_places(error))
    detail = "tunehook failed to answer this request; its log has the reason"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


_ADVICE = re.compile(r"[:;,]? ?[^:;,]*`tunehook .*", re.DOTALL)


def _plain(error: InvalidInput) -> str:
    return f"{error.field}: {_without_advice(error.reason)}"


def _without_advice(reason: str) -> str:
    """Return a reason without what it advises users of the command to do: who asks here may have none."""
    return _ADVICE.sub("", reason) or reason


def _places(error: Exception) -> list[str]:
    """Return the file and line of each call that led to an error, innermost last, without values."""
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places[-12:]
