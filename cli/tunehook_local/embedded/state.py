"""Where the embedded AWS keeps its files, and how to reach the one that runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tunehook.errors import Misconfigured
from tunehook_cli.embedded_aws import EmbeddedAws
from tunehook_local.embedded.process_identity import Process

HOME_VARIABLE: Final = "TUNEHOOK_HOME"
"""Names another folder for the state than ``.tunehook/`` in the checkout."""

_HEALTH_PATH: Final = "/_ministack/health"
_ANSWERS_WITHIN_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class LocalEnvironment(EmbeddedAws):
    """An embedded AWS that runs: how to reach it, and its process."""

    pid: int

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
        """Return a plain boto3 client of it, whatever the process's own environment says; the same one each time."""
        return _client(self.endpoint, self.region, self.access_key_id, self.secret_access_key, service)

    def outputs(self) -> dict[str, str]:
        (stack,) = self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}

    def printed_lines(self) -> Iterable[str]:
        return Home().printed_lines()

    def stack_status(self) -> str | None:
        from tunehook.aws.errors import AWS_FAULTS

        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=self.stack_name)["Stacks"]
        except AWS_FAULTS:
            return None
        return stacks[0]["StackStatus"] if stacks else None


@cache
def _client(endpoint: str, region: str, access_key_id: str, secret_access_key: str, service: str) -> Any:
    import boto3

    session = boto3.Session(access_key_id, secret_access_key, region_name=region)
    return session.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]


def checkout() -> Path:
    """Return the checkout that this command is installed from; raise `Misconfigured` if it has none."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "template.yaml").is_file():
        raise Misconfigured("this needs a checkout of tunehook where `make setup` was run")
    return root


class Home:
    """The folder of the embedded AWS's files: what ``TUNEHOOK_HOME`` names, or ``.tunehook/`` in the checkout."""

    def __init__(self, folder: Path | None = None) -> None:
        named = os.environ.get(HOME_VARIABLE)
        self.folder = (folder or (Path(named) if named else checkout() / ".tunehook")).resolve()
        self.data = self.folder / "state"
        """What `tunehook local down` keeps: the tables, the objects, the stack."""
        self.log = self.folder / "logs" / "ministack.log"
        self.build_log = self.folder / "logs" / "deploy.log"
        """What the last build and deployment printed."""
        self.build = self.folder / "build"
        self.temporary = self.folder / "tmp"
        """Where MiniStack unpacks the functions."""
        self._record = self.folder / "running.json"
        self._port = self.folder / "port"

    @property
    def last_port(self) -> int | None:
        """The port that was last asked for: shells that have its endpoint in their environment go on there."""
        try:
            return int(self._port.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    @last_port.setter
    def last_port(self, port: int) -> None:
        self._port.write_text(str(port), encoding="ascii")

    def printed_lines(self) -> Iterator[str]:
        """Yield the lines of JSON that the embedded AWS, or a function in it, has printed."""
        try:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                yield from (line for line in log if line.startswith("{"))
        except FileNotFoundError:
            return

    def write_record(self, environment: LocalEnvironment) -> None:
        process = Process.of(environment.pid)
        started = {} if process is None else {"started": process.started}
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record.write_text(json.dumps(asdict(environment) | started), encoding="utf-8")

    def delete_record(self) -> None:
        self._record.unlink(missing_ok=True)

    def running(self) -> LocalEnvironment | None:
        """Return the embedded AWS if the very process that was recorded is alive, and an embedded AWS answers there.

        After a restart of the machine another process may have the id, and LocalStack listens at the same port.
        """
        recorded = self._read_record()
        if recorded is None:
            return None
        environment, process = recorded
        return environment if process.is_alive and answers(environment.endpoint, if_busy=True) else None

    def process_of(self, environment: LocalEnvironment) -> Process | None:
        """Return the process of an embedded AWS, alive or not; None if there is no record of it."""
        recorded = self._read_record()
        return None if recorded is None or recorded[0] != environment else recorded[1]

    def _read_record(self) -> tuple[LocalEnvironment, Process] | None:
        try:
            record = json.loads(self._record.read_text(encoding="utf-8"))
            started = record.pop("started")
            environment = LocalEnvironment(**record)
        except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError):
            return None
        if not isinstance(started, str) or not isinstance(environment.pid, int):
            return None
        return environment, Process(environment.pid, started)


def answers(endpoint: str, *, if_busy: bool) -> bool:
    """Return whether an embedded AWS answers there, or `if_busy` if it accepts a connection but does not answer."""
    address = urlsplit(endpoint)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=_ANSWERS_WITHIN_S)
    try:
        connection.connect()
        try:
            connection.request("GET", _HEALTH_PATH)
            return connection.getresponse().status == 200
        except TimeoutError:
            return if_busy
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def running() -> LocalEnvironment | None:
    try:
        return Home().running()
    except Misconfigured:
        return None
