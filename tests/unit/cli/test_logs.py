import json
import re
import signal
from types import ModuleType
from typing import Any

import pytest
from tests.support.aws import client
from tests.support.dropped_signals import close_what_nobody_holds
from tests.unit.operations.test_logs import log, text

from tunehook.operations import logs as operations
from tunehook_local.embedded.state import Home, LocalEnvironment


@pytest.fixture
def logged(stack: None) -> None:
    log("intake", text("task_accepted", "intake", ago_s=9, task_id="t-1"))
    log("poller", text("tick", ago_s=5), text("task\x1b", ago_s=3, level="ERROR", task_id="t-2"))


def test_a_line_of_a_log_is_a_line(tunehook: Any, logged: None) -> None:
    result = tunehook("logs")
    assert (result.exit_code, result.stderr) == (0, "")
    # Just after midnight the lines are yesterday's, and have a date.
    timed = r"(?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d"
    assert [re.sub(rf"^{timed} ", "", line) for line in result.stdout.splitlines()] == [
        "intake      INFO    task_accepted task_id=t-1",
        "poller      INFO    tick",
        "poller      ERROR   task\\x1b task_id=t-2",
    ]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        (["poller"], ["tick", "task\x1b"]),
        (["--task", "t-1"], ["task_accepted"]),
        (["-n", "1"], ["task\x1b"]),
        (["-n", "0"], []),
    ],
)
def test_lines_are_chosen(tunehook: Any, logged: None, args: list[str], found: list[str]) -> None:
    out = tunehook("logs", "--json", *args).stdout
    assert [json.loads(line)["message"] for line in out.splitlines()] == found


def test_what_is_older_is_left_out(tunehook: Any, stack: None) -> None:
    log("poller", text("older", ago_s=3 * 3600), text("newer", ago_s=3600 + 60))
    assert tunehook("logs").stdout == ""
    assert tunehook("logs", "--since", "2h").stdout.split()[-1] == "newer"
    assert len(tunehook("logs", "--since", "2d").stdout.splitlines()) == 2


def test_an_empty_log_is_a_note(tunehook: Any, stack: None) -> None:
    result = tunehook("logs", "--task", "t-9", "--since", "2h")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "No function has logged anything about this task in the last 2h.\n"


@pytest.mark.parametrize(("args", "words"), [(["--since", "1"], "--since: "), (["nope"], "nope")])
def test_a_bad_argument_is_named(tunehook: Any, stack: None, args: list[str], words: str) -> None:
    result = tunehook("logs", *args)
    assert (result.exit_code, words in result.stderr) == (2, True)


def test_following_goes_on_until_ctrl_c(tunehook: Any, logged: None, monkeypatch: pytest.MonkeyPatch) -> None:
    read, calls = operations.read_logs, iter(range(9))

    def read_logs(*args: Any, **options: Any) -> Any:
        more = [text("late", "webhooks")] if next(calls) else []
        return read(*args, **options | {"printed": more})

    sleeps = iter([None])

    def sleep(_: float) -> None:
        try:
            next(sleeps)
        except StopIteration:
            raise KeyboardInterrupt from None

    follow = operations.follow_logs
    monkeypatch.setattr(operations, "read_logs", read_logs)
    monkeypatch.setattr(
        operations, "follow_logs", lambda *args, **options: follow(*args, **options | {"sleep": sleep})
    )
    result = tunehook("logs", "--lines", "1", "--follow", "--json")
    assert result.exit_code == 0
    assert [json.loads(line)["message"] for line in result.stdout.splitlines()] == ["task\x1b", "late"]


def test_ctrl_c_that_python_drops_ends_following_too(
    tunehook: Any, logged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = 0

    def read_logs(*_: Any, **__: Any) -> list[operations.LogLine]:
        nonlocal reads
        reads += 1
        if reads == 2:
            close_what_nobody_holds(signal.SIGINT)
        assert reads < 3, "it goes on"
        return []

    monkeypatch.setattr(operations, "read_logs", read_logs)
    assert tunehook("logs", "--follow").exit_code == 0
    assert reads == 2


def test_what_the_embedded_aws_prints_is_told_too(
    tunehook: Any,
    logged: None,
    no_embedded_aws: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.setenv("TUNEHOOK_HOME", str(tmp_path))
    home = Home()
    home.log.parent.mkdir(parents=True)
    home.log.write_text(f"a banner\n{text('printed', 'webhooks')}\n")
    endpoint = client("logs").meta.endpoint_url
    local = LocalEnvironment(endpoint, "us-east-1", "k", "s", "tunehook", 1)
    no_embedded_aws.running = lambda: local  # type: ignore[attr-defined]
    assert "printed" in tunehook("logs", "webhooks").stdout
    other = LocalEnvironment("http://127.0.0.1:9", "us-east-1", "k", "s", "tunehook", 1)
    no_embedded_aws.running = lambda: other  # type: ignore[attr-defined]
    assert "printed" not in tunehook("logs", "webhooks").stdout
