"""Make the virtual environments that a command needs, from pinned lists. Runs on a bare Python 3.11 or newer.

usage: environments.py NAME ...        (`ENVIRONMENTS` has the names)

What is up to date is left alone, and nothing is printed then. Each environment is made by pip, several at once; a bar
shows how far they are, or a line every few seconds where the output is no terminal.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ".tunehook/tools"

LINE_EVERY_S = 4.0
"""Without a terminal: nobody waits longer than five seconds for a sign of life."""

REDRAW_EVERY_S = 0.2


class Environment(NamedTuple):
    """A pinned list that is installed into a folder, beside what is there already if it is an addition.

    `seconds` of a core and `megabytes` are what a cold set-up took; `make setup` says so before it starts.
    """

    folder: str
    packages: str
    what: str
    seconds: int
    megabytes: int
    is_addition: bool = False
    is_compiled: bool = False


ENVIRONMENTS = {
    "command": Environment(".venv", "command", "the tunehook command", 25, 100),
    "tests": Environment(".venv", "dev", "what the tests need", 40, 220, is_addition=True),
    "sam": Environment(f"{TOOLS}/sam", "sam", "the SAM CLI", 35, 140),
    "sam-lint": Environment(f"{TOOLS}/sam", "sam-lint", "the SAM CLI's linter", 15, 80, is_addition=True),
    # Nearly all of it is imported at its start, which would compile one module after the other.
    "ministack": Environment(f"{TOOLS}/ministack", "ministack", "the embedded AWS", 20, 85, is_compiled=True),
    "checks": Environment(f"{TOOLS}/checks", "checks", "the checkers of the template", 50, 300),
    "schemathesis": Environment(f"{TOOLS}/schemathesis", "schemathesis", "the player of the HTTP API", 5, 45),
    "browser": Environment(f"{TOOLS}/browser", "browser", "what drives a browser", 10, 165),
}
"""By name. An addition comes after the environment that it is added to."""

EDITABLE = "command"
"""The environment that the project itself is installed into, as a link to this checkout."""

_COMPILE = "import compileall, sys; compileall.compile_dir(sys.argv[1], quiet=2, workers=2)"
"""Compiles what can be compiled: packages hold templates and examples that are no Python."""


class Failed(Exception):
    """A step failed; the text says which, why, and where the log is."""


class Installation:
    """One environment on its way: counts what pip prints and what lies in its folder."""

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self.name, self.environment, self.root = name, ENVIRONMENTS[name], root
        self.folder = root / self.environment.folder
        self.list = root / "requirements" / f"{self.environment.packages}.txt"
        self.total = len(re.findall(r"^\S+==", self.list.read_text(), re.MULTILINE))
        self.fetched = self.installed = 0
        self.megabytes = 0.0
        self._there_before: int | None = None

    @property
    def stamp(self) -> Path:
        return self.folder / f".made-{self.name}"

    @property
    def digest(self) -> str:
        """What the environment is made from: it is made anew when that changes."""
        sources = [self.list.read_bytes()]
        if self.name == EDITABLE:
            sources.append((self.root / "pyproject.toml").read_bytes())
        return hashlib.sha256(b"\0".join(sources)).hexdigest()

    @property
    def is_made(self) -> bool:
        try:
            return self.stamp.read_text() == self.digest and (self.folder / "bin" / "python").exists()
        except OSError:
            return False

    def read(self, line: str) -> None:
        """Take a line that pip printed into account."""
        if line.startswith("Ignoring "):  # It is for another system or Python.
            self.total -= 1
        elif line.startswith(("Collecting ", "Requirement already satisfied: ")):
            self.fetched += 1
        elif size := re.search(r"(?:Downloading|Using cached) .*\(([\d.]+) ([kM]B)\)", line):
            self.megabytes += float(size[1]) / (1 if size[2] == "MB" else 1000)

    def look(self) -> None:
        """Count the packages that lie in the folder."""
        if self._there_before is not None:
            self.installed = max(0, min(self.total, self._distributions() - self._there_before))

    def _distributions(self) -> int:
        return sum(1 for _ in self.folder.glob("lib/python*/site-packages/*.dist-info"))

    def install(self, run: Callable[[list[str], Installation], None]) -> None:
        """Install the list with the pip of ``.venv``, which is the only one."""
        python = self.root / ".venv" / "bin" / "python"
        if self.folder != python.parents[1] and not self.environment.is_addition:
            shutil.rmtree(self.folder, ignore_errors=True)
            run([str(python), "-m", "venv", "--without-pip", str(self.folder)], self)
        self._there_before = self._distributions()
        # The lists are complete, so that nothing is left to resolve.
        target = ["--python", str(self.folder / "bin" / "python")]
        pip = [str(python), "-m", "pip", *target, "install", "--no-deps", "--progress-bar=off"]
        # Without byte code: each module gets it when it is first imported, and of most environments few are.
        pip += [] if self.environment.is_compiled else ["--no-compile"]
        run([*pip, "--require-hashes", "--only-binary=:all:", "--requirement", str(self.list)], self)
        if self.name == EDITABLE:
            run([*pip, "-q", "--no-build-isolation", "--editable", str(self.root)], self)
        if self.name == "tests":
            # pytest makes errors of warnings, and some packages warn while they are compiled.
            run([str(python), "-c", _COMPILE, str(self.folder)], self)
        self.fetched = self.installed = self.total
        self.stamp.write_text(self.digest)


def needed(names: Sequence[str], root: Path = ROOT) -> list[Installation]:
    """Return what is to be made for these environments, those that additions are added to first."""
    asked = [Installation(name, root) for name in ENVIRONMENTS if name in names]
    chosen = [each for each in asked if not each.is_made]
    # An environment that is made anew loses its additions.
    anew = {each.folder for each in chosen if not each.environment.is_addition}
    return [each for each in asked if each in chosen or each.folder in anew]


class Display:
    """Shows progress: a bar that is redrawn on a terminal, elsewhere a line every few seconds."""

    def __init__(
        self,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
        width: Callable[[], int] = lambda: shutil.get_terminal_size().columns,
    ) -> None:
        self._stream, self._clock, self._width = stream, clock, width
        self._is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._started = self._shown = clock()
        self._has_bar = False
        self._writing = threading.RLock()

    def line(self, text: str) -> None:
        """Print a line that stays."""
        with self._writing:
            self._clear()
            self._stream.write(f"{text}\n")
            self._stream.flush()
            self._shown = self._clock()

    def progress(self, part: float, text: str) -> None:
        """Show that this part of it (0 to 1) is done."""
        now = self._clock()
        text = f"{text}, {now - self._started:.0f} s"
        if not self._is_terminal:
            if now - self._shown >= LINE_EVERY_S:
                self.line(f"  {part:4.0%}  {text}")
            return
        room = self._width() - 1
        bar = "#" * round(24 * part)
        drawn = f"  [{bar:.<24}] {part:4.0%}  {text}"
        if len(drawn) > room:
            drawn = f"  {part:4.0%}  {text}"
        with self._writing:
            self._clear()
            self._stream.write(drawn[:room])
            self._stream.flush()
            self._has_bar = True
            self._shown = now

    def _clear(self) -> None:
        if self._has_bar:
            self._stream.write("\r\x1b[2K")
            self._has_bar = False


class Setup:
    """Makes environments: those of different folders at once, those of one folder one after the other."""

    def __init__(self, installations: Sequence[Installation], display: Display, root: Path = ROOT) -> None:
        self._installations, self._display = installations, display
        self._logs = root / ".tunehook" / "logs"
        self._root = root
        self._processes: list[subprocess.Popen[str]] = []
        self._failures: list[Failed] = []
        self._is_stopped = False

    def run(self) -> None:
        """Make them all; raise `Failed` for the first that cannot be made."""
        self._display.line(announcement(self._installations))
        try:
            self._in_background([self._make_pip])
            by_folder: dict[Path, list[Installation]] = {}
            for each in self._installations:
                by_folder.setdefault(each.folder, []).append(each)
            self._in_background([lambda chain=chain: self._install(chain) for chain in by_folder.values()])
        finally:
            self._is_stopped = True
            for process in self._processes:
                if process.poll() is None:
                    process.terminate()

    def _in_background(self, jobs: Sequence[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=self._guard, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and not self._failures:
            self._show()
            time.sleep(REDRAW_EVERY_S)
        if self._failures:
            raise self._failures[0]

    def _guard(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Failed as failure:
            self._failures.append(failure)
        except Exception as error:  # noqa: BLE001 - the main thread has to hear of it
            self._failures.append(Failed(f"set-up failed: {type(error).__name__}: {error}"))

    def _make_pip(self) -> None:
        first = self._installations[0]
        if first.name != EDITABLE:
            return
        shutil.rmtree(first.folder, ignore_errors=True)
        self._execute([sys.executable, "-m", "venv", str(first.folder)], first)

    def _install(self, chain: Sequence[Installation]) -> None:
        for each in chain:
            started = time.monotonic()
            before = size_mb(each.folder) if each.environment.is_addition else 0
            each.install(self._execute)
            size = size_mb(each.folder) - before
            self._display.line(
                f"  {each.environment.folder}: {each.environment.what}, {size} MB, "
                f"{time.monotonic() - started:.0f} s"
            )

    def _execute(self, command: list[str], installation: Installation) -> None:
        """Run a program, read what it prints, and keep it in a log."""
        if self._is_stopped:
            raise Failed("set-up was stopped")
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"setup-{installation.name}.log"
        printed = []
        process = subprocess.Popen(
            command,
            cwd=self._root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._processes.append(process)
        assert process.stdout is not None
        with process.stdout, path.open("a", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                printed.append(line.rstrip())
                installation.read(line.strip())
        if process.wait() == 0:
            return
        if "venv" in command and "--without-pip" not in command:
            raise Failed(
                "this Python cannot make virtual environments with pip: install its `venv` package "
                f"(python3-venv, say); log: {path}"
            )
        errors = [line for line in printed if "ERROR" in line] or printed[-5:]
        raise Failed(
            "\n".join([f"{installation.environment.folder}: could not install {installation.list.name}:"])
            + "".join(f"\n  {line}" for line in errors[-5:])
            + f"\nlog: {path}"
        )

    def _show(self) -> None:
        for each in self._installations:
            each.look()
        self._display.progress(*summary(self._installations))


def announcement(installations: Sequence[Installation]) -> str:
    """Return the line that says what is about to be made, and what that takes."""
    what = [each.environment.what for each in installations]
    listed = " and ".join([", ".join(what[:-1]), what[-1]]) if len(what) > 1 else what[0]
    work = sum(each.environment.seconds for each in installations)
    longest = max(each.environment.seconds for each in installations)
    seconds = max(longest, work // min(2, os.cpu_count() or 1))
    megabytes = sum(each.environment.megabytes for each in installations)
    return f"setting up {listed} in this folder, once: takes about {seconds} s and {megabytes} MB"


def summary(installations: Sequence[Installation]) -> tuple[float, str]:
    """Return which part of it all is done, and that in words."""
    total = max(1, sum(each.total for each in installations))
    fetched = sum(each.fetched for each in installations)
    installed = sum(each.installed for each in installations)
    fetched_mb = sum(each.megabytes for each in installations)
    text = f"{fetched} of {total} packages fetched ({fetched_mb:.0f} MB), {installed} installed"
    return min(1.0, (fetched + installed) / (2 * total)), text


def size_mb(folder: Path) -> int:
    """Return how much disk a folder takes, in MB."""
    blocks = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            blocks += os.lstat(os.path.join(parent, name)).st_blocks  # noqa: PTH118 - thousands of them
    return round(blocks * 512 / 1e6)


def main(names: list[str]) -> int:
    """Make the environments of these names; return the exit status."""
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown:
        print(f"no such environment: {unknown[0]} (there are {', '.join(ENVIRONMENTS)})", file=sys.stderr)
        return 2
    if not needed(names):
        return 0
    # An environment that is there decides the Python; only a new one needs this one.
    if sys.version_info < (3, 11) and not Installation(EDITABLE).is_made:
        version = sys.version.split()[0]
        print(f"tunehook needs Python 3.11 or newer, and this is {version}: make PYTHON=python3.13 ...")
        return 1
    display = Display(sys.stdout)
    (ROOT / TOOLS).mkdir(parents=True, exist_ok=True)
    try:
        with (ROOT / TOOLS / ".lock").open("w") as lock:
            if not _lock(lock):
                display.line("waiting for another set-up in this folder to end")
                while not _lock(lock):
                    display.progress(0, "waiting for another set-up")
                    time.sleep(REDRAW_EVERY_S)
            if installations := needed(names):
                Setup(installations, display).run()
    except Failed as failure:
        display.line(str(failure))
        return 1
    except KeyboardInterrupt:
        display.line("stopped; the next `make` goes on")
        return 130
    return 0


def _lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
