"""Whether a provider in trouble delays the tasks of another, and old tasks that hang delay new ones.

usage: python -m benchmarks.fairness [TROUBLE ...]        (every trouble by default, about 6 minutes)

The poller's function watches tasks at provider stand-ins, in real time. A delay is the time from a task's end at its
provider until the table says when it was found ended. Each trouble is measured beside the run before it or after it
in which the very same tasks meet no trouble.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.lone_poller import PendingItem, Surroundings, lone_poller, surroundings
from benchmarks.moody_provider import OLD, Mood, ProviderProcess, ends_at_ms, moody_provider, task_id
from benchmarks.report import Row, report
from tunehook.providers.task_poller import REQUEST_DEADLINE_S
from tunehook.times import now_ms

SEED: Final = 20261120
AT_MOST: Final = 1.2

WELL_TASKS: Final = 300
"""Tasks of the provider without trouble, whose delays count."""

TROUBLED_TASKS: Final = 1_000
"""Tasks of the providers in trouble, all together; they never end."""

AGES_MS: Final = (30_000, 90_000)
"""Each task is asked every 5 s at these ages."""

ENDS_MS: Final = (5_000, 13_000)
"""When the tasks end, after the poller's start."""

PATIENCE_MS: Final = 6_500
"""How long after the last end the poller goes on: a question more than the interval of 5 s."""

OLD_TASKS: Final = 3_000
OLD_AGES_MS: Final = (180_000, 580_000)
NEW_TASKS: Final = 100
ARRIVE_MS: Final = (12_000, 27_000)
NEW_AGE_MS: Final = 20_000
"""How long a provider has had a new task when it is put: it is asked every 5 s from the start."""

NEW_LASTS_MS: Final = (3_000, 8_000)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the providers beside the one without trouble do."""

    mood: Mood
    providers: int = 1
    max_concurrency: int = 32


TROUBLES: Final = {
    "hangs": Trouble(Mood.HANGS),
    "hangs-on-1000-connections": Trouble(Mood.HANGS, max_concurrency=1000),
    "throttles": Trouble(Mood.THROTTLES),
    "throttles-until": Trouble(Mood.THROTTLES_UNTIL),
    "fails": Trouble(Mood.FAILS),
    "html": Trouble(Mood.HTML),
    "drips": Trouble(Mood.DRIPS),
    "resets": Trouble(Mood.RESETS),
    "ten-hang": Trouble(Mood.HANGS, providers=10),
}
OLD_TASKS_HANG: Final = "old tasks hang"


class Fairness:
    """The measurements.

    Parameters
    ----------
    around : Surroundings
        The embedded AWS.
    provider : ProviderProcess
        The stand-in of all providers.
    """

    def __init__(self, around: Surroundings, provider: ProviderProcess) -> None:
        self._around = around
        self._provider = provider

    def beside(self, trouble: Trouble) -> list[float]:
        """Return the delays at the provider without trouble, in seconds, beside others in `trouble`."""
        chance = random.Random(SEED)
        others = [f"other-{number}" for number in range(trouble.providers)]
        other = self._provider.config(trouble.mood, max_concurrency=trouble.max_concurrency)
        self._around.begin_anew({"well": self._provider.config(Mood.WELL), **dict.fromkeys(others, other)})
        with lone_poller(self._around) as poller:
            start_ms = now_ms()
            ends = [start_ms + chance.randrange(*ENDS_MS) for _ in range(WELL_TASKS)]
            tasks = [("well", task_id(f"well-{number:04}", end)) for number, end in enumerate(ends)]
            tasks += [
                (others[number % len(others)], f"other-{number:04}") for number in range(TROUBLED_TASKS)
            ]
            chance.shuffle(tasks)
            self._around.add(
                PendingItem(each, provider, start_ms - chance.randrange(*AGES_MS)) for provider, each in tasks
            )
            poller.start()
            stop_ms = start_ms + ENDS_MS[1] + PATIENCE_MS
            _sleep_until(stop_ms)
            poller.stop()
        return self._delays_s([each for provider, each in tasks if provider == "well"], stop_ms)

    def with_old(self, mood: Mood) -> tuple[list[float], list[float]]:
        """Have new tasks come to a provider of `mood` that has many old ones.

        Returns
        -------
        tuple of list of float and list of float
            Of each new task the seconds from its item to its first question, and its delay.
        """
        chance = random.Random(SEED)
        self._around.begin_anew({"well": self._provider.config(mood)})
        self._provider.forget()
        with lone_poller(self._around) as poller:
            start_ms = now_ms()
            self._around.add(
                PendingItem(f"{OLD}-{number:04}", "well", start_ms - chance.randrange(*OLD_AGES_MS))
                for number in range(OLD_TASKS)
            )
            poller.start()
            put_ms: dict[str, int] = {}
            arrivals = sorted(start_ms + chance.randrange(*ARRIVE_MS) for _ in range(NEW_TASKS))
            for number, arrival_ms in enumerate(arrivals):
                _sleep_until(arrival_ms)
                new = task_id(f"new-{number:04}", arrival_ms + chance.randrange(*NEW_LASTS_MS))
                put_ms[new] = now_ms()
                self._around.add([PendingItem(new, "well", put_ms[new], provider_has_it_ms=NEW_AGE_MS)])
            stop_ms = start_ms + ARRIVE_MS[1] + NEW_LASTS_MS[1] + PATIENCE_MS
            _sleep_until(stop_ms)
            poller.stop()
        first_ms = self._provider.first_questions()
        waits_s = [(first_ms.get(each, stop_ms) - put) / 1000 for each, put in put_ms.items()]
        return waits_s, self._delays_s(list(put_ms), stop_ms)

    def _delays_s(self, ids: Sequence[str], stop_ms: int) -> list[float]:
        """Return the delays; a task that was not found ended has waited until the poller stopped, at the least."""
        detected_ms = self._around.detected()
        return [(detected_ms.get(("well", each), stop_ms) - (ends_at_ms(each) or 0)) / 1000 for each in ids]


def _sleep_until(moment_ms: int) -> None:
    time.sleep(max(0, moment_ms - now_ms()) / 1000)


def p95(values: Sequence[float]) -> float:
    """Return the value that 95 of 100 do not exceed."""
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def beside_trouble(fairness: Fairness, troubles: Mapping[str, Trouble]) -> list[Row]:
    """Measure each trouble next to a run without it: two troubles, the run without between them."""
    rows: list[Row] = []
    names = list(troubles)
    for start in range(0, len(names), 2):
        delays = {}
        for name in (names[start], "no trouble", *names[start + 1 : start + 2]):
            delays[name] = fairness.beside(troubles.get(name, Trouble(Mood.WELL)))
            print(f"{name}: p95 {p95(delays[name]):.2f} s", flush=True)
        control_s = p95(delays.pop("no trouble"))
        rows.append(Row(f"no trouble, beside {' and '.join(delays)}: delay, p95", control_s, "s"))
        for name, delays_s in delays.items():
            rows += [
                Row(f"{name}: delay, p95", p95(delays_s), "s"),
                Row(f"{name}: delay, p95 / no trouble", p95(delays_s) / control_s, "ratio", at_most=AT_MOST),
            ]
    return rows


def beside_old_tasks(fairness: Fairness) -> list[Row]:
    """Measure what old tasks that hang do to new ones, next to old tasks that do not."""
    rows: list[Row] = []
    delays_p95_s = []
    for name, mood in (("old tasks answer", Mood.WELL), (OLD_TASKS_HANG, Mood.HANGS_FOR_OLD)):
        waits_s, delays_s = fairness.with_old(mood)
        delays_p95_s.append(p95(delays_s))
        rows += [
            Row(f"{name}: first question of a new one, p50", statistics.median(waits_s), "s"),
            Row(f"{name}: first question of a new one, p95", p95(waits_s), "s", at_most=REQUEST_DEADLINE_S),
            Row(f"{name}: delay of a new one, p50", statistics.median(delays_s), "s"),
            Row(f"{name}: delay of a new one, p95", delays_p95_s[-1], "s"),
        ]
        print(f"{name}: p95 {delays_p95_s[-1]:.2f} s", flush=True)
    well_s, hang_s = delays_p95_s
    rows.append(Row(f"{OLD_TASKS_HANG}: delay, p95 / old tasks answer", hang_s / well_s, "ratio", AT_MOST))
    return rows


def main(names: Sequence[str]) -> None:
    """Measure the named troubles and report."""
    chosen = {name: trouble for name, trouble in TROUBLES.items() if name in names}
    rows: list[Row] = []
    with moody_provider() as provider, surroundings() as around:
        fairness = Fairness(around, provider)
        rows += beside_trouble(fairness, chosen)
        if OLD in names:
            rows += beside_old_tasks(fairness)
    title = (
        f"{WELL_TASKS} tasks of one provider beside {TROUBLED_TASKS:,} of others in trouble; "
        f"{NEW_TASKS} new tasks beside {OLD_TASKS:,} old ones"
    )
    report("fairness", title, rows)


if __name__ == "__main__":
    known = [*TROUBLES, OLD]
    if unknown := set(sys.argv[1:]) - set(known):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    main(sys.argv[1:] or known)
