"""The contract of the events: their schemas, the samples, and the rule that passes them on."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError
from moto.events.models import EventPattern
from tests.support import aws
from tests.support.events import sample
from tests.support.tasks import NOW_MS, clip, completed, ended
from tests.support.template import ROOT, resources

from fulfillment.payload import payload_of
from tunehook.deliveries import new_delivery
from tunehook.events import (
    EVENT_MODELS,
    SOURCE,
    ArchivedAsset,
    DeadLettersFound,
    ManifestLocation,
    OperationalEvent,
    PendingAsset,
    ProviderUnauthorised,
    SubscriptionDisabled,
    SubscriptionFailing,
    TaskArchived,
    TaskCompleted,
    task_ended,
)
from tunehook.operational import delivery_to, kind_of
from tunehook.operations.sample_event import sample_delivery, sample_event
from tunehook.subscriptions import SUBSCRIBABLE, Recipient, Subscription
from tunehook.tasks import Failure, FailureCode, Format, Status, TaskEnd
from tunehook.times import from_ms
from tunehook.webhook_body import render
from tunehook_cli import schemas

FAILED = TaskEnd(
    status=Status.FAILED,
    detected_at_ms=NOW_MS,
    submitted_at_ms=NOW_MS,
    failure=Failure(FailureCode.NOT_FOUND, "the provider suno knows no such task"),
)
ARCHIVED = TaskArchived(
    event_id="evt_2",
    task_event_id="evt_1",
    task_id="task-1",
    provider="suno",
    archived_at=from_ms(NOW_MS),
    archive="partial",
    manifest=ManifestLocation(bucket="results", key="results/suno/task-1/manifest.json"),
    assets=(
        ArchivedAsset(
            clip_id="clip-1",
            type="audio",
            source_url="https://cdn.example.com/1.mp3",
            status="archived",
            key="results/suno/task-1/clip-1/audio.mp3",
            content_type="audio/mpeg",
            bytes=7,
            sha256="00ff",
        ),
        ArchivedAsset(
            clip_id="clip-1",
            type="cover",
            source_url="https://cdn.example.com/1.jpeg",
            status="unavailable",
            reason="HTTP 410",
        ),
    ),
)
LONG = completed(clips=tuple(clip(f"clip-{number}", prompt="歌" * 40_000) for number in range(2)))
EMITTED = {
    "completed": task_ended(ended()),
    "completed, truncated": task_ended(ended(end=LONG)),
    "completed, bare": task_ended(ended(end=completed(clips=(), finished_at_ms=None), metadata={})),
    "failed": task_ended(ended(end=FAILED)),
    "rejected": task_ended(
        ended(
            end=TaskEnd(
                status=Status.REJECTED,
                detected_at_ms=NOW_MS,
                submitted_at_ms=NOW_MS,
                failure=Failure(FailureCode.INVALID, "timeout_s: must be a whole number of seconds"),
            )
        )
    ),
    "archived": ARCHIVED,
    "failing": SubscriptionFailing(
        event_id="evt_3",
        subscription_id="sub",
        failing_since=from_ms(NOW_MS),
        percent=50,
        disabled_at=from_ms(NOW_MS + 1),
    ),
    "disabled": SubscriptionDisabled(
        event_id="evt_4",
        subscription_id="sub",
        disabled_at=from_ms(NOW_MS + 1),
        failing_since=from_ms(NOW_MS),
        reason="every attempt has failed for 5 days",
    ),
    "unauthorised": ProviderUnauthorised(
        event_id="evt_5",
        provider="suno",
        reason="credit",
        message="HTTP 402",
        was_accepted=True,
        since=from_ms(NOW_MS),
        tasks_waiting=2,
    ),
    "dead letters": DeadLettersFound(
        event_id="evt_6",
        queue="intake",
        messages=3,
        since=from_ms(NOW_MS),
        found_at=from_ms(NOW_MS + 1),
    ),
}


def kept_schema(detail_type: str) -> dict[str, Any]:
    return json.loads((schemas.FOLDER / f"{detail_type}.json").read_text())


def validate(detail_type: str, detail: dict[str, Any]) -> None:
    validator = Draft202012Validator(
        kept_schema(detail_type), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(detail)


def envelope_of(name: str) -> dict[str, Any]:
    return json.loads(sample(name)["Records"][0]["body"])


def test_there_is_one_schema_for_each_event_and_two_for_webhooks() -> None:
    assert {path.stem for path in schemas.FOLDER.glob("*")} == {*EVENT_MODELS, "Webhook", "ProgressWebhook"}


@pytest.mark.parametrize("detail_type", [*EVENT_MODELS, "Webhook", "ProgressWebhook"])
def test_the_kept_schema_is_that_of_the_model(detail_type: str) -> None:
    assert kept_schema(detail_type) == schemas.schemas()[detail_type], "run `make schemas`"


@pytest.mark.parametrize("detail_type", [*EVENT_MODELS, "Webhook", "ProgressWebhook"])
def test_a_schema_is_one(detail_type: str) -> None:
    Draft202012Validator.check_schema(kept_schema(detail_type))


def test_the_generator_writes_what_is_kept_and_removes_what_is_no_more(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schemas, "FOLDER", tmp_path / "schemas")
    schemas.main()
    (tmp_path / "schemas" / "TaskForgotten.json").write_text("{}")
    schemas.main()
    written = {path.name: path.read_text() for path in (tmp_path / "schemas").iterdir()}
    assert written == {path.name: path.read_text() for path in (ROOT / "events" / "schemas").iterdir()}


@pytest.mark.parametrize("event", EMITTED.values(), ids=EMITTED)
def test_what_is_emitted_obeys_its_schema(event: Any) -> None:
    validate(type(event).__name__, json.loads(event.model_dump_json()))


@pytest.mark.parametrize("name", ["task_completed", "task_failed"])
def test_the_sample_events_obey_their_schemas(name: str) -> None:
    envelope = envelope_of(name)
    validate(envelope["detail-type"], envelope["detail"])


@pytest.mark.parametrize("name", ["task_completed", "task_failed"])
def test_the_sample_events_are_what_the_code_would_write(name: str) -> None:
    envelope = envelope_of(name)
    event = EVENT_MODELS[envelope["detail-type"]].model_validate(envelope["detail"])
    assert json.loads(event.model_dump_json()) == envelope["detail"]


@pytest.mark.parametrize(
    "spoilt", [{"detected_at": 1}, {"status": "failed"}, {"clips": [{}]}, {"version": "2"}]
)
def test_a_schema_tells_a_wrong_event(spoilt: dict[str, Any]) -> None:
    detail = json.loads(EMITTED["completed"].model_dump_json()) | spoilt
    with pytest.raises(ValidationError):
        validate("TaskCompleted", detail)


def webhook(kind: str, event: Any, assets: tuple[Any, ...], long: str = "") -> dict[str, Any]:
    """The body of a webhook, with a link as long as `long` makes it."""
    delivery = new_delivery(
        event_id="evt_1",
        subscription_id="sub",
        task_id="task-1",
        provider="suno",
        type=kind,
        event_at_ms=NOW_MS,
        format=Format.STANDARD,
        payload=payload_of(Format.STANDARD, event, None, assets, ARCHIVED.manifest),
        now_ms=NOW_MS,
    )
    return json.loads(render(delivery, lambda key: f"https://s3.example.com/{key}{long}", NOW_MS).content)


WAITED_FOR = PendingAsset(clip_id="clip-2", type="audio", source_url="https://cdn.example.com/2.mp3")


@pytest.mark.parametrize(
    ("kind", "event", "assets", "archive"),
    [
        ("task.completed", EMITTED["completed"], (*ARCHIVED.assets, WAITED_FOR), "pending"),
        ("task.archived", EMITTED["completed"], ARCHIVED.assets, "partial"),
        ("task.completed", EMITTED["completed"], ARCHIVED.assets[:1], "complete"),
        ("task.completed", EMITTED["completed, truncated"], (WAITED_FOR,), "pending"),
        ("task.failed", EMITTED["failed"], (), "empty"),
        ("task.failed", EMITTED["rejected"], (), "empty"),
    ],
)
@pytest.mark.parametrize("long", ["", "x" * 20_000])
def test_a_webhook_obeys_its_schema(
    kind: str, event: Any, assets: tuple[Any, ...], archive: str, long: str
) -> None:
    body = webhook(kind, event, assets, long)
    validate("Webhook", body)
    assert body["data"]["archive"] == archive
    with pytest.raises(ValidationError):
        validate("Webhook", body | {"data": body["data"] | {"archive": "perhaps"}})


def test_the_test_of_a_subscription_obeys_the_schema_of_webhooks() -> None:
    subscription = Subscription(subscription_id="sub", url="https://hook.example.com/")
    validate("Webhook", json.loads(render(sample_delivery(subscription, NOW_MS), str, NOW_MS).content))


@pytest.mark.parametrize("kind", SUBSCRIBABLE)
def test_a_sample_obeys_the_schema_of_webhooks(kind: str) -> None:
    sample = sample_event(kind, Recipient("sub", Format.STANDARD), "results", NOW_MS)
    body = json.loads(render(sample, str, NOW_MS).content)
    validate("ProgressWebhook" if kind == "task.progress" else "Webhook", body)
    assert body["data"]["sample"] is True


def test_a_consumer_may_rely_on_every_field_being_there() -> None:
    assert set(kept_schema("TaskCompleted")["required"]) == set(TaskCompleted.model_fields)


def passed_on(detail_type: str, source: str = SOURCE) -> bool:
    """Whether the template's rule sends an event to fulfillment, by moto's reading of its pattern."""
    (rule,) = resources("AWS::Events::Rule").values()
    pattern = EventPattern.load(json.dumps(rule["EventPattern"]))
    return pattern.matches_event({"source": source, "detail-type": detail_type, "detail": {}})


def test_the_rule_passes_on_all_but_what_fulfillment_emits_itself() -> None:
    assert {name for name in EVENT_MODELS if not passed_on(name)} == {"TaskArchived"}


@pytest.mark.parametrize("event", [each for each in EMITTED.values() if isinstance(each, OperationalEvent)])
def test_an_operational_webhook_obeys_the_schema_of_webhooks(event: OperationalEvent) -> None:
    delivery = delivery_to(Recipient("sub", Format.STANDARD), event, NOW_MS)
    body = json.loads(render(delivery, str, NOW_MS).content)
    validate("Webhook", body)
    assert body["type"] == kind_of(event)
    with pytest.raises(ValidationError):
        validate("Webhook", body | {"data": dict(list(body["data"].items())[1:])})


def test_the_rule_does_not_pass_on_what_others_emit() -> None:
    assert not passed_on("TaskCompleted", source="somebody")


@pytest.mark.usefixtures("aws")
def test_a_replay_reaches_the_rules_of_consumers_and_not_fulfillment() -> None:
    sqs, events = aws.client("sqs"), aws.client("events")
    (rule,) = resources("AWS::Events::Rule").values()
    bus = events.create_event_bus(Name="bus")["EventBusArn"]
    queues = {}
    for name, pattern in (("fulfillment", rule["EventPattern"]), ("consumer", {"source": [SOURCE]})):
        queues[name] = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=queues[name], AttributeNames=["QueueArn"])
        events.put_rule(Name=name, EventBusName="bus", EventPattern=json.dumps(pattern))
        target = {"Id": name, "Arn": arn["Attributes"]["QueueArn"]}
        events.put_targets(Rule=name, EventBusName="bus", Targets=[target])
    archive = events.create_archive(ArchiveName="kept", EventSourceArn=bus)["ArchiveArn"]
    entry = {"EventBusName": "bus", "Source": SOURCE, "DetailType": "TaskCompleted", "Detail": "{}"}
    events.put_events(Entries=[entry])
    events.start_replay(
        ReplayName="again",
        EventSourceArn=archive,
        EventStartTime=datetime(2020, 1, 1, tzinfo=UTC),
        EventEndTime=datetime(2100, 1, 1, tzinfo=UTC),
        Destination={"Arn": bus},
    )
    assert [each.get("replay-name") for each in aws.received(queues["consumer"])] == [None, "again"]
    assert [each.get("replay-name") for each in aws.received(queues["fulfillment"])] == [None]


@pytest.mark.parametrize("event", EMITTED.values(), ids=EMITTED)
def test_the_detail_type_of_an_event_is_the_name_of_its_model(event: Any) -> None:
    assert EVENT_MODELS[type(event).__name__] is type(event)
