from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.serving import answering

from tunehook.errors import Misconfigured
from tunehook_local.embedded import ministack
from tunehook_local.embedded.state import Home, LocalEnvironment
from tunehook_local.embedded.up import bring_up


def test_one_that_runs_at_another_address_is_named_and_left_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with answering() as port:
        endpoint = f"http://127.0.0.1:{port}"
        home.write_record(LocalEnvironment(endpoint, "us-east-1", "test", "test", "tunehook", os.getpid()))
        with pytest.raises(Misconfigured, match=f"runs at {endpoint} and not at 127.0.0.9"):
            bring_up(home, 4566, host="127.0.0.9")
        assert home.running() is not None


def test_beside_loopback_the_functions_are_told_where_the_embedded_aws_is(tmp_path: Path) -> None:
    environment = ministack._environment(Home(tmp_path), 4566, "127.0.0.9")
    assert environment["BIND_HOST"] == environment["MINISTACK_HOST"] == "127.0.0.9"
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.9:4566"
