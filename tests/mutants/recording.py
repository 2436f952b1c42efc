"""Which lines of which modules each test runs, and how long it takes: a plugin of pytest that writes it down."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

CALLS: Final = 200
"""So many calls of a function are traced in a test: what more of them run is run by other tests too, in less time."""


class Recorder:
    """Traces the lines of some files while a test runs, set up and torn down, in whatever thread.

    `tests` maps the id of each test that passed to the seconds of a processor that it takes and to the lines of each
    file, by the file's path.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        self._names = {str(path): name for name, path in files.items()}
        self._tracers = {path: self._tracer(name) for path, name in self._names.items()}
        self._lines: dict[str, set[int]] = {}
        self._calls: dict[int, int] = {}
        self._failed: set[str] = set()
        self.tests: dict[str, dict[str, Any]] = {}

    def _tracer(self, name: str) -> Any:
        def trace(frame: FrameType, event: str, arg: object) -> Any:
            if event == "line":
                self._lines.setdefault(name, set()).add(frame.f_lineno)
            return trace

        return trace

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        tracer = self._tracers.get(frame.f_code.co_filename)
        if tracer is not None:
            function = id(frame.f_code)
            calls = self._calls[function] = self._calls.get(function, 0) + 1
            if calls > CALLS:
                return None
        return tracer

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Trace one test."""
        self._lines, self._calls = {}, {}
        began_s = time.process_time()
        sys.settrace(self._trace)
        threading.settrace(self._trace)
        try:
            return (yield)
        finally:
            threading.settrace(None)
            sys.settrace(None)
            if item.nodeid not in self._failed:
                self.tests[item.nodeid] = {
                    "seconds": round(time.process_time() - began_s, 3),
                    "lines": {name: sorted(lines) for name, lines in sorted(self._lines.items())},
                }

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave out what is skipped or fails: it notices nothing."""
        if not report.passed:
            self._failed.add(report.nodeid)
