"""Prints how answers of providers were read: what each expression gave, and the outcome."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from tunehook_cli.layout import Cell, Lines, wrap
from tunehook_cli.output import Output, printable, width

if TYPE_CHECKING:
    from tunehook.operations.explaining import Explanation, Finding
    from tunehook.operations.recipes import TriedAnswer

_BODY_LINES: Final = 60
_VALUE_MAX: Final = 160
"""How much of an answer, and of what an expression gave, is printed; ``--json`` has all of it."""


def print_explanations(out: Output, explanations: Iterable[Explanation]) -> None:
    """Print the answers to the questions about a task, with what was found in each."""
    for position, each in enumerate(explanations):
        which = "Second response" if position else "Response"
        out.section(
            f"{which}: HTTP {each.status}, {printable(each.content_type or 'no content type')}", _body(each)
        )
        _print_findings(out, each)


def print_tried(out: Output, tried: TriedAnswer) -> None:
    """Print how a recorded answer was read, under the name of its file."""
    out.section(printable(tried.file), printable(tried.problem) if tried.problem else Lines(()))
    for position, each in enumerate(tried.explanations):
        if position:
            out.line("Second response:")
        _print_findings(out, each)
    if tried.outcomes is not None:
        out.table(("TASK", "OUTCOME"), list(tried.outcomes.items()))


def _print_findings(out: Output, explanation: Explanation) -> None:
    by_expression = [each for each in explanation.findings if each.expression is not None]
    recognised = [each for each in explanation.findings if each.expression is None]
    if by_expression:
        rows = [(each.name, each.expression, _gave(each)) for each in by_expression]
        out.table(("WHAT", "EXPRESSION", "GAVE"), rows)
    if recognised:
        out.table(("RECOGNISED", "AS"), [(each.name, _gave(each)) for each in recognised])
    out.line(f"Outcome: {printable(explanation.outcome)}")


def _body(explanation: Explanation) -> Lines:
    body = explanation.body
    lines = (body if isinstance(body, str) else _json(body, indent=2)).split("\n")
    left = len(lines) - _BODY_LINES
    more = [f"... and {left} more lines: --json has them"] if left > 0 else []
    printed = (part for line in [*lines[:_BODY_LINES], *more] for part in _folded(printable(line)))
    return Lines(tuple((each,) for each in printed))


def _folded(line: str) -> list[Cell]:
    """Fold a line as the terminal needs it, each part of it as far in as it is."""
    room = width()
    if room is None:
        return [Cell(line)]
    indent = min(len(line) - len(line.lstrip(" ")), room // 2)
    return [Cell(" " * indent + each.plain) for each in wrap(Cell(line.lstrip(" ")), room - indent)]


def _gave(finding: Finding) -> str:
    text = "nothing" if finding.value is None else _json(finding.value)
    shown = text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}..."
    return f"{shown}: {finding.problem}" if finding.problem else shown


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)
