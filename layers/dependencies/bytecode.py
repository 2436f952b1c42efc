"""Add byte code to the layer: /opt is read-only on Lambda, so without it every cold start compiles every module anew.

usage: bytecode.py FOLDER

Only a Python can make byte code that it reads. So there is some for those of the layer's Pythons (`wheels.py` wrote
them into the manifest) that this machine has: the one that runs this, and any `python3.N` on PATH. The manifest gets
their list, `byte_code`.
"""

from __future__ import annotations

import compileall
import json
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

UNUSED = (
    "anyio|h11|httpcore|pydantic/v1"
    "|aiohttp/(web\\w*|worker|test_utils|pytest_plugin)\\.py"
    "|aws_lambda_powertools/utilities/(auth_alpha|circuit_breaker|data_masking|feature_flags|idempotency|kafka"
    "|kafka_schema_registry|parameters|parser|streaming|validation)"
)
"""What no function loads, as a pattern of paths below the layer's folder: its byte code would be half of it all."""

MANIFEST = "built-for.json"
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def main(folder: str) -> None:
    """Compile the modules below `folder` for each of the layer's Pythons that is here."""
    path = Path(folder, MANIFEST)
    manifest = json.loads(path.read_text())
    found = {version: program for version in manifest["pythons"] if (program := interpreter(version))}
    for program in found.values():
        subprocess.run([program, __file__, folder, "--this"], check=True)
    path.write_text(json.dumps(manifest | {"byte_code": list(found)}) + "\n")


def interpreter(version: str) -> str | None:
    """Return the program of a Python of this version ("3.13"), or None if this machine has none that runs."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    program = shutil.which(f"python{version}")
    # A version manager's stand-in for a Python that is not chosen is there, and fails.
    told = program and subprocess.run([program, "-c", _VERSION], capture_output=True, text=True, check=False)
    return program if told and told.stdout.strip() == version else None


def compile_all(folder: str) -> None:
    """Compile the modules below `folder` for this very interpreter."""
    compileall.compile_dir(
        folder,
        quiet=1,
        rx=re.compile(f"{re.escape(folder)}/({UNUSED})(/|$)"),
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    (compile_all if sys.argv[2:] == ["--this"] else main)(sys.argv[1])
