"""The whole `tunehook` command: that of `tunehook_cli`, `tunehook local` and `tunehook sandbox`."""

from __future__ import annotations

from tunehook_cli.embedded_aws import EmbeddedAws, use_embedded_aws
from tunehook_cli.main import app, run
from tunehook_local.commands.local import app as local_app
from tunehook_local.commands.sandbox import sandbox

__all__ = ["app", "run"]


def _running() -> EmbeddedAws | None:
    from tunehook_local.embedded.state import running

    return running()


app.add_typer(local_app, name="local")
app.command()(sandbox)
use_embedded_aws(_running)
