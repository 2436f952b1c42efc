"""What a run cost at list prices, by the invocations that Lambda reported, the objects, the items, and its time."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.account import logs
from tests.account.evidence import Evidence
from tests.account.judges import FUNCTIONS, metrics_sent
from tests.support.template import ROOT

PRICES: Final = ROOT / "benchmarks" / "prices.json"

_HOURS_A_MONTH: Final = 720
_WRITES_OF_AN_ITEM: Final = 6
"""Taken in, settled, told, its files recorded, and both indexes: so often a task's item, and others less."""

_QUEUES: Final = 2
_EMPTY_RECEIVES_A_MINUTE: Final = 15


@dataclass(frozen=True)
class CostLine:
    """A quantity of something that is billed, and its price in US dollars."""

    what: str
    quantity: float
    usd: float


def cost_of(evidence: Evidence) -> list[CostLine]:
    """Return what a run cost, by what is billed; free allowances are not taken off."""
    prices = {each["name"]: each for each in json.loads(PRICES.read_text(encoding="utf-8"))["prices"]}
    return [
        CostLine(prices[name]["what"], quantity, quantity * prices[name]["usd"] / prices[name]["per"])
        for name, quantity in quantities(evidence).items()
    ]


def quantities(evidence: Evidence) -> dict[str, float]:
    """Return how much of what is billed a run used, by the name of its price."""
    invocations = [
        each for lines in evidence.log_lines.values() for each in logs.reports(lines)
    ]  # of the sandbox, too
    gb_s = "lambda_gb_s_arm" if evidence.parameters.get("Architecture") == "arm64" else "lambda_gb_s"
    minutes = evidence.seconds / 60
    months = evidence.seconds / 3600 / _HOURS_A_MONTH
    hours_begun = math.ceil(evidence.seconds / 3600)
    items = [*evidence.items.values(), *(_as_item(each) for each in evidence.webhooks)]
    links = sum(len(each.links) for each in evidence.webhooks)
    return {
        "lambda_requests": len(invocations),
        gb_s: sum(each.billed_ms / 1000 * each.memory_mb / 1024 for each in invocations),
        "dynamodb_write_units": sum(_kilobytes(each) * _WRITES_OF_AN_ITEM for each in items),
        "http_api_requests": evidence.requests,
        "s3_puts": len(evidence.objects),
        "s3_gets": links + len(evidence.objects),
        "events": len(evidence.events),
        "sqs_requests": _QUEUES * _EMPTY_RECEIVES_A_MINUTE * minutes + 4 * len(evidence.webhooks),
        "schedules": math.ceil(minutes),
        "log_gb": sum(len(line) for lines in evidence.log_lines.values() for line in lines) / 1e9,
        "secrets": 2 * months,
        "alarms": len(evidence.alarms) * hours_begun / _HOURS_A_MONTH,
        "metrics": len(metrics_sent(evidence)) * hours_begun / _HOURS_A_MONTH,
        "dashboards": len(evidence.dashboards_wanted) * months,
    }


def times(evidence: Evidence) -> dict[str, logs.FunctionTimes]:
    """Return how long the functions took, by function."""
    told = {
        name: logs.times_of(logs.reports(evidence.log_lines.get(name, ())))
        for name in (*FUNCTIONS, "sandbox")
    }
    return {name: each for name, each in told.items() if each is not None}


def total(lines: Sequence[CostLine]) -> float:
    """Return the sum in US dollars."""
    return sum(line.usd for line in lines)


def _as_item(webhook: object) -> Mapping[str, Any]:
    return {"delivery": str(webhook)}


def _kilobytes(item: Mapping[str, Any]) -> int:
    return math.ceil(len(json.dumps(item, default=str)) / 1024)
