"""The directions of imports and the size of handlers that docs/house-style.md, "The house", asks for."""

import ast
import sys
from pathlib import Path

import pytest
from tests.support.template import ROOT

LAYER = ROOT / "layers" / "tunehook" / "tunehook"
FUNCTIONS = ROOT / "functions"
CLI = ROOT / "cli" / "tunehook_cli"
LOCAL = ROOT / "cli" / "tunehook_local"
COMMANDS = {"tunehook_cli", "tunehook_local"}
FUNCTION_NAMES = ("api", "fulfillment", "intake", "poller", "webhooks")
AWS = {"boto3", "botocore", "aws_lambda_powertools"}
DOMAIN = (
    "api_keys",
    "callback_schemes",
    "callbacks",
    "tasks",
    "clips",
    "events",
    "subscriptions",
    "deliveries",
    "cadence",
    "rhythm",
    "ids",
    "errors",
    "times",
)


def modules_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if ".aws-sam" not in path.parts)


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, as its full name."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports by a relative name"
            assert node.module is not None
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return imported


def packages_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def file_of(module: str) -> Path | None:
    """The file of a module of the layer, or None for another's."""
    if module != "tunehook" and not module.startswith("tunehook."):
        return None
    path = LAYER.parent.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def reached_from(path: Path) -> set[str]:
    """Every package that a file of the layer imports, by way of other files of the layer too."""
    seen, waiting, packages = {path}, [path], set()
    while waiting:
        file = waiting.pop()
        packages |= packages_of(file)
        new = {found for name in imports_of(file) if (found := file_of(name))} - seen
        seen |= new
        waiting += new
    return packages


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_functions_are_the_ones_that_the_other_tests_speak_of() -> None:
    assert tuple(sorted(path.parent.name for path in FUNCTIONS.glob("*/app.py"))) == FUNCTION_NAMES


@pytest.mark.parametrize("path", modules_below(LAYER), ids=relative)
def test_the_layer_uses_no_function_and_not_the_command(path: Path) -> None:
    assert not packages_of(path) & {*FUNCTION_NAMES, *COMMANDS}


@pytest.mark.parametrize("path", modules_below(FUNCTIONS), ids=relative)
def test_a_function_uses_no_other_function_and_not_the_command(path: Path) -> None:
    others = {*FUNCTION_NAMES, *COMMANDS} - {path.relative_to(FUNCTIONS).parts[0]}
    assert not packages_of(path) & others


@pytest.mark.parametrize("path", [*modules_below(CLI), *modules_below(LOCAL)], ids=relative)
def test_the_command_uses_no_function(path: Path) -> None:
    assert not packages_of(path) & set(FUNCTION_NAMES)


@pytest.mark.parametrize(
    "path",
    [*modules_below(LAYER / "providers"), *modules_below(LAYER / "http")]
    + [LAYER / f"{name}.py" for name in DOMAIN],
    ids=relative,
)
def test_the_providers_and_the_domain_model_know_nothing_of_aws(path: Path) -> None:
    assert not reached_from(path) & AWS


@pytest.mark.parametrize("path", modules_below(LAYER), ids=relative)
def test_boto3_is_known_to_the_aws_part_of_the_layer_and_to_operations_alone(path: Path) -> None:
    if not {LAYER / "aws", LAYER / "operations"} & set(path.parents):
        assert not packages_of(path) & {"boto3", "botocore"}


@pytest.mark.parametrize("path", [*modules_below(LAYER), *modules_below(FUNCTIONS)], ids=relative)
def test_operations_are_used_by_no_function_but_the_api_and_by_no_other_part_of_the_layer(path: Path) -> None:
    if not {LAYER / "operations", FUNCTIONS / "api"} & set(path.parents):
        assert not {name for name in imports_of(path) if name.startswith("tunehook.operations")}


@pytest.mark.parametrize("path", modules_below(LAYER / "operations"), ids=relative)
def test_operations_do_without_a_terminal_and_without_a_web_server(path: Path) -> None:
    assert not packages_of(path) & {"typer", "rich", "click"}
    assert "aiohttp.web" not in imports_of(path)


@pytest.mark.parametrize("path", modules_below(CLI / "commands"), ids=relative)
def test_no_command_calls_boto3(path: Path) -> None:
    assert not packages_of(path) & {"boto3", "botocore"}
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & {"client", "get_paginator"}


@pytest.mark.parametrize(
    "path",
    [each for folder in (LAYER, FUNCTIONS, CLI, LOCAL) for each in modules_below(folder)],
    ids=relative,
)
def test_the_console_alone_knows_its_web_framework(path: Path) -> None:
    if CLI / "console" not in path.parents:
        assert not packages_of(path) & {"starlette", "uvicorn", "jinja2", "markupsafe"}


@pytest.mark.parametrize("path", modules_below(CLI), ids=relative)
def test_the_command_imports_nothing_of_a_machine_of_ones_own(path: Path) -> None:
    assert "tunehook_local" not in packages_of(path)


@pytest.mark.parametrize("path", modules_below(LAYER), ids=relative)
def test_the_layer_does_without_powertools_but_for_the_metrics(path: Path) -> None:
    assert ("aws_lambda_powertools" in packages_of(path)) is (path == LAYER / "metrics.py")


@pytest.mark.parametrize("path", modules_below(FUNCTIONS), ids=relative)
def test_no_logic_imports_from_a_handler(path: Path) -> None:
    assert not {f"{name}.app" for name in FUNCTION_NAMES} & imports_of(path)


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_a_handler_has_40_lines_at_most(name: str) -> None:
    assert len((FUNCTIONS / name / "app.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("path", [*modules_below(FUNCTIONS), *modules_below(LAYER)], ids=relative)
def test_the_environment_is_read_by_the_settings_alone(path: Path) -> None:
    reads = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    }
    assert not reads or path == LAYER / "settings.py"


def test_the_way_through_the_layer_is_followed() -> None:
    assert "boto3" in reached_from(LAYER / "aws" / "tasks.py")
    assert "pydantic" in reached_from(LAYER / "events.py")
    assert sys.stdlib_module_names & reached_from(LAYER / "times.py")
