"""Tasks that are submitted through tunehook: once, whatever happens, and watched at once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ReadTimeoutError
from tests.support.aws import Faulty, client, fault, items, put
from tests.support.recipes import RECIPE
from tests.unit.cli.conftest import MASTER_SECRET, no_embedded_aws, stack  # noqa: F401 - fixtures

from tunehook.aws.api_requests import IN_PROGRESS_MS
from tunehook.errors import InvalidInput, NotFound
from tunehook.operations import submissions
from tunehook.operations.callbacks import callback_url
from tunehook.operations.kept_secrets import KeptSecrets
from tunehook.operations.stack import Stack, find_stack
from tunehook.operations.submissions import (
    KeyReused,
    NotRecorded,
    NotSubmitted,
    OutcomeUnknown,
    ProviderRefused,
    ProviderSubmission,
    SubmissionUnclear,
    submit_through,
)
from tunehook.providers.adapter import Request
from tunehook.providers.config import ProviderConfig
from tunehook.providers.submission_answers import Refused, Submitted, Unclear
from tunehook.providers.submit import NotSent, SubmitResult
from tunehook.signatures import derive_secret, notify_hook_subscription_id

ID = "task_s5sudYVSO0UYEjmvuHiVN6cbmPSiUKbC"
NOW_MS = 1_795_890_000_000
DAY_MS = 24 * 3600 * 1000
BODY = {"prompt": "rain on the roof", "mv": "chirp-v4"}
HOOK = "https://x.example/hook"
KEY = "order-1017"
ENTRIES = {
    "gw": {"kind": "suno", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789abcdef0123"},
    "direct": {"kind": "qhaigc", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789abcdef0123"},
    "reseller": {"kind": "sunoapi", "base_url": "http://127.0.0.1:9", "api_key": "sk-0123456789abcdef0123"},
    "unified": {
        "kind": "piapi",
        "base_url": "http://127.0.0.1:9",
        "api_key": "sk-0123456789abcdef0123",
        "callback_scheme": "header",
        "callback_secret": "s3cr3t-of-callbacks",
    },
    "described": {
        "kind": "described",
        "recipe": RECIPE | {"submit": {"actions": {"music": "/make"}, "callback": "hooks.done"}},
        "api_key": "sk-0123456789abcdef0123",
    },
    "broken": {"kind": "suno", "base_url": "no URL", "api_key": "sk-0123456789abcdef0123"},
}

Prepared = Callable[..., Stack]


class Gateway:
    """Gives its answers one after the other, the last one for ever, and notes what it was asked."""

    def __init__(self, *answers: SubmitResult | BaseException) -> None:
        self._answers = list(answers) or [Submitted(ID)]
        self.asked: list[tuple[str, Request, Sequence[str]]] = []

    def __call__(self, config: ProviderConfig, request: Request, hidden: Sequence[str]) -> SubmitResult:
        self.asked.append((config.name, request, hidden))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(submissions, "now_ms", clock)
    return clock


@pytest.fixture
def prepared(stack: None, clock: Clock) -> Prepared:  # noqa: F811 - the fixture
    client("secretsmanager").put_secret_value(SecretId="providers", SecretString=json.dumps(ENTRIES))

    def make(dynamodb: Any = None) -> Stack:
        def opened(service: str, **_: Any) -> Any:
            return dynamodb if service == "dynamodb" and dynamodb is not None else client(service)

        return find_stack(opened, "tunehook")

    return make


@pytest.fixture
def found(prepared: Prepared) -> Stack:
    return prepared()


def submitted(
    found: Stack, gateway: Gateway, body: dict[str, Any] = BODY, key: str | None = KEY, **options: Any
) -> ProviderSubmission:
    given = {"sleep": lambda _: None, **options}
    return submit_through(found, "gw", "music", body, idempotency_key=key, send=gateway, **given)


def test_a_described_provider_gets_the_callback_where_its_recipe_says(found: Stack) -> None:
    gateway = Gateway()
    done = submit_through(found, "described", "music", BODY, send=gateway)
    (name, request, hidden), url = gateway.asked[0], callback_url(found, "described")
    assert (name, request.method, request.path) == ("described", "POST", "/make")
    assert request.body == BODY | {"hooks": {"done": url}}
    assert (list(hidden), done.with_callback) == ([url], True)
    theirs = BODY | {"hooks": {"done": HOOK}}
    assert not submit_through(found, "described", "music", theirs, send=gateway).with_callback
    assert gateway.asked[1][1].body == theirs


def test_an_action_that_a_recipe_does_not_have_is_refused(found: Stack) -> None:
    with pytest.raises(InvalidInput, match="action: must be one of music"):
        submit_through(found, "described", "video", BODY, send=Gateway())


def test_a_task_is_submitted_and_watched_at_once(found: Stack, clock: Clock) -> None:
    gateway = Gateway()
    done = submitted(found, gateway, notify_hook=HOOK, metadata={"order": 1017}, timeout_s=600)
    item = {
        "task_id": ID,
        "provider": "gw",
        "notify_hook": HOOK,
        "metadata": {"order": 1017},
        "timeout_s": 600,
    }
    assert items("TasksTable") == [item]
    assert done.submission.item == item
    assert done.submission.replaced_status is None
    secret = derive_secret(MASTER_SECRET, notify_hook_subscription_id(HOOK), 1)
    assert done.submission.signing_secret == secret
    assert (done.action, done.submitted_at_ms, done.is_repeated) == ("music", clock.now_ms, False)
    name, request, _ = gateway.asked[0]
    assert (name, request.path) == ("gw", "/suno/submit/music")
    assert {name: request.body[name] for name in BODY} == BODY


def test_the_provider_is_told_what_to_call_back_where_its_kind_knows_how(found: Stack) -> None:
    gateway = Gateway(*(Submitted(f"task-{number}") for number in range(3)))
    own = {"notify_hook": "https://mine.example/"}
    assert submitted(found, gateway).with_callback
    assert not submitted(found, gateway, BODY | own, key="own").with_callback
    direct = submit_through(found, "direct", "music", BODY, send=gateway)
    assert not direct.with_callback
    bodies = [request.body for _, request, _ in gateway.asked]
    assert bodies == [BODY | {"notify_hook": callback_url(found, "gw")}, BODY | own, BODY]
    assert gateway.asked[0][2] == [callback_url(found, "gw")]
    assert callback_url(found, "gw") not in repr(items("ApiRequestsTable"))


def test_a_stack_without_an_api_is_called_back_by_nobody(found: Stack) -> None:
    without = replace(found, parameters={**found.parameters, "HttpApi": "off"})
    gateway = Gateway()
    assert not submitted(without, gateway).with_callback
    assert gateway.asked[0][1].body == BODY


def test_without_one_nothing_is_sent_to_a_provider_that_refuses_it(found: Stack) -> None:
    without = replace(found, parameters={**found.parameters, "HttpApi": "off"})
    gateway = Gateway()
    with pytest.raises(InvalidInput, match=r"^body\.callBackUrl: is missing.*HttpApi=off"):
        submit_through(without, "reseller", "music", BODY, send=gateway)
    assert not gateway.asked
    assert not items("ApiRequestsTable")
    own = {"callBackUrl": "https://mine.example"}
    submit_through(without, "reseller", "music", BODY | own, send=gateway)
    submit_through(found, "reseller", "music", BODY, send=gateway)
    bodies = [request.body for _, request, _ in gateway.asked]
    assert bodies == [BODY | own, BODY | {"callBackUrl": callback_url(found, "reseller")}]


def test_a_secret_that_the_provider_is_to_show_goes_beside_the_url(found: Stack) -> None:
    gateway = Gateway()
    submit_through(found, "unified", "music", BODY, send=gateway)
    hook = {"endpoint": callback_url(found, "unified"), "secret": "s3cr3t-of-callbacks"}
    assert gateway.asked[0][1].body == BODY | {"config": {"webhook_config": hook}}
    assert "s3cr3t-of-callbacks" not in repr(items("ApiRequestsTable"))


def test_what_is_not_given_is_not_on_the_item(found: Stack) -> None:
    submitted(found, Gateway(), notify_hook=None, metadata=None)
    assert items("TasksTable") == [{"task_id": ID, "provider": "gw"}]


def test_the_same_again_gets_the_same_answer_without_a_call(found: Stack, clock: Clock) -> None:
    gateway = Gateway()
    first = submitted(found, gateway, notify_hook=HOOK)
    clock.now_ms += DAY_MS - 1_000
    again = submitted(found, gateway, notify_hook=HOOK)
    assert again == first.model_copy(update={"is_repeated": True})
    assert len(gateway.asked) == 1


def test_the_key_counts_for_a_day(found: Stack, clock: Clock) -> None:
    gateway = Gateway(Submitted(ID), Submitted("task-2"))
    submitted(found, gateway)
    clock.now_ms += DAY_MS
    assert submitted(found, gateway).submission.item["task_id"] == "task-2"
    assert len(gateway.asked) == 2


def test_the_key_counts_for_one_api_key(found: Stack) -> None:
    gateway = Gateway(Submitted(ID), Submitted("task-2"))
    submitted(found, gateway, key_id="a")
    assert not submitted(found, gateway, key_id="b").is_repeated


def test_without_a_key_each_is_one_of_its_own(found: Stack) -> None:
    gateway = Gateway(Submitted(ID), Submitted("task-2"))
    assert [submitted(found, gateway, key=None).submission.item["task_id"] for _ in "ab"] == [ID, "task-2"]


@pytest.mark.parametrize(
    "other",
    [{"body": BODY | {"mv": "chirp-v5"}}, {"metadata": {"a": 1}}, {"timeout_s": 700}, {"notify_hook": HOOK}],
    ids=str,
)
def test_the_same_key_for_something_else_is_refused(found: Stack, other: dict[str, Any]) -> None:
    gateway = Gateway()
    submitted(found, gateway)
    with pytest.raises(KeyReused, match="idempotency_key"):
        submitted(found, gateway, **other)
    assert len(gateway.asked) == 1


def test_the_order_of_names_in_a_body_says_nothing(found: Stack) -> None:
    submitted(found, Gateway())
    assert submitted(found, Gateway(), dict(reversed(BODY.items()))).is_repeated


@pytest.mark.parametrize(
    ("given", "error", "field"),
    [
        ({"provider": "other"}, NotFound, "provider"),
        ({"provider": "broken"}, InvalidInput, "provider"),
        ({"action": "video"}, InvalidInput, "action"),
        ({"notify_hook": "no URL"}, InvalidInput, "notify_hook"),
        ({"notify_format": "xml"}, InvalidInput, "notify_format"),
        ({"metadata": {"a": "x" * 3000}}, InvalidInput, "metadata"),
        ({"timeout_s": 1}, InvalidInput, "timeout_s"),
        ({"idempotency_key": "a b"}, InvalidInput, "idempotency_key"),
        ({"idempotency_key": ""}, InvalidInput, "idempotency_key"),
        ({"idempotency_key": "é"}, InvalidInput, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, InvalidInput, "idempotency_key"),
        ({"body": {"a": float("nan")}}, InvalidInput, "body"),
        ({"body": {"a": "x" * 300_000}}, InvalidInput, "body"),
    ],
    ids=str,
)
def test_what_is_not_acceptable_is_named_before_anything_is_written(
    found: Stack, given: dict[str, Any], error: type[InvalidInput], field: str
) -> None:
    gateway = Gateway()
    call = {"provider": "gw", "action": "music", "body": BODY, "idempotency_key": KEY, **given}
    with pytest.raises(error) as raised:
        submit_through(found, send=gateway, **call)
    assert raised.value.field == field
    assert type(raised.value) is error
    assert gateway.asked == items("ApiRequestsTable") == items("TasksTable") == []


@pytest.mark.parametrize("key", ["k", "k" * 255])
def test_a_key_of_one_character_or_many_is_acceptable(found: Stack, key: str) -> None:
    assert submitted(found, Gateway(), key=key).submission.item["task_id"] == ID


def test_a_body_may_have_256_kilobytes_of_json(found: Stack) -> None:
    rest = 256 * 1024 - len(json.dumps({"prompt": ""}))
    assert submitted(found, Gateway(), {"prompt": "x" * rest}).submission.item["task_id"] == ID
    with pytest.raises(InvalidInput, match="body: is 262145 bytes of JSON, more than 262144"):
        submitted(found, Gateway(), {"prompt": "x" * (rest + 1)}, "another")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "额度"}, 'gw refused the task: HTTP 403 {"message": "额度"}'),
        ("x" * 501, f"gw refused the task: HTTP 403 {'x' * 500}"),
        ("", "gw refused the task: HTTP 403"),
    ],
)
def test_a_refusal_says_the_providers_words(found: Stack, body: Any, words: str) -> None:
    with pytest.raises(ProviderRefused) as raised:
        submitted(found, Gateway(Refused(403, body)))
    assert str(raised.value) == words


@pytest.mark.parametrize(
    ("answer", "status"), [(Submitted(ID), 201), (Refused(403, "no"), 502), (Unclear("no answer"), 504)]
)
def test_what_is_recorded_of_an_answer_can_be_read_by_another_version(
    found: Stack, answer: SubmitResult, status: int
) -> None:
    with contextlib.suppress(ProviderRefused, SubmissionUnclear):
        submitted(found, Gateway(answer))
    assert [item["status"] for item in items("ApiRequestsTable")] == [status]


def test_a_refusal_is_told_again_and_another_key_may_try_again(found: Stack) -> None:
    said = {"error": {"message": "user quota is not enough", "code": "insufficient_user_quota"}}
    gateway = Gateway(Refused(403, said), Submitted(ID))
    for _ in range(2):
        with pytest.raises(ProviderRefused, match=r"HTTP 403 .*quota is not enough") as raised:
            submitted(found, gateway)
        assert (raised.value.provider_status, raised.value.provider_body) == (403, said)
    assert len(gateway.asked) == 1
    assert items("TasksTable") == []
    assert submitted(found, gateway, key="another").submission.item["task_id"] == ID


def test_what_is_unclear_is_never_submitted_again(found: Stack, clock: Clock) -> None:
    gateway = Gateway(Unclear("no answer within 20 s"), Submitted(ID))
    with pytest.raises(SubmissionUnclear, match="no answer within 20 s"):
        submitted(found, gateway)
    for _ in range(2):
        with pytest.raises(OutcomeUnknown, match="no answer within 20 s"):
            submitted(found, gateway)
        clock.now_ms += DAY_MS - 60_000
    assert len(gateway.asked) == 1
    assert items("TasksTable") == []


def test_what_was_never_sent_may_be_sent_again(found: Stack) -> None:
    gateway = Gateway(NotSent("the connection was refused"), Submitted(ID))
    with pytest.raises(NotSubmitted, match="nothing was submitted: the connection was refused"):
        submitted(found, gateway)
    assert items("ApiRequestsTable") == []
    assert submitted(found, gateway).submission.item["task_id"] == ID


@pytest.mark.parametrize(
    ("later_ms", "words"),
    [
        (0, "is under way, or has died"),
        (1_000, "is under way, or has died"),
        (IN_PROGRESS_MS, "has left no answer"),
        (DAY_MS - 1_000, "has left no answer"),
    ],
)
def test_one_that_died_on_the_way_stays_unknown(
    found: Stack, clock: Clock, later_ms: int, words: str
) -> None:
    gateway = Gateway(SystemExit(), Submitted(ID))
    with pytest.raises(SystemExit):
        submitted(found, gateway)
    clock.now_ms += later_ms
    with pytest.raises(OutcomeUnknown, match=words):
        submitted(found, gateway)
    assert len(gateway.asked) == 1


def test_a_task_that_is_there_already_is_left_as_it_is(found: Stack) -> None:
    watched = {"task_id": ID, "provider": "gw", "status": "pending", "since_ms": NOW_MS}
    put("TasksTable", watched)
    done = submitted(found, Gateway(), metadata={"order": 1})
    assert done.submission.item["task_id"] == ID
    assert items("TasksTable") == [watched]
    assert submitted(found, Gateway(), metadata={"order": 1}).is_repeated


def test_a_task_that_a_callback_brought_first_is_adopted(found: Stack) -> None:
    put("TasksTable", {"task_id": ID, "provider": "gw", "taken_in": True, "status": "pending"})
    submitted(found, Gateway(), metadata={"order": 1})
    assert items("TasksTable") == [{"task_id": ID, "provider": "gw", "metadata": {"order": 1}}]
    assert submitted(found, Gateway(), metadata={"order": 1}).is_repeated


def test_a_record_that_fails_at_first_is_made_again(prepared: Prepared) -> None:
    pauses: list[float] = []
    dynamodb = Faulty(client("dynamodb"), transact_write_items=[fault(), fault()])
    done = submitted(prepared(dynamodb), Gateway(), sleep=pauses.append)
    assert pauses == [0.1, 0.4]
    assert [item["task_id"] for item in items("TasksTable")] == [ID] == [done.submission.item["task_id"]]


def test_an_id_that_cannot_be_recorded_is_told(prepared: Prepared, clock: Clock) -> None:
    gateway = Gateway()
    dynamodb = Faulty(client("dynamodb"), transact_write_items=[fault()] * 3)
    with pytest.raises(NotRecorded, match=f"took the task as {ID}") as raised:
        submitted(prepared(dynamodb), gateway)
    assert raised.value.task_id == ID
    clock.now_ms += IN_PROGRESS_MS
    with pytest.raises(OutcomeUnknown):
        submitted(prepared(), gateway)
    assert len(gateway.asked) == 1


def test_an_id_whose_request_was_deleted_is_told(prepared: Prepared) -> None:
    def delete_and_answer(*_: Any) -> SubmitResult:
        for each in items("ApiRequestsTable"):
            key = {"request_id": {"S": each["request_id"]}}
            client("dynamodb").delete_item(TableName="ApiRequestsTable", Key=key)
        return Submitted(ID)

    with pytest.raises(NotRecorded, match=ID):
        submit_through(prepared(), "gw", "music", BODY, send=delete_and_answer, sleep=lambda _: None)


@pytest.mark.parametrize("result", [Refused(400, "no"), Unclear("no"), NotSent("no")], ids=str)
def test_what_cannot_be_recorded_of_the_rest_is_told_all_the_same(
    prepared: Prepared, result: SubmitResult
) -> None:
    errors = {Refused: ProviderRefused, Unclear: SubmissionUnclear, NotSent: NotSubmitted}
    lost = ReadTimeoutError(endpoint_url="https://dynamodb.example")
    gateway = Gateway(result, Submitted(ID))
    dynamodb = Faulty(client("dynamodb"), update_item=[None, lost], delete_item=[lost])
    with pytest.raises(errors[type(result)]):
        submitted(prepared(dynamodb), gateway)
    with pytest.raises(OutcomeUnknown):
        submitted(prepared(), gateway)
    assert len(gateway.asked) == 1


def test_nothing_secret_lies_in_the_tables(found: Stack) -> None:
    submitted(found, Gateway(), notify_hook=HOOK)
    secret = derive_secret(MASTER_SECRET, notify_hook_subscription_id(HOOK), 1)
    kept = repr(items("ApiRequestsTable") + items("TasksTable"))
    assert secret not in kept
    assert ENTRIES["gw"]["api_key"] not in kept


class KeptKeys:
    """A gateway that notes the keys that come, and the stack's secrets as a function keeps them."""

    NO_KEY: ClassVar = Refused(401, {"error": {"message": "invalid api key"}})

    def __init__(self, found: Stack, clock: Clock, *answers: SubmitResult) -> None:
        self.found, self.clock = found, clock
        self.kept = KeptSecrets(self, on_fault=lambda _: None, clock=lambda: clock.now_ms / 1000)  # type: ignore[arg-type]
        self.answers = list(answers)
        self.keys: list[str] = []
        self.takes_ms = 0
        self.reads = 0
        self.faults: list[Exception] = []

    def providers_json(self) -> str:
        self.reads += 1
        if self.reads > 1 and self.faults:
            raise self.faults.pop()
        return self.found.providers_json()

    def master_secret(self) -> str:
        return self.found.master_secret()

    def __call__(self, config: ProviderConfig, request: Request, hidden: Sequence[str]) -> SubmitResult:
        self.keys.append(config.api_key.get_secret_value())
        self.clock.now_ms += self.takes_ms
        return self.answers.pop(0)

    def submit(self, key: str = KEY) -> ProviderSubmission:
        given = {"idempotency_key": key, "kept": self.kept, "sleep": lambda _: None}
        return submit_through(self.found, "gw", "music", BODY, send=self, **given)


def entries_are(**changes: Any) -> str:
    """Change an entry of the secret, as somebody else does meanwhile; return its key."""
    entry = ENTRIES["gw"] | changes
    client("secretsmanager").put_secret_value(
        SecretId="providers", SecretString=json.dumps(ENTRIES | {"gw": entry})
    )
    return str(entry["api_key"])


OLD_KEY, NEW_KEY = str(ENTRIES["gw"]["api_key"]), "sk-new-0123456789abcdef"


def test_a_kept_key_that_is_refused_and_was_replaced_costs_no_submission(found: Stack, clock: Clock) -> None:
    keys = KeptKeys(found, clock, Submitted("task-1"), KeptKeys.NO_KEY, Submitted(ID), Submitted("task-3"))
    keys.submit("first")
    entries_are(api_key=NEW_KEY)
    assert keys.submit().submission.item["task_id"] == ID
    assert keys.submit().is_repeated
    keys.submit("third")
    assert (keys.keys, keys.reads) == ([OLD_KEY, OLD_KEY, NEW_KEY, NEW_KEY], 2)


def test_a_replaced_key_counts_after_a_minute_though_the_old_one_is_accepted(
    found: Stack, clock: Clock
) -> None:
    keys = KeptKeys(found, clock, *[Submitted(f"task-{number}") for number in range(3)])
    keys.submit("first")
    entries_are(api_key=NEW_KEY)
    for key, later_ms in (("second", 59_000), ("third", 1_000)):
        clock.now_ms += later_ms
        keys.submit(key)
    assert keys.keys == [OLD_KEY, OLD_KEY, NEW_KEY]


@pytest.mark.parametrize("again", [KeptKeys.NO_KEY, Unclear("no answer"), NotSent("no connection")], ids=str)
def test_the_second_answer_counts_whatever_it_is_and_there_is_no_third(
    found: Stack, clock: Clock, again: SubmitResult
) -> None:
    keys = KeptKeys(found, clock, KeptKeys.NO_KEY, again, Submitted(ID))
    keys.kept.provider("gw")
    entries_are(api_key=NEW_KEY)
    expected = {Refused: ProviderRefused, Unclear: SubmissionUnclear, NotSent: NotSubmitted}[type(again)]
    with pytest.raises(expected):
        keys.submit()
    assert keys.keys == [OLD_KEY, NEW_KEY]
    if expected is NotSubmitted:
        assert keys.submit().submission.item["task_id"] == ID
    else:
        with pytest.raises(OutcomeUnknown if expected is SubmissionUnclear else ProviderRefused):
            keys.submit()
        assert len(keys.keys) == 2


@pytest.mark.parametrize(
    "changes",
    [{}, {"api_key": NEW_KEY, "base_url": "http://127.0.0.1:10"}, {"api_key": NEW_KEY, "kind": "qhaigc"}],
    ids=["nothing", "base URL", "kind"],
)
def test_a_refused_key_is_not_tried_again_unless_it_alone_is_another(
    found: Stack, clock: Clock, changes: dict[str, Any]
) -> None:
    keys = KeptKeys(found, clock, KeptKeys.NO_KEY, Submitted(ID))
    keys.kept.provider("gw")
    key = entries_are(**changes)
    with pytest.raises(ProviderRefused):
        keys.submit()
    assert keys.keys == [OLD_KEY]
    keys.submit("another")
    assert keys.keys == [OLD_KEY, key]


@pytest.mark.parametrize(
    "answer", [Refused(400, {"error": {"message": "prompt is too long"}}), NotSent("no connection")], ids=str
)
def test_what_is_refused_for_another_reason_is_not_tried_again_and_the_next_reads_anew(
    found: Stack, clock: Clock, answer: SubmitResult
) -> None:
    keys = KeptKeys(found, clock, answer, Submitted(ID))
    keys.kept.provider("gw")
    entries_are(api_key=NEW_KEY)
    with pytest.raises((ProviderRefused, NotSubmitted)):
        keys.submit()
    assert keys.keys == [OLD_KEY]
    keys.submit("another")
    assert keys.keys == [OLD_KEY, NEW_KEY]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, "no such key"),
        (402, {"error": {"message": "payment required"}}),
        (200, {"code": 401, "msg": "unauthorized"}),
        (403, {"error": {"message": "user quota is not enough", "code": "insufficient_user_quota"}}),
    ],
    ids=str,
)
def test_a_key_is_refused_in_many_words(found: Stack, clock: Clock, status: int, body: Any) -> None:
    keys = KeptKeys(found, clock, Refused(status, body), Submitted(ID))
    keys.kept.provider("gw")
    entries_are(api_key=NEW_KEY)
    keys.submit()
    assert keys.keys == [OLD_KEY, NEW_KEY]


@pytest.mark.parametrize(("takes_ms", "used"), [(15_000, [OLD_KEY, NEW_KEY]), (15_001, [OLD_KEY])])
def test_a_second_call_is_made_only_where_there_is_time_for_it(
    found: Stack, clock: Clock, takes_ms: int, used: list[str]
) -> None:
    keys = KeptKeys(found, clock, KeptKeys.NO_KEY, KeptKeys.NO_KEY)
    keys.kept.provider("gw")
    entries_are(api_key=NEW_KEY)
    keys.takes_ms = takes_ms
    with pytest.raises(ProviderRefused):
        keys.submit()
    assert keys.keys == used


def test_where_the_secret_cannot_be_read_anew_the_refusal_stands(found: Stack, clock: Clock) -> None:
    keys = KeptKeys(found, clock, KeptKeys.NO_KEY)
    keys.kept.provider("gw")
    keys.faults = [fault()]
    with pytest.raises(ProviderRefused, match="HTTP 401"):
        keys.submit()
    with pytest.raises(ProviderRefused, match="HTTP 401"):
        keys.submit()
    assert keys.keys == [OLD_KEY]


def test_a_command_asks_once_as_it_has_just_read_the_key(found: Stack) -> None:
    gateway = Gateway(KeptKeys.NO_KEY, Submitted(ID))
    with pytest.raises(ProviderRefused):
        submitted(found, gateway)
    assert len(gateway.asked) == 1
