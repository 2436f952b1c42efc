"""The handler: it answers the gateway's question by itself, and leaves everything else to the resolver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.support.aws import Context
from tests.support.template import ROOT
from tests.unit.api.test_authorizer import question

from api import app


def request(path: str, method: str = "GET") -> dict[str, Any]:
    """An event of the HTTP API, payload 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "requestContext": {"http": {"method": method, "path": path}, "stage": "$default"},
        "isBase64Encoded": False,
    }


def test_health_is_answered_without_a_key_and_without_aws(deployed: None) -> None:
    answer = app.handler(request("/health"), Context())
    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"status": "ok"})


def test_an_unknown_path_is_a_problem(deployed: None) -> None:
    answer = app.handler(request("/v1/nothing"), Context())
    assert answer["statusCode"] == 404
    assert json.loads(answer["body"])["status"] == 404


def test_the_gateways_question_is_answered(deployed: None) -> None:
    assert app.handler(question(None), Context()) == {"isAuthorized": False}


def test_the_authorizer_loads_no_resolver() -> None:
    """It is in the way of each request whose key the gateway has not seen for a while."""
    program = "import api.app, sys; print(*sys.modules)"
    path = os.pathsep.join(str(ROOT / folder) for folder in ("functions", "layers/tunehook"))
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(finished.stdout.split())
    assert "api.authorizer" in loaded
    assert not {"api.resolver", "aws_lambda_powertools.event_handler"} & loaded
