"""`tunehook submit`: tasks to be polled, and tasks that go to their provider first."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tunehook.errors import InvalidInput
from tunehook.operations import tasks
from tunehook.operations.stack import Stack
from tunehook.operations.tasks import Submission
from tunehook.operations.text import counted
from tunehook.tasks import TIMEOUT_DEFAULT_S
from tunehook_cli.commands.options import AsJson, StackName, key_values
from tunehook_cli.output import Output, note, printable
from tunehook_cli.stack import find_stack

_STDIN: Final = "-"
_ACTION: Final = "music"


def submit(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider's name.")],
    task_id: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TASK_ID",
            help="The tasks' ids at the provider; - reads them from standard input, one a line.",
        ),
    ] = None,
    body: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="In place of ids: submit a task to the provider with this JSON, its own body; - is standard input.",
        ),
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(help="With --body: what is asked for, such as music or lyrics.", show_default=_ACTION),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(help="With --body: a name for this submission, which is made once within 24 hours."),
    ] = None,
    notify_hook: Annotated[
        str | None, typer.Option(help="A URL that gets a webhook when the task ends.")
    ] = None,
    notify_format: Annotated[
        str | None,
        typer.Option(
            help="The format of its body: standard, provider or cloudevents.", show_default="standard"
        ),
    ] = None,
    timeout_s: Annotated[
        int | None,
        typer.Option(
            "--timeout",
            help="Seconds until a task that is still pending fails.",
            show_default=str(TIMEOUT_DEFAULT_S),
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE that comes back in events and webhooks.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Submit even if no provider of this name is configured.")
    ] = False,
    as_json: AsJson = False,
    stack: StackName = None,
) -> None:
    """Start watching tasks. Submitting a task again restarts it.

    All ids are checked before the first is submitted. With --body, the task is submitted to its provider first, with
    the stack's key, and watched at once.
    """
    out, found = Output(as_json), find_stack(stack)
    fields = {
        "provider": provider,
        "notify_hook": notify_hook,
        "notify_format": notify_format,
        "timeout_s": timeout_s,
        "metadata": key_values(metadata) or None,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    if body is not None:
        if task_id:
            raise InvalidInput("task_id", "is the provider's to give: leave it out with --body")
        _submit_through(out, found, _read_body(body), action or _ACTION, idempotency_key, given)
        return
    for name, value in (("action", action), ("idempotency_key", idempotency_key)):
        if value is not None:
            raise InvalidInput(name, "is for a submission with --body")
    if not task_id:
        raise InvalidInput("task_id", "is missing: name a task, or submit one with --body")
    ids = list(dict.fromkeys(_ids(task_id)))
    if not ids:
        raise InvalidInput("task_id", "standard input has no task id")
    submissions = tasks.submit_all(found, [{"task_id": each} | given for each in ids])
    if not anyway:
        _check_provider(found, provider)
    is_list = len(ids) > 1 or _STDIN in task_id
    done = _submit(out, ids, submissions)
    out.json(done if is_list else done[0])
    if (secret := done[0].signing_secret) is not None:
        out.line(f"Signing secret of {'their' if len(ids) > 1 else 'its'} notify hook: {secret}")


def _read_body(path: str) -> dict[str, Any]:
    try:
        content = sys.stdin.buffer.read() if path == _STDIN else Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput("body", f"cannot read {path}: {error.strerror}") from None
    try:
        body = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise InvalidInput("body", "is no JSON object")
    return body


def _submit_through(
    out: Output,
    stack: Stack,
    body: Mapping[str, Any],
    action: str,
    key: str | None,
    given: Mapping[str, Any],
) -> None:
    """Submit a task to its provider, and say its id."""
    # What carries requests, and is slow to import.
    from tunehook.operations.documents import provider_submission_document
    from tunehook.operations.submissions import submit_through

    options = {name: value for name, value in given.items() if name != "provider"}
    done = submit_through(stack, given["provider"], action, body, idempotency_key=key, **options)
    out.json(provider_submission_document(done))
    item = done.submission.item
    again = " before, by the same key" if done.is_repeated else ""
    out.line(f"Submitted {printable(item['task_id'])} of {printable(item['provider'])}{again}.")
    if (secret := done.submission.signing_secret) is not None:
        out.line(f"Signing secret of its notify hook: {secret}")


def _ids(given: Sequence[str]) -> Iterator[str]:
    for each in given:
        if each != _STDIN:
            yield each
            continue
        if sys.stdin.isatty():
            note("Type the ids, one a line; Ctrl-D ends.")
        try:
            text = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidInput("task_id", "standard input is not UTF-8") from None
        yield from filter(None, map(str.strip, text.split("\n")))


def _check_provider(stack: Stack, name: str) -> None:
    # boto3 is imported by now, whereas it is not for the help.
    from tunehook.aws.error_messages import is_denied
    from tunehook.errors import NotFound

    try:
        tasks.check_provider(stack, name)
    except NotFound as error:
        raise NotFound(error.field, f"{error.reason} (--anyway submits it nevertheless)") from None
    except Exception as error:
        if not is_denied(error):
            raise
        note(
            f"You may not read the providers' secret, so it is unknown whether {printable(name)} is configured."
        )


def _submit(out: Output, ids: Sequence[str], submissions: Iterator[Submission]) -> list[Submission]:
    """Submit one after the other; if that breaks off, say which were submitted and which were not."""
    done: list[Submission] = []
    try:
        for each in submissions:
            done.append(each)
            status = each.replaced_status
            again = "" if status is None else f" again (it was {printable(status)})"
            name = f"{printable(each.item['task_id'])} of {printable(each.item['provider'])}"
            out.line(f"Submitted {name}{again}.")
    except BaseException as error:
        if len(ids) > 1:
            from tunehook.aws.error_messages import is_refused

            out.json(done)
            _print_broken_off(ids, len(done), is_refused=is_refused(error))
        raise
    return done


def _print_broken_off(ids: Sequence[str], count: int, *, is_refused: bool) -> None:
    rest = ids[count:] if is_refused else ids[count + 1 :]
    note(f"Submitted {count} of {counted(len(ids), 'task')}: {_listed(ids[:count])}.")
    if not is_refused:
        note(f"Perhaps submitted: {_listed(ids[count : count + 1])}.")
    note(f"Not submitted: {_listed(rest)}.")


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(map(printable, ids)) or "none"
