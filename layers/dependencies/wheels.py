"""Put the pinned wheels into the layer, for several Pythons and processors side by side.

usage: wheels.py FOLDER "PYTHONS" "PROCESSORS"        (wheels.py python "3.13 3.14" "x86_64 aarch64")

Wheels are taken, never compiled, so that any Python can build the layer. The compiled parts have the Python and the
processor in their file names; everything else of a release is the same for all. So all lie in one folder. But a module
for the stable interface of every Python (`abi3`) has neither in its name: such a release lies once for each processor,
in a folder `only-PROCESSOR` beside the others, which whoever needs it puts on the path. PROCESSORS may be `native`: the
wheels of this very interpreter alone, with which the embedded AWS runs functions.
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
from pathlib import Path

PINNED = Path(__file__).with_name("requirements.txt")
MANIFEST = "built-for.json"
"""In the layer's folder: the `pythons` and `processors` whose compiled parts are there."""

AT_ONCE = 4

PIP = "-m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes --only-binary=:all:"


def main(folder: str, pythons: str, processors: str) -> None:
    if processors == "native":
        install(PINNED, Path(folder), ())
        set_apart(Path(folder), platform.machine())
        write_manifest(folder, [f"{sys.version_info.major}.{sys.version_info.minor}"], [platform.machine()])
        return
    targets = [(python, processor) for python in pythons.split() for processor in processors.split()]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as threads:
        # One target's wheels say which have compiled parts; of the others no more is taken than these.
        first = Path(scratch, "first")
        install(PINNED, first, options(*targets[0]))
        apart = set_apart(first, targets[0][1])
        compiled, stable = Path(scratch, "compiled.txt"), Path(scratch, "stable.txt")
        compiled.write_text(only(PINNED.read_text(), compiled_releases(first)))
        stable.write_text(only(PINNED.read_text(), apart))
        # What serves every Python is taken for the first one, whose C library is the oldest.
        again = [(compiled, target) for target in targets[1:]]
        again += [(stable, (pythons.split()[0], each)) for each in processors.split()[1:] if apart]
        others = [Path(scratch, str(number)) for number in range(len(again))]
        list(threads.map(lambda each, into: install(each[0], into, options(*each[1])), again, others))
        for (requirements, (_, processor)), source in zip(again, others, strict=True):
            if requirements is stable:
                set_apart(source, processor)
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


def set_apart(folder: Path, processor: str) -> set[str]:
    """Move the installed projects whose compiled parts serve every Python into the processor's folder; return them."""
    moved = set()
    for wheel in sorted(folder.glob("*.dist-info/WHEEL")):
        if not re.search(r"^Tag: \S+-abi3-", wheel.read_text(), re.MULTILINE):
            continue
        record = wheel.with_name("RECORD").read_text().splitlines()
        apart = folder / f"only-{processor}"
        apart.mkdir(exist_ok=True)
        for name in {line.partition("/")[0] for line in record}:
            shutil.move(folder / name, apart / name)
        moved.add(normalised(wheel.parent.name.split("-")[0]))
    return moved


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
