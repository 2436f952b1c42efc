from typing import Any

import pytest

from tunehook.errors import InvalidInput
from tunehook.http.guard import NetworkPolicy
from tunehook.subscriptions import (
    ENDS,
    OPERATIONAL,
    Subscription,
    WebhookType,
    check_subscription,
    recipients_of,
)
from tunehook.tasks import Format, Status

COMPLETED, FAILED = WebhookType.TASK_COMPLETED, WebhookType.TASK_FAILED


def checked(policy: NetworkPolicy = NetworkPolicy.PUBLIC, **fields: Any) -> Subscription:
    return check_subscription(
        {"subscription_id": "sub", "url": "https://hook.example.com/", **fields}, policy
    )


def refused(policy: NetworkPolicy = NetworkPolicy.PUBLIC, **fields: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        checked(policy, **fields)
    return caught.value.field


def test_an_id_and_a_url_make_a_subscription_to_every_end() -> None:
    subscription = checked()
    assert all(subscription.wants(kind, provider) for kind in ENDS for provider in ("a", "b"))
    assert subscription.format is Format.STANDARD


def test_a_test_webhook_is_wanted_by_nobody() -> None:
    assert not checked().wants(WebhookType.WEBHOOK_TEST, "suno")


@pytest.mark.parametrize("events", [["task.failed"], {"task.failed"}, ("task.failed",)])
def test_only_the_named_events_are_wanted(events: object) -> None:
    subscription = checked(events=events)
    assert subscription.wants(FAILED, "suno")
    assert not subscription.wants(COMPLETED, "suno")


def test_only_the_named_providers_are_wanted() -> None:
    subscription = checked(providers=["suno", "gw"])
    assert subscription.wants(COMPLETED, "gw")
    assert not subscription.wants(COMPLETED, "musicmint")


@pytest.mark.parametrize("name", ["events", "providers"])
@pytest.mark.parametrize("value", [[], None])
def test_an_empty_filter_lets_everything_through(name: str, value: object) -> None:
    assert checked(**{name: value}) == checked()


def test_a_disabled_subscription_wants_nothing() -> None:
    assert not checked(enabled=False).wants(COMPLETED, "suno")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", None),
        ("url", 7),
        ("url", "not a url"),
        ("url", "http://hook.example.com/"),
        ("events", "task.failed"),
        ("events", ["task.exploded"]),
        ("events", ["webhook.test"]),
        ("events", [1]),
        ("providers", "suno"),
        ("providers", [b"suno"]),
        ("format", "xml"),
        ("format", 1),
        ("enabled", "true"),
        ("enabled", 1),
    ],
)
def test_a_field_that_is_not_acceptable_is_named(name: str, value: object) -> None:
    assert refused(**{name: value}) == name


def test_a_private_url_is_a_matter_of_the_policy() -> None:
    assert checked(NetworkPolicy.ANY, url="http://127.0.0.1:8080/").url == "http://127.0.0.1:8080/"


BOOKKEEPING = ("failing_since_ms", "failing_warned_ms")
MOMENTS = (*BOOKKEEPING, "signature_both_until_ms", "max_per_second_since_ms")


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("value", ["1", -1, 1.5, True, 10**30, b"1", [1]])
def test_bookkeeping_that_tunehook_cannot_have_written_is_named(name: str, value: object) -> None:
    assert refused(**{name: value}) == name


@pytest.mark.parametrize("name", BOOKKEEPING)
def test_bookkeeping_as_tunehook_writes_it_changes_nothing(name: str) -> None:
    assert checked(**{name: 7}) == checked()


@pytest.mark.parametrize(
    "name",
    ["events", "providers", "format", "headers", "enabled", "description", "secret_version", *BOOKKEEPING],
)
def test_a_null_counts_as_not_given(name: str) -> None:
    assert checked(**{name: None}) == checked()


def test_a_header_that_is_null_is_not_given() -> None:
    assert checked(headers={"x-a": "1", "x-b": None}).headers == {"x-a": "1"}


def test_headers_are_shown_by_no_message_of_the_model() -> None:
    assert "a-token" not in repr(checked(headers={"authorization": "a-token"}))


ARCHIVED = WebhookType.TASK_ARCHIVED


@pytest.mark.parametrize("kind", OPERATIONAL)
def test_an_operational_event_goes_to_who_names_it_whatever_providers_it_asks_for(kind: WebhookType) -> None:
    named = checked(events=[kind.value], providers=["a"])
    assert named.wants(kind, None)
    assert (named.wants(kind, "a"), named.wants(kind, "b")) == (True, False)
    assert not checked().wants(kind, None)
    assert not checked(events=[kind.value], enabled=False).wants(kind, None)
    assert refused(events=[kind.value], format="provider") == "events"
    assert not checked(events=[kind.value, "task.failed"], format="provider").wants(kind, None)


def test_kept_files_are_told_of_only_where_that_is_named() -> None:
    assert not checked().wants(ARCHIVED, "suno")
    named = checked(events=["task.archived"])
    assert named.wants(ARCHIVED, "suno")
    assert not named.wants(COMPLETED, "suno")


def test_progress_is_told_of_only_where_that_is_named_in_any_format() -> None:
    kind = WebhookType.TASK_PROGRESS
    assert not checked().wants(kind, "suno")
    for form in ("standard", "provider", "cloudevents"):
        named = checked(events=["task.progress"], format=form)
        assert named.wants(kind, "suno")
        assert not named.wants(COMPLETED, "suno")


def test_the_providers_format_has_no_word_for_kept_files() -> None:
    named = checked(events=["task.archived", "task.failed"], format="provider")
    assert named.wants(FAILED, "suno")
    assert not named.wants(ARCHIVED, "suno")
    assert refused(events=["task.archived"], format="provider") == "events"


def test_a_hook_of_a_task_is_told_of_its_end_alone() -> None:
    item = {"notify_hook": "https://own.example.com/"}
    told = [
        len(recipients_of(kind, "suno", [], item, NetworkPolicy.PUBLIC, {})) for kind in (*ENDS, ARCHIVED)
    ]
    assert told == [1, 1, 0]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://Hook.Example:443/A?b", "https://hook.example/A?b"),
        ("https://hook.example:80/", "https://hook.example:80/"),
        ("http://hook.example:80/", "http://hook.example/"),
        ("http://hook.example:443/", "http://hook.example:443/"),
    ],
)
def test_a_place_is_the_same_however_its_url_is_written(url: str, place: str) -> None:
    assert checked(NetworkPolicy.ANY, url=url).place == place


@pytest.mark.parametrize(
    ("one", "other", "is_doubled"),
    [
        ({}, {}, True),
        ({}, {"url": "https://hook.example.com:443/"}, True),
        ({}, {"url": "https://other.example.com/"}, False),
        ({"events": ["task.failed"]}, {"events": ["task.completed"]}, False),
        ({"events": ["task.failed"]}, {}, True),
        ({"providers": ["a"]}, {"providers": ["b"]}, False),
        ({"providers": ["a", "b"]}, {"providers": ["b"]}, True),
        ({"providers": ["a"]}, {}, True),
        ({}, {"providers": ["a"]}, True),
    ],
)
def test_two_double_each_other_where_one_event_would_come_to_one_place_twice(
    one: dict[str, Any], other: dict[str, Any], is_doubled: bool
) -> None:
    assert checked(**one).doubles(checked(subscription_id="other", **other)) is is_doubled


@pytest.mark.parametrize("name", BOOKKEEPING)
@pytest.mark.parametrize(
    ("value", "is_taken"), [(0, True), (253_402_300_799_999, True), (253_402_300_800_000, False)]
)
def test_a_moment_of_the_books_lies_before_the_year_10000(name: str, value: int, is_taken: bool) -> None:
    if is_taken:
        assert checked(**{name: value}) == checked()
    else:
        assert refused(**{name: value}) == name


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"subscription_id": "hook_1"}, "subscription_id"),
        ({"headers": ["x-a"]}, "headers"),
        ({"headers": {"x-a": 1}}, "headers.x-a"),
        ({"headers": {"host": "x"}}, "headers.host"),
    ],
)
def test_what_would_pass_for_something_else_is_refused(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ({"notify_hook": "https://own.example.com/"}, [Format.STANDARD]),
        ({"notify_hook": "https://own.example.com/", "notify_format": "provider"}, [Format.PROVIDER]),
        ({"notify_hook": "https://own.example.com/", "notify_format": "xml"}, []),
        ({"notify_hook": "https://10.0.0.1/"}, []),
        ({"notify_hook": 7}, []),
    ],
)
def test_an_acceptable_hook_on_an_item_is_told_beside_the_subscriptions(
    item: dict[str, Any], told: list[Format]
) -> None:
    subscriptions = [checked(), checked(enabled=False)]
    receivers = recipients_of(FAILED, "suno", subscriptions, item, NetworkPolicy.PUBLIC, {})
    assert [(each.subscription_id, each.url) for each in receivers[:1]] == [("sub", None)]
    assert [each.format for each in receivers[1:]] == told


def test_an_end_is_told_by_its_own_type() -> None:
    ends = [status for status in Status if status is not Status.CANCELLED]
    assert [WebhookType.of_end(status) for status in ends] == [FAILED, COMPLETED, FAILED, FAILED]


def test_an_id_and_a_url_are_all_that_a_subscription_needs() -> None:
    bare = Subscription(subscription_id="sub", url="https://hook.example.com/")
    assert bare == checked()
    assert {bare, checked()} == {bare}
    assert (bare.headers, bare.providers, bare.enabled) == ({}, frozenset(), True)


DURATION = {"clips": {"duration_s": [{"numeric": [">", 60]}]}}


def test_a_filter_asks_for_what_events_and_providers_let_through() -> None:
    subscription = checked(filter=DURATION, events=["task.completed"])
    assert subscription.matches({"clips": [{"duration_s": 61}]})
    assert not subscription.matches({"clips": [{"duration_s": 60}]})
    assert checked().matches({})


@pytest.mark.parametrize("value", [{}, [], 7, "x", {"a": 1}])
def test_a_filter_that_is_none_is_refused(value: object) -> None:
    assert refused(filter=value).startswith("filter")


@pytest.mark.parametrize(
    ("one", "other", "twice"),
    [
        (None, None, True),
        (DURATION, None, True),
        (None, DURATION, True),
        (DURATION, DURATION, True),
        (DURATION, {"status": ["failed"]}, False),
    ],
)
def test_filters_that_differ_part_the_events_between_them(one: object, other: object, twice: bool) -> None:
    assert checked(filter=one).doubles(checked(filter=other)) is twice
