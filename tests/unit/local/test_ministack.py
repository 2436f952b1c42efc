from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tunehook.errors import Misconfigured
from tunehook_cli.local import ministack
from tunehook_cli.local.state import Home


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"port {port} is in use by another program"):
            ministack.start(Home(tmp_path), port)


def test_a_missing_tool_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ministack, "checkout", lambda: tmp_path)
    with pytest.raises(Misconfigured, match="run `make setup`"):
        ministack.start(Home(tmp_path / "home"))


def test_stream_positions_are_forgotten_and_nothing_else(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.data.mkdir()
    kept = {"functions": {"data": {"f": 1}}}
    written = {"payload": kept | {"dynamodb_stream_positions": {"scoped": True, "data": {"mapping": 12}}}}
    (home.data / "lambda.json").write_text(json.dumps(written))

    ministack._forget_stream_positions(home)

    assert json.loads((home.data / "lambda.json").read_text()) == {
        "payload": kept | {"dynamodb_stream_positions": {"scoped": True, "data": {}}}
    }


def test_the_users_own_aws_and_proxies_do_not_reach_the_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example.com")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com")
    environment = ministack._environment(Home(tmp_path), 4566)
    assert not {"AWS_PROFILE", "AWS_ENDPOINT_URL", "https_proxy"} & environment.keys()


def test_functions_are_sent_to_what_stands_before_the_embedded_aws(tmp_path: Path) -> None:
    environment = ministack._environment(
        Home(tmp_path), 4566, "127.0.0.9", functions_endpoint="http://127.0.0.1:8080"
    )
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8080"
    assert environment["GATEWAY_PORT"] == "4566"


def test_iam_is_enforced_and_loopback_alone_listened_on(tmp_path: Path) -> None:
    environment = ministack._environment(Home(tmp_path), 4566)
    assert (environment["AUTH"], environment["BIND_HOST"]) == ("true", "127.0.0.1")


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        ("a\nError: no such thing\nhint\n", "Error: no such thing"),
        ("a\n\nb\n\n", "b"),
        ("", "nothing"),
    ],
)
def test_the_last_words_of_a_log_are_its_error_if_there_is_one(
    tmp_path: Path, printed: str, words: str
) -> None:
    log = tmp_path / "log"
    log.write_text(printed)
    assert ministack.last_words(log) == words
