import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError, ParamValidationError
from tests.support.aws import Faulty, client, fault, put
from tests.support.template import template
from tests.unit.cli.conftest import OUTPUTS
from tests.unit.cli.test_stack import set_status

from tunehook.aws.deliveries import OVERDUE_MS, DeliveriesTable
from tunehook.aws.leases import Leases
from tunehook.deliveries import new_delivery
from tunehook.operations.checks import LATE_S, STOPPED_S, State, _unwatched, examine
from tunehook.signatures import notify_hook_subscription_id
from tunehook.tasks import Format
from tunehook.times import from_ms, now_ms
from tunehook_local.sandbox import run_sandbox

SCHEDULE = "tunehook-every-minute"
KEY = "sk-a-key-that-nobody-may-see"


class Lambdas:
    """Lambda with the stack's four functions, as the test wants them."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {
            OUTPUTS[name]: {"Configuration": {"State": "Active", "Runtime": "python3.13"}}
            for name in OUTPUTS
            if name.endswith("Function")
        }
        self.mappings: dict[str, list[dict[str, Any]]] = {
            name: [{"UUID": f"uuid-of-{name}", "State": "Enabled", "LastProcessingResult": "OK"}]
            for name in self.functions
        }
        self.limit = 10
        self.bound("tunehook-fulfillment", 2)
        self.bound("tunehook-webhooks", 4)

    def bound(self, function: str, at_once: int | None) -> None:
        (mapping,) = self.mappings[function]
        mapping["ScalingConfig"] = {} if at_once is None else {"MaximumConcurrency": at_once}

    def get_account_settings(self) -> Any:
        return {"AccountLimit": {"UnreservedConcurrentExecutions": self.limit}}

    def get_function_configuration(self, FunctionName: str) -> Any:  # noqa: N803
        return self.functions[FunctionName]["Configuration"]

    def get_function_concurrency(self, FunctionName: str) -> Any:  # noqa: N803
        return self.functions[FunctionName].get("Concurrency", {})

    def list_event_source_mappings(self, FunctionName: str) -> Any:  # noqa: N803
        return {"EventSourceMappings": self.mappings[FunctionName]}


@pytest.fixture
def clients(operated: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Clients of the test's own in the place of moto's, by service."""
    own: dict[str, Any] = {"lambda": Lambdas()}
    monkeypatch.setattr(
        "tunehook.aws.clients.client", lambda service, **_: own.get(service) or client(service)
    )
    return own


@pytest.fixture
def healthy(clients: dict[str, Any], providers: Any) -> Iterator[Lambdas]:
    """A stack with which all is well."""
    client("scheduler").create_schedule(
        Name=SCHEDULE,
        ScheduleExpression="rate(1 minute)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:lambda:eu-west-1:1:function:x", "RoleArn": "arn:aws:iam::1:role/x"},
    )
    Leases(client("dynamodb"), "PollerLeasesTable").take_over(0, "a poller", now_ms())
    with run_sandbox() as sandbox:
        providers(json.dumps({"suno": sandbox.providers_secret()["suno"]}))
        yield clients["lambda"]


def findings(tunehook: Any, state: str | None = None) -> list[tuple[str, str, str | None]]:
    """Return check, words and advice of what was found in a state; by default of all that is not well."""
    result = tunehook("doctor", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == (1 if any(each["state"] == "fail" for each in found) else 0)
    return [
        (each["check"], each["words"], each["advice"])
        for each in found
        if (each["state"] == state if state else each["state"] != "ok")
    ]


def test_a_healthy_stack_is_well_in_every_part(tunehook: Any, healthy: Lambdas) -> None:
    result = tunehook("doctor")
    assert (result.exit_code, result.stderr) == (0, "All is well.\n")
    assert {line.split("  ")[0] for line in result.stdout.splitlines()} == {"ok"}
    found = json.loads(tunehook("doctor", "--json").stdout)
    assert list(dict.fromkeys(each["check"] for each in found)) == [
        "credentials",
        "stack",
        "secrets",
        "providers",
        "schedule",
        "functions",
        "mappings",
        "concurrency",
        "queues",
        "dead letters",
        "poller",
        "tasks",
        "deliveries",
        "subscriptions",
    ]
    words = [each["words"] for each in found if each["check"] not in ("credentials", "providers")]
    names = ("intake", "poller", "fulfillment", "webhooks", "api")
    assert words == [
        "tunehook is CREATE_COMPLETE",
        "the master secret can be read and is long enough",
        "the providers secret can be read",
        f"{SCHEDULE} is enabled, rate(1 minute)",
        *(f"tunehook-{name} is ready, python3.13" for name in names),
        "tunehook-intake reads from the Tasks stream",
        "tunehook-fulfillment reads from the fulfillment queue",
        "tunehook-webhooks reads from the deliveries queue",
        "the account may run 10 functions at once, and this stack needs about 9",
        "fulfillment: 0 waiting, 0 in progress, 0 delayed",
        "deliveries: 0 waiting, 0 in progress, 0 delayed",
        "there are none",
        "shard 0: a poller watches 0 pending tasks",
        "none is pending",
        "0 pending, none of them held back",
        "there is none",
    ]


def test_what_is_wrong_stands_with_what_to_do(tunehook: Any, healthy: Lambdas) -> None:
    healthy.mappings["tunehook-webhooks"][0]["State"] = "Disabled"
    result = tunehook("doctor")
    assert (result.exit_code, result.stderr) == (1, "1 fail\n")
    lines = result.stdout.splitlines()
    (number,) = (number for number, line in enumerate(lines) if line.startswith("fail"))
    assert (
        "tunehook-webhooks gets no events: its mapping to the deliveries queue is disabled" in lines[number]
    )
    assert lines[number + 1].strip() == (
        "-> `aws lambda update-event-source-mapping --uuid uuid-of-tunehook-webhooks --enabled`"
    )


def test_a_fault_of_our_own_is_no_finding(clients: dict[str, Any]) -> None:
    class Wrong:
        def get_caller_identity(self) -> Any:
            raise ParamValidationError(report="a call that the code makes wrongly")

    clients["sts"] = Wrong()
    with pytest.raises(ParamValidationError):
        list(examine(lambda service, **_: clients[service], "tunehook"))


def test_without_credentials_nothing_else_is_looked_at(tunehook: Any, clients: dict[str, Any]) -> None:
    def refuse() -> Any:
        raise NoCredentialsError

    clients["sts"] = SimpleNamespace(get_caller_identity=refuse)
    ((check, words, _),) = findings(tunehook)
    assert (check, words.split(":")[0]) == ("credentials", "no AWS credentials")


def test_a_stack_that_is_not_there_ends_the_examination(tunehook: Any, aws: None) -> None:
    ((check, words, _),) = findings(tunehook)
    assert (check, words.split(":")[0]) == ("stack", "no stack named tunehook in eu-west-1")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("UPDATE_IN_PROGRESS", "tunehook is UPDATE_IN_PROGRESS"),
        ("UPDATE_ROLLBACK_COMPLETE", "tunehook is UPDATE_ROLLBACK_COMPLETE: its last update failed"),
        ("UPDATE_FAILED", "tunehook is UPDATE_FAILED: its last update failed"),
    ],
)
def test_a_stack_whose_update_is_under_way_or_failed_is_warned_of(
    tunehook: Any, healthy: Lambdas, monkeypatch: pytest.MonkeyPatch, status: str, words: str
) -> None:
    set_status(monkeypatch, status)
    assert [found[:2] for found in findings(tunehook, "warn")] == [("stack", words)]


def test_a_master_secret_that_is_too_short_is_a_failure(tunehook: Any, healthy: Lambdas) -> None:
    client("secretsmanager").put_secret_value(SecretId="master", SecretString="short")
    ((check, words, _),) = findings(tunehook)
    assert (check, words) == ("secrets", "the master secret has fewer than 32 characters")


def test_no_provider_is_warned_of(tunehook: Any, healthy: Lambdas, providers: Any) -> None:
    providers("{}")
    assert findings(tunehook, "warn") == [
        ("providers", "none is configured, so tasks wait", "add one with `tunehook providers set`")
    ]


def test_that_none_is_configured_is_not_said_of_a_provider_that_cannot_be_used(
    tunehook: Any, healthy: Lambdas, providers: Any
) -> None:
    providers('{"broken": {"kind": "nope"}}')
    ((check, words, _),) = findings(tunehook)
    assert (check, words.startswith("broken cannot be used: ")) == ("providers", True)


def test_a_providers_secret_that_is_no_json_is_a_failure(
    tunehook: Any, healthy: Lambdas, providers: Any
) -> None:
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString="nope")
    assert {found[0] for found in findings(tunehook, "fail")} == {"secrets", "providers"}


def test_each_provider_is_asked(tunehook: Any, healthy: Lambdas, providers: Any) -> None:
    with run_sandbox() as sandbox:
        good = sandbox.providers_secret()["suno"]
        entries = {
            "good": good,
            "refused": good | {"api_key": f"wrong-{KEY}"},
            "away": good | {"base_url": "http://127.0.0.1:9"},
            "broken": good | {"kind": "nope"},
        }
        providers(json.dumps(entries))
        result = tunehook("doctor", "--json")
    assert KEY not in result.output
    found = {
        each["words"].split(" ")[0].rstrip(","): (each["state"], each["advice"])
        for each in json.loads(result.stdout)
        if each["check"] == "providers"
    }
    assert found["good"] == ("ok", None)
    assert found["refused"] == ("fail", "give the right key with `tunehook providers set refused`")
    assert found["away"][0] == "fail"
    assert found["broken"] == ("fail", "set it again with `tunehook providers set broken`")


def test_a_key_that_was_accepted_is_told_from_one_that_never_was(
    tunehook: Any, healthy: Lambdas, providers: Any
) -> None:
    from tunehook.providers.client import key_digest

    with run_sandbox() as sandbox:
        entry = sandbox.providers_secret()["suno"] | {"api_key": f"wrong-{KEY}"}
        providers(json.dumps({"suno": entry}))
        accepted = {"provider": "suno", "accepted_key": key_digest("suno", entry["api_key"])}
        put("ProviderStatesTable", accepted)
        ((check, words, advice),) = findings(tunehook, "fail")
    assert check == "providers"
    assert "no longer accepts the key (used up, expired or revoked)" in words
    assert "check whether it is used up" in str(advice)


def test_a_provider_that_throttles_is_warned_of(
    tunehook: Any, healthy: Lambdas, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tunehook.operations import checks
    from tunehook.operations.probe import Probe
    from tunehook.providers.outcomes import Throttled

    probe = Probe("t", "HTTP 429", 0.1, Throttled(3.0))
    monkeypatch.setattr(checks, "poll_once", lambda config: probe)
    ((check, words, _),) = findings(tunehook, "warn")
    assert (check, words.startswith("suno, suno: throttled")) == ("providers", True)


def test_a_schedule_that_is_disabled_is_a_failure(tunehook: Any, healthy: Lambdas) -> None:
    kept = ("ScheduleExpression", "FlexibleTimeWindow", "Target")
    schedule = client("scheduler").get_schedule(Name=SCHEDULE)
    client("scheduler").update_schedule(
        Name=SCHEDULE, State="DISABLED", **{name: schedule[name] for name in kept}
    )
    ((check, words, advice),) = findings(tunehook, "fail")
    assert (check, words.split(":")[0]) == ("schedule", f"{SCHEDULE} is disabled")
    assert advice == f"enable the schedule {SCHEDULE} in the console of EventBridge Scheduler"


def test_a_schedule_that_was_deleted_is_a_failure(tunehook: Any, healthy: Lambdas) -> None:
    client("scheduler").delete_schedule(Name=SCHEDULE)
    ((check, words, advice),) = findings(tunehook, "fail")
    assert (check, words) == ("schedule", f"{SCHEDULE} is not there")
    assert advice is not None
    assert "docs/deploying.md" in advice


def test_a_function_that_may_not_run_is_a_failure(tunehook: Any, healthy: Lambdas) -> None:
    healthy.functions["tunehook-poller"]["Concurrency"] = {"ReservedConcurrentExecutions": 0}
    assert findings(tunehook, "fail") == [
        (
            "functions",
            "tunehook-poller is switched off: its concurrency is 0",
            "`aws lambda delete-function-concurrency --function-name tunehook-poller`",
        )
    ]


def test_a_function_with_a_bound_is_well(tunehook: Any, healthy: Lambdas) -> None:
    healthy.functions["tunehook-webhooks"]["Concurrency"] = {"ReservedConcurrentExecutions": 5}
    assert findings(tunehook) == []


@pytest.mark.parametrize("state", [{"State": "Inactive"}, {}])
def test_a_function_that_is_asleep_is_well(tunehook: Any, healthy: Lambdas, state: dict[str, str]) -> None:
    healthy.functions["tunehook-webhooks"]["Configuration"] = {"Runtime": "python3.13", **state}
    assert findings(tunehook) == []


def test_a_function_that_is_broken_is_a_failure(tunehook: Any, healthy: Lambdas) -> None:
    healthy.functions["tunehook-intake"]["Configuration"] |= {"State": "Failed", "StateReason": "no subnet"}
    ((check, words, _),) = findings(tunehook, "fail")
    assert (check, words) == ("functions", "tunehook-intake is Failed: no subnet")


def test_a_function_that_is_fed_from_nowhere_is_a_failure(tunehook: Any, healthy: Lambdas) -> None:
    healthy.mappings["tunehook-intake"] = []
    ((check, words, _),) = findings(tunehook, "fail")
    assert (check, words) == ("mappings", "tunehook-intake has no event source mapping to the Tasks stream")


@pytest.mark.parametrize(
    "change",
    [{"State": "Enabling"}, {"LastProcessingResult": "PROBLEM: the role may not read"}],
)
def test_a_mapping_in_trouble_is_warned_of(tunehook: Any, healthy: Lambdas, change: dict[str, str]) -> None:
    healthy.mappings["tunehook-fulfillment"][0] |= change
    ((check, words, _),) = findings(tunehook, "warn")
    assert (check, next(iter(change.values())) in words) == ("mappings", True)


@pytest.mark.parametrize(
    ("queue", "state"),
    [("fulfillment", "fail"), ("deliveries", "fail"), ("intake", "fail"), ("poller", "warn")],
)
def test_dead_letters_are_named_with_what_to_do(
    tunehook: Any, healthy: Lambdas, queue: str, state: str
) -> None:
    client("sqs").send_message(QueueUrl=OUTPUTS[f"{queue.capitalize()}DeadLetters"], MessageBody="{}")
    advice = f"`tunehook dlq list {queue}` shows them; `tunehook dlq redrive {queue}` retries them"
    assert findings(tunehook, state) == [("dead letters", f"{queue}: 1", advice)]


def put_work(since_ms: int, status: str = "pending", *, provider: str = "suno", task_id: str = "t") -> None:
    fields = {"status": status, "submitted_at_ms": since_ms, "deadline_ms": since_ms + 3_600_000}
    put(
        "TasksTable",
        {"task_id": task_id, "provider": provider, "queue": "work#0", "since_ms": since_ms, **fields},
    )


def test_pending_tasks_of_a_provider_that_does_not_exist_are_named_with_the_nearest_one(
    tunehook: Any, healthy: Lambdas
) -> None:
    for task_id, provider in (("t-1", "sumo"), ("t-2", "sumo"), ("t-3", "else\x1b"), ("t-4", "suno")):
        put_work(now_ms(), provider=provider, task_id=task_id)
    other, near = findings(tunehook, "warn")
    assert other == (
        "tasks",
        "1 pending task of else\\x1b, a provider that is not configured: t-3",
        "`tunehook providers set else\\x1b` configures it, and they go on",
    )
    assert near[1] == "2 pending tasks of sumo, a provider that is not configured: t-1 and others"
    assert str(near[2]).startswith(
        "if suno was meant, submit them to it and cancel these (`tunehook tasks cancel`); "
    )


def put_delivery(late_ms: int, subscription_id: str = "sub-1") -> None:
    delivery = new_delivery(
        event_id="evt_1",
        subscription_id=subscription_id,
        task_id="t",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=now_ms() - late_ms,
    )
    DeliveriesTable(client("dynamodb"), "DeliveriesTable").create(delivery)


@pytest.mark.parametrize(("late_ms", "warned"), [(OVERDUE_MS + 5000, True), (1000, False), (-60_000, False)])
def test_deliveries_that_are_overdue_for_no_known_reason_are_warned_of(
    tunehook: Any, healthy: Lambdas, late_ms: int, warned: bool
) -> None:
    put_delivery(late_ms)
    message = "1 delivery overdue, and not because a receiver hangs"
    found = [each[:2] for each in findings(tunehook, "warn")]
    assert found == ([("deliveries", message)] if warned else [])


@pytest.mark.parametrize("late_ms", [OVERDUE_MS + 5000, 1000])
def test_deliveries_that_are_held_back_are_warned_of_with_their_receiver_and_until_when(
    tunehook: Any, healthy: Lambdas, late_ms: int
) -> None:
    url = "https://receiver.example/hangs"
    until_ms = now_ms() + 90_000
    hang(url, until_ms)
    put_delivery(late_ms)
    told = {part: (message, advice) for part, message, advice in findings(tunehook, "warn")}
    assert told["deliveries"] == (
        f"1 delivery to {url} held back: the receiver hangs, and is tried again about {from_ms(until_ms):%H:%M} UTC",
        "nothing is lost; `tunehook deliveries list --status pending` shows them",
    )


def hang(url: str, until_ms: int) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": url, "enabled": True, "format": "standard"})
    circuit = {"wait_ms": 120_000, "shut_until_ms": until_ms}
    put("ReceiverGatesTable", {"receiver": notify_hook_subscription_id(url), **circuit})


def test_a_receiver_that_is_being_tried_again_is_said_to_be_tried_now(
    tunehook: Any, healthy: Lambdas
) -> None:
    hang("https://receiver.example/", now_ms() - 1000)
    put_delivery(1000)
    ((_, words, _),) = findings(tunehook, "warn")
    assert words.endswith("held back: the receiver hangs, and is tried again now")


def test_where_more_may_be_held_back_than_is_looked_at_nothing_is_said_of_what_is_overdue(
    tunehook: Any, healthy: Lambdas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.operations.checks.HELD_BACK_SHOWN", 1)
    hang("https://receiver.example/", now_ms() + 90_000)
    put_delivery(OVERDUE_MS + 5000)
    put_delivery(OVERDUE_MS + 5000, "elsewhere")
    ((_, words, _),) = findings(tunehook, "warn")
    assert words.startswith("at least 1 delivery to https://receiver.example/ held back: ")


@pytest.mark.parametrize(
    ("ago_s", "state"), [(LATE_S - 5, None), (LATE_S + 5, "warn"), (STOPPED_S + 5, "fail")]
)
@pytest.mark.parametrize("status", ["pending", "completed"])
@pytest.mark.parametrize("by", ["since the last pass", "since it came"])
def test_work_that_no_poller_watches_is_named(
    tunehook: Any, healthy: Lambdas, ago_s: int, state: str | None, status: str, by: str
) -> None:
    at_ms = now_ms() - ago_s * 1000
    earlier_ms = at_ms - 7_200_000
    watched_ms, came_ms = (at_ms, earlier_ms) if by == "since the last pass" else (earlier_ms, at_ms)
    put("PollerLeasesTable", {"shard": 0, "owner": "a poller", "until_ms": watched_ms})
    put_work(came_ms, status)
    found = [each for each in json.loads(tunehook("doctor", "--json").stdout) if each["state"] != "ok"]
    assert [(each["check"], each["state"]) for each in found] == ([("poller", state)] if state else [])


def test_work_that_no_poller_has_ever_watched_is_named(tunehook: Any, healthy: Lambdas) -> None:
    client("dynamodb").delete_item(TableName="PollerLeasesTable", Key={"shard": {"N": "0"}})
    Leases(client("dynamodb"), "PollerLeasesTable").register(0, now_ms())
    put_work(now_ms() - 1000 * STOPPED_S - 5000)
    ((check, words, _),) = findings(tunehook, "fail")
    assert check == "poller"
    assert words.startswith("shard 0: there is work, and no poller for 5 min ")


def test_work_is_without_a_poller_since_the_oldest_of_it_came(tunehook: Any, healthy: Lambdas) -> None:
    put("PollerLeasesTable", {"shard": 0, "owner": "a poller", "until_ms": 1})
    put_work(now_ms() - 1000 * STOPPED_S - 5000, task_id="old")
    put_work(now_ms(), "completed", task_id="new")
    assert [check for check, _, _ in findings(tunehook, "fail")] == ["poller"]


@pytest.mark.parametrize(
    ("for_s", "state"), [(150, State.OK), (151, State.WARN), (300, State.WARN), (301, State.FAIL)]
)
def test_for_how_long_work_may_be_without_a_poller(for_s: int, state: State) -> None:
    assert _unwatched(0, for_s)[0] is state


def test_what_counts_as_stopped_is_when_the_alarm_rings() -> None:
    alarm = template()["Resources"]["NoPollerPassAlarm"]["Properties"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == STOPPED_S


def test_an_idle_stack_needs_no_poller(tunehook: Any, healthy: Lambdas) -> None:
    put("PollerLeasesTable", {"shard": 0, "owner": "a poller", "until_ms": 1})
    assert findings(tunehook) == []


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"enabled": False}, "1 disabled"),
        ({"failing_since_ms": 1}, "1 failing"),
        ({"url": "nope"}, "1 unusable"),
    ],
)
def test_subscriptions_that_get_nothing_are_warned_of(
    tunehook: Any, healthy: Lambdas, item: dict[str, Any], told: str
) -> None:
    put("SubscriptionsTable", {"subscription_id": "s", "url": "https://example.com", **item})
    assert [found[:2] for found in findings(tunehook, "warn")] == [("subscriptions", told)]


def test_urls_to_which_the_same_comes_twice_are_listed(tunehook: Any, healthy: Lambdas) -> None:
    url = "https://example.com/"
    for name, fields in {
        "a": {},
        "b": {"events": ["task.failed"]},
        "disabled": {"enabled": False},
        "elsewhere": {"url": "https://example.com/2"},
        "unusable": {"format": "xml"},
    }.items():
        put("SubscriptionsTable", {"subscription_id": name, "url": url, **fields})
    told = [words for check, words, _ in findings(tunehook, "warn") if "same comes twice" in words]
    assert told == ["a and b have the same URL, to which the same comes twice"]


@pytest.mark.parametrize(("limit", "state"), [(9, "ok"), (8, "warn")])
def test_what_the_stack_may_run_at_once_is_compared_with_the_account(
    tunehook: Any, healthy: Lambdas, limit: int, state: str
) -> None:
    """Two pollers at hand-over, one intake, two fulfillments and four webhooks."""
    healthy.limit = limit
    ((_, words, advice),) = [each for each in findings(tunehook, state) if each[0] == "concurrency"]
    assert words.startswith(f"the account may run {limit} functions at once, ")
    assert ("may need 9" in words and "ShardCount" in str(advice)) == (state == "warn")


def test_shards_that_do_not_fit_the_account_are_warned_of(
    tunehook: Any, healthy: Lambdas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunehook.operations.stack.Stack.shard_count", 64)
    monkeypatch.setattr("tunehook.operations.status.shard_leases", lambda *_: ())
    healthy.limit = 100
    ((check, words, _),) = findings(tunehook)
    assert (check, "may need 135" in words) == ("concurrency", True)


@pytest.mark.parametrize(
    ("limit", "to"), [(1000, 100), (120, 50), (60, 20), (30, 10), (20, 5), (14, 3), (8, 2)]
)
def test_fulfillment_without_a_bound_is_warned_of_with_one_that_fits(
    tunehook: Any, healthy: Lambdas, limit: int, to: int
) -> None:
    healthy.limit = limit
    healthy.bound("tunehook-fulfillment", None)
    ((check, words, advice),) = findings(tunehook)
    assert (check, "may take all of them" in words) == ("concurrency", True)
    assert advice == f"deploy it with FulfillmentConcurrency set, to {to} say"


def test_a_limit_that_one_may_not_read_is_a_note(
    tunehook: Any, healthy: Lambdas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Any:
        raise fault("AccessDeniedException", "GetAccountSettings")

    monkeypatch.setattr(healthy, "get_account_settings", refuse)
    assert findings(tunehook) == []
    ((_, words, _),) = [each for each in findings(tunehook, "ok") if each[0] == "concurrency"]
    assert "lambda:GetAccountSettings" in words


def test_a_limit_that_aws_cannot_tell_now_is_a_failure(
    tunehook: Any, healthy: Lambdas, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise fault("ServiceException", "GetAccountSettings")

    monkeypatch.setattr(healthy, "get_account_settings", fail)
    assert [check for check, _, _ in findings(tunehook, "fail")] == ["concurrency"]


def test_what_is_not_fed_needs_no_room_of_the_account(tunehook: Any, healthy: Lambdas) -> None:
    """Two pollers, one intake and four webhooks."""
    healthy.mappings["tunehook-fulfillment"] = []
    healthy.limit = 7
    assert [check for check, _, _ in findings(tunehook)] == ["mappings"]


def test_a_check_that_aws_refuses_is_a_failure_and_the_others_go_on(
    tunehook: Any, healthy: Lambdas, clients: dict[str, Any]
) -> None:
    refused: list[Exception | None] = [fault("AccessDenied", "GetQueueAttributes")]
    clients["sqs"] = Faulty(client("sqs"), get_queue_attributes=refused)
    ((check, words, _),) = findings(tunehook, "fail")
    assert (check, words.split(":")[0]) == ("queues", "AWS denies GetQueueAttributes (AccessDenied)")
