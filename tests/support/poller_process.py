"""The real handler of the poller function in a process of its own, which a test can kill at a moment of its choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
READY = "ready"


class PollerProcess:
    """One execution environment of the poller function, started and waiting for its one invocation.

    Parameters
    ----------
    environment : mapping
        The function's environment variables, and those by which boto3 finds AWS.
    timeout_s : float
        The function's timeout.
    """

    def __init__(self, environment: Mapping[str, str], timeout_s: float) -> None:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("AWS_") and not name.lower().endswith("_proxy")
        }
        folders = (ROOT, ROOT / "functions", ROOT / "layers" / "tunehook")
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            env=inherited | dict(environment) | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != READY:
            self.close()
            raise RuntimeError("the poller's process did not come up")

    def invoke(self, event: Mapping[str, Any]) -> None:
        """Invoke the handler, once; this does not wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"event": event, "timeout_s": self._timeout_s}) + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End the process as a machine that fails does: at once, with nothing said to anybody."""
        self._process.kill()

    @property
    def is_running(self) -> bool:
        """Whether the process has neither ended nor been killed."""
        return self._process.poll() is None

    def close(self) -> None:
        """Kill it if it runs, and let go of it."""
        self._process.kill()
        self._process.communicate()


class _Context:
    memory_limit_in_mb = 512

    def __init__(self, timeout_s: float) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.invoked_function_arn = (
            f"arn:aws:lambda:{os.environ['AWS_REGION']}:0:function:{self.function_name}"
        )
        self.aws_request_id = str(uuid.uuid4())
        self._ends_at = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._ends_at - time.monotonic()) * 1000))


def main() -> None:
    """Be the process: come up, take one invocation from standard input, end with it."""
    from poller.app import handler, poller

    poller()
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    invocation = json.loads(sys.stdin.readline())
    # What it prints from here on nobody reads: it must not wait for that.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    handler(invocation["event"], _Context(invocation["timeout_s"]))


if __name__ == "__main__":
    main()
