"""The worked example of docs/providers.md: its files and commands, pasted as they stand, print what it shows."""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.pages import Block, Page

COLUMNS = "150"
"""How wide the page's terminal is."""

HOST = "https://api.nightingale.example"
KEY = "sk-a-key-that-nobody-may-see-0123"


def example() -> list[Block]:
    return [each for each in Page("docs/providers.md").blocks if each.heading == "A recipe of your own"]


@pytest.fixture
def nightingale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder with the page's two files, and the vendor on loopback: it answers what the page says."""
    answer, recipe = (each.text for each in example() if each.language in ("json", "toml"))

    class Vendor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_known = self.path == "/v2/jobs/job_81" and self.headers["x-api-key"] == KEY
            body = answer.encode() if is_known else b'{"error": {"message": "no"}}'
            self.send_response(200 if is_known else 403)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Vendor)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "done.json").write_text(answer)
    (tmp_path / "nightingale.toml").write_text(recipe.replace(HOST, url))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", COLUMNS)
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_worked_example_prints_what_the_page_shows(
    tunehook: Any, providers: Callable[..., dict[str, Any]], nightingale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", COLUMNS)
    printed = ""
    shown: list[str] = []
    for block in example():
        if block.language == "text":
            shown.append(block.text)
            assert is_shown(block.text, printed.replace(nightingale, HOST))
            printed = ""
        for line in block.text.splitlines() if block.language == "sh" else ():
            name, *words = shlex.split(line)
            assert name == "tunehook"
            result = tunehook(*words, input=f"{KEY}\n")
            assert result.exit_code == 0, result.output
            printed += result.stdout
    assert len(shown) == 2
    stored = providers()["nightingale"]
    assert stored["kind"] == "described"
    assert stored["recipe"]["clips"]["audio_url"] == "mp3"
    assert KEY not in json.dumps(shown)


def is_shown(page: str, printed: str) -> bool:
    """Whether a page shows what was printed: each line, up to how long it took; ``...`` stands for lines left out."""
    lines = [r"(?:.*\n)*?" if line == "..." else f"{re.escape(line)}\n" for line in lines_of(page)]
    return re.fullmatch("".join(lines), "\n".join(lines_of(printed)) + "\n") is not None


def lines_of(text: str) -> list[str]:
    timed = re.sub(r"\d+(?:\.\d+)? s\b", "N s", text)
    return [line.rstrip() for line in timed.splitlines() if line.strip()]
