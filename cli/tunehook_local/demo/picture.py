"""The picture of the demonstration: what it prints, as an SVG of a terminal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

WIDTH: Final = 120

_FONT_FACES: Final = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
"""rich's own template fetches a font from elsewhere; any fixed-width font will do."""


def recording_console() -> Console:
    """Return a console that prints on stdout, and remembers it, in the picture's width."""
    return Console(
        record=True,
        width=WIDTH,
        highlight=False,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )


def write_picture(console: Console, path: Path) -> None:
    """Write what the console printed."""
    svg = console.export_svg(
        title="make demo", code_format=_FONT_FACES.sub("", CONSOLE_SVG_FORMAT), unique_id="demo"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg.replace("Fira Code", "ui-monospace").rstrip() + "\n", encoding="utf-8")
