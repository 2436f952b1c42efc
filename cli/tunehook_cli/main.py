"""The `tunehook` command: a module of commands is imported when one of them is run, and not for the listing."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from tunehook import __version__
from tunehook_cli import fast_start
from tunehook_cli.error_boundary import ERROR_STATUS, CommandGroup

COMMANDS: Final[dict[str, str]] = {
    "submit": "Start watching tasks. Submitting a task again restarts it.",
    "watch": "Watch until the task's files are stored; exit with 1 if it did not complete.",
    "results": "List the stored files of a task with new links, or download them.",
    "archive": "Retry the missing files of a task that has ended. No webhook is sent again.",
    "subscribe": "Send webhooks to a URL, and print the secret that signs them.",
    "listen": "Receive webhooks on this machine, until Ctrl-C: verify, print and forward them.",
    "trigger": "Send a sample event to a receiver as a real signed webhook; exit with 1 if it is not accepted in time.",
    "console": "Serve a page for the stack on this machine, until Ctrl-C: tasks with players, webhooks with attempts.",
    "status": "Show the state of the stack: tasks, files, deliveries, queues, the poller; "
    "exit with 1 if a part is unknown.",
    "doctor": "Check the stack and everything that it depends on, and suggest fixes; "
    "exit with 1 if something is broken.",
    "logs": "Print the functions' logs: time, function, level, event and its fields.",
    "tasks": "The tasks: list, show and cancel them.",
    "subscriptions": "The subscriptions, which are the receivers of webhooks.",
    "deliveries": "The webhooks, and every attempt to send them.",
    "providers": "The providers and their API keys.",
    "keys": "The keys of the HTTP API: make, list and revoke them.",
    "outputs": "Show the stack's outputs, which an application needs: the API's URL, names of tables, "
    "ARNs of policies.",
    "dlq": "The dead-letter queues: messages that failed too often.",
}
"""What the listing says of each command; `tunehook_local.main` adds those for one's own machine."""

MODULES: Final[dict[str, str]] = {
    "archive": "tunehook_cli.commands.results",
    "subscribe": "tunehook_cli.commands.subscriptions",
}
"""Where those are that are not in the module of their name; a group is the ``app`` of its module."""


def load_command(name: str) -> Any:
    module = import_module(MODULES.get(name, f"tunehook_cli.commands.{name}"))
    if callable(function := getattr(module, name, None)):
        app = typer.Typer(add_completion=False)
        app.command(name)(function)
        return typer.main.get_command(app)
    command = typer.main.get_group(module.app)
    command.name, command.help = name, COMMANDS[name]
    return command


class RootGroup(CommandGroup):
    """The group of all commands: what the listing says of each, until one is run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, help=text) for name, text in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            self.commands[name] = load_command(name)
            command = self.get_command(ctx, name)
        return name, command, rest


# Typer's own tracebacks print local variables, and with them secrets.
app = typer.Typer(
    cls=RootGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Every command below takes them from here; errors name the first.
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Tracks AI music tasks, stores the results in your S3 bucket, and sends webhooks.",
)


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
    fast_start.prepare()
    app(prog_name="tunehook")
