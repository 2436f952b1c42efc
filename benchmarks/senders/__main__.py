"""Drive a sender of webhooks through its public API, and print what the receiver's books say of it.

usage: python -m benchmarks.senders tunehook                                 on the embedded AWS, which is started
       python -m benchmarks.senders tunehook --url URL --key KEY --provider NAME --provider-port PORT
       python -m benchmarks.senders svix|outpost --url URL --key KEY [--pid PID ...]
       python -m benchmarks.senders convoy --url URL --key KEY --project ID
       python -m benchmarks.senders hook0 --url URL --key KEY --application ID
       python -m benchmarks.senders --write           writes the table of docs/comparison.md anew, from the last results

The sender runs already: nothing of a peer is installed or started. A bare loop is measured beside it. What cannot be
measured stays empty, and the reason is printed. docs/comparison.md says what to start, and how.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.senders import table
from benchmarks.senders.adapter import Refused, Sender
from benchmarks.senders.bare import BareLoop
from benchmarks.senders.convoy import Convoy
from benchmarks.senders.hook0 import Hook0
from benchmarks.senders.measuring import PHASES, Measurement, Sizes
from benchmarks.senders.outpost import Outpost
from benchmarks.senders.receiver import Receiver
from benchmarks.senders.svix import Svix
from benchmarks.senders.tunehook import SCENARIO, Tunehook

SENDERS: Final = ("tunehook", "svix", "outpost", "convoy", "hook0", "bare")
KEY_VARIABLE: Final = "SENDERS_KEY"
COMMAND_S: Final = 120.0
BARE_QUIET_S: Final = 20.0
"""The bare loop tries once, for 15 s."""

_NO_STORE: Final = "it has no queue whose store could be restarted alone"


@dataclass(frozen=True)
class Subject:
    """A sender that runs: what is done to it, and by which processes it is known."""

    sender: Sender
    pids: Callable[[], Sequence[int]] = tuple
    happenings: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    no_happening: dict[str, str] = field(default_factory=dict)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    defaults = Sizes()
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.senders", description="Measure a sender of webhooks."
    )
    made.add_argument("sender", nargs="?", choices=SENDERS)
    made.add_argument(
        "--write", action="store_true", help="keep the results, and docs/comparison.md with them"
    )
    made.add_argument("--version", default="", help="the sender's version, for the table")
    about = made.add_argument_group("the sender")
    about.add_argument("--url", help="of its API, without a path (for tunehook: the output ApiUrl)")
    about.add_argument(
        "--key", default=os.environ.get(KEY_VARIABLE), help=f"by default that of {KEY_VARIABLE}"
    )
    about.add_argument("--pid", type=int, action="append", default=[], help="of a process of it; repeatable")
    about.add_argument("--kill-command", help="kills it with SIGKILL and starts it again")
    about.add_argument("--restart-command", help="restarts the store of its queue")
    about.add_argument("--project", help="convoy: the id of an outgoing project")
    about.add_argument("--application", help="hook0: the id of an application")
    about.add_argument("--provider", default="suno", help="tunehook: a provider of kind suno (%(default)s)")
    about.add_argument(
        "--provider-port", type=int, help="tunehook: where that provider is asked, played here"
    )
    where = made.add_argument_group("the receiver")
    where.add_argument("--host", default="127.0.0.1", help="listens here (%(default)s)")
    where.add_argument("--port", type=int, default=0, help="a free one by default")
    where.add_argument("--receiver-url", help="how the sender reaches it, if not by that host and port")
    where.add_argument("--forbidden-host", default="127.0.0.2", help="where redirects lead (%(default)s)")
    sizes = made.add_argument_group("sizes")
    sizes.add_argument("--count", type=int, default=defaults.count, help="events of the drain (%(default)s)")
    sizes.add_argument("--rate", type=float, default=defaults.rate, help="events a second (%(default)s)")
    sizes.add_argument("--seconds", type=float, default=defaults.seconds, help="at that rate (%(default)s)")
    sizes.add_argument("--clients", type=int, default=defaults.clients, help="requests at once (%(default)s)")
    sizes.add_argument("--body-bytes", type=int, default=defaults.body_bytes, help="of text (%(default)s)")
    sizes.add_argument("--retry-after", type=int, default=defaults.retry_after_s, help="in s (%(default)s)")
    sizes.add_argument(
        "--quiet", type=float, default=defaults.quiet_s, help="s until one is lost (%(default)s)"
    )
    sizes.add_argument("--most", type=float, default=defaults.most_s, help="s for a phase (%(default)s)")
    sizes.add_argument("--only", help=f"some of {','.join(PHASES)}")
    sizes.add_argument("--no-bare", action="store_true", help="leave the bare loop out")
    return made


def phases_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the phases that are asked for; raise `SystemExit` for one that there is not."""
    chosen = tuple(options.only.split(",")) if options.only else PHASES
    if unknown := set(chosen) - set(PHASES):
        sys.exit(f"--only: there is no {', '.join(sorted(unknown))}")
    return chosen


def sizes_of(options: argparse.Namespace) -> Sizes:
    """Return the sizes; raise `SystemExit` for one that is none."""
    for name in ("count", "rate", "seconds", "clients", "retry_after", "quiet", "most"):
        if getattr(options, name) <= 0:
            sys.exit(f"--{name.replace('_', '-')}: must be above 0")
    return Sizes(
        count=options.count,
        rate=options.rate,
        seconds=options.seconds,
        clients=options.clients,
        body_bytes=options.body_bytes,
        retry_after_s=options.retry_after,
        answers_s=max(options.retry_after * 1.5, 30.0),
        quiet_s=options.quiet,
        most_s=options.most,
    )


def peer(session: aiohttp.ClientSession, options: argparse.Namespace) -> Sender:
    """Return the adapter of a peer; raise `SystemExit` if an option is missing that it needs."""
    needed = ["url", "key", *{"convoy": ["project"], "hook0": ["application"]}.get(options.sender, [])]
    for name in needed:
        if not getattr(options, name):
            sys.exit(f"--{name} is needed")
    if options.sender == "convoy":
        return Convoy(session, options.url, options.key, options.project)
    if options.sender == "hook0":
        return Hook0(session, options.url, options.key, options.application)
    kind = Svix if options.sender == "svix" else Outpost
    return kind(session, options.url, options.key)


def by_command(option: str, command: str) -> Callable[[], Awaitable[None]]:
    """Return what runs a command in a shell, and raises `Refused` if it fails or does not end."""

    async def run() -> None:
        # A group of its own, so that what the shell waits for ends with it; what it leaves behind stays.
        process = await asyncio.create_subprocess_shell(command, start_new_session=True)
        try:
            async with asyncio.timeout(COMMAND_S):
                status = await process.wait()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
            raise Refused(option, 0, f"did not end within {COMMAND_S:g} s") from None
        if status:
            raise Refused(option, 0, f"ended with the status {status}")

    return run


def of_commands(
    options: argparse.Namespace,
) -> tuple[dict[str, Callable[[], Awaitable[None]]], dict[str, str]]:
    """Return what can be done by the commands that were given, and why the rest cannot."""
    given = {"kill": options.kill_command, "restart": options.restart_command}
    done = {crash: by_command(f"--{crash}-command", command) for crash, command in given.items() if command}
    return done, {crash: f"no --{crash}-command was given" for crash in given if crash not in done}


@asynccontextmanager
async def opened(session: aiohttp.ClientSession, options: argparse.Namespace) -> AsyncIterator[Subject]:
    """Yield the sender that is asked for; of tunehook without a URL, and the bare loop, also start it."""
    happenings, missing = of_commands(options)
    if options.sender == "bare":
        async with _bare(session) as subject:
            yield subject
    elif options.sender == "tunehook" and not options.url:
        from benchmarks.senders.stack import PROVIDER, started

        with started() as stack:

            async def kill() -> None:
                await asyncio.to_thread(stack.kill)

            sender = Tunehook(session, stack.url, stack.key, PROVIDER)
            yield Subject(sender, lambda: stack.pids, {"kill": kill}, {"restart": _NO_STORE})
    elif options.sender == "tunehook":
        from tunehook_local.sandbox import Kind, run_sandbox

        if not options.key or options.provider_port is None:
            sys.exit("--key and --provider-port are needed")
        with run_sandbox(SCENARIO, host=options.host, port=options.provider_port) as sandbox:
            print(f"{options.provider} is asked at {sandbox.base_url(Kind.SUNO)}")
            sender = Tunehook(session, options.url, options.key, options.provider)
            yield Subject(sender, lambda: options.pid, happenings, missing)
    else:
        yield Subject(peer(session, options), lambda: options.pid, happenings, missing)


@asynccontextmanager
async def _bare(session: aiohttp.ClientSession) -> AsyncIterator[Subject]:
    async with BareLoop(session) as loop:
        yield Subject(loop, lambda: loop.pids, {"kill": loop.kill}, {"restart": _NO_STORE})


async def measure(options: argparse.Namespace) -> list[table.Column]:
    """Measure the sender and the bare loop, one after the other, and return their columns."""
    sizes, phases = sizes_of(options), phases_of(options)
    columns = []
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        receiver = await stack.enter_async_context(
            Receiver(options.host, options.forbidden_host, port=options.port, url=options.receiver_url)
        )
        turns = [(opened(session, options), sizes, options.version)]
        if options.sender != "bare" and not options.no_bare:
            turns.append((_bare(session), replace(sizes, quiet_s=min(sizes.quiet_s, BARE_QUIET_S)), ""))
        for context, its_sizes, version in turns:
            async with context as subject:
                before = os.getloadavg()[0]
                measurement = Measurement(
                    subject.sender,
                    receiver,
                    its_sizes,
                    subject.pids,
                    subject.happenings,
                    subject.no_happening,
                )
                try:
                    cells = await measurement.run(phases)
                finally:
                    await _close(subject.sender)
            about = describe(version, before, os.getloadavg()[0])
            columns.append(table.Column(subject.sender.name, about, cells))
    return columns


async def _close(sender: Sender) -> None:
    try:
        await sender.close()
    except Refused as refused:
        print(f"left behind: {refused}", file=sys.stderr)


def describe(
    version: str, load_before: float, load_after: float, cpuinfo: Path = Path("/proc/cpuinfo")
) -> str:
    """Return a version, the day and the machine with its load, for people."""
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else [])
        if line.startswith("model name")
    ]
    processors = f"{os.cpu_count()} processors{f' ({models[0]})' if models else ''}"
    load = f"load average {load_before:.1f} before and {load_after:.1f} after"
    parts = [version, f"{datetime.now(UTC):%Y-%m-%d}", platform.system(), processors, load]
    return f"{', '.join(part for part in parts if part)}."


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and keep what was found if that is asked for."""
    made = parser()
    options = made.parse_args(words)
    if options.sender is None and not options.write:
        made.error("name a sender")
    kept = table.read_columns()
    new = asyncio.run(measure(options)) if options.sender else []
    columns = table.merged(kept, new)
    table.print_table(columns)
    if options.write:
        table.write_columns(columns)
        text = table.DOCUMENT.read_text(encoding="utf-8")
        table.DOCUMENT.write_text(table.document(text, columns), encoding="utf-8")


if __name__ == "__main__":
    main()
