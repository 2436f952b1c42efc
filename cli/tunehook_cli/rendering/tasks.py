"""Tasks and their files as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from tunehook.operations.text import duration
from tunehook_cli.output import size
from tunehook_cli.rendering.deliveries import counts

if TYPE_CHECKING:
    from tunehook.deliveries import Delivery
    from tunehook.events import ArchivedAsset
    from tunehook.operations.task_view import AssetView, TaskView

TEXT_LINES: Final = 8
TEXT_CHARS: Final = 600
"""How much of a text that is a result is shown, at most."""

_SHORT_CHARS: Final = 160

F = TypeVar("F", "AssetView", "ArchivedAsset")


def phase(task: TaskView) -> str | None:
    """Return what the provider says of a pending task: ``queued``, ``processing``, or done but for a file."""
    if not task.is_pending:
        return None
    return "completed, but a clip still streams: its file is waited for" if task.streams else task.phase


def trouble(task: TaskView, now_ms: int) -> str | None:
    """Return why a task has failed, or why a pending one does not go on; None if all is well."""
    if not task.is_pending:
        return None if task.failure is None else f"{task.failure.code}: {task.failure.reason}"
    if task.deadline_ms is not None and task.deadline_ms <= now_ms:
        could_not = f"could not be asked: {task.last_error}" if task.last_error else "waits for its question"
        return f"past its deadline; {could_not}"
    return task.last_error or None


def short(text: str | None) -> str | None:
    """Cut a text for one row of a listing: a provider's may be long, and `tasks show` has all of it."""
    return text if text is None or len(text) <= _SHORT_CHARS else f"{text[: _SHORT_CHARS - 1].rstrip()}…"


def texts(task: TaskView) -> Iterator[tuple[str, list[str], int]]:
    """Yield the texts that are results of a task: title, first lines, and how many characters are left out."""
    for clip in task.clips:
        if clip.text is not None:
            shown = "\n".join(clip.text.split("\n")[:TEXT_LINES])[:TEXT_CHARS]
            yield str(clip.title or clip.clip_id), shown.splitlines(), len(clip.text) - len(shown)


def media_type(asset: AssetView | ArchivedAsset) -> str | None:
    """Return the content type of a file, with the remark on it: ``audio/x-new, unrecognised``."""
    return ", ".join(filter(None, (asset.content_type, asset.remark))) or None


def clip_titles(task: TaskView) -> dict[str | None, str | None]:
    """Return the titles of the clips of a task, by their ids."""
    return {clip.clip_id: clip.title for clip in task.clips}


def file_rows(task: TaskView, files: Sequence[F], place: Callable[[F], str]) -> list[tuple[object, ...]]:
    """Return a row for each file: its clip, kind, size, content type and place."""
    titles = clip_titles(task)
    return [
        (titles.get(each.clip_id) or each.clip_id, each.type, size(each.bytes), media_type(each), place(each))
        for each in files
    ]


def took(task: TaskView, now_ms: int) -> str | None:
    since, until = task.submitted_at_ms, now_ms if task.is_pending else task.detected_at_ms
    return None if since is None or until is None else duration((until - since) / 1000)


def files(task: TaskView) -> str | None:
    """Return how many files were kept, and their size; None while that is not known."""
    if not task.is_archived:
        return None
    if not task.assets:
        return "none"
    archived = [asset for asset in task.assets if asset.status == "archived"]
    total = size(sum(asset.bytes or 0 for asset in archived))
    return f"{len(archived)}{'' if len(archived) == len(task.assets) else f' of {len(task.assets)}'}, {total}"


def missing_files(task: TaskView) -> str:
    missing = [asset for asset in task.assets if asset.status == "pending"]
    if not missing:
        return "its files are being copied"
    names = ", ".join(sorted({str(asset.type) for asset in missing}))
    return f"{len(missing)} of {len(task.assets)} files may still come ({names})"


def remarks(task: TaskView, now_ms: int, deliveries: Sequence[Delivery] = ()) -> str:
    """Return what there is to say of a task beside its status, its files and webhooks included."""
    parts = [trouble(task, now_ms) or phase(task)]
    if not task.is_pending:
        if task.is_in_index:
            parts.append("its event is on the way")
        elif (archived := files(task)) is None:
            parts.append(missing_files(task))
            parts += [f"webhooks: {counts(deliveries)}"] if deliveries else []
        else:
            parts += [f"files: {archived}", f"webhooks: {counts(deliveries)}"]
    return "; ".join(filter(None, parts))
