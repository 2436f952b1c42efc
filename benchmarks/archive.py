"""How fast files are copied to S3 and in how much memory: fulfillment's archive beside a bare loop.

The files' host is nginx, S3 is the embedded AWS, each a process of its own; every copy is made by a process of its own
too, so that its peak of memory is its own. The bare loop is `requests` into boto3's ``upload_fileobj``, file after
file. Every round copies in each way in turn; rates are the medians of the rounds, ratios the medians of each round's
own ratio. Run it with ``python -m benchmarks.archive``; it takes about three minutes and needs nginx.
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
from pathlib import Path
from typing import Any, Final

import boto3
import requests

from benchmarks.memory import peak_memory_mb
from benchmarks.nginx import NginxMissingError, nginx
from benchmarks.report import Row, report
from fulfillment.archive import Archive
from fulfillment.assets import Asset
from fulfillment.results import S3_SETTINGS, Results
from fulfillment.transfer import Run
from tunehook.aws.clients import client
from tunehook.http.client import open_client
from tunehook.tasks import TaskKey
from tunehook_cli.local import ministack
from tunehook_cli.local.state import Home, LocalEnvironment

MIB: Final = 1024 * 1024
MANY, MANY_BYTES = 64, 4 * MIB
LARGE_BYTES: Final = 1024 * MIB
SMALL_BYTES: Final = MIB
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
    """What one process did: seconds for its copies, and the most memory that it had, in MB."""

    took_s: float
    peak_mb: float


def names_of_many() -> list[str]:
    """Return the names of the many files on the host."""
    return [f"many-{number}.mp3" for number in range(MANY)]


async def copy_with_archive(host: str, names: Sequence[str], s3: Any) -> None:
    """Copy files as fulfillment does, and insist that all are kept."""
    run = Run(TaskKey(uuid.uuid4().hex, "bench"), run_ms=0)
    assets = [Asset(name, "audio", (f"{host}/{name}",)) for name in names]
    async with open_client(timeout=None) as http:
        kept = await Archive(Results(s3, _BUCKET), http, max_asset_bytes=2 * LARGE_BYTES).keep(run, assets)
    missing = [each.asset.reason for each in kept if each.asset.status != "archived"]
    if missing:
        raise RuntimeError(f"not kept: {missing}")


def copy_in_a_loop(host: str, names: Sequence[str], s3: Any) -> None:
    """Copy files one after another, with nothing but an HTTP client and boto3."""
    folder = uuid.uuid4().hex
    with requests.Session() as http:
        for name in names:
            with http.get(f"{host}/{name}", stream=True, timeout=60) as answer:
                s3.upload_fileobj(answer.raw, _BUCKET, f"{folder}/{name}")


def copy(way: str, host: str, aws: LocalEnvironment, names: Sequence[str]) -> Copying:
    """Copy files in a process of its own; `way` is ``archive`` or ``loop``."""
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.archive", way, host, aws.endpoint, aws.region, *names],
        check=True,
        stdout=subprocess.PIPE,
        timeout=300,
    )
    return Copying(**json.loads(child.stdout))


def _copy_here(way: str, host: str, endpoint: str, region: str, *names: str) -> None:
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=region)
    started = time.perf_counter()
    if way == "archive":
        s3 = client("s3", session=session, endpoint_url=endpoint, **S3_SETTINGS)
        asyncio.run(copy_with_archive(host, names, s3))
    else:
        copy_in_a_loop(host, names, session.client("s3", endpoint_url=endpoint))
    took_s = time.perf_counter() - started
    print(json.dumps({"took_s": took_s, "peak_mb": peak_memory_mb()}))


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
            many.append([copy(way, host, aws, names_of_many()) for way in ("archive", "loop")])
            large.append([copy(way, host, aws, ["large.mp3"]) for way in ("archive", "loop")])
            small = copy("archive", host, aws, ["small.mp3"])
    return [
        *_rows(f"{MANY} of {MANY_BYTES // MIB} MiB", MANY * MANY_BYTES, many),
        *_rows("one of 1 GiB", LARGE_BYTES, large),
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
    ]


def _rows(what: str, size: int, rounds: Sequence[Sequence[Copying]]) -> list[Row]:
    ours, theirs = zip(*rounds, strict=True)
    return [
        Row(f"tunehook: {what}", statistics.median(size / 1e6 / each.took_s for each in ours), "MB/s"),
        Row(f"bare loop: {what}", statistics.median(size / 1e6 / each.took_s for each in theirs), "MB/s"),
        Row(
            f"tunehook / bare loop: {what}",
            statistics.median(their.took_s / our.took_s for our, their in rounds),
            "ratio",
            at_least=0.8,
        ),
    ]


def main() -> None:
    """Report how fast files are copied; with a way, a host, an endpoint, a region and names, copy them and tell."""
    if len(sys.argv) > 1:
        _copy_here(*sys.argv[1:])
        return
    try:
        rows = measure()
    except NginxMissingError as error:
        sys.exit(str(error))
    title = f"Files from nginx to the embedded S3, all on loopback, median of {ROUNDS} rounds"
    report("archive", title, rows)


if __name__ == "__main__":
    main()
