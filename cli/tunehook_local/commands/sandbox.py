"""`tunehook sandbox`: stand-ins of the providers and a webhook receiver."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tunehook.errors import Unavailable
from tunehook_cli import output
from tunehook_cli.commands.options import AsJson

if TYPE_CHECKING:
    from tunehook_local.sandbox import Sandbox

DEFAULT_PORT: Final = 4580


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")
    ] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    scenario_file: Annotated[
        Path | None, typer.Option("--scenario", help="A scenario file (TOML).", show_default="the demo's")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run stand-ins of the three providers and a webhook receiver, until Ctrl-C."""
    from tunehook_local.sandbox import serve

    try:
        serve(host, port, scenario_file, _announce_as_json if as_json else _announce)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"port {port} of {host} is in use: choose another with --port") from None
        raise Unavailable(f"cannot listen on port {port} of {host}: {error.strerror}") from None


def _announce_as_json(sandbox: Sandbox) -> None:
    urls = {"url": sandbox.url, "receiver_url": sandbox.receiver_url("inbox")}
    urls["received_url"] = f"{sandbox.url}/control/received"
    output.print_json_line({**urls, "providers": sandbox.providers_secret()})


def _announce(sandbox: Sandbox) -> None:
    print(f"The sandbox listens at {sandbox.url}. Configure its providers with\n")
    for name, entry in sandbox.providers_secret().items():
        print(
            f"  tunehook providers set {name} --kind {entry['kind']} "
            f"--base-url {entry['base_url']} --api-key {entry['api_key']}"
        )
    print(f"\nand send webhooks to {sandbox.receiver_url('<any name>')}\n")
    print(f"  tunehook subscribe {sandbox.receiver_url('inbox')}")
    print(f"  curl {sandbox.url}/control/received\n")
    print("Ctrl-C stops it.", flush=True)
