"""Which tests run what a change changes: a map of the lines that each test runs, kept until they or the code change."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.mutants.changes import Change
from tests.support.template import ROOT

SUITES: Final = ("tests/unit", "tests/contract")
# Tests of what is not changed: of the sandbox, of the embedded AWS, of benchmarks, of what tests are made of.
_WITHOUT: Final = tuple(
    f"tests/unit/{name}/" for name in ("benchmarks", "demo", "local", "mutants", "sandbox", "support")
)
_WORD: Final = re.compile(r"\w+")


def files_of_tests(root: Path = ROOT) -> list[str]:
    """Return the files of unit and contract tests of the modules, as paths below the root."""
    found = (
        path.relative_to(root).as_posix() for suite in SUITES for path in (root / suite).rglob("test_*.py")
    )
    return sorted(path for path in found if not path.startswith(_WITHOUT))


def modules(root: Path = ROOT) -> list[str]:
    """Return the modules that are changed, as paths below the root: all of the functions and of the layer.

    Not the handlers, which only wire, and not what reads the environment.
    """
    folders = (root / "functions", root / "layers/tunehook/tunehook")
    found = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return [
        path.relative_to(root).as_posix()
        for path in found
        if path.name not in ("__init__.py", "app.py", "settings.py") and ".aws-sam" not in path.parts
    ]


def digest(root: Path, file: str, ran: Iterable[str]) -> str:
    """Return a digest of what decides which lines a file of tests runs: it, what lies beside it, and what it has run.

    `ran` are the modules of which it has run something; what changes in others is nothing to it.
    """
    folder = root / Path(file).parent
    beside = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("test_")]
    support = [*(root / "tests/support").rglob("*.py"), *root.glob("tests/conftest.py")]
    read = {root / file, *(root / module for module in ran), *support, *beside}
    sums = hashlib.sha256()
    for path in sorted(path for path in read if path.suffix != ".pyc" and path.is_file()):
        sums.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return sums.hexdigest()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the tests of one file run, and the digest of what that was recorded of."""

    digest: str
    tests: dict[str, dict[str, Any]]

    @property
    def modules(self) -> set[str]:
        """The modules of which they run something."""
        return {module for ran in self.tests.values() for module in ran["lines"]}


def load(path: Path) -> dict[str, Recorded]:
    """Return what was kept, by the file of tests."""
    if not path.is_file():
        return {}
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {file: Recorded(each["digest"], each["tests"]) for file, each in kept.items()}


def save(path: Path, recorded: Mapping[str, Recorded]) -> None:
    """Keep what was recorded."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {file: {"digest": each.digest, "tests": each.tests} for file, each in recorded.items()}
    path.write_text(json.dumps(kept, separators=(",", ":")), encoding="utf-8")


class Reach:
    """Finds the tests that run a change."""

    def __init__(
        self, recorded: Mapping[str, Recorded], sources: Mapping[str, str], tests: Mapping[str, str]
    ) -> None:
        """Take what was recorded, and the sources of the modules and of the files of tests."""
        self._seconds: dict[str, float] = {}
        self._of_line: dict[tuple[str, int], set[str]] = {}
        self._of_file: dict[str, list[str]] = {}
        for file, each in recorded.items():
            self._of_file[file] = list(each.tests)
            for test, ran in each.tests.items():
                self._seconds[test] = ran["seconds"]
                for module, lines in ran["lines"].items():
                    for line in lines:
                        self._of_line.setdefault((module, line), set()).add(test)
        self._words = {file: set(_WORD.findall(source)) for file, source in tests.items()}
        self._mentions = Mentions(sources)

    def tests_of(self, module: str, change: Change) -> dict[str, float]:
        """Return the tests that run what is changed, those of the module's own file first, and the seconds of each.

        What is run once, by the import, is used by other names: its tests are those that run a line with one of them,
        or whose file has one, beside those that run what is decorated.
        """
        found = {test for line in change.lines for test in self._of_line.get((module, line), ())}
        if change.names:
            names, places = self._mentions.of(change.names)
            found.update(test for place in places for test in self._of_line.get(place, ()))
            for file, words in self._words.items():
                if words & names:
                    found.update(self._of_file.get(file, ()))
        elif not found:  # perhaps a function that is called by the import alone
            found = {test for test in self._seconds if distance(module, test) == 0}
        order = sorted(found, key=lambda test: (distance(module, test), self._seconds[test], test))
        return {test: self._seconds[test] for test in order}


class Mentions:
    """Where names are used in the modules."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._lines: dict[str, set[tuple[str, int]]] = {}
        self._defined: list[tuple[set[str], set[str]]] = []
        for module, source in sources.items():
            rows = source.splitlines()
            for first, last in _functions(ast.parse(source)):
                for line in range(first, last + 1):
                    for word in _WORD.findall(rows[line - 1]):
                        self._lines.setdefault(word, set()).add((module, line))
            self._defined += _definitions(ast.parse(source))

    def of(self, names: Iterable[str]) -> tuple[set[str], set[tuple[str, int]]]:
        """Return names and all that is defined with them at import, and the lines of functions that have one."""
        known = set(names)
        while more := {
            name for defined, used in self._defined if used & known for name in defined if name not in known
        }:
            known |= more
        return known, {place for name in known for place in self._lines.get(name, ())}


def _functions(tree: ast.AST) -> Iterator[tuple[int, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.body[0].lineno, node.end_lineno


def _definitions(tree: ast.Module) -> list[tuple[set[str], set[str]]]:
    """The names that each statement of a module defines, and those that it uses, bodies of functions left out."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.ClassDef):
            parts: list[ast.AST] = [node]
            if isinstance(node, ast.ClassDef):
                fields = [each for each in node.body if isinstance(each, ast.Assign | ast.AnnAssign)]
                parts = [*node.bases, *node.decorator_list, *fields]
            names = [each for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)]
            defined = {
                each.id for each in names if isinstance(each.ctx, ast.Store) and isinstance(node, ast.Assign)
            }
            if isinstance(node, ast.ClassDef):
                defined = {node.name}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                defined = {node.target.id}
            found.append((defined, {each.id for each in names if isinstance(each.ctx, ast.Load)}))
    return found


def distance(module: str, test: str) -> int:
    """Return how far a test stands from a module: 0 in the file of its name, 1 in its folder or above, 2 elsewhere."""
    path = Path(module.removeprefix("layers/tunehook/tunehook/").removeprefix("functions/"))
    file = Path(test.partition("::")[0])
    folder = Path("tests/unit") / path.parent
    if file == folder / f"test_{path.name}":
        return 0
    is_beside = folder in file.parents or file.parent == folder.parent
    is_everywhere = Path("tests/unit") in (folder, file.parent)
    return 1 if file.parent == folder or (is_beside and not is_everywhere) else 2
