"""`tunehook local`: the embedded AWS of this checkout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import typer

from tunehook_cli import output
from tunehook_cli.commands.options import AsJson
from tunehook_cli.signals import Terminated, raise_on_signals
from tunehook_local.embedded import ministack
from tunehook_local.embedded.docker_network import listening_address
from tunehook_local.embedded.state import Home, LocalEnvironment
from tunehook_local.embedded.up import bring_up, print_on_stderr
from tunehook_local.own_command import own_name, path_line

_DAY_S: Final = 86_400.0

app = typer.Typer(
    no_args_is_help=True, help="An embedded AWS on this machine, with the real stack deployed to it."
)


def _running(home: Home) -> LocalEnvironment:
    if (environment := home.running()) is not None:
        return environment
    print_on_stderr("the embedded AWS is not running; start it: `tunehook local up`")
    raise typer.Exit(1)


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and return.")] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65535,
            help="The port to listen on.",
            show_default=f"the last one, or {ministack.DEFAULT_PORT}",
        ),
    ] = None,
    containers: Annotated[
        bool,
        typer.Option(
            "--containers", help="Listen where this machine's containers can reach it, in place of loopback."
        ),
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Delete the data of earlier runs first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the embedded AWS, build the stack and deploy it; if it runs, update the stack.

    Without --detach it runs until Ctrl-C or another signal to end; the exit status is then 0.
    """
    home = Home()
    host = listening_address() if containers else None
    ran_before = home.running()
    is_up = False
    try:
        with raise_on_signals() as sleep:
            if reset:
                if ran_before is not None:
                    ministack.stop(home, ran_before)
                shutil.rmtree(home.data, ignore_errors=True)
                ran_before = None
            if ran_before is not None and port not in (None, ran_before.port):
                print_on_stderr(
                    f"the embedded AWS runs already, at {ran_before.endpoint} and not at port {port}: "
                    f"stop it with `tunehook local down`, then start it with `tunehook local up --port {port}`"
                )
            environment = bring_up(home, port or home.last_port or ministack.DEFAULT_PORT, host=host)
            is_up = True
            if port is not None and port == environment.port:
                home.last_port = port
            if as_json:
                output.print_json(_report(home, environment))
            print_on_stderr(f"the stack {environment.stack_name} is at {environment.endpoint}")
            if detach:
                command = own_name()
                print_on_stderr(f'use it with:  eval "$({command} local env)"')
                print_on_stderr(f"stop it with: {command} local down")
                return
            print_on_stderr("Ctrl-C stops it")
            while True:
                sleep(_DAY_S)
    except Terminated as told:
        # One that ran before is stopped only once this command has brought it up to date.
        if is_up or ran_before is None:
            _stop(home)
        if not is_up:
            raise typer.Exit(told.status) from None


def _stop(home: Home) -> bool:
    """Stop what runs, and say whether that was anything."""
    environment = home.running()
    if environment is not None:
        ministack.stop(home, environment)
    print_on_stderr("the embedded AWS is not running" if environment is None else "stopped; its data is kept")
    return environment is not None


@app.command()
def env(
    sam: Annotated[
        bool, typer.Option("--sam", help="Print the file for `sam local invoke --env-vars` instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print shell commands that select the embedded AWS and put `tunehook` on PATH.

    Run them: eval "$(tunehook local env)"
    """
    environment = _running(Home())
    if sam:
        from tunehook_local.embedded.sam_environment import environment_file

        output.print_json(environment_file(environment))
    elif as_json:
        output.print_json(environment.variables())
    else:
        for name, value in environment.variables().items():
            print(f"export {name}='{value}'")
        if (line := path_line()) is not None:
            print(line)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show whether the embedded AWS is running and the stack is deployed; exit with 1 if not."""
    home, out = Home(), output.Output(as_json)
    environment = home.running()
    report = _report(home, environment)
    out.json(report)
    out.fields(_in_words(report))
    if environment is None:
        out.note("start it: `tunehook local up --detach`")
    if not report["running"] or report["stack_status"] is None:
        raise typer.Exit(1)


def _in_words(report: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    yield "embedded AWS", f"running at {report['endpoint']}" if report["running"] else "not running"
    if report["running"]:
        yield "process", report["pid"]
        yield "stack", f"{report['stack']}, {report['stack_status'] or 'not deployed: `tunehook local up`'}"
    yield "data", report["state"]
    yield "log", report["log"]


def _report(home: Home, environment: LocalEnvironment | None) -> dict[str, object]:
    return {
        "running": environment is not None,
        "endpoint": environment and environment.endpoint,
        "pid": environment and environment.pid,
        "stack": environment and environment.stack_name,
        "stack_status": environment and environment.stack_status(),
        "state": str(home.data),
        "log": str(home.log),
    }


@app.command()
def down(as_json: AsJson = False) -> None:
    """Stop the embedded AWS. Its data is kept for the next `up`."""
    output.Output(as_json).json({"stopped": _stop(Home())})
