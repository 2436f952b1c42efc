import socket
from pathlib import Path
from typing import Any

import pytest

from tunehook_local.sandbox import run_sandbox


def test_the_sandbox_says_how_to_configure_its_providers(
    tunehook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(host: str, port: int, scenario: Path | None, on_ready: Any) -> None:
        with run_sandbox(host=host, port=port) as sandbox:
            on_ready(sandbox)

    monkeypatch.setattr("tunehook_local.sandbox.serve", serve)
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
