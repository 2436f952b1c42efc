"""The code of the pages: the blocks of a Markdown page, and programs that are made of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.template import ROOT

NODE: Final = ROOT / ".tunehook" / "tools" / "node"
"""Where Node's packages are, if they are installed."""


class Block(NamedTuple):
    """A block of a page, by the heading that it stands below."""

    heading: str
    language: str
    text: str


class Page:
    """A page of the checkout, by its path there."""

    def __init__(self, path: str) -> None:
        self.text: str = (ROOT / path).read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        heading, found = "", []
        for title, language, text in re.findall(
            r"^#+ ([^\n]*)$|^```(\w+)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL
        ):
            heading = title or heading
            if language:
                found.append(Block(heading, language, text))
        return found

    def of(self, language: str) -> list[Block]:
        return [each for each in self.blocks if each.language == language]

    def code(self, language: str, mark: str) -> str:
        """Return the one block of a language that has something in it."""
        (found,) = (each.text for each in self.of(language) if mark in each.text)
        return found


def ran(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str], within_s: float
) -> list[str]:
    """Return the lines that a program prints, which ends well."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=within_s
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
