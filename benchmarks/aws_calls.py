"""What a task asks of AWS in its whole life, and an idle minute: counted, not estimated.

usage: python -m benchmarks.aws_calls            (about two minutes)
       python -m benchmarks.aws_calls --write    writes the tables of docs/cost.md anew, from the last results

Tasks live through the real code of all four functions (`benchmarks.aws_life`), put into the table at different paces.
Each has two clips with a file and a cover each, lasts 30 to 120 s (docs/provider-contracts.md, "Figures") at a provider
that is asked every 5 s, and is told to one subscription. What it costs follows from the counts: `benchmarks.aws_cost`.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.template import resources

from benchmarks import cadence
from benchmarks.aws_cost import OPERATIONS, PriceList, Usage, read_prices, write_document
from benchmarks.aws_ledger import Ledger
from benchmarks.aws_life import FULFILLMENT, IDLE, INTAKE, POLLER, USER, WEBHOOKS, Stack, Task, Work, opened
from benchmarks.report import Row, report

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
    """How tasks come: how many are counted, and how many seconds lie between one PutItem and the next."""

    name: str
    tasks: int
    every_s: float


PACES = (
    Pace("at once", 1_000, 0.0),
    Pace("over an hour", 100, 3.6),
    Pace("over a day", 40, 86.4),
    Pace("over a month", 10, 2_592.0),
)


def main() -> None:
    """Count and report; or write the document."""
    if sys.argv[1:] == ["--write"]:
        write_document()
        return
    with opened() as stack:
        rows = measure(stack)
    report("aws_calls", f"{PACES[0].tasks:,} tasks and their AWS requests, in virtual time", rows)
    write_document()


def measure(stack: Stack, paces: Sequence[Pace] = PACES) -> list[Row]:
    """Return what was counted; the first task is not, so that every function is warm."""
    stack.live(tasks_at(Pace("warm", 1, 0.0)))
    rows = [*_rows_of_idleness(stack), *_rows_of_quiet(stack), *_rows_of_hanging(stack)]
    for pace in paces:
        work = stack.live(tasks_at(pace))
        rows += _rows_of_life(pace, stack.ledger, work)
    return [*rows, *_rows_of_wait_loop(), *_rows_of_template()]


def tasks_at(pace: Pace) -> list[Task]:
    """Return the tasks of a pace."""
    lasting_s = [(ended_ms - submitted_ms) / 1000 for submitted_ms, ended_ms in cadence.tasks(pace.tasks)]
    name = pace.name.replace(" ", "-")
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
            at_most=1,
        ),
        Row(
            "idle minute: AWS calls",
            statistics.median(minute.total() for minute in minutes),
            "calls",
            at_most=1,
        ),
        *(Row(f"idle hour: {operation}", calls, "calls") for operation, calls in sorted(hour.items())),
        Row("idle hour: read units", ledger.read_units[IDLE], "units"),
        Row("idle hour: log", ledger.log_bytes[IDLE], "bytes"),
        Row(f"idle: {POLLER}: metrics", len(ledger.metrics[IDLE]), "metrics"),
    ]


def _rows_of_quiet(stack: Stack) -> list[Row]:
    """Of twice the same while, with one task pending and with many: the difference is what the questions caused."""
    few_calls, few_questions = stack.calls_in_quiet(1)
    many_calls, many_questions = stack.calls_in_quiet(QUIET_TASKS)
    calls = (many_calls - few_calls) / (many_questions - few_questions)
    return [Row("uneventful question: AWS calls", calls, "calls/question", at_most=0)]


def _rows_of_hanging(stack: Stack) -> list[Row]:
    """Of one task that stays pending: counted until nothing changes any more and beyond, and carried on from there."""
    prices = read_prices()
    windows = HANGING_FIRST_MINUTES, HANGING_MINUTES
    (first, _, _), (later, polled_s, questions) = stack.hanging(
        windows, lambda: _work_of_poller(stack, prices)
    )

    def usd(minutes: int) -> float:
        return prices.cost(first) + prices.cost(later) * (minutes - HANGING_FIRST_MINUTES) / HANGING_MINUTES

    return [
        Row("hanging task: poller running", polled_s / HANGING_MINUTES, "s/minute", at_most=6),
        Row("hanging task: questions", questions / HANGING_MINUTES, "questions/minute", at_most=1),
        Row("hanging task: 7 days at list prices", usd(WEEK_MINUTES), "USD", at_most=1),
        Row("always one task pending: a month at list prices", usd(MONTH_MINUTES), "USD"),
    ]


def _work_of_poller(stack: Stack, prices: PriceList) -> tuple[Usage, float, int]:
    """Return what the poller has used, how long it ran, and how many questions it asked since the last count."""
    ledger, work = stack.ledger, stack.work
    passes = (POLLER, IDLE)
    invocations = sum(work.invocations[who] for who in passes)
    memory_gb = resources("AWS::Serverless::Function")["PollerFunction"]["MemorySize"] / 1024
    usage = Usage(
        {
            "lambda_requests": invocations,
            "lambda_gb_s": memory_gb * (work.polled_s + invocations * prices.assumed("pass_s")),
            "dynamodb_write_units": sum(_of(who, ledger.table_write_units) for who in passes)
            + sum(_of(who, ledger.index_write_units) for who in passes),
            "dynamodb_read_units": sum(ledger.read_units[who] for who in passes),
            "log_gb": (
                sum(ledger.log_bytes[who] for who in passes)
                + invocations * prices.assumed("lambda_log_bytes")
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
        a_task(f"{who}: {operation}", calls, "calls")
        for who in (USER, INTAKE, POLLER, FULFILLMENT, WEBHOOKS)
        for (each, operation), calls in sorted(ledger.calls.items())
        if each == who
    ]
    for who in (USER, INTAKE, POLLER, FULFILLMENT, WEBHOOKS):
        rows += [
            a_task(f"{who}: write units, tables", _of(who, ledger.table_write_units), "units"),
            a_task(f"{who}: write units, indexes", _of(who, ledger.index_write_units), "units"),
            a_task(f"{who}: read units", ledger.read_units[who], "units"),
            a_task(f"{who}: log", ledger.log_bytes[who], "bytes"),
            a_task(f"{who}: events", ledger.event_chunks[who], "chunks"),
            a_task(f"{who}: invocations", work.invocations[who], "invocations"),
            a_task(f"{who}: messages", work.messages[who], "messages"),
            a_task(f"{who}: AWS calls", _of(who, ledger.calls), "calls"),
            Row(f"{pace.name}: {who}: metrics", len(ledger.metrics[who]), "metrics"),
        ]
    writes: Counter[str] = Counter()
    for (who, item), number in ledger.item_writes.items():
        if who in (INTAKE, POLLER) and item.startswith("TasksTable "):
            writes[item] += number
    # The write that takes an item out of the work index follows its event.
    until_emitted = writes.total() - ledger.index_departures[POLLER, "TasksTable"]
    put_events = ledger.calls[POLLER, "events PutEvents"]
    return [
        *(row for row in rows if row.value),
        a_task("poller: running, s", work.polled_s, "s"),
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
    functions = resources("AWS::Serverless::Function")
    return [
        Row("template: secrets", len(resources("AWS::SecretsManager::Secret")), "secrets"),
        Row("template: alarms", len(resources("AWS::CloudWatch::Alarm")), "alarms"),
        Row("template: dashboards", len(resources("AWS::CloudWatch::Dashboard")), "dashboards"),
        Row(
            "template: queues that feed a function",
            sum(
                event["Type"] == "SQS"
                for function in functions.values()
                for event in function["Events"].values()
            ),
            "queues",
        ),
        *(
            Row(f"template: {name.removesuffix('Function').lower()}: memory", function["MemorySize"], "MB")
            for name, function in functions.items()
        ),
    ]


if __name__ == "__main__":
    main()
