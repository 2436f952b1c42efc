"""How long each function takes to start, beside what it cannot do without; and how large its layers are.

Each import is that of a fresh process, of the functions and the layer as they are packed for Lambda (byte code
included), with the wheels and the boto3 of this environment. The baseline, in the same rounds, is boto3 with the
clients that the function makes, aiohttp and httpx, and pydantic alone: its `BaseModel`, for the package by itself loads
next to nothing before one of its names is used. The interpreter's own start is in no figure.

A function makes its clients at its first event. So it is measured twice: the import alone, as Lambda does it before any
event, and, like for like, with the settings read and the clients made.

Run it with ``python -m benchmarks.imports [ROUNDS]``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.report import Row, report

ROOT: Final = Path(__file__).parents[1]
RATIO_AT_MOST: Final = 1.25
LAYERS_AT_MOST_MB: Final = 120
ROUNDS: Final = 15

FUNCTIONS: Final[Mapping[str, str]] = {
    "intake": "intake",
    "poller": "poller",
    "fulfillment": "_worker",
    "webhooks": "_worker",
}
"""What in each function's `app` makes its clients; the api function makes each when a request needs it."""

ENVIRONMENT: Final[Mapping[str, str]] = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "nothing",
    "CALLBACKS_TAKE_IN": "on",
    "CALLBACK_HINTS_TABLE": "hints",
    "DEAD_LETTERS": "dead-letters",
    "DELIVERIES_DEAD_LETTERS": "dead-letters",
    "DELIVERIES_QUEUE": "deliveries",
    "DELIVERIES_TABLE": "deliveries",
    "EVENT_BUS": "bus",
    "FULFILLMENT_DEAD_LETTERS": "dead-letters",
    "FULFILLMENT_QUEUE": "fulfillment",
    "GATES_TABLE": "gates",
    "INTAKE_DEAD_LETTERS": "dead-letters",
    "INTAKE_FUNCTION": "intake",
    "FULFILLMENT_FUNCTION": "fulfillment",
    "WEBHOOKS_FUNCTION": "webhooks",
    "LEASES_TABLE": "leases",
    "MASTER_SECRET": "master",
    "MAX_ASSET_BYTES": "1000000",
    "NETWORK_POLICY": "public",
    "POLLER_DEAD_LETTERS": "dead-letters",
    "POLLER_FUNCTION": "poller",
    "PROVIDERS_SECRET": "providers",
    "PROVIDER_STATES_TABLE": "states",
    "RESULTS_BUCKET": "results",
    "MEMORY_MB": "512",
    "ARCHIVE_PATIENCE_S": "60",
    "SHARD_COUNT": "1",
    "SECRET_VERSIONS_TABLE": "versions",
    "SUBSCRIPTIONS_TABLE": "subscriptions",
    "TASKS_STREAM": "stream",
    "TASKS_TABLE": "tasks",
}
"""All that the functions read of their environment; nothing is asked of AWS."""

_TIMED: Final = """
import sys, time
began_s = time.perf_counter()
exec(sys.argv[1])
print(time.perf_counter() - began_s)
"""

_CLIENTS: Final = """
import sys, boto3
make = boto3.client
def client(service, *arguments, **options):
    print(service)
    return make(service, *arguments, **options)
boto3.client = client
exec(sys.argv[1])
"""


class Pack:
    """The functions and the layers as `sam build` packs them, in a folder.

    Parameters
    ----------
    folder : Path
        Where to pack them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def function(self, name: str) -> None:
        """Pack a function."""
        self._make("functions", f"{name.capitalize()}Function")

    def tunehook_layer(self) -> float:
        """Pack the layer with the shared code; return its size in MB."""
        return size_mb(self._make("layers/tunehook", "TunehookLayer"))

    def dependencies_layer(self) -> float:
        """Pack the wheels of every Python and both processors; return their size in MB."""
        return size_mb(self._make("layers/dependencies", "DependenciesLayer"))

    def python(self, name: str, program: str, statements: str) -> str:
        """Run a program in a fresh process that finds a packed function and layer; return what it prints.

        Parameters
        ----------
        name : str
            The function.
        program : str
            Executes the statements that are its argument.
        statements : str
        """
        path = [self._artifacts(f"{name.capitalize()}Function"), self._artifacts("TunehookLayer") / "python"]
        return subprocess.run(
            [sys.executable, "-c", program, statements],
            cwd=self._folder,
            env={**ENVIRONMENT, "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, path))},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout

    def _artifacts(self, resource: str) -> Path:
        return self._folder / resource

    def _make(self, source: str, resource: str) -> Path:
        artifacts = self._artifacts(resource)
        artifacts.mkdir()
        subprocess.run(
            ["make", "--silent", "--directory", str(ROOT / source), f"build-{resource}"],
            env={
                **os.environ,
                "ARTIFACTS_DIR": str(artifacts),
                "PYTHON": sys.executable,
            },
            check=True,
        )
        return artifacts


def main(rounds: int = ROUNDS) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory(prefix="tunehook-bench-") as folder:
        pack = Pack(Path(folder))
        sizes = {"tunehook": pack.tunehook_layer(), "dependencies": pack.dependencies_layer()}
        for name in FUNCTIONS:
            pack.function(name)
        rows = [row for name in FUNCTIONS for row in measure(pack, name, rounds)]
    report(
        "imports",
        f"Imports in fresh processes, median of {rounds}, and the layers unpacked",
        [
            *rows,
            *(Row(f"layer, {name}", size, "MB") for name, size in sizes.items()),
            Row("both layers", sum(sizes.values()), "MB", at_most=LAYERS_AT_MOST_MB),
        ],
    )


def measure(pack: Pack, name: str, rounds: int) -> Iterator[Row]:
    """Measure a function's import beside the baseline, in turns.

    Parameters
    ----------
    pack : Pack
        Holds the function and the shared layer.
    name : str
        The function.
    rounds : int
        How often; the medians count.
    """
    services = clients_of(pack, name)
    baseline = (
        f"import boto3\nfor service in {services!r}:\n    boto3.client(service)\n"
        "import aiohttp, httpx\nfrom pydantic import BaseModel\n"
    )
    alone = f"import {name}.app"
    ways = {
        f"baseline, clients {', '.join(services)}": baseline,
        "import": alone,
        "import and clients": f"{alone}\n{name}.app.{FUNCTIONS[name]}()",
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, statements in ways.items():
            taken[way].append(float(pack.python(name, _TIMED, statements)))
    medians = {way: statistics.median(each) for way, each in taken.items()}
    for way, median in medians.items():
        yield Row(f"{name}: {way}", median * 1000, "ms")
    beside, *ours = medians
    for way in ours:
        yield Row(
            f"{name}: {way}, beside the baseline",
            medians[way] / medians[beside],
            "ratio",
            at_most=RATIO_AT_MOST,
        )


def clients_of(pack: Pack, name: str) -> list[str]:
    """Return the services that a function makes clients of, as boto3 names them."""
    made = pack.python(name, _CLIENTS, f"import {name}.app\n{name}.app.{FUNCTIONS[name]}()")
    return made.split()


def size_mb(folder: Path) -> float:
    """Return how large the files in a folder are, in MB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
