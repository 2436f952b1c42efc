"""The console of the demonstration: it is there when its address is, and its pictures are small."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tunehook.errors import Unavailable
from tunehook_local.demo import console
from tunehook_local.embedded.state import LocalEnvironment, checkout

ROOT = checkout()
PICTURES = sorted((ROOT / "docs" / "images").glob("console-*.png"))


def program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def environment() -> LocalEnvironment:
    return LocalEnvironment("http://127.0.0.1:1", "us-east-1", "key", "secret", "tunehook", 1)


def test_the_address_is_what_the_command_prints_and_it_ends_with_the_block(
    tmp_path: Path, environment: LocalEnvironment
) -> None:
    command = program(
        tmp_path / "tunehook", f'echo "$@" "$TUNEHOOK_STACK" >{tmp_path}/told; echo url; exec sleep 600'
    )
    with console.console_while(command, environment, tmp_path / "log") as url:
        assert url == "url"
    assert (tmp_path / "told").read_text() == "console --port 0 tunehook\n"


def test_a_console_that_does_not_start_is_an_error_with_its_words(
    tmp_path: Path, environment: LocalEnvironment
) -> None:
    command = program(tmp_path / "tunehook", "echo 'port 0 is in use' >&2; exit 1")
    with pytest.raises(Unavailable, match="port 0 is in use"):
        console.start_console(command, environment, tmp_path / "log")


def test_pictures_are_refused_if_they_are_too_large_and_failures_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, python = tmp_path / "images", tmp_path / "python"
    monkeypatch.setattr(console, "_BROWSER_PYTHON", python)
    with pytest.raises(Unavailable, match="Playwright is not set up"):
        console.take_pictures("url", {"console-x": "/"}, folder)

    program(python, "echo 'there is no Chromium' >&2; exit 1")
    with pytest.raises(Unavailable, match="there is no Chromium"):
        console.take_pictures("url", {"console-x": "/"}, folder)

    program(python, f"head -c 300001 /dev/zero >{folder}/console-x.png")
    with pytest.raises(Unavailable, match=r"console-x\.png has 300,001 B"):
        console.take_pictures("url", {"console-x": "/"}, folder)

    program(python, f"head -c 300000 /dev/zero >{folder}/console-x.png")
    console.take_pictures("url", {"console-x": "/"}, folder)


def test_a_delivery_is_waited_for_until_it_was_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console.time, "sleep", lambda _: None)
    looks = iter([[], [("pending", 1)], [("delivered", 2)]])
    words: list[tuple[str, ...]] = []

    def tunehook(*given: str) -> object:
        words.append(given)
        if given[:2] != ("deliveries", "list"):
            return {"subscription_id": "sub"}
        return [{"delivery_id": "msg", "status": s, "attempts": [{}] * n} for s, n in next(looks)]

    assert console.a_delivery_with_attempts(tunehook, "http://sandbox") == "msg"
    assert words[0][:2] == ("subscribe", "http://sandbox/receiver/demo-flaky")
    assert words[1][:3] == ("deliveries", "recover", "sub")


def test_the_pictures_that_are_shown_are_small_and_in_both_readmes() -> None:
    assert [each.stem for each in PICTURES] == ["console-delivery", "console-overview", "console-task"]
    for each in PICTURES:
        assert each.read_bytes().startswith(b"\x89PNG")
        assert each.stat().st_size < console.MAX_BYTES
        for page in ("README.md", "README.zh-CN.md"):
            assert f"](docs/images/{each.name})" in (ROOT / page).read_text(encoding="utf-8")
