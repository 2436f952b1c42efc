"""Deploy the built stack with the SAM CLI: ask for the parameters of a new one, and keep those of one that is there.

usage: python -m tunehook_cli.deploying [--environment ENV] [--stack NAME] [--yes] [PARAMETER=VALUE ...]

It exits with the SAM CLI's status, or with 2 and one sentence where nothing was deployed.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import typer
import yaml
from botocore.exceptions import ClientError

from tunehook.aws.error_messages import describe_error
from tunehook.aws.errors import AWS_FAULTS
from tunehook.errors import Misconfigured

FORMER: Final[Mapping[str, str | Mapping[str, str]]] = {
    "ApiBurst": "100",
    "ApiCorsOrigins": "",
    "ApiMaxWaiting": "2",
    "ApiRequestsPerSecond": "50",
    "ArchivePatienceSeconds": "600",
    "CallbacksTakeIn": "on",
    "DeletionProtection": "no",
    "EventArchiveDays": "0",
    "FulfillmentConcurrency": "unbounded",
    "FulfillmentMemory": "1024",
    "HttpApi": "off",
    "IntakeConcurrency": "1",
    "Observability": "full",
    "PollerMemory": "512",
    "ResultsRetentionDays": "0",
    "ResultsStorageClass": "STANDARD",
    "Tracing": "Active",
    "WebhooksConcurrency": {"public": "100", "any": "10"},
}
"""What a parameter must be for a stack from before it to go on as it did; a mapping is by the stack's `NetworkPolicy`.

Every parameter has an entry that the first version's template (`tests/contract/deployed.json`) has not.
"""

LONGEST_NAME: Final = 64 - len("-every-minute")
"""Of a stack: its functions and its schedule are called after it, and such names have at most 64 characters."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_PLAIN: Final = re.compile(r"[\w:/.,@+-]+")

Run = Callable[[Sequence[str]], int]
"""Runs a command and returns its exit status."""

Ask = Callable[[str, str], str]
"""Takes a question and the default answer, and returns the answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """The stack to deploy, the parameters `chosen` for this deployment, and those `configured` in samconfig.toml."""

    name: str
    chosen: Mapping[str, str]
    configured: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters to pass, without those that keep the value that they have, and remarks on them."""

    parameters: Mapping[str, str]
    remarks: Sequence[str] = ()


def check_name(name: str) -> None:
    """Raise `Misconfigured` where CloudFormation would fail in the middle of making a stack of this name."""
    if not _NAME.fullmatch(name):
        raise Misconfigured(
            f"{name!r} is not a valid stack name: use a letter, then letters, digits and hyphens"
        )
    if len(name) > LONGEST_NAME:
        raise Misconfigured(
            f"{name} has {len(name)} characters, and {LONGEST_NAME} is the most: "
            "functions and a schedule are called after it"
        )
    if name == "default":
        raise Misconfigured("a stack named default would need a bus of that name, which every account has")


def find_parameters(cloudformation: Any, name: str) -> Mapping[str, str] | None:
    """Return the parameters of the stack, None if it is new; raise `Misconfigured` if it cannot be deployed to."""
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    status = stack["StackStatus"]
    if status == "REVIEW_IN_PROGRESS":  # a change set that would make it was never carried out
        return None
    if status.endswith("_IN_PROGRESS"):
        raise Misconfigured(f"the stack {name} is {status}: wait until it is done")
    if status in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"):
        raise Misconfigured(
            f"the stack {name} is {status}: nothing can be deployed to it; `sam delete --stack-name {name}` removes it"
        )
    parameters = {each["ParameterKey"]: each["ParameterValue"] for each in stack.get("Parameters", ())}
    if not {"ShardCount", "NetworkPolicy"} <= parameters.keys():
        raise Misconfigured(f"the stack {name} is no tunehook stack: choose another name (STACK=...)")
    return parameters


def plan(declared: Mapping[str, Any], present: Mapping[str, str] | None, request: Request) -> Plan:
    """Return what to pass for each parameter.

    `declared` is the section `Parameters` of the template, `present` the values that the stack has; None for a new one.
    Raises `Misconfigured` as `check_value` does.
    """
    for name, value in {**request.configured, **request.chosen}.items():
        check_value(name, value, declared)
    if present is None:
        return Plan({**request.configured, **request.chosen})
    parameters, remarks = {}, []
    for name in declared:
        configured = request.configured.get(name)
        if name in request.chosen:
            parameters[name] = request.chosen[name]
        elif name in present:
            if configured not in (None, present[name]):
                remarks.append(
                    f"{name} stays {present[name]}; samconfig.toml says {configured}: "
                    f"PARAMETERS={name}={configured} takes that"
                )
        elif configured is not None:
            parameters[name] = configured
        elif name in FORMER:
            former, default = FORMER[name], str(declared[name]["Default"])
            value = former if isinstance(former, str) else former[present["NetworkPolicy"]]
            parameters[name] = value
            other = f"; a new stack has {default}, and PARAMETERS={name}=... changes it"
            until_now = f"{name} is new: {value or 'none'}, which is what this stack did until now"
            remarks.append(until_now if value == default else until_now + other)
    # Whatever is named on the command line keeps SAM from taking the rest from samconfig.toml.
    return Plan(parameters or {"ShardCount": present["ShardCount"]}, remarks)


def check_value(name: str, value: str, declared: Mapping[str, Any]) -> None:
    """Raise `Misconfigured` where a parameter is none of the template's, or cannot have the value."""
    if name not in declared:
        raise Misconfigured(f"there is no parameter {name}: docs/deploying.md lists them")
    each = declared[name]
    allowed = [str(one) for one in each.get("AllowedValues", ())]
    if allowed and value not in allowed:
        raise Misconfigured(f"{name} must be one of {', '.join(allowed)}, not {value}")
    if "AllowedPattern" in each and not re.fullmatch(each["AllowedPattern"], value):
        raise Misconfigured(
            f"{name} cannot be {value!r}: {each.get('ConstraintDescription') or each['Description']}"
        )
    if each["Type"] == "Number":
        try:
            number = float(value)
        except ValueError:
            raise Misconfigured(f"{name} must be a number, not {value!r}") from None
        least, most = (float(each.get(bound, number)) for bound in ("MinValue", "MaxValue"))
        if not least <= number <= most:
            raise Misconfigured(f"{name} must be {least:g} to {most:g}, not {value}")


def prompt_parameters(declared: Mapping[str, Any], defaults: Mapping[str, str], ask: Ask) -> dict[str, str]:
    """Ask for every parameter of a new stack, again where the answer cannot be, and return them all."""
    given: dict[str, str] = {}
    for name, each in declared.items():
        offered = defaults.get(name, str(each["Default"]))
        while name not in given:
            answer = ask(f"{' '.join(each['Description'].split())}\n{name}", offered)
            try:
                check_value(name, answer, declared)
            except Misconfigured as error:
                print(error, file=sys.stderr)
            else:
                given[name] = answer
    return given


def check_layer(built: Path, python: str, architecture: str) -> str | None:
    """Return a remark on the built layer; raise `Misconfigured` if it is for another Python or processor."""
    manifest = json.loads((built / "DependenciesLayer" / "python" / "built-for.json").read_text())
    processor = {"arm64": "aarch64"}.get(architecture, architecture)
    if python not in manifest["pythons"] or processor not in manifest["processors"]:
        raise Misconfigured(
            f"the layer was built for Python {', '.join(manifest['pythons'])} on {', '.join(manifest['processors'])}, "
            f"and the functions are to run with {python} on {processor}: run `make build`"
        )
    if python in manifest["byte_code"]:
        return None
    return (
        f"this machine has no Python {python}, so the layer has no byte code for it: everything works, and each cold "
        f"start takes about half a second longer. Put a python{python} on PATH, or choose PYTHON_VERSION="
        f"{' or '.join(manifest['byte_code']) or '...'}"
    )


def _pair(name: str, value: str) -> str:
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def read_config(path: Path, environment: str) -> dict[str, Any]:
    """Return what an environment of `samconfig.toml` says of deploying; raise `Misconfigured` if it has none."""
    document = tomllib.loads(path.read_text())
    if not isinstance(document.get(environment), dict):
        known = ", ".join(name for name, each in document.items() if isinstance(each, dict))
        raise Misconfigured(f"samconfig.toml has no environment {environment}: it has {known}")
    sections = (document[environment].get(section, {}) for section in ("global", "deploy"))
    return {name: value for each in sections for name, value in each.get("parameters", {}).items()}


def parse_pairs(text: str | Sequence[str]) -> dict[str, str]:
    """Parse `NAME=VALUE`, one after the other; raise `Misconfigured` for anything else."""
    found = {}
    for word in shlex.split(text) if isinstance(text, str) else text:
        name, equals, value = word.partition("=")
        if not equals:
            raise Misconfigured(f"{word!r} is not PARAMETER=VALUE")
        found[name] = value
    return found


def declared_parameters(template: Path) -> dict[str, Any]:
    """Return the section `Parameters` of a template; raise `Misconfigured` if nothing is built."""
    try:
        text = template.read_text()
    except FileNotFoundError:
        raise Misconfigured("nothing is built: run `make build`") from None
    parameters: dict[str, Any] = yaml.load(text, Loader=_Loader)["Parameters"]  # noqa: S506 - it is a SafeLoader
    return parameters


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # it comes without types
    """Passes over CloudFormation's short tags, which no parameter has."""


_Loader.add_multi_constructor("!", lambda *_: None)


def deploy(
    arguments: argparse.Namespace, built: Path, run: Run, ask: Ask | None, open_client: Callable[..., Any]
) -> int:
    """Deploy what `sam build` has made in `built`; return the exit status, or raise `Misconfigured`.

    `ask` is None where nobody answers; `open_client` makes a CloudFormation client of a `region` and `profile`.
    """
    config = read_config(Path("samconfig.toml"), arguments.environment)
    request = Request(
        arguments.stack or config["stack_name"],
        parse_pairs(arguments.parameters),
        parse_pairs(config.get("parameter_overrides", "")),
    )
    check_name(request.name)
    if ask is None and not arguments.yes:
        raise Misconfigured("there is no terminal to prompt on: YES=1 deploys without a prompt")
    declared = declared_parameters(built / "template.yaml")
    cloudformation = open_client(region=config.get("region"), profile=config.get("profile"))
    region = cloudformation.meta.region_name
    present = find_parameters(cloudformation, request.name)
    planned = plan(declared, present, request)
    if present is None:
        print(f"{request.name} is a new stack in {region}.")
        if ask is not None and not arguments.yes:
            print("The defaults are good; docs/deploying.md says what the parameters mean.")
            planned = Plan(prompt_parameters(declared, planned.parameters, ask))
    else:
        kept = "its parameters stay as they are, but for those that are named"
        print(f"{request.name} is there in {region}: {kept}.")
    for line in planned.remarks:
        print(f"  {line}")
    values = {name: str(each["Default"]) for name, each in declared.items()}
    values |= {**(present or {}), **planned.parameters}
    if note := check_layer(built, values["PythonVersion"], values["Architecture"]):
        print(f"  {note}")
    sys.stdout.flush()
    return run(
        [
            *(arguments.sam, "deploy", "--template-file", str(built / "template.yaml")),
            *("--config-file", str(Path("samconfig.toml").resolve()), "--config-env", arguments.environment),
            *("--stack-name", request.name, "--region", region, "--no-fail-on-empty-changeset"),
            *("--parameter-overrides", *(_pair(name, value) for name, value in planned.parameters.items())),
            "--no-confirm-changeset" if arguments.yes else "--confirm-changeset",
        ]
    )


def _open_client(*, region: str | None, profile: str | None) -> Any:
    return boto3.Session(region_name=region, profile_name=profile).client("cloudformation")


def _ask(question: str, offered: str) -> str:
    return str(typer.prompt(question, default=offered, show_default=True))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tunehook_cli.deploying")
    parser.add_argument("--environment", default="default", help="of samconfig.toml")
    parser.add_argument("--stack", help="its name; by default samconfig.toml's")
    parser.add_argument("--sam", default="sam", help="the program of the SAM CLI")
    parser.add_argument("--yes", action="store_true", help="do not prompt")
    parser.add_argument("parameters", nargs="*", metavar="PARAMETER=VALUE")
    arguments = parser.parse_args(argv)
    ask = _ask if sys.stdin.isatty() else None
    try:
        return deploy(arguments, Path(".aws-sam", "build"), subprocess.call, ask, _open_client)
    except typer.Abort:
        reason = "stopped"
    except (Misconfigured, *AWS_FAULTS) as error:
        reason = describe_error(error) or str(error)
    print(f"nothing was deployed: {reason}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
