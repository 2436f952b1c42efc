from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.aws import Faulty, client, create_table, fault, items, put

from fulfillment.recipients import Recipient, Recipients
from tunehook.aws.secret_versions import SecretVersionsTable
from tunehook.aws.subscriptions import SubscriptionsTable
from tunehook.http.guard import NetworkPolicy
from tunehook.signatures import notify_hook_subscription_id
from tunehook.subscriptions import SUBSCRIBABLE, WebhookType
from tunehook.tasks import Format

# As documented, and not imported: a bound that moves is to be noticed.
CACHED_S = 15.0

NAME = "SubscriptionsTable"
VERSIONS = "SecretVersionsTable"
HOOK = "https://hook.example.com/"
COMPLETED, FAILED = WebhookType.TASK_COMPLETED, WebhookType.TASK_FAILED


class World:
    def __init__(self, dynamodb: Any = None) -> None:
        self.now_s = 1000.0
        table = SubscriptionsTable(dynamodb or client("dynamodb"), NAME)
        self.recipients = Recipients(
            table,
            NetworkPolicy.PUBLIC,
            lambda: self.now_s,
            versions=SecretVersionsTable(dynamodb or client("dynamodb"), VERSIONS),
        )

    def told(
        self,
        kind: WebhookType = COMPLETED,
        provider: str = "suno",
        item: dict[str, Any] | None = None,
        data: dict[str, Any] | None = None,
    ) -> list[str]:
        return sorted(each.subscription_id for each in self.recipients.of(kind, provider, item, data or {}))


@pytest.fixture
def world(aws: None) -> World:
    create_table(NAME)
    create_table(VERSIONS)
    return World()


def subscribe(subscription_id: str, **fields: Any) -> None:
    put(NAME, {"subscription_id": subscription_id, "url": HOOK, **fields})


def marks() -> dict[str, str | None]:
    return {item["subscription_id"]: item.get("disabled_reason") for item in items(NAME)}


def test_without_subscriptions_and_hook_nobody_is_told(world: World) -> None:
    assert world.told() == []


def test_whoever_wants_the_kind_of_the_provider_is_told(world: World) -> None:
    subscribe("all")
    subscribe("failures", events=["task.failed"])
    subscribe("musicmint", providers=["musicmint"])
    subscribe("off", enabled=False)
    assert world.told() == ["all"]
    assert world.told(FAILED) == ["all", "failures"]
    assert world.told(provider="musicmint") == ["all", "musicmint"]


def test_a_receiver_has_its_subscriptions_format_and_no_url_of_its_own(world: World) -> None:
    subscribe("sub", format="cloudevents")
    assert world.recipients.of(COMPLETED, "suno", None, {}) == [Recipient("sub", Format.CLOUDEVENTS)]


def test_a_bad_subscription_is_marked_and_the_others_are_told(world: World) -> None:
    subscribe("bad", url="http://127.0.0.1/")
    subscribe("worse", events=["task.exploded"])
    subscribe("good")
    assert world.told() == ["good"]
    assert marks() == {
        "bad": "url: the scheme must be https",
        "worse": f"events: must be among {', '.join(SUBSCRIBABLE)}",
        "good": None,
    }


def test_filters_look_at_the_data_and_are_kept_as_a_map_or_as_text(world: World) -> None:
    subscribe("map", filter={"duration_s": [{"numeric": [">=", 30, "<", 60.5]}]})
    subscribe("text", filter='{"duration_s": [{"numeric": [">", 60.5]}]}')
    subscribe("null", filter=None, providers=["suno"])
    assert world.told(data={"duration_s": 30}) == ["map", "null"]
    assert world.told(data={"duration_s": 60.5}) == ["null"]
    assert world.told(data={"duration_s": 61}) == ["null", "text"]
    assert world.told(data={"duration_s": 30}, provider="musicmint") == ["map"]


def test_a_bad_filter_makes_a_subscription_unusable_with_the_path_of_the_mistake(world: World) -> None:
    subscribe("bad", filter={"metadata": {"order": [{"prefix": 7}]}})
    assert world.told(data={"metadata": {"order": "7"}}) == []
    assert marks() == {"bad": "filter.metadata.order[0].prefix: must be a text"}


def test_a_mark_is_written_once(world: World) -> None:
    subscribe("bad", url="nonsense")
    world.told()
    dynamodb = Faulty(client("dynamodb"))
    World(dynamodb).told()
    assert "update_item" not in [name for name, _ in dynamodb.calls]


def test_no_task_waits_until_all_are_marked_and_those_that_follow_mark_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        subscribe(f"bad-{number}", url="nonsense")
    mark = SubscriptionsTable.mark

    def mark_slowly(*args: Any) -> None:
        world.now_s += 0.3
        mark(*args)

    monkeypatch.setattr(SubscriptionsTable, "mark", mark_slowly)
    left = []
    for _ in range(4):
        world.told()
        left.append(list(marks().values()).count(None))
    assert left == [3, 1, 0, 0]


def test_a_mark_is_taken_back_when_the_subscription_is_mended(world: World) -> None:
    subscribe("sub", url=HOOK, disabled_reason="url: not a valid URL")
    assert world.told() == ["sub"]
    assert marks() == {"sub": None}


def test_the_mark_of_a_disabled_subscription_stays(world: World) -> None:
    subscribe("sub", enabled=False, disabled_reason="the receiver answered 410")
    assert world.told() == []
    assert marks() == {"sub": "the receiver answered 410"}


def test_subscriptions_are_read_anew_after_15_s(world: World) -> None:
    world.told()
    subscribe("new")
    world.now_s += CACHED_S - 0.1
    assert world.told() == []
    world.now_s += 0.1
    assert world.told() == ["new"]


def test_subscriptions_that_cannot_be_read_are_an_error_and_not_none(world: World) -> None:
    with pytest.raises(type(fault())):
        World(Faulty(client("dynamodb"), get_paginator=[fault(operation="Scan")])).told()


def test_a_read_that_failed_is_made_again_at_once(world: World) -> None:
    subscribe("sub")
    faulty = World(Faulty(client("dynamodb"), get_paginator=[fault(operation="Scan")]))
    with pytest.raises(type(fault())):
        faulty.told()
    assert faulty.told() == ["sub"]


def test_subscriptions_that_cannot_be_read_anew_are_used_as_they_were(world: World) -> None:
    subscribe("sub")
    faulty = World(Faulty(client("dynamodb"), get_paginator=[None, fault(operation="Scan")]))
    assert faulty.told() == ["sub"]
    faulty.now_s += CACHED_S
    assert faulty.told() == ["sub"]


def test_subscriptions_are_read_strongly_consistent(world: World) -> None:
    scans: list[dict[str, Any]] = []

    class Watched:
        def get_paginator(self, operation: str) -> Any:
            paginator = client("dynamodb").get_paginator(operation)
            return SimpleNamespace(paginate=lambda **scan: scans.append(scan) or paginator.paginate(**scan))

    World(Watched()).told()
    assert [scan["ConsistentRead"] for scan in scans] == [True]


@pytest.mark.parametrize("reason", [None, "url: not a valid URL"])
def test_a_mark_that_cannot_be_written_keeps_nobody_from_being_told(world: World, reason: str | None) -> None:
    subscribe("bad", url="nonsense")
    subscribe("sub", **({} if reason is None else {"disabled_reason": reason}))
    unwritable = World(Faulty(client("dynamodb"), update_item=[fault(operation="UpdateItem") for _ in "12"]))
    assert unwritable.told() == ["sub"]
    assert unwritable.told() == ["sub"]
    assert marks() == {"bad": None, "sub": reason}


def test_a_tasks_own_hook_is_told_besides(world: World) -> None:
    subscribe("sub")
    item = {"notify_hook": "https://own.example.com/", "notify_format": "provider"}
    recipients = world.recipients.of(COMPLETED, "suno", item, {})
    hook_id = notify_hook_subscription_id("https://own.example.com/")
    assert recipients[1:] == [Recipient(hook_id, Format.PROVIDER, "https://own.example.com/")]


@pytest.mark.parametrize("form", [{}, {"notify_format": None}])
def test_a_hook_without_a_format_is_told_in_the_standard_one(world: World, form: dict[str, Any]) -> None:
    (receiver,) = world.recipients.of(COMPLETED, "suno", {"notify_hook": HOOK, **form}, {})
    assert receiver.format is Format.STANDARD


@pytest.mark.parametrize(
    "item",
    [
        {"notify_hook": 7},
        {"notify_hook": "http://127.0.0.1/"},
        {"notify_hook": HOOK, "notify_format": "xml"},
        {"notify_hook": HOOK, "notify_format": ["standard"]},
        {"notify_hook": None},
    ],
)
def test_what_a_rejected_item_holds_as_its_hook_is_told_only_if_acceptable(
    world: World, item: dict[str, Any]
) -> None:
    assert world.told(item=item) == []


def test_tasks_of_a_batch_that_ask_at_the_same_time_read_once(aws: None) -> None:
    create_table(NAME)
    dynamodb = Faulty(client("dynamodb"))
    world = World(dynamodb)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: world.told(), range(8)))
    assert [name for name, _ in dynamodb.calls].count("get_paginator") == 1


def test_what_items_of_an_earlier_tunehook_say_of_their_secrets_is_kept_from_then_on(world: World) -> None:
    subscribe("never")
    subscribe("rotated", secret_version=3, previous_secret_until_ms=5)
    world.told()
    kept = {"subscription_id": "rotated", "secret_version": 3, "previous_secret_until_ms": 5}
    assert items(VERSIONS) == [kept]
    subscribe("rotated", secret_version=2)
    world.now_s += 16
    world.told()
    assert World().told() == ["never", "rotated"]
    assert items(VERSIONS) == [kept]


def test_what_is_kept_already_is_asked_for_once(aws: None) -> None:
    for table in (NAME, VERSIONS):
        create_table(table)
    watched = Faulty(client("dynamodb"))
    world = World(watched)
    for _ in range(3):
        subscribe("rotated", secret_version=3)
        world.told()
        world.now_s += 16
    assert [name for name, _ in watched.calls] == ["get_paginator", "get_paginator", "put_item"] + [
        "get_paginator"
    ] * 2


def test_versions_that_cannot_be_kept_leave_nobody_untold_and_are_kept_the_next_time(aws: None) -> None:
    for table in (NAME, VERSIONS):
        create_table(table)
    world = World(Faulty(client("dynamodb"), put_item=[fault(operation="PutItem")]))
    subscribe("rotated", secret_version=3)
    assert world.told() == ["rotated"]
    assert items(VERSIONS) == []
    world.now_s += 16
    assert world.told() == ["rotated"]
    assert [each["secret_version"] for each in items(VERSIONS)] == [3]
