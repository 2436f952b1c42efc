"""The `tunehook` command for a stack anywhere; `tunehook_local.main` adds what runs on one's own machine."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tunehook import __version__
from tunehook_cli.boundary import ERROR_STATUS, CommandGroup
from tunehook_cli.commands import deliveries, dlq, providers, subscriptions, tasks
from tunehook_cli.commands.archive import archive
from tunehook_cli.commands.doctor import doctor
from tunehook_cli.commands.listen import listen
from tunehook_cli.commands.results import results
from tunehook_cli.commands.status import status
from tunehook_cli.commands.submit import submit
from tunehook_cli.commands.watch import watch

# Typer's own tracebacks print local variables, and with them secrets.
app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Watches AI music-generation tasks, keeps their results, and tells whoever asked.",
)
app.command()(submit)
app.command()(watch)
app.add_typer(tasks.app, name="tasks")
app.command()(results)
app.command()(archive)
app.command()(subscriptions.subscribe)
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(deliveries.app, name="deliveries")
app.command()(listen)
app.add_typer(providers.app, name="providers")
app.command()(status)
app.add_typer(dlq.app, name="dlq")
app.command()(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"tunehook {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def run() -> None:
    """Run the command; what `tunehook` on the command line does."""
    if os.name != "posix":
        print("tunehook: runs on Linux and macOS; on Windows, run it in WSL", file=sys.stderr)
        sys.exit(ERROR_STATUS)
    app(prog_name="tunehook")
