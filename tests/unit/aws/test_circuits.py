import pytest
from botocore.exceptions import ClientError
from tests.support.aws import Faulty, client, create_table, fault, items

from tunehook.aws.circuits import Circuit, CircuitsTable
from webhooks.attempt import ATTEMPT_S

# As documented, and not imported: a bound that moves is to be noticed.
LONGEST_WAIT_MS = 600_000
PROVEN_MS = 60_000
TRIAL_MS = 20_000

NOW_MS = 1_800_000_000_999
NAME = "ReceiverGatesTable"


@pytest.fixture
def gates(aws: None) -> CircuitsTable:
    create_table(NAME)
    return CircuitsTable(client("dynamodb"), NAME)


def test_a_trial_counts_longer_than_an_attempt_and_not_much_longer() -> None:
    assert ATTEMPT_S * 1000 < TRIAL_MS <= 20_000


def test_a_trial_is_the_callers_alone_until_its_time_is_over(gates: CircuitsTable) -> None:
    another = CircuitsTable(client("dynamodb"), NAME)
    assert gates.acquire_probe("sub", NOW_MS) == (True, Circuit(trial_since_ms=NOW_MS))
    assert another.acquire_probe("sub", NOW_MS + TRIAL_MS - 1) == (False, Circuit(trial_since_ms=NOW_MS))
    assert another.acquire_probe("sub", NOW_MS + TRIAL_MS)[0]


def test_a_proven_receiver_is_not_tried_until_its_time_is_over(gates: CircuitsTable) -> None:
    gates.close("sub", NOW_MS)
    assert gates.acquire_probe("sub", NOW_MS + PROVEN_MS - 1) == (
        False,
        Circuit(proven_until_ms=NOW_MS + PROVEN_MS),
    )
    assert gates.acquire_probe("sub", NOW_MS + PROVEN_MS)[0]


def test_one_that_is_left_alone_is_not_tried_until_its_time_is_over(gates: CircuitsTable) -> None:
    assert gates.open("sub", NOW_MS, 30_000, after_ms=0)
    assert gates.acquire_probe("sub", NOW_MS + 29_999)[0] is False
    assert gates.acquire_probe("sub", NOW_MS + 30_000)[0]


@pytest.mark.parametrize("now_ms", [NOW_MS - LONGEST_WAIT_MS, NOW_MS - TRIAL_MS - 1])
def test_what_lies_further_ahead_than_can_be_is_void(gates: CircuitsTable, now_ms: int) -> None:
    gates.acquire_probe("sub", NOW_MS)
    gates.open("other", NOW_MS, 30_000, after_ms=0)
    assert gates.acquire_probe("sub", now_ms)[0]
    assert gates.acquire_probe("other", NOW_MS + 30_000 - LONGEST_WAIT_MS - 1)[0]


def test_the_third_last_failure_is_known(gates: CircuitsTable) -> None:
    found = [gates.record_failure("sub", NOW_MS + number).third_last_failure_ms for number in range(4)]
    assert found == [0, 0, NOW_MS, NOW_MS + 1]


def test_an_answer_forgets_the_failures_and_the_waits(gates: CircuitsTable) -> None:
    for _ in range(3):
        gates.record_failure("sub", NOW_MS)
    gates.open("sub", NOW_MS, 30_000, after_ms=0)
    gates.close("sub", NOW_MS)
    assert gates.record_failure("sub", NOW_MS) == Circuit()


def test_of_two_that_shut_a_gate_after_the_same_wait_one_does(gates: CircuitsTable) -> None:
    assert gates.open("sub", NOW_MS, 30_000, after_ms=0) is True
    assert gates.open("sub", NOW_MS + 1, 30_000, after_ms=0) is False
    assert gates.open("sub", NOW_MS + 2, 60_000, after_ms=30_000) is True
    assert gates.open("sub", NOW_MS + 3, 60_000, after_ms=30_000) is False


def test_a_trial_that_showed_nothing_is_over(gates: CircuitsTable) -> None:
    gates.acquire_probe("sub", NOW_MS)
    gates.release_probe("sub")
    assert gates.acquire_probe("sub", NOW_MS)[0]


@pytest.mark.parametrize("call", ["acquire_probe", "close", "record_failure"])
def test_what_is_known_of_a_receiver_is_forgotten_after_an_hour(gates: CircuitsTable, call: str) -> None:
    getattr(gates, call)("sub", NOW_MS)
    (item,) = items(NAME)
    assert item["expires_at"] == NOW_MS // 1000 + 3600


def test_trouble_with_the_table_is_raised(gates: CircuitsTable) -> None:
    broken = CircuitsTable(Faulty(client("dynamodb"), update_item=[fault(), fault()]), NAME)  # type: ignore[arg-type]
    with pytest.raises(ClientError):
        broken.acquire_probe("sub", NOW_MS)
    with pytest.raises(ClientError):
        broken.open("sub", NOW_MS, 30_000, after_ms=0)
