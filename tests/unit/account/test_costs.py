from __future__ import annotations

from dataclasses import replace

import pytest
from tests.account.costs import cost_of, quantities
from tests.unit.account.evidence import good_evidence

REPORT = "REPORT RequestId: {} Duration: 900.00 ms Billed Duration: 1000 ms Memory Size: 512 MB Max Memory Used: 99 MB"


@pytest.mark.parametrize(
    ("architecture", "price"),
    [("arm64", "lambda_gb_s_arm"), ("x86_64", "lambda_gb_s"), (None, "lambda_gb_s")],
)
def test_the_time_of_functions_is_priced_by_their_processor(architecture: str | None, price: str) -> None:
    lines = {"poller": [REPORT.format("a")], "sandbox": [REPORT.format("b"), REPORT.format("c")]}
    parameters = {} if architecture is None else {"Architecture": architecture}
    used = quantities(replace(good_evidence(), log_lines=lines, parameters=parameters))
    assert {name: used[name] for name in used if "gb_s" in name} == {price: 1.5}
    assert used["lambda_requests"] == 3


def test_every_quantity_has_a_price() -> None:
    used = quantities(good_evidence())
    lines = cost_of(good_evidence())
    assert [line.quantity for line in lines] == list(used.values())
    assert all(line.usd >= 0 for line in lines)
    assert sum(line.usd for line in lines) > 0
