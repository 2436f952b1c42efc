"""Which lines of which modules each test runs, and how long it takes: a plugin of pytest that writes it down."""

from __future__ import annotations

import ast
import builtins
import functools
import os
import sys
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any, Final
from weakref import WeakSet

import pytest

_MARK: Final = "__line_is_run__"


class Recorder:
    """Marks the statements of some files' functions as they are compiled, and collects what a test runs of them.

    That costs a call for each statement of those files and nothing elsewhere; whatever traces a process is called for
    each function of the libraries too. It is to be made before anything imports those files. A statement that is run
    stands for all lines of it, or of its header, a handler for its header once it has caught something.

    What functions of the tree remember (`functools.cache`) is forgotten before each test: else the first alone would
    run them.

    `tests` maps the id of each test that passed to the seconds of a processor that it takes and to the lines of each
    file, by the file's path.
    """

    def __init__(self, files: dict[str, Path]) -> None:
        names = {str(path): name for name, path in files.items()}
        self._ran: set[tuple[str, int, int]] = set()
        self._failed: set[str] = set()
        self.tests: dict[str, dict[str, Any]] = {}
        self._caches: WeakSet[functools._lru_cache_wrapper[Any]] = WeakSet()
        self._note_caches()
        setattr(builtins, _MARK, self._ran.add)
        compiled = SourceFileLoader.source_to_code

        def marked(loader: SourceFileLoader, data: Any, path: Any, **options: Any) -> CodeType:
            name = names.get(os.fspath(path)) if isinstance(path, str | os.PathLike) else None
            return compiled(loader, data if name is None else with_marks(data, name), path, **options)

        SourceFileLoader.source_to_code = marked  # type: ignore[method-assign, assignment]
        # Neither what is compiled already is read, nor is this written to where others read it.
        sys.pycache_prefix = os.devnull
        sys.dont_write_bytecode = True

    def _note_caches(self) -> None:
        """Have `functools.lru_cache` (of which `cache` is made) write down what it makes for the tree."""
        make, tree = functools.lru_cache, Path.cwd()

        def note(remembering: functools._lru_cache_wrapper[Any]) -> functools._lru_cache_wrapper[Any]:
            code = getattr(remembering.__wrapped__, "__code__", None)
            file = Path(code.co_filename) if code is not None else Path()
            if file.is_relative_to(tree) and ".venv" not in file.parts:
                self._caches.add(remembering)
            return remembering

        def noted(maxsize: Any = 128, typed: bool = False) -> Any:
            made = make(maxsize, typed)
            return note(made) if callable(maxsize) else lambda function: note(made(function))

        functools.lru_cache = noted  # type: ignore[assignment]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Collect what one test runs, is set up with and torn down."""
        for remembering in [*self._caches]:
            remembering.cache_clear()
        self._ran.clear()
        began_s = time.process_time()
        try:
            return (yield)
        finally:
            if item.nodeid not in self._failed:
                lines: dict[str, set[int]] = {}
                for name, first, last in self._ran:
                    lines.setdefault(name, set()).update(range(first, last + 1))
                self.tests[item.nodeid] = {
                    "seconds": round(time.process_time() - began_s, 3),
                    "lines": {name: sorted(lines[name]) for name in sorted(lines)},
                }

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave out what is skipped or fails: it notices nothing."""
        if not report.passed:
            self._failed.add(report.nodeid)


def with_marks(source: bytes | str, name: str) -> ast.Module:
    """Return a module's code in which each statement of a function first says that it is run."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = _marked(node.body, name)
    return ast.fix_missing_locations(tree)


def _marked(body: list[ast.stmt], name: str) -> list[ast.stmt]:
    marked: list[ast.stmt] = []
    for place, statement in enumerate(body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            marked += [_mark(statement, name), statement]  # what is inside is found by itself
            continue
        is_docstring = (
            place == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        )
        marked += [statement] if is_docstring else [_mark(statement, name), statement]
        for inside in ("body", "orelse", "finalbody"):
            if part := getattr(statement, inside, None):
                setattr(statement, inside, _marked(part, name))
        for handler in getattr(statement, "handlers", ()):
            handler.body = [_mark(handler, name), *_marked(handler.body, name)]
        for case in getattr(statement, "cases", ()):
            case.body = _marked(case.body, name)
    return marked


def _mark(node: ast.stmt | ast.ExceptHandler, name: str) -> ast.stmt:
    inside = getattr(node, "body", None) or getattr(node, "cases", None)
    last = node.end_lineno or node.lineno
    if inside:
        first = inside[0].pattern if isinstance(inside[0], ast.match_case) else inside[0]
        last = max(node.lineno, first.lineno - 1)
    called = ast.Call(ast.Name(_MARK, ast.Load()), [ast.Constant((name, node.lineno, last))], [])
    return ast.copy_location(ast.Expr(called), node)
