"""The console of the demonstration: a process of its own that shows the stack, and the pictures taken of it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tunehook.errors import Unavailable
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import LocalEnvironment, checkout

FLAKY: Final = "demo-flaky"
"""The receiver of ``sandbox/scenarios/demo.toml`` that refuses its first webhook."""

SHOWN: Final = ("suno", "demo-city-lights")
"""The task of the picture with players."""

RETRIED_WITHIN_S: Final = 600.0
MAX_BYTES: Final = 300_000
"""What one picture of the README may have."""

_BROWSER_PYTHON: Final = Path(".tunehook", "tools", "browser", "bin", "python")


def start_console(
    command: str, environment: LocalEnvironment, log_path: Path
) -> tuple[str, subprocess.Popen[str]]:
    """Start `tunehook console` on a free port; return its address, which has its token, and the process."""
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [command, "console", "--port", "0"],
            env=os.environ | environment.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    assert process.stdout is not None
    with process.stdout as printed:
        url = printed.readline().strip()
    if not url:
        process.wait()
        raise Unavailable(
            f"the console did not start: {ministack.last_error_line(log_path)} (log: {log_path})"
        )
    return url, process


@contextmanager
def console_while(command: str, environment: LocalEnvironment, log_path: Path) -> Iterator[str]:
    """Yield the address of a console that is ended afterwards."""
    url, process = start_console(command, environment, log_path)
    try:
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def a_delivery_with_attempts(tunehook: Any, sandbox_url: str) -> str:
    """Have a receiver refuse a webhook and take it the next time; return the delivery's id.

    `tunehook` runs the command with the words it is given, and returns its JSON.
    """
    receiver = f"{sandbox_url}/receiver/{FLAKY}"
    subscription = tunehook("subscribe", receiver, "--provider", "qhaigc", "--json")["subscription_id"]
    tunehook("deliveries", "recover", subscription, "--since", "1h", "--json")
    deadline = time.monotonic() + RETRIED_WITHIN_S
    while time.monotonic() < deadline:
        found = tunehook("deliveries", "list", "--subscription", subscription, "--json")
        for each in found:
            if each["status"] == "delivered" and len(each["attempts"]) > 1:
                return str(each["delivery_id"])
        time.sleep(2)
    raise Unavailable(f"the receiver {FLAKY} took no webhook within {RETRIED_WITHIN_S:.0f} s")


def take_pictures(url: str, pages: dict[str, str], folder: Path) -> None:
    """Write a PNG of each page, given by the picture's name, each below `MAX_BYTES`."""
    python = checkout() / _BROWSER_PYTHON
    if not python.exists():
        raise Unavailable("Playwright is not set up: `python requirements/environments.py command browser`")
    folder.mkdir(parents=True, exist_ok=True)
    what = json.dumps({"url": url, "folder": str(folder), "pages": pages})
    taken = subprocess.run(
        [python, Path(__file__).with_name("screenshots.py")],
        input=what,
        capture_output=True,
        text=True,
        check=False,
    )
    if taken.returncode != 0:
        raise Unavailable(f"no pictures: {(taken.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    for name in pages:
        size = (folder / f"{name}.png").stat().st_size
        if size > MAX_BYTES:
            raise Unavailable(f"{name}.png has {size:,} B, and may have {MAX_BYTES:,}")


def photograph(
    command: str, tunehook: Any, environment: LocalEnvironment, log_path: Path, sandbox_url: str, folder: Path
) -> None:
    """Take the README's pictures: of the overview and a task first, for the delivery's makes the figures slower."""
    with console_while(command, environment, log_path) as url:
        provider, task_id = SHOWN
        task = urlencode({"task_id": task_id, "provider": provider})
        take_pictures(url, {"console-overview": "/", "console-task": f"/task?{task}"}, folder)
        delivery = urlencode({"id": a_delivery_with_attempts(tunehook, sandbox_url)})
        take_pictures(url, {"console-delivery": f"/delivery?{delivery}"}, folder)
