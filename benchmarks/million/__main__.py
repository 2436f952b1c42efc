"""Where a stack stops keeping up with more and more tasks, and what to turn then.

usage: python -m benchmarks.million            (about three minutes of a processor)
       python -m benchmarks.million --day [TASKS] [SHARDS]
                                               a whole day of a million tasks, hour by hour (three hours; nothing is
                                               written)
       python -m benchmarks.million --write    writes the tables of docs/scaling.md anew, from the last results

Tasks come at random, at the pace of the busiest hour of a day of a million: 8 % of them. Each lasts 30 to 120 s at a
provider that is asked every 5 s, has two clips, and is told to one subscription. What things take is in `simulation`.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.aws_cost import OPERATIONS, gb_s, lambda_log_bytes, read_figures, read_prices
from benchmarks.million.document import OPTION, write_document
from benchmarks.million.dynamodb import WRITE_UNITS_MAX
from benchmarks.million.simulation import (
    STREAM_SHARDS,
    WHOLE_PROCESSOR_MB,
    Figures,
    Size,
    World,
    arriving,
)
from benchmarks.report import Row, report
from tunehook.metrics import Observability

A_DAY: Final = 1_000_000
BUSIEST_HOUR: Final = 0.08
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
PEAK: Final = A_DAY * BUSIEST_HOUR / HOUR_S
"""Tasks a second in the busiest hour."""

HOURS: Final = (2, 1.5, 1.2, 1, 1.2, 2, 3, 4, 5, 5.5, 6, 6, 5.5, 5.5, 5.5, 5, 5, 5, 5, 6, 8, 7, 5.1, 4)
"""How many of a day's tasks come in each hour, in per cent."""

WARM_S: Final = 125.0
"""Until the longest task of the first ones has ended."""

MEASURED_S: Final = 40.0
SEED: Final = 20261129

S3_PUTS_A_PREFIX: Final = 3_500
"""What S3 takes a second of one prefix (its User Guide, "Best practices design patterns")."""

BUS_ENTRIES: Final = 10_000
"""What EventBridge takes a second in its largest regions; elsewhere from 400 on (its User Guide, "Quotas")."""

LEAST_SHOWN: Final = 0.005
"""What a cent is rounded to."""

BURST: Final = 4_000
BURST_WITHIN_S: Final = 1.0
BURST_WATCHED_S: Final = 30.0

OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "`events` with `task.progress`": {"events": ["task.completed", "task.failed", "task.progress"]},
    "`max_per_second`, not reached": {"max_per_second": 100},
    "`max_per_second`, reached: webhooks wait": {"max_per_second": 1},
}
"""What a subscription may ask for, and what is counted of that, at the pace of 100,000 tasks a day."""

OPTIONS_PACE: Final = 100_000 / DAY_S
OPTIONS_COME_S: Final = 120.0
OPTIONS_LIVED_S: Final = OPTIONS_COME_S + 200.0

HELD_S: Final = 80.0
"""How long the queues are held until they are let drain."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A size under a name, at the pace of the busiest hour."""

    name: str
    size: Size


DEFAULTS: Final = Scenario("defaults", Size())
TURNED: Final = (
    Scenario(
        "1 shard, turned", Size(1, fulfillment_concurrency=20, webhooks_concurrency=10, max_concurrency=128)
    ),
    Scenario(
        "4 shards, turned", Size(4, fulfillment_concurrency=20, webhooks_concurrency=10, max_concurrency=32)
    ),
    Scenario(
        "16 shards, turned", Size(16, fulfillment_concurrency=50, webhooks_concurrency=10, max_concurrency=16)
    ),
)
BURSTS: Final = (
    ("1 shard", Size(1)),
    ("1 shard, IntakeConcurrency 10", Size(1, intake_concurrency=10)),
    ("16 shards, IntakeConcurrency 10", Size(16, intake_concurrency=10)),
)


@dataclass(slots=True)
class Use:
    """What a task takes of what can be full, where nothing is."""

    processor_s: float
    questions: float
    question_s: float
    work_units: float
    units: dict[str, float] = field(default_factory=dict)
    puts: float = 0.0
    entries: float = 0.0


@dataclass(frozen=True, slots=True)
class Watched:
    """What came of a scenario: what a task took, and rows of how tasks lived and of what they cost."""

    use: Use
    life: list[Row]
    cost: list[Row]


@dataclass(frozen=True, slots=True)
class Drained:
    """How many tasks a second one invocation of a function gets done that always finds messages."""

    intake: float
    fulfillment: float
    webhooks: float


def main() -> None:
    """Measure and report; or run a day; or write the document."""
    match sys.argv[1:]:
        case ["--write"]:
            write_document()
            return
        case ["--day", *numbers]:
            tasks, shards = [*map(int, numbers), A_DAY, 4][:2] if numbers else (A_DAY, 4)
            for row in day(tasks, shards):
                print(f"{row.name}: {row.value:,.4g} {row.unit}", flush=True)
            return
    report(
        "million",
        f"{A_DAY:,} tasks a day: the {PEAK:.1f} tasks a second of their busiest hour, in virtual time",
        measure(),
    )
    write_document()


def measure(rate: float = PEAK, warm_s: float = WARM_S, measured_s: float = MEASURED_S) -> list[Row]:
    """Return the figures of all scenarios; they run side by side, as nothing of theirs depends on real time."""
    figures = Figures.measured()
    with ProcessPoolExecutor() as processes:
        scenarios = [
            processes.submit(watch, each, figures, rate, warm_s, measured_s) for each in (*TURNED, DEFAULTS)
        ]
        draining = processes.submit(drain, figures, rate)
        taking_in = processes.submit(intake_rate, figures)
        options = processes.submit(rows_of_options, figures)
        bursts = [processes.submit(burst, name, size, figures) for name, size in BURSTS]
        *turned, defaults = (each.result() for each in scenarios)
        drained = Drained(taking_in.result(), *draining.result())
        rows_of_all_options = options.result()
        rows_of_bursts = [row for each in bursts for row in each.result()]
    use = turned[0].use
    return [
        Row("busiest hour", rate, "tasks/s"),
        Row("taken as: a question", figures.question_s * 1000, "ms"),
        Row("taken as: an AWS call by a light client", figures.light_s * 1000, "ms"),
        Row("taken as: an AWS call by boto3", figures.call_s * 1000, "ms"),
        Row("taken as: a delivery, beside its AWS calls", figures.delivery_s * 1000, "ms"),
        Row("taken as: a MB of a file", figures.byte_s * 1e9, "ms"),
        *rows_of_bursts,
        Row("one invocation of intake", drained.intake, "tasks/s"),
        Row("one invocation of fulfillment", drained.fulfillment, "tasks/s"),
        Row("one invocation of webhooks", drained.webhooks, "tasks/s"),
        Row("a task: poller's processor", use.processor_s * 1000, "ms"),
        Row("a task: questions", use.questions, "questions"),
        *(Row(f"a task: write units, {name}", units, "units") for name, units in use.units.items()),
        Row("a task: S3 PUTs", use.puts, "requests"),
        Row("a task: entries of the bus", use.entries, "entries"),
        *_rows_of_limits(DEFAULTS, use, drained),
        *defaults.life,
        *(
            row
            for scenario, watched in zip(TURNED, turned, strict=True)
            for row in (*_rows_of_limits(scenario, watched.use, drained), *watched.life, *watched.cost)
        ),
        *rows_of_all_options,
    ]


def watch(scenario: Scenario, figures: Figures, rate: float, warm_s: float, measured_s: float) -> Watched:
    """Return what came of a scenario."""
    world = live(scenario.size, figures, rate, warm_s, measured_s)
    return Watched(
        used_by(world),
        list(rows_of_life(scenario, world, measured_s)),
        list(_rows_of_cost(scenario, world, measured_s)),
    )


def live(size: Size, figures: Figures, rate: float, warm_s: float, measured_s: float) -> World:
    """Let tasks come until nothing changes any more, and count for a while."""
    world = World(size, figures)

    async def run() -> None:
        until_s = warm_s + measured_s
        world.start(world.live(arriving(world, lambda _: rate, until_s, SEED)))
        await asyncio.sleep(warm_s)
        world.begin_anew()
        world.waiting_before = world.waiting
        await asyncio.sleep(measured_s)

    world.run(run())
    return world


def drain(figures: Figures, rate: float) -> tuple[float, ...]:
    """Hold the messages of a while, and let one invocation at once of each function drain them.

    Returns
    -------
    tuple of float
        How many tasks a second one invocation of fulfillment gets done, and one of webhooks.
    """
    world = World(
        Size(1, fulfillment_concurrency=0, webhooks_concurrency=0, max_concurrency=128, intake_concurrency=1),
        figures,
    )
    rates: list[float] = []

    async def run() -> None:
        world.start(world.live(arriving(world, lambda _: rate, HELD_S, SEED)))
        await asyncio.sleep(HELD_S)
        for function, queue in (
            (world.fulfillment, world.queues["FulfillmentQueue"]),
            (world.webhooks, world.queues["DeliveriesQueue"]),
        ):
            function.at_once = 1
            queue.on_message()
            await asyncio.sleep(10.0)
            begun = len(queue.waiting), queue.sent, world.loop.time()
            while len(queue.waiting) > begun[0] / 3:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.1)
            drained = begun[0] + queue.sent - begun[1] - len(queue.waiting)
            rates.append(drained / (world.loop.time() - begun[2]))

    world.run(run())
    return tuple(rates)


def intake_rate(figures: Figures) -> float:
    """Return how many tasks a second one invocation of intake takes in, of many that come at once."""
    world = World(Size(), figures)
    taken: list[float] = []

    async def run() -> None:
        world.start(world.live(arriving(world, lambda _: BURST / BURST_WITHIN_S, BURST_WITHIN_S, SEED)))
        await asyncio.sleep(BURST_WITHIN_S + 1.0)
        before, begun_s = world.stream_backlog, world.loop.time()
        while world.stream_backlog > before / 2:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.05)
        taken.append((before - world.stream_backlog) / (world.loop.time() - begun_s))

    world.run(run())
    return taken[0] / STREAM_SHARDS


def burst(name: str, size: Size, figures: Figures) -> list[Row]:
    """Have many tasks put within a second; watch how they are taken in."""
    world = World(size, figures)
    over_s: list[float] = []

    async def run() -> None:
        world.start(world.live(arriving(world, lambda _: BURST / BURST_WITHIN_S, BURST_WITHIN_S, SEED)))
        while not over_s and world.loop.time() < BURST_WATCHED_S:
            await asyncio.sleep(0.25)
            if world.loop.time() > BURST_WITHIN_S and not world.stream_backlog + world.intake.active:
                over_s.append(world.loop.time())

    world.run(run())
    writes = world.dynamodb.writes
    taken_in = sum("status" in item for item in world.dynamodb.items("TasksTable"))
    units, _ = writes.busiest["TasksTable/work"]
    return [
        Row(f"burst, {name}: {what}", value, unit)
        for what, value, unit in (
            ("tasks", world.put, "tasks"),
            ("taken in within", over_s[0] if over_s else BURST_WATCHED_S, "s"),
            ("busiest partition of the work index", units, "units/s"),
            ("throttled calls", sum(writes.throttled.values()), "calls"),
            ("calls that failed after their retries", sum(writes.given_up.values()), "calls"),
            ("tasks taken in", taken_in, "tasks"),
        )
    ]


def rows_of_options(
    figures: Figures, come_s: float = OPTIONS_COME_S, lived_s: float = OPTIONS_LIVED_S
) -> list[Row]:
    """Return what each of `OPTIONS` adds to a task, by the difference to a stack whose subscription has none."""

    def used(subscription: Mapping[str, Any]) -> tuple[World, dict[str, float]]:
        world = World(Size(), figures, subscription)

        async def run() -> None:
            world.start(world.live(arriving(world, lambda _: OPTIONS_PACE, come_s, SEED)))
            await asyncio.sleep(lived_s)

        world.run(run())
        if world.untold:
            raise RuntimeError(f"{len(world.untold)} of {world.put} tasks were not told")
        return world, usage_of(world, lived_s)

    prices, (_, before) = read_prices(), used({})
    rows = []
    for option, subscription in OPTIONS.items():
        world, usage = used(subscription)
        added = {name: usage[name] - before.get(name, 0.0) for name in usage}
        counted = (
            ("webhooks", world.told_of_progress, "webhooks/task"),
            ("write units", added["dynamodb_write_units"], "units/task"),
            ("read units", added["dynamodb_read_units"], "units/task"),
            ("SQS requests", added["sqs_requests"], "requests/task"),
            ("invocations", added["lambda_requests"], "invocations/task"),
            ("dollars for 1,000 tasks", 1_000 * prices.cost(added), "dollars"),
        )
        rows += [Row(f"{OPTION}{option}: {what}", value / world.put, unit) for what, value, unit in counted]
    return rows


def used_by(world: World) -> Use:
    """Return what a task takes in a run in which nothing was full."""
    tasks = world.put
    writes, calls = world.dynamodb.writes, world.calls
    return Use(
        processor_s=world.poller.used_s / tasks,
        questions=world.provider.questions / tasks,
        question_s=world.provider.asked_s / world.provider.questions,
        work_units=writes.units["TasksTable/work"] / tasks,
        units={name: units / tasks for name, units in sorted(writes.units.items()) if name in _PARTITIONS},
        puts=calls["fulfillment", "s3 PutObject"] / tasks,
        entries=sum(world.bus.chunks.values()) / tasks,
    )


_PARTITIONS: Final = {
    "TasksTable/work": "a shard of the work index",
    "TasksTable/ended": "a provider in the index of ended tasks",
    "TasksTable/listed": "a list of tasks",
    "DeliveriesTable/by_subscription": "a subscription's deliveries",
    "DeliveriesTable/by_day": "a day's deliveries",
}


def limits(size: Size, use: Use, drained: Drained) -> dict[str, float]:
    """Return at how many tasks a second each thing is full, where all tasks have one provider and one receiver."""
    shards = size.shard_count
    share = min(1.0, size.poller_memory / WHOLE_PROCESSOR_MB)
    found = {
        "intake: IntakeConcurrency": drained.intake * STREAM_SHARDS * size.intake_concurrency,
        "poller: processor": share * shards / use.processor_s,
        "poller: max_concurrency of the provider": size.max_concurrency
        * shards
        / (use.questions * use.question_s),
        "fulfillment: FulfillmentConcurrency": drained.fulfillment * size.fulfillment_concurrency,
        "webhooks: WebhooksConcurrency": drained.webhooks * size.webhooks_concurrency,
    }
    for name, units in use.units.items():
        partitions = {"TasksTable/work": shards, "TasksTable/listed": 4}.get(name, 1)
        found[f"DynamoDB: {_PARTITIONS[name]}"] = WRITE_UNITS_MAX * partitions / units
    found["S3: a provider's prefix"] = S3_PUTS_A_PREFIX / use.puts
    found["EventBridge: PutEvents"] = BUS_ENTRIES / use.entries
    return found


def _rows_of_limits(scenario: Scenario, use: Use, drained: Drained) -> Iterator[Row]:
    found = limits(scenario.size, use, drained)
    for name, rate in found.items():
        yield Row(f"{scenario.name}: full at: {name}", rate, "tasks/s")
    knee = min(found.values())
    yield Row(f"{scenario.name}: knee", knee, "tasks/s")
    yield Row(f"{scenario.name}: knee, a day", knee * HOUR_S / BUSIEST_HOUR, "tasks")


def rows_of_life(scenario: Scenario, world: World, measured_s: float) -> Iterator[Row]:
    name, writes = scenario.name, world.dynamodb.writes
    yield Row(f"{name}: put", world.put / measured_s, "tasks/s")
    yield Row(f"{name}: told", world.told / measured_s, "tasks/s")
    yield Row(f"{name}: told more than once", world.told_again, "tasks", at_most=0)
    yield Row(f"{name}: backlog grows", (world.waiting - world.waiting_before) / measured_s, "messages/s")
    for what, seconds in (("end to detection", world.detection_s), ("end to webhook", world.told_s)):
        yield Row(f"{name}: {what}, p50", statistics.median(seconds), "s")
        yield Row(f"{name}: {what}, p95", statistics.quantiles(seconds, n=20)[-1], "s")
    yield Row(f"{name}: questions", world.provider.questions / measured_s, "questions/s")
    shards = scenario.size.shard_count
    for what, used in (
        ("poller's processor", world.poller.used_s / world.poller.share / shards / measured_s),
        (
            "connections to the provider",
            world.provider.asked_s / measured_s / scenario.size.max_concurrency / shards,
        ),
        ("fulfillment's concurrency", world.fulfillment.billed_s / measured_s / world.fulfillment.at_once),
        ("webhooks' concurrency", world.webhooks.billed_s / measured_s / world.webhooks.at_once),
        ("intake's concurrency", world.intake.billed_s / measured_s / world.intake.at_once),
    ):
        yield Row(f"{name}: in use: {what}", 100 * used, "%")
    yield Row(
        f"{name}: invocations at once, at most",
        sum(each.most_active for each in world.functions),
        "invocations",
    )
    yield Row(
        f"{name}: write units, all tables and indexes", sum(writes.units.values()) / measured_s, "units/s"
    )
    for table in _PARTITIONS:
        units, _ = writes.busiest.get(table, (0.0, ""))
        yield Row(f"{name}: busiest second: {_PARTITIONS[table]}", units, "units/s")
    yield Row(f"{name}: throttled calls", sum(writes.throttled.values()), "calls")


def usage_of(world: World, measured_s: float) -> dict[str, float]:
    """Return what a run has used, by the names of the prices."""
    figures, prices = read_figures(), read_prices()
    lean = Observability.LEAN
    # A batch costs its receipt and its deletion.
    taken = {each.name: 2.0 * each.invocations for each in (world.fulfillment, world.webhooks)}
    usage = {
        "dynamodb_write_units": sum(world.dynamodb.writes.units.values()),
        "dynamodb_read_units": sum(world.dynamodb.reads.units.values()),
        "events": float(sum(world.bus.chunks.values())),
        "lambda_requests": float(sum(each.invocations for each in world.functions)),
        gb_s(figures): sum(each.memory_mb / 1024 * each.billed_s for each in world.functions),
        "sqs_requests": world.queues["FulfillmentQueue"].sent + sum(taken.values()),
        "sqs_fair_requests": taken["webhooks"] + world.calls["fulfillment", "sqs SendMessageBatch"],
        "schedules": measured_s / 60,
        "log_gb": sum(
            each.invocations * lambda_log_bytes(figures, prices)
            + world.put * figures[f"{lean}: 100,000 a day: {each.name}: log"]
            for each in world.functions
        )
        / 1e9,
    }
    for (_, operation), calls in world.calls.items():
        if (price := OPERATIONS[operation]) is not None:
            usage[price] = usage.get(price, 0.0) + calls
    return usage


def _rows_of_cost(scenario: Scenario, world: World, measured_s: float) -> Iterator[Row]:
    """Of a day of a million tasks: the pollers run all day, the rest goes with the tasks."""
    prices, name, gb_seconds = read_prices(), scenario.name, gb_s(read_figures())
    usage = usage_of(world, measured_s)
    of_poller = world.poller.memory_mb / 1024 * world.poller.billed_s
    usage[gb_seconds] -= of_poller
    a_day = {price: A_DAY * quantity / world.put for price, quantity in usage.items()}
    a_day[gb_seconds] += of_poller * DAY_S / measured_s
    a_day["schedules"] = DAY_S / 60
    yield Row(f"{name}: a day", prices.cost(a_day), "dollars")
    costs = {price: prices.cost({price: quantity}) for price, quantity in a_day.items()}
    for price in sorted(costs, key=lambda each: -costs[each]):
        if costs[price] >= LEAST_SHOWN:
            yield Row(f"{name}: a day: {prices.prices[price].what}", costs[price], "dollars")


def day(tasks: int, shards: int) -> Iterable[Row]:
    """Run a whole day, hour by hour, in the turned size of so many shards; yield what each hour came to."""
    (size,) = (each.size for each in TURNED if each.size.shard_count == shards)
    world = World(size, Figures.measured())
    weights = [each / sum(HOURS) for each in HOURS]
    rows: list[Row] = []
    total = 0.0

    def per_second(at_s: float) -> float:
        return tasks * weights[int(at_s // HOUR_S) % len(HOURS)] / HOUR_S

    async def run() -> None:
        nonlocal total
        world.start(world.live(arriving(world, per_second, DAY_S, SEED)))
        for hour in range(len(HOURS)):
            world.begin_anew()
            await asyncio.sleep(HOUR_S)
            dollars = read_prices().cost(usage_of(world, HOUR_S))
            total += dollars
            late_s = statistics.quantiles(world.told_s, n=20)[-1]
            rows.append(Row(f"hour {hour}: put", world.put, "tasks"))
            rows.append(Row(f"hour {hour}: told", world.told, "tasks"))
            rows.append(Row(f"hour {hour}: end to webhook, p95", late_s, "s"))
            rows.append(Row(f"hour {hour}", dollars, "dollars"))
            print(*(f"{row.name}: {row.value:,.4g} {row.unit}" for row in rows[-4:]), sep="; ", flush=True)

    world.run(run())
    yield Row("a day", total, "dollars")


if __name__ == "__main__":
    main()
