"""`make demo`: starts everything, tells tunehook of tasks, and shows that all comes out at the other end.

With ``--json`` the report is JSON on stdout, and all else is on stderr. With ``--picture FILE`` what is printed is also
written as an SVG of a terminal. With ``--screenshots FOLDER`` the console is shown to a browser, and pictures of it are
written there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from tunehook_local.demo.console import photograph, start_console
from tunehook_local.demo.observer import Observer, StoredFile
from tunehook_local.demo.picture import recording_console, write_picture
from tunehook_local.demo.progress import Progress
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import HOME_VARIABLE, Home, LocalEnvironment, checkout
from tunehook_local.embedded.up import bring_up
from tunehook_local.steps import Steps

_TIMEOUT_S: Final = 300.0
_POLL_S: Final = 0.5
_SANDBOX_START_S: Final = 120.0
_TUNEHOOK: Final = str(Path(sys.executable).parent / "tunehook")

_INTRODUCTION: Final = (
    "[bold]The tunehook demo[/]: three sandbox providers make songs; tunehook, on an embedded AWS, tracks them, "
    "stores the files and sends signed webhooks. No account, no Docker. It takes about a minute, and 150 MB in "
    ".tunehook/demo.\n"
)
_WAITING: Final = (
    "A new task is polled at once. That of musicmint is finished by then. That of qhaigc would be polled again when it "
    "is 20 s old, but qhaigc calls back when it has ended. suno is still at work, and polled every 5 s.\n"
)


def main(*arguments: str) -> int:
    """Run the demonstration; return 0 only if everything that must be there is there."""
    as_json = arguments == ("--json",)
    picture = Path(arguments[1]) if len(arguments) == 2 and arguments[0] == "--picture" else None
    screenshots = Path(arguments[1]) if len(arguments) == 2 and arguments[0] == "--screenshots" else None
    if arguments and not as_json and picture is None and screenshots is None:
        print(
            f"demo: no such option: {' '.join(arguments)} "
            "(there are --json, --picture FILE and --screenshots FOLDER)",
            file=sys.stderr,
        )
        return 2
    output.prepare_streams()
    shown_on = sys.stderr if as_json else sys.stdout
    if picture is None:
        console = Console(file=shown_on, width=None if shown_on.isatty() else 120, highlight=False)
    else:
        console = recording_console()
    home = Home(checkout() / ".tunehook" / "demo")
    keep = os.environ.get("KEEP") == "1"
    print_line = partial(_print_line, console)
    count = 8 if screenshots is None else 9
    steps = Steps(print_line, console, count=count, signs=picture is None)
    try:
        console.print(_INTRODUCTION)
        with raise_on_signals():
            with _everything(home, print_line, steps, keep) as (environment, sandbox_url, sandbox_pid):
                findings = _demonstrate(console, steps, environment, sandbox_url)
                is_all_there = _report(console, findings, home)
                if as_json:
                    output.print_json(_document(findings))
                if is_all_there and screenshots is not None:
                    with steps.step("taking pictures of the console", 120):
                        _photograph(environment, home, sandbox_url, screenshots)
                if keep:
                    with steps.step("starting the console", 2):
                        url, shows = start_console(_TUNEHOOK, environment, _console_log(home))
                    _print_what_runs(console, home, sandbox_url, sandbox_pid, url, shows.pid)
            if is_all_there and not keep:
                _print_what_next(console)
        if picture is not None and is_all_there:
            write_picture(console, picture)
        return 0 if is_all_there else 1
    except (TunehookError, *AWS_FAULTS, httpx.HTTPError) as error:
        console.print(f"demo: {error}", style="red", markup=False, soft_wrap=True)
        console.print(f"logs: {home.log.parent}", soft_wrap=True)
        return 1
    except Terminated as told:
        print_line("stopped")
        return told.status


def _print_line(console: Console, line: str) -> None:
    with contextlib.suppress(OSError):  # The terminal may be gone.
        console.print(line, markup=False, soft_wrap=True)


@contextmanager
def _everything(
    home: Home, print_line: Any, steps: Steps, keep: bool
) -> Iterator[tuple[LocalEnvironment, str, int]]:
    """Start the stack and the sandbox, and stop both; the sandbox's URL and process id are with it."""
    left_over = home.running()
    if left_over is not None:
        ministack.stop(home, left_over)
    shutil.rmtree(home.data, ignore_errors=True)
    home.log.unlink(missing_ok=True)
    environment = bring_up(home, ministack.free_port(), print_line, steps=steps)
    sandbox = None
    try:
        port = ministack.free_port()
        url = f"http://127.0.0.1:{port}"
        log_path = home.log.with_name("sandbox.log")
        with log_path.open("wb") as log:
            sandbox = subprocess.Popen(
                [_TUNEHOOK, "sandbox", "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        with steps.step(f"starting the sandbox, providers and webhook receivers, at {url}", 2):
            _wait_for(url, sandbox, log_path)
        yield environment, url, sandbox.pid
    finally:
        if not keep:
            with steps.step("stopping the sandbox and the embedded AWS", 5):
                try:
                    if sandbox is not None:
                        sandbox.terminate()
                        sandbox.wait(timeout=10)
                finally:
                    ministack.stop(home, environment)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _SANDBOX_START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/control/received", trust_env=False, timeout=1.0).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise Unavailable(f"the sandbox did not start: {ministack.last_error_line(log)} (log: {log})")


def _demonstrate(
    console: Console, steps: Steps, environment: LocalEnvironment, sandbox_url: str
) -> list[Finding]:
    observer = Observer(environment, sandbox_url)
    hook_url = f"{sandbox_url}/receiver/{HOOK}"
    with steps.step("configuring the providers and a webhook, with the tunehook command", 6):
        secrets, api = _configure(console, environment, sandbox_url, hook_url)
    console.print(
        "\nThe providers have begun the songs. Their ids go to tunehook, by its API or into its table:"
    )
    for task in TASKS:
        item = {"task_id": task.task_id, "provider": task.provider}
        if task.has_hook:
            item["notify_hook"] = hook_url
        way = "POST /v1/tasks" if task.by_api else "PutItem"
        console.print(f"  {way} {json.dumps(item)}", soft_wrap=True)
        callback_url = api.callback_url if task.calls_back else None
        observer.begin_song(task.provider, task.task_id, task.age_s, callback_url)
        if task.by_api:
            observer.post_task(api.url, api.key, item)
        else:
            observer.put_task(item)
    console.print(_WAITING)
    progress = Progress(console, observer)
    with steps.step("waiting for songs, files and webhooks", 15, lambda: progress.summary):
        deadline = time.monotonic() + _TIMEOUT_S
        while not progress.update() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
    with steps.step("checking every file, signature and link", 1):
        received = observer.received()
        return [examine(observer, task, received, secrets) for task in TASKS]


@dataclass(frozen=True)
class _Api:
    """Where the HTTP API is, a key for it, and the URL that the provider calls back."""

    url: str
    key: str = field(repr=False)
    callback_url: str = field(repr=False)


def _configure(
    console: Console, environment: LocalEnvironment, sandbox_url: str, hook_url: str
) -> tuple[dict[str, str], _Api]:
    """Configure the providers, subscribe the receiver, make a key of the API.

    Returns the signing secrets by receiver, and the API.
    """
    tunehook = partial(_tunehook, console, environment)
    for provider in dict.fromkeys(task.provider for task in TASKS):
        url, key = f"{sandbox_url}/{provider}", f"sandbox-key-{provider}"
        tunehook("providers", "set", provider, "--kind", provider, "--base-url", url, "--api-key", key)
    subscription = tunehook("subscribe", f"{sandbox_url}/receiver/{SUBSCRIBED}", "--json")
    hook = tunehook("subscriptions", "secret", hook_url, "--json")
    url = tunehook("outputs", "ApiUrl", "--json")["ApiUrl"]
    key = tunehook("keys", "create", "demo", "--scope", "write", "--json")["key"]
    (caller,) = (task.provider for task in TASKS if task.calls_back)
    callback_url = tunehook("providers", "callback-url", caller, "--json")["callback_url"]
    secrets = {SUBSCRIBED: subscription["signing_secret"], HOOK: hook["signing_secret"]}
    return secrets, _Api(url, key, callback_url)


def _tunehook(console: Console, environment: LocalEnvironment, *arguments: str) -> Any:
    """Run the command as a user would; return its JSON if that was asked for."""
    console.print(f"  $ tunehook {' '.join(arguments)}", soft_wrap=True)
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
    table = Table(title="\nResults", title_justify="left", show_lines=True)
    for column in ("task", "status", "objects in S3", "webhooks"):
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
        console.print(
            "[green]Everything is there[/]: every file has the right bytes, standardwebhooks verified every signature, "
            "every link works."
        )
        return True
    console.print("[red]Not everything is there:[/]")
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


def _console_log(home: Home) -> Path:
    return home.log.with_name("console.log")


def _photograph(environment: LocalEnvironment, home: Home, sandbox_url: str, folder: Path) -> None:
    tunehook = partial(_tunehook, Console(quiet=True), environment)
    photograph(_TUNEHOOK, tunehook, environment, _console_log(home), sandbox_url, folder)


def _print_what_runs(
    console: Console, home: Home, sandbox_url: str, sandbox_pid: int, console_url: str, console_pid: int
) -> None:
    console.print(
        f"\nStill running: the stack, the sandbox at {sandbox_url}, and the console. Paste this first:",
        soft_wrap=True,
    )
    command_folder = shlex.quote(str(Path(_TUNEHOOK).parent))
    _print_commands(
        console,
        (f'export PATH={command_folder}:"$PATH" {HOME_VARIABLE}={shlex.quote(str(home.folder))}', ""),
        ('eval "$(tunehook local env)"', ""),
    )
    console.print("and then, say:")
    _print_commands(
        console,
        ("tunehook status", "everything at a glance"),
        ("tunehook results demo-city-lights", "the files, with links"),
        ("tunehook deliveries list", "the webhooks"),
        ("tunehook submit suno my-song", "a task of your own"),
        ("tunehook outputs ApiUrl", "the HTTP API (docs/api.md)"),
        ("tunehook watch my-song", "wait for its end"),
        (f"tunehook local down; kill {sandbox_pid} {console_pid}", "stops all three"),
    )
    console.print("\nThe console, to look and listen, for a browser on this machine:")
    console.print(console_url, markup=False, soft_wrap=True)


def _print_what_next(console: Console) -> None:
    console.print("\nWhat to look at next:")
    _print_commands(
        console,
        ("make demo KEEP=1", "run it again and keep it running, with commands to try"),
        ("README.md, Try it by hand", "your own tasks, providers and receivers, step by step"),
        ("ls .tunehook/demo/logs", "what the functions logged"),
        ("make clean", "removes all that was installed and built"),
    )


def _print_commands(console: Console, *commands: tuple[str, str]) -> None:
    """Print commands, each with what it does: beside it if there is room for all, else above it."""
    width = max(len(command) for command, _ in commands) + 2
    is_wide = all(2 + width + 3 + len(what) <= console.width for _, what in commands if what)
    for command, what in commands:
        line = f"{command:<{width}} # {what}" if is_wide else f"# {what}\n  {command}"
        console.print(f"  {line if what else command}", soft_wrap=True, markup=False)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
