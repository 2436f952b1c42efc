"""The public documents: their fields, whatever the items hold, and their names, which webhooks and items have too."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tunehook import webhook_data
from tunehook.aws.task_items import DETAILS, OF_A_RUN, TAKEN_IN
from tunehook.deliveries import Attempt, Delivery
from tunehook.events import ArchivedAsset, ClipDetail
from tunehook.http.guard import NetworkPolicy
from tunehook.operations import documents
from tunehook.operations.documents import (
    AssetDocument,
    AttemptDocument,
    ClipDocument,
    DeliveryDocument,
    Document,
    ProviderDocument,
    SubscriptionDocument,
    TaskDocument,
    plain,
)
from tunehook.operations.subscriptions import SubscriptionView
from tunehook.operations.task_view import TaskView
from tunehook.providers.config import ProviderConfig
from tunehook.secret_versions import SecretVersions
from tunehook.tasks import USER_FIELDS, TaskKey

WRONG: list[Any] = [
    *(None, True, "", "words", 7, -1, 1.5, 10**17, 10**30, b"\x00", {"x", "y"}),
    *([], ["words", 7, None], [{"title": 7}], {}, {"a": {"b": [1]}}),
]
INTERNAL = {
    "progress_told",
    "queue",
    "since_ms",
    "trouble",
    "suspicion",
    "not_found_count",
    "empty_count",
    "parked",
}

OF_A_CHECK = {"is_check", "candidate"}
"""What a check's record has beside: the candidate has the receiver's headers."""


def attributes_of(document: type[Document]) -> set[str]:
    return {field.alias or name for name, field in document.model_fields.items()}


def test_all_that_is_public_of_an_item_is_in_its_document() -> None:
    written = {*OF_A_RUN, *USER_FIELDS, "task_id", "provider", "phase", "last_error", "streaming_since_ms"}
    written |= {"deadline_ms", "archived_at_ms", "assets", TAKEN_IN}
    # What is there, rather than where.
    assert written - {*INTERNAL, DETAILS} <= attributes_of(TaskDocument)
    assert set(Delivery.model_fields) - {*OF_A_CHECK, "payload_id"} <= attributes_of(DeliveryDocument)
    assert set(Attempt.model_fields) <= attributes_of(AttemptDocument)
    assert set(ArchivedAsset.model_fields) <= attributes_of(AssetDocument)
    assert set(ProviderConfig.model_fields) - {"api_key", "callback_secret"} <= attributes_of(
        ProviderDocument
    )


def test_what_webhooks_say_has_the_same_names() -> None:
    in_data = {"task_id", "provider", "status", "submitted_at", "finished_at", "detected_at", "metadata"}
    assert in_data | {"clips", "failure", "archive", "truncated"} <= TaskDocument.model_fields.keys()
    assert {*webhook_data._CLIP_FIELDS, *ClipDetail.model_fields} <= ClipDocument.model_fields.keys()
    assert {*webhook_data._ASSET_FIELDS, "url", "url_expires_at"} <= AssetDocument.model_fields.keys()


def numbers(document: Any, path: str = "") -> Iterator[tuple[str, int]]:
    match document:
        case bool():
            return
        case int():
            yield path, document
        case dict():
            for name, each in document.items():
                yield from numbers(each, f"{path}.{name}")
        case list():
            for each in document:
                yield from numbers(each, path)


MOMENT_MS = 1_800_000_000_000


def test_no_number_is_a_moment() -> None:
    for document in (TaskDocument, DeliveryDocument, SubscriptionDocument, AssetDocument):
        item = {name: MOMENT_MS for name in attributes_of(document) if name.endswith(("_ms", "_at"))}
        told = document.read(item | {"expires_at": MOMENT_MS // 1000}).to_json()
        lengths = {".retry_schedule", ".timeout_s"}
        assert [found for found in numbers(told) if found[0] not in lengths] == []
        moments = [
            value for name, value in told.items() if name.endswith(("_at", "_since", "_until")) and value
        ]
        assert set(moments) == {"2027-01-15T08:00:00.000Z"}
        assert not any(name.endswith("_ms") for name in told)


@pytest.mark.parametrize("document", [TaskDocument, DeliveryDocument, SubscriptionDocument])
def test_every_field_is_there_whatever_an_attribute_holds(document: type[Document]) -> None:
    for name in sorted(attributes_of(document)):
        for wrong in WRONG:
            told = document.read({name: wrong}).to_json()
            json.dumps(told)
            assert told.keys() == document.model_fields.keys()
            assert set(told["unreadable"]) <= {name, *(f"{name}.{part}" for part in ("title", "headers"))}


def test_a_view_of_a_task_shows_none_of_its_item_by_chance() -> None:
    assert "of the provider" not in repr(
        TaskView.of({"task_id": "t", "provider": "suno", "x": "of the provider"})
    )


@pytest.mark.parametrize(("text", "shown"), [('{"a": 1}', {"a": 1}), ("no json", "no json")])
def test_a_text_of_json_is_shown_parsed_and_any_other_as_it_is(text: str, shown: Any) -> None:
    assert DeliveryDocument.read({"payload": text}).payload == shown


def test_defaults_are_filled_in() -> None:
    told = documents.task_document(TaskView.of({"task_id": "t", "provider": "suno"})).to_json()
    assert (told["status"], told["metadata"], told["notify_format"]) == ("new", {}, "standard")
    assert (told["clips"], told["assets"], told["deliveries"], told["truncated"]) == ([], [], [], False)
    # NULL counts as not given.
    nothing = dict.fromkeys(attributes_of(TaskDocument)) | {"task_id": "t", "provider": "suno"}
    assert documents.task_document(TaskView.of(nothing)).to_json() == told


def test_the_values_of_headers_are_masked_and_no_secret_version_is_believed() -> None:
    item = {"subscription_id": "s", "url": "https://x.example/", "headers": {"x-token": "secret"}}
    view = SubscriptionView.of(item | {"secret_version": 9, "signing_secret": "s"}, NetworkPolicy.ANY)
    told = documents.subscription_document(view).to_json()
    assert told["headers"] == {"x-token": "****"}
    assert told["secret_version"] is None
    assert "signing_secret" not in told


def test_a_number_is_not_read_from_a_text_nor_a_text_from_a_number() -> None:
    wrong = {"timeout_s": "60", "truncated": "no", "notify_hook": 7, "clips": [{"title": 7}]}
    told = TaskDocument.read({"task_id": "t", "provider": "suno", **wrong}).to_json()
    assert [told[name] for name in ("timeout_s", "truncated", "notify_hook")] == [None, None, None]
    assert told["clips"][0]["title"] is None
    assert set(told["unreadable"]) == {"notify_hook", "timeout_s", "truncated", "clips.title"}


def test_what_an_item_holds_has_a_form_in_json() -> None:
    given = {
        "whole": Decimal(2),
        "part": Decimal("2.5"),
        "bytes": bytearray(b"x"),
        "set": frozenset({"b", "a"}),
        "list": (Decimal(1), {"c": b"y"}),
        7: None,
    }
    told = plain(given)
    assert told == {
        "whole": 2,
        "part": 2.5,
        "bytes": "eA==",
        "set": ["a", "b"],
        "list": [1, {"c": "eQ=="}],
        "7": None,
    }
    assert [type(told[name]) for name in ("whole", "part")] == [int, float]


ENDED = {"task_id": "t", "provider": "suno", "status": "completed", "event_id": "evt_1"}


@pytest.mark.parametrize(
    ("fields", "archive"),
    [
        ({"event_id": None}, None),
        ({}, "pending"),
        ({"assets": [{"status": "archived"}]}, "pending"),
        ({"archived_at_ms": 1}, "empty"),
        ({"archived_at_ms": 1, "event_id": None}, "empty"),
        ({"archived_at_ms": 1, "assets": [{"status": "archived"}] * 2}, "complete"),
        ({"archived_at_ms": 1, "assets": [{"status": "archived"}, {"status": "failed"}]}, "partial"),
        ({"archived_at_ms": 1, "archive": "by hand"}, "empty"),
    ],
)
def test_how_much_is_archived_is_made_of_the_files(fields: dict[str, Any], archive: str | None) -> None:
    view = TaskView.of(ENDED | fields)
    assert documents.task_document(view).archive == archive
    assert documents.listed_task_document(view).archive is None


@pytest.mark.parametrize(
    ("fields", "is_pending"),
    [({}, False), ({"queue": "work#0"}, True), ({"queue": "work#0", "event_id": None}, False)],
)
def test_an_event_is_to_come_while_its_task_is_in_the_index_of_work(
    fields: dict[str, Any], is_pending: bool
) -> None:
    view = TaskView.of(ENDED | fields | {"event_pending": "by hand"})
    for document in (documents.task_document, documents.listed_task_document):
        assert document(view).event_pending is is_pending


def test_what_is_made_of_an_item_is_not_believed_where_a_user_has_written_it() -> None:
    names = ("archive", "deliveries", "files", "webhooks", "signing_secret", "unreadable")
    item = ENDED | dict.fromkeys(names, "by hand") | {"settled": True, "done": True}
    for each in (documents.task_document, documents.listed_task_document):
        assert "by hand" not in json.dumps(each(TaskView.of(item)).to_json())
    key = TaskKey("t", "suno")
    told = documents.watched_document(key, TaskView.of(item), [], settled=False, done=False).to_json()
    assert (told["settled"], told["done"], told["files"], told["webhooks"]) == (False, False, {}, {})
    assert "by hand" not in json.dumps(told)


def test_a_watched_task_has_its_files_and_webhooks_counted() -> None:
    key = TaskKey("t", "suno")
    assets = [{"status": "archived"}, {"status": "archived"}, {"status": None}]
    view = TaskView.of(ENDED | {"assets": assets, "clips": [{"title": "x"}]})
    told = documents.watched_document(key, view, [], settled=True, done=False).to_json()
    assert (told["files"], told["clips"]) == ({"archived": 2, "unknown": 1}, None)
    assert (told["settled"], told["done"]) == (True, False)
    told = documents.watched_document(key, None, [], settled=True, done=True).to_json()
    assert (told["task_id"], told["provider"], told["status"]) == ("t", "suno", "deleted")
    assert (told["files"], told["done"]) == (None, True)


def test_what_is_not_said_is_as_it_usually_is() -> None:
    assert ClipDocument.read({}).is_output is False
    assert (SubscriptionDocument.read({}).enabled, SubscriptionDocument.read({}).timeout_s) == (True, 15)
    task = TaskDocument.read({})
    assert (task.truncated, task.taken_in, task.event_pending, task.status) == (False, False, False, "new")


def test_a_list_shows_what_it_can_and_says_that_this_is_not_all() -> None:
    told = DeliveryDocument.read({"attempts": [{"run": 1}, "by hand"]})
    assert ([each.run for each in told.attempts or ()], told.unreadable) == ([1], ["attempts"])
    told = DeliveryDocument.read({"attempts": "by hand"})
    assert (told.attempts, told.unreadable) == (None, ["attempts"])


@pytest.mark.parametrize(("until_ms", "told"), [(0, None), (1000, "1970-01-01T00:00:01.000Z")])
def test_a_secret_that_never_was_another_has_none_before_it(until_ms: int, told: str | None) -> None:
    view = SubscriptionView.of({"subscription_id": "s", "url": "https://x.example/"}, NetworkPolicy.ANY)
    versions = SecretVersions(present=2, previous_until_ms=until_ms)
    document = documents.subscription_document(view, versions)
    assert (document.secret_version, document.previous_secret_until) == (2, told)


def test_a_moment_that_is_none_is_null() -> None:
    given = {"at_ms": True, "since_ms": "soon", "until_ms": 10**30, "duration_ms": 5, "of": [{"at_ms": None}]}
    assert documents.with_moments(given) == {
        "at": None,
        "since": None,
        "until": None,
        "duration_ms": 5,
        "of": [{"at": None}],
    }
