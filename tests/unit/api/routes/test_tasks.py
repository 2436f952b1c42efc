"""The routes of tasks, called by events over moto's AWS."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

import pytest
from tests.support.aws import Faulty, client, fault, items, put
from tests.unit.api.calling import Api, put_task

from api.routes import tasks as routes
from tunehook.aws.deliveries import DeliveriesTable
from tunehook.aws.tasks import TasksTable, listed_attributes
from tunehook.deliveries import new_delivery
from tunehook.operations import tasks
from tunehook.operations.results import get_files
from tunehook.operations.task_view import TaskView
from tunehook.tasks import Format
from tunehook.times import from_ms, iso, now_ms

NEW = {"provider": "suno", "task_id": "task-1"}
HOOK = NEW | {"notify_hook": "https://example.com/hook"}
ENDED = {"status": "completed", "event_id": "evt_1", "detected_at_ms": 1, "archived_at_ms": 7}
FILE = "results/suno/task-1/c/audio.mp3"
ASSET = {"clip_id": "c", "type": "audio", "status": "archived", "key": FILE, "bytes": 9}
STRANGE_IDS = (
    "a+b",
    "a b",
    "50%",
    "%2F",
    "音乐",
    "é😀",
    'q"uote',
    "a?b#c",
    "x.y..z",
    "~",
    "a,b",
    "{}",
    "'",
    "&=",
)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"task_id": " x"}, "task_id"),
    ({"task_id": ""}, "task_id"),
    ({"task_id": "x" * 257}, "task_id"),
    ({"task_id": 7}, "task_id"),
    ({"task_id": None}, "task_id"),
    ({"task_id": "a\u0000b"}, "task_id"),
    ({"provider": "a/b"}, "provider"),
    ({"notify_hook": "ftp://x"}, "notify_hook"),
    ({"notify_hook": "https://127.0.0.1/"}, "notify_hook"),
    ({"notify_format": "xml"}, "notify_format"),
    ({"metadata": []}, "metadata"),
    ({"metadata": {"a": "x" * 2048}}, "metadata"),
    ({"metadata": {"a": {"": 1}}}, "metadata.a"),
    ({"metadata": {"a": 10**50 + 1}}, "metadata.a"),
    ({"metadata": {"a": [1e300]}}, "metadata.a[0]"),
    ({"metadata": {"a": 1e-200}}, "metadata.a"),
    ({"timeout_s": "60"}, "timeout_s"),
    ({"timeout_s": True}, "timeout_s"),
    ({"timeout_s": 59}, "timeout_s"),
    ({"timeout_s": 10**100}, "timeout_s"),
    ({"status": "completed"}, "status"),
    ({"notify_hok": "https://x.example"}, "notify_hok"),
]


PREFERRED: list[tuple[str, list[float]]] = [
    ("wait=5", [5]),
    ("respond-async, wait=5", [5]),
    ('WAIT = "7" ; foo=bar', [7]),
    ("wait=999999999", [25]),
    ("wait=0", []),
    ("wait", []),
    ("wait=-1", []),
    ("wait=abc", []),
    ("xwait=5", []),
    ("wait=99999999999999999999", []),
    ("wait=٣", []),
    ("", []),
]


REFUSED_QUERIES = [
    "limit=0",
    "limit=101",
    "limit=x",
    "limit=",
    "limit=1e1",
    "limit=" + "9" * 5000,
    "status=done",
    "status=",
    "since=yesterday",
    "since=2026-11-29",
    "since=2026-11-29T10:00:00",
    "since=2026-11-29T10:00:00+01:00",
    "since=" + "1" * 5000,
    "cursor=x",
    "cursor=",
    "cursor=%00",
    "cursor=%E9%9F%B3",
    "cursor=bnVsbA",
    "page=2",
    "limit=1&limit=2",
    "%FF=1",
    "=1",
]


def put_manifest(task_id: str = "task-1") -> None:
    body = json.dumps({"assets": [ASSET]}).encode()
    client("s3").put_object(Bucket="results", Key=f"results/suno/{task_id}/manifest.json", Body=body)


class TestPutting:
    def test_a_new_task_is_put_as_a_user_would(self, api: Api) -> None:
        body = NEW | {"notify_format": "cloudevents", "metadata": {"order": 7, "x": [1.5]}, "timeout_s": 60}
        answer = api("POST", "/v1/tasks", body)
        assert answer.status == 201
        assert answer.json["status"] == "new"
        assert items("TasksTable") == [body]

    def test_what_is_null_counts_as_not_given(self, api: Api) -> None:
        assert api("POST", "/v1/tasks", NEW | {"metadata": None, "timeout_s": None}).status == 201
        assert items("TasksTable") == [NEW]

    def test_a_known_one_is_answered_as_it_is(self, api: Api) -> None:
        put_task(**ENDED, metadata={"a": 1})
        answer = api("POST", "/v1/tasks", NEW | {"metadata": {"a": 2}})
        assert answer.status == 200
        assert (answer.json["status"], answer.json["metadata"]) == ("completed", {"a": 1})
        assert items("TasksTable")[0]["metadata"] == {"a": 1}

    def test_the_very_same_put_twice_is_new_once(self, api: Api) -> None:
        assert [api("POST", "/v1/tasks", NEW).status for _ in range(2)] == [201, 200]

    def test_of_two_at_once_one_has_put_it(self, api: Api) -> None:
        statuses: list[int] = []

        class Overtaken:
            """A client whose first put is overtaken by the whole of another request."""

            def __getattr__(self, name: str) -> Any:
                if name == "put_item" and not statuses:
                    statuses.append(0)
                    statuses[0] = api("POST", "/v1/tasks", NEW).status
                return getattr(client("dynamodb"), name)

        api.stack.__dict__["tasks"] = TasksTable(Overtaken(), "TasksTable")  # type: ignore[arg-type]
        statuses.append(api("POST", "/v1/tasks", NEW).status)
        assert statuses == [201, 200]

    def test_a_new_run_is_begun_only_where_it_is_asked_for(self, api: Api) -> None:
        put_task(**ENDED)
        answer = api("POST", "/v1/tasks", NEW, query="rerun=true")
        assert (answer.status, answer.json["replaced_status"]) == (201, "completed")
        assert items("TasksTable") == [NEW]

    def test_the_secret_of_the_hook_is_for_admins(self, api: Api) -> None:
        assert api("POST", "/v1/tasks", HOOK).json["signing_secret"].startswith("whsec_")
        api.scope = "write"
        assert api("POST", "/v1/tasks", HOOK | {"task_id": "other"}).json["signing_secret"] is None

    def test_a_provider_that_is_not_configured_is_refused_with_the_nearest(self, api: Api) -> None:
        answer = api("POST", "/v1/tasks", NEW | {"provider": "sumo"})
        assert (answer.status, answer.json["field"]) == (422, "provider")
        assert "did you mean suno?" in answer.json["detail"]
        assert items("TasksTable") == []

    def test_providers_are_read_once_a_minute(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        secrets = Faulty(client("secretsmanager"))
        api.stack._clients["secretsmanager"] = secrets
        present_ms = [now_ms()]
        monkeypatch.setattr(routes, "now_ms", lambda: present_ms[0])
        for later_ms, reads in ((0, 1), (59_999, 1), (1, 2), (59_999, 2)):
            present_ms[0] += later_ms
            assert api("POST", "/v1/tasks", NEW | {"task_id": f"t{present_ms[0]}"}).status == 201
            assert len(secrets.calls) == reads

    def test_where_the_providers_may_not_be_read_the_task_is_put_all_the_same(self, api: Api) -> None:
        denied = fault("AccessDeniedException", "GetSecretValue")
        api.stack._clients["secretsmanager"] = Faulty(client("secretsmanager"), get_secret_value=[denied])
        assert api("POST", "/v1/tasks", NEW).status == 201

    def test_what_is_not_acceptable_is_refused_by_its_field(self, api: Api) -> None:
        for change, field in REFUSED:
            answer = api("POST", "/v1/tasks", NEW | change)
            assert (answer.status, answer.json["field"]) == (422, field), change
        assert items("TasksTable") == []

    def test_metadata_nested_deeper_than_dynamodb_takes_is_refused(self, api: Api) -> None:
        nested: Any = 1
        for _ in range(40):
            nested = [nested]
        answer = api("POST", "/v1/tasks", NEW | {"metadata": {"a": nested}})
        assert answer.status == 422
        assert answer.json["field"].startswith("metadata.a[0]")

    def test_zero_and_the_widest_numbers_are_kept(self, api: Api) -> None:
        metadata = {
            "zero": 0.0,
            "large": 9 * 10**125,
            "small": 1e-130,
            "long": 12345678901234567890123456789012345678,
        }
        assert api("POST", "/v1/tasks", NEW | {"metadata": metadata}).status == 201
        assert items("TasksTable")[0]["metadata"] == metadata


class TestPuttingWithAKeyOfIdempotency:
    def put(self, api: Api, body: dict[str, Any] = HOOK, key: str = "k", query: str = "") -> Any:
        return api("POST", "/v1/tasks", body, query=query, headers={"Idempotency-Key": key})

    def test_the_first_answer_is_given_again_the_secret_too(self, api: Api) -> None:
        first = self.put(api)
        put_task(**ENDED)
        again = self.put(api)
        assert (again.status, again.json) == (201, first.json)
        assert first.json["signing_secret"].startswith("whsec_")

    def test_no_secret_is_kept(self, api: Api) -> None:
        secret = self.put(api).json["signing_secret"]
        assert secret not in str(items("ApiRequestsTable"))
        assert b"whsec" not in b"".join(
            value for item in items("ApiRequestsTable") for value in item.values() if isinstance(value, bytes)
        )

    def test_another_body_is_refused_and_so_is_another_query(self, api: Api) -> None:
        self.put(api)
        for body, query in ((HOOK | {"timeout_s": 60}, ""), (HOOK, "rerun=true")):
            answer = self.put(api, body, query=query)
            assert (answer.status, answer.json["field"]) == (422, "Idempotency-Key")
            assert answer.json["type"] == "urn:tunehook:problem:idempotency_key_reused"

    def test_a_new_run_is_begun_once(self, api: Api) -> None:
        put_task(**ENDED)
        first = self.put(api, query="rerun=true")
        put_task(**ENDED)
        assert self.put(api, query="rerun=true").json == first.json
        assert items("TasksTable")[0]["status"] == "completed"

    def test_each_key_of_the_api_has_its_own(self, api: Api) -> None:
        self.put(api)
        api.key_id = "k2"
        assert self.put(api).status == 200

    def test_what_is_refused_can_be_sent_again_otherwise(self, api: Api) -> None:
        assert self.put(api, NEW | {"timeout_s": 1}).status == 422
        assert self.put(api, NEW).status == 201

    def test_what_aws_did_not_let_through_can_be_sent_again_at_once(self, api: Api) -> None:
        dynamodb = Faulty(client("dynamodb"), put_item=[fault("InternalServerError", "PutItem")])
        api.stack.__dict__["tasks"] = TasksTable(dynamodb, "TasksTable")
        refused = self.put(api)
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert self.put(api).status == 201

    def test_a_name_that_is_none_is_refused(self, api: Api) -> None:
        for key in ("", "a b", "é", "x" * 256, "a\tb"):
            answer = self.put(api, key=key)
            assert (answer.status, answer.json["field"]) == (422, "Idempotency-Key")


class TestReading:
    def test_any_id_works_in_the_path(self, api: Api) -> None:
        for task_id in STRANGE_IDS:
            put_task(task_id, **ENDED)
            # As an HTTP API hands it on: decoded, but for the percent sign.
            path = f"/v1/tasks/suno/{task_id.replace('%', '%25')}"
            assert api("GET", path).json["task_id"] == task_id

    def test_any_id_works_as_a_parameter_on_every_route(self, api: Api) -> None:
        for task_id in ("a/b", "results", "..", "50%", "音乐+", "/"):
            put_task(task_id)
            query = {"task_id": task_id}
            assert api("GET", "/v1/tasks/suno", query=query).json["task_id"] == task_id
            assert api("DELETE", "/v1/tasks/suno", query=query).json["status"] == "cancelled"
            assert api("GET", "/v1/tasks/suno/results", query=query).status == 404
            assert api("POST", "/v1/tasks/suno/archive", query=query).status == 409

    def test_one_that_is_not_there_is_not_found(self, api: Api) -> None:
        put_task("t")
        for key in ("suno/no", "suno/" + "x" * 3000, "x" * 3000 + "/t", "é/t", "other/t"):
            for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/results"), ("POST", "/archive")):
                answer = api(method, f"/v1/tasks/{key}{rest}")
                assert (answer.status, answer.json["field"]) == (404, "task_id")

    @pytest.mark.parametrize(
        ("method", "rest"), [("GET", ""), ("DELETE", ""), ("GET", "/results"), ("POST", "/archive")]
    )
    def test_what_is_longer_than_any_key_of_a_task_is_not_asked_for(
        self, api: Api, method: str, rest: str
    ) -> None:
        for provider, task_id, is_long in (
            ("p" * 64, "t" * 256, False),
            ("p" * 65, "t", True),
            ("p", "t" * 257, True),
        ):
            put("TasksTable", {"task_id": task_id, "provider": provider})
            answer = api(method, f"/v1/tasks/{provider}/{task_id}{rest}")
            assert ("there is no task of so long a name" in answer.text) is is_long
            assert answer.status == 404 or not is_long

    def test_its_deliveries_are_told_with_it(self, api: Api) -> None:
        put_task(**ENDED)
        delivery = new_delivery(
            event_id="evt_1",
            subscription_id="sub-1",
            task_id="task-1",
            provider="suno",
            type="task.completed",
            event_at_ms=1,
            format=Format.STANDARD,
            payload="{}",
            now_ms=1,
        )
        DeliveriesTable(client("dynamodb"), "DeliveriesTable").create(delivery)
        assert len(api("GET", "/v1/tasks/suno/task-1").json["deliveries"]) == 1

    def test_an_item_that_was_edited_to_anything_is_answered(self, api: Api) -> None:
        put_task(status=7, clips="x", submitted_at_ms=10**30, provider_object='{"a": NaN}', metadata=None)
        answer = api("GET", "/v1/tasks/suno/task-1")
        assert answer.status == 200
        assert answer.json["provider_object"] == {"a": None}


class TestWaiting:
    @pytest.fixture
    def waits(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """How long was waited, in seconds; the task ends meanwhile."""
        waited: list[float] = []

        def end(stack: Any, provider: str, task_id: str, wait_s: float) -> TaskView:
            waited.append(wait_s)
            put_task(task_id, **ENDED)
            return tasks.get_task(stack, task_id, provider)

        monkeypatch.setattr(tasks, "await_end", end)
        return waited

    def wait(self, api: Api, prefer: str = "wait=25") -> Any:
        return api("GET", "/v1/tasks/suno/task-1", headers={"prefer": prefer})

    def test_it_is_answered_once_the_task_has_ended(self, api: Api, waits: list[float]) -> None:
        put_task()
        answer = self.wait(api)
        assert (answer.json["status"], answer.headers["preference-applied"]) == ("completed", "wait=25")
        assert waits == [25]

    def test_its_place_is_free_again(self, api: Api, waits: list[float]) -> None:
        for _ in range(5):
            put_task()
            assert "preference-applied" in self.wait(api).headers

    def test_no_more_wait_than_may(self, api: Api, waits: list[float]) -> None:
        put_task()
        for number in range(2):
            assert api.stack.api_requests.claim_wait(2, f"other-{number}", now_ms() + 60_000, now_ms())
        answer = self.wait(api)
        assert (answer.json["status"], answer.headers.get("preference-applied")) == ("new", None)
        assert waits == []

    def test_where_none_may_nobody_waits(self, api: Api, waits: list[float]) -> None:
        put_task()
        api.stack.parameters["ApiMaxWaiting"] = "0"  # type: ignore[index]
        assert "preference-applied" not in self.wait(api).headers

    def test_an_ended_task_takes_no_place(self, api: Api, waits: list[float]) -> None:
        put_task(**ENDED)
        assert self.wait(api).headers["preference-applied"] == "wait=25"
        assert waits == []
        assert items("ApiRequestsTable") == []

    def test_it_waits_no_longer_than_the_function_may_run(self, api: Api, waits: list[float]) -> None:
        put_task()
        api.remaining_ms = 10_500
        assert self.wait(api).headers["preference-applied"] == "wait=6"
        put_task()
        api.remaining_ms = 3_000
        assert "preference-applied" not in self.wait(api).headers

    def test_it_waits_for_25_seconds_at_most(self, api: Api, waits: list[float]) -> None:
        put_task()
        api.remaining_ms = 60_000
        assert self.wait(api, "wait=60").headers["preference-applied"] == "wait=25"
        assert waits == [25]

    def test_what_is_preferred_is_read_as_its_rfc_has_it(self, api: Api, waits: list[float]) -> None:
        for prefer, waited in PREFERRED:
            put_task()
            waits.clear()
            assert self.wait(api, prefer).status == 200
            assert waits == waited, prefer


class TestCancelling:
    def test_a_pending_one_is_cancelled_once_and_for_all(self, api: Api) -> None:
        put_task()
        assert [api("DELETE", "/v1/tasks/suno/task-1").json["status"] for _ in range(2)] == ["cancelled"] * 2

    def test_one_that_has_ended_is_not(self, api: Api) -> None:
        put_task(**ENDED)
        assert api("DELETE", "/v1/tasks/suno/task-1").status == 409


class TestFiles:
    def test_they_are_told_with_new_links(self, api: Api) -> None:
        put_task(**ENDED, clips=[{"clip_id": "c", "title": "Song"}])
        put_manifest()
        (asset,) = api("GET", "/v1/tasks/suno/task-1/results").json["assets"]
        assert (asset["title"], asset["key"]) == ("Song", FILE)
        assert asset["url"].startswith("https://")
        assert asset["url_expires_at"]

    def test_without_a_manifest_there_are_none(self, api: Api) -> None:
        put_task(**ENDED)
        assert api("GET", "/v1/tasks/suno/task-1/results").status == 404

    def test_a_manifest_that_is_none_is_our_trouble(self, api: Api) -> None:
        put_task(**ENDED)
        client("s3").put_object(Bucket="results", Key="results/suno/task-1/manifest.json", Body=b"[")
        assert api("GET", "/v1/tasks/suno/task-1/results").status == 503

    def test_those_that_are_missing_are_asked_for(self, api: Api) -> None:
        put_task(**ENDED)
        assert api("POST", "/v1/tasks/suno/task-1/archive").status == 202
        queue = api.stack.output("FulfillmentQueue")
        assert len(client("sqs").receive_message(QueueUrl=queue)["Messages"]) == 1

    def test_of_a_pending_task_there_is_nothing_to_archive(self, api: Api) -> None:
        put_task()
        assert api("POST", "/v1/tasks/suno/task-1/archive").status == 409

    def test_the_operation_is_the_one_of_the_command(self) -> None:
        assert routes.get_files is get_files


class TestListing:
    def test_a_page_goes_on_by_its_cursor(self, api: Api) -> None:
        for number in range(3):
            put_task(f"t{number}", status="pending", **listed_attributes(f"t{number}", now_ms() + number))
        first = api("GET", "/v1/tasks", query={"limit": "2"}).json
        rest = api("GET", "/v1/tasks", query={"limit": "2", "cursor": first["next_cursor"]}).json
        assert [each["task_id"] for each in first["tasks"] + rest["tasks"]] == ["t2", "t1", "t0"]
        assert rest["next_cursor"] is None

    def test_it_is_narrowed_by_status_provider_and_moment(self, api: Api) -> None:
        now = now_ms()
        put_task("old", status="pending", **listed_attributes("old", now - 2 * 3_600_000))
        put_task("new", status="failed", **listed_attributes("new", now))
        since = from_ms(now - 3_600_000)
        elsewhere = since.astimezone(timezone(timedelta(hours=1))).isoformat(timespec="seconds")
        for query in ("status=failed", f"since={iso(since)}", f"since={elsewhere.replace('+', '%2B')}"):
            found = api("GET", "/v1/tasks", query=f"{query}&provider=suno").json["tasks"]
            assert [each["task_id"] for each in found] == ["new"]
        assert api("GET", "/v1/tasks", query="provider=other").json["tasks"] == []

    def test_what_is_not_acceptable_is_refused_by_its_field(self, api: Api) -> None:
        for query in REFUSED_QUERIES:
            answer = api("GET", "/v1/tasks", query=query)
            assert answer.status == 422, query
            assert answer.json["field"] == query.partition("=")[0].replace("%FF", "\ufffd")
