"""Finds the writes of the code to DynamoDB, so that none can be forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.template import ROOT

TABLE = ROOT / "layers" / "tunehook" / "tunehook" / "aws" / "table.py"
"""The one module that calls DynamoDB's own writes."""

_OF_TABLE = {
    "update",
    "update_in_loop",
    "update_and_create",
    "create",
    "create_in_loop",
    "put",
    "put_in_loop",
    "delete",
}
_OF_DYNAMODB = {
    "update_item",
    "put_item",
    "delete_item",
    "batch_write_item",
    "transact_write_items",
    "execute_statement",
    "batch_execute_statement",
    "execute_transaction",
}


def modules() -> list[Path]:
    folders = (ROOT / "layers", ROOT / "functions", ROOT / "cli")
    return sorted(path for folder in folders for path in folder.rglob("*.py") if ".aws-sam" not in path.parts)


def writing_methods() -> set[str]:
    """Return the public methods, as `Class.name`, that write to a `tunehook.aws.table.Table`."""
    return {
        f"{node.name}.{method}"
        for path in modules()
        if path != TABLE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for method in _writing_methods_of(node)
        if not method.startswith("_")
    }


def _writing_methods_of(node: ast.ClassDef) -> set[str]:
    calls = {
        each.name: set(_called_on_self(each))
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    writing = {name for name, called in calls.items() if called & {f"_table.{each}" for each in _OF_TABLE}}
    # A table that wraps another one of its kind, such as a cache, is the other one's affair.
    is_gateway = any(ast.unparse(base).endswith("TableGateway") for base in node.bases)
    if not is_gateway and not any("self._table = Table(" in ast.unparse(each) for each in node.body):
        return set()
    while more := {name for name, called in calls.items() if called & writing} - writing:
        writing |= more
    return writing


def _called_on_self(function: ast.AST) -> Iterator[str]:
    """Yield ``name`` for each ``self.name(...)``, and ``_table.name`` for each ``self._table.name(...)``."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            target = ast.unparse(node.func)
            if target.startswith("self."):
                yield target.removeprefix("self.")


def others_that_write() -> set[str]:
    """Return the modules that call DynamoDB's own writes past the table."""
    return {
        str(path.relative_to(ROOT))
        for path in modules()
        if path != TABLE
        and any(
            isinstance(node, ast.Attribute) and node.attr in _OF_DYNAMODB
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }
