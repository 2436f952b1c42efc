"""How the dependencies layer is built for every Python of Lambda and both processors, without the registry."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.support.template import ROOT, template

LAYER = ROOT / "layers" / "dependencies"
WHEELS = runpy.run_path(str(LAYER / "wheels.py"))
BYTECODE = runpy.run_path(str(LAYER / "bytecode.py"))
PINNED = (LAYER / "requirements.txt").read_text()
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def platforms(python: str) -> list[str]:
    words = WHEELS["options"](python, "aarch64")
    return [value for word, value in itertools.pairwise(words) if word == "--platform"]


def test_wheels_suit_the_c_library_of_the_runtime() -> None:
    """Python 3.11 has that of Amazon Linux 2, 2.26; the others 2.34."""
    assert platforms("3.11") == ["manylinux2014_aarch64"]
    for python in template()["Parameters"]["PythonVersion"]["AllowedValues"][1:]:
        assert platforms(python) == ["manylinux_2_28_aarch64", "manylinux2014_aarch64"]


def test_the_list_has_no_requirement_of_some_pythons_alone() -> None:
    """pip judges conditions by the Python that runs it, and not by the one that it is told."""
    assert not re.search(r"^[^#\n]*;", PINNED, re.MULTILINE)


def test_what_has_compiled_parts_is_taken_out_of_the_list_with_its_hashes() -> None:
    taken = WHEELS["only"](PINNED, {"pydantic-core", "yarl"})
    assert re.findall(r"^(\S+)==", taken, re.MULTILINE) == ["pydantic-core", "yarl"]
    whole = len(re.findall("--hash", PINNED))
    assert 0 < len(re.findall("--hash", taken)) < whole
    everything = {WHEELS["normalised"](each) for each in re.findall(r"^(\S+)==", PINNED, re.MULTILINE)}
    assert len(re.findall("--hash", WHEELS["only"](PINNED, everything))) == whole


def test_releases_with_compiled_parts_are_known_by_their_wheels(tmp_path: Path) -> None:
    write(tmp_path / "pydantic_core-2.50.4.dist-info" / "WHEEL", "Root-Is-Purelib: false\n")
    write(tmp_path / "pydantic-2.14.3.dist-info" / "WHEEL", "Root-Is-Purelib: true\n")
    assert WHEELS["compiled_releases"](tmp_path) == {"pydantic-core"}


def test_compiled_parts_of_several_pythons_lie_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "layer"
    for number, name in enumerate(("a.cpython-313.so", "a.cpython-314.so")):
        write(tmp_path / str(number) / "package" / name, name)
        write(tmp_path / str(number) / "package" / "__init__.py", "same")
        write(tmp_path / str(number) / "package-1.dist-info" / "WHEEL", name)
        WHEELS["merge"](tmp_path / str(number), folder)
    assert sorted(path.name for path in (folder / "package").iterdir()) == [
        "__init__.py",
        "a.cpython-313.so",
        "a.cpython-314.so",
    ]


def test_a_release_for_every_python_lies_once_for_each_processor(tmp_path: Path) -> None:
    for processor in ("x86_64", "aarch64"):
        source = tmp_path / processor
        write(source / "nacl" / "_sodium.abi3.so", processor)
        write(source / "other" / "__init__.py", "same")
        write(
            source / "pynacl-1.dist-info" / "WHEEL",
            "Root-Is-Purelib: false\nTag: cp38-abi3-manylinux2014_x\n",
        )
        write(
            source / "pynacl-1.dist-info" / "RECORD", "nacl/_sodium.abi3.so,,\npynacl-1.dist-info/WHEEL,,\n"
        )
        write(source / "other-1.dist-info" / "WHEEL", "Tag: cp311-cp311-manylinux2014_x\n")
        assert WHEELS["set_apart"](source, processor) == {"pynacl"}
        WHEELS["merge"](source, tmp_path / "layer")
        kept = tmp_path / "layer" / f"only-{processor}" / "nacl" / "_sodium.abi3.so"
        assert kept.read_text() == processor
    assert not (tmp_path / "layer" / "nacl").exists()


def test_what_cannot_lie_side_by_side_ends_the_build(tmp_path: Path) -> None:
    for source, text in (("one", "X = 1"), ("other", "X = 2")):
        write(tmp_path / source / "package" / "__init__.py", text)
    WHEELS["merge"](tmp_path / "one", tmp_path / "layer")
    with pytest.raises(SystemExit, match=r"package/__init__\.py is not the same"):
        WHEELS["merge"](tmp_path / "other", tmp_path / "layer")


def test_byte_code_is_made_by_the_pythons_that_are_here_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, folder = tmp_path / "programs", tmp_path / "layer"
    absent, broken, *_ = (version for version in ("3.11", "3.12", "3.13", "3.14") if version != HERE)
    # A version manager's stand-in for a Python that is not chosen.
    write(programs / f"python{broken}", "#!/bin/sh\necho 'not chosen' >&2\nexit 127\n")
    (programs / f"python{broken}").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    write(folder / "module.py", "X = 1\n")
    WHEELS["write_manifest"](str(folder), [absent, broken, HERE], ["x86_64"])

    subprocess.run([sys.executable, str(LAYER / "bytecode.py"), str(folder)], check=True)

    manifest: dict[str, Any] = json.loads((folder / "built-for.json").read_text())
    assert manifest == {"pythons": [absent, broken, HERE], "processors": ["x86_64"], "byte_code": [HERE]}
    (compiled,) = (folder / "__pycache__").iterdir()
    assert compiled.name == f"module.{sys.implementation.cache_tag}.pyc"


def test_both_programs_mean_the_same_file() -> None:
    assert WHEELS["MANIFEST"] == BYTECODE["MANIFEST"]
