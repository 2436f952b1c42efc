"""What the counted requests cost at the public prices, beside two other designs; and the tables of docs/cost.md.

Pure but for `write_document`: the same results and prices give the same document, and a test holds docs/cost.md to
that.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from benchmarks.report import RESULTS
from tunehook.aws.deliveries import MAX_DELAY_S
from tunehook.deliveries import KEPT_S
from tunehook.metrics import Observability
from tunehook.tasks import ENDED_KEPT_S
from webhooks.policy import MAX_JITTER, WAITS_MS
from webhooks.subscription_health import FAILING_MS

PRICES = Path(__file__).with_name("prices.json")
DOCUMENT = Path(__file__).parents[1] / "docs" / "cost.md"
BEGIN = "<!-- tables: python -m benchmarks.aws_calls --write -->"
END = "<!-- end of tables -->"

TASKS = 1_000
MINUTES_A_MONTH = 43_200
"""Of 30 days."""
HOURS_A_MONTH = 720
GB = 2**30
"""What storage and transfer are billed by."""

VOLUME = "100,000 a day"
VOLUME_A_MONTH = 3_000_000
PACES = {"at once": 1.0, "over an hour": 1.0, "over a day": 24.0, "over a month": 720.0, VOLUME: 0.24}
"""The paces that were counted, and in how many hours 1,000 tasks come at each: metrics are billed by the hour."""

IN_VAIN = "attempt in vain"
HOP = "hop"
"""An attempt that fails, and one of the messages that a long wait is made of: counted like paces, by the thousand."""

HANGING = "hanging task, on top of an idle stack: "
"""How rows begin about a task that stays pending."""

FUNCTIONS = ("intake", "poller", "fulfillment", "webhooks")

KEY_CHECK = "key check"
"""The gateway's question whose key a request has."""

API_RESULTS = RESULTS / "api_calls.json"
FULFILLMENT_RESULTS = RESULTS / "fulfillment.json"
MILLION = 1_000_000
_ALL_CALLS = ": AWS calls"


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
    "dynamodb TransactWriteItems": None,
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
    "sqs GetQueueAttributes": "sqs_requests",
    "sqs SendMessage": "sqs_requests",
    "sqs SendMessageBatch": "sqs_requests",
}
"""The price of a request; None where something else is billed: units, events, invocations."""

_OPERATION = re.compile(r"[a-z0-9]+ [A-Z]\w+")

Usage = Counter[str]
"""Quantities by the name of their price."""

Metrics = Mapping[str, float]
"""Results by the name of their row."""


@dataclass(frozen=True, slots=True)
class Price:
    """What `per` of something cost, in US dollars, and how many a month are always free.

    `beyond` is what `per` cost beyond quantities, where much is cheaper: pairs of quantity and dollars.
    """

    name: str
    what: str
    usd: float
    per: float
    free_a_month: float
    page: str
    beyond: Sequence[tuple[float, float]] = ()

    def cost(self, quantity: float) -> float:
        """Return what a quantity costs in a month in which nothing is free."""
        steps = [(0.0, self.usd), *self.beyond]
        ends = [*(start for start, _ in steps[1:]), math.inf]
        return sum(
            max(0.0, min(quantity, end) - start) * usd / self.per
            for (start, usd), end in zip(steps, ends, strict=True)
        )


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
        return sum(self.prices[name].cost(quantity) for name, quantity in usage.items())

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


def read_figures(*paths: Path) -> dict[str, float]:
    """Read results: by default those of the last count, and how long fulfillment was seen to take."""
    return {
        row["name"]: row["value"]
        for path in paths or (RESULTS / "aws_calls.json", FULFILLMENT_RESULTS)
        for row in json.loads(path.read_text(encoding="utf-8"))
    }


def fulfillment_row(memory_mb: float, tasks: int, what: str = "time") -> str:
    """Return the name of the result that says what an invocation of fulfillment takes (`benchmarks.fulfillment`)."""
    return f"{memory_mb:g} MB: {what} of an invocation with {tasks} {'task' if tasks == 1 else 'tasks'}"


def usage_of_function(
    figures: Metrics,
    prices: PriceList,
    pace: str,
    function: str,
    size: Observability = Observability.LEAN,
) -> Usage:
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
    if function == "fulfillment":
        seconds = fulfillment_s(figures, invocations, messages)
    else:
        seconds = _seconds(prices, pace, function, invocations, counted("AWS calls"), counted("running, s"))
    metrics = figures.get(f"{size}: {pace}: {function}: metrics", 0.0)
    log_bytes = TASKS * figures.get(f"{size}: {pace}: {function}: log", 0.0)
    return Usage(requests) + Usage(
        {
            "lambda_requests": invocations,
            gb_s(figures): gb * seconds,
            "dynamodb_write_units": counted("write units, tables") + counted("write units, indexes"),
            "dynamodb_read_units": counted("read units"),
            "sqs_requests": taken + put,
            "sqs_fair_requests": sent + (taken if function == "webhooks" else 0.0),
            "events": counted("events"),
            "log_gb": (log_bytes + invocations * lambda_log_bytes(figures, prices)) / 1e9,
            "metrics": (metrics - figures.get(f"{size}: idle: {function}: metrics", 0.0))
            * PACES.get(pace, 0.0)
            / HOURS_A_MONTH,
        }
    )


def gb_s(figures: Metrics) -> str:
    """Return the name of the price of a GB-second on the template's processor."""
    return "lambda_gb_s_arm" if figures["template: arm64"] else "lambda_gb_s"


def operations_of(figures: Metrics, pace: str, function: str) -> list[str]:
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


def _seconds(
    prices: PriceList, pace: str, function: str, invocations: float, calls: float, running_s: float
) -> float:
    match function:
        case _ if pace == HOP:
            return invocations * prices.assumed("hop_s")
        case "intake":
            return invocations * prices.assumed("intake_s") + calls * prices.assumed("intake_call_s")
        case "poller":
            return invocations * prices.assumed("pass_s") + running_s
        case "webhooks":
            return invocations * prices.assumed("webhooks_s")
        case _:
            return 0.0


def fulfillment_s(figures: Metrics, invocations: float, messages: float) -> float:
    """Return how long invocations of fulfillment take that have so many messages: between what one takes and ten."""
    if not invocations:
        return 0.0
    memory_mb = figures["template: fulfillment: memory"]
    one_s, ten_s = (figures[fulfillment_row(memory_mb, tasks)] for tasks in (1, 10))
    return invocations * (one_s + (messages / invocations - 1) * (ten_s - one_s) / 9)


def lambda_log_bytes(figures: Metrics, prices: PriceList) -> float:
    """Return how much Lambda itself logs of an invocation."""
    return prices.assumed(
        "lambda_log_bytes" if figures["template: logs as JSON"] else "lambda_text_log_bytes"
    )


def usage_of_request(figures: Metrics, api: Metrics, prices: PriceList, request: str) -> Usage:
    """Return what a million requests of one kind use (`benchmarks.api_calls`): gateway, function, tables and logs.

    The check of a key is no request of the gateway: it asks the function itself.
    """
    is_check = request == KEY_CHECK
    seconds = prices.assumed("key_check_s" if is_check else "api_s")
    logged = lambda_log_bytes(figures, prices) + api.get(f"{request}: log", 0.0)
    usage = Usage(
        {
            "lambda_requests": MILLION,
            gb_s(figures): MILLION * seconds * api["template: api: memory"] / 1024,
            "dynamodb_write_units": MILLION * _write_units(api, request),
            "dynamodb_read_units": MILLION * api.get(f"{request}: read units", 0.0),
            "log_gb": MILLION * (logged + (0.0 if is_check else prices.assumed("gateway_log_bytes"))) / 1e9,
            "http_api_requests": 0 if is_check else MILLION,
        }
    )
    start = f"{request}: "
    requests: dict[str, float] = defaultdict(float)
    for name in (each.removeprefix(start) for each in api if each.startswith(start)):
        if _OPERATION.fullmatch(name) and (price := OPERATIONS[name]) is not None:
            requests[price] += MILLION * api[f"{start}{name}"]
    return usage + Usage(requests)


def _write_units(api: Metrics, request: str) -> float:
    return sum(api.get(f"{request}: write units, {where}", 0.0) for where in ("tables", "indexes"))


def usage_of_tasks(
    figures: Metrics,
    prices: PriceList,
    pace: str,
    design: Design,
    size: Observability = Observability.LEAN,
) -> Usage:
    """Return what a design uses for 1,000 tasks that come at a pace, from PutItem to the delivered webhook."""
    return (
        usage_of_watching(figures, prices, pace, design, size)
        + usage_of_function(figures, prices, pace, "fulfillment", size)
        + usage_of_function(figures, prices, pace, "webhooks", size)
    )


def usage_of_watching(
    figures: Metrics,
    prices: PriceList,
    pace: str,
    design: Design,
    size: Observability = Observability.LEAN,
) -> Usage:
    """Return what a design uses from PutItem to the emitted event, for 1,000 tasks that come at a pace.

    The other designs get the benefit of the doubt. *One update a poll* is tunehook with one write more a question, that
    touches no index. *Step Functions* is one execution a task: Wait, Task and Choice a question, one state for the
    update that ends the task and one for PutEvents; neither the start nor the end of an execution, nor the logs of
    its Lambda function are counted; the table has no index, and intake only starts executions.
    """
    user = usage_of_function(figures, prices, pace, "user")
    intake = usage_of_function(figures, prices, pace, "intake", size)
    poller = usage_of_function(figures, prices, pace, "poller", size)
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
            gb_s(figures): questions * prices.assumed("question_s") * prices.assumed("question_gb"),
            "dynamodb_write_units": TASKS * figures[f"{pace}: units of the write that ends it"],
            "events": poller["events"],
        }
    )
    started = Usage({name: intake[name] for name in ("lambda_requests", gb_s(figures), "log_gb")})
    accepted = Usage(
        {"dynamodb_write_units": TASKS * figures[f"{pace}: units of a write while it is pending"]}
    )
    return user + started + accepted + loop


def usage_of_idle_month(
    figures: Metrics, prices: PriceList, design: Design, size: Observability = Observability.LEAN
) -> Usage:
    """Return what a month uses in which nothing comes."""
    limited = figures["template: of these, with a limit of concurrency"]
    unlimited = figures["template: queues that feed a function"] - limited
    receives_a_minute = limited * prices.assumed(
        "empty_receives_a_minute_limited"
    ) + unlimited * prices.assumed("empty_receives_a_minute")
    usage = Usage(
        {
            "secrets": figures["template: secrets"],
            "alarms": figures[f"{size}: template: alarms"],
            "dashboards": figures[f"{size}: template: dashboards"],
            "sqs_requests": receives_a_minute * MINUTES_A_MONTH,
        }
    )
    if design in (Design.WAIT_LOOP, Design.SLOW_WAIT_LOOP):
        return usage
    passed_s = MINUTES_A_MONTH * prices.assumed("pass_s")
    passes = Usage(
        {
            "schedules": MINUTES_A_MONTH,
            "lambda_requests": MINUTES_A_MONTH,
            gb_s(figures): figures["template: poller: memory"] / 1024 * passed_s,
            "sqs_requests": figures["idle hour: sqs GetQueueAttributes"] * HOURS_A_MONTH,
            "dynamodb_read_units": figures["idle hour: read units"] * HOURS_A_MONTH,
            "log_gb": (
                figures[f"{size}: idle hour: log"] * HOURS_A_MONTH
                + MINUTES_A_MONTH * lambda_log_bytes(figures, prices)
            )
            / 1e9,
            "metrics": figures[f"{size}: idle: poller: metrics"],
        }
    )
    return usage + passes


def traces(invocations_a_month: Iterable[float]) -> Usage:
    """Return what X-Ray records with ``Tracing=Active``, of functions that are invoked so often in a month.

    By its default rule: of each, one invocation a second, and 5 % of the others.
    """
    seconds = MINUTES_A_MONTH * 60
    rates = [invocations / seconds for invocations in invocations_a_month]
    return Usage({"traces": seconds * sum(min(rate, 1) + 0.05 * max(rate - 1, 0) for rate in rates)})


def usage_of_a_dead_receiver(figures: Metrics, prices: PriceList, deliveries_a_day: float) -> Usage:
    """Return what deliveries use whose receiver answers nothing but errors, until its subscription is disabled."""
    day_ms = 86_400_000
    attempts = hops = 0.0
    at_ms = 0.0
    for least_ms in (*WAITS_MS, 0):
        attempts += max(0.0, FAILING_MS - at_ms)
        wait_ms = least_ms * (1 + MAX_JITTER / 2)
        hops += sum(
            max(0.0, FAILING_MS - at_ms - hop * MAX_DELAY_S * 1000)
            for hop in range(1, math.ceil(wait_ms / (MAX_DELAY_S * 1000)))
        )
        at_ms += wait_ms
    per_ms = deliveries_a_day / day_ms
    return _times(
        attempts * per_ms / TASKS, usage_of_function(figures, prices, IN_VAIN, "webhooks")
    ) + _times(hops * per_ms / TASKS, usage_of_function(figures, prices, HOP, "webhooks"))


def _times(factor: float, usage: Usage) -> Usage:
    return Usage({name: factor * quantity for name, quantity in usage.items()})


def stock(per_day: float, month: int, younger_than_days: float, older_than_days: float = 0.0) -> float:
    """Return how much lies there on average in a month, of what comes evenly from the first day of the first month on.

    Parameters
    ----------
    per_day : float
        How much comes a day.
    month : int
        From 1, of 30 days each.
    younger_than_days, older_than_days : float
        Of which age.
    """
    begin, end = 30.0 * (month - 1), 30.0 * month

    def mean_of_min(days: float) -> float:
        """The mean of ``min(t, days)`` over the month."""
        if days <= begin:
            return days
        turn = min(days, end)
        return ((turn**2 - begin**2) / 2 + (end - turn) * turn) / (end - begin)

    return per_day * (mean_of_min(younger_than_days) - mean_of_min(older_than_days))


def tables(figures: Metrics, prices: PriceList, api: Metrics) -> str:
    """Return the tables of docs/cost.md; `api` has the results of `benchmarks.api_calls`."""
    parts = [
        f"In US dollars, at the prices of {prices.region} as of {prices.as_of}; free allowances only where it is said.",
        "### What a task asks of AWS",
        _calls_table(figures),
        _units_table(figures),
        "### A month in which nothing comes",
        _idle_table(figures, prices),
        "### 1,000 tasks, on top of an idle month",
        _tasks_table(figures, prices),
        "### One task that hangs, on top of an idle month",
        _hanging_table(figures),
        "### 100,000 tasks a day",
        _volume_table(figures, prices),
        "### Requests of the HTTP API, and callbacks",
        _api_table(figures, api, prices),
        "### What is kept, fetched and traced, on top of that",
        _beside_table(figures, prices),
        "### The prices",
        _table(
            ("for", "dollars", "a month free", "page"),
            (
                (price.what, _price(price), f"{price.free_a_month:,.0f}", price.page)
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


def _calls_table(figures: Metrics) -> str:
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


def _units_table(figures: Metrics) -> str:
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


def _rows(figures: Metrics, names: Iterable[str]) -> Iterable[tuple[str, ...]]:
    for name in names:
        yield name, *(_count(figures.get(f"{pace}: {name}", 0.0)) for pace in PACES)


def _price(price: Price) -> str:
    beyond = (f"; {usd:g} beyond {start:,.0f}" for start, usd in price.beyond)
    return f"{price.usd:g} for {price.per:,.0f}{''.join(beyond)}"


def _tasks_table(figures: Metrics, prices: PriceList) -> str:
    def costs(usage_at: Callable[[str], Usage]) -> list[str]:
        return [_dollars(prices.cost(usage_at(pace))) for pace in PACES]

    def part(function: str) -> list[str]:
        return costs(lambda pace: usage_of_function(figures, prices, pace, function))

    def metrics(size: Observability) -> list[str]:
        return costs(
            lambda pace: Usage(
                metrics=usage_of_tasks(figures, prices, pace, Design.TUNEHOOK, size)["metrics"]
            )
        )

    def whole(design: Design, size: Observability = Observability.LEAN) -> list[str]:
        return [
            f"**{cost}**" for cost in costs(lambda pace: usage_of_tasks(figures, prices, pace, design, size))
        ]

    def less_free(size: Observability) -> list[str]:
        idle = usage_of_idle_month(figures, prices, Design.TUNEHOOK, size)
        return [
            _dollars(
                prices.cost_of_month(idle + usage_of_tasks(figures, prices, pace, Design.TUNEHOOK, size))
                - prices.cost_of_month(idle)
            )
            for pace in PACES
        ]

    return _table(
        ("1,000 tasks coming", *PACES),
        (
            ("the user's PutItem", *part("user")),
            *((f"{function}, lean", *part(function)) for function in FUNCTIONS),
            *(
                row
                for size in Observability
                for row in (
                    (f"**tunehook, {size}**", *whole(Design.TUNEHOOK, size)),
                    ("of this, custom metrics", *metrics(size)),
                    ("less what is always free", *less_free(size)),
                )
            ),
            *((f"**{design}**", *whole(design)) for design in Design if design is not Design.TUNEHOOK),
        ),
    )


def _idle_table(figures: Metrics, prices: PriceList) -> str:
    usages = {
        f"tunehook, {size}": usage_of_idle_month(figures, prices, Design.TUNEHOOK, size)
        for size in Observability
    } | {Design.WAIT_LOOP.value: usage_of_idle_month(figures, prices, Design.WAIT_LOOP)}
    names = dict.fromkeys(name for usage in usages.values() for name in usage)

    def row(what: str, cost: Callable[[Usage], float], mark: str = "") -> tuple[str, ...]:
        costs = (f"{mark}{_dollars(cost(usage))}{mark}" for usage in usages.values())
        return what, *(cell for cost in costs for cell in ("", cost))

    rows = [
        (
            prices.prices[name].what,
            *(
                cell
                for usage in usages.values()
                for cell in (_quantity(usage[name]), _dollars(prices.cost({name: usage[name]})))
            ),
        )
        for name in names
    ]
    traced = traces([MINUTES_A_MONTH])
    return _table(
        ("a month", *(cell for design in usages for cell in (f"{design}: quantity", "dollars"))),
        (
            *rows,
            row("**together**", prices.cost, "**"),
            row("less what is always free", prices.cost_of_month),
            row(
                "with `Tracing=Active`",
                lambda usage: prices.cost(usage + traced if "schedules" in usage else usage),
            ),
        ),
    )


def _volume_table(figures: Metrics, prices: PriceList) -> str:
    def month(function: str, size: Observability) -> Usage:
        return _times(VOLUME_A_MONTH / TASKS, usage_of_function(figures, prices, VOLUME, function, size))

    def idle(size: Observability) -> Usage:
        return usage_of_idle_month(figures, prices, Design.TUNEHOOK, size)

    def whole(size: Observability) -> Usage:
        return sum((month(each, size) for each in ("user", *FUNCTIONS)), idle(size))

    def row(what: str, cost: Callable[[Observability], float], mark: str = "") -> tuple[str, ...]:
        return what, *(f"{mark}{cost(size):,.2f}{mark}" for size in Observability)

    def by_name(name: str) -> Callable[[Observability], float]:
        return lambda size: prices.cost({name: whole(size)[name]})

    largest = sorted(
        (name for name in whole(Observability.LEAN)), key=lambda name: -by_name(name)(Observability.LEAN)
    )
    return _table(
        ("a month", *(f"tunehook, {size}" for size in Observability)),
        (
            row("what an idle month costs too", lambda size: prices.cost(idle(size))),
            row("the user's PutItem", lambda size: prices.cost(month("user", size))),
            *(
                row(function, lambda size, function=function: prices.cost(month(function, size)))  # type: ignore[misc]
                for function in FUNCTIONS
            ),
            row("**together**", lambda size: prices.cost(whole(size)), "**"),
            row("less what is always free", lambda size: prices.cost_of_month(whole(size))),
            *(row(f"of this, {prices.prices[name].what}", by_name(name)) for name in largest[:5]),
        ),
    )


def _hanging_table(figures: Metrics) -> str:
    """What the poller costs because one task stays pending."""
    return _table(
        ("pending for", "dollars"),
        (
            (name.removeprefix(HANGING), _dollars(usd))
            for name, usd in figures.items()
            if name.startswith(HANGING)
        ),
    )


def _api_table(figures: Metrics, api: Metrics, prices: PriceList) -> str:
    """What a request asks of AWS, by its kind, and what a million of them cost."""
    requests = [name.removesuffix(_ALL_CALLS) for name in api if name.endswith(_ALL_CALLS)]
    return _table(
        ("a request", "AWS calls", "write units", "read units", "dollars a million"),
        (
            (
                _marked(request),
                _count(api[f"{request}{_ALL_CALLS}"]),
                _count(_write_units(api, request)),
                _count(api.get(f"{request}: read units", 0.0)),
                _dollars(prices.cost(usage_of_request(figures, api, prices, request))),
            )
            for request in requests
        ),
    )


def _marked(request: str) -> str:
    """Return a request's name with its route as code."""
    route, comma, rest = request.partition(",")
    return f"`{route}`{comma}{rest}" if "/" in route else request


def _beside_table(figures: Metrics, prices: PriceList) -> str:
    """What hangs on how long things are kept and who fetches them, for a small stack and a large one."""
    small, large = TASKS / 30, VOLUME_A_MONTH / 30
    columns = [(small, 1), (small, 12), (large, 1), (large, 12)]
    file_gb = prices.assumed("files_mb") * 1e6 / GB

    def row(what: str, usage: Callable[[float, int], Mapping[str, float]]) -> tuple[str, ...]:
        return what, *(f"{prices.cost(usage(per_day, month)):,.2f}" for per_day, month in columns)

    def standard(days: float) -> Callable[[float, int], Mapping[str, float]]:
        return lambda per_day, month: {"s3_gb": stock(per_day * file_gb, month, days)}

    def infrequent(per_day: float, month: int) -> Mapping[str, float]:
        return {
            "s3_gb": stock(per_day * file_gb, month, 30),
            "s3_ia_gb": stock(per_day * file_gb, month, math.inf, 30),
            "s3_transitions": 30 * per_day * prices.assumed("large_files") if month > 1 else 0.0,
        }

    def tiering(per_day: float, month: int) -> Mapping[str, float]:
        return {
            "s3_gb": stock(per_day * file_gb, month, 30),
            "s3_ia_gb": stock(per_day * file_gb, month, 90, 30),
            "s3_archive_gb": stock(per_day * file_gb, month, math.inf, 90),
            "s3_monitored": stock(per_day, month, math.inf) * prices.assumed("large_files"),
            "s3_transitions": 30 * per_day * prices.assumed("large_files"),
        }

    def items(indexed: bool) -> Callable[[float, int], float]:
        def stored_gb(per_day: float, month: int) -> float:
            kept_days = {"TasksTable": ENDED_KEPT_S / 86_400, "DeliveriesTable": KEPT_S / 86_400}
            return sum(
                stock(per_day, month, days)
                * (
                    figures[f"stored: {table}: an item"]
                    + (figures[f"stored: {table}: an item in the indexes"] if indexed else 0.0)
                )
                / GB
                for table, days in kept_days.items()
            )

        return stored_gb

    def invocations(per_day: float) -> list[float]:
        pace = VOLUME if per_day == large else "over a month"
        return [
            30 * per_day * figures.get(f"{pace}: {function}: invocations", 0.0)
            + (MINUTES_A_MONTH if function == "poller" else 0.0)
            for function in FUNCTIONS
        ]

    return _table(
        (
            "dollars in the month",
            *(f"{amount}, month {month}" for amount in ("1,000 tasks a month", VOLUME) for month in (1, 12)),
        ),
        (
            row("results in S3 Standard, kept for ever", standard(math.inf)),
            row("the same, in Standard-IA after 30 days", infrequent),
            row("the same, in Intelligent-Tiering, never fetched after the first days", tiering),
            row("the same, in Standard, deleted after 90 days", standard(90)),
            row("the same, in Standard, deleted after 30 days", standard(30)),
            row(
                "downloads: each file once, over the internet",
                lambda per_day, _: {"transfer_out_gb": 30 * per_day * file_gb},
            ),
            row(
                "items: tasks for 90 days, deliveries for 30",
                lambda per_day, month: {"dynamodb_gb": items(indexed=True)(per_day, month)},
            ),
            row(
                "point-in-time recovery of these",
                lambda per_day, month: {"dynamodb_pitr_gb": items(indexed=False)(per_day, month)},
            ),
            row("`Tracing=Active`", lambda per_day, _: traces(invocations(per_day))),
            row(
                "one receiver of all answers nothing but errors, until its subscription is disabled after 5 days",
                lambda per_day, _: usage_of_a_dead_receiver(figures, prices, per_day),
            ),
        ),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(value: float) -> str:
    return f"{value:,.3g}" if value < 1_000 else f"{value:,.0f}"


def _quantity(value: float) -> str:
    return f"{value:,.4g}" if value < 100 else f"{value:,.0f}"


def _dollars(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.2g}" if value else "0"


def document(text: str, figures: Metrics, prices: PriceList, api: Metrics) -> str:
    """Return the text of docs/cost.md with its tables made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables(figures, prices, api)}\n\n{END}{after}"


def write_document() -> None:
    """Write the tables of docs/cost.md anew, from the last results."""
    api = read_figures(API_RESULTS)
    text = document(DOCUMENT.read_text(encoding="utf-8"), read_figures(), read_prices(), api)
    DOCUMENT.write_text(text, encoding="utf-8")
