"""Small changes of the code, one at a time, and whether a test notices: ``python -m tests.mutants --help``."""

from __future__ import annotations

import argparse
import random
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from queue import SimpleQueue
from typing import Final, TypeVar

from tests.mutants import reach
from tests.mutants.changes import Change, changes_of
from tests.mutants.copies import Copy
from tests.mutants.drawing import draw
from tests.mutants.excepted import entries, reason_of
from tests.mutants.reach import Reach, Recorded
from tests.mutants.report import BAR, Result, Verdict, report, share
from tests.support.template import ROOT

KEPT: Final = ROOT / ".mutants" / "lines.json"
RECORDING_S: Final = 1200.0

Job = TypeVar("Job")
Done = TypeVar("Done")


def main() -> int:
    """Draw changes, try each, and return 1 if fewer than the bar are noticed."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description=(__doc__ or "").partition(":")[0]
    )
    parser.add_argument("--seed", type=int, help="draws the same changes again; by default others each time")
    parser.add_argument("--count", type=int, default=500, help="how many changes (500)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (1)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="that the tests of a change take at most (60)"
    )
    parser.add_argument("--only", default="*", help="pattern of the modules' paths")
    parser.add_argument("--all", action="store_true", help="also try what the list excepts")
    parser.add_argument("--write", type=Path, help="a file for the report, beside what is printed")
    given = parser.parse_args()
    seed = random.randrange(1, 1_000_000) if given.seed is None else given.seed
    sources = {module: (ROOT / module).read_text(encoding="utf-8") for module in reach.modules()}
    chosen = {
        module: changes_of(source) for module, source in sources.items() if fnmatchcase(module, given.only)
    }
    drawn = draw(chosen, given.count, seed)
    with _copies(given.jobs) as copies:
        recorded = _recorded(copies)
        tests = {file: (ROOT / file).read_text(encoding="utf-8") for file in recorded}
        trial = Trial(Reach(recorded, sources, tests), given.seconds, all_of_them=given.all)
        results = []
        for result in _spread(copies, drawn, lambda copy, each: trial.of(copy, *each)):
            results.append(result)
            change = result.change
            _say(
                f"{len(results)}/{len(drawn)} {result.verdict} {result.module}:{change.line} {change.kind} {result.by}"
            )
    text = report(results, seed)
    _say("\n" + text)
    if given.write is not None:
        given.write.write_text(text, encoding="utf-8")
    return 0 if share(results) >= BAR else 1


class Trial:
    """Tries changes: those of the list are excepted, of the others the tests that run them are run."""

    def __init__(self, reach: Reach, seconds: float, *, all_of_them: bool = False) -> None:
        self._reach = reach
        self._seconds = seconds
        self._entries = [] if all_of_them else entries()

    def of(self, copy: Copy, module: str, change: Change) -> Result:
        """Try one change in a copy of the tree, and leave that as it was."""
        reason = reason_of(module, change, self._entries)
        if reason is not None:
            return Result(module, change, Verdict.EXCEPTED, reason)
        tests = self._reach.tests_of(module, change)
        copy.change(module, change)
        try:
            for part in parts_of(module, tests, self._seconds):
                # More than a change may make slower, beside pytest itself.
                ran = copy.run(part, 30 + 3 * sum(part.values()))
                if ran.has_noticed:
                    return Result(module, change, Verdict.NOTICED, ran.failed or "they do not end")
        finally:
            copy.restore(module)
        return Result(module, change, Verdict.UNNOTICED, str(len(tests)))


def parts_of(module: str, tests: dict[str, float], seconds: float) -> Iterator[dict[str, float]]:
    """Split tests into those beside a module and the others, as many as fit into the seconds (at least one)."""
    fitting: dict[str, float] = {}
    for test, takes_s in tests.items():
        if not fitting or sum(fitting.values()) + takes_s <= seconds:
            fitting[test] = takes_s
    for is_near in (True, False):
        part = {test: s for test, s in fitting.items() if (reach.distance(module, test) < 2) is is_near}
        if part:
            yield part


@contextmanager
def _copies(jobs: int) -> Iterator[list[Copy]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Copy()) for _ in range(jobs)]


def _recorded(copies: Sequence[Copy]) -> dict[str, Recorded]:
    """What each test runs: what was kept, and anew what is no longer true."""
    kept, files, modules = reach.load(KEPT), reach.files_of_tests(), reach.modules()
    stale = [
        file
        for file in files
        if file not in kept or kept[file].digest != reach.digest(ROOT, file, kept[file].modules)
    ]
    stale.sort(key=lambda file: file.startswith("tests/contract/"))
    recorded = {file: kept[file] for file in files if file not in stale}
    lock = threading.Lock()

    def record(copy: Copy, file: str) -> str:
        tests = copy.record(file, modules, RECORDING_S)
        new = Recorded("", tests)
        with lock:  # kept at once: to record them all takes some minutes
            recorded[file] = replace(new, digest=reach.digest(ROOT, file, new.modules))
            reach.save(KEPT, recorded)
        return f"{file}: {len(tests)} tests"

    for number, line in enumerate(_spread(copies, stale, record), start=1):
        _say(f"recorded {number}/{len(stale)} {line}")
    return recorded


def _spread(copies: Sequence[Copy], jobs: Iterable[Job], do: Callable[[Copy, Job], Done]) -> Iterator[Done]:
    """Do jobs with as many copies as there are, and give back what each came to as soon as it is known."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)
    done: SimpleQueue[Done | BaseException] = SimpleQueue()

    def work(job: Job) -> None:
        copy = free.get()
        try:
            done.put(do(copy, job))
        except BaseException as error:  # noqa: BLE001 - raised where the results are read
            done.put(error)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for _ in [pool.submit(work, job) for job in jobs]:
            result = done.get()
            if isinstance(result, BaseException):
                pool.shutdown(cancel_futures=True)
                raise result
            yield result


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
