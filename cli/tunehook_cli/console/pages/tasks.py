"""The tasks: a live list with filters, and a page for each with its players, its files and its way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import InvalidInput, NotFound, TunehookError
from tunehook.operations import documents, results
from tunehook.operations import tasks as operations
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.tasks import Status
from tunehook_cli.console.timeline import timeline
from tunehook_cli.console.views import stack_of, views_of, went_well

PAGE: Final = 30
LIVE_EVERY_S: Final = 1.5
LOOKED_AT: Final = 1_000
"""How many of the newest tasks a filter looks through."""


def listing(request: Request) -> Response:
    """Show the newest tasks that meet the filters."""
    wanted = _wanted(request.query_params)
    page = _read(stack_of(request), wanted, None)
    return views_of(request).page(
        request,
        "tasks.html",
        heading="Tasks",
        wanted=wanted,
        is_later=False,
        statuses=[each.value for each in Status],
        **page,
    )


def more_rows(request: Request) -> Response:
    """Return the rows that follow those of a page."""
    wanted = _wanted(request.query_params)
    page = _read(stack_of(request), wanted, request.query_params.get("cursor"))
    return views_of(request).part("task_rows.html", wanted=wanted, is_later=True, **page)


async def live_rows(request: Request) -> Response:
    """Send the rows of the first page each time that they change, as server-sent events."""
    wanted, stack, views = _wanted(request.query_params), stack_of(request), views_of(request)

    async def changes() -> AsyncIterator[str]:
        shown = ""
        while not await request.is_disconnected():
            with contextlib.suppress(TunehookError, *AWS_FAULTS):
                page = await run_in_threadpool(_read, stack, wanted, None)
                rows = views.text("task_rows.html", wanted=wanted, is_later=False, **page)
                if rows != shown:
                    shown = rows
                    yield "".join(f"data: {line}\n" for line in rows.splitlines()) + "\n"
            await asyncio.sleep(LIVE_EVERY_S)

    return StreamingResponse(changes(), media_type="text/event-stream")


def _wanted(query: Mapping[str, str]) -> dict[str, str]:
    names = ("status", "provider", "id", "metadata")
    return {name: query.get(name, "").strip() for name in names}


def _read(stack: Stack, wanted: Mapping[str, str], cursor: str | None) -> dict[str, Any]:
    """Return the rows of a page, where it goes on, and a problem with the filters if there is one."""
    metadata, problem = {}, None
    if wanted["metadata"]:
        key, equals, value = wanted["metadata"].partition("=")
        if key and equals:
            metadata = {key: value}
        else:
            problem = "metadata: write KEY=VALUE"
    by_id = wanted["id"]
    exact = [TaskView.of(item) for item in stack.tasks.of_id(by_id)] if by_id and cursor is None else []
    page = operations.page_tasks(
        stack,
        status=wanted["status"] or None,
        provider=wanted["provider"] or None,
        metadata=metadata,
        id_prefix=by_id,
        with_results=True,
        limit=PAGE,
        cursor=cursor,
    )
    known = {(each.task_id, each.provider) for each in page.tasks}
    found = [*(each for each in exact if (each.task_id, each.provider) not in known), *page.tasks]
    return {
        "rows": [documents.task_document(each).to_json() for each in found],
        "next_cursor": page.next_cursor,
        "problem": problem,
    }


def _named(request: Request) -> tuple[str, str]:
    query = request.query_params
    return query.get("task_id", ""), query.get("provider", "")


def show(request: Request) -> Response:
    """Show a task: what can be heard and seen, its way, its webhooks, and everything as it is stored."""
    stack, (task_id, provider) = stack_of(request), _named(request)
    task = operations.get_task(stack, task_id, provider or None)
    deliveries = operations.deliveries_of(stack, task)
    document = documents.task_document(task, deliveries).to_json()
    manifest, problem = _manifest(stack, task)
    return views_of(request).page(
        request,
        "task.html",
        heading=document["task_id"],
        task=document,
        clips=_clips(document, manifest),
        timeline=timeline(document),
        manifest=manifest,
        manifest_problem=problem,
        item=documents.plain({name: value for name, value in task.item.items() if name != "provider_object"}),
        is_pending=task.is_pending,
        has_ended=task.has_event,
    )


def _manifest(stack: Stack, task: TaskView) -> tuple[list[dict[str, Any]], str | None]:
    try:
        files = results.get_files(stack, task)
    except NotFound:
        return [], None
    except TunehookError as error:
        return [], str(error)
    return [documents.asset_document(each).to_json() for each in files], None


def _clips(task: Mapping[str, Any], manifest: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each clip with its files: those of the manifest, or of the item while there is none."""
    files = manifest or task["assets"] or []
    clips = {clip["clip_id"]: {**clip, "files": []} for clip in task["clips"] or []}
    for each in files:
        if each["clip_id"] not in clips:
            nothing_else = documents.ClipDocument.read({"clip_id": each["clip_id"]}).to_json()
            clips[each["clip_id"]] = {**nothing_else, "files": []}
        clips[each["clip_id"]]["files"].append(each)
    return list(clips.values())


async def archive(request: Request) -> Response:
    """Ask for the missing files once more."""
    stack, (task_id, provider) = stack_of(request), _named(request)
    await run_in_threadpool(results.request_archive, stack, task_id, provider)
    return went_well("/task", "archive", task_id=task_id, provider=provider)


async def rerun(request: Request) -> Response:
    """Put the task again, with what its user gave it."""
    stack, (task_id, provider) = stack_of(request), _named(request)
    await run_in_threadpool(_rerun, stack, task_id, provider)
    return went_well("/task", "rerun", task_id=task_id, provider=provider)


def _rerun(stack: Stack, task_id: str, provider: str) -> None:
    task = operations.get_task(stack, task_id, provider)
    if task.is_pending:
        raise InvalidInput("task_id", "is watched already")
    given = ("task_id", "provider", "notify_hook", "notify_format", "metadata", "timeout_s")
    operations.submit(stack, {name: task.item[name] for name in given if name in task.item})


async def cancel(request: Request) -> Response:
    """Watch the task no longer."""
    stack, (task_id, provider) = stack_of(request), _named(request)
    await run_in_threadpool(operations.cancel, stack, task_id, provider)
    return went_well("/task", "cancel", task_id=task_id, provider=provider)
