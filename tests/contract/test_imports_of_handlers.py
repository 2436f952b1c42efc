"""What a function loads before its first event: every module there delays each cold start (`benchmarks/imports.py`)."""

from __future__ import annotations

import functools
import json
import os
import re
import runpy
import subprocess
import sys

import pytest
from tests.support.template import ROOT

# The layer has no click, and httpx loads a command of its own where there is one.
_LOADED = """
import importlib, json, sys
sys.modules["click"] = None
importlib.import_module(sys.argv[1])
del sys.modules["click"]
json.dump({name: getattr(module, "__file__", None) for name, module in sys.modules.items()}, sys.stdout)
"""

NEVER = {
    # Tools and tests.
    "click",
    "hypothesis",
    "mypy",
    "pytest",
    "rich",
    "tunehook_cli",
    "tunehook_local",
    "typer",
    "unittest",
    # What others than the functions verify by.
    "jsonschema",
    "moto",
    "responses",
    "standardwebhooks",
    # What few subscriptions sign by.
    "cffi",
    "nacl",
    # Other ways to HTTP than aiohttp's connections, and aiohttp's servers.
    "aiohttp.web",
    "anyio",
    "h11",
    "httpcore",
    "requests",
    # What Powertools loads where it is asked for it; the tracer's library alone takes as long as a function.
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.utilities.idempotency",
    "aws_lambda_powertools.utilities.parameters",
    "aws_lambda_powertools.utilities.parser",
    "aws_xray_sdk",
    # What reads recipes, where a provider is described by one. (Powertools' logger loads jmespath by itself.)
    "tomllib",
    "tunehook.providers.recipes",
    # Checks of e-mail addresses, and models of the first kind.
    "email_validator",
    "pydantic.v1",
}
"""What no function may load."""

NOT_BY = {
    "api": {
        "aiohttp",
        "aiolimiter",
        "aws_lambda_powertools.utilities.batch",
        "filetype",
        "httpx",
        "tunehook.http.connections",
        "tunehook.http.transport",
        "tunehook.providers",
        "yarl",
    },
    "intake": {
        "aiohttp",
        "aiolimiter",
        "filetype",
        "httpx",
        "tunehook.http.connections",
        "tunehook.http.transport",
        "tunehook.providers",
        "tunehook.signatures",
        "yarl",
    },
    "poller": {
        "aws_lambda_powertools.utilities.batch",
        "filetype",
        "tunehook.http.client",
        "tunehook.deliveries",
        "tunehook.signatures",
        "tunehook.subscriptions",
    },
    "fulfillment": {"aiolimiter", "tunehook.cadence", "tunehook.providers"},
    "webhooks": {
        "aiolimiter",
        "filetype",
        "tunehook.http.client",
        "tunehook.cadence",
        "tunehook.providers",
    },
}
"""What each function may not load, for it is the business of others."""

LATER = ("api.resolver",)
"""What a function loads only for some of its events: with it, more than is named above."""


@functools.cache
def loaded(function: str, module: str = "app") -> dict[str, str | None]:
    """The modules that a fresh process has loaded when it has imported a handler, or another, and their files."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("functions", "layers/tunehook"))
    finished = subprocess.run(
        [sys.executable, "-c", _LOADED, f"{function}.{module}"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return json.loads(finished.stdout)


def unused() -> re.Pattern[str]:
    """What the dependencies layer has no byte code of, as paths below its folder."""
    pattern = runpy.run_path(str(ROOT / "layers" / "dependencies" / "bytecode.py"))["UNUSED"]
    return re.compile(rf"/site-packages/({pattern})(/|$)")


def test_the_table_speaks_of_every_function() -> None:
    assert sorted(NOT_BY) == sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


@pytest.mark.parametrize("function", NOT_BY)
def test_a_handler_loads_nothing_that_its_function_has_no_use_for(function: str) -> None:
    assert not (NEVER | NOT_BY[function]) & set(loaded(function))


@pytest.mark.parametrize("function", NOT_BY)
def test_a_handler_loads_no_other_function(function: str) -> None:
    assert not (set(NOT_BY) - {function}) & set(loaded(function))


@pytest.mark.parametrize("name", [f"{function}.app" for function in NOT_BY] + list(LATER))
def test_what_a_function_loads_has_byte_code_in_the_layer(name: str) -> None:
    assert not [file for file in loaded(*name.split(".")).values() if file and unused().search(file)]


def test_what_a_module_of_the_table_is_called_is_what_it_is_loaded_as() -> None:
    together = set().union(*map(loaded, NOT_BY))
    assert set().union(*NOT_BY.values()) <= together


def test_the_layer_has_byte_code_of_the_most() -> None:
    assert unused().search("/site-packages/anyio/_core/_eventloop.py")
    assert not unused().search("/site-packages/aiohttp/client.py")
