"""Proves the stack in an AWS account, or on an embedded AWS: ``make smoke``, ``python -m tests.account --help``."""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from tests.account import consent, costs
from tests.account.job import Job, outputs_of
from tests.account.judges import verdicts
from tests.account.removal import Removal
from tests.account.report import Report
from tests.account.target import EmbeddedAccount, RealAccount, Target, checked_parameter, scratch_folder

from tunehook.errors import TunehookError

REPORT: Final = Path("smoke-report.json")
FAILED, REFUSED, INTERRUPTED = 1, 2, 130

_LOG_COLUMNS: Final = 160

Say = Callable[[str], None]


def main() -> int:
    """Do what the command line says; return 0 only if all held."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.account",
        description="Proves the stack in an AWS account; region and credentials are those of the environment.",
        epilog="YES=1 answers the question, KEEP=1 keeps what was made.",
    )
    parser.add_argument("--embedded", action="store_true", help="on an embedded AWS of its own instead")
    parser.add_argument("--remove", metavar="NAME", help="only take away what the run of that name has left")
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="of the stack, beside the defaults",
    )
    parser.add_argument("--report", type=Path, default=REPORT, help=f"the file of the report ({REPORT})")
    given = parser.parse_args()
    try:
        if given.remove:
            return remove(given.remove)
        return prove(given.embedded, dict(map(checked_parameter, given.parameter)), given.report)
    except TunehookError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED


def remove(name: str) -> int:
    """Take away what a run has left; return 0 if nothing is left then."""
    removed = Removal(boto3.client, name, say).run()
    for each in removed.left:
        print(f"STILL THERE: {each}")
    print(f"Removed: {', '.join(removed.stacks + removed.resources) or 'nothing is there of it'}")
    return FAILED if removed.left else 0


def prove(embedded: bool, parameters: dict[str, str], path: Path) -> int:
    """Prove the stack; return 0 only if all held."""
    name = f"tunehook-smoke-{secrets.token_hex(4)}"
    folder = scratch_folder(name)
    target: Target
    if embedded:
        print(consent.describe(name, "an embedded AWS on this machine, where it costs nothing"))
        account, target = None, EmbeddedAccount(name, folder)
    else:
        target = RealAccount(name, folder, parameters)
        account = target.account()
        print(consent.describe(name, f"the account {account}, region {target.region}"))
        if not consent.consents(input if sys.stdin.isatty() else None):
            shutil.rmtree(folder)
            return REFUSED
    with target, terminated_as_interrupted():
        report = run(target, keep=consent.is_set(os.environ, "KEEP"))
        report.write(path, account)
        # A log of a pipeline has no width of its own.
        report.show(Console() if sys.stdout.isatty() else Console(width=_LOG_COLUMNS))
    print(f"The report is in {path}.")
    if report.held:
        shutil.rmtree(folder)
    else:
        print(f"What the tools said is in {folder}.")
    return 0 if report.held else FAILED


def run(target: Target, *, keep: bool) -> Report:
    """Deploy, do the job, judge, and remove it all, however far it came."""
    report = Report(
        target.name, target.region, target.embedded, datetime.now(UTC).isoformat(timespec="seconds")
    )
    try:
        _prove(target, report)
    except (TunehookError, BotoCoreError, ClientError) as error:
        report.error = str(error)
    except KeyboardInterrupt:
        report.error = "interrupted"
    except Exception as error:  # noqa: BLE001 - a fault of ours: it is removed and reported all the same
        traceback.print_exc()
        report.error = repr(error)
    finally:
        if keep:
            report.kept = True
            say(f"kept: `python -m tests.account --remove {target.name}` removes it")
        else:
            _remove(target, report)
    return report


def _prove(target: Target, report: Report) -> None:
    path_key, api_key = secrets.token_hex(24), secrets.token_hex(24)
    with _step("build", report):
        target.build()
    started = time.monotonic()
    with _step("deploy", report):
        target.deploy_main()
        (main,) = target.client("cloudformation").describe_stacks(StackName=target.name)["Stacks"]
        bus = outputs_of(main)["EventBusName"]
        target.deploy_sandbox({"EventBusName": bus, "PathKey": path_key, "ApiKey": api_key})
    with _step("job", report):
        evidence = Job(target, path_key, api_key, say).run(started)
    report.parameters = evidence.parameters
    report.checks = verdicts(evidence)
    report.functions = costs.times(evidence)
    report.cost = costs.cost_of(evidence)


def _remove(target: Target, report: Report) -> None:
    try:
        with _step("removal", report):
            report.removed = Removal(target.client, target.name, say, is_mine=True).run()
    except KeyboardInterrupt:
        report.error = "interrupted"
        say(f"NOT all removed: `python -m tests.account --remove {target.name}` goes on with it")
    except (TunehookError, BotoCoreError, ClientError) as error:
        report.error = f"not all removed, `python -m tests.account --remove {target.name}` goes on: {error}"


@contextmanager
def _step(what: str, report: Report) -> Iterator[None]:
    say(f"{what} ...")
    started = time.monotonic()
    try:
        yield
    finally:
        report.seconds[what] = time.monotonic() - started


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that a pipeline that is ended leaves nothing behind either."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    """Tell people how far it is."""
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
