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
from tunehook.ids import digest
from tunehook.operations import documents, results
from tunehook.operations import tasks as operations
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.tasks import Status
from tunehook_cli.console.filters import OVERDUE, TaskFilters, wanted_of
from tunehook_cli.console.live import LiveTasks
from tunehook_cli.console.pages import media
from tunehook_cli.console.timeline import timeline
from tunehook_cli.console.views import Views, link, stack_of, views_of, went_well

PAGE: Final = 30
LIVE_EVERY_S: Final = 1.5
LOOKED_AT: Final = 1_000
"""How many of the newest tasks a filter looks through by itself; further, when it is asked to."""

LOOKED_AT_ONCE: Final = 200
"""How many of them one answer looks through: the page asks on by itself, and shows what it has."""


def listing(request: Request) -> Response:
    """Show the newest tasks that meet the filters."""
    stack, wanted = stack_of(request), wanted_of(request.query_params, TaskFilters.NAMES)
    problem = None
    page: dict[str, Any] = {"rows": [], "next_cursor": None, "looked": 0}
    try:
        page = _read(stack, wanted, None, 0)
    except InvalidInput as error:
        problem = str(error)
    views = views_of(request)
    live = stack.has_lists and problem is None
    return views.page(
        request,
        "tasks.html",
        status=422 if problem else 200,
        heading="Tasks",
        wanted=wanted,
        statuses=[*(each.value for each in Status), OVERDUE],
        live=_live_at(views, wanted, page) if live else None,
        problem=problem,
        has_lists=stack.has_lists,
        **_row_values(wanted, page),
    )


def more_rows(request: Request) -> Response:
    """Return the rows that follow those of a page."""
    query = request.query_params
    wanted = wanted_of(query, TaskFilters.NAMES)
    looked = query.get("looked", "")
    page = _read(stack_of(request), wanted, query.get("cursor"), int(looked) if looked.isdecimal() else 0)
    return views_of(request).part("task_more.html", **_row_values(wanted, page))


def _row_values(wanted: Mapping[str, str], page: Mapping[str, Any]) -> dict[str, Any]:
    is_filtered = any(wanted.values())
    # A filter that has found less than a page looks further by itself, as far as that goes.
    goes_on = is_filtered and len(page["rows"]) < PAGE and page["looked"] < LOOKED_AT
    place = link("/tasks/rows", cursor=page["next_cursor"], looked=page["looked"], **wanted)
    return {
        **page,
        "is_whole": page["next_cursor"] is None,
        "is_filtered": is_filtered,
        "goes_on_by_itself": goes_on,
        "more_at": place,
        "anew_at": None,
    }


def _live_at(views: Views, wanted: Mapping[str, str], page: Mapping[str, Any]) -> str:
    """Return where a page gets its live rows, which knows what the page shows already."""
    shown = _rows(views, page["rows"], is_filtered=any(wanted.values()), is_whole=page["next_cursor"] is None)
    return link("/tasks/live", last=page["next_cursor"], seen=digest(shown), **wanted)


def _rows(
    views: Views, rows: list[dict[str, Any]], *, is_filtered: bool, is_whole: bool, anew_at: str | None = None
) -> str:
    return views.text(
        "task_rows.html", rows=rows, is_filtered=is_filtered, is_whole=is_whole, anew_at=anew_at
    )


async def live_rows(request: Request) -> Response:
    """Send the rows of the first page, and of what is newer, each time that they change, as server-sent events.

    It ends when the browser is gone, and when the console ends.
    """
    query, stack, views = request.query_params, stack_of(request), views_of(request)
    wanted, last = wanted_of(query, TaskFilters.NAMES), query.get("last")
    live = LiveTasks(stack, TaskFilters.of(wanted), None if last is None else operations.position_of(last))
    stopping: asyncio.Event = request.app.state.stopping

    def rows() -> str:
        found = [documents.task_document(each).to_json() for each in live.look()]
        anew_at = link("/tasks", **wanted) if live.is_cut else None
        return _rows(views, found, is_filtered=live.is_filtered, is_whole=last is None, anew_at=anew_at)

    async def changes() -> AsyncIterator[str]:
        seen = query.get("seen", "")
        while not (stopping.is_set() or await request.is_disconnected()):
            # A fault of AWS passes, and the next look shows what has happened meanwhile.
            with contextlib.suppress(TunehookError, *AWS_FAULTS):
                text = await run_in_threadpool(rows)
                if (now := digest(text)) != seen:
                    seen = now
                    yield "".join(f"data: {line}\n" for line in text.splitlines() or [""]) + "\n"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), LIVE_EVERY_S)

    return StreamingResponse(changes(), media_type="text/event-stream")


def _read(stack: Stack, wanted: Mapping[str, str], cursor: str | None, looked: int) -> dict[str, Any]:
    """Return the rows of a page, where it goes on, and how many tasks were looked at until there."""
    filters = TaskFilters.of(wanted)
    exact: list[TaskView] = []
    if wanted["id"] and cursor is None:
        exact = [task for item in stack.tasks.of_id(wanted["id"]) if filters.match(task := TaskView.of(item))]
    page = operations.page_tasks(
        stack,
        status=filters.status,
        provider=filters.provider,
        metadata=filters.metadata,
        id_prefix=filters.id_prefix,
        since_ms=filters.since_ms,
        with_results=True,
        limit=PAGE,
        cursor=cursor,
        look_at=LOOKED_AT_ONCE,
    )
    known = {(each.task_id, each.provider) for each in page.tasks}
    found = [*(each for each in exact if (each.task_id, each.provider) not in known), *page.tasks]
    rows = [documents.task_document(each).to_json() for each in found if filters.match(each)]
    return {"rows": rows, "next_cursor": page.next_cursor, "looked": looked + page.looked_at}


def _named(request: Request) -> tuple[str, str]:
    query = request.query_params
    return query.get("task_id", ""), query.get("provider", "")


def show(request: Request) -> Response:
    """Show a task: what can be heard and seen, its way, its webhooks, and everything as it is stored."""
    stack, (task_id, provider) = stack_of(request), _named(request)
    task = operations.get_task(stack, task_id, provider or None)
    deliveries = operations.deliveries_of(stack, task)
    document = documents.task_document(task, deliveries).to_json()
    manifest, kept, problem = _manifest(stack, task)
    files = kept or document["assets"] or []
    return views_of(request).page(
        request,
        "task.html",
        heading=document["task_id"],
        task=document,
        clips=_clips(document, files),
        shown_pictures=media.SHOWN,
        timeline=timeline(document, files, results.stored_at(stack, task) if files else {}),
        manifest=manifest,
        manifest_problem=problem,
        event=operations.event_of(task),
        item=documents.plain({name: value for name, value in task.item.items() if name != "provider_object"}),
        is_pending=task.is_pending,
        has_ended=task.has_event,
    )


def _manifest(stack: Stack, task: TaskView) -> tuple[Any, list[dict[str, Any]], str | None]:
    """Return the manifest as it is stored, the files that it names, and what is wrong with it."""
    manifest = None
    try:
        manifest = results.get_manifest(stack, task)
        files = results.files_of(task, manifest)
    except NotFound:
        return None, [], None
    except TunehookError as error:
        return manifest, [], str(error)
    return manifest, [documents.asset_document(each).to_json() for each in files], None


def _clips(task: Mapping[str, Any], files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each clip with its files: those of the manifest, or of the item while there is none."""
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
