"""What a task asks of AWS in its whole life, and an idle minute: counted, not estimated.

usage: python -m benchmarks.aws_calls            (about three minutes)
       python -m benchmarks.aws_calls --write    writes the tables of docs/cost.md anew, from the last results

Tasks live through the real code of all four functions (`benchmarks.aws_life`), put into the table at different paces.
Each has two clips with a file and a cover each, lasts 30 to 120 s (docs/provider-contracts.md, "Figures") at a provider
that is asked every 5 s, and is told to one subscription. What it costs follows from the counts: `benchmarks.aws_cost`.

All of that is counted in a stack with ``Observability=lean``; what ``full`` writes instead, of fewer tasks.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.support.template import function_name, is_made, resolved, resources, translated_resources

from benchmarks import cadence
from benchmarks.aws_cost import (
    HANGING,
    HOP,
    IN_VAIN,
    OPERATIONS,
    Design,
    PriceList,
    Usage,
    gb_s,
    lambda_log_bytes,
    read_prices,
    usage_of_idle_month,
    write_document,
)
from benchmarks.aws_ledger import Ledger
from benchmarks.aws_life import FULFILLMENT, IDLE, INTAKE, POLLER, USER, WEBHOOKS, Stack, Task, Work, opened
from benchmarks.report import Row, report
from tunehook.metrics import Observability

IDLE_MINUTES = 60
FIRST_PUT_S = 17.3
"""Not at the schedule's minute, where the poller before has not yet missed its lease."""

HANGING_FIRST_MINUTES = 12
"""How long a task hangs until nothing changes any more: by then no question is due more than once a minute."""

HANGING_MINUTES = 20
WEEK_MINUTES = 7 * 24 * 60
"""The longest `timeout_s`."""
MONTH_MINUTES = 30 * 24 * 60

QUIET_TASKS = 20
WAIT_LOOP_S = 60
"""How long AWS's own sample of a wait loop, the Job Poller, waits before each question."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How tasks come: how many are counted, and how many seconds lie between one PutItem and the next.

    Of a stream that goes on, the poller's time is what it takes from one PutItem to the next, and none is for the last.
    """

    name: str
    tasks: int
    every_s: float
    goes_on: bool = False


PACES = (
    Pace("at once", 1_000, 0.0),
    Pace("over an hour", 100, 3.6),
    Pace("over a day", 40, 86.4),
    Pace("over a month", 10, 2_592.0),
    Pace("100,000 a day", 100, 0.864, goes_on=True),
)
FEW_TASKS = 20
"""So many of each pace tell which metrics there are and how long the log is."""

VAIN_ATTEMPTS = 10

WRITE_UNITS = 24
"""Of a task at once, with the indexes of the HTTP API and one receiver."""


def main() -> None:
    """Count and report; or write the document."""
    if sys.argv[1:] == ["--write"]:
        write_document()
        return
    with opened(Observability.LEAN) as stack:
        rows = measure(stack)
    with opened(Observability.FULL) as stack:
        rows += measure_watching(stack)
    prices = read_prices()
    figures = {row.name: row.value for row in rows}
    rows += [
        Row(
            "lean: an idle month",
            prices.cost(usage_of_idle_month(figures, prices, Design.TUNEHOOK)),
            "dollars",
            at_most=2.2,
        ),
    ]
    report("aws_calls", f"{PACES[0].tasks:,} tasks and their AWS requests, in virtual time", rows)
    write_document()


def measure(stack: Stack, paces: Sequence[Pace] = PACES) -> list[Row]:
    """Return what was counted; the first task is not, so that every function is warm."""
    stack.live(tasks_at(Pace("warm", 1, 0.0)))
    rows = [
        *_rows_of_idleness(stack),
        *_rows_of_idle_watching(stack),
        *_rows_of_quiet(stack),
        *_rows_of_hanging(stack),
    ]
    for pace in paces:
        work = stack.live(tasks_at(pace))
        rows += _rows_of_life(pace, stack.ledger, work)
        rows += _rows_of_watching(pace, stack)
    for table in ("TasksTable", "DeliveriesTable"):
        in_table, in_indexes = stack.stored_bytes(table)
        rows.append(Row(f"stored: {table}: an item", in_table, "bytes"))
        rows.append(Row(f"stored: {table}: an item in the indexes", in_indexes, "bytes"))
    return [*rows, *_rows_of_failing(stack), *_rows_of_wait_loop(), *_rows_of_template()]


def measure_watching(stack: Stack, paces: Sequence[Pace] = PACES) -> list[Row]:
    """Return what hangs on how much the stack tells of itself, of few tasks at each pace."""
    stack.live(tasks_at(Pace("warm", 1, 0.0)))
    stack.idle_minutes(IDLE_MINUTES)
    rows = _rows_of_idle_watching(stack)
    for pace in paces:
        few = replace(pace, tasks=min(pace.tasks, FEW_TASKS))
        stack.live(tasks_at(few))
        rows += _rows_of_watching(few, stack)
    return rows


def tasks_at(pace: Pace) -> list[Task]:
    """Return the tasks of a pace."""
    lasting_s = [(ended_ms - submitted_ms) / 1000 for submitted_ms, ended_ms in cadence.tasks(pace.tasks)]
    name = pace.name.replace(" ", "-").replace(",", "")
    return [
        Task(f"{name}-{n}", FIRST_PUT_S + n * pace.every_s, lasts_s) for n, lasts_s in enumerate(lasting_s)
    ]


def _rows_of_idleness(stack: Stack) -> list[Row]:
    minutes = stack.idle_minutes(IDLE_MINUTES)
    hour = sum(minutes, Counter())
    ledger = stack.ledger
    return [
        Row(
            "idle minute: dynamodb Query",
            statistics.median(minute["dynamodb Query"] for minute in minutes),
            "calls",
            at_most=2,
        ),
        Row(
            "idle minute: AWS calls",
            statistics.median(minute.total() for minute in minutes),
            "calls",
            # Two Queries, and the look into the dead-letter queues: four of SQS and a GetItem.
            at_most=7,
        ),
        *(Row(f"idle hour: {operation}", calls, "calls") for operation, calls in sorted(hour.items())),
        Row("idle hour: read units", ledger.read_units[IDLE], "units"),
    ]


def _rows_of_idle_watching(stack: Stack) -> list[Row]:
    size = stack.observability
    return [
        Row(f"{size}: idle hour: log", stack.ledger.log_bytes[IDLE], "bytes"),
        Row(f"{size}: idle: {POLLER}: metrics", len(stack.ledger.metrics[IDLE]), "metrics"),
    ]


def _rows_of_watching(pace: Pace, stack: Stack) -> list[Row]:
    size, ledger = stack.observability, stack.ledger
    return [
        row
        for who in (INTAKE, POLLER, FULFILLMENT, WEBHOOKS)
        for row in (
            Row(f"{size}: {pace.name}: {who}: log", ledger.log_bytes[who] / pace.tasks, "bytes/task"),
            Row(f"{size}: {pace.name}: {who}: metrics", len(ledger.metrics[who]), "metrics"),
        )
    ]


def _rows_of_failing(stack: Stack) -> list[Row]:
    """Of an attempt that fails, and of a hop of the wait after it."""

    def counted(pace: Pace, work: Work) -> list[Row]:
        watching = [row for row in _rows_of_watching(pace, stack) if WEBHOOKS in row.name]
        return [*_rows_of_function(pace, WEBHOOKS, stack.ledger, work), *watching]

    attempt, hop = Pace(IN_VAIN, VAIN_ATTEMPTS, 0.0), Pace(HOP, VAIN_ATTEMPTS, 0.0)
    return [
        *counted(attempt, stack.attempt_in_vain(tasks_at(attempt))),
        *counted(hop, stack.send_on(VAIN_ATTEMPTS)),
    ]


def _rows_of_quiet(stack: Stack) -> list[Row]:
    """Of twice the same while, with one task pending and with many: the difference is what the questions caused."""
    few_calls, few_questions = stack.calls_in_quiet(1)
    many_calls, many_questions = stack.calls_in_quiet(QUIET_TASKS)
    calls = (many_calls - few_calls) / (many_questions - few_questions)
    return [Row("uneventful question: AWS calls", calls, "calls/question", at_most=0)]


def _rows_of_hanging(stack: Stack) -> list[Row]:
    """Of one task that stays pending: counted until nothing changes any more and beyond, and carried on from there.

    What an idle stack costs too is what the poller uses in minutes in which nothing is pending.
    """
    prices, template = read_prices(), {row.name: row.value for row in _rows_of_template()}
    stack.idle_minutes(IDLE_MINUTES)
    idle, _, _ = _work_of_poller(stack, prices, template)
    windows = HANGING_FIRST_MINUTES, HANGING_MINUTES
    (first, _, _), (later, polled_s, questions) = stack.hanging(
        windows, lambda: _work_of_poller(stack, prices, template)
    )

    def usd(minutes: int) -> float:
        return prices.cost(first) + prices.cost(later) * (minutes - HANGING_FIRST_MINUTES) / HANGING_MINUTES

    def usd_on_top(minutes: int) -> float:
        return usd(minutes) - prices.cost(idle) * minutes / IDLE_MINUTES

    return [
        Row("hanging task: poller running", polled_s / HANGING_MINUTES, "s/minute", at_most=1),
        Row("hanging task: questions", questions / HANGING_MINUTES, "questions/minute", at_most=1),
        Row(f"{HANGING}7 days", usd_on_top(WEEK_MINUTES), "USD", at_most=0.1),
        Row(f"{HANGING}a month", usd_on_top(MONTH_MINUTES), "USD", at_most=2),
        Row("hanging task: 7 days at list prices", usd(WEEK_MINUTES), "USD"),
        Row("always one task pending: a month at list prices", usd(MONTH_MINUTES), "USD", at_most=2),
    ]


def _work_of_poller(
    stack: Stack, prices: PriceList, template: Mapping[str, float]
) -> tuple[Usage, float, int]:
    """Return what the poller has used, how long it ran, and how many questions it asked since the last count."""
    ledger, work = stack.ledger, stack.work
    passes = (POLLER, IDLE)
    invocations = sum(work.invocations[who] for who in passes)
    memory_gb = template["template: poller: memory"] / 1024
    usage = Usage(
        {
            "lambda_requests": invocations,
            gb_s(template): memory_gb * (work.polled_s + invocations * prices.assumed("pass_s")),
            "dynamodb_write_units": sum(_of(who, ledger.table_write_units) for who in passes)
            + sum(_of(who, ledger.index_write_units) for who in passes),
            "dynamodb_read_units": sum(ledger.read_units[who] for who in passes),
            "log_gb": (
                sum(ledger.log_bytes[who] for who in passes)
                + invocations * lambda_log_bytes(template, prices)
            )
            / 1e9,
        }
    )
    for (who, operation), calls in ledger.calls.items():
        if who in passes and (price := OPERATIONS[operation]) is not None:
            usage[price] += calls
    return usage, work.polled_s, work.questions


def _rows_of_life(pace: Pace, ledger: Ledger, work: Work) -> list[Row]:
    def a_task(name: str, count: float, unit: str, at_most: float | None = None) -> Row:
        return Row(f"{pace.name}: {name}", count / pace.tasks, f"{unit}/task", at_most=at_most)

    rows = [
        row
        for who in (USER, INTAKE, POLLER, FULFILLMENT, WEBHOOKS)
        for row in _rows_of_function(pace, who, ledger, work)
    ]
    writes: Counter[str] = Counter()
    for (who, item), number in ledger.item_writes.items():
        # Not its details, which are written once, on an item of their own.
        if who in (INTAKE, POLLER) and item.startswith("TasksTable ") and "#end#" not in item:
            writes[item] += number
    # The write that takes an item out of the work index follows its event.
    until_emitted = writes.total() - ledger.index_departures[POLLER, "TasksTable"]
    put_events = ledger.calls[POLLER, "events PutEvents"]
    return [
        *rows,
        a_task(
            "write units, together",
            ledger.table_write_units.total() + ledger.index_write_units.total(),
            "units",
            at_most=WRITE_UNITS if pace.every_s == 0 else None,
        ),
        Row(f"{pace.name}: poller: running, s", _polled_s(pace, work), "s/task"),
        a_task("questions", work.questions, "questions"),
        a_task("writes to its item, intake to emitted event", until_emitted, "writes", at_most=4),
        a_task("writes to its item, and out of the index", writes.total(), "writes"),
        Row(f"{pace.name}: the same, median", statistics.median(writes.values()), "writes"),
        Row(f"{pace.name}: the same, most", max(writes.values()), "writes"),
        a_task("writes to the lease", ledger.writes[POLLER, "PollerLeasesTable"], "writes"),
        Row(
            f"{pace.name}: units of a write while it is pending",
            ledger.largest_write_units[INTAKE, "TasksTable"],
            "units",
        ),
        Row(
            f"{pace.name}: units of the write that ends it",
            ledger.largest_write_units[POLLER, "TasksTable"],
            "units",
        ),
        Row(
            f"{pace.name}: poller: entries a PutEvents",
            ledger.event_entries[POLLER] / put_events,
            "entries/call",
        ),
    ]


def _rows_of_function(pace: Pace, who: str, ledger: Ledger, work: Work) -> list[Row]:
    """Of one function: its calls by operation, and what is billed of them, a task; nothing that is zero."""
    counts: dict[str, tuple[float, str]] = {
        operation: (calls, "calls")
        for (each, operation), calls in sorted(ledger.calls.items())
        if each == who
    } | {
        "write units, tables": (_of(who, ledger.table_write_units), "units"),
        "write units, indexes": (_of(who, ledger.index_write_units), "units"),
        "read units": (ledger.read_units[who], "units"),
        "events": (ledger.event_chunks[who], "chunks"),
        "invocations": (work.invocations[who], "invocations"),
        "messages": (work.messages[who], "messages"),
        "AWS calls": (_of(who, ledger.calls), "calls"),
    }
    return [
        Row(f"{pace.name}: {who}: {name}", count / pace.tasks, f"{unit}/task")
        for name, (count, unit) in counts.items()
        if count
    ]


def _polled_s(pace: Pace, work: Work) -> float:
    """Return how long the poller runs a task."""
    if pace.goes_on:
        return work.polled_s / work.lasted_s * pace.every_s
    return work.polled_s / pace.tasks


def _of(who: str, counter: Counter[tuple[str, str]]) -> int:
    return sum(count for (each, _), count in counter.items() if each == who)


def _rows_of_wait_loop() -> list[Row]:
    """Of a loop that waits before each question: a state machine of the usual make."""
    lasting_s = [(ended_ms - submitted_ms) / 1000 for submitted_ms, ended_ms in cadence.tasks()]
    questions = [math.ceil(lasts_s / WAIT_LOOP_S) for lasts_s in lasting_s]
    delays_s = [n * WAIT_LOOP_S - lasts_s for n, lasts_s in zip(questions, lasting_s, strict=True)]
    return [
        Row("wait loop: questions", statistics.fmean(questions), "questions/task"),
        Row("wait loop: delay, mean", statistics.fmean(delays_s), "s"),
    ]


def _rows_of_template() -> list[Row]:
    functions = translated_resources("AWS::Lambda::Function")
    queues = [
        each["Properties"]
        for each in translated_resources("AWS::Lambda::EventSourceMapping").values()
        if each["Properties"]["EventSourceArn"]["Fn::GetAtt"][0] in resources("AWS::SQS::Queue")
    ]
    return [
        Row("template: secrets", len(resources("AWS::SecretsManager::Secret")), "secrets"),
        *(
            Row(f"{size}: template: {name}", _number_made(kind, size), name)
            for size in Observability
            for name, kind in (
                ("alarms", "AWS::CloudWatch::Alarm"),
                ("dashboards", "AWS::CloudWatch::Dashboard"),
            )
        ),
        Row("template: queues that feed a function", len(queues), "queues"),
        Row(
            "template: of these, with a limit of concurrency",
            sum("MaximumConcurrency" in resolved(each).get("ScalingConfig", {}) for each in queues),
            "queues",
        ),
        *(
            Row(
                f"template: {function_name(name)}: memory",
                float(resolved(function["Properties"]["MemorySize"])),
                "MB",
            )
            for name, function in functions.items()
        ),
        Row(
            "template: arm64",
            float(
                all("arm64" in resolved(each["Properties"]["Architectures"]) for each in functions.values())
            ),
            "ratio",
        ),
        Row(
            "template: logs as JSON",
            float(
                any(
                    resolved(each["Properties"]["LoggingConfig"])["LogFormat"] == "JSON"
                    for each in functions.values()
                )
            ),
            "ratio",
        ),
    ]


def _number_made(kind: str, size: Observability) -> int:
    parameters = {"Observability": size.value}
    return sum(is_made(each, parameters) for each in translated_resources(kind).values())


if __name__ == "__main__":
    main()
