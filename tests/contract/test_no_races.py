"""No unit or contract test is a race: docs/testing.md says how they wait instead."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from tests.support.patience import HANG_S
from tests.support.template import ROOT

FILES = sorted(path for suite in ("unit", "contract") for path in (ROOT / "tests" / suite).rglob("*.py"))
CLOCKS: Final = {
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "process_time",
}
WAITS: Final = {"timeout", "wait_for", "wait", "join", "result"}
SHORTEST_S: Final = HANG_S / 2

EXCUSED: Final = {
    (
        "unit/http/test_transport.py",
        "asyncio.sleep(0.05)",
    ): "for what may not come: on a slow machine it is not seen",
    (
        "unit/poller/test_outbox.py",
        "asyncio.sleep(0.05)",
    ): "for what may not come: on a slow machine it is not seen",
    (
        "unit/sandbox/test_respond.py",
        "asyncio.sleep(0.1)",
    ): "for what may not come: on a slow machine it is not seen",
    ("unit/sandbox/test_respond.py", "time.monotonic()"): "what is late by intention is no earlier than that",
    ("unit/sandbox/test_server.py", "time.monotonic()"): "the bound is one that only a hang passes",
    (
        "unit/http/test_halts.py",
        "time.monotonic()",
    ): "plays a receiver that closes what is idle, early or late",
    ("unit/poller/test_remaining_time.py", "time.monotonic()"): "plays the clock of an invocation",
}
"""The file, what stands there, and why a slow machine does not make it fail."""


def is_virtual(function: ast.AST) -> bool:
    """Whether a test's time is virtual as a whole."""
    return isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and any(
        isinstance(each, ast.Name) and each.id == "in_virtual_time" for each in function.decorator_list
    )


def is_awaiting_an_end(node: ast.AST) -> bool:
    """Whether a block expects that time is over: a slow machine makes that no less true."""
    return isinstance(node, ast.With | ast.AsyncWith) and "pytest.raises" in ast.unparse(node.items[0])


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def seconds_of(call: ast.Call) -> Iterator[float]:
    """The numbers of seconds after which a call gives up."""
    given = [each.value for each in call.keywords if each.arg in ("timeout", "total")]
    if name_of(call) in WAITS:
        given += call.args[-1:]
    for each in given:
        if isinstance(each, ast.Constant) and isinstance(each.value, int | float):
            yield each.value


def races_of(node: ast.AST, *, is_test: bool = False) -> Iterator[tuple[int, str]]:
    """What depends on how fast the machine is, with its line.

    That is: the readings of real clocks, waits that are given up soon (unless their end is what is expected), and
    pauses of a test itself, unless it looks again and again.
    """
    for child in ast.iter_child_nodes(node):
        if is_virtual(child) or is_awaiting_an_end(child):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from races_of(child, is_test=child.name.startswith("test_"))
            continue
        if isinstance(child, ast.Call):
            written = ast.unparse(child.func)
            reads_clock = written.startswith("time.") and name_of(child) in CLOCKS
            pauses = (
                is_test and written in ("asyncio.sleep", "time.sleep") and ast.unparse(child.args[0]) != "0"
            )
            if reads_clock or pauses or any(seconds < SHORTEST_S for seconds in seconds_of(child)):
                yield child.lineno, ast.unparse(child)
        yield from races_of(child, is_test=is_test and not isinstance(child, ast.While))


def name_in_tests(path: Path) -> str:
    return path.relative_to(ROOT / "tests").as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_in_tests)
def test_no_test_depends_on_how_fast_the_machine_is(path: Path) -> None:
    found = {what: line for line, what in races_of(ast.parse(path.read_text(encoding="utf-8")))}
    excused = {what for file, what in EXCUSED if file == name_in_tests(path)}
    assert not {what: line for what, line in found.items() if what not in excused}
    assert excused <= found.keys()


def test_no_example_of_hypothesis_has_a_deadline() -> None:
    assert settings().deadline is None


def test_every_excuse_is_of_a_file() -> None:
    assert {file for file, _ in EXCUSED} <= {name_in_tests(path) for path in FILES}


@pytest.mark.parametrize(
    ("body", "races"),
    [
        ("began = time.monotonic()", ["time.monotonic()"]),
        ("async with asyncio.timeout(5): pass", ["asyncio.timeout(5)"]),
        ("await asyncio.wait_for(a, 3)", ["asyncio.wait_for(a, 3)"]),
        ("thread.join(timeout=2)", ["thread.join(timeout=2)"]),
        ("await asyncio.sleep(0.1)", ["asyncio.sleep(0.1)"]),
        ("await asyncio.sleep(0)", []),
        ("while not a:\n        await asyncio.sleep(0.1)", []),
        ("with pytest.raises(TimeoutError):\n        await asyncio.wait_for(a, 3)", []),
        ("async with asyncio.timeout(HANG_S): pass", []),
        ("async def answer(): await asyncio.sleep(0.1)", []),
    ],
)
def test_a_race_is_known_by_what_it_waits_for(body: str, races: list[str]) -> None:
    source = f"async def test_it():\n    {body}\n"
    assert [what for _, what in races_of(ast.parse(source))] == races
    assert not list(races_of(ast.parse(f"@in_virtual_time\n{source}")))
