"""A write that was applied and whose answer was lost: boto3 makes the call again, and it must be known as one's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from tests.support.aws import Losing, client, create_table, items, losing_client, put
from tests.support.tasks import KEY, NOW_MS, completed, ended, pending
from tests.unit.aws.writes import others_that_write, writing_methods

from tunehook.api_keys import ApiKey, Scope
from tunehook.aws.api_keys import ApiKeysTable
from tunehook.aws.api_requests import Answer, ApiRequests, Request, State, WaitingPlace
from tunehook.aws.callback_hints import CallbackHintsTable, Hint
from tunehook.aws.circuits import CircuitsTable
from tunehook.aws.dead_letter_marks import DEAD_LETTERS, DeadLetterMark, DeadLetterMarks
from tunehook.aws.deliveries import Claim, DeliveriesTable
from tunehook.aws.leases import Leases, Position
from tunehook.aws.provider_states import Alert, ProviderState, ProviderStates
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.send_slots import SendSlots
from tunehook.aws.stream_marks import StreamMark, StreamMarks
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.aws.tasks import Start, TasksTable
from tunehook.deliveries import Attempt, DeliveryStatus, message_for, new_delivery
from tunehook.errors import InvalidInput
from tunehook.events import event_id_of
from tunehook.http.guard import NetworkPolicy
from tunehook.ids import digest
from tunehook.rate_limits import RateLimit
from tunehook.secret_versions import FIRST, SecretVersions
from tunehook.tasks import Format, ProgressTold, Status, check_request

# As documented, and not imported: a bound that moves is to be noticed.
CLAIM_MS = 25_000
LEASE_MS = 12_000
RETIRE_AFTER_MS = 3_600_000

TOKENS = {"claimed_by", "reserved_by", "trial_by", "failed", "holder"}
NEW: dict[str, Any] = {"task_id": "task-1", "provider": "suno"}
PENDING = NEW | {
    "status": "pending",
    "queue": "work#0",
    "since_ms": NOW_MS,
    "submitted_at_ms": NOW_MS,
    "deadline_ms": NOW_MS + 3_600_000,
}
ENDED = NEW | {
    "status": "completed",
    "queue": "work#0",
    "since_ms": NOW_MS,
    "event_id": event_id_of(KEY, Status.COMPLETED, NOW_MS),
}
TOLD = ProgressTold(number=1, at_ms=NOW_MS, phase="queued", has_clip=False)
TAKEN = PENDING | {"taken_in": True}
HOOKED = check_request(NEW | {"notify_hook": "https://receiver.example/hook"}, NetworkPolicy.PUBLIC)
ADOPTED = PENDING | {"notify_hook": "https://receiver.example/hook", "notify_format": "standard"}
DELIVERY = new_delivery(
    event_id="evt_1",
    subscription_id="sub",
    task_id="task-1",
    provider="suno",
    type="task.completed",
    event_at_ms=NOW_MS,
    format=Format.STANDARD,
    payload="{}",
    now_ms=NOW_MS,
)
MESSAGE = message_for(DELIVERY)
ATTEMPT = Attempt(run=1, attempt=1, at_ms=NOW_MS, duration_ms=5, error="ReadTimeout")
MADE = DELIVERY.model_dump(mode="json", exclude_none=True)
OVER = DELIVERY.model_copy(update={"status": DeliveryStatus.FAILED, "next_attempt_at_ms": None})
SUBSCRIPTION = {"subscription_id": "sub", "url": "https://receiver.example/"}
ROTATED = SUBSCRIPTION | {"secret_version": 2}
THIRD = SecretVersions(present=3, previous_until_ms=NOW_MS)
UNKNOWN = {
    "queue": "hints#0",
    "hint": f"{KEY.provider}#{KEY.task_id}",
    "task_id": KEY.task_id,
    "provider": KEY.provider,
    "hinted_at_ms": NOW_MS - 5,
    "take_in_at_ms": NOW_MS + 59_995,
    "expires_at": NOW_MS // 1000 + 86_459,
}
LEASE = {"shard": 0, "owner": "another", "until_ms": NOW_MS - 1}
MY_LEASE = {"shard": 0, "owner": "me", "until_ms": NOW_MS + 1}


@dataclass(frozen=True)
class Case:
    """One write: the class of the table, what lies in it before, the call, and what it must say."""

    write: str
    before: dict[str, Any] | None
    call: Callable[[Any], Any]
    says: Any = True
    what: str = ""

    @property
    def table(self) -> Any:
        return TABLES[self.write.partition(".")[0]]


TABLES: dict[str, tuple[Any, str]] = {
    "TasksTable": (TasksTable, "TasksTable"),
    "Leases": (Leases, "PollerLeasesTable"),
    "DeliveriesTable": (DeliveriesTable, "DeliveriesTable"),
    "CircuitsTable": (CircuitsTable, "ReceiverGatesTable"),
    "SendSlots": (SendSlots, "ReceiverGatesTable"),
    "SubscriptionsTable": (SubscriptionsTable, "SubscriptionsTable"),
    "SecretVersionsTable": (SecretVersionsTable, "SecretVersionsTable"),
    "ProviderStates": (ProviderStates, "ProviderStatesTable"),
    "StreamMarks": (StreamMarks, "ProviderStatesTable"),
    "DeadLetterMarks": (DeadLetterMarks, "ProviderStatesTable"),
    "ApiKeysTable": (ApiKeysTable, "ApiKeysTable"),
    "ApiRequests": (ApiRequests, "ApiRequestsTable"),
    "CallbackHintsTable": (CallbackHintsTable, "CallbackHintsTable"),
}
LIMIT = RateLimit(2)
SLOTS = {
    "receiver": f"limit_{digest('sub')}",
    "next_us": (NOW_MS + 5_000) * 1000,
    "interval_us": 500_000,
    "since_ms": 0,
    "reserved_at_ms": NOW_MS,
    "reserved_by": "another",
    "expires_at": NOW_MS // 1000,
}
STATE = ProviderState(provider="gw")
ALERT = Alert(key="a", since_ms=NOW_MS)
ALERT_ITEM = {
    "provider": "gw",
    "alert_key": "a",
    "alert_since_ms": NOW_MS,
    "alert_told_at_ms": 0,
    "alert_is_over": False,
}
DEAD_LETTER_MARK = DeadLetterMark(NOW_MS, told=0, told_at_ms=0, is_empty=False, messages=None)
DEAD_LETTER_ITEM = {
    "provider": DEAD_LETTERS,
    "intake_since_ms": NOW_MS,
    "intake_told": 0,
    "intake_told_at_ms": 0,
    "intake_is_empty": False,
}
API_KEY = ApiKey("key-1", "shop", Scope.READ, "digest", created_at_ms=NOW_MS)
API_KEY_ITEM = {
    "key_id": "key-1",
    "name": "shop",
    "scope": "read",
    "digest": "digest",
    "created_at_ms": NOW_MS,
}
BEGUN = {
    "request_id": "r",
    "state": "begun",
    "body": "b",
    "holder": "me",
    "begun_at_ms": NOW_MS,
    "expires_at": NOW_MS // 1000 + 3600,
}
MY_REQUEST = Request("r", State.BEGUN, "me")
ANSWER = Answer(201, {"task": "task-1"})


def tasks_beside(requests: ApiRequests) -> TasksTable:
    """The table of tasks, new and empty, by the client of the other one."""
    if "TasksTable" in client("dynamodb").list_tables()["TableNames"]:
        client("dynamodb").delete_table(TableName="TasksTable")
    create_table("TasksTable")
    return TasksTable(requests.table._client, "TasksTable")


def claim(deliveries: DeliveriesTable, now_ms: int) -> Claim:
    return asyncio.run(deliveries.claim_in_loop(MESSAGE, now_ms))[0]


def fail_a_trial(gates: CircuitsTable) -> Any:
    gates.acquire_probe("sub", NOW_MS)
    return gates.record_failure("sub", NOW_MS + 1, trial=True)


def leave_a_trial(gates: CircuitsTable) -> Any:
    gates.acquire_probe("sub", NOW_MS)
    return gates.release_probe("sub")


CASES = [
    Case("TasksTable.put", None, lambda tasks: tasks.put(NEW), None),
    Case("TasksTable.create", None, lambda tasks: tasks.create(NEW, NOW_MS).done),
    Case(
        "TasksTable.accept",
        NEW,
        lambda tasks: tasks.accept(check_request(NEW, NetworkPolicy.PUBLIC), NEW, 0, NOW_MS),
        Start.BEGUN,
    ),
    Case(
        "TasksTable.reject",
        NEW,
        lambda tasks: tasks.reject(KEY, NEW, InvalidInput("metadata", "is bad"), 0, NOW_MS),
        Start.BEGUN,
    ),
    Case("TasksTable.take_in", None, lambda tasks: tasks.take_in(KEY)),
    Case("TasksTable.adopt", TAKEN, lambda tasks: tasks.adopt(HOOKED, NOW_MS), ADOPTED, "pending"),
    Case(
        "TasksTable.restore",
        NEW,
        lambda tasks: tasks.restore(KEY, NEW, ENDED | {"taken_in": True}, None),
        Start.BEGUN,
    ),
    Case("TasksTable.note", PENDING, lambda tasks: tasks.note(pending(), {"phase": "x", "last_error": None})),
    Case(
        "TasksTable.note_in_loop",
        PENDING,
        lambda tasks: asyncio.run(tasks.note_in_loop(pending(), {"phase": "x", "last_error": None})),
    ),
    Case("TasksTable.tell_progress", PENDING, lambda tasks: tasks.tell_progress(pending(), TOLD, None).done),
    Case("TasksTable.end", PENDING, lambda tasks: tasks.end(pending(), completed()), ended(metadata={})),
    Case(
        "TasksTable.end_in_loop",
        PENDING,
        lambda tasks: asyncio.run(tasks.end_in_loop(pending(), completed())),
        ended(metadata={}),
    ),
    Case("TasksTable.cancel", NEW, lambda tasks: tasks.cancel(KEY, NOW_MS).done, what="new"),
    Case("TasksTable.cancel", PENDING, lambda tasks: tasks.cancel(KEY, NOW_MS).done, what="pending"),
    Case("TasksTable.park", ENDED, lambda tasks: tasks.park(ended(), ENDED)),
    Case("TasksTable.mark_event_sent", ENDED, lambda tasks: tasks.mark_event_sent(ended())),
    Case(
        "TasksTable.mark_event_sent_in_loop",
        ENDED,
        lambda tasks: asyncio.run(tasks.mark_event_sent_in_loop(ended())),
    ),
    Case(
        "TasksTable.record_assets",
        ENDED,
        lambda tasks: asyncio.run(tasks.record_assets(KEY, ENDED["event_id"], [{"key": "x"}], NOW_MS)),
    ),
    Case("ApiKeysTable.create", None, lambda keys: keys.create(API_KEY)),
    Case(
        "ApiKeysTable.revoke",
        API_KEY_ITEM,
        lambda keys: keys.revoke("key-1", NOW_MS),
        replace(API_KEY, revoked_at_ms=NOW_MS),
    ),
    Case("ApiKeysTable.note_use", API_KEY_ITEM, lambda keys: keys.note_use(API_KEY, NOW_MS)),
    Case("Leases.register", None, lambda leases: leases.register(0, NOW_MS), None),
    Case("Leases.retire", LEASE, lambda leases: leases.retire(0, NOW_MS + RETIRE_AFTER_MS)),
    Case("Leases.take_over", None, lambda leases: leases.take_over(0, "me", NOW_MS), False, "free"),
    Case("Leases.take_over", LEASE, lambda leases: leases.take_over(0, "me", NOW_MS - 5), True, "held"),
    Case("Leases.take_if_free", None, lambda leases: leases.take_if_free(0, "me", NOW_MS), what="new"),
    Case("Leases.take_if_free", LEASE, lambda leases: leases.take_if_free(0, "me", NOW_MS), what="run out"),
    Case("Leases.note_start", LEASE, lambda leases: leases.note_start(0, NOW_MS, 90_000)),
    Case("Leases.renew", MY_LEASE, lambda leases: leases.renew(0, "me", NOW_MS)),
    Case("Leases.give_up", MY_LEASE, lambda leases: leases.give_up(0, "me", NOW_MS)),
    Case("Leases.begin_start", None, lambda leases: leases.begin_start(0, "me", NOW_MS), what="new"),
    Case("Leases.begin_start", LEASE, lambda leases: leases.begin_start(0, "me", NOW_MS), what="free"),
    Case("Leases.undo_start", LEASE | {"starter": "me"}, lambda leases: leases.undo_start(0, "me")),
    Case(
        "Leases.save_positions",
        MY_LEASE,
        lambda leases: leases.save_positions(0, "me", {"gw": Position(NOW_MS, "task-1")}),
        what="behind",
    ),
    Case(
        "Leases.save_positions",
        MY_LEASE | {"behind": {}},
        lambda leases: leases.save_positions(0, "me", {}),
        what="no more",
    ),
    Case("DeliveriesTable.create", None, lambda table: table.create(DELIVERY)),
    Case(
        "DeliveriesTable.create_in_loop",
        None,
        lambda table: asyncio.run(table.create_in_loop(DELIVERY, has_payload=False)),
    ),
    Case(
        "DeliveriesTable.put_payload_in_loop",
        None,
        lambda table: asyncio.run(table.put_payload_in_loop(DELIVERY)),
        None,
    ),
    Case(
        "DeliveriesTable.claim_in_loop",
        MADE,
        lambda table: asyncio.run(table.claim_in_loop(MESSAGE, NOW_MS)),
        (Claim.TAKEN, DELIVERY),
    ),
    Case(
        "DeliveriesTable.record_in_loop",
        MADE,
        lambda table: asyncio.run(
            table.record_in_loop(
                MESSAGE, status=DeliveryStatus.PENDING, attempt=ATTEMPT, next_attempt_at_ms=NOW_MS + 5_000
            )
        ),
    ),
    Case(
        "DeliveriesTable.record",
        MADE,
        lambda table: table.record(
            MESSAGE, status=DeliveryStatus.PENDING, attempt=ATTEMPT, next_attempt_at_ms=NOW_MS + 5_000
        ),
        what="to go on",
    ),
    Case(
        "DeliveriesTable.record",
        MADE,
        lambda table: table.record(
            MESSAGE, status=DeliveryStatus.FAILED, attempt=ATTEMPT, reason="all attempts failed"
        ),
        what="the last one",
    ),
    Case(
        "DeliveriesTable.record",
        MADE,
        lambda table: table.record(MESSAGE, status=DeliveryStatus.ABORTED, reason="subscription deleted"),
        what="none made",
    ),
    Case(
        "DeliveriesTable.begin_run",
        OVER.model_dump(mode="json", exclude_none=True),
        lambda table: table.begin_run(OVER, [ATTEMPT], NOW_MS).run,
        2,
    ),
    Case("CircuitsTable.acquire_probe", None, lambda gates: gates.acquire_probe("sub", NOW_MS)[0]),
    Case("CircuitsTable.close", None, lambda gates: gates.close("sub", NOW_MS), None),
    Case(
        "CircuitsTable.record_failure",
        {"receiver": "sub", "failure_1_ms": 5, "failure_2_ms": 3},
        lambda gates: gates.record_failure("sub", NOW_MS).third_last_failure_ms,
        3,
        "of many",
    ),
    Case(
        "CircuitsTable.record_failure",
        None,
        lambda gates: fail_a_trial(gates).third_last_failure_ms,
        0,
        "of a trial",
    ),
    Case(
        "CircuitsTable.open", None, lambda gates: gates.open("sub", NOW_MS, 30_000, after_ms=0), what="first"
    ),
    Case(
        "CircuitsTable.open",
        {"receiver": "sub", "wait_ms": 30_000},
        lambda gates: gates.open("sub", NOW_MS, 60_000, after_ms=30_000),
        what="again",
    ),
    Case("CircuitsTable.release_probe", None, leave_a_trial, None),
    Case(
        "SendSlots.reserve",
        None,
        lambda slots: slots.reserve("sub", LIMIT, [NOW_MS] * 3, NOW_MS).at_us,
        (NOW_MS * 1000, None, None),
        "first",
    ),
    Case(
        "SendSlots.reserve",
        SLOTS,
        lambda slots: slots.reserve("sub", LIMIT, [NOW_MS + 60_000] * 2, NOW_MS).at_us,
        ((NOW_MS + 5_000) * 1000, (NOW_MS + 5_500) * 1000),
        "after others",
    ),
    Case(
        "SendSlots.reserve",
        SLOTS | {"interval_us": 1},
        lambda slots: slots.reserve("sub", LIMIT, [NOW_MS + 60_000], NOW_MS, former=(1, 0)).at_us,
        ((NOW_MS + 5_000) * 1000,),
        "of another limit",
    ),
    Case(
        "DeliveriesTable.put_off", MADE, lambda table: table.put_off(MESSAGE, NOW_MS + 5, 0.5)[0], Claim.TAKEN
    ),
    Case("SubscriptionsTable.create", None, lambda table: table.create(SUBSCRIPTION)),
    Case("SubscriptionsTable.delete", SUBSCRIPTION, lambda table: table.delete("sub")),
    Case(
        "SubscriptionsTable.change", SUBSCRIPTION, lambda table: table.change("sub", {"format": "provider"})
    ),
    Case(
        "SubscriptionsTable.mark", SUBSCRIPTION, lambda table: table.mark("sub", "url: no URL"), None, "set"
    ),
    Case(
        "SubscriptionsTable.mark",
        SUBSCRIPTION | {"disabled_reason": "x"},
        lambda table: table.mark("sub", None),
        None,
        "taken back",
    ),
    Case(
        "SubscriptionsTable.mark_failing",
        SUBSCRIPTION,
        lambda table: table.mark_failing("sub", NOW_MS),
        SUBSCRIPTION | {"failing_since_ms": NOW_MS},
    ),
    Case("SubscriptionsTable.mark_warned", SUBSCRIPTION, lambda table: table.mark_warned("sub", 5), None),
    Case(
        "SubscriptionsTable.clear_failing",
        SUBSCRIPTION | {"failing_since_ms": 5},
        lambda table: table.clear_failing("sub"),
        None,
    ),
    Case("SubscriptionsTable.disable", SUBSCRIPTION, lambda table: table.disable("sub", "gone"), None),
    Case("SubscriptionsTable.enable", SUBSCRIPTION, lambda table: table.enable("sub")),
    Case("SecretVersionsTable.of", None, lambda table: table.of(ROTATED), SecretVersions(present=2)),
    Case("SecretVersionsTable.keep", None, lambda table: table.keep("sub", THIRD), THIRD),
    Case(
        "SecretVersionsTable.rotate",
        None,
        lambda table: table.rotate(SUBSCRIPTION, FIRST, previous_until_ms=NOW_MS, rotation="r"),
        SecretVersions(present=2, previous_until_ms=NOW_MS),
    ),
    Case(
        "ProviderStates.save",
        {"provider": "gw", "refresh_every_ms": 5},
        lambda states: states.save(replace(STATE, refresh_every_ms=5), replace(STATE, accepted_key="a")),
        None,
    ),
    Case("ProviderStates.accept", None, lambda states: states.accept("gw", "a"), None),
    Case(
        "ProviderStates.begin_alert",
        None,
        lambda states: states.begin_alert("gw", None, "a", NOW_MS),
        ALERT,
    ),
    Case(
        "ProviderStates.record_told",
        ALERT_ITEM,
        lambda states: states.record_told("gw", ALERT, NOW_MS),
    ),
    Case("ProviderStates.end_alert", ALERT_ITEM, lambda states: states.end_alert("gw", ALERT)),
    Case("ApiRequests.begin", None, lambda table: table.begin("r", "b", NOW_MS).state, State.BEGUN, "new"),
    Case(
        "ApiRequests.begin",
        BEGUN | {"expires_at": NOW_MS // 1000, "intended": {"x": 1}},
        lambda table: table.begin("r", "b", NOW_MS).state,
        State.BEGUN,
        "run out",
    ),
    Case(
        "ApiRequests.begin",
        BEGUN,
        lambda table: table.begin("r", "b", NOW_MS + 60_000).state,
        State.TAKEN_OVER,
        "unanswered",
    ),
    Case("ApiRequests.finish", BEGUN, lambda table: table.finish(MY_REQUEST, ANSWER)),
    Case(
        "ApiRequests.finish_with_task",
        BEGUN,
        lambda table: table.finish_with_task(MY_REQUEST, ANSWER, tasks_beside(table), NEW).done,
    ),
    Case("ApiRequests.forget", BEGUN, lambda table: table.forget(MY_REQUEST)),
    Case(
        "ApiRequests.claim_wait",
        None,
        lambda table: table.claim_wait(1, "me", NOW_MS + 5, NOW_MS),
        WaitingPlace(0, "me"),
    ),
    Case(
        "ApiRequests.release_wait",
        {"request_id": "waiting", "until_0": NOW_MS, "holder_0": "me"},
        lambda table: table.release_wait(WaitingPlace(0, "me")),
        None,
    ),
    Case(
        "DeadLetterMarks.begin",
        None,
        lambda marks: marks.begin("intake", None, NOW_MS),
        DEAD_LETTER_MARK,
    ),
    Case(
        "DeadLetterMarks.record_told",
        DEAD_LETTER_ITEM,
        lambda marks: marks.record_told("intake", DEAD_LETTER_MARK, NOW_MS, 3),
    ),
    Case(
        "DeadLetterMarks.record_empty",
        DEAD_LETTER_ITEM,
        lambda marks: marks.record_empty("intake", DEAD_LETTER_MARK),
    ),
    Case("StreamMarks.set", None, lambda marks: marks.set(StreamMark("arn", KEY)), None),
    Case("CallbackHintsTable.put", None, lambda hints: hints.put(0, KEY, NOW_MS), None, "first"),
    Case("CallbackHintsTable.put", UNKNOWN, lambda hints: hints.put(0, KEY, NOW_MS), None, "of one taken in"),
    Case(
        "CallbackHintsTable.put_unknown",
        None,
        lambda hints: hints.put_unknown(0, KEY, NOW_MS, NOW_MS + 60_000),
        what="first",
    ),
    Case(
        "CallbackHintsTable.put_unknown",
        UNKNOWN | {"expires_at": NOW_MS // 1000 - 1},
        lambda hints: hints.put_unknown(0, KEY, NOW_MS, NOW_MS + 60_000),
        what="expired",
    ),
    Case(
        "CallbackHintsTable.claim_take_in",
        UNKNOWN,
        lambda hints: hints.claim_take_in(
            Hint(0, KEY, NOW_MS - 5, UNKNOWN["take_in_at_ms"]), NOW_MS + 60_000
        ),
        Hint(0, KEY, NOW_MS - 5, NOW_MS + 60_000),
    ),
    Case("CallbackHintsTable.delete", UNKNOWN, lambda hints: hints.delete(Hint(0, KEY, NOW_MS - 5))),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.write} {case.what}".strip())


def play(case: Case, dynamodb: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Make a write with a client; return what it says, and what lies in the table then."""
    table_class, name = case.table
    create_table(name)
    if case.before is not None:
        put(name, case.before)
    said = case.call(table_class(dynamodb, name))
    left = [{key: value for key, value in item.items() if key not in TOKENS} for item in items(name)]
    client("dynamodb").delete_table(TableName=name)
    return said, left


def test_every_write_of_the_code_is_looked_at_here() -> None:
    assert {case.write for case in CASES} == writing_methods()


def test_nobody_writes_past_the_table() -> None:
    # The demonstration puts a task as any user does, without a condition.
    assert others_that_write() == {"cli/tunehook_local/demo/observer.py"}


@EACH
def test_a_write_whose_answer_was_lost_says_what_it_would_have_said(aws: None, case: Case) -> None:
    losing = Losing(client("dynamodb"))
    undisturbed = play(case, client("dynamodb"))
    assert undisturbed[0] == case.says
    assert play(case, losing) == undisturbed
    assert losing.lost > 0


@EACH
def test_so_it_does_where_the_client_itself_makes_the_call_again(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.aws.light._longest_pause_s", lambda *_, **__: 0.0)
    with mock_aws():
        undisturbed = play(case, client("dynamodb"))
        assert play(case, losing_client()) == undisturbed


class TestWhatIsAnothersStaysSo:
    """A lost answer is no reason to take what somebody else has written for one's own."""

    @pytest.fixture(params=[False, True], ids=["answered", "lost"])
    def dynamodb(self, aws: None, request: pytest.FixtureRequest) -> Any:
        return Losing(client("dynamodb")) if request.param else client("dynamodb")

    def test_a_task_that_another_has_ended_otherwise(self, dynamodb: Any) -> None:
        create_table("TasksTable")
        put("TasksTable", ENDED | {"status": "failed", "event_id": "evt_other", "detected_at_ms": NOW_MS})
        assert TasksTable(dynamodb, "TasksTable").end(pending(), completed()) is None

    def test_a_task_that_another_has_cancelled(self, dynamodb: Any) -> None:
        create_table("TasksTable")
        put("TasksTable", NEW | {"status": "cancelled", "detected_at_ms": NOW_MS - 1})
        assert not TasksTable(dynamodb, "TasksTable").cancel(KEY, NOW_MS).done
        assert TasksTable(dynamodb, "TasksTable").end(pending(), completed()) is None

    def test_a_task_that_another_has_accepted(self, dynamodb: Any) -> None:
        create_table("TasksTable")
        put("TasksTable", PENDING)
        request = check_request(NEW, NetworkPolicy.PUBLIC)
        start = TasksTable(dynamodb, "TasksTable").accept(request, NEW, 0, NOW_MS + 1)
        assert start is Start.BEGUN_BEFORE

    def test_a_task_that_another_has_put_otherwise_or_before(self, dynamodb: Any) -> None:
        create_table("TasksTable")
        tasks = TasksTable(dynamodb, "TasksTable")
        for other in (NEW | {"timeout_s": 60}, PENDING | {"since_ms": NOW_MS - 1}):
            put("TasksTable", other)
            write = tasks.create(NEW, NOW_MS)
            assert (write.done, write.item) == (False, other)

    def test_a_lease(self, dynamodb: Any) -> None:
        create_table("PollerLeasesTable")
        put("PollerLeasesTable", LEASE | {"until_ms": NOW_MS + LEASE_MS})
        leases = Leases(dynamodb, "PollerLeasesTable")
        assert not leases.take_if_free(0, "me", NOW_MS)
        assert not leases.renew(0, "me", NOW_MS)
        assert not leases.give_up(0, "me", NOW_MS)

    def test_a_claim(self, dynamodb: Any) -> None:
        create_table("DeliveriesTable")
        put("DeliveriesTable", MADE | {"claimed_by": "another", "claimed_until_ms": NOW_MS + CLAIM_MS})
        assert claim(DeliveriesTable(dynamodb, "DeliveriesTable"), NOW_MS) is Claim.BUSY

    def test_an_attempt(self, dynamodb: Any) -> None:
        create_table("DeliveriesTable")
        other = ATTEMPT.model_copy(update={"duration_ms": 6}).model_dump(mode="json", exclude_none=True)
        put("DeliveriesTable", MADE | {"next_attempt": 2, "attempts": [other]})
        table = DeliveriesTable(dynamodb, "DeliveriesTable")
        assert not table.record(MESSAGE, status=DeliveryStatus.DELIVERED, attempt=ATTEMPT)

    def test_a_trial(self, dynamodb: Any) -> None:
        create_table("ReceiverGatesTable")
        trial = {"receiver": "sub", "trial_since_ms": NOW_MS, "trial_by": "another"}
        put("ReceiverGatesTable", trial)
        gates = CircuitsTable(dynamodb, "ReceiverGatesTable")
        assert not gates.acquire_probe("sub", NOW_MS)[0]
        assert gates.record_failure("sub", NOW_MS, trial=True) is None
        gates.release_probe("sub")
        assert items("ReceiverGatesTable") == [trial]

    def test_a_rotation(self, dynamodb: Any) -> None:
        create_table("SecretVersionsTable")
        others = {"secret_version": 2, "previous_secret_until_ms": NOW_MS, "rotation": "another"}
        put("SecretVersionsTable", {"subscription_id": "sub"} | others)
        table = SecretVersionsTable(dynamodb, "SecretVersionsTable")
        assert table.rotate(SUBSCRIPTION, FIRST, previous_until_ms=NOW_MS, rotation="mine") is None

    def test_an_id_that_is_taken(self, dynamodb: Any) -> None:
        create_table("SubscriptionsTable")
        put("SubscriptionsTable", SUBSCRIPTION | {"url": "https://another.example/"})
        assert not SubscriptionsTable(dynamodb, "SubscriptionsTable").create(SUBSCRIPTION)

    def test_a_request(self, dynamodb: Any) -> None:
        create_table("ApiRequestsTable")
        put("ApiRequestsTable", BEGUN | {"holder": "another"})
        table = ApiRequests(dynamodb, "ApiRequestsTable")
        assert table.begin("r", "b", NOW_MS).state is State.IN_PROGRESS
        assert not table.finish(MY_REQUEST, ANSWER)
        assert table.finish_with_task(MY_REQUEST, ANSWER, tasks_beside(table), NEW).existing is None
        assert items("TasksTable") == []

    def test_a_task_that_was_put_before(self, dynamodb: Any) -> None:
        create_table("ApiRequestsTable")
        put("ApiRequestsTable", BEGUN)
        table = ApiRequests(dynamodb, "ApiRequestsTable")
        tasks = tasks_beside(table)
        put("TasksTable", NEW)
        done = table.finish_with_task(MY_REQUEST, ANSWER, tasks, NEW)
        assert (done.done, done.existing) == (False, NEW)
        assert items("ApiRequestsTable") == [BEGUN]

    def test_a_place_to_wait(self, dynamodb: Any) -> None:
        create_table("ApiRequestsTable")
        waiting = {"request_id": "waiting", "until_0": NOW_MS + 1, "holder_0": "another"}
        put("ApiRequestsTable", waiting)
        table = ApiRequests(dynamodb, "ApiRequestsTable")
        assert table.claim_wait(1, "me", NOW_MS + 5, NOW_MS) is None
        table.release_wait(WaitingPlace(0, "me"))
        assert items("ApiRequestsTable") == [waiting]

    def test_a_run(self, dynamodb: Any) -> None:
        create_table("DeliveriesTable")
        put("DeliveriesTable", MADE | {"run": 2, "next_attempt_at_ms": NOW_MS - 1})
        assert DeliveriesTable(dynamodb, "DeliveriesTable").begin_run(OVER, [], NOW_MS) is None


class TestAWriteThatBotocoreGaveUp:
    """No try was answered: the caller makes the write again, later and as another call."""

    def test_a_claim_is_not_busy_against_itself(self, aws: None) -> None:
        create_table("DeliveriesTable")
        put("DeliveriesTable", MADE)
        table = DeliveriesTable(Losing(client("dynamodb"), {0}, gives_up=True), "DeliveriesTable")
        with pytest.raises(ReadTimeoutError):
            claim(table, NOW_MS)
        assert claim(table, NOW_MS + 10_000) is Claim.TAKEN
        assert claim(table, NOW_MS + 10_000) is Claim.BUSY

    def test_a_task_has_ended_by_us(self, aws: None) -> None:
        create_table("TasksTable")
        put("TasksTable", PENDING)
        # The first write is that of its details.
        table = TasksTable(Losing(client("dynamodb"), {1}, gives_up=True), "TasksTable")
        with pytest.raises(ReadTimeoutError):
            table.end(pending(), completed())
        later = completed(detected_at_ms=NOW_MS + 70_000)
        assert table.end(pending(), later) == ended(metadata={})
        assert table.end(pending(), later) is None

    def test_a_trial_is_ours(self, aws: None) -> None:
        create_table("ReceiverGatesTable")
        gates = CircuitsTable(Losing(client("dynamodb"), {0}, gives_up=True), "ReceiverGatesTable")
        with pytest.raises(ReadTimeoutError):
            gates.acquire_probe("sub", NOW_MS)
        assert gates.acquire_probe("sub", NOW_MS + 5_000)[0]

    def test_a_request_is_ours(self, aws: None) -> None:
        create_table("ApiRequestsTable")
        table = ApiRequests(Losing(client("dynamodb"), {0}, gives_up=True), "ApiRequestsTable")
        with pytest.raises(ReadTimeoutError):
            table.begin("r", "b", NOW_MS)
        assert table.begin("r", "b", NOW_MS + 1).state is State.BEGUN
        assert table.begin("r", "b", NOW_MS + 1).state is State.IN_PROGRESS

    def test_a_request_that_was_taken_over_is_ours_and_still_another_began_it(self, aws: None) -> None:
        create_table("ApiRequestsTable")
        put("ApiRequestsTable", BEGUN)
        table = ApiRequests(Losing(client("dynamodb"), {1}, gives_up=True), "ApiRequestsTable")
        with pytest.raises(ReadTimeoutError):
            table.begin("r", "b", NOW_MS + 60_000)
        assert table.begin("r", "b", NOW_MS + 60_001).state is State.TAKEN_OVER

    def test_a_lease_is_ours(self, aws: None) -> None:
        create_table("PollerLeasesTable")
        leases = Leases(Losing(client("dynamodb"), {0}, gives_up=True), "PollerLeasesTable")
        with pytest.raises(ReadTimeoutError):
            leases.take_if_free(0, "me", NOW_MS)
        assert leases.take_if_free(0, "me", NOW_MS + 1)
