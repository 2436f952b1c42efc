"""Where the embedded AWS keeps its files, and how to reach the one that runs."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tunehook.errors import Misconfigured

HOME_VARIABLE: Final = "TUNEHOOK_HOME"
"""Names another folder for the state than ``.tunehook/`` in the checkout."""


@dataclass(frozen=True, slots=True)
class LocalEnvironment:
    """An embedded AWS that runs: how to reach it, and its process."""

    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str
    stack_name: str
    pid: int

    @property
    def host(self) -> str:
        """The address that it listens on."""
        return str(urlsplit(self.endpoint).hostname)

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which boto3, the SAM CLI and `tunehook` find it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": "",
            "TUNEHOOK_STACK": self.stack_name,
        }

    def client(self, service: str) -> Any:
        """Return a plain boto3 client of it, whatever the process's own environment says."""
        import boto3

        session = boto3.Session(self.access_key_id, self.secret_access_key, region_name=self.region)
        return session.client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]

    def outputs(self) -> dict[str, str]:
        """Return the outputs of the deployed stack."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def checkout() -> Path:
    """Return the folder of the checkout that this command is installed from.

    Raises
    ------
    Misconfigured
        If the command was installed without its checkout.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "template.yaml").is_file():
        raise Misconfigured("this needs a checkout of tunehook, with `make setup` run in it")
    return root


class Home:
    """The folder that holds what the embedded AWS leaves behind.

    Parameters
    ----------
    folder : Path, optional
        By default ``.tunehook/`` in the checkout, or what the variable ``TUNEHOOK_HOME`` names.
    """

    def __init__(self, folder: Path | None = None) -> None:
        named = os.environ.get(HOME_VARIABLE)
        self.folder = (folder or (Path(named) if named else checkout() / ".tunehook")).resolve()

    @property
    def data(self) -> Path:
        """What survives `down`: the tables, the objects, the stack."""
        return self.folder / "state"

    @property
    def log(self) -> Path:
        """What the embedded AWS prints."""
        return self.folder / "logs" / "ministack.log"

    @property
    def build_log(self) -> Path:
        """What the last build and deployment printed."""
        return self.folder / "logs" / "deploy.log"

    @property
    def build(self) -> Path:
        """Where the stack is built."""
        return self.folder / "build"

    @property
    def temporary(self) -> Path:
        """Where the embedded AWS unpacks the functions."""
        return self.folder / "tmp"

    @property
    def _record(self) -> Path:
        return self.folder / "running.json"

    def remember(self, environment: LocalEnvironment) -> None:
        """Write down which embedded AWS runs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record.write_text(json.dumps(asdict(environment)))

    def forget(self) -> None:
        """Strike that out."""
        self._record.unlink(missing_ok=True)

    def running(self) -> LocalEnvironment | None:
        """Return the embedded AWS that runs, or None."""
        try:
            environment = LocalEnvironment(**json.loads(self._record.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return environment if is_alive(environment.pid) and _listens(environment.endpoint) else None


def _listens(endpoint: str) -> bool:
    """Return whether somebody listens there: the process may be dead and nobody have taken notice of it yet."""
    address = urlsplit(endpoint)
    try:
        socket.create_connection((address.hostname or "", address.port or 0), timeout=2.0).close()
    except OSError:
        return False
    return True


def is_alive(pid: int) -> bool:
    """Return whether a process of ours with this id runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def running() -> LocalEnvironment | None:
    """Return the embedded AWS of this checkout if it runs, or None."""
    try:
        return Home().running()
    except Misconfigured:
        return None
