"""The marks by which it is known what a test runs."""

import builtins
from typing import Any

import pytest
from tests.mutants.recording import with_marks

SOURCE = '''
def outer(value):
    """A docstring."""
    if (
        value == 1
        or value == 2
    ):
        found = [
            value,
        ]
    else:
        found = []
    try:
        return inner(found)
    except KeyError:
        return None
    finally:
        found.clear()


def inner(found):
    match found:
        case [1]:
            raise KeyError
        case _:
            return (lambda: 7)()
'''


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (1, {4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 18, 22, 24}),
        (2, {4, 5, 6, 7, 8, 9, 10, 13, 14, 18, 22, 26}),
        (3, {4, 5, 6, 7, 12, 13, 14, 18, 22, 26}),
    ],
)
def test_a_statement_that_is_run_stands_for_its_lines_or_those_of_its_header(
    monkeypatch: pytest.MonkeyPatch, value: int, lines: set[int]
) -> None:
    ran: set[tuple[str, int, int]] = set()
    monkeypatch.setattr(builtins, "__line_is_run__", ran.add, raising=False)
    module: dict[str, Any] = {}
    exec(compile(with_marks(SOURCE, "a.py"), "a.py", "exec"), module)
    assert ran == set()
    module["outer"](value)
    assert {name for name, _, _ in ran} == {"a.py"}
    assert {line for _, first, last in ran for line in range(first, last + 1)} - {16} == lines
    assert module["outer"].__doc__ == "A docstring."
