"""The routes of tasks: put, list, read, await, cancel; their files, and archiving what is missing."""

from __future__ import annotations

import re
from http import HTTPStatus
from secrets import token_hex
from typing import Annotated, Any, Final, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from api.idempotency import answered_once
from api.models import (
    PAGE_DEFAULT,
    WAIT_MAX_S,
    Cursor,
    IdempotencyKey,
    Limit,
    NewTask,
    Prefer,
    Provider,
    QueryTaskId,
    Since,
    TaskId,
    moment_ms,
)
from api.request import Call, call_of, new_router, reply
from tunehook.api_keys import Scope
from tunehook.aws.api_requests import Answer
from tunehook.aws.error_messages import is_denied
from tunehook.errors import InvalidInput, NotFound
from tunehook.operations import tasks
from tunehook.operations.documents import (
    asset_document,
    listed_task_document,
    submitted_document,
    task_document,
)
from tunehook.operations.results import get_files, get_link, request_archive
from tunehook.operations.subscriptions import signing_secret
from tunehook.operations.task_view import TaskView
from tunehook.tasks import PROVIDER_MAX_LENGTH, TASK_ID_MAX_LENGTH, Status
from tunehook.times import now_ms

router = new_router()

PROVIDER_KNOWN_MS: Final = 60_000
"""For how long a provider that was configured is taken to be still."""

_SECRET: Final = "signing_secret"  # noqa: S105 - the name of an attribute
_ANSWER_TIME_S: Final = 4.0
"""What is left of the function's time for the answer itself."""

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?=[,;]|$)', re.ASCII | re.IGNORECASE)
_known_until_ms: dict[str, int] = {}


@router.post(
    "/v1/tasks",
    operation_id="putTask",
    summary="Watch a task",
    description="Puts a task into the table, so that it is polled. One that is there already is answered as it is; "
    "`rerun=true` begins a new run of it.",
    tags=["tasks"],
)
def put_task(
    body: NewTask,
    rerun: Annotated[
        Literal["true", "false"], Query(description="Begin a new run of a task that is there already.")
    ] = "false",
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Put a task."""
    call, again = call_of(router), rerun == "true"
    item = {name: value for name, value in body.given().items() if value is not None}
    tasks.check_new(call.stack, item)
    _check_provider(call, body.provider)
    secret = _secret_of(call, item)

    def put(*, is_repeated: bool) -> Answer:
        addition = tasks.add(call.stack, item, rerun=again, unless_pending=is_repeated)
        if not addition.is_new:
            return Answer(HTTPStatus.OK, _whole(call, addition.task))
        told = submitted_document(addition.submission(secret)).to_json()
        return Answer(HTTPStatus.CREATED, told, (_SECRET,))

    asked = body.model_dump(exclude_unset=True) | {"rerun": again}
    answer = answered_once(call, "POST /v1/tasks", idempotency_key, asked, put, can_repeat=not again)
    document = answer.document
    if document is None:  # too long to be kept
        document = _whole(call, tasks.get_task(call.stack, body.task_id, body.provider))
    if _SECRET in answer.omitted:
        document = document | {_SECRET: secret}
    return reply(answer.status, document)


def _check_provider(call: Call, name: str) -> None:
    """Raise `InvalidInput` if no provider of this name is configured: nothing would poll the task."""
    now = now_ms()
    if _known_until_ms.get(name, 0) > now:
        return
    try:
        tasks.check_provider(call.stack, name)
    except NotFound as error:
        raise InvalidInput(error.field, error.reason) from None
    except Exception as error:
        if not is_denied(error):
            raise
    _known_until_ms[name] = now + PROVIDER_KNOWN_MS


def _secret_of(call: Call, item: dict[str, Any]) -> str | None:
    """Return what signs the webhooks to the hook of a task, for keys that may see secrets."""
    hook = item.get("notify_hook")
    if not hook or call.scope is not Scope.ADMIN:
        return None
    return signing_secret(call.stack, hook).signing_secret


@router.get(
    "/v1/tasks",
    operation_id="listTasks",
    summary="List tasks",
    description="The newest first, without their results. A page may be short or empty while `next_cursor` goes on. "
    "A task is listed about a second after it was put.",
    tags=["tasks"],
)
def list_tasks(
    status: Annotated[
        Literal["pending", "completed", "failed", "rejected", "cancelled"] | None,
        Query(description="Only those of this status."),
    ] = None,
    provider: Annotated[str | None, Query(description="Only those of this provider.")] = None,
    since: Since = None,
    limit: Limit = PAGE_DEFAULT,
    cursor: Cursor = None,
) -> Any:
    """List tasks."""
    page = tasks.page_tasks(
        call_of(router).stack,
        status=status,
        provider=provider,
        since_ms=0 if since is None else moment_ms(since, "since"),
        limit=limit,
        cursor=cursor,
    )
    found = [listed_task_document(each).to_json() for each in page.tasks]
    return reply(HTTPStatus.OK, {"tasks": found, "next_cursor": page.next_cursor})


@router.get(
    "/v1/tasks/<provider>/results",
    operation_id="getResultsById",
    summary="List the files of a task whose id goes as a parameter",
    tags=["tasks"],
)
def get_results_by_id(provider: Provider, task_id: QueryTaskId) -> Any:
    """List the files of a task."""
    return _results(provider, task_id)


@router.get(
    "/v1/tasks/<provider>/<task_id>/results",
    operation_id="getResults",
    summary="List the files of a task, with new links",
    description="The links expire at `url_expires_at` at the latest. 404 until the first file is settled.",
    tags=["tasks"],
)
def get_results(provider: Provider, task_id: TaskId) -> Any:
    """List the files of a task."""
    return _results(provider, task_id)


@router.post(
    "/v1/tasks/<provider>/archive",
    operation_id="archiveTaskById",
    summary="Retry the missing files of a task whose id goes as a parameter",
    tags=["tasks"],
)
def archive_task_by_id(provider: Provider, task_id: QueryTaskId) -> Any:
    """Retry the missing files of a task."""
    return _archive(provider, task_id)


@router.post(
    "/v1/tasks/<provider>/<task_id>/archive",
    operation_id="archiveTask",
    summary="Retry the missing files of a task",
    description="Of a task that has ended. No webhook is sent again. `archived_at` changes when it is done.",
    tags=["tasks"],
)
def archive_task(provider: Provider, task_id: TaskId) -> Any:
    """Retry the missing files of a task."""
    return _archive(provider, task_id)


@router.get(
    "/v1/tasks/<provider>",
    operation_id="getTaskById",
    summary="Get a task whose id goes as a parameter",
    tags=["tasks"],
)
def get_task_by_id(provider: Provider, task_id: QueryTaskId, prefer: Prefer = None) -> Any:
    """Read a task."""
    return _task(provider, task_id, prefer)


@router.get(
    "/v1/tasks/<provider>/<task_id>",
    operation_id="getTask",
    summary="Get a task, or wait for its end",
    tags=["tasks"],
)
def get_task(provider: Provider, task_id: TaskId, prefer: Prefer = None) -> Any:
    """Read a task."""
    return _task(provider, task_id, prefer)


@router.delete(
    "/v1/tasks/<provider>",
    operation_id="cancelTaskById",
    summary="Cancel a task whose id goes as a parameter",
    tags=["tasks"],
)
def cancel_task_by_id(provider: Provider, task_id: QueryTaskId) -> Any:
    """Cancel a task."""
    return _cancel(provider, task_id)


@router.delete(
    "/v1/tasks/<provider>/<task_id>",
    operation_id="cancelTask",
    summary="Cancel a pending task",
    description="It is no longer polled, and nobody is told. One that was cancelled before stays as it is.",
    tags=["tasks"],
)
def cancel_task(provider: Provider, task_id: TaskId) -> Any:
    """Cancel a task."""
    return _cancel(provider, task_id)


def _task(provider: str, task_id: str, prefer: str | None) -> Any:
    call = call_of(router)
    _check_key(provider, task_id)
    task = tasks.get_task(call.stack, task_id, provider)
    wanted = _WAIT.search(prefer or "")
    headers: dict[str, str] = {}
    if wanted is not None:
        wait_s = min(int(wanted[1]), WAIT_MAX_S, int(call.remaining_s() - _ANSWER_TIME_S))
        waited = _wait(call, task, wait_s)
        if waited is not None:
            task, headers = waited, {"Preference-Applied": f"wait={max(wait_s, 0)}"}
    return reply(HTTPStatus.OK, _whole(call, task), headers)


def _wait(call: Call, task: TaskView, wait_s: int) -> TaskView | None:
    """Return a task as it is once nothing more comes of it, or after so many seconds; None if too many wait already."""
    if tasks.has_settled(task):
        return task
    if wait_s <= 0:
        return None
    now, limit = now_ms(), int(call.stack.parameters.get("ApiMaxWaiting", 2))
    until_ms = now + round((wait_s + _ANSWER_TIME_S) * 1000)
    place = call.stack.api_requests.claim_wait(limit, token_hex(8), until_ms, now)
    if place is None:
        return None
    try:
        return tasks.await_end(call.stack, task.provider, task.task_id, wait_s)
    finally:
        call.stack.api_requests.release_wait(place)


def _cancel(provider: str, task_id: str) -> Any:
    call = call_of(router)
    _check_key(provider, task_id)
    return reply(HTTPStatus.OK, _whole(call, tasks.cancel(call.stack, task_id, provider).task))


def _results(provider: str, task_id: str) -> Any:
    call = call_of(router)
    _check_key(provider, task_id)
    task = tasks.get_task(call.stack, task_id, provider)
    files = get_files(call.stack, task)
    titles = {clip.clip_id: clip.title for clip in task.clips}
    documents = [
        asset_document(
            each,
            title=titles.get(each.clip_id),
            link=None if each.key is None else get_link(call.stack, each.key),
        ).to_json()
        for each in files
    ]
    told = {"task_id": task_id, "provider": provider, "status": task.status, "assets": documents}
    return reply(HTTPStatus.OK, told)


def _archive(provider: str, task_id: str) -> Any:
    call = call_of(router)
    _check_key(provider, task_id)
    task = request_archive(call.stack, task_id, provider)
    return reply(HTTPStatus.ACCEPTED, _whole(call, task))


def _check_key(provider: str, task_id: str) -> None:
    """Raise `NotFound` for what can be no task's key, and DynamoDB would not take."""
    if len(provider) > PROVIDER_MAX_LENGTH or len(task_id) > TASK_ID_MAX_LENGTH:
        raise NotFound("task_id", "there is no task of so long a name")


def _whole(call: Call, task: TaskView) -> dict[str, Any]:
    deliveries = [] if task.status in ("new", Status.PENDING) else tasks.deliveries_of(call.stack, task)
    return task_document(task, deliveries).to_json()
