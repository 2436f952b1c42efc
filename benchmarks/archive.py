"""How fast files are copied to S3 and in how much memory: fulfillment's archive beside a bare loop.

The files' host is nginx, S3 is the embedded AWS, each a process of its own; every copy is made by a process of its own
too, so that its peak of memory is its own. The bare loop is `requests` into boto3's ``upload_fileobj``, file after
file. Every round copies in each way in turn; rates are the medians of the rounds, ratios the medians of each round's
own ratio. Run it with ``python -m benchmarks.archive``; it takes about four minutes and needs nginx.

The worst batch is what the function's limits allow: ten tasks at once, as many large files of each as are copied side
by side, and an S3 that is slower than the host, so that all parts that may be in memory are. ``python -m
benchmarks.archive worst`` measures that alone.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import boto3
import requests
from tests.support.template import resolved, resources

from benchmarks.nginx import NginxMissingError, nginx
from benchmarks.process import peak_memory_mb
from benchmarks.report import Row, report
from benchmarks.s3_sink import s3_sink
from fulfillment.archiver import CONCURRENCY, Archiver, TaskRun
from fulfillment.assets import Asset
from fulfillment.results import S3_SETTINGS, Results
from tunehook.aws.clients import CONNECTIONS, client
from tunehook.aws.visibility import VISIBILITY_S, Message, VisibilityHeartbeat
from tunehook.executors import UnawaitedThreads
from tunehook.http.client import open_client
from tunehook.tasks import TaskKey
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home, LocalEnvironment

MIB: Final = 1024 * 1024
MANY, MANY_BYTES = 64, 4 * MIB
LARGE_BYTES: Final = 1024 * MIB
SMALL_BYTES: Final = MIB
WORST_BYTES: Final = 24 * MIB
BATCH: Final = 10
"""How many messages the function gets at once."""

ROUNDS: Final = 3

_BUCKET: Final = "results"
_MP3: Final = b"ID3\x04\x00\x00\x00\x00\x00\x00"
_START_WITHIN_S: Final = 10.0

_HTTP: Final = """
    sendfile on;
    server {{ listen 127.0.0.1:{port}; root {folder}; }}
"""


@dataclass(frozen=True, slots=True)
class Copying:
    """What one process did: seconds for its copies, the most memory that it had, in MB, and its longest silence."""

    took_s: float
    peak_mb: float
    beat_s: float = 0.0


def names_of_many() -> list[str]:
    """Return the names of the many files on the host."""
    return [f"many-{number}.mp3" for number in range(MANY)]


@cache
def function_memory_mb() -> int:
    """Return what memory the template gives fulfillment, in MB as Lambda has them: MiB."""
    return int(resolved(resources("AWS::Serverless::Function")["FulfillmentFunction"]["MemorySize"]))


class Heartbeats:
    """Stands where the client of SQS hides messages: keeps when it was called."""

    def __init__(self) -> None:
        self._at_s = [time.monotonic()]

    def change_message_visibility_batch(self, **_: object) -> dict[str, object]:
        """Take note of a heartbeat."""
        self._at_s.append(time.monotonic())
        return {}

    def longest_wait_s(self) -> float:
        """Return the longest time between two heartbeats, or since the last."""
        return max(later - earlier for earlier, later in pairwise([*self._at_s, time.monotonic()]))


async def copy_the_worst_batch(host: str, s3: Any, memory_mb: int) -> float:
    """Copy what fills the memory most, as fulfillment's worker does; return the longest wait between two heartbeats."""
    asyncio.get_running_loop().set_default_executor(UnawaitedThreads(CONNECTIONS))
    heartbeats: Any = Heartbeats()
    messages = [Message(body="", receipt=str(number)) for number in range(BATCH)]

    def not_hidden(fault: Exception) -> None:
        raise fault

    async with (
        VisibilityHeartbeat(heartbeats, "queue", messages, on_fault=not_hidden),
        open_client(timeout=None) as http,
        asyncio.TaskGroup() as group,
    ):
        archive = Archiver(Results(s3, _BUCKET), http, max_asset_bytes=2 * LARGE_BYTES, memory_mb=memory_mb)
        for task in range(BATCH):
            names = [f"{task}-{number}" for number in range(CONCURRENCY)]
            assets = [Asset(name, "audio", (f"{host}/worst.mp3?{name}",)) for name in names]
            files = await archive.inspect(TaskRun(TaskKey(str(task), "bench"), run_ms=0), assets)
            group.create_task(archive.archive(files))
    return float(heartbeats.longest_wait_s())


async def copy_with_archive(host: str, names: Sequence[str], s3: Any, memory_mb: int) -> None:
    """Copy files as fulfillment does, and insist that all are kept."""
    run = TaskRun(TaskKey(uuid.uuid4().hex, "bench"), run_ms=0)
    assets = [Asset(name, "audio", (f"{host}/{name}",)) for name in names]
    async with open_client(timeout=None) as http:
        archive = Archiver(Results(s3, _BUCKET), http, max_asset_bytes=2 * LARGE_BYTES, memory_mb=memory_mb)
        files = await archive.inspect(run, assets)
        await archive.archive(files)
    if missing := [each.reason for each in files.current() if each.status != "archived"]:
        raise RuntimeError(f"not kept: {missing}")


def copy_in_a_loop(host: str, names: Sequence[str], s3: Any) -> None:
    """Copy files one after another, with nothing but an HTTP client and boto3."""
    folder = uuid.uuid4().hex
    with requests.Session() as http:
        for name in names:
            with http.get(f"{host}/{name}", stream=True, timeout=60) as answer:
                s3.upload_fileobj(answer.raw, _BUCKET, f"{folder}/{name}")


def copy(way: str, host: str, endpoint: str, names: Sequence[str] = ()) -> Copying:
    """Copy files in a process of its own; `way` is ``archive``, ``loop`` or ``worst``."""
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.archive", way, host, endpoint, str(function_memory_mb()), *names],
        check=True,
        stdout=subprocess.PIPE,
        timeout=300,
    )
    return Copying(**json.loads(child.stdout))


def _copy_here(way: str, host: str, endpoint: str, memory_mb: str, *names: str) -> None:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")
    started = time.perf_counter()
    figures: dict[str, float] = {}
    if way == "worst":
        for service in ("dynamodb", "events", "sqs"):  # which the function has, too
            client(service, session=session)
        s3 = client("s3", session=session, endpoint_url=endpoint, **S3_SETTINGS)
        figures["beat_s"] = asyncio.run(copy_the_worst_batch(host, s3, int(memory_mb)))
    elif way == "archive":
        s3 = client("s3", session=session, endpoint_url=endpoint, **S3_SETTINGS)
        asyncio.run(copy_with_archive(host, names, s3, int(memory_mb)))
    else:
        copy_in_a_loop(host, names, session.client("s3", endpoint_url=endpoint))
    took_s = time.perf_counter() - started
    print(json.dumps({"took_s": took_s, "peak_mb": peak_memory_mb()} | figures))


@contextmanager
def file_host() -> Iterator[str]:
    """Serve the files.

    Yields
    ------
    str
        The base URL.

    Raises
    ------
    NginxMissingError
        If nginx is not installed.
    """

    def prepare(folder: Path, port: int) -> str:
        sizes = dict.fromkeys(names_of_many(), MANY_BYTES) | {
            "large.mp3": LARGE_BYTES,
            "small.mp3": SMALL_BYTES,
            "worst.mp3": WORST_BYTES,
        }
        for file, size in sizes.items():
            with (folder / file).open("wb") as content:
                content.write(_MP3)
                content.truncate(size)
        return _HTTP.format(port=port, folder=folder)

    with nginx(prepare) as base_url:
        yield base_url


@contextmanager
def embedded_s3() -> Iterator[LocalEnvironment]:
    """Run the embedded AWS with an empty bucket."""
    # What is measured is the copying, and not this machine's disk.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="tunehook-bench-", dir=memory if memory.is_dir() else None
    ) as folder:
        home = Home(Path(folder))
        environment = ministack.start(home, ministack.free_port())
        try:
            environment.client("s3").create_bucket(Bucket=_BUCKET)
            yield environment
        finally:
            ministack.stop(home, environment)


def measure() -> list[Row]:
    """Copy in each way, round by round; S3 is empty at the beginning of each."""
    many, large = [], []
    for _ in range(ROUNDS):
        with file_host() as host, embedded_s3() as aws:
            s3 = aws.endpoint
            many.append([copy(way, host, s3, names_of_many()) for way in ("archive", "loop")])
            large.append([copy(way, host, s3, ["large.mp3"]) for way in ("archive", "loop")])
            small = copy("archive", host, s3, ["small.mp3"])
    return [
        *_rows(f"{MANY} of {MANY_BYTES // MIB} MiB", MANY * MANY_BYTES, many, at_least=0.8),
        *_rows("one of 1 GiB", LARGE_BYTES, large, at_least=0.95),
        Row("tunehook: peak memory, one of 1 MiB", small.peak_mb, "MB"),
        Row("tunehook: peak memory, one of 1 GiB", max(ours.peak_mb for ours, _ in large), "MB"),
        Row(
            "tunehook: 1 GiB above 1 MiB",
            max(ours.peak_mb for ours, _ in large) - small.peak_mb,
            "MB",
            at_most=40,
        ),
        Row(f"tunehook: peak memory, {MANY} files", max(ours.peak_mb for ours, _ in many), "MB"),
        Row("bare loop: peak memory, one of 1 GiB", max(theirs.peak_mb for _, theirs in large), "MB"),
        *measure_the_worst(),
    ]


def measure_the_worst() -> list[Row]:
    """Copy the worst batch that the limits allow."""
    with file_host() as host, s3_sink() as endpoint:
        worst = copy("worst", host, endpoint)
    what = f"worst batch, {BATCH} tasks of {CONCURRENCY} files at once"
    return [
        Row(
            f"tunehook: peak memory, {what}",
            worst.peak_mb,
            "MB",
            at_most=0.7 * function_memory_mb() * MIB / 1e6,
        ),
        Row(
            f"tunehook: longest time between heartbeats, {what}", worst.beat_s, "s", at_most=VISIBILITY_S / 2
        ),
        Row(f"tunehook: time, {what}", worst.took_s, "s"),
    ]


def _rows(what: str, size: int, rounds: Sequence[Sequence[Copying]], *, at_least: float) -> list[Row]:
    ours, theirs = zip(*rounds, strict=True)
    return [
        Row(f"tunehook: {what}", statistics.median(size / 1e6 / each.took_s for each in ours), "MB/s"),
        Row(f"bare loop: {what}", statistics.median(size / 1e6 / each.took_s for each in theirs), "MB/s"),
        Row(
            f"tunehook / bare loop: {what}",
            statistics.median(their.took_s / our.took_s for our, their in rounds),
            "ratio",
            at_least=at_least,
        ),
    ]


def main() -> None:
    """Report how fast files are copied; with a way, a host, an endpoint, a memory and names, copy them and tell."""
    if len(sys.argv) > 2:
        _copy_here(*sys.argv[1:])
        return
    try:
        if sys.argv[1:] == ["worst"]:
            for row in measure_the_worst():
                print(f"{row.name}: {row.value:.1f} {row.unit} {row.wanted}")
            return
        rows = measure()
    except NginxMissingError as error:
        sys.exit(str(error))
    title = f"Files from nginx to the embedded S3, all on loopback, median of {ROUNDS} rounds"
    report("archive", title, rows)


if __name__ == "__main__":
    main()
