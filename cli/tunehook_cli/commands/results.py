"""`tunehook results`: the kept files of a task, with links to them or on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tunehook.errors import InvalidInput
from tunehook.times import now_ms
from tunehook_cli import output, task_words
from tunehook_cli.commands.options import AsJson, ProviderName, StackName
from tunehook_cli.commands.tasks import task_item
from tunehook_cli.stack import find_stack

if TYPE_CHECKING:
    from tunehook.events import ArchivedAsset
    from tunehook_cli.kept_files import KeptFiles
    from tunehook_cli.task_view import TaskView


def results(
    task_id: Annotated[
        str, typer.Argument(metavar="TASK_ID", help="The task's id at the provider.", show_default=False)
    ],
    download: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Download the files to this folder.", show_default=False),
    ] = None,
    provider: ProviderName = None,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """List the kept files of a task with fresh links, or download them."""
    from tunehook_cli.task_view import TaskView

    found = find_stack(stack)
    task = TaskView.of(task_item(found, task_id, provider))
    kept = found.kept_files
    assets = kept.of(task.provider, task_id)
    if assets is None:
        raise InvalidInput("TASK_ID", f"nothing is kept of {task_id} (its status is {task.status})")
    if download is not None:
        _download(kept, assets, task, download, as_json=as_json)
        return
    if as_json:
        output.print_json([_linked(kept, asset) for asset in assets])
        return
    if not assets:
        output.note("The provider named no file.")
        return
    until = output.clock_time(now_ms() + _link_life_ms())
    print_files(assets, task, {asset.key: kept.link(asset.key) for asset in assets if asset.key})
    output.note(f"The links last until {until}, if your credentials do.")


def print_files(assets: Sequence[ArchivedAsset], task: TaskView, places: Mapping[str, str]) -> None:
    """Print files, each with its place, or the reason why it is not kept."""
    titles = {clip.clip_id: clip.title for clip in task.clips}
    output.print_table(
        ("CLIP", "WHAT", "SIZE", "TYPE", "WHERE"),
        [
            (
                titles.get(asset.clip_id) or asset.clip_id,
                asset.type,
                output.size(asset.bytes),
                task_words.media_type(asset),
                places.get(asset.key, "") if asset.key else f"not kept: {asset.reason}",
            )
            for asset in assets
        ],
    )


def _link_life_ms() -> int:
    from tunehook.aws.links import LINK_LIFE_S

    return LINK_LIFE_S * 1000


def _linked(kept: KeptFiles, asset: ArchivedAsset) -> dict[str, Any]:
    from tunehook.times import from_ms, iso

    told = asset.model_dump(mode="json", exclude_none=True)
    if asset.key is None:
        return told
    expires_at = iso(from_ms(now_ms() + _link_life_ms()))
    return told | {"url": kept.link(asset.key), "url_expires_at": expires_at}


def _download(
    kept: KeptFiles, assets: Sequence[ArchivedAsset], task: TaskView, folder: Path, *, as_json: bool
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from tunehook_cli.kept_files import NotWritable, places_of

    places = places_of(assets, task.provider, task.task_id, folder)
    # On stderr: what is printed on stdout is the outcome.
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("downloading", total=sum(asset.bytes or 0 for asset in assets if asset.key))
        for asset in assets:
            if asset.key is None:
                continue
            try:
                kept.download(asset, places[asset.key], lambda count: progress.advance(bar, count))
            except NotWritable as error:
                raise InvalidInput("--download", str(error)) from None
    if as_json:
        output.print_json(
            [
                asset.model_dump(mode="json", exclude_none=True)
                | ({"path": str(places[asset.key])} if asset.key else {})
                for asset in assets
            ]
        )
    else:
        print_files(assets, task, {key: str(path) for key, path in places.items()})
