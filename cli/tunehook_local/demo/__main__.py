"""`make demo`: starts everything, puts tasks into the table, and shows that all comes out at the other end.

With ``--json`` the report is JSON on stdout, and all else is on stderr.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import TunehookError, Unavailable
from tunehook_cli import output
from tunehook_cli.signals import Terminated, raise_on_signals
from tunehook_local.demo.check import HOOK, SUBSCRIBED, TASKS, Finding, examine
from tunehook_local.demo.observer import Observer, StoredFile
from tunehook_local.demo.progress import Progress
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import HOME_VARIABLE, Home, LocalEnvironment, checkout
from tunehook_local.embedded.up import bring_up

_TIMEOUT_S: Final = 120.0
_POLL_S: Final = 0.5
_SANDBOX_START_S: Final = 15.0
_TUNEHOOK: Final = str(Path(sys.executable).parent / "tunehook")


def main(*arguments: str) -> int:
    """Run the demonstration; return 0 only if everything that must be there is there."""
    as_json = arguments == ("--json",)
    if arguments and not as_json:
        print(f"demo: no such option: {' '.join(arguments)} (there is --json alone)", file=sys.stderr)
        return 2
    output.prepare_streams()
    shown_on = sys.stderr if as_json else sys.stdout
    console = Console(file=shown_on, width=None if shown_on.isatty() else 120, highlight=False)
    home = Home(checkout() / ".tunehook" / "demo")
    keep = os.environ.get("KEEP") == "1"
    try:
        with (
            raise_on_signals(),
            _embedded_stack(home, console, keep) as environment,
            _sandbox(home, console, keep) as (sandbox_url, sandbox_pid),
        ):
            findings = _demonstrate(console, environment, sandbox_url)
            is_all_there = _report(console, findings, home)
            if as_json:
                output.print_json(_document(findings))
            if keep:
                _print_next_steps(console, home, sandbox_url, sandbox_pid)
            return 0 if is_all_there else 1
    except (TunehookError, *AWS_FAULTS, httpx.HTTPError) as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        console.print(f"logs: {home.log.parent}", soft_wrap=True)
        return 1
    except Terminated as told:
        with contextlib.suppress(OSError):  # The terminal may be gone.
            console.print("stopped")
        return told.status


@contextmanager
def _embedded_stack(home: Home, console: Console, keep: bool) -> Iterator[LocalEnvironment]:
    left_over = home.running()
    if left_over is not None:
        ministack.stop(home, left_over)
    shutil.rmtree(home.data, ignore_errors=True)
    home.log.unlink(missing_ok=True)
    environment = bring_up(home, ministack.free_port(), lambda line: console.print(line))
    try:
        yield environment
    finally:
        if not keep:
            ministack.stop(home, environment)


@contextmanager
def _sandbox(home: Home, console: Console, keep: bool) -> Iterator[tuple[str, int]]:
    port = ministack.free_port()
    url = f"http://127.0.0.1:{port}"
    log_path = home.log.with_name("sandbox.log")
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [_TUNEHOOK, "sandbox", "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(url, process, log_path)
        console.print(f"sandbox providers and receivers at {url}")
        yield url, process.pid
    finally:
        if not keep:
            process.terminate()
            process.wait(timeout=10)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SANDBOX_START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/control/received", trust_env=False, timeout=1.0).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise Unavailable(f"the sandbox did not come up: {ministack.last_error_line(log)} (log: {log})")


def _demonstrate(console: Console, environment: LocalEnvironment, sandbox_url: str) -> list[Finding]:
    observer = Observer(environment, sandbox_url)
    tunehook = partial(_tunehook, console, environment)
    for provider in dict.fromkeys(task.provider for task in TASKS):
        url, key = f"{sandbox_url}/{provider}", f"sandbox-key-{provider}"
        tunehook("providers", "set", provider, "--kind", provider, "--base-url", url, "--api-key", key)
    hook_url = f"{sandbox_url}/receiver/{HOOK}"
    subscription = tunehook("subscribe", f"{sandbox_url}/receiver/{SUBSCRIBED}", "--json")
    hook = tunehook("subscriptions", "secret", hook_url, "--json")
    secrets = {SUBSCRIBED: subscription["signing_secret"], HOOK: hook["signing_secret"]}

    console.print("\nputting the tasks into the table, with PutItem:")
    for task in TASKS:
        item = {"task_id": task.task_id, "provider": task.provider}
        if task.has_hook:
            item["notify_hook"] = hook_url
        console.print(f"  {json.dumps(item)}", soft_wrap=True)
        observer.put_task(item)
    console.print()
    progress = Progress(console, observer)
    deadline = time.monotonic() + _TIMEOUT_S
    while not progress.update() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    received = observer.received()
    return [examine(observer, task, received, secrets) for task in TASKS]


def _tunehook(console: Console, environment: LocalEnvironment, *arguments: str) -> Any:
    """Run the command as a user would; return its JSON if that was asked for."""
    console.print(f"$ tunehook {' '.join(arguments)}", soft_wrap=True)
    finished = subprocess.run(
        [_TUNEHOOK, *arguments],
        env=os.environ | environment.variables(),
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode != 0:
        raise Unavailable(f"`tunehook {arguments[0]}` failed: {finished.stderr.strip()}")
    return json.loads(finished.stdout) if "--json" in arguments else None


def _report(console: Console, findings: list[Finding], home: Home) -> bool:
    table = Table(title="\nwhat came of the tasks", title_justify="left", show_lines=True)
    for column in ("task", "status", "objects in S3", "webhooks, signature verified by standardwebhooks"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        webhooks = (
            f"{each.content['type']} at {each.receiver}: "
            f"{'NOT VERIFIED' if each in finding.unverified else 'verified'}"
            for each in finding.webhooks
        )
        table.add_row(
            f"{finding.task.task_id}\n{finding.task.provider}",
            finding.status,
            "\n".join(_file_line(finding, file) for file in finding.files),
            "\n".join(webhooks) or "none",
        )
    console.print(table)
    problems = [f"{finding.task.task_id} {problem}" for finding in findings for problem in finding.problems]
    if not problems:
        console.print("[green]everything is there[/]")
        return True
    console.print("[red]not everything is there:[/]")
    console.print(*(f"  {problem}" for problem in problems), sep="\n", soft_wrap=True)
    console.print(f"logs: {home.log.parent}", soft_wrap=True)
    return False


def _file_line(finding: Finding, file: StoredFile) -> str:
    prefix = f"results/{finding.task.provider}/{finding.task.task_id}/"
    clip, _, name = file.key.removeprefix(prefix).rpartition("/")
    return f"{f'{clip[:8]}/' if clip else ''}{name}  {file.size:,} B  {file.content_type}"


def _document(findings: list[Finding]) -> dict[str, Any]:
    return {
        "complete": not any(finding.problems for finding in findings),
        "tasks": [
            {
                "task_id": each.task.task_id,
                "provider": each.task.provider,
                "status": each.status,
                "files": [
                    {"key": file.key, "bytes": file.size, "content_type": file.content_type}
                    for file in each.files
                ],
                "webhooks": [
                    {"type": one.content["type"], "receiver": one.receiver} for one in each.webhooks
                ],
                "problems": each.problems,
            }
            for each in findings
        ],
    }


def _print_next_steps(console: Console, home: Home, sandbox_url: str, sandbox_pid: int) -> None:
    console.print(f"\nstill running (KEEP=1): the stack, and the sandbox at {sandbox_url}", soft_wrap=True)
    console.print(f"  export {HOME_VARIABLE}={home.folder}", soft_wrap=True)
    console.print("  .venv/bin/tunehook tasks list", soft_wrap=True)
    console.print(f"  .venv/bin/tunehook local down; kill {sandbox_pid}      # stops both", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
