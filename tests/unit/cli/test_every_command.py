"""What holds for every command, whatever it does."""

from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from tunehook_local.main import COMMANDS, app, load_command


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every command below a group, and the groups too, with what a user types."""
    yield path, group
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ROOT: Any = get_command(app)
ALL = {(): ROOT}
for name in COMMANDS:
    command = load_command(name)
    ALL |= dict(commands(command, (name,))) if isinstance(command, TyperGroup) else {(name,): command}


@pytest.mark.parametrize(
    "path", [path for path, command in ALL.items() if not isinstance(command, TyperGroup)], ids=" ".join
)
def test_every_command_prints_json_where_it_is_asked_to(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert isinstance(command, TyperCommand)
    (option,) = [each for each in command.params if "--json" in each.opts]
    assert option.default is False


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize("charset", ["utf-8", "ascii"])
def test_help_fits_and_is_whole(width: int, charset: str) -> None:
    for path in ALL:
        result = CliRunner(charset=charset, env={"COLUMNS": str(width)}).invoke(
            app, [*path, "--help"], prog_name="tunehook"
        )
        assert result.exit_code == 0
        assert "…" not in result.stdout, path
        assert "\\u" not in result.stdout, path
        # Below that, the choices of an argument are longer than the line, and the terminal folds them.
        longest = max(cell_len(line) for line in result.stdout.splitlines())
        assert longest <= max(width, 50), path


def test_a_single_letter_asks_for_help_everywhere() -> None:
    for path in ALL:
        long, short = (
            CliRunner().invoke(app, [*path, each], prog_name="tunehook") for each in ("--help", "-h")
        )
        assert (short.exit_code, short.stdout) == (0, long.stdout), path
        assert "-h" in short.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listing_says_what_the_command_says_of_itself(name: str) -> None:
    assert COMMANDS[name] == " ".join(ALL[name,].help.split("\n\n")[0].split())
