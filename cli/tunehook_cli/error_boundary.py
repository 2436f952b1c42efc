"""The error boundary of the command: an expected error becomes one line on stderr; a bug keeps its traceback."""

from __future__ import annotations

import functools
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

import typer
from typer.core import DEFAULT_MARKUP_MODE, TyperArgument, TyperGroup

from tunehook.errors import InvalidInput, TunehookError
from tunehook_cli import output
from tunehook_cli.embedded_aws import find_embedded_aws

ERROR_STATUS: Final = 2
"""The exit status of an error; 1 is left to the commands, for an answer that is no."""

_FRAMES_FROM: Final = 70
"""The width from which there is room for help in frames, whose columns cut what is too long for them."""


class CommandGroup(TyperGroup):
    """The whole command as a group, with the error boundary around it."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        output.prepare_streams()
        width = shutil.get_terminal_size().columns
        self.rich_markup_mode = DEFAULT_MARKUP_MODE if width >= _FRAMES_FROM else None
        try:
            status = super().main(*args, **options | {"standalone_mode": False, "terminal_width": width})
        except typer.TyperException as error:
            _fail(_usage_error(error))
        except typer.Abort:
            _fail("stopped")
        except TunehookError as error:
            _fail(str(error))
        except Exception as error:
            # Only now that something went wrong is boto3's part of the messages worth its import.
            from tunehook.aws.error_messages import describe_error, endpoint_of

            if (message := describe_error(error)) is None:
                raise
            _fail(message + _elsewhere(endpoint_of(error)))
        sys.exit(status)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, prepared for this terminal and with the names of its options in its errors."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _prepare(command, framed=self.rich_markup_mode is not None)
        return command


def _prepare(command: Any, *, framed: bool) -> None:
    """Set the help of a command, or of all below a group, in frames or plain; let its errors name its options."""
    command.rich_markup_mode = DEFAULT_MARKUP_MODE if framed else None
    if framed and command.help:
        # A paragraph is filled to the terminal's width, and what stands in brackets is no markup.
        paragraphs = command.help.split("\n\n")
        filled = "\n\n".join(each if "\b" in each else " ".join(each.split()) for each in paragraphs)
        command.help = re.sub(r"(?<!\\)\[(?=[a-z])", r"\\[", filled)
    if not framed and command.help:
        # Of a command that has no short help, the listing of its group would cut the long one.
        command.short_help = " ".join(command.help.split("\n\n")[0].split())
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            _prepare(each, framed=framed)
    elif command.callback is not None:
        names = {str(each.name): _shown_name(each) for each in command.params}
        command.callback = _renaming(command.callback, names)


def _renaming(callback: Callable[..., Any], names: Mapping[str, str]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return callback(*args, **options)
        except InvalidInput as error:
            name = names.get(error.field.split(".")[0], error.field)
            raise type(error)(name, error.reason) from None

    return call


def _shown_name(parameter: Any) -> str:
    if isinstance(parameter, TyperArgument):
        return str(parameter.metavar or parameter.name).split("|")[0]
    return str(parameter.opts[0])


def _elsewhere(unreachable: str) -> str:
    """Return where the embedded AWS runs, if it does, but not at the endpoint that a shell was led to before."""
    found = find_embedded_aws() if unreachable else None
    if found is None or found.endpoint == unreachable:
        return ""
    return f'; one runs at {found.endpoint}: eval "$(tunehook local env)" leads there'


def _usage_error(error: typer.TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} (see `{context.command_path} --help`)" if context and message else message


def _fail(message: str) -> NoReturn:
    line = " ".join(message.split())
    if line:
        print(f"tunehook: {output.printable(line)}", file=sys.stderr)
    sys.exit(ERROR_STATUS)
