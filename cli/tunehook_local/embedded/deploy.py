"""Builds the stack and deploys it to the embedded AWS, both with the real SAM CLI."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tunehook.errors import Misconfigured, Unavailable
from tunehook_local.embedded.ministack import last_error_line
from tunehook_local.embedded.ministack_workarounds import enable_ttl, write_for_ministack
from tunehook_local.embedded.state import Home, LocalEnvironment, checkout

SUPPORTED_PYTHONS: Final = ((3, 11), (3, 12), (3, 13), (3, 14))

CONCURRENCY: Final = {"FulfillmentConcurrency": 5, "WebhooksConcurrency": 10}
"""How often functions run at once: each time it is a process of this machine."""


def build(home: Home, source: Path | None = None) -> None:
    """Run `sam build` for the Python that the embedded AWS runs functions with, which is this one's version.

    `source` is the folder of the template and its code, such as another version's checkout; this checkout by default.

    Raises `Misconfigured` if a tool is missing, or Lambda does not have this Python; `Unavailable`, with the last error
    that was printed, if the build fails.
    """
    version = _python_version()
    if shutil.which("make") is None:
        raise Misconfigured("`make` is not installed, and `sam build` needs it")
    _sam(
        home,
        "build",
        *("--template-file", str((source or checkout()) / "template.yaml")),
        *("--build-dir", str(home.build)),
        # The key of SAM's cache is the source alone: each Python needs a cache of its own.
        *("--cached", "--cache-dir", str(home.folder / f"build-cache-{version}")),
        *("--parameter-overrides", f"PythonVersion={version}"),
        extra={
            "LAYER_PROCESSORS": "native",
            # An earlier version's layer was built for one Python.
            "LAYER_PYTHON_VERSION": version,
            "PYTHON": sys.executable,
            "COMPILERS": shlex.quote(sys.executable),
        },
    )


def deploy(home: Home, environment: LocalEnvironment, tags: Sequence[str] = ()) -> None:
    """Run `sam deploy`, which creates the environment's stack or updates it, and do what MiniStack leaves out.

    `tags` are ``key=value`` that the stack carries. Raises what `build` raises.
    """
    processor = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    _sam(
        home,
        "deploy",
        *("--template-file", str(write_for_ministack(home.build / "template.yaml"))),
        *("--config-file", str(checkout() / "samconfig.toml"), "--config-env", "local"),
        *("--stack-name", environment.stack_name),
        *(("--tags", *tags) if tags else ()),
        *("--parameter-overrides", f"PythonVersion={_python_version()}"),
        *(f"Architecture={processor}", "NetworkPolicy=any"),
        *(f"{name}={value}" for name, value in CONCURRENCY.items()),
        extra=environment.variables(),
    )
    enable_ttl(environment)


def _python_version() -> str:
    if sys.version_info[:2] not in SUPPORTED_PYTHONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED_PYTHONS)
        raise Misconfigured(
            f"the functions run with this Python, {platform.python_version()}, and Lambda has {known}: "
            "run `make setup PYTHON=python3.14`, say"
        )
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _sam(home: Home, *arguments: str, extra: dict[str, str]) -> None:
    root = checkout()
    program = root / ".tunehook" / "tools" / "sam" / "bin" / "sam"
    if not program.is_file():
        raise Misconfigured("the SAM CLI is not installed: run `make setup`")
    home.build_log.parent.mkdir(parents=True, exist_ok=True)
    settings = {
        "SAM_CLI_TELEMETRY": "0",
        "__SAM_CLI_APP_DIR": str(home.folder / "sam"),
        "SAM_CLI_POLL_DELAY": "1",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with home.build_log.open("wb") as log:
        finished = subprocess.run(
            [str(program), *arguments],
            cwd=root,
            env=inherited | settings | extra,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode != 0:
        raise Unavailable(
            f"`sam {arguments[0]}` failed: {last_error_line(home.build_log)} (log: {home.build_log})"
        )
