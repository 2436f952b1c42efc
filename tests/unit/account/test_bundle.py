from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.account.bundle import make_bundle

IMPORTED = """
import sys
sys.path[:0] = [sys.argv[1]]
import tests.account.sandbox.app as app
import tunehook_local.sandbox.clips as clips
assert app.__file__.startswith(sys.argv[1]), app.__file__
assert clips.TRACKS[0].audio.is_file() and clips.VIDEO.is_file() and clips.LARGE_COVER.is_file()
assert all(track.cover.is_file() for track in clips.TRACKS)
print(*sorted(name for name in sys.modules if "." not in name))
"""


def test_the_function_needs_nothing_but_python_until_it_needs_its_books(tmp_path: Path) -> None:
    make_bundle(tmp_path)

    finished = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORTED, str(tmp_path / "code")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    loaded = set(finished.stdout.split())
    assert "tunehook_local" in loaded
    assert not loaded & {"pydantic", "aiohttp", "multidict", "httpx", "typer", "boto3", "botocore"}


def test_the_template_lies_beside_the_code_and_a_second_bundle_replaces_the_first(tmp_path: Path) -> None:
    stale = tmp_path / "code" / "stale.py"
    stale.parent.mkdir()
    stale.touch()

    template = make_bundle(tmp_path)

    assert template == tmp_path / "template.yaml"
    assert not stale.exists()
    assert sum(each.stat().st_size for each in tmp_path.rglob("*") if each.is_file()) < 1_000_000
