"""`tunehook results` and `tunehook archive`: the archived files of a task, and archiving what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final

import typer

from tunehook.aws.links import LINK_LIFE_S
from tunehook.errors import InvalidInput, NotFound
from tunehook.events import ArchivedAsset, archived_part
from tunehook.operations.results import Link, await_archive, get_files, get_link, read_file, request_archive
from tunehook.operations.stack import Stack
from tunehook.operations.task_view import TaskView
from tunehook.operations.tasks import get_task
from tunehook.operations.text import counted
from tunehook.times import now_ms
from tunehook_cli.archived_files import NotWritable, download, names_of, places_of
from tunehook_cli.commands.options import AsJson, ProviderName, StackName, TaskId
from tunehook_cli.layout import Cell
from tunehook_cli.output import Output, clock_time, knows_links, printable, size, zone
from tunehook_cli.rendering.tasks import clip_titles, file_rows
from tunehook_cli.stack import find_stack

_NO_FILES: Final = "The provider returned no files."

WAIT_S: Final = 300.0
"""Longer than an invocation of the function."""


def results(
    task_id: TaskId,
    download: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Download the files to this folder, named by title.")
    ] = None,
    provider: ProviderName = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List the stored files of a task with new links, or download them."""
    out, found = Output(as_json), find_stack(stack)
    task = get_task(found, task_id, provider)
    files = get_files(found, task)
    if download is not None:
        _download(out, found, task, files, download)
        return
    until = now_ms() + LINK_LIFE_S * 1000
    links = {each.key: get_link(found, each.key) for each in files if each.key}
    out.json(lambda: _documents(task, files, links=links))
    if not files:
        out.note(_NO_FILES)
        return
    _print_files(out, files, task, {key: link.url for key, link in links.items()})
    if links:
        out.note(f"Links expire at {clock_time(until)} {zone()} (earlier if your AWS session ends).")


def archive(
    task_id: TaskId,
    provider: ProviderName = None,
    wait: Annotated[
        bool, typer.Option(help="Wait for the files; the exit status is 1 if some are missing.")
    ] = True,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Retry the missing files of a task that has ended. No webhook is sent again."""
    out, found = Output(as_json), find_stack(stack)
    task = request_archive(found, task_id, provider)
    if not wait:
        out.json({"task_id": task_id, "provider": task.provider, "archive": None, "assets": None})
        out.line("Requested.")
        return
    task = await_archive(found, task, WAIT_S)
    try:
        files = get_files(found, task)
    except NotFound:
        files = []
    out.json(
        lambda: {
            "task_id": task_id,
            "provider": task.provider,
            "archive": archived_part(files),
            "assets": _documents(task, files),
        }
    )
    if files:
        bucket = found.output("ResultsBucket")
        _print_files(out, files, task, {each.key: f"s3://{bucket}/{each.key}" for each in files if each.key})
    else:
        out.note(_NO_FILES)
    if any(each.key is None for each in files):
        raise typer.Exit(1)


def _documents(
    task: TaskView,
    files: Sequence[ArchivedAsset],
    *,
    links: Mapping[str, Link] = MappingProxyType({}),
    places: Mapping[str, Path] = MappingProxyType({}),
) -> list[object]:
    from tunehook.operations.documents import asset_document

    titles, paths = clip_titles(task), {key: str(place) for key, place in places.items()}
    return [
        asset_document(
            each,
            title=titles.get(each.clip_id),
            link=links.get(each.key or ""),
            path=paths.get(each.key or ""),
        )
        for each in files
    ]


def _print_files(
    out: Output, files: Sequence[ArchivedAsset], task: TaskView, places: Mapping[str, str]
) -> None:
    """Print a table of files, and then the place of each, a URL, on a line of its own, so that it can be copied."""
    names = names_of(files, clip_titles(task))
    is_linked = knows_links()

    def name(file: ArchivedAsset) -> object:
        if file.key is None:
            return f"unavailable: {file.reason}"
        place = places[file.key]
        style = f"link {place}" if is_linked and place.startswith("http") else ""
        return Cell(printable(names[file.key]), style)

    out.table(("CLIP", "WHAT", "SIZE", "TYPE", "NAME"), file_rows(task, files, name))
    for key, place in places.items():
        out.line("")
        out.line(printable(names[key]))
        out.line(place)


def _download(
    out: Output, stack: Stack, task: TaskView, files: Sequence[ArchivedAsset], folder: Path
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    titles, kept = clip_titles(task), [each for each in files if each.key]
    total = sum(each.bytes or 0 for each in kept)
    # On stderr: what is printed on stdout is the outcome.
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    try:
        places = places_of(files, titles, folder)
        with Progress(*columns, console=Console(stderr=True)) as progress:
            bar = progress.add_task("downloading", total=total)
            for each in kept:
                place = places[str(each.key)]
                download(partial(read_file, stack), each, place, partial(progress.advance, bar))
    except NotWritable as error:
        raise InvalidInput("download", str(error)) from None
    out.json(lambda: _documents(task, files, places=places))
    if not files:
        out.note(_NO_FILES)
        return
    rows = file_rows(
        task, files, lambda each: places[each.key].name if each.key else f"unavailable: {each.reason}"
    )
    out.table(("CLIP", "WHAT", "SIZE", "TYPE", "NAME"), rows)
    out.note(f"{counted(len(kept), 'file')}, {size(total)}, in {printable(str(folder))}.")
