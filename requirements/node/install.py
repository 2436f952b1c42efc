"""Install what `package-lock.json` lists, each package checked by its hash. Runs on a bare Python 3.11 or newer.

usage: install.py FOLDER        (a machine without Node or npm is told what that means, and is fine)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

LISTS = ("package.json", "package-lock.json")


def main(arguments: list[str]) -> int:
    """Install into the folder; return the exit status."""
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        print(f"{folder}: no Node with npm on this machine; the tests that need it are skipped")
        return 0
    started = time.monotonic()
    print(f"{folder}: installing what the tests of Node receivers need, a few seconds and 1 MB", flush=True)
    for name in LISTS:
        shutil.copy(Path(__file__).parent / name, folder)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        print(f"{folder}: npm could not install requirements/node/package-lock.json")
        return 1
    print(f"{folder} from requirements/node/package-lock.json ... {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
