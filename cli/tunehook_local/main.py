"""The whole `tunehook` command: that of `tunehook_cli`, `tunehook local` and `tunehook sandbox`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunehook_cli.main import app, run
from tunehook_cli.stack import use_embedded_aws
from tunehook_local.commands.local import app as local_app
from tunehook_local.commands.sandbox import sandbox

if TYPE_CHECKING:
    from tunehook_local.embedded.state import LocalEnvironment

__all__ = ["app", "run"]


def _running() -> LocalEnvironment | None:
    from tunehook_local.embedded.state import running

    return running()


app.add_typer(local_app, name="local")
app.command()(sandbox)
use_embedded_aws(_running)
