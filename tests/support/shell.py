"""An interactive shell on a terminal of its own, into which a test pastes what a user would."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

COLUMNS: Final = 100
_ESCAPES: Final = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-9;?]*[A-Za-z]|\r")
_MARK: Final = "__pasted_"


class Shell:
    """A bash that thinks somebody sits before it: its streams are a terminal, and Ctrl-C reaches what it runs."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
        modes = termios.tcgetattr(theirs)
        modes[3] = modes[3] & ~termios.ECHO | termios.NOFLSH
        termios.tcsetattr(theirs, termios.TCSANOW, modes)
        self._terminal = ours
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "--noediting", "-i"],
            cwd=folder,
            env={**environment, "PS1": "", "PS2": "", "TERM": "xterm-256color", "HISTFILE": ""},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self._count = 0
        self._printed = b""
        self._shown = 0
        self._is_over = False
        # All the time: what nobody reads stops whatever prints it.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        # Linux says by an error that the other end is closed.
        with contextlib.suppress(OSError):
            while read := os.read(self._terminal, 65536):
                self._printed += read
        self._is_over = True

    def type(self, text: str) -> None:
        """Type text, as it stands; return at once."""
        # A terminal takes so much at a time as its line may be long.
        for line in text.splitlines(keepends=True):
            os.write(self._terminal, line.encode())

    def paste(self, block: str, within_s: float) -> tuple[list[str], str]:
        """Paste a block and wait until the prompt is back.

        Returns
        -------
        tuple
            The commands that failed, and all that was printed. What stands before ``||`` may fail.

        Raises
        ------
        AssertionError
            If it is not done `within_s`, with what was printed so far.
        """
        self._count += 1
        mark = f"{_MARK}{self._count}"
        self.type("failed=; trap 'failed+=\"$BASH_COMMAND\"$'\"'\\n'\"'' ERR\n")
        self.type(block)
        self.type(f"trap - ERR; printf '\\n%s_begin\\n%s\\n%s_end\\n' {mark} \"$failed\" {mark}\n")
        printed = self.read_until(f"{mark}_end\n", within_s)
        output, _, rest = printed.partition(f"\n{mark}_begin\n")
        return [line for line in rest.removesuffix(f"{mark}_end\n").splitlines() if line], output

    def read_until(self, text: str, within_s: float) -> str:
        """Return what is printed up to a text, without escape sequences; raise `AssertionError` if it does not come."""
        give_up_at = time.monotonic() + within_s
        while text not in (shown := _ESCAPES.sub("", self._printed.decode(errors="replace"))[self._shown :]):
            assert not self._is_over, f"the shell has ended before {text!r}\n{shown}"
            assert time.monotonic() < give_up_at, f"not within {within_s:g} s: {text!r}\n{shown}"
            time.sleep(0.05)
        end = shown.index(text) + len(text)
        self._shown += end
        return shown[:end]

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._terminal, b"\x03")

    def close(self) -> None:
        """End the shell and what it runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGHUP)
        self._process.wait(timeout=60)
        self._reader.join(timeout=60)
        os.close(self._terminal)


@contextmanager
def shell(folder: Path, environment: Mapping[str, str]) -> Iterator[Shell]:
    """Run a shell for as long as the context lasts."""
    opened = Shell(folder, environment)
    try:
        yield opened
    finally:
        opened.close()
