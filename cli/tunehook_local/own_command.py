"""Where the command that runs is on this machine, so that what it prints for a shell works when it is pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "tunehook"


def own_folder() -> Path | None:
    """Return the folder of the `tunehook` that runs, or of this Python's; None if neither has one."""
    started = Path(sys.argv[0]).absolute()
    if started.name == NAME and started.is_file():
        return started.parent
    folder = Path(sys.executable).absolute().parent
    return folder if (folder / NAME).is_file() else None


def path_line() -> str | None:
    """Return the shell line that puts `own_folder` first on PATH; evaluated again, it changes nothing."""
    folder = own_folder()
    if folder is None:
        return None
    quoted = shlex.quote(str(folder))
    return f'case "$PATH:" in {quoted}:*) ;; *) export PATH={quoted}:"$PATH" ;; esac'


def own_name() -> str:
    """Return how a shell calls the command that runs: by its name where PATH leads to it, else by its path."""
    folder = own_folder()
    if folder is None:
        return NAME
    file, on_path = folder / NAME, shutil.which(NAME)
    if on_path is not None and Path(on_path).resolve() == file.resolve():
        return NAME
    return shlex.quote(str(file))
