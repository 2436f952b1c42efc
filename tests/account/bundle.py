"""The sandbox stack, made ready to be deployed: its template and, beside it, the function's code.

The code is Python alone and needs nothing beside the runtime's boto3: it runs on any processor and any of Lambda's
Pythons, and nothing is installed for it. It is the sandbox's own, less what serves it by aiohttp and reads scenarios.
"""

from __future__ import annotations

import compileall
import shutil
from itertools import takewhile
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Final

from tests.support.template import ROOT

FOLDER: Final = Path(__file__).with_name("sandbox")

SOURCES: Final = (
    "tests/account/sandbox/app.py",
    "tests/account/sandbox/books.py",
    *(
        f"cli/tunehook_local/sandbox/{name}.py"
        for name in (
            "clips",
            "model",
            "musicmint",
            "new_api",
            "plain_response",
            "qhaigc",
            "suno",
            "task_snapshot",
        )
    ),
    *(
        f"cli/tunehook_local/sandbox/media/{name}"
        for name in (
            "cover-evening.jpeg",
            "cover-large.jpeg",
            "cover-morning.jpeg",
            "evening.mp3",
            "morning.mp3",
            "video.mp4",
        )
    ),
    "layers/tunehook/tunehook/times.py",
)
"""What the function's package holds, as paths of the checkout."""

_ROOTS: Final = ("cli/", "layers/tunehook/")
"""What is on the path of Python."""


def make_bundle(folder: Path) -> Path:
    """Write template and code into a folder, and return the template's path."""
    shutil.rmtree(folder, ignore_errors=True)
    code = folder / "code"
    for source in SOURCES:
        name = source
        for root in _ROOTS:
            name = name.removeprefix(root)
        target = code / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, target)
        # Regular packages: no other part of the path has a say in what is in them.
        for package in takewhile(lambda each: each != code, target.parents):
            (package / "__init__.py").touch()
    # With byte code: Lambda cannot write any. That of another Python than the function's is passed over.
    compileall.compile_dir(code, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    return Path(shutil.copyfile(FOLDER / "template.yaml", folder / "template.yaml"))
