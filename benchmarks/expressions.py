"""How long the worst expressions of a recipe take on the worst answers of 2 MiB.

Each pair of an answer and an expression is evaluated alone, with all the steps that one evaluation has, and then again
and again on one answer until the steps of that answer are used up, as a recipe of many such expressions would. What
counts is the processor time of the fastest of some runs, as the machine may be busy. Beside it stands what reading the
JSON of the answer takes.

Run it with ``python -m benchmarks.expressions [--runs N]``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from benchmarks.report import Row, report
from tunehook.providers.payload import MAX_BODY_BYTES
from tunehook.providers.recipes.expressions import Expression, Steps

RUNS: Final = 5
AT_MOST_MS: Final = 50.0
_NEEDLE: Final = "a" * 90 + "b"
_LONG: Final = "x" * 1_000_000

ANSWERS: Final[dict[str, Any]] = {
    "numbers": {"l": [1] * 1_000_000},
    "objects": {"l": [{"a": 1, "b": "u"} for _ in range(110_000)]},
    "nested lists": {"l": [[[1]]] * 290_000},
    "two long texts": {"a": _LONG, "b": _LONG, "l": list(range(9_000))},
    "texts that nearly match": {"l": ["a" * 29_000] * 70},
    "an object of many names": {"l": {f"k{number}": number for number in range(120_000)}},
    "JSON in a text": {"a": json.dumps([1] * 900_000, separators=(",", ":"))},
    "clips": {
        "l": [{"id": str(n), "t": "y" * 100, "u": f"https://h.example/{n}.mp3"} for n in range(12_000)]
    },
}
"""What a provider might answer, each about as large as an answer may be."""

EXPRESSIONS: Final = (
    "l[]",
    "l[][][]",
    "l[*].[@,@,@,@][]",
    "@|[@,@,@,@,@,@,@,@]|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|to_string(@)",
    "sort(l)",
    "sort_by(l,&@)",
    "sort_by(l,&t)",
    "sort_by(l[:900],&t)",
    "max_by(l,&u)",
    "reverse(l)",
    "reverse(reverse(reverse(a)))",
    "[a,b,a,b]|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@][]|sort(@)",
    "join(a,l[*].to_string(@))",
    "join(',',l)",
    "to_string(@)",
    "l[*].to_string(@)",
    "from_json(a)",
    "from_json(to_string(l[:3000]))",
    "lower(a)",
    "l[*].lower(@)",
    "split(a,'x')",
    "split(a,'xx')",
    "l[*].split(@,'a')",
    f"l[?contains(@,'{_NEEDLE}')]",
    "contains(a,'y')",
    f"contains(a,'{'x' * 200}y')",
    "contains(l,'a')",
    "l==l",
    "[l]==[l]",
    "l[?@==`1`]",
    "l[?a==`1`].b",
    "l[?a>`0`]|length(@)",
    "keys(l)",
    "items(l)[*][0]",
    "l.*",
    "sum(l)",
    "max(l)",
    "map(&[@,@,@],l)",
    "to_number(a)",
    "l[::-1]",
    "l[:6000].[@,@]",
    "l[:9000].id",
    "l[:3000].{i:id,t:t}",
    "l[*].[id,t,u]|length(@)",
    "*.*.*",
    "{a:@,b:@,c:@}",
    "[join('',[a,'']),join('',[b,''])]|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|sort(@)",
)
"""Those that multiply, sort, compare, search, parse and write."""


def main() -> None:
    """Time all pairs, and report the slowest."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how often each is timed (default: {RUNS})")
    runs = parser.parse_args().runs
    expressions = [Expression(text) for text in EXPRESSIONS]
    rows = []
    for kind, answer in ANSWERS.items():
        text = json.dumps(answer, separators=(",", ":"))
        assert len(text) < MAX_BODY_BYTES * 1.2, f"{kind}: {len(text)} bytes"
        alone = max(_fastest_ms(runs, partial(_once, each, answer)) for each in expressions)
        whole = max(_fastest_ms(runs, partial(_all, each, answer)) for each in expressions)
        rows += [
            Row(f"{kind}: reading its JSON", _fastest_ms(runs, partial(json.loads, text)), "ms"),
            Row(f"{kind}: one evaluation", alone, "ms", at_most=AT_MOST_MS),
            Row(f"{kind}: all evaluations of an answer", whole, "ms", at_most=AT_MOST_MS),
        ]
    title = (
        f"The slowest of {len(EXPRESSIONS)} expressions on answers of up to 2 MiB, the fastest of {runs} runs"
    )
    report("expressions", title, rows)


def _once(expression: Expression, answer: Any) -> None:
    expression.evaluate(answer, Steps())


def _all(expression: Expression, answer: Any) -> None:
    steps = Steps()
    while steps.left > 0:
        before = steps.left
        expression.evaluate(answer, steps)
        if steps.left > before - 100:  # so cheap that a thousand of them is more than a recipe has
            break


def _fastest_ms(runs: int, work: Callable[[], object]) -> float:
    fastest = float("inf")
    for _ in range(runs):
        started = time.process_time()
        work()
        fastest = min(fastest, time.process_time() - started)
    return fastest * 1000


if __name__ == "__main__":
    main()
