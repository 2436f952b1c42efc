from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LAYER = Path(__file__).parents[3] / "layers" / "tunehook"
FORBIDDEN = {"boto3", "botocore", "aws_lambda_powertools", "moto", "aiohttp", "httpx", "pydantic"}
IMPORT_BUDGET_MS = 250
TRIES = 5  # the best one counts: what else the machine does is not the layer's doing


def imported(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(LAYER)}
    command = [sys.executable, *options, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def import_ms() -> float:
    """The time of importing the package, as `python -X importtime` reports it in microseconds in its last line."""
    last = imported("import tunehook.providers", "-X", "importtime").stderr.splitlines()[-1]
    return int(last.split("|")[1]) / 1000


def test_the_layer_imports_nothing_of_aws_no_http_library_and_no_models() -> None:
    modules = imported("import sys, tunehook.providers; print(*sys.modules)").stdout.split()
    assert not FORBIDDEN & {module.partition(".")[0] for module in modules}


def test_importing_the_layer_takes_less_than_250_ms() -> None:
    assert any(import_ms() < IMPORT_BUDGET_MS for _ in range(TRIES))
