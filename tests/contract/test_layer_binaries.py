"""Compiled modules of the layer, without what debuggers read, are still what they were."""

from __future__ import annotations

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import brotli
import pytest
from tests.support.template import ROOT

SCRIPT = ROOT / "layers" / "dependencies" / "slim.py"
IS_ELF = sys.platform == "linux"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A copy of a compiled module of this environment."""
    found = importlib.util.find_spec("_brotli")
    assert found is not None
    assert found.origin is not None
    copy = tmp_path / Path(found.origin).name
    copy.write_bytes(Path(found.origin).read_bytes())
    return copy


@pytest.mark.skipif(not IS_ELF, reason="modules here are no ELF files")
def test_a_module_is_smaller_and_still_works(module: Path) -> None:
    whole = module.stat().st_size
    subprocess.run([sys.executable, str(SCRIPT), str(module.parent)], check=True)
    assert module.stat().st_size < whole
    code = (
        "import sys, _brotli\n"
        "assert _brotli.__file__ == sys.argv[1]\n"
        "print(_brotli.decompress(sys.stdin.buffer.read()))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(module)],
        env={"PYTHONPATH": str(module.parent)},
        input=brotli.compress(b"song"),
        stdout=subprocess.PIPE,
        check=True,
    )
    assert finished.stdout == b"b'song'\n"


@pytest.mark.skipif(not IS_ELF, reason="modules here are no ELF files")
def test_what_is_slim_stays_as_it_is(module: Path) -> None:
    slim = runpy.run_path(str(SCRIPT))["slim"]
    once = slim(module.read_bytes())
    assert slim(once) == once


def test_what_is_no_elf_file_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.so.txt"
    text.write_bytes(b"no module")
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path)], check=True)
    assert text.read_bytes() == b"no module"
