"""`tunehook local`: the embedded AWS of this checkout."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import sys
from enum import StrEnum
from typing import Annotated

import typer

from tunehook_cli.local import ministack
from tunehook_cli.local.containers import listening_address
from tunehook_cli.local.state import Home, LocalEnvironment
from tunehook_cli.local.up import bring_up, say_on_stderr

app = typer.Typer(
    no_args_is_help=True, help="An embedded AWS on this machine, with the real stack deployed to it."
)


class Function(StrEnum):
    """The functions, by their short names."""

    INTAKE = "intake"
    POLLER = "poller"
    FULFILLMENT = "fulfillment"
    WEBHOOKS = "webhooks"


def _running(home: Home) -> LocalEnvironment:
    environment = home.running()
    if environment is None:
        say_on_stderr("the embedded AWS does not run: start it with `tunehook local up`")
        raise typer.Exit(1)
    return environment


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and return.")] = False,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port to listen on.")
    ] = ministack.DEFAULT_PORT,
    containers: Annotated[
        bool,
        typer.Option(
            "--containers", help="Listen where this machine's containers reach it, rather than on loopback."
        ),
    ] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Forget all that was kept before.")] = False,
) -> None:
    """Start the embedded AWS, build the stack and deploy it; if it runs, update the stack."""
    home = Home()
    host = listening_address() if containers else None
    environment = home.running()
    if reset:
        if environment is not None:
            ministack.stop(home, environment)
        shutil.rmtree(home.data, ignore_errors=True)
    environment = bring_up(home, port, host=host)
    say_on_stderr(f"the stack {environment.stack_name} is at {environment.endpoint}")
    if detach:
        say_on_stderr('use it with: eval "$(tunehook local env)"   stop it with: tunehook local down')
        return
    say_on_stderr("Ctrl-C stops it")
    with contextlib.suppress(KeyboardInterrupt):
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    ministack.stop(home, environment)
    say_on_stderr("stopped; what it holds is kept")


@app.command()
def env(
    sam: Annotated[
        bool, typer.Option("--sam", help="Print the file for `sam local invoke --env-vars` instead.")
    ] = False,
) -> None:
    """Print `export` lines for a shell: eval "$(tunehook local env)"."""
    environment = _running(Home())
    if sam:
        from tunehook_cli.local.invocation import environment_file

        json.dump(environment_file(environment), sys.stdout, indent=2)
        print()
        return
    for name, value in environment.variables().items():
        print(f"export {name}='{value}'")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Say whether the embedded AWS runs and the stack is there; exit with 1 if not."""
    from tunehook_cli.local.deployed import stack_status

    home = Home()
    environment = home.running()
    stack = None if environment is None else stack_status(environment)
    report = {
        "running": environment is not None,
        "endpoint": environment and environment.endpoint,
        "pid": environment and environment.pid,
        "stack": environment and environment.stack_name,
        "stack_status": stack,
        "state": str(home.data),
        "log": str(home.log),
    }
    if as_json:
        json.dump(report, sys.stdout, indent=2)
        print()
    else:
        for name, value in report.items():
            print(f"{name:<13}{'-' if value is None else value}")
    if environment is None or stack is None:
        raise typer.Exit(1)


@app.command()
def logs(
    function: Annotated[Function | None, typer.Argument(help="One function; all of them by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print what the functions have logged."""
    from tunehook_cli.local import logs as function_logs

    home = Home()
    environment = _running(home)
    read = function_logs.follow if follow else function_logs.lines
    try:
        for line in read(home, environment, function):
            print(line, flush=follow)
    except KeyboardInterrupt:
        pass


@app.command()
def down() -> None:
    """Stop the embedded AWS; what it holds is kept for the next `up`."""
    home = Home()
    environment = home.running()
    if environment is None:
        say_on_stderr("the embedded AWS does not run")
        return
    ministack.stop(home, environment)
    say_on_stderr("stopped; what it holds is kept")
