"""Running `tunehook` as a user of a deployed stack does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.stack.driving import HANG_S, DeployedStack

ARGUMENTS = (sys.executable, "-c", "from tunehook_local.main import run; run()")


def environment(stack: DeployedStack) -> dict[str, str]:
    """Return that of a user of the embedded AWS."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": ":".join(sys.path),
        **stack.environment.variables(),
    }


class Command:
    """`tunehook`; with ``--json`` what it prints is parsed. The last exit status and the words on stderr are kept."""

    def __init__(self, stack: DeployedStack) -> None:
        self._environment = environment(stack)
        self.status = 0
        self.errors = ""

    def __call__(self, *words: str) -> Any:
        ran = subprocess.run(
            [*ARGUMENTS, *words], env=self._environment, capture_output=True, text=True, timeout=HANG_S
        )
        self.status, self.errors = ran.returncode, ran.stderr
        return json.loads(ran.stdout) if "--json" in words and ran.stdout else ran.stdout
