"""What the counted requests cost at the public prices, beside two other designs; and the tables of docs/cost.md.

Pure but for `write_document`: the same results and prices give the same document, and a test holds docs/cost.md to
that.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS

PRICES = Path(__file__).with_name("prices.json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "cost.md"
BEGIN = "<!-- tables: python -m benchmarks.aws_calls --write -->"
END = "<!-- end of tables -->"

TASKS = 1_000
MINUTES_A_MONTH = 43_200
"""Of 30 days."""
HOURS_A_MONTH = 720

PACES = {"at once": 1.0, "over an hour": 1.0, "over a day": 24.0, "over a month": 720.0}
"""The paces that were counted, and in how many hours 1,000 tasks come at each: metrics are billed by the hour."""

FUNCTIONS = ("intake", "poller", "fulfillment", "webhooks")


class Design(StrEnum):
    """What is compared; `usage_of_watching` says how each is taken."""

    TUNEHOOK = "tunehook"
    WAIT_LOOP = "Step Functions, the same questions"
    SLOW_WAIT_LOOP = "Step Functions, a question a minute"
    UPDATE_A_POLL = "one update a poll"


OPERATIONS: Mapping[str, str | None] = {
    "dynamodb BatchGetItem": None,
    "dynamodb DeleteItem": None,
    "dynamodb GetItem": None,
    "dynamodb PutItem": None,
    "dynamodb Query": None,
    "dynamodb Scan": None,
    "dynamodb UpdateItem": None,
    "events PutEvents": None,
    "lambda Invoke": None,
    "s3 GetObject": "s3_gets",
    "s3 HeadObject": "s3_gets",
    "s3 ListObjectsV2": "s3_puts",
    "s3 PutObject": "s3_puts",
    "secretsmanager GetSecretValue": "secret_calls",
    "sqs ChangeMessageVisibility": "sqs_requests",
    "sqs ChangeMessageVisibilityBatch": "sqs_requests",
    "sqs SendMessage": "sqs_requests",
    "sqs SendMessageBatch": "sqs_requests",
}
"""The price of a request; None where something else is billed: units, events, invocations."""

_OPERATION = re.compile(r"[a-z0-9]+ [A-Z]\w+")

Usage = Counter[str]
"""Quantities by the name of their price."""

Figures = Mapping[str, float]
"""Results by the name of their row."""


@dataclass(frozen=True, slots=True)
class Price:
    """What `per` of something cost, in US dollars, and how many a month are always free."""

    name: str
    what: str
    usd: float
    per: float
    free_a_month: float
    page: str


@dataclass(frozen=True, slots=True)
class Assumption:
    """What no count tells, because it hangs on AWS or on a provider's network."""

    name: str
    value: float
    unit: str
    what: str


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of one region at one time, and what is assumed beside them."""

    as_of: str
    region: str
    prices: Mapping[str, Price]
    assumptions: Mapping[str, Assumption]

    def cost(self, usage: Mapping[str, float]) -> float:
        """Return what a usage costs in US dollars where nothing is free."""
        return sum(
            quantity * self.prices[name].usd / self.prices[name].per for name, quantity in usage.items()
        )

    def cost_of_month(self, usage: Mapping[str, float]) -> float:
        """Return what a month's usage costs in an account that uses its free allowances for nothing else."""
        return self.cost(
            {name: max(0.0, quantity - self.prices[name].free_a_month) for name, quantity in usage.items()}
        )

    def assumed(self, name: str) -> float:
        """Return the value of an assumption."""
        return self.assumptions[name].value


def read_prices(path: Path = PRICES) -> PriceList:
    """Read the price list."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return PriceList(
        document["as_of"],
        document["region"],
        {price["name"]: Price(**price) for price in document["prices"]},
        {assumption["name"]: Assumption(**assumption) for assumption in document["assumptions"]},
    )


def read_figures(path: Path = RESULTS / "aws_calls.json") -> dict[str, float]:
    """Read the results of the last count."""
    return {row["name"]: row["value"] for row in json.loads(path.read_text(encoding="utf-8"))}


def usage_of_function(figures: Figures, prices: PriceList, pace: str, function: str) -> Usage:
    """Return what one function uses for 1,000 tasks that come at a pace; for the user, what PutItem does."""

    def counted(name: str) -> float:
        return TASKS * figures.get(f"{pace}: {function}: {name}", 0.0)

    requests: dict[str, float] = defaultdict(float)
    for operation in operations_of(figures, pace, function):
        if (price := OPERATIONS[operation]) is not None:
            requests[price] += counted(operation)
    invocations, messages = counted("invocations"), counted("messages")
    sent = counted("sqs SendMessage") + counted("sqs SendMessageBatch")
    # A mapping asks for a batch and deletes it; the bus sends fulfillment its messages one by one.
    taken = 2 * invocations if messages else 0.0
    put = messages if function == "fulfillment" else 0.0
    gb = figures.get(f"template: {function}: memory", 0.0) / 1024
    seconds = _seconds(prices, function, invocations, counted("AWS calls"), counted("running, s"))
    metrics = figures.get(f"{pace}: {function}: metrics", 0.0)
    return Usage(requests) + Usage(
        {
            "lambda_requests": invocations,
            "lambda_gb_s": gb * seconds,
            "dynamodb_write_units": counted("write units, tables") + counted("write units, indexes"),
            "dynamodb_read_units": counted("read units"),
            "sqs_requests": taken + put,
            "sqs_fair_requests": sent + (taken if function == "webhooks" else 0.0),
            "events": counted("events"),
            "log_gb": (counted("log") + invocations * prices.assumed("lambda_log_bytes")) / 1e9,
            "metrics": (metrics - figures.get(f"idle: {function}: metrics", 0.0))
            * PACES[pace]
            / HOURS_A_MONTH,
            "traces": invocations,
        }
    )


def operations_of(figures: Figures, pace: str, function: str) -> list[str]:
    """Return the operations that a function was seen to call, in order.

    Raises
    ------
    ValueError
        If it is not known what one of them costs: a bill that left it out would be too low.
    """
    start = f"{pace}: {function}: "
    names = sorted(name.removeprefix(start) for name in figures if name.startswith(start))
    operations = [name for name in names if _OPERATION.fullmatch(name)]
    for operation in operations:
        if operation not in OPERATIONS:
            raise ValueError(
                f"what a request {operation} costs is not known here (benchmarks/aws_cost.py, OPERATIONS)"
            )
    return operations


def _seconds(prices: PriceList, function: str, invocations: float, calls: float, running_s: float) -> float:
    match function:
        case "intake":
            return invocations * prices.assumed("intake_s") + calls * prices.assumed("intake_call_s")
        case "poller":
            return invocations * prices.assumed("pass_s") + running_s
        case "fulfillment" | "webhooks":
            return invocations * prices.assumed(f"{function}_s")
        case _:
            return 0.0


def usage_of_watching(figures: Figures, prices: PriceList, pace: str, design: Design) -> Usage:
    """Return what a design uses from PutItem to the emitted event, for 1,000 tasks that come at a pace.

    The other designs get the benefit of the doubt. *One update a poll* is tunehook with one write more a question, that
    touches no index. *Step Functions* is one execution a task: Wait, Task and Choice a question, one state for the
    update that ends the task and one for PutEvents; neither the start nor the end of an execution, nor the logs and
    traces of its Lambda function are counted; the table has no index, and intake only starts executions.
    """
    user = usage_of_function(figures, prices, pace, "user")
    intake = usage_of_function(figures, prices, pace, "intake")
    poller = usage_of_function(figures, prices, pace, "poller")
    questions = TASKS * figures[f"{pace}: questions"]
    match design:
        case Design.TUNEHOOK:
            return user + intake + poller
        case Design.UPDATE_A_POLL:
            update = Usage(
                {"dynamodb_write_units": questions * figures[f"{pace}: units of a write while it is pending"]}
            )
            return user + intake + poller + update
        case Design.SLOW_WAIT_LOOP:
            questions = TASKS * figures["wait loop: questions"]
    loop = Usage(
        {
            "state_transitions": 3 * questions + 2 * TASKS,
            "lambda_requests": questions,
            "lambda_gb_s": questions * prices.assumed("question_s") * prices.assumed("question_gb"),
            "dynamodb_write_units": TASKS * figures[f"{pace}: units of the write that ends it"],
            "events": poller["events"],
        }
    )
    started = Usage({name: intake[name] for name in ("lambda_requests", "lambda_gb_s", "log_gb", "traces")})
    accepted = Usage(
        {"dynamodb_write_units": TASKS * figures[f"{pace}: units of a write while it is pending"]}
    )
    return user + started + accepted + loop


def usage_of_idle_month(figures: Figures, prices: PriceList, design: Design) -> Usage:
    """Return what a month uses in which nothing comes."""
    usage = Usage(
        {
            "secrets": figures["template: secrets"],
            "alarms": figures["template: alarms"],
            "dashboards": figures["template: dashboards"],
            "sqs_requests": figures["template: queues that feed a function"]
            * prices.assumed("empty_receives_a_minute")
            * MINUTES_A_MONTH,
        }
    )
    if design in (Design.WAIT_LOOP, Design.SLOW_WAIT_LOOP):
        return usage
    passed_s = _seconds(prices, "poller", MINUTES_A_MONTH, 0, 0)
    passes = Usage(
        {
            "schedules": MINUTES_A_MONTH,
            "lambda_requests": MINUTES_A_MONTH,
            "lambda_gb_s": figures["template: poller: memory"] / 1024 * passed_s,
            "dynamodb_read_units": figures["idle hour: read units"] * HOURS_A_MONTH,
            "log_gb": (
                figures["idle hour: log"] * HOURS_A_MONTH
                + MINUTES_A_MONTH * prices.assumed("lambda_log_bytes")
            )
            / 1e9,
            "metrics": figures["idle: poller: metrics"],
            "traces": MINUTES_A_MONTH,
        }
    )
    return usage + passes


def tables(figures: Figures, prices: PriceList) -> str:
    """Return the tables of docs/cost.md."""
    parts = [
        f"In US dollars, at the prices of {prices.region} as of {prices.as_of}; free allowances only where it is said.",
        "### What a task asks of AWS",
        _calls_table(figures),
        _units_table(figures),
        "### 1,000 tasks, on top of an idle month",
        _tasks_table(figures, prices),
        "### A month in which nothing comes",
        _idle_table(figures, prices),
        "### The prices",
        _table(
            ("for", "dollars", "a month free", "page"),
            (
                (price.what, f"{price.usd:g} for {price.per:,.0f}", f"{price.free_a_month:,.0f}", price.page)
                for price in prices.prices.values()
            ),
        ),
        "### What is assumed, not counted",
        _table(
            ("what", "is taken as"),
            ((each.what, f"{each.value:g} {each.unit}") for each in prices.assumptions.values()),
        ),
    ]
    return "\n\n".join(parts)


def _calls_table(figures: Figures) -> str:
    """Requests a task, by function and operation."""
    names = [
        f"{who}: {operation}"
        for who in ("user", *FUNCTIONS)
        for operation in sorted({each for pace in PACES for each in operations_of(figures, pace, who)})
    ]
    together = [
        sum(figures.get(f"{pace}: {who}: AWS calls", 0.0) for who in ("user", *FUNCTIONS)) for pace in PACES
    ]
    return _table(
        ("requests a task", *PACES),
        (*_rows(figures, names), ("**together**", *(f"**{_count(number)}**" for number in together))),
    )


def _units_table(figures: Figures) -> str:
    """What DynamoDB and Lambda bill a task for, and what else was counted."""
    billed = ("write units, tables", "write units, indexes", "read units", "invocations", "running, s")
    names = [f"{who}: {name}" for name in billed for who in ("user", *FUNCTIONS)]
    others = (
        "writes to its item, intake to emitted event",
        "writes to its item, and out of the index",
        "the same, median",
        "the same, most",
        "writes to the lease",
        "questions",
        "poller: entries a PutEvents",
    )
    return _table(
        ("a task", *PACES), (row for row in _rows(figures, (*names, *others)) if set(row[1:]) != {"0"})
    )


def _rows(figures: Figures, names: Iterable[str]) -> Iterable[tuple[str, ...]]:
    for name in names:
        yield name, *(_count(figures.get(f"{pace}: {name}", 0.0)) for pace in PACES)


def _tasks_table(figures: Figures, prices: PriceList) -> str:
    def costs(usage_at: Callable[[str], Usage]) -> list[str]:
        return [_dollars(prices.cost(usage_at(pace))) for pace in PACES]

    def part(function: str) -> list[str]:
        return costs(lambda pace: usage_of_function(figures, prices, pace, function))

    def metrics() -> list[str]:
        return costs(
            lambda pace: Usage(
                metrics=sum(usage_of_function(figures, prices, pace, each)["metrics"] for each in FUNCTIONS)
            )
        )

    def whole(design: Design) -> list[str]:
        return costs(
            lambda pace: (
                usage_of_watching(figures, prices, pace, design)
                + usage_of_function(figures, prices, pace, "fulfillment")
                + usage_of_function(figures, prices, pace, "webhooks")
            )
        )

    return _table(
        ("1,000 tasks coming", *PACES),
        (
            ("the user's PutItem", *part("user")),
            *((function, *part(function)) for function in FUNCTIONS),
            ("of these, custom metrics", *metrics()),
            *((f"**{design}**", *(f"**{cost}**" for cost in whole(design))) for design in Design),
        ),
    )


def _idle_table(figures: Figures, prices: PriceList) -> str:
    usages = {
        design: usage_of_idle_month(figures, prices, design)
        for design in (Design.TUNEHOOK, Design.WAIT_LOOP, Design.UPDATE_A_POLL)
    }
    rows = [
        (
            prices.prices[name].what,
            f"{quantity:,.4g}" if quantity < 100 else f"{quantity:,.0f}",
            *(_dollars(prices.cost({name: usage[name]})) for usage in usages.values()),
        )
        for name, quantity in usages[Design.TUNEHOOK].items()
    ]
    totals = ("**together**", "", *(f"**{_dollars(prices.cost(usage))}**" for usage in usages.values()))
    free = (
        "less what is always free",
        "",
        *(_dollars(prices.cost_of_month(usage)) for usage in usages.values()),
    )
    return _table(("a month", "quantity", *usages), (*rows, totals, free))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(value: float) -> str:
    return f"{value:,.3g}" if value < 1_000 else f"{value:,.0f}"


def _dollars(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.2g}" if value else "0"


def document(text: str, figures: Figures, prices: PriceList) -> str:
    """Return the text of docs/cost.md with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(figures, prices)}\n\n{END}{after}"


def write_document() -> None:
    """Write the tables of docs/cost.md anew, from the last results."""
    text = document(DOCUMENT.read_text(encoding="utf-8"), read_figures(), read_prices())
    DOCUMENT.write_text(text, encoding="utf-8")
