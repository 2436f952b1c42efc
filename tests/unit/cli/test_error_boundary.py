import subprocess
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tunehook.errors import Unavailable
from tunehook_cli import main
from tunehook_cli.error_boundary import CommandGroup


def run(error: BaseException | None, *args: str) -> Result:
    app = typer.Typer(cls=CommandGroup, no_args_is_help=True)

    @app.command()
    def work(number: int = 1) -> None:
        if error is not None:
            raise error

    @app.command()
    def other() -> None: ...

    return CliRunner().invoke(app, args or ("work",), prog_name="tunehook")


def test_success_is_status_0() -> None:
    result = run(None)
    assert (result.exit_code, result.output) == (0, "")


def test_an_error_is_one_line_on_stderr() -> None:
    result = run(Unavailable("no\n  answer"))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "tunehook: no answer\n")


def test_the_status_of_an_answer_that_is_no_is_kept() -> None:
    assert run(typer.Exit(1)).exit_code == 1


def test_ctrl_c_ends_quietly() -> None:
    result = run(KeyboardInterrupt())
    assert (result.exit_code, result.output) == (130, "")


def test_a_bug_keeps_its_traceback() -> None:
    bug = ZeroDivisionError()
    assert run(bug).exception is bug


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("nope",), "tunehook: No such command 'nope'. (see `tunehook --help`)\n"),
        (("work", "--nope"), "tunehook: No such option: --nope (see `tunehook work --help`)\n"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_the_help(args: tuple[str, ...], line: str) -> None:
    result = run(None, *args)
    assert (result.exit_code, result.output) == (2, line)


def test_the_bare_command_shows_its_help(tunehook: Any) -> None:
    result = tunehook()
    assert "Usage: tunehook" in result.output
    assert "tunehook:" not in result.output


def test_on_a_system_that_is_not_supported_the_command_says_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main.os, "name", "nt")
    with pytest.raises(SystemExit) as ended:
        main.run()
    monkeypatch.undo()
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", "tunehook: runs on Linux and macOS; on Windows, run it in WSL\n")


def test_the_command_is_imported_where_terminals_send_no_signal_at_their_end() -> None:
    code = (
        "import enum, signal\n"
        "names = {each.name: each.value for each in signal.Signals if each.name != 'SIGHUP'}\n"
        "signal.Signals = enum.IntEnum('Signals', names)\n"
        "del signal.SIGHUP\n"
        "import tunehook_local.main, tunehook_cli.listener"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_help_imports_neither_boto3_nor_the_provider_layer() -> None:
    code = (
        "import sys; sys.argv = ['tunehook', '--help']\n"
        "from tunehook_local.main import run\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "heavy = {'boto3', 'botocore', 'aiohttp', 'pydantic', 'rich.live', 'tunehook.providers'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == "[]\n"
    assert "subscriptions" in ended.stdout
