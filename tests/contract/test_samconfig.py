"""samconfig.toml as the SAM CLI reads it: what it does not know, it passes over in silence."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.support.template import ROOT, SAM_PYTHON, translated

from tunehook_local.embedded import ministack

_READ = """
import json, sys
from pathlib import Path
from click import Context
from samcli.cli.main import cli
from samcli.lib.config.samconfig import SamConfig

def config():
    # One that was asked before mixes up the commands.
    return SamConfig(Path.cwd())

document = config().document
read = {}
for environment in sys.argv[1:]:
    read[environment] = {
        command: config().get_all([command], "parameters", env=environment)
        for command in ("build", "deploy", "validate")
        if command in document[environment]
    }
# It imports a command where the context holds something.
known = {
    command: [option.name for option in cli.get_command(Context(cli, obj=cli), command).params]
    for command in ("build", "deploy", "validate")
}
json.dump({"environments": list(document), "read": read, "known": known}, sys.stdout)
"""
ENVIRONMENTS = ("default", "local", "prod")


@functools.cache
def sam() -> dict[str, Any]:
    """What the SAM CLI reads for each command in each environment, and the options that its commands have."""
    finished = subprocess.run(
        [str(SAM_PYTHON), "-c", _READ, *ENVIRONMENTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def deploy(environment: str) -> dict[str, Any]:
    return sam()["read"][environment]["deploy"]


def test_these_tests_speak_of_every_environment() -> None:
    assert sorted(set(sam()["environments"]) - {"version"}) == sorted(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_parameter_is_an_option_of_its_command(environment: str) -> None:
    for command, parameters in sam()["read"][environment].items():
        own = set(parameters) - {"stack_name"}  # from [global], for the commands that have it
        assert own <= set(sam()["known"][command]), command
    assert "stack_name" in sam()["known"]["deploy"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_deployment_may_make_roles_and_uploads_where_sam_says(environment: str) -> None:
    assert deploy(environment)["capabilities"] == "CAPABILITY_IAM"
    assert deploy(environment)["resolve_s3"] is True


def test_a_deployment_to_aws_shows_what_changes_and_asks() -> None:
    assert deploy("default")["confirm_changeset"] is True
    assert deploy("prod")["confirm_changeset"] is True


@pytest.mark.parametrize("environment", ["default", "prod"])
def test_without_a_build_nothing_is_deployed(environment: str, tmp_path: Path) -> None:
    """SAM would upload the unbuilt folders, whose layers hold no wheels: every function would fail at its import."""
    for name in ("samconfig.toml", "template.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    credentials = {
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    finished = subprocess.run(
        [str(SAM_PYTHON.with_name("sam")), "deploy", "--config-env", environment, "--no-confirm-changeset"],
        cwd=tmp_path,
        # Where it would deploy to, nothing answers.
        env={**os.environ, **credentials, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "SAM_CLI_TELEMETRY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0
    assert "Template file not found" in finished.stderr + finished.stdout


def test_the_stack_for_production_is_another_one() -> None:
    assert deploy("default")["stack_name"] == "tunehook"
    assert deploy("prod")["stack_name"] == "tunehook-prod"


def test_the_parameters_for_production_are_parameters_of_the_template() -> None:
    chosen = dict(pair.split("=") for pair in deploy("prod")["parameter_overrides"].split())
    for name, value in chosen.items():
        assert value in map(str, translated()["Parameters"][name]["AllowedValues"])
    assert chosen["NetworkPolicy"] == "public"


def test_the_embedded_stack_is_deployed_without_a_question_under_the_name_that_the_command_looks_for() -> (
    None
):
    assert deploy("local")["stack_name"] == ministack.STACK_NAME
    assert deploy("local")["confirm_changeset"] is False
    assert deploy("local")["fail_on_empty_changeset"] is False
