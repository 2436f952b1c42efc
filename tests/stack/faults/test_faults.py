"""A short run under faults: whatever breaks, nothing is lost, doubled without a reason, altered or forged.

``python -m tests.stack.faults --seed N`` makes the same run by hand, and leaves its log.
"""

from __future__ import annotations

import pytest
from tests.stack.faults.ledger import COUNTED, Findings
from tests.stack.faults.plan import SHORT


def test_everything_that_was_put_is_counted(findings: Findings) -> None:
    assert findings.tasks == SHORT.tasks
    filtered = sum(str(number)[-1] in "147258" for number in range(SHORT.tasks))
    assert 0 < filtered < SHORT.tasks
    assert findings.webhooks == SHORT.tasks * 3 + SHORT.tasks // 3 + filtered


@pytest.mark.parametrize(("name", "title"), [(name, title) for name, title, *_ in COUNTED])
def test_what_must_be_none_is_none(findings: Findings, seed: int, name: str, title: str) -> None:
    problems = findings[name].problems
    assert not problems, f"seed {seed}, {title}: {len(problems)}\n" + "\n".join(problems[:20])


def test_what_is_forbidden_was_asked_for(findings: Findings) -> None:
    assert findings["requests_forbidden"].of > 0


def test_each_delay_is_known(findings: Findings) -> None:
    assert findings.detection is not None
    assert findings.first_attempt is not None


def test_receivers_that_misbehave_got_more_than_one_request(findings: Findings) -> None:
    assert max(findings.attempts) > 1


def test_some_attempts_had_to_wait(findings: Findings) -> None:
    assert findings["attempts_early"].of > 0


def test_webhooks_had_to_wait_for_a_limit(findings: Findings) -> None:
    assert findings["beyond_the_limit"].of >= SHORT.tasks
    assert findings.happened.get("a user: webhooks at once beyond a subscription's limit", 0) > 0


@pytest.mark.parametrize("function", ["intake", "poller", "fulfillment", "webhooks"])
def test_each_function_lost_a_worker(findings: Findings, function: str) -> None:
    assert findings.happened.get(f"SIGKILL: {function}", 0) > 0


def test_calls_to_aws_were_disturbed(findings: Findings) -> None:
    assert sum(often for what, often in findings.happened.items() if what.startswith("AWS calls")) > 0
