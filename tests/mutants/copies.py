"""Copies of the tree, in which changes are made and tests are run: the checkout itself is never changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.mutants.changes import Change
from tests.support.template import ROOT

SHARED: Final = (
    *("aiohttp", "aws_lambda_powertools", "boto3", "httpx"),
    *("moto", "pydantic", "standardwebhooks", "typer"),
)
"""What most tests import, and takes long."""

_LINKED: Final = (".venv", ".tunehook")
_LEFT_OUT: Final = (
    *(".git", ".aws-sam", ".mutants", "__pycache__", "*.pyc"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"),
    *_LINKED,
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What running tests came to.

    `failed` is the first that failed, None if all passed. `is_over` says that they did not end in time, or ended the
    process itself.
    """

    failed: str | None
    is_over: bool = False

    @property
    def has_noticed(self) -> bool:
        return self.failed is not None or self.is_over


class Copy:
    """One copy of the tree and one process that runs tests in it, one order after the other.

    Parameters
    ----------
    root : Path
        The tree.
    shared : iterable of str
        What that process imports before its first order.
    """

    def __init__(self, root: Path = ROOT, shared: Iterable[str] = SHARED) -> None:
        self._root = root
        self._shared = tuple(shared)
        self._stamp = 1_000_000_000

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="tunehook-mutants-")
        self.tree = Path(self._folder.name).resolve() / "tree"
        shutil.copytree(self._root, self.tree, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        for name in _LINKED:
            if (self._root / name).exists():
                (self.tree / name).symlink_to((self._root / name).resolve())
        paths = (self.tree / "functions", self.tree / "layers/tunehook", self.tree / "cli", self.tree)
        self._process = subprocess.Popen(
            [sys.executable, "tests/mutants/child.py", *self._shared],
            cwd=self.tree,
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "TMPDIR": self._folder.name}
            | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.terminate()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()

    def record(self, file: str, modules: Iterable[str], seconds: float) -> dict[str, Any]:
        """Return what the tests of a file run: the seconds and the lines of each module by the test's id."""
        record = {module: str(self.tree / module) for module in modules}
        answer = self._order({"files": [file], "record": record, "seconds": seconds})
        tests: dict[str, Any] = answer.get("tests", {})
        return tests

    def run(self, tests: Mapping[str, float], seconds: float) -> Ran:
        """Run tests (with the seconds that each takes) in their order until one fails, or they have taken too long.

        Raises
        ------
        RuntimeError
            If none of them was run: they are not those of this tree.
        """
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        answer = self._order({"files": files, "tests": list(tests), "seconds": seconds})
        if answer["failed"] is None and answer["exit"] not in (None, 0, 1, 2):
            raise RuntimeError(f"pytest ended with {answer['exit']} on {', '.join(files)}")
        return Ran(answer["failed"], answer["exit"] is None)

    def change(self, module: str, change: Change) -> None:
        """Make a change in the copy's file of a module."""
        source = (self._root / module).read_text(encoding="utf-8")
        self._write(module, change.apply(source))

    def restore(self, module: str) -> None:
        """Make the copy's file of a module what it was."""
        self._write(module, (self._root / module).read_text(encoding="utf-8"))

    def _write(self, module: str, source: str) -> None:
        path = self.tree / module
        path.write_text(source, encoding="utf-8")
        self._stamp += 1
        os.utime(path, (self._stamp, self._stamp))  # what was compiled before is known to be old by its time

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
