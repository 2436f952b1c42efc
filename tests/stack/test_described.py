"""What the deployed API answers is what its OpenAPI document says, to whatever schemathesis makes of that document."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from tests.stack.calling import create_key
from tests.stack.driving import DeployedStack
from tests.support.template import ROOT

from tunehook.aws.items import to_attributes
from tunehook_local.sandbox import Sandbox

PROGRAM: Final = ROOT / ".tunehook" / "tools" / "schemathesis" / "bin" / "schemathesis"
DOCUMENT: Final = ROOT / "docs" / "api" / "openapi.json"
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
DRAWN_OF_EACH: Final = 3
"""How many calls of each operation are drawn, beside the examples and the edges of each schema."""
HANG_S: Final = 600
"""What only a hang takes."""

pytestmark = pytest.mark.skipif(
    not PROGRAM.exists(),
    reason="schemathesis is not set up: `python requirements/environments.py command schemathesis`",
)


@pytest.fixture(scope="module")
def played(
    stack: DeployedStack, sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Any], str]]:
    """The report of a run over all operations, and what was printed; the calls are the same at each run."""
    there = {each["subscription_id"] for each in stack.items("SubscriptionsTable", "subscription_id")}
    folder = tmp_path_factory.mktemp("described")
    key = create_key(stack, "described", "admin")
    words = [
        *("run", str(DOCUMENT), "--url", stack.api_url, "--header", f"Authorization: Bearer {key}"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing"),
        *("--max-examples", str(DRAWN_OF_EACH), "--generation-deterministic", "--continue-on-failure"),
        *("--no-color", "--request-timeout", str(HANG_S)),
        *("--report", "json", "--report-json-path", "report.json"),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT / "tests" / "stack"),
        "SCHEMATHESIS_HOOKS": "described_hooks",
        "TUNEHOOK_RECEIVER": sandbox.receiver_url("described"),
        "TUNEHOOK_SPARED": ",".join(there),
    }
    ran = subprocess.run(
        [str(PROGRAM), *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=HANG_S
    )
    report = folder / "report.json"
    assert report.exists(), ran.stdout + ran.stderr
    yield json.loads(report.read_text()), ran.stdout
    # Nobody else is to be told what its subscriptions want.
    for each in stack.items("SubscriptionsTable", "subscription_id"):
        if each["subscription_id"] not in there:
            stack.client("dynamodb").delete_item(
                TableName=stack.outputs["SubscriptionsTable"], Key=to_attributes(each)
            )


def operations(document: Path) -> int:
    """Count the operations that a document describes."""
    methods = {"get", "put", "post", "delete", "patch"}
    return sum(
        method in methods for path in json.loads(document.read_text())["paths"].values() for method in path
    )


def test_no_answer_differs_from_the_document(played: tuple[dict[str, Any], str]) -> None:
    report, printed = played
    assert (report["failures"], report["errors"]) == ([], []), printed
    assert report["complete"], printed


def test_every_operation_was_called_and_what_lists_answered_well(played: tuple[dict[str, Any], str]) -> None:
    report, printed = played
    assert report["operations"]["tested"] == operations(DOCUMENT), printed
    assert report["test_cases"]["generated"] > 10 * operations(DOCUMENT)
    for operation in ("GET /v1/tasks", "GET /v1/deliveries", "GET /v1/subscriptions"):
        rates = report["valid_rates"][operation]
        assert sum(each["accepted"] for each in rates.values()) > 0, (operation, rates)
