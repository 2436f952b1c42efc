"""Put the pinned wheels into the layer, for several Pythons and processors side by side.

usage: wheels.py FOLDER "PYTHONS" "PROCESSORS"        (wheels.py python "3.13 3.14" "x86_64 aarch64")

Wheels are taken, never compiled, so that any Python can build the layer. The compiled parts have the Python and the
processor in their file names; everything else of a release is the same for all. So all lie in one folder. PROCESSORS
may be `native`: the wheels of this very interpreter alone, with which the embedded AWS runs functions.
"""

from __future__ import annotations

import filecmp
import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

PINNED = Path(__file__).with_name("requirements.txt")
MANIFEST = "built-for.json"
"""In the layer's folder: the `pythons` and `processors` whose compiled parts are there."""

AT_ONCE = 4

PIP = "-m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --only-binary=:all:"


def main(folder: str, pythons: str, processors: str) -> None:
    if processors == "native":
        install(PINNED, Path(folder), ())
        write_manifest(folder, [f"{sys.version_info.major}.{sys.version_info.minor}"], [platform.machine()])
        return
    targets = [(python, processor) for python in pythons.split() for processor in processors.split()]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as threads:
        # One target's wheels say which have compiled parts; of the others no more is taken than these.
        first = Path(scratch, "first")
        install(PINNED, first, options(*targets[0]))
        compiled = Path(scratch, "compiled.txt")
        compiled.write_text(only(PINNED.read_text(), compiled_releases(first)))
        others = [Path(scratch, "-".join(target)) for target in targets[1:]]
        list(threads.map(partial(install, compiled), others, (options(*target) for target in targets[1:])))
        for source in (first, *others):
            merge(source, Path(folder))
    write_manifest(folder, pythons.split(), processors.split())


def write_manifest(folder: str, pythons: list[str], processors: list[str]) -> None:
    Path(folder, MANIFEST).write_text(json.dumps({"pythons": pythons, "processors": processors}) + "\n")


def options(python: str, processor: str) -> tuple[str, ...]:
    """Return the options by which pip chooses wheels for a Python of Lambda and a processor."""
    # Lambda's Python 3.11 has the C library of Amazon Linux 2, which is 2.26; the later ones that of 2023, 2.34.
    kinds = ("manylinux2014",) if python == "3.11" else ("manylinux_2_28", "manylinux2014")
    platforms = (word for kind in kinds for word in ("--platform", f"{kind}_{processor}"))
    return ("--implementation", "cp", "--python-version", python, *platforms)


def install(requirements: Path, folder: Path, target: tuple[str, ...]) -> None:
    """Unpack the wheels of a list into a folder; end the program if pip cannot."""
    paths = ("--requirement", str(requirements), "--target", str(folder))
    if subprocess.run([sys.executable, *PIP.split(), *target, *paths], check=False).returncode != 0:
        sys.exit(f"pip has no wheels for {' '.join(target) or sys.executable}: see above")


def compiled_releases(folder: Path) -> set[str]:
    """Return the names of the installed projects with compiled parts, in pip's spelling."""
    return {
        normalised(path.parent.name.split("-")[0])
        for path in folder.glob("*.dist-info/WHEEL")
        if "Root-Is-Purelib: false" in path.read_text()
    }


def only(pinned: str, names: set[str]) -> str:
    """Return a pinned list with the requirements of these names alone, with their hashes."""
    requirements = re.findall(r"^\S+==(?:.*\\\n)*.*\n", pinned, re.MULTILINE)
    return "".join(each for each in requirements if normalised(each.split("==")[0]) in names)


def normalised(name: str) -> str:
    """Return a project's name as all spellings of it are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def merge(source: Path, folder: Path) -> None:
    """Move what was unpacked into the layer; end the program where two targets have different files of one name."""
    for path in sorted(each for each in source.rglob("*") if each.is_file()):
        within = path.relative_to(source)
        there = folder / within
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, there)
        # What pip itself writes differs by the wheel.
        elif not within.parts[0].endswith(".dist-info") and not filecmp.cmp(path, there, shallow=False):
            sys.exit(f"{within} is not the same for every Python and processor: they cannot share a layer")


if __name__ == "__main__":
    main(*sys.argv[1:])
