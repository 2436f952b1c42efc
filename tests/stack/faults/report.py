"""What a run has come to: a table for people, `benchmarks/results/faults.json`, the tables of docs/reliability.md.

Pure but for `write`: the same results give the same document, and a test holds docs/reliability.md to that.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.report import RESULTS, Row, report
from tests.stack.faults.books import Books
from tests.stack.faults.ledger import Findings, Spread
from tests.stack.faults.plan import Plan
from tests.support.fleet import excess
from tests.support.template import ROOT

NAME: Final = "faults"
DOCUMENT: Final = ROOT / "docs" / "reliability.md"
BEGIN: Final = "<!-- tables: make soak -->"
END: Final = "<!-- end of tables -->"

_BROKEN: Final = "broken: "
_RIGHT: Final = "must be 0: "
_TWICE: Final = "accepted twice: "
_DEAD: Final = "dead letters: "
_DELAY: Final = "delay: "
_ATTEMPTS: Final = "deliveries of "

_WHO: Final = {"provider": "a task's provider", "asset": "an asset host", "receiver": "a receiver"}
_ACTS: Final = {
    "throttle": "throttled",
    "fail": "answered with an error",
    "drop": "dropped before they happened",
    "unanswered": "done and never answered",
    "delay": "delayed",
    "double": "made twice at once",
}


def rows_of(seed: int, findings: Findings) -> list[Row]:
    """Return the figures of a run.

    Parameters
    ----------
    seed : int
        What its plan was drawn from.
    findings : Findings
        What was counted.
    """
    twice = sum(findings.twice.values()) + len(findings["twice_unexplained"].problems)
    dead = sum(findings.dead.values()) + len(findings["dead_unexplained"].problems)
    return [
        Row("seed", seed, ""),
        Row("tasks", findings.tasks, "tasks"),
        Row("webhooks", findings.webhooks, "webhooks"),
        Row("requests at receivers", findings.requests, "requests"),
        Row("requests that told of progress", findings.progress, "requests"),
        *(Row(f"{_BROKEN}{what}", often, "times") for what, often in sorted(findings.happened.items())),
        *(
            Row(f"{_RIGHT}{each.title}", len(each.problems), f"of {each.of}", at_most=0)
            for each in findings.counts
        ),
        Row(f"{_TWICE}share of webhooks", twice / max(findings.webhooks, 1), "ratio"),
        *(Row(f"{_TWICE}{why}", often, "webhooks") for why, often in sorted(findings.twice.items())),
        Row(f"{_DEAD}all", dead, "messages"),
        *(Row(f"{_DEAD}{why}", often, "messages") for why, often in sorted(findings.dead.items())),
        *_delays("end at the provider to end in the item", findings.detection),
        *_delays("end in the item to first attempt", findings.first_attempt),
        *_delays("delivery made to first attempt", findings.waiting),
        *(
            Row(f"{_ATTEMPTS}{attempts} {'attempts' if attempts > 1 else 'attempt'}", often, "deliveries")
            for attempts, often in findings.attempts.items()
        ),
    ]


def _delays(name: str, spread: Spread | None) -> list[Row]:
    if spread is None:
        return []
    return [Row(f"{_DELAY}{name}, p50", spread.p50_s, "s"), Row(f"{_DELAY}{name}, p95", spread.p95_s, "s")]


def happened(plan: Plan, books: Books) -> dict[str, int]:
    """Return how often each fault has happened.

    Parameters
    ----------
    plan : Plan
        Whose tasks have met what was planned for them.
    books : Books
        What was broken of AWS.
    """
    found = Counter(
        f"{_WHO[who]}: {what.replace('_', ' ')}"
        for task in plan.tasks
        for who, _, what in (word.partition(":") for word in task.trouble)
    )
    if books.replays:
        found["a user: subscription made in the middle, and replayed"] = len(books.replays)
    if plan.gone:
        found["a receiver: wants no more, and its subscription is disabled"] = len(plan.gone)
    for receiver, limit in books.limits.items():
        made_ms = [record.created_at_ms for record in books.records if record.receiver == receiver]
        if (waited := math.ceil(excess(made_ms, limit))) > 0:
            found["a user: webhooks at once beyond a subscription's limit"] += waited
    for done in books.done:
        match done.moment.act:
            case "kill":
                found[f"SIGKILL: {done.moment.target}"] += 1
            case "halt":
                found[f"SIGSTOP, and SIGCONT seconds later: {done.moment.target}"] += 1
            case "edit":
                found["a user: item of a task edited by hand"] += done.often
            case "move":
                found["a user: URL of a subscription changed"] += 1
            case "restart":
                found["embedded AWS stopped and started again"] += 1
            case act:
                found[f"AWS calls: {_ACTS[act]}"] += len(done.calls)
    return dict(found)


def tell(plan: Plan, findings: Findings, folder: Path) -> None:
    """Print the figures, and write them to ``faults.json`` in a folder."""
    title = f"A run of size {plan.size.name} under faults, seed {plan.seed}"
    report(NAME, title, rows_of(plan.seed, findings), folder)


def write(folder: Path) -> None:
    """Keep the results of a run, and write the tables of docs/reliability.md anew."""
    (RESULTS / f"{NAME}.json").write_bytes((folder / f"{NAME}.json").read_bytes())
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8"), read_rows()), encoding="utf-8")


def read_rows(path: Path = RESULTS / f"{NAME}.json") -> list[Row]:
    """Return the rows of kept results."""
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def document(text: str, rows: Sequence[Row]) -> str:
    """Return the text of docs/reliability.md with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(rows)}\n\n{END}{after}"


def tables(rows: Sequence[Row]) -> str:
    """Return the tables of the document."""
    whole = {row.name: row.value for row in rows}
    run = (
        f"The last long run, seed {whole['seed']:.0f}: {whole['tasks']:,.0f} tasks, {whole['webhooks']:,.0f} webhooks"
        f" to deliver, {whole['requests at receivers']:,.0f} requests at receivers."
    )
    return "\n\n".join(
        (
            run,
            _table(("must be 0", "counted", "out of"), _cells(rows, _RIGHT, _out_of)),
            _table(
                ("webhooks accepted twice, dead letters", ""),
                [*_cells(rows, _TWICE, _named), *_cells(rows, _DEAD, _named, keep=True)],
            ),
            _table(("delay", "s"), _cells(rows, _DELAY, _plain)),
            _table(("deliveries", ""), _cells(rows, _ATTEMPTS, _plain, keep=True)),
            _table(("broken", "times"), _cells(rows, _BROKEN, _plain)),
        )
    )


def _cells(
    rows: Sequence[Row], prefix: str, cells: Callable[[Row], tuple[str, ...]], *, keep: bool = False
) -> list[tuple[str, ...]]:
    return [
        (row.name if keep else row.name.removeprefix(prefix), *cells(row))
        for row in rows
        if row.name.startswith(prefix)
    ]


def _out_of(row: Row) -> tuple[str, ...]:
    return f"{row.value:,.0f}", f"{int(row.unit.removeprefix('of ')):,}"


def _plain(row: Row) -> tuple[str, ...]:
    return (f"{row.value:,.3g}" if row.unit == "s" else f"{row.value:,.0f}",)


def _named(row: Row) -> tuple[str, ...]:
    return (f"{row.value:.2%}" if row.unit == "ratio" else f"{row.value:,.0f}",)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
