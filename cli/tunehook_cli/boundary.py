"""The edge of the command: what goes wrong on purpose becomes one line on stderr; a bug keeps its traceback."""

from __future__ import annotations

import shutil
import sys
from typing import Any, Final, NoReturn

import typer
from typer.core import DEFAULT_MARKUP_MODE, TyperCommand, TyperGroup

from tunehook.errors import TunehookError
from tunehook_cli import output

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
        _frame_help(self, framed=width >= _FRAMES_FROM)
        try:
            status = super().main(*args, **options | {"standalone_mode": False, "terminal_width": width})
        except typer.TyperException as error:
            _fail(_usage_error(error))
        except typer.Abort:
            _fail("stopped")
        except TunehookError as error:
            _fail(str(error))
        except Exception as error:
            # Only now that something went wrong is boto3's part of the words worth its import.
            from tunehook_cli.faults import in_words

            if (words := in_words(error)) is None:
                raise
            _fail(words)
        sys.exit(status)


def _frame_help(group: TyperGroup, *, framed: bool) -> None:
    """Have the help of a group and of all below it set in frames, or plain."""
    group.rich_markup_mode = DEFAULT_MARKUP_MODE if framed else None
    for command in group.commands.values():
        if not framed and command.help:
            # Of a command that has no short help, the listing of its group would cut the long one.
            command.short_help = " ".join(command.help.split("\n\n")[0].split())
        if isinstance(command, TyperGroup):
            _frame_help(command, framed=framed)
        elif isinstance(command, TyperCommand):
            command.rich_markup_mode = group.rich_markup_mode


def _usage_error(error: typer.TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} (see `{context.command_path} --help`)" if context and message else message


def _fail(message: str) -> NoReturn:
    line = " ".join(message.split())
    if line:
        print(f"tunehook: {output.printable(line)}", file=sys.stderr)
    sys.exit(ERROR_STATUS)
