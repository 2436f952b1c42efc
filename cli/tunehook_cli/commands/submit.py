"""`tunehook submit`: tasks to be polled."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

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


def submit(
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="The provider's name.")],
    task_id: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK_ID",
            help="The tasks' ids at the provider; - reads them from standard input, one a line.",
        ),
    ],
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

    All ids are checked before the first is submitted.
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
