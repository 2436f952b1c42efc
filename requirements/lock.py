"""Pin the requirements anew: each ``.in`` list becomes a list with versions and hashes, and no download address.

usage: lock.py        (uv is installed for it, in a folder that goes away again)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = (
    "layers/dependencies/requirements",
    "requirements/dev",
    "requirements/checks",
    "requirements/command",
    "requirements/ministack",
    "requirements/sam",
    "requirements/sam-lint",
    "requirements/schemathesis",
    "requirements/browser",
)
"""In this order: the functions' own versions constrain those that they are tested with, and so on down the list."""

OVERRIDES = dict.fromkeys(
    ("requirements/dev", "requirements/sam"), ("--override", "requirements/no-cfn-lint.txt")
)
"""What a list leaves out of its packages' requirements."""

LAMBDA = "layers/dependencies/requirements"
"""The list for Linux and CPython alone: pip judges conditions by the Python that builds the layer, so it has none."""


def main() -> None:
    """Write every list anew."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        for name in LISTS:
            print(f"pinning {name}.in", flush=True)
            subprocess.run(
                [
                    *(
                        python,
                        "-m",
                        "uv",
                        "pip",
                        "compile",
                        "--quiet",
                        *(("--python-platform", "linux") if name == LAMBDA else ("--universal",)),
                        "--python-version",
                        "3.11",
                    ),
                    *("--generate-hashes", "--no-emit-index-url", "--no-header", "--upgrade"),
                    *OVERRIDES.get(name, ()),
                    *(f"{name}.in", "--output-file", f"{name}.txt"),
                ],
                cwd=ROOT,
                check=True,
            )


if __name__ == "__main__":
    sys.exit(main())
