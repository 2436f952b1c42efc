"""The edge of the command: what goes wrong on purpose becomes one line on stderr; a bug keeps its traceback."""

from __future__ import annotations

import sys
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from tunehook.errors import TunehookError

ERROR_STATUS: Final = 2
"""The exit status of an error; 1 is left to the commands, for an answer that is no."""


class CommandGroup(TyperGroup):
    """The whole command as a group, with the error boundary around it."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        try:
            status = super().main(*args, **options | {"standalone_mode": False})
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


def _usage_error(error: typer.TyperException) -> str:
    message = error.format_message()
    context = getattr(error, "ctx", None)
    return f"{message} (see `{context.command_path} --help`)" if context and message else message


def _fail(message: str) -> NoReturn:
    line = " ".join(message.split())
    if line:
        print(f"tunehook: {line}", file=sys.stderr)
    sys.exit(ERROR_STATUS)
