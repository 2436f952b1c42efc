"""Runs tests of the tree that it stands in, each time in a process of its own that has the heavy imports behind it.

It is started with ``python tests/mutants/child.py MODULE ...`` in a copy of the tree and imports those modules: none of
the tree, which changes. It reads an order a line and answers each with a line, both JSON. An order has `files` (of
tests) and `seconds` (of a processor, after which it is ended), and either `tests` (ids, run in that order until one
fails) or `record` (names and paths of the modules whose lines are recorded). The answer has `exit` (pytest's status, or
None when it was ended), `failed` (the test or the file that failed) and `tests` (what was recorded).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import _hypothesis_pytestplugin
import pytest
import pytest_asyncio.plugin
from _pytest.config import ConftestImportFailure

PLUGINS = (_hypothesis_pytestplugin, pytest_asyncio.plugin)
"""Imported once: left to itself, pytest would look for plugins and import them for every order."""

WAITS = 10
"""After so many times an order's seconds it is ended although the processor was busy with something else."""

IDLE_S = 60
"""A process that has done nothing for so long waits for what never comes."""


class Chosen:
    """Runs the tests that are wanted, in the order in which they are, and remembers what failed first."""

    def __init__(self, tests: list[str] | None) -> None:
        self._places = None if tests is None else {test: place for place, test in enumerate(tests)}
        self.failed: str | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self) -> Iterator[None]:
        """Remember what tests are set up with, if it cannot even be imported: pytest takes that for a wrong order."""
        try:
            return (yield)
        except ConftestImportFailure as error:
            self.failed = str(error.path)
            raise

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Drop what is not wanted."""
        if self._places is not None:
            wanted = [item for item in items if item.nodeid in self._places]
            config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self._places])
            items[:] = sorted(wanted, key=lambda item: self._places[item.nodeid])  # type: ignore[index]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember a test."""
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a file that cannot even be imported."""
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def end_when_idle() -> None:
    """End this process once it hangs, however slow the machine is."""
    while True:
        before_s = time.process_time()
        time.sleep(IDLE_S)
        if time.process_time() - before_s < 0.1:
            os._exit(1)


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Run an order's tests in this process."""
    chosen = Chosen(order.get("tests"))
    plugins: list[object] = [*PLUGINS, chosen]
    options = ["-q", "-p", "no:cacheprovider"]
    if "record" in order:
        from tests.mutants.recording import Recorder

        plugins.append(recorder := Recorder({name: Path(path) for name, path in order["record"].items()}))
    else:
        options.append("-x")
        threading.Thread(target=end_when_idle, daemon=True).start()
    status = pytest.main([*options, *order["files"]], plugins=plugins)
    answer: dict[str, Any] = {"exit": int(status), "failed": chosen.failed}
    if "record" in order:
        answer["tests"] = recorder.tests
    return answer


def run_apart(order: dict[str, Any]) -> dict[str, Any]:
    """Run an order's tests in a process of their own, and end it with all that it has started."""
    with tempfile.NamedTemporaryFile() as answer:
        process = os.fork()
        if process == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CPU, (round(order["seconds"]), resource.RLIM_INFINITY))
            with Path(os.devnull).open("r+b") as nothing:
                for stream in (0, 1, 2):
                    os.dup2(nothing.fileno(), stream)
            try:
                Path(answer.name).write_text(json.dumps(run(order)), encoding="utf-8")
            finally:
                os._exit(0)
        until = time.monotonic() + WAITS * order["seconds"]
        try:
            while os.waitpid(process, os.WNOHANG) == (0, 0):
                if time.monotonic() > until:
                    return {"exit": None, "failed": None}
                time.sleep(0.02)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)  # itself, or what a test has started and left
            with suppress(ChildProcessError):
                os.waitpid(process, 0)
        written = Path(answer.name).read_text(encoding="utf-8")
        return json.loads(written) if written else {"exit": None, "failed": None}


def main() -> None:
    """Answer orders until there are no more, or until it is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for name in sys.argv[1:]:
        __import__(name)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run_apart(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())
    main()
