"""The start of a poller; tests/unit/intake/test_admission.py has the ways in which several starts interleave."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, fault, items
from tests.support.tasks import NOW_MS
from tests.unit.intake.test_admission import Lambdas

from tunehook.aws.leases import Leases
from tunehook.aws.poller_starts import PollerStarts


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[object, dict[str, Any]]] = []

    def info(self, event: object, /, **keys: Any) -> None:
        self.lines.append((event, keys))

    warning = info


@pytest.fixture(autouse=True)
def table(aws: None) -> None:
    create_table("PollerLeasesTable")


def starts(lambdas: Lambdas, log: Log, dynamodb: Any = None) -> PollerStarts:
    leases = Leases(dynamodb or client("dynamodb"), "PollerLeasesTable")
    return PollerStarts(leases, lambdas, "the-poller", log, lambda: NOW_MS)  # type: ignore[arg-type]


def test_a_shard_without_a_poller_gets_one() -> None:
    lambdas, log = Lambdas(), Log()
    for _ in range(2):
        starts(lambdas, log).start(2)
    (invocation,) = lambdas.invocations
    assert (invocation["FunctionName"], invocation["InvocationType"]) == ("the-poller", "Event")
    assert json.loads(invocation["Payload"]) == {"started_by": "intake", "shard": 2}
    assert log.lines == [("poller_started", {"shard": 2})]


def test_one_that_fails_is_undone_and_may_be_tried_again() -> None:
    log = Log()
    starts(Lambdas(fault("TooManyRequestsException", "Invoke")), log).start(0)
    assert log.lines == [("poller_not_started", {"shard": 0, "error": "TooManyRequestsException"})]
    assert "starter" not in items("PollerLeasesTable")[0]
    lambdas = Lambdas()
    starts(lambdas, log).start(0)
    assert len(lambdas.invocations) == 1


@pytest.mark.parametrize("call", ["get_item", "update_item"])
def test_one_that_was_not_begun_is_not_undone(call: str) -> None:
    lambdas, log = Lambdas(), Log()
    faulty = Faulty(client("dynamodb"), **{call: [fault("ThrottlingException")]})
    starts(lambdas, log, faulty).start(0)
    assert log.lines == [("poller_not_started", {"shard": 0, "error": "ThrottlingException"})]
    assert (lambdas.invocations, faulty.calls[-1][0]) == ([], call)


def test_one_that_cannot_be_undone_is_said_to_be_so() -> None:
    log = Log()
    faulty = Faulty(client("dynamodb"), update_item=[None, fault()])
    starts(Lambdas(fault("TooManyRequestsException", "Invoke")), log, faulty).start(0)
    assert [event for event, _ in log.lines] == ["poller_not_started", "start_not_undone"]
