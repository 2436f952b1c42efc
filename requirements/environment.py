"""Make a virtual environment from a pinned list. Runs on a bare Python 3.11 or newer.

usage: environment.py FOLDER REQUIREMENTS [--editable PROJECT | --no-compile]

With --no-compile, modules are compiled when they are first imported: of the checkers' many, few are.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path


def main(arguments: list[str]) -> int:
    """Make the environment; return the exit status."""
    folder, requirements = Path(arguments[0]), arguments[1]
    project = arguments[3] if arguments[2:3] == ["--editable"] else None
    if sys.version_info < (3, 11):  # noqa: UP036 - this is what tells the user so
        print(
            f"tunehook needs Python 3.11 or newer, and this is {sys.version.split()[0]}: make PYTHON=python3.13 ..."
        )
        return 1
    started = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True)
    except subprocess.CalledProcessError:
        print(
            "this Python cannot make virtual environments with pip: install its `venv` package (python3-venv, say)"
        )
        return 1
    # The lists are complete, so that nothing is left to resolve.
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-qq", "--no-deps"]
    pip += ["--no-compile"] if arguments[2:3] == ["--no-compile"] else []
    steps = [[*pip, "--require-hashes", "--only-binary=:all:", "--requirement", requirements]]
    if project:
        steps.append([*pip, "--no-build-isolation", "--editable", project])
    for step in steps:
        if subprocess.run(step, check=False).returncode != 0:
            print(f"{folder}: pip could not install {requirements}")
            return 1
    print(f"{folder} from {requirements} ... {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
