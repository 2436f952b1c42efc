"""`tunehook results` and `tunehook archive`: the archived files of a task, and archiving what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from tunehook.aws.links import LINK_LIFE_S
from tunehook.errors import InvalidInput, NotFound
from tunehook.events import ArchivedAsset, archived_part
from tunehook.operations.documents import asset_document
from tunehook.operations.results import await_archive, get_files, get_link, read_file, request_archive
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import get_task
from tunehook.times import now_ms
from tunehook_cli.archived_files import NotWritable, download, places_of
from tunehook_cli.commands.options import AsJson, ProviderName, StackName, TaskId
from tunehook_cli.output import Output, clock_time
from tunehook_cli.rendering.tasks import clip_titles, file_rows
from tunehook_cli.stack import find_stack

WAIT_S: Final = 300.0
"""Longer than an invocation of the function."""


def results(
    task_id: TaskId,
    download: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Download the files to this folder.")
    ] = None,
    provider: ProviderName = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List the kept files of a task with fresh links, or download them."""
    out, found = Output(as_json), find_stack(stack)
    task = get_task(found, task_id, provider)
    files = get_files(found, task)
    if download is not None:
        _download(out, found, task, files, download)
        return
    until = now_ms() + LINK_LIFE_S * 1000
    links = {each.key: get_link(found, each.key) for each in files if each.key}
    titles = clip_titles(task)
    out.json(
        [
            asset_document(each, title=titles.get(each.clip_id), link=links.get(each.key or ""))
            for each in files
        ]
    )
    if not files:
        out.note("The provider named no file.")
        return
    _print_files(out, files, task, {key: link.url for key, link in links.items()})
    out.note(f"The links last until {clock_time(until)}, if your credentials do.")


def archive(
    task_id: TaskId,
    provider: ProviderName = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for the outcome; 1 is the exit status if files are missing.")
    ] = True,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Copy again what is missing of the files of a task that has ended. Nobody who was told is told again."""
    out, found = Output(as_json), find_stack(stack)
    task = request_archive(found, task_id, provider)
    if not wait:
        out.json({"task_id": task_id, "provider": task.provider, "archive": None, "assets": None})
        out.line("Asked for.")
        return
    task = await_archive(found, task, WAIT_S)
    try:
        files = get_files(found, task)
    except NotFound:
        files = []
    out.json(
        {
            "task_id": task_id,
            "provider": task.provider,
            "archive": archived_part(files),
            "assets": [asset_document(each, title=clip_titles(task).get(each.clip_id)) for each in files],
        }
    )
    if files:
        bucket = found.output("ResultsBucket")
        _print_files(out, files, task, {each.key: f"s3://{bucket}/{each.key}" for each in files if each.key})
    else:
        out.note("The provider named no file.")
    if any(each.key is None for each in files):
        raise typer.Exit(1)


def _print_files(
    out: Output, files: Sequence[ArchivedAsset], task: TaskView, places: Mapping[str, str]
) -> None:
    def place(file: ArchivedAsset) -> str:
        return places.get(file.key, "") if file.key else f"not kept: {file.reason}"

    out.table(("CLIP", "WHAT", "SIZE", "TYPE", "WHERE"), file_rows(task, files, place))


def _download(
    out: Output, stack: Stack, task: TaskView, files: Sequence[ArchivedAsset], folder: Path
) -> None:
    places = places_of(files, task.provider, task.task_id, folder)
    # On stderr: what is printed on stdout is the outcome.
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("downloading", total=sum(each.bytes or 0 for each in files if each.key))
        for each in files:
            if each.key is None:
                continue
            try:
                download(partial(read_file, stack), each, places[each.key], partial(progress.advance, bar))
            except NotWritable as error:
                raise InvalidInput("download", str(error)) from None
    titles = clip_titles(task)
    paths = {key: str(path) for key, path in places.items()}
    out.json(
        [
            asset_document(each, title=titles.get(each.clip_id), path=paths.get(each.key or ""))
            for each in files
        ]
    )
    _print_files(out, files, task, paths)
