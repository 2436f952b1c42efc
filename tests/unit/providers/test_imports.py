from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

LAYER = Path(__file__).parents[3] / "layers" / "tunehook"
PROVIDERS = "import tunehook.providers.client, tunehook.providers.kinds; "
FORBIDDEN = {"boto3", "botocore", "aws_lambda_powertools", "moto", "aiohttp", "httpx", "pydantic"}


CONFIGURED = """
import json, sys
from tunehook.providers.client import Provider
from tunehook.providers.config import read_providers
from tunehook.providers.kinds import ADAPTERS
entries = {kind: {"kind": kind, "base_url": "https://gw.example.com", "api_key": "k"} for kind in ADAPTERS}
entries |= json.loads(sys.argv[1])
for config in read_providers(json.dumps(entries)).usable.values():
    Provider(config, None)
print(*sys.modules)
"""
"""What a poller does with its secret."""

RECIPES = {"jmespath", "tomllib", "tunehook.providers.recipes"}


def imported(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(LAYER)}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_the_layer_imports_nothing_of_aws_no_http_library_and_no_models() -> None:
    modules = imported(f"{PROVIDERS}import sys; print(*sys.modules)").stdout.split()
    assert not FORBIDDEN & {module.partition(".")[0] for module in modules}


def test_beside_itself_and_the_standard_library_the_layer_imports_one_package() -> None:
    before, after = (
        {name.partition(".")[0] for name in imported(f"{code}import sys; print(*sys.modules)").stdout.split()}
        for code in ("", PROVIDERS)
    )
    assert after - before - sys.stdlib_module_names == {"aiolimiter", "tunehook"}


def test_recipes_and_what_reads_them_are_loaded_where_a_provider_is_described_alone() -> None:
    described = {"mine": {"kind": "described", "recipe": "replicate", "api_key": "k"}}
    without, with_one = (
        set(imported(CONFIGURED, json.dumps(entries)).stdout.split()) for entries in ({}, described)
    )
    assert not RECIPES & without
    assert with_one >= RECIPES
