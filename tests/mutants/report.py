"""What a run of changes has come to, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.mutants.changes import Change

BAR: Final = 0.92


class Verdict(StrEnum):
    """What became of a change."""

    NOTICED = "noticed"
    UNNOTICED = "unnoticed"
    EXCEPTED = "excepted"


@dataclass(frozen=True, slots=True)
class Result:
    """A change, what became of it, and by which: the test that failed, or the reason why none can."""

    module: str
    change: Change
    verdict: Verdict
    by: str


def share(results: Sequence[Result]) -> float:
    """Return the share of changes that were noticed, of all but those excepted; 1.0 of none."""
    counts = Counter(result.verdict for result in results)
    of = counts[Verdict.NOTICED] + counts[Verdict.UNNOTICED]
    return counts[Verdict.NOTICED] / of if of else 1.0


def report(results: Sequence[Result], seed: int) -> str:
    """Return the table by module, what was not noticed, and what is excepted and why."""
    counts = Counter(result.verdict for result in results)
    judged = counts[Verdict.NOTICED] + counts[Verdict.UNNOTICED]
    lines = [
        f"{len(results)} changes drawn from the seed {seed}: {counts[Verdict.NOTICED]} of {judged} noticed"
        f" ({share(results):.1%}; the bar is {BAR:.0%}), {counts[Verdict.EXCEPTED]} excepted.",
        "",
        "| module | noticed |",
        "|---|---|",
    ]
    by_module: dict[str, Counter[Verdict]] = {}
    for result in results:
        by_module.setdefault(result.module, Counter())[result.verdict] += 1
    for module, of in sorted(by_module.items(), key=lambda each: (-each[1][Verdict.UNNOTICED], each[0])):
        if judged_here := of[Verdict.NOTICED] + of[Verdict.UNNOTICED]:
            lines.append(f"| `{module}` | {of[Verdict.NOTICED]} of {judged_here} |")
    lines += ["", "| unnoticed at | kind | from | to | tests that run it |", "|---|---|---|---|---|"]
    lines += [
        f"| `{_place(result)}` | {result.change.kind} | {_short(result.change.before)} | {_short(result.change.after)}"
        f" | {result.by} |"
        for result in _sorted(results, Verdict.UNNOTICED)
    ]
    lines += ["", "| excepted | because |", "|---|---|"]
    lines += [f"| `{_place(result)}` | {result.by} |" for result in _sorted(results, Verdict.EXCEPTED)]
    return "\n".join(lines) + "\n"


def _sorted(results: Sequence[Result], verdict: Verdict) -> list[Result]:
    chosen = (result for result in results if result.verdict is verdict)
    return sorted(chosen, key=lambda result: (result.module, result.change.line))


def _place(result: Result) -> str:
    return f"{result.module}:{result.change.line}"


def _short(text: str) -> str:
    line = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{line[:120]}{'...' if len(line) > 120 else ''}`"
