from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.embedded.test_state import environment

from tunehook_local.embedded import logs
from tunehook_local.embedded.state import Home


def line(function: str, second: int, message: str, **rest: object) -> str:
    stamp = f"2026-11-20 16:00:{second:02},000+0000"
    fields = {"level": "INFO", "message": message, "timestamp": stamp, "service": function, "location": "x:1"}
    return json.dumps(fields | rest)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path)
    home.log.parent.mkdir()
    printed = [
        line("webhooks", 3, "third"),
        "2026 INFO something else",
        line("intake", 1, "first"),
        '{"no": 1}',
    ]
    home.log.write_text("\n".join(printed))
    in_cloudwatch = [line("poller", 2, "second", task_id="t"), line("intake", 1, "first"), "END RequestId: x"]
    monkeypatch.setattr(logs, "_in_cloudwatch", lambda _: iter(in_cloudwatch))
    return home


def test_what_was_printed_and_what_went_to_cloudwatch_is_told_once_in_order_of_time(home: Home) -> None:
    assert [each.message for each in logs.lines(home, environment(1, 1), None)] == [
        "first",
        "second",
        "third",
    ]


def test_one_functions_lines_can_be_asked_for(home: Home) -> None:
    assert [each.message for each in logs.lines(home, environment(1, 1), "webhooks")] == ["third"]


def test_a_line_tells_its_fields_without_what_is_the_same_on_every_line(home: Home) -> None:
    (poller,) = logs.lines(home, environment(1, 1), "poller")
    assert str(poller) == "16:00:02,000 poller      INFO    second task_id=t"
