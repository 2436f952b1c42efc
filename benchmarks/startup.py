"""How long the command takes for the smallest of its jobs: `tunehook tasks list` of a stack with three tasks.

AWS is a server of this script, which answers at once: what is measured is the command. Another checkout is measured in
the same run, with the packages of this environment: the two take turns, and the median counts. By default that is
commit 1d8a622 as git has it; where git does not have it, this checkout is measured alone.

Run it with ``python -m benchmarks.startup [OTHER_CHECKOUT] [--rounds N]``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.report import Row, report

ROOT: Final = Path(__file__).parents[1]
ROUNDS: Final = 11
BASELINE: Final = "1d8a622"
"""The last commit before a start-up time was promised."""
AT_MOST: Final = 0.7 / 1.1
"""Of the time that it took in that commit."""

_TASK: Final = {"task_id": {"S": "t"}, "provider": {"S": "suno"}, "status": {"S": "pending"}}
_STACK: Final = """<DescribeStacksResponse xmlns="http://cloudformation.amazonaws.com/doc/2010-05-15/">
<DescribeStacksResult><Stacks><member><StackName>tunehook</StackName><CreationTime>2026-11-20T16:00:00Z</CreationTime>
<StackStatus>CREATE_COMPLETE</StackStatus><Outputs><member><OutputKey>TasksTable</OutputKey>
<OutputValue>tasks</OutputValue></member></Outputs></member></Stacks></DescribeStacksResult>
<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeStacksResponse>"""


class Took(NamedTuple):
    """What one run took, in seconds."""

    real: float
    cpu: float


class _Aws(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        is_table = "x-amz-target" in self.headers
        items = [_TASK | {"task_id": {"S": f"task-{number}"}} for number in range(3)]
        body = json.dumps({"Items": items, "Count": 3, "ScannedCount": 3}) if is_table else _STACK
        self.send_response(200)
        self.send_header("content-type", "application/x-amz-json-1.0" if is_table else "text/xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        pass


@contextmanager
def _aws() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Aws)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class NotThere(Exception):
    """A commit of which git has no files, and why."""


@contextmanager
def files_of(commit: str, repository: Path = ROOT) -> Iterator[Path]:
    """Unpack the files of a commit into a folder, which is deleted afterwards; raise `NotThere` if git has none."""
    with TemporaryDirectory(prefix="tunehook-startup-") as name:
        folder = Path(name) / "files"
        packed = Path(name) / "files.tar"
        command = ["git", "-C", str(repository), "archive", "--format=tar", f"--output={packed}", commit]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise NotThere("there is no git here") from None
        except subprocess.CalledProcessError as error:
            raise NotThere(" ".join(error.stderr.split())) from None
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
        yield folder


def measure(checkout: Path, endpoint: str, *arguments: str) -> Took:
    """Run the command of a checkout once; raise `CalledProcessError` if it fails."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text())
    module, _, function = project["project"]["scripts"]["tunehook"].partition(":")
    paths = [checkout / folder for folder in project["tool"]["hatch"]["build"]["dev-mode-dirs"]]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "COV"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }
    command = [sys.executable, "-c", f"from {module} import {function} as run; run()", *arguments]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main(argv: list[str]) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="benchmarks.startup")
    parser.add_argument(
        "other", nargs="?", type=Path, help=f"another checkout, to compare with (default: commit {BASELINE})"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args(argv)
    checkouts = {"this": ROOT}
    with ExitStack() as kept:
        if arguments.other is not None:
            checkouts["the other"] = arguments.other.resolve()
        else:
            try:
                checkouts[BASELINE] = kept.enter_context(files_of(BASELINE))
            except NotThere as error:
                print(f"measured alone, without commit {BASELINE}: {error}", file=sys.stderr)
        runs = _take_turns(checkouts, arguments.rounds)
    rows = []
    for name, each in runs.items():
        rows.append(Row(f"{name}: real", statistics.median(took.real for took in each), "s"))
        rows.append(Row(f"{name}: CPU", _median_cpu(each), "s"))
    for name in [each for each in runs if each != "this"]:
        ratio = _median_cpu(runs["this"]) / _median_cpu(runs[name])
        rows.append(Row(f"CPU, this to {name}", ratio, "ratio", at_most=AT_MOST))
    report("startup", "`tunehook tasks list`, three tasks", rows)


def _take_turns(checkouts: dict[str, Path], rounds: int) -> dict[str, list[Took]]:
    runs: dict[str, list[Took]] = {name: [] for name in checkouts}
    with _aws() as endpoint:
        for number in range(rounds + 1):
            for name, checkout in checkouts.items():
                took = measure(checkout, endpoint, "tasks", "list")
                if number:  # the first of each writes the byte code
                    runs[name].append(took)
    return runs


def _median_cpu(runs: list[Took]) -> float:
    return statistics.median(took.cpu for took in runs)


if __name__ == "__main__":
    main(sys.argv[1:])
