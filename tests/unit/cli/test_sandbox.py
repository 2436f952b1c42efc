import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tunehook.times import iso
from tunehook_local.sandbox import LoggedRequest, ReceivedRequest, run_sandbox

MOMENT = datetime(2026, 11, 20, 16, 1, 57, tzinfo=UTC)
BODY = '{"type":"task.completed","data":{"title":"春天\\u001b"}}'.encode()
WEBHOOK = ReceivedRequest(MOMENT, "inbox", "POST", "/receiver/inbox?token=t", {"webhook-id": "m"}, BODY)
POLL = LoggedRequest(at=MOMENT, method="GET", path="/suno/\x1b", status=200, remark="suno a: processing")
TOLD = LoggedRequest(
    at=MOMENT, method="POST", path="/receiver/inbox", status=204, remark="task.completed a", received=WEBHOOK
)
HUNG = LoggedRequest(at=MOMENT, method="GET", path="/assets/x", status=None, remark="a file of suno a")


def serving(requests: list[LoggedRequest]) -> Any:
    """Return what stands in for `serve`: it tells of these requests, and ends."""

    def serve(host: str, port: int, scenario: Path | None, on_ready: Any, on_request: Any) -> None:
        with run_sandbox(host=host, port=port) as sandbox:
            on_ready(sandbox)
        for each in requests:
            on_request(each)

    return serve


@pytest.fixture
def printed(tunehook: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what gives the lines that follow the announcement of the sandbox."""

    def run(*args: str) -> list[str]:
        monkeypatch.setattr("tunehook_local.sandbox.serve", serving([POLL, TOLD, HUNG]))
        out: str = tunehook("sandbox", "--port", "0", *args).stdout
        return out.partition("Requests:\n")[2].splitlines() or out.splitlines()[1:]

    return run


def test_each_request_is_a_line(printed: Any) -> None:
    at = f"{MOMENT.astimezone():%H:%M:%S}"
    assert printed() == [
        f"{at} 200 GET /suno/\\x1b  suno a: processing",
        f"{at} 204 POST /receiver/inbox  task.completed a",
        f"{at} --- GET /assets/x  a file of suno a, no response",
    ]


def test_bodies_of_webhooks_are_shown_where_they_are_asked_for(printed: Any) -> None:
    lines = printed("--verbose")
    assert lines[2:5] == ["  {", '    "type": "task.completed",', '    "data": {']
    assert '      "title": "春天\\u001b"' in lines
    assert len(lines) == 3 + 6


def test_requests_as_json_are_a_line_each_with_the_webhook(printed: Any) -> None:
    poll, told, hung = map(json.loads, printed("--json"))
    assert poll == {
        "at": iso(MOMENT),
        "method": "GET",
        "path": "/suno/\x1b",
        "status": 200,
        "remark": "suno a: processing",
        "webhook": None,
    }
    assert told["webhook"]["body"] == BODY.decode()
    assert hung["status"] is None


def test_the_ids_that_go_wrong_are_named_at_the_start_and_in_the_help(
    tunehook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook_local.sandbox.serve", serving([]))
    start, page = tunehook("sandbox", "--port", "0").stdout, tunehook("sandbox", "--help").stdout
    for name in ("demo-failure", "demo-slow", "demo-unknown"):
        assert name in start
        assert name in page
    assert "[[tasks]]" in page


def test_the_sandbox_says_how_to_configure_its_providers(
    tunehook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook_local.sandbox.serve", serving([]))
    out = tunehook("sandbox", "--port", "0").stdout
    url = out.split("listens at ")[1].split(". ")[0]
    for kind in ("musicmint", "qhaigc", "suno"):
        assert (
            f"tunehook providers set {kind} --kind {kind} --base-url {url}/{kind} --api-key sandbox-key-{kind}\n"
            in out
        )
    assert f"tunehook subscribe {url}/receiver/inbox\n" in out


def test_a_port_in_use_is_one_line(tunehook: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = tunehook("sandbox", "--port", str(port))
    assert (result.exit_code, result.output) == (
        2,
        f"tunehook: port {port} of 127.0.0.1 is in use: choose another with --port\n",
    )


def test_a_scenario_that_is_not_there_is_one_line(tunehook: Any, tmp_path: Path) -> None:
    result = tunehook("sandbox", "--port", "0", "--scenario", str(tmp_path / "nope.toml"))
    assert result.exit_code == 2
    assert result.stderr.startswith("tunehook: scenario: cannot read ")
