from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tunehook.errors import Misconfigured, Unavailable
from tunehook_local.embedded import docker_network

Docker = Callable[[str], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Put a `docker` on PATH that is a shell script, and nothing else."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(script: str) -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


def engine(operating_system: str, networks: str) -> str:
    return f"""case $1 in
info) echo '{operating_system}' ;;
network) echo '{networks}' ;;
esac"""


def test_docker_desktop_leads_to_loopback(docker: Docker) -> None:
    docker(engine("Docker Desktop", ""))
    assert docker_network.listening_address() == "127.0.0.1"
    assert docker_network.url_for_containers("http://127.0.0.1:4566") == "http://host.docker.internal:4566"


def test_elsewhere_the_gateway_of_the_containers_network_is_the_way(docker: Docker) -> None:
    docker(engine("Debian", '[{"Subnet": "fd00::/64"}, {"Subnet": "127.0.0.0/8", "Gateway": "127.0.0.7"}]'))
    assert docker_network.listening_address() == "127.0.0.7"
    assert docker_network.url_for_containers("http://127.0.0.7:4566") == "http://127.0.0.7:4566"


def test_a_gateway_that_the_engine_does_not_name_is_the_networks_first_address(docker: Docker) -> None:
    docker(engine("Debian", '[{"Subnet": "127.9.0.0/16"}]'))
    assert docker_network.listening_address() == "127.9.0.1"


def test_a_gateway_that_is_no_address_of_this_machine_is_refused(docker: Docker) -> None:
    docker(engine("Debian", '[{"Subnet": "203.0.113.0/24"}]'))
    with pytest.raises(Misconfigured, match=r"203\.0\.113\.1, and this machine has no such address"):
        docker_network.listening_address()


def test_a_network_without_ipv4_is_refused(docker: Docker) -> None:
    docker(engine("Debian", '[{"Subnet": "fd00::/64"}]'))
    with pytest.raises(Misconfigured, match="no IPv4 address"):
        docker_network.listening_address()


def test_loopback_is_not_for_containers_and_the_error_says_what_to_do(docker: Docker) -> None:
    docker(engine("Debian", '[{"Subnet": "127.9.0.0/16"}]'))
    with pytest.raises(Misconfigured, match="tunehook local up --detach --containers"):
        docker_network.url_for_containers("http://127.0.0.1:4566")


@pytest.mark.usefixtures("docker")
def test_no_docker_at_all_is_said() -> None:
    with pytest.raises(Misconfigured, match="no `docker` on PATH"):
        docker_network.listening_address()


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo Client; echo 'Cannot connect to the Docker daemon' >&2; exit 1",
            "Cannot connect to the Docker",
        ),
        ("exit 0", "no message"),
    ],
)
def test_an_engine_that_does_not_run_is_unavailable(docker: Docker, script: str, words: str) -> None:
    docker(script)
    with pytest.raises(Unavailable, match=words):
        docker_network.listening_address()
