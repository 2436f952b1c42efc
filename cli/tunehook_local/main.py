"""The whole `tunehook` command: that of `tunehook_cli`, `tunehook local` and `tunehook sandbox`."""

from __future__ import annotations

from tunehook_cli.embedded_aws import EmbeddedAws, use_embedded_aws
from tunehook_cli.main import COMMANDS, MODULES, app, load_command, run

__all__ = ["COMMANDS", "app", "load_command", "run"]


def _running() -> EmbeddedAws | None:
    from tunehook_local.embedded.state import running

    return running()


COMMANDS["sandbox"] = "Run stand-ins of the three providers and a webhook receiver, until Ctrl-C."
COMMANDS["local"] = "An embedded AWS on this machine, with the real stack deployed to it."
MODULES["sandbox"] = "tunehook_local.commands.sandbox"
MODULES["local"] = "tunehook_local.commands.local"
use_embedded_aws(_running)

if __name__ == "__main__":
    run()
