"""Where it is proved: a real account, or an embedded AWS of its own. How to reach it, build for it and deploy to it."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from tests.account.bundle import make_bundle
from tests.support.template import ROOT, read_template

from tunehook.errors import Misconfigured, Unavailable
from tunehook_local.embedded import deploy, ministack
from tunehook_local.embedded.state import HOME_VARIABLE, Home

TAG: Final = "tunehook-smoke"
"""The tag of every stack that is made here; its value is the name of the run."""

OWN_PARAMETERS: Final = {"LogRetentionDays": "1"}
"""What the stack is told beside the defaults: that it keeps no logs for long, should any stay behind."""

_WORD: Final = re.compile(r"[^\s\"'=,]+")


class Target(ABC):
    """An AWS to prove the stack in; a context manager.

    Parameters
    ----------
    name : str
        The name of the run, which is that of the stack.
    folder : Path
        A folder for what is built, and for logs.
    """

    embedded: bool

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._clients: dict[str, Any] = {}

    @property
    def sandbox_name(self) -> str:
        """The name of the sandbox stack."""
        return f"{self.name}-sandbox"

    @property
    @abstractmethod
    def region(self) -> str:
        """The region."""

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service; it is made once."""
        if service not in self._clients:
            self._clients[service] = self._open_client(service)
        return self._clients[service]

    @abstractmethod
    def _open_client(self, service: str) -> Any:
        """Make a client."""

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """Return the environment of programs that are to work with it."""

    @abstractmethod
    def build(self) -> None:
        """Build the stack."""

    @abstractmethod
    def deploy_main(self) -> None:
        """Deploy the stack that is proved."""

    @abstractmethod
    def sandbox_parameters(self) -> dict[str, str]:
        """Return what the sandbox's function runs on."""

    @abstractmethod
    def url_of(self, function_url: str) -> str:
        """Return where a function URL answers, without a slash at the end."""

    def deploy_sandbox(self, parameters: Mapping[str, str]) -> None:
        """Deploy the sandbox stack."""
        template = make_bundle(self.folder / "sandbox")
        self._sam_deploy(self.sandbox_name, template, self.sandbox_parameters() | dict(parameters))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - a real account has nothing to end
        """End what was started for it."""

    def _sam_deploy(self, stack: str, template: Path, parameters: Mapping[str, str]) -> None:
        # A file of our own: nobody's samconfig.toml is read or written.
        config = self.folder / "samconfig.toml"
        config.write_text("version = 0.1\n", encoding="utf-8")
        self._run(
            [
                str(ROOT / ".tunehook" / "tools" / "sam" / "bin" / "sam"),
                *deploy_arguments(stack, self.name, template, config, parameters),
            ]
        )

    def _run(self, arguments: Sequence[str]) -> None:
        """Run a program in a process group of its own, so that Ctrl-C reaches us and we end it."""
        log = self.folder / f"{Path(arguments[0]).name}-{arguments[1]}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                arguments,
                cwd=ROOT,
                env=self.variables() | {"SAM_CLI_TELEMETRY": "0"},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait()
            except BaseException:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
                raise
        if status != 0:
            words = ministack.last_error_line(log)
            raise Unavailable(f"`{' '.join(arguments[:2])}` failed: {words} (log: {log})")


def deploy_arguments(
    stack: str, run: str, template: Path, config: Path, parameters: Mapping[str, str]
) -> list[str]:
    """Return what `sam` is told: all that counts, so that no file decides and nothing is asked."""
    given = [f"{name}={value}" for name, value in parameters.items() if value]
    return [
        "deploy",
        "--template-file",
        str(template),
        "--config-file",
        str(config),
        "--stack-name",
        stack,
        "--s3-prefix",
        stack,
        "--resolve-s3",
        "--capabilities",
        "CAPABILITY_IAM",
        "--tags",
        f"{TAG}={run}",
        "--no-confirm-changeset",
        "--no-fail-on-empty-changeset",
        "--no-progressbar",
        *(("--parameter-overrides", *given) if given else ()),
    ]


def checked_parameter(text: str) -> tuple[str, str]:
    """Read ``NAME=VALUE``.

    Raises
    ------
    Misconfigured
        If it is none, or holds what the SAM CLI would take apart.
    """
    name, equals, value = text.partition("=")
    if not (equals and name.isalnum() and _WORD.fullmatch(value)):
        raise Misconfigured(f"a parameter is NAME=VALUE, without spaces, quotes or commas: {text!r}")
    return name, value


class RealAccount(Target):
    """The account and region that boto3 finds in the environment.

    Parameters
    ----------
    name : str
        The name of the run.
    folder : Path
        A folder for what is built, and for logs.
    parameters : mapping
        What the stack is told, beside and before what it is told always.
    """

    embedded = False

    def __init__(self, name: str, folder: Path, parameters: Mapping[str, str] | None = None) -> None:
        super().__init__(name, folder)
        self._session = boto3.Session()
        if self._session.region_name is None:
            raise Misconfigured("no region: set AWS_REGION, say `AWS_REGION=eu-central-1 make smoke`")
        self._given = dict(parameters or {})

    @property
    def region(self) -> str:
        return str(self._session.region_name)

    def account(self) -> str:
        """Return the account's number, which is also how it shows that the credentials are good.

        Raises
        ------
        Misconfigured
            If there are none, or AWS takes them for none.
        """
        try:
            return str(self.client("sts").get_caller_identity()["Account"])
        except (BotoCoreError, ClientError) as error:
            raise Misconfigured(
                f"AWS does not know you ({error}): set AWS_PROFILE, or what else boto3 finds credentials by. "
                "`python -m tests.account --embedded` needs none"
            ) from None

    def _open_client(self, service: str) -> Any:
        return self._session.client(service)  # type: ignore[call-overload]

    def variables(self) -> dict[str, str]:
        # Nor is an embedded AWS of this checkout meant, if one runs.
        nowhere = {HOME_VARIABLE: str(self.folder / "nothing-embedded"), "TUNEHOOK_STACK": self.name}
        kept = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        region = {"AWS_REGION": self.region, "AWS_DEFAULT_REGION": self.region}
        return kept | region | nowhere

    def build(self) -> None:
        self._run(["make", "build"])

    def deploy_main(self) -> None:
        template = ROOT / ".aws-sam" / "build" / "template.yaml"
        self._sam_deploy(self.name, template, self.parameters())

    def parameters(self) -> dict[str, str]:
        """Return every parameter of the stack: its default, unless it is told here."""
        declared = read_template((ROOT / "template.yaml").read_text(encoding="utf-8"))["Parameters"]
        if unknown := sorted(self._given.keys() - declared.keys()):
            raise Misconfigured(f"the stack has no parameter {unknown[0]}")
        own = {name: value for name, value in OWN_PARAMETERS.items() if name in declared}
        defaults = {name: str(each["Default"]) for name, each in declared.items() if "Default" in each}
        return defaults | own | self._given

    def sandbox_parameters(self) -> dict[str, str]:
        shared = ("PythonVersion", "Architecture", "PermissionsBoundaryArn")
        return {name: value for name, value in self.parameters().items() if name in shared}

    def url_of(self, function_url: str) -> str:
        return function_url.rstrip("/")


class EmbeddedAccount(Target):
    """An embedded AWS of its own, which ends with it."""

    embedded = True

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder)
        self._home = Home(folder / "embedded")
        self._environment = ministack.start(self._home, ministack.free_port())

    def close(self) -> None:
        ministack.stop(self._home, self._environment)

    @property
    def region(self) -> str:
        return self._environment.region

    def _open_client(self, service: str) -> Any:
        return self._environment.client(service)

    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        ours = {"TUNEHOOK_STACK": self.name, "SAM_CLI_POLL_DELAY": "1"}
        return kept | self._environment.variables() | ours

    def build(self) -> None:
        deploy.build(self._home)

    def deploy_main(self) -> None:
        named = dataclasses.replace(self._environment, stack_name=self.name)
        deploy.deploy(self._home, named, tags=(f"{TAG}={self.name}",))

    def sandbox_parameters(self) -> dict[str, str]:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        machine = os.uname().machine
        return {
            "PythonVersion": version,
            "Architecture": "arm64" if machine in ("arm64", "aarch64") else "x86_64",
        }

    def url_of(self, function_url: str) -> str:
        identity = function_url.removeprefix("https://").partition(".")[0]
        return f"{self._environment.endpoint}/_aws/lambda-url/{identity}"


def scratch_folder(name: str) -> Path:
    """Return a new folder for what a run builds and prints."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))
