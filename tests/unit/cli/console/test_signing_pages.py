"""How a subscription is signed and retried, as its pages show and change it."""

import base64
from dataclasses import replace
from html import unescape

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.testclient import TestClient
from tests.support.aws import put
from tests.unit.cli.console.conftest import client_of
from tests.unit.cli.console.html import Element, name_of, parse
from tests.unit.cli.console.test_pages import HOSTILE, check_element

from tunehook.deliveries import message_for
from tunehook.errors import Unavailable
from tunehook.operations.stack import Stack
from tunehook.signatures import derive_public_key, derive_secret, derive_secret_key, sign
from tunehook.times import now_ms

URL = "https://x.example/hook"


def stored(found: Stack, subscription_id: str = "sub-1") -> dict[str, object]:
    item = found.subscriptions.get(subscription_id)
    assert item is not None
    return item


def put_one(**fields: object) -> None:
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": URL, **fields})


def field(text: str, name: str) -> Element:
    """The one field of this name on a page."""
    root = parse(text)
    (found,) = (each for each in root.all("input", "select") if each.attributes.get("name") == name)
    return found


def typed(text: str) -> tuple[str, str, list[str]]:
    """What the form of a page has for the schedule, the time-out and the signature."""
    chosen = [each.text for each in field(text, "signature").all("option") if "selected" in each.attributes]
    values = (field(text, name).attributes["value"] for name in ("retry_schedule", "timeout"))
    schedule, timeout = values
    return schedule, timeout, chosen


@pytest.mark.parametrize("path", ["/subscriptions/new", "/subscription?id=sub-1"])
def test_each_field_has_a_label_and_says_what_it_takes(page: TestClient, path: str) -> None:
    text = page.get(path).text
    root = parse(text)
    names = {name: name_of(field(text, name), root) for name in ("retry_schedule", "timeout")}
    assert names == {"retry_schedule": "Waits between attempts", "timeout": "An attempt may take"}
    label = field(text, "signature").within("label")
    assert label is not None
    assert label.texts[0].strip() == "Signature"
    assert [each.text for each in field(text, "signature").all("option")] == ["v1", "v1a", "both"]
    for name in ("signature", "retry_schedule", "timeout"):
        (said,) = (
            each.text
            for each in root.all("span")
            if each.attributes.get("id") == field(text, name).attributes["aria-describedby"]
        )
        assert said, name


@pytest.mark.parametrize(
    ("signature", "has_secret", "has_key"), [("v1", True, False), ("v1a", False, True), ("both", True, True)]
)
def test_a_new_subscription_shows_what_verifies_its_webhooks(
    page: TestClient, found: Stack, signature: str, has_secret: bool, has_key: bool
) -> None:
    fields = {"url": "https://y.example/", "signature": signature, "retry_schedule": "5s, 5m,1h"}
    text = page.post("/subscriptions/new", data=fields | {"timeout": "3s"}).text
    (item,) = (each for each in found.subscriptions.all() if each["url"] == "https://y.example/")
    assert (item["signature"], item["retry_schedule"], item["timeout_s"]) == (signature, [5, 300, 3600], 3)
    identifier = item["subscription_id"]
    of_both = [derive_secret, derive_public_key]
    secret, key = (derive(found.master_secret(), identifier, 1) for derive in of_both)
    assert (secret in text, key in text) == (has_secret, has_key)


def test_the_form_shows_what_is_its_own_and_a_change_of_another_field_leaves_it(
    page: TestClient, found: Stack
) -> None:
    put_one(signature="both", retry_schedule=[5, 90, 7200], timeout_s=2)
    text = page.get("/subscription?id=sub-1").text
    assert typed(text) == ("5s, 90s, 2h", "2s", ["both"])
    fields = {"url": URL, "format": "standard", "description": "mine", "signature": "both"}
    fields |= {"retry_schedule": "5s, 90s, 2h", "timeout": "2s"}
    assert page.post("/subscription/change?id=sub-1", data=fields).status_code == 303
    item = stored(found)
    assert (item["signature"], item["retry_schedule"], item["timeout_s"]) == ("both", [5, 90, 7200], 2)
    assert item["description"] == "mine"
    assert "signature_both_until_ms" not in item


def test_empty_fields_are_the_defaults(page: TestClient, found: Stack) -> None:
    put_one(retry_schedule=[5], timeout_s=2)
    fields = {"url": URL, "format": "standard", "signature": "v1", "retry_schedule": "", "timeout": ""}
    assert page.post("/subscription/change?id=sub-1", data=fields).status_code == 303
    assert (stored(found).get("retry_schedule"), stored(found).get("timeout_s")) == (None, None)
    assert typed(page.get("/subscription?id=sub-1").text) == ("", "", ["v1"])


def test_a_change_of_the_signature_is_signed_by_both_and_the_page_says_until_when(
    page: TestClient, found: Stack
) -> None:
    fields = {"url": URL, "format": "standard", "signature": "v1a"}
    assert page.post("/subscription/change?id=sub-1", data=fields).status_code == 303
    assert stored(found)["signature"] == "v1a"
    assert isinstance(stored(found)["signature_both_until_ms"], int)
    assert "Signed by both, and by v1a alone from " in page.get("/subscription?id=sub-1").text


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"signature": HOSTILE}, "signature: "),
        ({"retry_schedule": HOSTILE}, "retry_schedule: "),
        ({"retry_schedule": "5s,,5m"}, "retry_schedule: "),
        ({"retry_schedule": ",".join(["1s"] * 21)}, "retry_schedule: "),
        ({"retry_schedule": "25h"}, "retry_schedule: "),
        ({"retry_schedule": ",".join(["24h"] * 8)}, "retry_schedule: "),
        ({"timeout": HOSTILE}, "timeout_s: "),
        ({"timeout": "16s"}, "timeout_s: "),
        ({"timeout": "0s"}, "timeout_s: "),
        ({"max_per_second": HOSTILE}, "max_per_second: "),
        ({"max_per_second": "0.05"}, "max_per_second: "),
    ],
)
@pytest.mark.parametrize("path", ["/subscriptions/new", "/subscription/change?id=sub-1"])
def test_what_is_not_acceptable_is_named_and_stays_in_its_field(
    page: TestClient, found: Stack, path: str, changed: dict[str, str], named: str
) -> None:
    before = list(found.subscriptions.all())
    answer = page.post(path, data={"url": "https://y.example/", "format": "standard", **changed})
    assert answer.status_code == 422
    root = parse(answer.text)
    (problem,) = (each.text for each in root.all("p") if each.attributes.get("role") == "alert")
    assert problem.startswith(named)
    for name in changed.keys() - {"signature"}:
        assert field(answer.text, name).attributes["value"] == changed[name]
    for each in root.all():
        check_element(each)
    assert list(found.subscriptions.all()) == before


def test_the_page_of_one_that_is_signed_by_hmac_alone_asks_for_no_key(page: TestClient) -> None:
    assert "/subscription/keys" not in page.get("/subscription?id=sub-1").text


def test_the_public_keys_of_a_rotation_are_both_there_and_no_secret_is(
    page: TestClient, found: Stack
) -> None:
    put_one(signature="v1a")
    assert 'data-hx-get="/subscription/keys?id=sub-1"' in page.get("/subscription?id=sub-1").text
    rotated = page.post("/subscription/rotate?id=sub-1").text
    text = page.get("/subscription/keys?id=sub-1").text
    (keys,) = (each.text.split() for each in parse(text).all("pre"))
    master = found.master_secret()
    assert keys == [derive_public_key(master, "sub-1", version) for version in (2, 1)]
    assert keys[0] in rotated
    for shown in (text, rotated):
        for version in (1, 2):
            assert derive_secret(master, "sub-1", version) not in shown
            assert derive_secret_key(master, "sub-1", version) not in shown
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(keys[0].removeprefix("whpk_")))
    signature = sign("msg_1", 7, b"{}", [derive_secret_key(master, "sub-1", 2)]).removeprefix("v1a,")
    key.verify(base64.b64decode(signature), b"msg_1.7.{}")


def test_public_keys_are_no_secret_to_one_who_only_reads(found: Stack) -> None:
    put_one(signature="v1a")
    page = client_of(found, read_only=True)
    assert (
        derive_public_key(found.master_secret(), "sub-1", 1) in page.get("/subscription/keys?id=sub-1").text
    )
    assert page.get("/subscription/keys?id=none").status_code == 404


def test_without_the_master_secret_the_part_says_why_and_the_page_is_there(found: Stack) -> None:
    put_one(signature="v1a")

    def refused(service: str, **_: object) -> object:
        if service == "secretsmanager":
            raise Unavailable("the master secret cannot be read")
        return found.open_client(service)

    page = client_of(replace(found, open_client=refused))
    answer = page.get("/subscription/keys?id=sub-1")
    assert (answer.status_code, "the master secret cannot be read" in answer.text) == (503, True)
    assert page.get("/subscription?id=sub-1").status_code == 200


def test_a_delivery_says_which_attempts_may_follow(page: TestClient, found: Stack) -> None:
    put_one(retry_schedule=[5, 90])
    assert page.post("/delivery/resend?id=msg_1").status_code == 303
    assert "if it fails, after 5s, 90s each" in page.get("/delivery?id=msg_1").text


def test_the_request_of_a_delivery_has_each_signature_masked(page: TestClient) -> None:
    put_one(signature="both")
    text = page.get("/delivery?id=msg_1").text
    assert "webhook-signature: v1,**** v1a,****" in text


def test_a_limit_is_typed_shown_and_taken_back(page: TestClient, found: Stack) -> None:
    fields = {"url": URL, "format": "standard", "max_per_second": "2.5"}
    assert page.post("/subscription/change?id=sub-1", data=fields).status_code == 303
    assert stored(found)["max_per_second"] == 2.5
    text = page.get("/subscription?id=sub-1").text
    assert field(text, "max_per_second").attributes["value"] == "2.5"
    page.post("/subscription/change?id=sub-1", data=fields | {"max_per_second": ""})
    assert stored(found)["max_per_second"] is None


def test_a_delivery_that_waits_for_the_limit_says_so(page: TestClient, found: Stack) -> None:
    put_one(max_per_second=0.5)
    assert page.post("/delivery/resend?id=msg_1").status_code == 303
    made = found.deliveries.get("msg_1")
    assert made is not None
    found.deliveries.put_off(message_for(made), now_ms() + 90_000, 0.5)
    assert "by its subscription's limit of 0.5 a second" in unescape(page.get("/delivery?id=msg_1").text)
    assert "waits for its limit until" in page.get("/deliveries?subscription=sub-1").text
