"""The poller's function in a process of its own, over an embedded AWS that holds its tables, its bus and its secret.

An invocation calls the real handler; what Lambda would tell it of its time, the benchmark tells.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.template import table_definition

from benchmarks.process import peak_memory_mb
from tunehook.aws.items import from_attributes, to_attributes
from tunehook.tasks import Status, work_queue
from tunehook.times import now_ms
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home, LocalEnvironment

TASKS: Final = "TasksTable"
LEASES: Final = "PollerLeasesTable"
STATES: Final = "ProviderStatesTable"
BUS: Final = "tunehook"
SECRET: Final = "providers"
LAMBDA_FILES_MAX: Final = 1024
"""Open files that Lambda allows a function, connections included."""

_BATCH: Final = 25
_FILLERS: Final = 4
_DAY_MS: Final = 86_400_000


class Surroundings:
    """What the poller works on.

    Parameters
    ----------
    environment : LocalEnvironment
        The embedded AWS, without a stack.
    """

    def __init__(self, environment: LocalEnvironment) -> None:
        self._environment = environment
        self._dynamodb = environment.client("dynamodb")
        self._secrets = environment.client("secretsmanager")
        environment.client("events").create_event_bus(Name=BUS)
        self._secrets.create_secret(Name=SECRET, SecretString="{}")
        self._create_tables()

    def begin_anew(self, providers: Mapping[str, Any]) -> None:
        """Empty the tables, and configure these providers.

        Parameters
        ----------
        providers : mapping
            What the providers secret is to hold.
        """
        self._secrets.put_secret_value(SecretId=SECRET, SecretString=json.dumps(providers))
        for table in (TASKS, LEASES, STATES):
            self._dynamodb.delete_table(TableName=table)
        self._create_tables()

    def _create_tables(self) -> None:
        for table in (TASKS, LEASES, STATES):
            self._dynamodb.create_table(**table_definition(table))

    def add(self, tasks: Iterable[PendingItem]) -> None:
        """Put tasks that intake has accepted already."""
        requests = [{"PutRequest": {"Item": to_attributes(task.attributes())}} for task in tasks]
        with ThreadPoolExecutor(_FILLERS) as threads:
            batches = (requests[start : start + _BATCH] for start in range(0, len(requests), _BATCH))
            for answer in threads.map(self._put, batches):
                if answer["UnprocessedItems"]:
                    raise RuntimeError("the embedded AWS did not take all items")

    def _put(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        return dict(self._dynamodb.batch_write_item(RequestItems={TASKS: batch}))

    def detected(self) -> dict[tuple[str, str], int]:
        """Return for each ended task, by provider and id, when it was found ended, in milliseconds since 1970."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=TASKS)
        items = (from_attributes(item) for page in pages for item in page["Items"])
        return {
            (item["provider"], item["task_id"]): item["detected_at_ms"]
            for item in items
            if "detected_at_ms" in item
        }

    def variables(self, shard_count: int) -> dict[str, str]:
        """Return the environment of the poller's function."""
        return self._environment.variables() | {
            "POWERTOOLS_SERVICE_NAME": "poller",
            "TASKS_TABLE": TASKS,
            "TASKS_STREAM": "none",
            "INTAKE_FUNCTION": "none",
            "FULFILLMENT_FUNCTION": "none",
            "WEBHOOKS_FUNCTION": "none",
            "LEASES_TABLE": LEASES,
            "PROVIDER_STATES_TABLE": STATES,
            "CALLBACK_HINTS_TABLE": "none",
            "RESULTS_BUCKET": "results",
            "EVENT_BUS": BUS,
            "FULFILLMENT_DEAD_LETTERS": "none",
            "DELIVERIES_DEAD_LETTERS": "none",
            "INTAKE_DEAD_LETTERS": "none",
            "POLLER_DEAD_LETTERS": "none",
            "PROVIDERS_SECRET": SECRET,
            "SHARD_COUNT": str(shard_count),
            "CALLBACKS_TAKE_IN": "off",
        }


@dataclass(frozen=True, slots=True)
class PendingItem:
    """A task that intake accepted at `since_ms`, and that its provider had had for `provider_has_it_ms` by then."""

    task_id: str
    provider: str
    since_ms: int
    shard: int = 0
    provider_has_it_ms: int = 0

    def attributes(self) -> dict[str, Any]:
        """Return the item, as plain Python values."""
        return {
            "task_id": self.task_id,
            "provider": self.provider,
            "status": Status.PENDING.value,
            "queue": work_queue(self.shard),
            "since_ms": self.since_ms,
            "submitted_at_ms": self.since_ms - self.provider_has_it_ms,
            "deadline_ms": self.since_ms + _DAY_MS,
        }


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Run an embedded AWS for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="tunehook-bench-") as folder:
        home = Home(Path(folder))
        environment = ministack.start(home, ministack.free_port())
        try:
            yield Surroundings(environment)
        finally:
            ministack.stop(home, environment)


class LonePoller:
    """One invocation of the poller, made ready by `lone_poller`.

    Parameters
    ----------
    process : subprocess.Popen
        The process that is to make it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._told("ready")

    def start(self) -> int:
        """Begin the invocation; return when, in milliseconds since 1970."""
        self._tell("go")
        return int(self._told("started"))

    def stop(self) -> float:
        """Let the invocation run out of time and end; return the peak of its process's memory, in MB."""
        self._tell("stop")
        self._told("ended")
        return peak_memory_mb(self._process.pid)

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _told(self, word: str) -> str:
        assert self._process.stdout is not None
        said, _, rest = self._process.stdout.readline().strip().partition(" ")
        if said != word:
            raise RuntimeError(f"the poller's process did not come to be {word}")
        return rest


@contextmanager
def lone_poller(around: Surroundings, *, shard: int = 0, shard_count: int = 1) -> Iterator[LonePoller]:
    """Make a process ready that has imported all, and is to watch `shard` once it is told to.

    Yields
    ------
    LonePoller
        Its invocation; where it was not stopped, the process is ended with the context.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(shard)],
        env=os.environ | around.variables(shard_count),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield LonePoller(process)
    finally:
        process.kill()
        process.communicate()


class _Invocation:
    """What Lambda hands to a handler."""

    function_name = "poller"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:poller"
    aws_request_id = "lone"

    def __init__(self, timeout_s: float) -> None:
        self._ends_at = time.monotonic() + timeout_s
        self._is_stopped = False

    def stop(self) -> None:
        """Have no time left to ask any more."""
        self._is_stopped = True

    def get_remaining_time_in_millis(self) -> int:
        """Return what is left of the invocation."""
        remaining_ms = round(1000 * (self._ends_at - time.monotonic()))
        return min(remaining_ms, _WIND_UP_MS) if self._is_stopped else remaining_ms


_TIMEOUT_S: Final = 120.0
"""The timeout of the poller's function."""

_WIND_UP_MS: Final = 10_000
"""Less than the poller takes for asking on, enough for it to settle what it knows."""


def _run(shard: int) -> None:
    from poller.app import handler

    # What the function prints is its log; the answers to the benchmark go out beside it.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())

    def answer(*words: object) -> None:
        print(*words, file=answers, flush=True)

    resource.setrlimit(resource.RLIMIT_NOFILE, (LAMBDA_FILES_MAX, LAMBDA_FILES_MAX))
    answer("ready")
    sys.stdin.readline()
    invocation = _Invocation(_TIMEOUT_S)

    def stop_when_told() -> None:
        sys.stdin.readline()
        invocation.stop()

    threading.Thread(target=stop_when_told, daemon=True).start()
    answer("started", now_ms())
    handler({"started_by": "schedule", "shard": shard}, invocation)  # type: ignore[arg-type]
    answer("ended")
    time.sleep(_TIMEOUT_S)  # whoever started this process looks at it, and ends it


if __name__ == "__main__":
    _run(int(sys.argv[1]))
