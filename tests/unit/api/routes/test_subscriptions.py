"""The routes of subscriptions, called by events over moto's AWS."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.aws import client, items, put
from tests.support.endpoints import answer_checks
from tests.unit.api.calling import Api, put_task

from api.routes import subscriptions as routes
from tunehook.aws.deliveries import DeliveriesTable
from tunehook.deliveries import DeliveryStatus, new_delivery
from tunehook.operations import subscriptions
from tunehook.tasks import Format
from tunehook.times import from_ms, iso, now_ms

PATH = "/v1/subscriptions"
URL = "https://receiver.example/hook"
REFUSED: list[tuple[Any, str]] = [
    ({}, "url"),
    ({"url": 7}, "url"),
    ({"url": None}, "url"),
    ({"url": "http://receiver.example/"}, "url"),
    ({"url": "https://10.0.0.1/"}, "url"),
    ({"url": "https://" + "x" * 3000}, "url"),
    ({"url": URL, "events": ["task.done"]}, "events"),
    ({"url": URL, "events": "task.failed"}, "events"),
    ({"url": URL, "events": [7]}, "events.0"),
    ({"url": URL, "format": "provider", "events": ["task.archived"]}, "events"),
    ({"url": URL, "format": "xml"}, "format"),
    ({"url": URL, "headers": {"host": "x"}}, "headers.host"),
    ({"url": URL, "headers": {"x-a": "é"}}, "headers.x-a"),
    ({"url": URL, "headers": {"x-a": 1}}, "headers.x-a"),
    ({"url": URL, "headers": {"": "x"}}, "headers"),
    ({"url": URL, "headers": []}, "headers"),
    ({"url": URL, "description": "x" * 1001}, "description"),
    ({"url": URL, "signature": "rsa"}, "signature"),
    ({"url": URL, "retry_schedule": []}, "retry_schedule"),
    ({"url": URL, "retry_schedule": [5] * 21}, "retry_schedule"),
    ({"url": URL, "retry_schedule": [5, 0]}, "retry_schedule.1"),
    ({"url": URL, "retry_schedule": [86_401]}, "retry_schedule.0"),
    ({"url": URL, "retry_schedule": [1.5]}, "retry_schedule.0"),
    ({"url": URL, "retry_schedule": [86_400] * 8}, "retry_schedule"),
    ({"url": URL, "filter": {}}, "filter"),
    ({"url": URL, "filter": "x"}, "filter"),
    ({"url": URL, "filter": {"metadata": {"order": [{"prefix": 7}]}}}, "filter.metadata.order[0].prefix"),
    ({"url": URL, "max_per_second": 0.09}, "max_per_second"),
    ({"url": URL, "max_per_second": 1_001}, "max_per_second"),
    ({"url": URL, "max_per_second": "5"}, "max_per_second"),
    ({"url": URL, "max_per_second": True}, "max_per_second"),
    ({"url": URL, "timeout_s": 0}, "timeout_s"),
    ({"url": URL, "timeout_s": 16}, "timeout_s"),
    ({"url": URL, "timeout_s": 1.5}, "timeout_s"),
    ({"url": URL, "enabled": False}, "enabled"),
    ({"url": URL, "subscription_id": "mine"}, "subscription_id"),
    ({"url": URL, "secret_version": 2}, "secret_version"),
]


@pytest.fixture
def made(api: Api) -> str:
    put("SubscriptionsTable", {"subscription_id": "sub-1", "url": URL, "headers": {"x-key": "hush"}})
    return f"{PATH}/sub-1"


def deliver(event_id: str, status: DeliveryStatus) -> str:
    delivery = new_delivery(
        event_id=event_id,
        subscription_id="sub-1",
        task_id="task-1",
        provider="suno",
        type="task.completed",
        event_at_ms=1,
        format=Format.STANDARD,
        payload="{}",
        now_ms=now_ms(),
    ).model_copy(update={"status": status, "next_attempt_at_ms": None})
    DeliveriesTable(client("dynamodb"), "DeliveriesTable").create(delivery)
    return delivery.delivery_id


class TestCreating:
    def test_the_answer_has_the_secret_and_no_other_answer_has(self, api: Api) -> None:
        created = api("POST", PATH, {"url": URL, "events": ["task.failed"], "description": "mine"})
        assert (created.status, created.json["events"]) == (201, ["task.failed"])
        assert created.json["signing_secret"].startswith("whsec_")
        name = created.json["subscription_id"]
        told = [api("GET", f"{PATH}/{name}"), api("GET", PATH), api("PATCH", f"{PATH}/{name}", {"url": URL})]
        assert not any("whsec_" in each.text for each in told)

    def test_the_same_url_twice_is_made_only_if_it_is_asked_for(self, api: Api, made: str) -> None:
        refused = api("POST", PATH, {"url": URL})
        assert (refused.status, refused.json["field"]) == (409, "url")
        assert "again=true" in refused.json["detail"]
        assert "tunehook subscriptions" not in refused.json["detail"]
        assert api("POST", PATH, {"url": URL}, query="again=true").status == 201

    def test_what_is_not_acceptable_is_refused_by_its_field(self, api: Api) -> None:
        for body, field in REFUSED:
            answer = api("POST", PATH, body)
            assert (answer.status, answer.json["field"]) == (422, field), body
        assert items("SubscriptionsTable") == []

    def test_one_for_ed25519_is_answered_with_its_public_key(self, api: Api) -> None:
        fields = {"signature": "v1a", "retry_schedule": [1, 86_400], "timeout_s": 15}
        created = api("POST", PATH, {"url": URL} | fields)
        assert fields.items() <= created.json.items()
        keys = api("GET", f"{PATH}/{created.json['subscription_id']}/public-keys").json
        assert keys["public_keys"] == [created.json["public_key"]]
        assert keys["signature"] == "v1a"


class TestChecks:
    def test_a_new_one_says_what_its_check_has_found(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        checks = answer_checks(monkeypatch, 204)
        made = api("POST", PATH, {"url": URL, "headers": {"x-key": "hush"}}, query="verify=true")
        assert (made.status, made.json["state"], made.json["check"]["code"]) == (201, "enabled", "ok")
        assert made.json["signing_secret"].startswith("whsec_")
        assert [each.delivery_id for each in checks] == [made.json["check"]["delivery_id"]]
        assert "hush" not in made.text
        told = api("GET", f"/v1/deliveries/{made.json['check']['delivery_id']}")
        assert (told.status, told.json["type"], "hush" in told.text) == (200, "webhook.test", False)

    def test_one_that_fails_is_made_disabled_and_its_secret_is_told(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_checks(monkeypatch, 401)
        made = api("POST", PATH, {"url": URL}, query="verify=true")
        assert (made.status, made.json["state"], made.json["check"]["passed"]) == (201, "disabled", False)
        assert made.json["signing_secret"].startswith("whsec_")
        assert "`tunehook" not in made.text
        path = f"{PATH}/{made.json['subscription_id']}"
        refused = api("POST", f"{path}/enable", query="verify=true")
        assert (refused.status, refused.json["check"]["code"]) == (422, "unauthorised")
        assert api("GET", path).json["state"] == "disabled"
        answer_checks(monkeypatch, 204)
        enabled = api("POST", f"{path}/enable", query="verify=true")
        assert (enabled.status, enabled.json["state"], enabled.json["check"]["passed"]) == (
            200,
            "enabled",
            True,
        )
        assert "check" not in api("GET", path).json

    def test_a_change_is_made_only_if_its_check_passes(
        self, api: Api, made: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_checks(monkeypatch, 302, detail="location: /there")
        refused = api("PATCH", made, {"url": "https://new.example/"}, query="verify=true")
        assert (refused.status, refused.json["field"]) == (422, "url")
        assert refused.json["type"].endswith(":endpoint_check_failed")
        assert refused.json["check"]["location"] == "https://new.example/there"
        assert api("GET", made).json["url"] == URL
        answer_checks(monkeypatch, 200)
        changed = api("PATCH", made, {"url": "https://new.example/"}, query="verify=true")
        assert (changed.json["url"], changed.json["check"]["passed"]) == ("https://new.example/", True)

    def test_without_an_outcome_in_time_it_says_so(
        self, api: Api, made: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer_checks(monkeypatch, None)
        refused = api("PATCH", made, {"timeout_s": 3}, query="verify=true")
        assert (refused.status, refused.json["check"]["code"]) == (422, "not_attempted")

    def test_a_check_ends_before_the_request_has_to(
        self, api: Api, made: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waits: list[float] = []
        monkeypatch.setattr(
            subscriptions, "await_attempt", lambda _, sent, wait_s: waits.append(wait_s) or sent
        )
        for api.remaining_ms in (29_000, 10_000, 1_000):
            api("PATCH", made, {"timeout_s": 3}, query="verify=true")
        assert waits == [22.0, 6.0, 0.0]


class TestLimits:
    def test_one_is_kept_changed_and_taken_back(self, api: Api) -> None:
        created = api("POST", PATH, {"url": URL, "max_per_second": 0.5}).json
        assert created["max_per_second"] == 0.5
        one = f"{PATH}/{created['subscription_id']}"
        assert api("PATCH", one, {"max_per_second": 10}).json["max_per_second"] == 10
        assert api("PATCH", one, {"max_per_second": None}).json["max_per_second"] is None
        assert api("GET", one).json["max_per_second"] is None


class TestFilters:
    def test_one_is_kept_changed_and_taken_back(self, api: Api, made: str) -> None:
        pattern = {"clips": {"duration_s": [{"numeric": [">", 60.5]}, None]}}
        assert api("PATCH", made, {"filter": pattern}).json["filter"] == pattern
        assert api("GET", made).json["filter"] == pattern
        assert api("PATCH", made, {"filter": None}).json["filter"] is None

    def test_one_that_is_text_in_the_table_is_answered_as_an_object(self, api: Api) -> None:
        put(
            "SubscriptionsTable", {"subscription_id": "sub-2", "url": URL, "filter": '{"status": ["failed"]}'}
        )
        assert api("GET", f"{PATH}/sub-2").json["filter"] == {"status": ["failed"]}
        put("SubscriptionsTable", {"subscription_id": "sub-3", "url": URL, "filter": "x"})
        bad = api("GET", f"{PATH}/sub-3").json
        assert (bad["filter"], bad["unreadable"], bad["state"]) == (None, ["filter"], "unusable")

    def test_why_a_task_does_not_match_is_told(self, api: Api, made: str) -> None:
        ended = {"status": "completed", "event_id": "evt_1", "submitted_at_ms": 1, "detected_at_ms": 1}
        put_task(**ended, metadata={"order": 7})
        api("PATCH", made, {"filter": {"metadata": {"order": [8]}}})
        answer = api("GET", f"{made}/filter-test", query={"task_id": "task-1"})
        assert (answer.status, answer.json["matches"]) == (200, False)
        (mismatch,) = answer.json["mismatches"]
        assert mismatch == {"field": "filter", "path": "metadata.order", "pattern": [8], "values": [7]}

    def test_a_providers_own_object_cannot_tell_of_archived_files(self, api: Api, made: str) -> None:
        put_task(status="completed", event_id="evt_1", submitted_at_ms=1, detected_at_ms=1)
        api("PATCH", made, {"format": "provider"})
        query = {"task_id": "task-1", "event": "task.archived"}
        answer = api("GET", f"{made}/filter-test", query=query)
        assert (answer.status, answer.json["matches"]) == (200, False)
        told = {each["field"]: (each["pattern"], each["values"]) for each in answer.json["mismatches"]}
        assert told["format"] == (["provider"], ["task.archived"])

    def test_a_task_that_has_not_ended_and_one_that_is_not_there_are_problems(
        self, api: Api, made: str
    ) -> None:
        put_task(status="pending")
        for task_id, status in (("task-1", 409), ("none", 404)):
            answer = api("GET", f"{made}/filter-test", query={"task_id": task_id})
            assert (answer.status, answer.json["field"]) == (status, "task_id")


class TestReading:
    def test_headers_are_masked(self, api: Api, made: str) -> None:
        answer = api("GET", made)
        assert answer.json["headers"] == {"x-key": "****"}
        assert answer.json["secret_version"] == 1

    def test_pages_go_on_by_their_cursor(self, api: Api) -> None:
        for number in range(5):
            put("SubscriptionsTable", {"subscription_id": f"sub-{number}é", "url": f"{URL}{number}"})
        found, cursor = [], None
        while True:
            query = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
            page = api("GET", PATH, query=query).json
            found += [each["subscription_id"] for each in page["subscriptions"]]
            if (cursor := page["next_cursor"]) is None:
                break
        assert found == [f"sub-{number}é" for number in range(5)]

    def test_a_cursor_that_is_none_is_refused(self, api: Api) -> None:
        for cursor in ("x", "é", "_w==", "%00"):
            answer = api("GET", PATH, query={"cursor": cursor})
            assert (answer.status, answer.json["field"]) == (422, "cursor"), cursor

    def test_one_that_cannot_be_used_is_told_with_its_error(self, api: Api) -> None:
        put("SubscriptionsTable", {"subscription_id": "bad", "url": 7, "events": {"x"}})
        assert api("GET", f"{PATH}/bad").json["state"] == "unusable"

    def test_a_name_that_dynamodb_would_not_take_is_not_asked_for(self, api: Api) -> None:
        for name, is_long in (
            ("x" * 2048, False),
            ("x" * 2049, True),
            ("é" * 1024, False),
            ("é" * 1025, True),
        ):
            answer = api("GET", f"{PATH}/{name}")
            assert (answer.status, answer.json["field"]) == (404, "subscription_id")
            assert ("no subscription of so long a name" in answer.json["detail"]) is is_long

    def test_one_that_is_not_there_is_not_found_on_any_route(self, api: Api) -> None:
        since = {"since": iso(from_ms(now_ms()))}
        for name in ("no", "é😀", "x" * 3000, "a b+%"):
            path = f"{PATH}/{name}"
            answers = [
                api("GET", path),
                api("DELETE", path),
                api("PATCH", path, {"description": "x"}),
                *(api("POST", f"{path}/{each}") for each in ("rotate-secret", "test", "enable", "disable")),
                api("POST", f"{path}/recover", since),
            ]
            assert [each.status for each in answers] == [404] * len(answers), name


class TestChanging:
    def test_what_is_named_is_set_and_null_is_the_default(self, api: Api, made: str) -> None:
        body = {"events": ["task.archived"], "providers": ["suno"], "format": "cloudevents"}
        assert api("PATCH", made, body).json["format"] == "cloudevents"
        changed = api("PATCH", made, dict.fromkeys(body)).json
        assert (changed["events"], changed["providers"], changed["format"]) == (
            ["task.completed", "task.failed"],
            [],
            "standard",
        )
        assert (changed["url"], changed["headers"]) == (URL, {"x-key": "****"})

    def test_nothing_is_no_change(self, api: Api, made: str) -> None:
        assert api("PATCH", made, {}).status == 422
        assert api("PATCH", made).status == 400

    def test_what_is_not_acceptable_changes_nothing(self, api: Api, made: str) -> None:
        before = items("SubscriptionsTable")
        for body, field in REFUSED[1:]:
            answer = api("PATCH", made, body)
            assert (answer.status, answer.json["field"]) == (422, field), body
        assert items("SubscriptionsTable") == before

    @pytest.mark.parametrize("verify", ["false", "true"])
    def test_a_url_that_another_has_is_a_conflict(
        self, api: Api, made: str, monkeypatch: pytest.MonkeyPatch, verify: str
    ) -> None:
        answer_checks(monkeypatch, 200)
        put("SubscriptionsTable", {"subscription_id": "other", "url": f"{URL}/other"})
        query = f"verify={verify}"
        refused = api("PATCH", made, {"url": f"{URL}/other"}, query=query)
        assert (refused.status, "again=true" in refused.json["detail"]) == (409, True)
        assert api("PATCH", made, {"url": f"{URL}/other"}, query=f"again=true&{query}").status == 200

    def test_it_is_disabled_enabled_and_deleted(self, api: Api, made: str) -> None:
        assert api("POST", f"{made}/disable").json["state"] == "disabled"
        assert api("POST", f"{made}/test").status == 409
        assert api("POST", f"{made}/enable", {}).json["state"] == "enabled"
        gone = api("DELETE", made)
        assert (gone.status, gone.text) == (204, "")
        assert items("SubscriptionsTable") == []


class TestSecrets:
    def test_a_rotation_answers_the_new_one(self, api: Api, made: str) -> None:
        first = api("POST", f"{made}/rotate-secret").json
        second = api("POST", f"{made}/rotate-secret", {"grace_s": 0}).json
        assert (first["secret_version"], second["secret_version"]) == (2, 3)
        assert first["signing_secret"] != second["signing_secret"]
        assert second["stopped_version"] == 1

    def test_the_one_before_signs_on_for_a_day_or_as_long_as_is_said(
        self, api: Api, made: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_ms = now_ms()
        monkeypatch.setattr(subscriptions, "now_ms", lambda: at_ms)
        for body, seconds in ((None, 86_400), ({}, 86_400), ({"grace_s": 604_800}, 604_800)):
            until = api("POST", f"{made}/rotate-secret", body).json["previous_secret_until"]
            assert until == iso(from_ms(at_ms + seconds * 1000)), body

    def test_the_grace_is_from_none_to_a_week(self, api: Api, made: str) -> None:
        for grace in (-1, 604_801, 1.5, "60", None, True, 10**40):
            answer = api("POST", f"{made}/rotate-secret", {"grace_s": grace})
            assert (answer.status, answer.json["field"]) == (422, "grace_s"), grace


class TestSending:
    def test_a_test_is_a_delivery_on_its_way(self, api: Api, made: str) -> None:
        sent = api("POST", f"{made}/test")
        assert (sent.status, sent.json["type"], sent.json["status"]) == (202, "webhook.test", "pending")
        queue = api.stack.output("DeliveriesQueue")
        assert len(client("sqs").receive_message(QueueUrl=queue)["Messages"]) == 1

    def test_what_was_missed_is_sent_and_a_key_that_may_write_is_enough(self, api: Api, made: str) -> None:
        since_ms = now_ms() - 3_600_000
        failed = deliver("evt_1", DeliveryStatus.FAILED)
        put_task("t2", status="completed", event_id="evt_2", detected_at_ms=now_ms())
        api.scope = "write"
        answer = api("POST", f"{made}/recover", {"since": iso(from_ms(since_ms))})
        assert answer.json["recovered"] == [failed]
        assert len(answer.json["made"]) == 1

    def test_a_replay_is_narrowed_counted_and_goes_on_where_it_ended(self, api: Api, made: str) -> None:
        at_ms = now_ms() - 600_000
        for number in range(6):
            put_task(
                f"r{number}",
                status="failed" if number == 5 else "completed",
                event_id=f"evt_{number}",
                detected_at_ms=at_ms + number * 1_000,
                submitted_at_ms=at_ms,
                metadata={"order": number},
                failure={"code": "provider_failed", "reason": "no"},
            )
        failed = deliver("evt_9", DeliveryStatus.FAILED)
        since = {"since": iso(from_ms(at_ms))}

        def made_by(**fields: Any) -> int:
            answer = api("POST", f"{made}/recover", since | {"dry_run": True} | fields)
            assert (answer.status, answer.json["dry_run"], answer.json["filtered"]) == (200, True, False)
            return len(answer.json["made"])

        assert made_by() == 6
        assert made_by(until=iso(from_ms(at_ms + 2_000))) == 2
        assert made_by(events=["task.failed"]) == 1
        assert made_by(providers=["piapi"]) == 0
        assert made_by(filter={"metadata": {"order": [1, 4, 5]}}) == 3
        queue = api.stack.output("FulfillmentQueue")
        assert "Messages" not in client("sqs").receive_message(QueueUrl=queue)
        wanted = since | {"only_missing": True, "limit": 1, "filter": {"metadata": {"order": [1]}}}
        first = api("POST", f"{made}/recover", wanted).json
        assert (first["recovered"], first["filtered"]) == ([], True)
        asked = first["made"]
        while first["next_cursor"] is not None:
            first = api("POST", f"{made}/recover", wanted | {"cursor": first["next_cursor"]}).json
            asked += first["made"]
        assert len(asked) == len(set(asked)) == 6
        (message, *_) = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=1)["Messages"]
        assert '"filter":{"metadata":{"order":[1]}}' in message["Body"]
        assert api("GET", f"/v1/deliveries/{failed}").json["status"] == "failed"

    def test_a_replay_ends_while_there_is_time_to_answer(self, api: Api, made: str) -> None:
        for number in range(3):
            put_task(
                f"r{number}", status="completed", event_id=f"evt_{number}", detected_at_ms=now_ms() - number
            )
        api.remaining_ms = 13_000
        body = {"since": iso(from_ms(now_ms() - 600_000)), "only_missing": True}
        first = api("POST", f"{made}/recover", body).json
        assert (len(first["made"]), first["next_cursor"] is None) == (3, False)
        last = api("POST", f"{made}/recover", body | {"cursor": first["next_cursor"]}).json
        assert (last["made"], last["next_cursor"]) == ([], None)

    def test_what_a_replay_cannot_be_about_is_refused_by_its_field(self, api: Api, made: str) -> None:
        since = {"since": iso(from_ms(now_ms() - 600_000))}
        for fields, name in (
            ({"until": since["since"]}, "until"),
            ({"until": "soon"}, "until"),
            ({"events": ["webhook.test"]}, "events"),
            ({"filter": {"a": [{"prefix": 7}]}}, "filter.a[0].prefix"),
            ({"limit": 0}, "limit"),
            ({"limit": 5_001}, "limit"),
            ({"cursor": "x"}, "cursor"),
            ({"dry_run": "yes"}, "dry_run"),
            ({"provider": "suno"}, "provider"),
        ):
            answer = api("POST", f"{made}/recover", since | fields)
            assert (answer.status, answer.json["field"]) == (422, name), fields

    def test_it_goes_back_14_days_at_most(self, api: Api, made: str) -> None:
        for since in (
            iso(from_ms(now_ms() - 15 * 24 * 3_600_000)),
            "1969-12-31T00:00:00Z",
            "",
            "now",
            "2026-11-29",
        ):
            answer = api("POST", f"{made}/recover", {"since": since})
            assert (answer.status, answer.json["field"]) == (422, "since"), since

    def test_what_was_missed_just_14_days_ago_is_recovered(
        self, api: Api, made: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        at_ms = now_ms()
        monkeypatch.setattr(routes, "now_ms", lambda: at_ms)
        oldest_ms = at_ms - 14 * 86_400_000
        told = [
            api("POST", f"{made}/recover", {"since": iso(from_ms(at))}) for at in (oldest_ms, oldest_ms - 1)
        ]
        assert [answer.status for answer in told] == [200, 422]
