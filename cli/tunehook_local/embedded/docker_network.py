"""How containers of this machine reach a program that runs on it."""

from __future__ import annotations

import ipaddress
import json
import socket
import subprocess
from typing import Any, Final
from urllib.parse import urlsplit

from tunehook.errors import Misconfigured, Unavailable

LOOPBACK: Final = "127.0.0.1"


def listening_address() -> str:
    """Return where a program must listen to be reached from containers, and from no other machine.

    That is loopback with Docker Desktop, which leads there; else this machine's address on the containers' network.

    Raises `Misconfigured` if there is no Docker engine, or one to whose containers this machine has no address;
    `Unavailable` if the engine does not run.
    """
    if _is_desktop():
        return LOOPBACK
    gateway = _host_address()
    with socket.socket() as probe:
        try:
            probe.bind((gateway, 0))
        except OSError:
            raise Misconfigured(
                f"the Docker engine's containers call their host {gateway}, and this machine has no such address: "
                "a rootless engine, or one of another machine, does not lead back here"
            ) from None
    return gateway


def url_for_containers(url: str) -> str:
    """Return how containers call what this machine calls `url`, which must have a port.

    Raises `Misconfigured` if containers do not reach it, or no Docker engine is installed; `Unavailable` if none runs.
    """
    parts = urlsplit(url)
    if parts.hostname != LOOPBACK:
        return url
    if not _is_desktop():
        raise Misconfigured(
            f"containers do not reach {url}: restart it with `tunehook local down` and "
            "`tunehook local up --detach --containers`"
        )
    # By this name containers of Docker Desktop reach the user's machine, its loopback included.
    return parts._replace(netloc=f"host.docker.internal:{parts.port}").geturl()


def _is_desktop() -> bool:
    return _docker("info", "--format", "{{.OperatingSystem}}") == "Docker Desktop"


def _host_address() -> str:
    """Return the host's address on the network that containers are in by default."""
    printed = _docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}")
    configurations: list[dict[str, Any]] = json.loads(printed)
    for each in configurations:
        subnet = ipaddress.ip_network(each["Subnet"])
        if subnet.version == 4:
            # Until a first container has run, some engines do not name the gateway; it is the first address.
            return str(each.get("Gateway") or subnet[1])
    raise Misconfigured("the Docker engine's default network has no IPv4 address")


def _docker(*arguments: str) -> str:
    try:
        finished = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Misconfigured("there is no `docker` on PATH, and functions run in its containers") from None
    printed = finished.stdout.strip()
    if finished.returncode != 0 or not printed:
        errors = finished.stderr.strip().splitlines() or ["no message"]
        raise Unavailable(f"the Docker engine does not respond: {errors[-1]}")
    return printed
