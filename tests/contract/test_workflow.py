"""The workflow for those who fork: what it may do, what it runs, and that nobody can change that from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.support.template import ROOT

from tunehook_local.embedded.deploy import SUPPORTED_PYTHONS

TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
# BaseLoader: YAML 1.1 takes the key `on` for a truth, and 3.10 for a number.
WORKFLOW: dict[str, Any] = yaml.load(TEXT, Loader=yaml.BaseLoader)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
TARGETS = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(job: str, kind: str) -> list[str]:
    return [step[kind] for step in JOBS[job]["steps"] if kind in step]


def made() -> Iterator[tuple[str, str]]:
    """Each job, and the target of `make` that it runs last."""
    for job in JOBS:
        *_, command = steps(job, "run")
        yield job, command.split()[1]


def test_each_action_is_pinned_by_its_commit_and_says_its_release() -> None:
    lines = re.findall(r"^\s*(?:- )?uses: *(.*)$", TEXT, re.MULTILINE)
    assert len(lines) == sum(len(steps(job, "uses")) for job in JOBS) > 0
    for line in lines:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)


def test_an_action_is_of_the_same_commit_everywhere() -> None:
    pins = {pin for job in JOBS for pin in steps(job, "uses")}
    assert len(pins) == len({pin.partition("@")[0] for pin in pins})


def test_the_tests_have_the_history_that_the_upgraded_version_is_taken_from() -> None:
    (checkout,) = (each for each in JOBS["test"]["steps"] if "actions/checkout" in each.get("uses", ""))
    assert checkout["with"]["fetch-depth"] == "0"


def test_it_may_read_the_repository_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [job for job in JOBS if "permissions" in JOBS[job]]


def test_it_is_given_no_secret_and_keeps_no_credentials() -> None:
    assert not re.search(r"\$\{\{[^}]*(secrets|token)", TEXT)
    checkouts = [
        step
        for job in JOBS.values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


def test_code_of_a_pull_request_runs_without_the_rights_of_the_repository() -> None:
    assert set(WORKFLOW["on"]) == {"push", "pull_request"}


def test_no_step_puts_what_others_wrote_into_a_command() -> None:
    assert not [command for job in JOBS for command in steps(job, "run") if "${{" in command]


def test_a_newer_push_ends_the_run_of_an_older_one() -> None:
    assert "github.ref" in WORKFLOW["concurrency"]["group"]
    assert WORKFLOW["concurrency"]["cancel-in-progress"] == "true"


@pytest.mark.parametrize("job", JOBS)
def test_every_job_has_an_end(job: str) -> None:
    assert 0 < int(JOBS[job]["timeout-minutes"]) <= 60


@pytest.mark.parametrize("job", JOBS)
def test_every_command_makes_a_target_that_is_there_with_the_python_of_the_job(job: str) -> None:
    for command in steps(job, "run"):
        program, target, *variables = command.split()
        assert program == "make"
        assert target in TARGETS
        assert variables == ["PYTHON=python"]


def test_it_lints_tests_and_shows() -> None:
    assert sorted(made()) == [("demo", "demo"), ("lint", "lint"), ("test", "test")]


def test_the_tests_run_on_every_python_that_lambda_has() -> None:
    assert JOBS["test"]["strategy"]["matrix"]["python"] == [
        f"{major}.{minor}" for major, minor in SUPPORTED_PYTHONS
    ]


def test_one_python_that_fails_does_not_hide_the_others() -> None:
    assert JOBS["test"]["strategy"]["fail-fast"] == "false"
