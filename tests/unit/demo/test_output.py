"""What the demonstration prints: how far it is, what to look at next, and its picture."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from tunehook_local.demo import __main__ as demo
from tunehook_local.demo.check import TASKS
from tunehook_local.demo.observer import ReceivedWebhook
from tunehook_local.demo.picture import recording_console, write_picture
from tunehook_local.demo.progress import Progress
from tunehook_local.embedded.state import Home, checkout
from tunehook_local.steps import Steps

ROOT = checkout()


class FakeObserver:
    """A table, a bucket and receivers that say what they are told to."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, list[str]] = {}
        self.webhooks: list[ReceivedWebhook] = []
        self.called_back: list[int | None] = []

    def callbacks(self, _: str) -> list[int | None]:
        return self.called_back

    def task(self, _: str, task_id: str) -> dict[str, Any]:
        return self.items.get(task_id, {})

    def keys(self, _: str, task_id: str) -> list[str]:
        return self.objects.get(task_id, [])

    def received(self) -> list[ReceivedWebhook]:
        return self.webhooks


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False)


def test_a_line_for_each_change_and_a_sum(console: Console) -> None:
    observer = FakeObserver()
    progress = Progress(console, observer)  # type: ignore[arg-type]
    assert not progress.update()
    assert len(re.findall(r" new$", printed(console), re.MULTILINE)) == len(TASKS)

    first = TASKS[0].task_id
    observer.items[first] = {"status": "completed"}
    observer.objects[first] = ["audio.mp3", "manifest.json"]
    body = f'{{"type": "task.completed", "data": {{"task_id": "{first}"}}}}'.encode()
    observer.webhooks.append(ReceivedWebhook("subscribed", {}, body))
    assert not progress.update()

    assert progress.summary == "1 of 4 tasks ended, 2 objects in S3, 1 of 5 webhooks"
    for words in ("completed", "2 objects in S3", "webhook task.completed at subscribed"):
        assert re.search(rf"s  {first} +{words}$", printed(console), re.MULTILINE)

    observer.items = {each.task_id: {"status": each.status} for each in TASKS}
    observer.webhooks = [replace(observer.webhooks[0]) for _ in range(5)]
    assert progress.update()
    assert not printed(console).endswith("\n\n")
    before = printed(console)
    assert progress.update()
    assert printed(console) == before


def test_a_provider_that_calls_back_is_told_of_once_the_stack_has_taken_the_call(console: Console) -> None:
    observer = FakeObserver()
    progress = Progress(console, observer)  # type: ignore[arg-type]
    observer.called_back = [None]
    progress.update()
    assert "calls back" not in printed(console)

    observer.called_back = [None, 200]
    progress.update()
    progress.update()
    assert re.findall(r"(demo-\w+) +(\w+) calls back", printed(console)) == [("demo-spring", "qhaigc")]


def test_one_task_goes_by_the_api_and_another_is_called_back_about() -> None:
    assert [each.task_id for each in TASKS if each.by_api] == ["demo-sunrise"]
    assert [each.task_id for each in TASKS if each.calls_back] == ["demo-spring"]


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_commands_are_never_folded_and_what_they_do_goes_above_them(columns: int) -> None:
    console = Console(file=io.StringIO(), width=columns)
    demo._print_commands(
        console, ("tunehook results demo-city-lights", "the files, with links"), ("true", "")
    )

    lines = printed(console).splitlines()
    assert "  tunehook results demo-city-lights" in {line.partition("#")[0].rstrip() for line in lines}
    assert all(len(line) <= columns for line in lines)
    assert len(lines) == (3 if columns <= 60 else 2)


def test_the_end_names_commands_and_sections_that_are_there(console: Console) -> None:
    demo._print_what_next(console)

    text = printed(console)
    sections = re.findall(r"README\.md, ([^#]+?) *(?:#|$)", text, re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections
    assert set(sections) <= set(headings)
    targets = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"make (\w+)", text)) <= set(targets)


def test_what_is_kept_is_entered_by_commands_to_paste(console: Console, tmp_path: Path) -> None:
    page = "http://127.0.0.1:4582/?token=abc"
    demo._print_what_runs(console, Home(tmp_path / "a folder"), "http://127.0.0.1:4580", 4711, page, 4712)

    text = printed(console)
    assert f"TUNEHOOK_HOME='{(tmp_path / 'a folder').resolve()}'" in text
    assert 'eval "$(tunehook local env)"' in text
    assert "tunehook local down; kill 4711 4712" in text
    assert text.splitlines()[-1] == page


def test_everything_is_stopped_aloud_when_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines: list[str] = []
    stopped: list[object] = []
    monkeypatch.setattr(demo, "bring_up", lambda *_, **__: "the environment")
    monkeypatch.setattr(demo.ministack, "stop", lambda _, environment: stopped.append(environment))
    monkeypatch.setattr(demo, "_TUNEHOOK", "/bin/cat")
    monkeypatch.setattr(demo, "_wait_for", lambda *_: None)
    home = Home(tmp_path)
    home.log.parent.mkdir(parents=True)

    with pytest.raises(KeyboardInterrupt), demo._everything(home, lines.append, Steps(lines.append), False):
        raise KeyboardInterrupt

    assert stopped == ["the environment"]
    assert lines[-2] == "stopping the sandbox and the embedded AWS (about 5 s)"
    assert lines[-1].startswith("  done in ")


def test_the_picture_is_an_svg_that_fetches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console = recording_console()
    console.print("[green]Everything is there[/] <&>")
    capsys.readouterr()
    write_picture(console, tmp_path / "images" / "demo.svg")

    check_picture(tmp_path / "images" / "demo.svg", "Everything")


def test_the_picture_that_is_shown_is_of_a_run_in_which_all_was_there() -> None:
    check_picture(ROOT / "docs" / "images" / "demo.svg", "Everything")


def check_picture(path: Path, word: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
    assert word in text
    addresses = set(re.findall(r"https?://[\w.]+", text))
    assert addresses <= {"http://www.w3.org", "http://127.0.0.1", "https://www.textualize.io"}
