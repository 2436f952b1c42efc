"""The tables of docs/scaling.md, and one of docs/cost.md, made of the results: the same results give the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from benchmarks.aws_cost import read_figures
from benchmarks.report import RESULTS

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "scaling.md"
BEGIN: Final = "<!-- tables: python -m benchmarks.million --write -->"
END: Final = "<!-- end of tables -->"
NAME: Final = "million"

DOCUMENT_OF_OPTIONS: Final = DOCUMENT.with_name("cost.md")
BEGIN_OF_OPTIONS: Final = "<!-- options: python -m benchmarks.million --write -->"
END_OF_OPTIONS: Final = "<!-- end of options -->"
OPTION: Final = "option: "
OPTION_COLUMNS: Final = (
    "webhooks",
    "write units",
    "read units",
    "SQS requests",
    "invocations",
    "dollars for 1,000 tasks",
)

SCENARIOS: Final = ("defaults", "1 shard, turned", "4 shards, turned", "16 shards, turned")
SIZES: Final[Mapping[str, Sequence[str]]] = {
    "`ShardCount`": ("1", "1", "4", "16"),
    "`FulfillmentConcurrency`": ("2", "20", "20", "50"),
    "`WebhooksConcurrency`": ("4", "10", "10", "10"),
    "`max_concurrency` of the provider": ("32", "128", "32", "16"),
}
BURSTS: Final = ("1 shard", "1 shard, IntakeConcurrency 10", "16 shards, IntakeConcurrency 10")

_FULL_AT: Final = "full at: "
_A_DAY: Final = "a day: "

Figures = Mapping[str, float]


def tables(figures: Figures) -> str:
    """Return all tables."""
    return "\n\n".join(
        (
            "### At how many tasks a second each thing is full",
            _table(("tasks a second", *SCENARIOS), _rows_of_limits(figures)),
            f"### The busiest hour of a day of a million: {figures['busiest hour']:.1f} tasks a second",
            _table(("for a while in it", *SCENARIOS), _rows_of_life(figures)),
            "### What a day of a million tasks costs, in US dollars",
            _table(("a day", *SCENARIOS[1:]), _rows_of_cost(figures)),
            "### Thousands of tasks in one second",
            _table(("4,000 within a second", *BURSTS), _rows_of_bursts(figures)),
            "### What a task takes, and what is taken from other measurements",
            _table(("what", ""), _rows_of_a_task(figures)),
        )
    )


def _rows_of_limits(figures: Figures) -> Iterable[Sequence[str]]:
    for name, values in SIZES.items():
        yield name, *values
    start = f"{SCENARIOS[0]}: {_FULL_AT}"
    for name in [each.removeprefix(start) for each in figures if each.startswith(start)]:
        rates = [figures[f"{scenario}: {_FULL_AT}{name}"] for scenario in SCENARIOS]
        knees = [figures[f"{scenario}: knee"] for scenario in SCENARIOS]
        cells = (
            f"**{_number(rate)}**" if rate == knee else _number(rate)
            for rate, knee in zip(rates, knees, strict=True)
        )
        yield name, *cells
    yield (
        "**the knee, as tasks a day, 8 % of them in the busiest hour**",
        *(f"**{_round(figures[f'{scenario}: knee, a day'])}**" for scenario in SCENARIOS),
    )


def _rows_of_life(figures: Figures) -> Iterable[Sequence[str]]:
    start = f"{SCENARIOS[0]}: "
    for name in (each.removeprefix(start) for each in figures if each.startswith(start)):
        if not name.startswith((_FULL_AT, "knee")):
            unit = {"in use": " %", "end to": " s"}.get(name[:6], "")
            yield name, *(_number(figures[f"{each}: {name}"]) + unit for each in SCENARIOS)


def _rows_of_cost(figures: Figures) -> Iterable[Sequence[str]]:
    start = f"{SCENARIOS[1]}: {_A_DAY}"
    for name in [each.removeprefix(start) for each in figures if each.startswith(start)]:
        yield name, *(f"{figures.get(f'{each}: {_A_DAY}{name}', 0.0):.2f}" for each in SCENARIOS[1:])
    yield "**together**", *(f"**{figures[f'{each}: a day']:.2f}**" for each in SCENARIOS[1:])


def _rows_of_bursts(figures: Figures) -> Iterable[Sequence[str]]:
    start = f"burst, {BURSTS[0]}: "
    for name in [each.removeprefix(start) for each in figures if each.startswith(start)]:
        unit = " s" if name == "taken in within" else ""
        yield name, *(_number(figures[f"burst, {each}: {name}"]) + unit for each in BURSTS)


def _rows_of_a_task(figures: Figures) -> Iterable[Sequence[str]]:
    for name, value in figures.items():
        if name.startswith(("a task: ", "one invocation of ", "taken as: ")):
            unit = " tasks/s" if name.startswith("one invocation") else ""
            unit = " ms" if name.startswith("taken as") or "processor" in name else unit
            yield name, f"{value:.3g}{unit}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _round(value: float) -> str:
    """Return a number with two digits that count."""
    return f"{float(f'{value:.2g}'):,.0f}"


def options(figures: Figures) -> str:
    """Return the table of what a subscription may ask for."""
    last = OPTION_COLUMNS[-1]
    names = [
        name.removeprefix(OPTION).removesuffix(f": {last}")
        for name in figures
        if name.startswith(OPTION) and name.endswith(last)
    ]
    return _table(
        ("a task, on top of the tables above", *OPTION_COLUMNS),
        (
            (
                name,
                *(f"{figures[f'{OPTION}{name}: {column}']:.2g}" for column in OPTION_COLUMNS[:-1]),
                f"{figures[f'{OPTION}{name}: {last}']:.4f}",
            )
            for name in names
        ),
    )


def document(text: str, figures: Figures) -> str:
    """Return the text of docs/scaling.md with its tables made anew."""
    return _replaced(text, BEGIN, tables(figures), END)


def document_of_options(text: str, figures: Figures) -> str:
    """Return the text of docs/cost.md with its table of options made anew."""
    return _replaced(text, BEGIN_OF_OPTIONS, options(figures), END_OF_OPTIONS)


def _replaced(text: str, begin: str, content: str, end: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def write_document() -> None:
    """Write the tables anew, from the last results."""
    figures = read_figures(RESULTS / f"{NAME}.json")
    for path, made in ((DOCUMENT, document), (DOCUMENT_OF_OPTIONS, document_of_options)):
        path.write_text(made(path.read_text(encoding="utf-8"), figures), encoding="utf-8")
