"""`tunehook sandbox`: stand-ins of the providers and a webhook receiver."""

from __future__ import annotations

import errno
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from tunehook.errors import Unavailable
from tunehook.times import iso
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson

if TYPE_CHECKING:
    from tunehook_local.sandbox import LoggedRequest, Sandbox

DEFAULT_PORT: Final = 4580

_SHOWN_CHARS: Final = 1000
"""How much is shown of a body that is no JSON."""


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free port.")
    ] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    scenario_file: Annotated[
        Path | None,
        typer.Option(
            "--scenario",
            metavar="FILE",
            help="The rules for its responses, as TOML: see above, and docs/sandbox.md.",
            show_default="the demo's",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print the bodies of received webhooks, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run stand-ins of the three providers and a webhook receiver, until Ctrl-C.

    Prints how to configure the providers, then a line for each request: time, status, method, path, and what it was
    about. With --json, each is a line of JSON.

    A task's id decides how it ends: `demo-failure` fails, `demo-slow` takes ten minutes, `demo-unknown` is not
    known to the provider; any other id completes within 20 seconds. More may follow such a name: `demo-failure-2`.

    --scenario FILE replaces these rules. It is TOML with a list of rules; the first that matches a task applies:

    \b
      [[tasks]]
      kind = "suno"       # or all kinds
      task_id = "song-*"
      answers = [
        { phase = "queued", until_s = 5 },
        { status = 500, times = 2 },
        { phase = "completed" },
      ]

    Receivers (by `name`) and files (by `path`) have rules of the same form: [[receivers]], [[assets]].
    """
    from tunehook_local.sandbox import serve

    announce, log = (
        (_announce_as_json, _log_as_json) if as_json else (_announce, partial(_log, verbose=verbose))
    )
    try:
        serve(host, port, scenario_file, announce, log)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"port {port} of {host} is in use: choose another with --port") from None
        raise Unavailable(f"cannot listen on port {port} of {host}: {error.strerror}") from None


def _announce_as_json(sandbox: Sandbox) -> None:
    urls = {"url": sandbox.url, "receiver_url": sandbox.receiver_url("inbox")}
    urls["received_url"] = f"{sandbox.url}/control/received"
    output.print_json_line({**urls, "providers": sandbox.providers_secret()})


def _announce(sandbox: Sandbox) -> None:
    print(sandbox.guide())
    print("\nCtrl-C stops it. Requests:", flush=True)


def _log_as_json(request: LoggedRequest) -> None:
    document: dict[str, Any] = {
        "at": iso(request.at),
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "remark": request.remark,
    }
    webhook = request.received
    output.print_json_line(document | {"webhook": None if webhook is None else webhook.as_json()})


def _log(request: LoggedRequest, *, verbose: bool) -> None:
    status = "---" if request.status is None else request.status
    words = f"{request.at.astimezone():%H:%M:%S} {status} {request.method} {request.path}"
    remark = request.remark or ""
    if request.status is None:
        remark = f"{remark}, no response" if remark else "no response"
    print(output.printable(f"{words}  {remark}".rstrip()), flush=True)
    if verbose and request.received is not None:
        for line in _body(request.received.body):
            print(f"  {output.printable(line)}", flush=True)


def _body(body: bytes) -> list[str]:
    text = body.decode("utf-8", "replace")
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False).splitlines()
    except ValueError:
        return text[:_SHOWN_CHARS].splitlines()
